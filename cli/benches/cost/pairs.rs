//! Traffic with and without: the slowdown that recording causes, and what others cause in its place.
//!
//! In: the recorder and the tools. Out: for each of them and each traffic, the median of paired ratios. Without and with
//! alternate all the time, so that whatever else changes on the machine changes both; the ratio is of a block with to
//! the mean of the blocks before and after it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::options::Options;
use crate::sample::Median;
use crate::subject::{self, Subject};
use crate::traffic::Traffic;

/// Slots of each traffic in a block. The block has their lower quartile: what disturbs a slot makes it longer.
const SLOTS: usize = 12;

/// The figures of one block: processor time, wall time and the subject's own processor time for one operation.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    cpu: f64,
    wall: f64,
    own: f64,
}

type Blocks = [Block; Traffic::ALL.len()];

/// What one subject does to one kind of traffic.
pub(crate) struct Pairs {
    pub(crate) subject: &'static str,
    what: &'static str,
    pub(crate) traffic: Traffic,
    /// Nanoseconds of processor time for one operation without it.
    pub(crate) without: Median,
    /// By which part of it more processor time is needed, 0.01 being 1 %.
    pub(crate) cpu: Median,
    /// The same of the wall time.
    wall: Median,
    /// Nanoseconds of processor time that an operation takes more.
    added: Median,
    /// Nanoseconds of processor time in the subject's own process for one operation.
    own: Median,
}

impl Pairs {
    /// What a user of the traffic notices: with one thread its processor time, which is exact, with two the time that
    /// passes.
    pub(crate) fn slowdown(&self) -> Median {
        if Traffic::ALONE.contains(&self.traffic) { self.cpu } else { self.wall }
    }
}

/// All pairs.
pub(crate) struct Measured {
    pub(crate) pairs: Vec<Pairs>,
    /// Tools that cannot run here, and why.
    absent: Absent,
}

type Absent = Vec<(&'static str, String)>;

pub(crate) fn measure(options: &Options, dir: &Path) -> anyhow::Result<Measured> {
    let (subjects, absent) = subjects(options, dir)?;
    let mut counts = [0; Traffic::ALL.len()];
    for (count, traffic) in counts.iter_mut().zip(Traffic::ALL) {
        *count = traffic.count_for(Duration::from_millis(options.slot_ms))?;
    }
    let mut ratios: Vec<Vec<(Blocks, Blocks)>> = vec![Vec::new(); subjects.len()];
    let (began, all) = (Instant::now(), Duration::from_secs(options.pair_seconds));
    let mut before = block(&counts, || Ok(Duration::ZERO))?;
    let mut round = 0;
    while round == 0 || began.elapsed() < all {
        eprint!("\rpairs ... {} of {} s, round {}  ", began.elapsed().as_secs(), all.as_secs(), round + 1);
        for turn in order(&subjects, round) {
            let running = subjects[turn].start(dir)?;
            let with = block(&counts, || running.cpu())?;
            running.stop()?;
            let after = block(&counts, || Ok(Duration::ZERO))?;
            ratios[turn].push((mean(&before, &after), with));
            before = after;
        }
        round += 1;
    }
    eprintln!();
    let mut pairs = Vec::new();
    for (at, traffic) in Traffic::ALL.into_iter().enumerate() {
        for (subject, blocks) in subjects.iter().zip(&ratios) {
            let blocks: Vec<_> = blocks.iter().map(|(without, with)| (without[at], with[at])).collect();
            pairs.extend(reckon(subject, traffic, &blocks));
        }
    }
    Ok(Measured { pairs, absent })
}

/// The subjects that can run here. What cannot shows when it is tried.
fn subjects(options: &Options, dir: &Path) -> anyhow::Result<(Vec<Subject>, Absent)> {
    let netflow = &options.netflow;
    let mut subjects =
        vec![subject::recorder(netflow), subject::tcp_recorder(netflow), subject::nothing(), subject::empty()?];
    let mut absent = Vec::new();
    for tool in subject::tools() {
        if options.tools.as_ref().is_some_and(|wanted| !wanted.iter().any(|name| name == tool.name)) {
            continue;
        }
        let tried = tool.missing().map_or_else(|| tool.start(dir).map(drop).map_err(|error| format!("{error:#}")), Err);
        match tried {
            Ok(()) => subjects.push(tool),
            Err(why) => absent.push((tool.name, why)),
        }
    }
    Ok((subjects, absent))
}

/// Who comes when in a round: the recorder, which comes first in the list, between all the others.
fn order(subjects: &[Subject], round: usize) -> Vec<usize> {
    let others = subjects.len() - 1;
    (0..others).flat_map(|turn| [0, 1 + (turn + round) % others]).collect()
}

fn block(counts: &[u32], own: impl Fn() -> anyhow::Result<Duration>) -> anyhow::Result<Blocks> {
    let mut slots: [Vec<Block>; Traffic::ALL.len()] = Default::default();
    for _ in 0..SLOTS {
        for ((slots, traffic), count) in slots.iter_mut().zip(Traffic::ALL).zip(counts) {
            let before = own()?;
            let taken = traffic.run(*count)?;
            let own = own()?.saturating_sub(before).as_nanos() as f64 / f64::from(*count);
            slots.push(Block { cpu: taken.cpu(), wall: taken.wall(), own });
        }
    }
    let undisturbed = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 4]
    };
    Ok(slots.map(|slots| Block {
        cpu: undisturbed(slots.iter().map(|slot| slot.cpu).collect()),
        wall: undisturbed(slots.iter().map(|slot| slot.wall).collect()),
        // A process may do its work after the traffic has gone: here the mean is what counts.
        own: slots.iter().map(|slot| slot.own).sum::<f64>() / slots.len() as f64,
    }))
}

