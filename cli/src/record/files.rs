//! The file or the files of one recording.
//!
//! In: events, the time. Out: one capture, or with `--rotate` one after the other: each ends behind a snapshot, and the next
//! says first what holds, so that each can be read alone and nothing is counted twice when all are. Never here: when a file
//! is to end, what it is called.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netflow_core::continuation::Continuation;
use netflow_core::event::{Body, Event, Header, Loss};
use netflow_formats::capture::{Seams, Totals};

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
    let rotating = Rotating { series, schedule: Schedule::new(rotation, now), keep: args.keep };
    Ok(Place { first, rotating: Some(rotating) })
}

/// The files that are being written.
pub(super) struct Files {
    file: CaptureFile,
    /// `None` for a recording that is one section whatever happens.
    continuation: Option<Continuation>,
    seams: Option<Seams>,
    /// The next event belongs to another section.
    is_section_over: bool,
    rotating: Option<Rotating>,
    /// In the sections before.
    before: Recorded,
}

impl Files {
    /// The recording begins. Its files have sections of about this length; of none, one each.
    pub(super) fn create(place: Place, header: Header, section: Duration) -> anyhow::Result<Self> {
        let file = CaptureFile::create(place.first, &header)?;
        let seams = Seams::new(section, header.interval_ms);
        let goes_on = seams.is_some() || place.rotating.is_some();
        let continuation = goes_on.then(|| Continuation::new(header));
        let (rotating, before) = (place.rotating, Recorded::default());
        let files = Self { file, continuation, seams, is_section_over: false, rotating, before };
        files.clear_out();
        Ok(files)
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: &Event) -> anyhow::Result<()> {
        // Only now, so that no section holds nothing but what is said again.
        if std::mem::take(&mut self.is_section_over) {
            self.go_on(None)?;
        }
        let is_taken = self.file.push(event)?;
        let Some(continuation) = self.continuation.as_mut().filter(|_| is_taken) else { return Ok(()) };
        continuation.learn(event);
        let utc = continuation.utc();
        if let (Body::Tick(tick), Some(rotating)) = (&event.body, &mut self.rotating)
            && rotating.schedule.is_ended_by(utc, tick.complete)
        {
            return self.rotate();
        }
        if let Some(seams) = &mut self.seams {
            // A file that ends then anyway needs no section for the last moment.
            self.is_section_over = seams.is_ended_by(event, utc)
                && self
                    .rotating
                    .as_ref()
                    .zip(seams.end())
                    .is_none_or(|(rotating, end)| !rotating.schedule.is_over(end));
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
        self.before.events + self.file.section_events()
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.before.bytes + self.file.bytes()
    }

    /// Closes the last file.
    pub(super) fn finish(mut self) -> anyhow::Result<Recorded> {
        end_file(self.file, &mut self.before)?;
        Ok(self.before)
    }

    /// Goes on in a new file, behind a snapshot.
    fn rotate(&mut self) -> anyhow::Result<()> {
        let Some(rotating) = &mut self.rotating else { return Ok(()) };
        // Whatever comes of the next file, this one has everything.
        self.file.seal()?;
        let now = utc_now();
        let reserved = rotating.series.reserve(rotating.schedule.beginning(now))?;
        self.go_on(Some(reserved))?;
        if let Some(rotating) = &mut self.rotating {
            rotating.schedule.begin(now, self.file.bytes());
        }
        self.clear_out();
        Ok(())
    }

    /// Goes on in a new section: of that file, or of the same.
    fn go_on(&mut self, next: Option<Reserved>) -> anyhow::Result<()> {
        let Some(continuation) = &mut self.continuation else { return Ok(()) };
        continuation.begin_part();
        match next {
            Some(reserved) => {
                let next = CaptureFile::create(reserved, continuation.header())?;
                end_file(std::mem::replace(&mut self.file, next), &mut self.before)?;
            }
            None => end_section(&self.file.next_section(continuation.header())?, &mut self.before),
        }
        if let Some(seams) = &mut self.seams {
            seams.begin(continuation.utc());
        }
        for event in continuation.restate() {
            self.file.push(&event)?;
            if let Some(seams) = &mut self.seams {
                seams.say_again(&event);
            }
        }
        self.file.seal()
    }

    fn clear_out(&self) {
        if let Some(Rotating { series, keep: Some(keep), .. }) = &self.rotating {
            series.clear_out(*keep);
        }
    }
}

/// Closes a file and counts what is in it.
fn end_file(file: CaptureFile, recorded: &mut Recorded) -> anyhow::Result<()> {
    recorded.files += 1;
    recorded.bytes += file.bytes();
    recorded.refused += file.refused();
    end_section(&file.finish()?, recorded);
    Ok(())
}

/// Counts what is in a section.
fn end_section(totals: &Totals, recorded: &mut Recorded) {
    recorded.events += totals.events;
    recorded.losses += totals.losses;
}

/// Nanoseconds since 1970 by the wall clock.
fn utc_now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or_else(|error| -signed(error.duration()), signed)
}

fn signed(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
