//! What the recorder itself takes while connections come at a steady rate.
//!
//! In: a rate. Out: memory and processor time of its process, whether the rate was reached, and what it says it lost.
//! The connections are paced by the clock and not by their own ends: when one is late, the next is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::options::Options;
use crate::subject;
use crate::traffic::Ends;

/// Connections are made in batches of this length of time.
const BATCH: Duration = Duration::from_millis(2);

pub(crate) struct Recorder {
    rate: f64,
    seconds: f64,
    /// The longest time that a batch came too late.
    late: Duration,
    /// Part of one processor.
    pub(crate) cpu: f64,
    idle_rss: u64,
    rss: u64,
    /// Bytes at the most, since the process began.
    pub(crate) rss_peak: u64,
    /// What the process said at its end.
    lost: String,
}

pub(crate) fn measure(options: &Options, dir: &Path) -> anyhow::Result<Recorder> {
    eprintln!("recorder at {} connections a second, {} s ...", options.rate, options.recorder_seconds);
    let recorder = subject::recorder(&options.netflow).start(dir)?;
    let idle = memory(recorder.pid())?;
    let (began, before) = (Instant::now(), recorder.cpu()?);
    let late = connect(options.rate, Duration::from_secs(options.recorder_seconds))?;
    let (taken, seconds) = (recorder.cpu()?.saturating_sub(before), began.elapsed().as_secs_f64());
    let memory = memory(recorder.pid())?;
    let words = recorder.stop()?;
    let lost = words.split(';').find_map(|line| line.trim().strip_prefix("lost: ")).unwrap_or(&words).to_owned();
    Ok(Recorder {
        rate: (options.rate * options.recorder_seconds) as f64 / seconds,
        seconds,
        late,
        cpu: taken.as_secs_f64() / seconds,
        idle_rss: idle.0,
        rss: memory.0,
        rss_peak: memory.1,
        lost,
    })
}

/// So many connections a second, for so long.
fn connect(rate: u64, time: Duration) -> anyhow::Result<Duration> {
    let ends = Ends::listen()?;
    let (began, mut made, mut late) = (Instant::now(), 0, Duration::ZERO);
    let mut due = BATCH;
    loop {
        let wanted = rate * u64::try_from(due.min(time).as_micros()).unwrap_or(u64::MAX) / 1_000_000;
        while made < wanted {
            drop(ends.connect()?);
            made += 1;
        }
        if due >= time {
            return Ok(late);
        }
        late = late.max(began.elapsed().saturating_sub(due));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        due += BATCH;
    }
}

/// Resident bytes of a process, now and at the most.
fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the recorder is gone")?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let rss = kib("VmRSS:").context("no VmRSS")?;
    Ok((rss << 10, kib("VmHWM:").context("no VmHWM")? << 10))
}

impl Recorder {
    pub(crate) fn json(&self) -> Value {
        json!({
            "connections_a_second": self.rate, "seconds": self.seconds, "latest_batch_ms": self.late.as_secs_f64() * 1e3,
            "cpu_of_one_processor": self.cpu, "rss_bytes_idle": self.idle_rss, "rss_bytes": self.rss,
            "rss_bytes_peak": self.rss_peak, "lost": self.lost,
        })
    }

    pub(crate) fn print(&self) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "\nRecorder under {:.0} connections a second, both ends of each recorded, {:.0} s",
            self.rate, self.seconds
        );
        println!("  the latest batch of connections was {:.1} ms late", self.late.as_secs_f64() * 1e3);
        println!("  processor time    {:.1} % of one processor", self.cpu * 100.0);
        println!(
            "  resident memory   {:.1} MiB before, {:.1} MiB after, {:.1} MiB at the most",
            mib(self.idle_rss),
            mib(self.rss),
            mib(self.rss_peak)
        );
        println!("  lost: {}", self.lost);
    }
}
