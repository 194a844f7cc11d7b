//! How long a snapshot of many sockets takes.
//!
//! In: a number of connected pairs, all in this process. Out: milliseconds of the library's own call, with the search for
//! owners among all descriptors and without, by the clock and by the processor time of the thread that calls.

use std::time::{Duration, Instant};

use anyhow::Context;
use netflow_capture::{Capture, Options as CaptureOptions};
use netflow_core::event::{Body, Event};
use serde_json::{Value, json};

use crate::options::Options;
use crate::sample::Median;
use crate::sys;
use crate::traffic::Ends;

/// Snapshots of each kind.
const SNAPSHOTS: usize = 11;

pub(crate) struct Snapshot {
    pub(crate) sockets: usize,
    /// A snapshot that looks for owners, as a recording's do.
    pub(crate) with_owners: Taken,
    /// And one that does not.
    without_owners: Taken,
    /// All of them reached every connection.
    complete: bool,
}

/// Milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: Median,
    pub(crate) cpu: Median,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Snapshot> {
    eprintln!("snapshot of {} sockets ...", 2 * options.socket_pairs);
    let descriptors = u64::from(options.socket_pairs) * 2 + 1000;
    sys::allow_descriptors(descriptors).context("cannot have as many descriptors")?;
    let ends = Ends::listen()?;
    let mut pairs = Vec::new();
    for _ in 0..options.socket_pairs {
        pairs.push(ends.connect()?);
    }
    let mut complete = true;
    let mut sockets = 0;
    let mut measure = |owners_every| -> anyhow::Result<Taken> {
        let mut capture = Capture::start(&CaptureOptions { owners_every, ..CaptureOptions::default() })?;
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        let mut events = Vec::new();
        capture.poll(&mut events)?;
        for _ in 0..SNAPSHOTS {
            events.clear();
            let (began, before) = (Instant::now(), sys::thread_time());
            capture.snapshot(&mut events)?;
            wall.push(began.elapsed().as_secs_f64() * 1e3);
            cpu.push(sys::thread_time().saturating_sub(before).as_secs_f64() * 1e3);
            sockets = events.iter().filter(|event| matches!(event.body, Body::Sample(_))).count();
            complete &= matches!(events.last(), Some(Event { body: Body::Tick(tick), .. }) if tick.complete);
        }
        capture.stop(&mut Vec::new())?;
        let wall = Median::of(wall).context("no snapshot")?;
        Ok(Taken { wall, cpu: Median::of(cpu).context("no snapshot")? })
    };
    let with_owners = measure(Duration::ZERO)?;
    let without_owners = measure(Duration::MAX)?;
    Ok(Snapshot { sockets, with_owners, without_owners, complete })
}

impl Snapshot {
    pub(crate) fn json(&self) -> Value {
        json!({
            "sockets": self.sockets, "complete": self.complete,
            "ms": self.with_owners.wall.json(), "cpu_ms": self.with_owners.cpu.json(),
            "ms_without_owners": self.without_owners.wall.json(), "cpu_ms_without_owners": self.without_owners.cpu.json(),
        })
    }

    pub(crate) fn print(&self) {
        println!("\nSnapshot of {} sockets (median of {SNAPSHOTS})", self.sockets);
        let ms = |ms: Median| format!("{:.1} ms [{:.1}, {:.1}]", ms.value, ms.low, ms.high);
        let line = |what: &str, taken: Taken| {
            println!("  {what:<34}{:<26}processor time {}", ms(taken.wall), ms(taken.cpu));
        };
        line("with the search for owners", self.with_owners);
        line("without", self.without_owners);
        if !self.complete {
            println!("  ! not every snapshot was complete");
        }
    }
}
