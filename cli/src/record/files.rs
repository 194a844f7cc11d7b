//! The file or the files of one recording.
//!
//! In: events, the time. Out: one capture, or with `--rotate` one after the other: each ends behind a snapshot, and the next
//! says first what holds, so that each can be read alone and nothing is counted twice when all are. Never here: when a file
//! is to end, what it is called.

use std::time::{SystemTime, UNIX_EPOCH};

use netflow_core::carry::Carry;
use netflow_core::event::{Body, Event, Header, Loss};

use super::file::{self, CaptureFile, Reserved};
use super::rotation::{Keep, Schedule};
use super::series::Series;
use crate::args::RecordArgs;
use crate::input::is_std;
use crate::outcome::Usage;

/// Where a recording goes: known to be writable, and nothing is left behind when the recording does not begin.
pub(super) struct Place {
    first: Reserved,
    rotating: Option<Rotating>,
}

/// What a recording knows that has several files.
struct Rotating {
    series: Series,
    schedule: Schedule,
    keep: Option<Keep>,
    carry: Carry,
}

/// What was recorded, in all files together.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Files that were written; some of them may be removed by now.
    pub(super) files: u64,
    pub(super) events: u64,
    pub(super) losses: Loss,
    /// Events that were left out because they made no sense in the stream.
    pub(super) refused: u64,
    bytes: u64,
}

/// Makes sure that the recording can be written before anything else is done.
pub(super) fn reserve(args: &RecordArgs) -> anyhow::Result<Place> {
    let Some(rotation) = args.rotate else {
        return Ok(Place { first: file::reserve(&args.out, args.force)?, rotating: None });
    };
    if is_std(&args.out) {
        return Err(Usage("--rotate makes several files, and stdout is one: give the name of a file".to_owned()).into());
    }
    let now = utc_now();
    let mut series = Series::new(&args.out)?;
    let first = series.reserve(now)?;
    let rotating = Rotating { series, schedule: Schedule::new(rotation, now), keep: args.keep, carry: Carry::new() };
    Ok(Place { first, rotating: Some(rotating) })
}

/// The files that are being written.
pub(super) struct Files {
    file: CaptureFile,
    header: Header,
    rotating: Option<Rotating>,
    /// In the files before.
    before: Recorded,
}

impl Files {
    /// The recording begins.
    pub(super) fn create(place: Place, header: Header) -> anyhow::Result<Self> {
        let file = CaptureFile::create(place.first, &header)?;
        let files = Self { file, header, rotating: place.rotating, before: Recorded::default() };
        files.clear_out();
        Ok(files)
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: &Event) -> anyhow::Result<()> {
        let is_taken = self.file.push(event)?;
        let Some(rotating) = self.rotating.as_mut().filter(|_| is_taken) else { return Ok(()) };
        rotating.carry.learn(event);
        match &event.body {
            Body::Clock(clock) => self.header.boot_time_ns = clock.boot_time_ns,
            Body::Tick(tick) => {
                let at = i128::from(self.header.boot_time_ns) + i128::from(event.at);
                if rotating.schedule.is_ended_by(at, tick.complete) {
                    self.rotate(event.at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// True when a snapshot is to be taken, because the file is to end.
    pub(super) fn asks_for_a_snapshot(&mut self) -> bool {
        let bytes = self.file.bytes();
        self.rotating.as_mut().is_some_and(|rotating| rotating.schedule.asks(utc_now(), bytes))
    }

    /// The recording ends: the file that is being written is the last one.
    pub(super) fn stay(&mut self) {
        if let Some(rotating) = &mut self.rotating {
            rotating.schedule.stay();
        }
    }

    /// Writes what has waited for long enough.
    pub(super) fn keep_fresh(&mut self) -> anyhow::Result<()> {
        self.file.keep_fresh()
    }

    /// Events so far.
    pub(super) fn events(&self) -> u64 {
        self.before.events + self.file.events()
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.before.bytes + self.file.bytes()
    }

    /// Closes the last file.
    pub(super) fn finish(mut self) -> anyhow::Result<Recorded> {
        end(self.file, &mut self.before)?;
        Ok(self.before)
    }

    /// Goes on in a new file behind a snapshot that was taken at `at`.
    fn rotate(&mut self, at: u64) -> anyhow::Result<()> {
        let Some(rotating) = &mut self.rotating else { return Ok(()) };
        // Whatever comes of the next file, this one has everything.
        self.file.seal()?;
        let now = utc_now();
        let reserved = rotating.series.reserve(rotating.schedule.beginning(now))?;
        self.header.part = self.header.part.saturating_add(1);
        self.header.continues_from = Some(at);
        let next = CaptureFile::create(reserved, &self.header)?;
        end(std::mem::replace(&mut self.file, next), &mut self.before)?;
        for event in rotating.carry.restate(at) {
            self.file.push(&event)?;
        }
        self.file.seal()?;
        rotating.schedule.begin(now, self.file.bytes());
        self.clear_out();
        Ok(())
    }

    fn clear_out(&self) {
        if let Some(Rotating { series, keep: Some(keep), .. }) = &self.rotating {
            series.clear_out(*keep);
        }
    }
}

/// Closes a file and counts what is in it.
fn end(file: CaptureFile, recorded: &mut Recorded) -> anyhow::Result<()> {
    recorded.files += 1;
    recorded.bytes += file.bytes();
    recorded.refused += file.refused();
    let totals = file.finish()?;
    recorded.events += totals.events;
    recorded.losses += totals.losses;
    Ok(())
}

/// Nanoseconds since 1970 by the wall clock.
fn utc_now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or_else(|error| -signed(error.duration()), signed)
}

fn signed(duration: std::time::Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
