//! Nanoseconds in each eBPF program of the recorder, by the kernel's own clock.
//!
//! In: the recorder as a process of its own. Out: for each program, runs and nanoseconds for each operation, less the
//! floor: what the kernel counts for a program at the same hook, at the same time, that does nothing. The floor is the
//! reading of the clock for the most part, which happens only while this measures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::attached::{self, Hook, Ran};
use crate::empty;
use crate::options::Options;
use crate::sample::Median;
use crate::subject;
use crate::sys;
use crate::traffic::Traffic;

/// Slots of each traffic. The median of them is what counts: an interrupt in the midst of a program falls out.
const SLOTS: usize = 50;

/// What the programs took for one kind of traffic.
pub(crate) struct Program {
    hook: String,
    /// Runs for one operation.
    runs: Median,
    /// Nanoseconds of one run, as the kernel counts them.
    counted: Median,
    /// The same of a program that does nothing.
    floor: Median,
    /// Nanoseconds for one operation, less the floor.
    net: Median,
}

/// All programs under one kind of traffic.
pub(crate) struct Measured {
    traffic: Traffic,
    programs: Vec<Program>,
    /// Nanoseconds for one operation in all programs together, less the floor.
    pub(crate) net: Median,
}

impl Measured {
    /// What the figures are for: a connection has two ends on this host, and both are recorded.
    fn unit(&self) -> &'static str {
        match self.traffic {
            Traffic::Connect => "connection end",
            Traffic::Request | Traffic::RequestAcross => "round trip",
            Traffic::Bulk | Traffic::BulkAcross => "64 KiB",
            Traffic::Datagram => "datagram, sent and received",
        }
    }
}

fn operations(traffic: Traffic, count: u32) -> f64 {
    if traffic == Traffic::Connect { 2.0 * f64::from(count) } else { f64::from(count) }
}

pub(crate) struct Programs(Vec<Measured>);

pub(crate) fn measure(options: &Options, dir: &Path) -> anyhow::Result<Programs> {
    eprintln!("eBPF programs ...");
    let recorder = subject::recorder(&options.netflow).start(dir)?;
    let process = recorder.pid().to_string();
    let hooks = attached::hooks(&process).context("cannot see the recorder's programs")?;
    let _empty = empty::attach(hooks.values())?;
    let ours = attached::hooks("self")?;
    let _stats = sys::measure_programs().context("the kernel does not measure programs")?;
    let mut all = Vec::new();
    for traffic in Traffic::ALONE {
        let count = traffic.count_for(Duration::from_millis(options.slot_ms))?;
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            let before = (attached::ran(&process)?, attached::ran("self")?);
            traffic.run(count)?;
            let after = (attached::ran(&process)?, attached::ran("self")?);
            let mut floors = BTreeMap::new();
            for (id, hook) in &ours {
                floors.insert(hook, since(&after.1, &before.1, *id));
            }
            let ran = hooks
                .iter()
                .map(|(id, hook)| (since(&after.0, &before.0, *id), floors.get(hook).copied().unwrap_or_default()));
            slots.push(ran.collect::<Vec<_>>());
        }
        all.push(reckon(traffic, operations(traffic, count), &hooks, &slots).context("nothing was measured")?);
    }
    recorder.stop()?;
    Ok(Programs(all))
}

fn since(after: &BTreeMap<u32, Ran>, before: &BTreeMap<u32, Ran>, id: u32) -> Ran {
    let of = |ran: &BTreeMap<u32, Ran>| ran.get(&id).copied().unwrap_or_default();
    of(after).since(of(before))
}

/// Nanoseconds less the floor of as many runs.
fn net((ran, floor): (Ran, Ran)) -> f64 {
    let each = if floor.count == 0 { 0.0 } else { floor.ns as f64 / floor.count as f64 };
    ran.ns as f64 - ran.count as f64 * each
}

fn reckon(
    traffic: Traffic,
    operations: f64,
    hooks: &BTreeMap<u32, Hook>,
    slots: &[Vec<(Ran, Ran)>],
) -> Option<Measured> {
    let mut programs = Vec::new();
    let mut named: BTreeMap<&Hook, u32> = BTreeMap::new();
    for (at, hook) in hooks.values().enumerate() {
        let nth = named.entry(hook).or_default();
        *nth += 1;
        let over = |figure: &dyn Fn((Ran, Ran)) -> f64| {
            Median::of(slots.iter().filter_map(|slot| slot.get(at).copied()).map(figure).collect())
        };
        // A program that does not run now and then, does not run for this traffic.
        let Some(runs) = over(&|(ran, _)| ran.count as f64 / operations).filter(|runs| runs.value > 0.001) else {
            continue;
        };
        programs.push(Program {
            hook: if *nth > 1 { format!("{}, another", hook.name()) } else { hook.name() },
            runs,
            counted: over(&|(ran, _)| ran.ns as f64 / ran.count as f64)?,
            floor: over(&|(_, floor)| floor.ns as f64 / floor.count as f64)?,
            net: over(&|slot| net(slot) / operations)?,
        });
    }
    let net = Median::of(slots.iter().map(|slot| slot.iter().copied().map(net).sum::<f64>() / operations).collect())?;
    Some(Measured { traffic, programs, net })
}

impl Programs {
    pub(crate) fn of(&self, traffic: Traffic) -> Option<&Measured> {
        self.0.iter().find(|measured| measured.traffic == traffic)
    }

    /// Nanoseconds for a datagram in the program that takes longest with one: of its two ends here, a datagram has one on
    /// each host.
    pub(crate) fn dearest_datagram(&self) -> Option<Median> {
        let nets = self.of(Traffic::Datagram)?.programs.iter().map(|program| program.net);
        nets.max_by(|one, other| one.value.total_cmp(&other.value))
    }

    pub(crate) fn json(&self) -> Value {
        let mut all = serde_json::Map::new();
        for measured in &self.0 {
            let program = |program: &Program| {
                json!({
                    "hook": program.hook, "runs": program.runs.json(), "ns_a_run": program.counted.json(),
                    "floor_ns_a_run": program.floor.json(), "net_ns": program.net.json(),
                })
            };
            let programs: Vec<Value> = measured.programs.iter().map(program).collect();
            let value = json!({"unit": measured.unit(), "net_ns": measured.net.json(), "programs": programs});
            all.insert(measured.traffic.key().to_owned(), value);
        }
        Value::Object(all)
    }

    pub(crate) fn print(&self) {
        println!("\neBPF programs (kernel's own clock; net: less what an empty program at the same hook reads)");
        for measured in &self.0 {
            println!("\n  {}, for one {}", measured.traffic.name(), measured.unit());
            println!("  {:<40}{:>8}{:>12}{:>10}{:>10}", "", "runs", "ns a run", "floor", "net ns");
            for program in &measured.programs {
                println!(
                    "  {:<40}{:>8.2}{:>12.0}{:>10.0}{:>10.0}",
                    program.hook, program.runs.value, program.counted.value, program.floor.value, program.net.value
                );
            }
            let net = measured.net;
            println!("  {:<70}{:>10.0}  [{:.0}, {:.0}]", "together", net.value, net.low, net.high);
        }
    }
}
