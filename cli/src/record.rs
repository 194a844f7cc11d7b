//! `netflow record`: from the kernel into a file.
//!
//! Two threads: one drains the kernel's buffers on time whatever happens, the other writes. Between them a bounded queue;
//! what does not fit is dropped and counted, so that a slow disk costs events that are known to be missing rather than an
//! unknown number in the kernel.

mod child;
mod file;
mod files;
pub(crate) mod rotation;
mod series;
mod summary;

use std::sync::atomic::Ordering;
use std::time::Instant;

use netflow_core::event::Event;

use crate::args::RecordArgs;
use crate::cluster;
use crate::options;
use crate::outcome::Outcome;
use crate::progress::{Counters, Recording};
use crate::queue::{self, DRAIN_EVERY, Received};
use crate::recorder;
use crate::stop;
use child::Child;
use files::Files;
use summary::Talkers;

/// Who recorded, as the file says it.
pub(crate) const TOOL: &str = concat!("netflow ", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<Outcome> {
    let stop = stop::on_signals()?;
    let mut cluster = args.k8s.as_deref().map(cluster::state).transpose()?;
    let place = files::reserve(args)?;
    let interval_ms = u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX);
    let command = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let header = netflow_capture::host_header(TOOL, interval_ms, command, args.comment.clone());
    let capture = recorder::start(&options::capture(args.ring_size, &args.beside, &header)?)?;
    let mut talkers = Talkers::new(&header);
    let mut files = Files::create(place, header)?;
    let child = Child::start(&args.command)?;
    recorder::give_up(child.is_some(), args.rotate.is_some());
    let (events, drain) = queue::start(capture, args.interval);

    // A command has the terminal for itself.
    let bar = args.command.is_empty().then(|| Recording::new(args.duration));
    let began = Instant::now();
    let mut child = child;
    let mut limit = None;
    let mut ended = false;
    loop {
        match events.next(DRAIN_EVERY) {
            Received::Events(batch) => {
                // It stands before everything else, at the moment of the first event.
                if let Some(at) = batch.first().map(|event| event.at)
                    && let Some(body) = cluster.take()
                {
                    files.push(&Event { at, body })?;
                }
                write(&mut files, &mut talkers, &batch)?;
                limit = limit.or_else(|| reached(args, &files));
            }
            Received::Nothing => {}
            Received::End => break,
        }
        files.keep_fresh()?;
        if !ended && files.asks_for_a_snapshot() {
            drain.snapshot();
        }
        if let Some(bar) = &bar {
            bar.say(&Counters {
                events: files.events(),
                open: talkers.open(),
                losses: talkers.losses(),
                bytes: files.bytes(),
                elapsed: began.elapsed(),
            });
        }
        let over = stop.load(Ordering::Relaxed)
            || limit.is_some()
            || args.duration.is_some_and(|all| began.elapsed() >= all)
            || child.as_mut().is_some_and(Child::has_ended);
        if over && !ended {
            ended = true;
            files.stay();
            drain.stop();
        }
    }
    let counted = drain.join()?;
    let status = child.map(Child::finish).transpose()?;
    let recorded = files.finish()?;
    drop(bar);
    summary::tell(args, &recorded, &counted, talkers, limit.as_deref());
    if let Some(failure) = status.flatten() {
        anyhow::bail!("{failure} (the recording is complete)");
    }
    let whole =
        recorded.losses.is_zero() && recorded.refused == 0 && counted.kernel.tcp.holds() && counted.kernel.udp.holds();
    Ok(if whole { Outcome::Done } else { Outcome::Lossy })
}

fn write(files: &mut Files, talkers: &mut Talkers, batch: &[Event]) -> anyhow::Result<()> {
    for event in batch {
        files.push(event)?;
        talkers.push(event);
    }
    Ok(())
}

/// Why no more may be recorded.
fn reached(args: &RecordArgs, files: &Files) -> Option<String> {
    if args.max_events.is_some_and(|most| files.events() >= most) {
        return Some("the number of events asked for is reached".to_owned());
    }
    args.max_size.is_some_and(|most| files.bytes() >= most).then(|| "the size asked for is reached".to_owned())
}