fn mean(before: &Blocks, after: &Blocks) -> Blocks {
    std::array::from_fn(|at| Block {
        cpu: f64::midpoint(before[at].cpu, after[at].cpu),
        wall: f64::midpoint(before[at].wall, after[at].wall),
        own: 0.0,
    })
}

fn reckon(subject: &Subject, traffic: Traffic, blocks: &[(Block, Block)]) -> Option<Pairs> {
    let over = |figure: &dyn Fn(&(Block, Block)) -> f64| Median::of(blocks.iter().map(figure).collect());
    Some(Pairs {
        subject: subject.name,
        what: subject.what,
        traffic,
        without: over(&|(without, _)| without.cpu)?,
        cpu: over(&|(without, with)| with.cpu / without.cpu - 1.0)?,
        wall: over(&|(without, with)| with.wall / without.wall - 1.0)?,
        added: over(&|(without, with)| with.cpu - without.cpu)?,
        own: over(&|(_, with)| with.own)?,
    })
}

impl Measured {
    pub(crate) fn of(&self, subject: &str, traffic: Traffic) -> Option<&Pairs> {
        self.pairs.iter().find(|pairs| pairs.subject == subject && pairs.traffic == traffic)
    }

    pub(crate) fn json(&self) -> Value {
        let pair = |pairs: &Pairs| {
            json!({
                "subject": pairs.subject, "what": pairs.what, "traffic": pairs.traffic.key(),
                "cpu_ns_without": pairs.without.json(), "cpu_slowdown": pairs.cpu.json(),
                "wall_slowdown": pairs.wall.json(), "cpu_ns_added": pairs.added.json(),
                "own_process_cpu_ns": pairs.own.json(),
            })
        };
        let absent: serde_json::Map<String, Value> =
            self.absent.iter().map(|(name, why)| ((*name).to_owned(), json!(why))).collect();
        json!({"pairs": self.pairs.iter().map(pair).collect::<Vec<_>>(), "absent": absent})
    }

    pub(crate) fn print(&self) {
        println!("\nTraffic with and without (median of pairs, [95 % interval]; processor time of both ends)");
        for traffic in Traffic::ALL {
            let rows = self.pairs.iter().filter(|pairs| pairs.traffic == traffic);
            let Some(without) = self.of("netflow", traffic).map(|pairs| pairs.without.value) else { continue };
            println!("\n  {}: {without:.0} ns without", traffic.name());
            println!(
                "  {:<12}{:>6}{:>26}{:>12}{:>26}{:>16}",
                "with", "pairs", "slower by, cpu", "added ns", "slower by, wall", "own process ns"
            );
            for pairs in rows {
                println!(
                    "  {:<12}{:>6}{:>26}{:>12.0}{:>26}{:>16.0}",
                    pairs.subject,
                    pairs.cpu.count,
                    percent(pairs.cpu),
                    pairs.added.value,
                    percent(pairs.wall),
                    pairs.own.value
                );
            }
        }
        println!();
        for (name, why) in &self.absent {
            println!("  {name} is not compared: {why}");
        }
    }
}

/// A part as per cent, with its interval.
pub(crate) fn percent(part: Median) -> String {
    let part = part.map(|part| part * 100.0);
    format!("{:+.1} % [{:+.1}, {:+.1}]", part.value, part.low, part.high)
}
