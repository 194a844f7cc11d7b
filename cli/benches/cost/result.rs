//! All figures, and the targets beside them.

use serde_json::{Value, json};

use crate::pairs::{self, percent};
use crate::programs::Programs;
use crate::recorder::Recorder;
use crate::sample::Median;
use crate::snapshot::Snapshot;
use crate::surroundings::Surroundings;
use crate::traffic::Traffic;

/// What was measured; a part that was not asked for is missing.
pub(crate) struct Results {
    surroundings: Surroundings,
    pub(crate) programs: Option<Programs>,
    pub(crate) pairs: Option<pairs::Measured>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) snapshot: Option<Snapshot>,
}

/// A target and what was reached of it.
struct Target {
    what: &'static str,
    target: String,
    reached: String,
    verdict: &'static str,
}

/// A slowdown that nobody notices.
const SLOWDOWN: f64 = 0.01;

impl Results {
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, programs: None, pairs: None, recorder: None, snapshot: None }
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        if let Some(pairs) = &self.pairs {
            for (what, traffic) in [
                ("TCP bulk, two threads, slower by", Traffic::BulkAcross),
                ("TCP request-response, two threads, slower by", Traffic::RequestAcross),
                ("TCP bulk, one thread, slower by", Traffic::Bulk),
                ("TCP request-response, one thread, slower by", Traffic::Request),
            ] {
                let Some(netflow) = pairs.of("netflow", traffic) else { continue };
                targets.push(slowdown(what, netflow.slowdown()));
                // The rest is the kernel's way to the programs, which it takes for empty ones too.
                if let Some(programs) = self.programs.as_ref().and_then(|programs| programs.of(traffic)) {
                    let part = programs.net.map(|net| net / netflow.without.value);
                    targets.push(slowdown("  of which the programs themselves", part));
                }
            }
        }
        if let Some(net) = self.programs.as_ref().and_then(|programs| programs.of(Traffic::Connect)).map(|of| of.net) {
            targets.push(limit("TCP, eBPF time for a connection's end", net, 2000.0, "ns"));
        }
        if let Some(pairs) = &self.pairs
            && let (Some(netflow), Some(tcplife)) =
                (pairs.of("netflow", Traffic::Connect), pairs.of("tcplife", Traffic::Connect))
        {
            let verdict = if netflow.cpu.high < tcplife.cpu.low {
                "met"
            } else if netflow.cpu.low > tcplife.cpu.high {
                "MISSED"
            } else {
                "unclear"
            };
            let target = format!("less than tcplife, {}", percent(tcplife.cpu));
            targets.push(Target {
                what: "TCP connect-close, slowdown",
                target,
                reached: percent(netflow.cpu),
                verdict,
            });
        }
        if let Some(net) = self.programs.as_ref().and_then(Programs::dearest_datagram) {
            targets.push(limit("UDP, eBPF time for a datagram", net, 250.0, "ns"));
        }
        if let Some(recorder) = &self.recorder {
            let one = |value| Median { value, low: value, high: value, count: 1 };
            let rss = one(recorder.rss_peak as f64 / f64::from(1 << 20));
            targets.push(limit("Recorder, resident memory", rss, 64.0, "MiB"));
            targets.push(limit("Recorder, part of one processor", one(recorder.cpu * 100.0), 10.0, "%"));
        }
        if let Some(snapshot) = self.snapshot.as_ref().filter(|snapshot| snapshot.sockets >= 18_000) {
            targets.push(limit("Snapshot of 18,000 sockets", snapshot.with_owners.wall, 50.0, "ms"));
        }
        targets
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{:#}", self.json());
            return;
        }
        self.surroundings.print();
        if let Some(programs) = &self.programs {
            programs.print();
        }
        if let Some(pairs) = &self.pairs {
            pairs.print();
        }
        if let Some(recorder) = &self.recorder {
            recorder.print();
        }
        if let Some(snapshot) = &self.snapshot {
            snapshot.print();
        }
        println!("\n{:<46}{:<42}{:<28}", "Target", "", "reached");
        for Target { what, target, reached, verdict } in self.targets() {
            println!("{what:<46}{target:<42}{reached:<28}{verdict}");
        }
    }

    fn json(&self) -> Value {
        let target = |target: &Target| json!({"what": target.what, "target": target.target, "reached": target.reached, "verdict": target.verdict});
        json!({
            "surroundings": self.surroundings.json(),
            "programs": self.programs.as_ref().map(Programs::json),
            "pairs": self.pairs.as_ref().map(pairs::Measured::json),
            "recorder": self.recorder.as_ref().map(Recorder::json),
            "snapshot": self.snapshot.as_ref().map(Snapshot::json),
            "targets": self.targets().iter().map(target).collect::<Vec<_>>(),
        })
    }
}

fn slowdown(what: &'static str, part: Median) -> Target {
    Target { what, target: "below 1 %".to_owned(), reached: percent(part), verdict: below(part, SLOWDOWN) }
}

fn limit(what: &'static str, reached: Median, most: f64, unit: &str) -> Target {
    let interval =
        if reached.count > 1 { format!(" [{:.0}, {:.0}]", reached.low, reached.high) } else { String::new() };
    Target {
        what,
        target: format!("at most {most} {unit}"),
        reached: format!("{:.1} {unit}{interval}", reached.value),
        verdict: below(reached, most),
    }
}

/// Whether a figure is below a limit, as far as its interval lets us say.
fn below(reached: Median, most: f64) -> &'static str {
    if reached.high <= most {
        "met"
    } else if reached.low > most {
        "MISSED"
    } else if reached.value <= most {
        "met, within noise"
    } else {
        "missed, within noise"
    }
}
