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
use netflow_core::sieve::Sieve;

use crate::args::RecordArgs;
use crate::cluster;
use crate::options;
use crate::outcome::Outcome;
use crate::progress::{Counters, Recording};
use crate::queue::{self, DRAIN_EVERY, Received};
use crate::recorder;
use crate::stop;
use child::Child;
use files::{Files, Recorded};
use summary::Talkers;

/// Who recorded, as the file says it.
pub(crate) const TOOL: &str = concat!("netflow ", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<Outcome> {
    let stop = stop::on_signals()?;
    let filter = args.filter.as_deref().map(options::recorded_filter).transpose()?;
    let mut cluster = args.k8s.as_deref().map(cluster::state).transpose()?;
    let place = files::reserve(args)?;
    let interval_ms = u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX);
    let command = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let comment = filter.as_ref().map_or(args.comment.clone(), |filter| filter.remark(&args.comment));
    let header = netflow_capture::host_header(TOOL, interval_ms, command, comment);
    let capture = recorder::start(&options::capture(args.ring_size, &args.beside, &header)?)?;
    let talkers = Talkers::new(&header);
    let sieve = filter.map(Sieve::new);
    let mut taker = Taker { files: Files::create(place, header, args.section)?, talkers, sieve, passed: Vec::new() };
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
                    taker.files.push(&Event { at, body })?;
                }
                batch.into_iter().try_for_each(|event| taker.take(event))?;
                limit = limit.or_else(|| reached(args, &taker.files));
            }
            Received::Nothing => {}
            Received::End => break,
        }
        let files = &mut taker.files;
        files.keep_fresh()?;
        if !ended && files.asks_for_a_snapshot() {
            drain.snapshot();
        }
        if let Some(bar) = &bar {
            bar.say(&Counters {
                events: files.events(),
                open: taker.talkers.open(),
                losses: taker.talkers.losses(),
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
    let (recorded, talkers) = taker.finish()?;
    drop(bar);
    summary::tell(args, &recorded, &counted, talkers, limit.as_deref());
    if let Some(failure) = status.flatten() {
        anyhow::bail!("{failure} (the recording is complete)");
    }
    let whole =
        recorded.losses.is_zero() && recorded.refused == 0 && counted.kernel.tcp.holds() && counted.kernel.udp.holds();
    Ok(if whole { Outcome::Done } else { Outcome::Lossy })
}

/// Who takes the events.
struct Taker {
    files: Files,
    talkers: Talkers,
    /// What lets some connections pass.
    sieve: Option<Sieve>,
    passed: Vec<Event>,
}

impl Taker {
    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        match &mut self.sieve {
            Some(sieve) => sieve.push(&event, &mut self.passed),
            None => self.passed.push(event),
        }
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        for event in self.passed.drain(..) {
            self.files.push(&event)?;
            self.talkers.push(&event);
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<(Recorded, Talkers)> {
        self.passed = self.sieve.take().map(Sieve::finish).unwrap_or_default();
        self.write()?;
        Ok((self.files.finish()?, self.talkers))
    }
}

/// Why no more may be recorded.
fn reached(args: &RecordArgs, files: &Files) -> Option<String> {
    if args.max_events.is_some_and(|most| files.events() >= most) {
        return Some("the number of events asked for is reached".to_owned());
    }
    args.max_size.is_some_and(|most| files.bytes() >= most).then(|| "the size asked for is reached".to_owned())
}
