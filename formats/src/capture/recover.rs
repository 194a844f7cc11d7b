//! What is intact of a damaged capture, as a new capture.
//!
//! In: bytes. Out: a capture with an index and an end, of the same sections and of all events that can be read, and what
//! could not be saved. The new capture states it, too, so that nobody takes it for whole: a `loss` event stands in each
//! gap with the events that are missing there as `queue_full`; another one at the end of the section brings the sums up to
//! what the recorder stated in the blocks that are left, and up to the opens and closes that the remaining events lack.
//! Never here: guessing what was lost.
//!
//! Where it is asked for, a long section becomes several ([`Seams`]), which say first what held before them.

use std::io::{Read, Write};
use std::time::Duration;

use netflow_core::continuation::Continuation;
use netflow_core::event::{Body, Event, Header, Loss};
use netflow_core::law::{Law, Verdict};

use super::check::{Section, SectionCheck};
use super::error::{ReadError, WriteError};
use super::index::Totals;
use super::reader::CaptureReader;
use super::seams::Seams;
use super::writer::{CaptureWriter, WriterOptions};

/// A capture cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The damaged capture cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new capture cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What became of a section.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// What was found.
    pub check: SectionCheck,
    /// What was written, but for what is said again where a section was divided. Of a divided section blocks and open
    /// connections are those of the last piece.
    pub totals: Totals,
    /// Sections that were written: more than one where it was divided.
    pub sections: u64,
    /// Intact events that make no sense after what was read before them, or are of a kind that a later version added, and
    /// were left out.
    pub refused: u64,
}

impl Recovered {
    /// Everything that ever was in the section is in the new one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.check.is_complete() && self.refused == 0
    }
}

/// Writes what is intact of `input` to `output`, and calls `done` after each section.
///
/// # Errors
/// [`ReadError::NotACapture`] when nothing is intact; when the input or the output fails.
pub fn recover<R: Read, W: Write>(
    input: R,
    output: W,
    options: WriterOptions,
    done: impl FnMut(Recovered),
) -> Result<(), RecoverError> {
    recover_divided(input, output, options, Duration::ZERO, done)
}

/// The same; what is longer than `every` is divided into sections about so long. Those of which nobody knows when their
/// recording began are not divided, for the pieces could not tell that they belong together.
///
/// # Errors
/// As for [`recover`].
pub fn recover_divided<R: Read, W: Write>(
    input: R,
    mut output: W,
    options: WriterOptions,
    every: Duration,
    mut done: impl FnMut(Recovered),
) -> Result<(), RecoverError> {
    let mut reader = CaptureReader::salvage(input)?;
    reader.check_everything();
    let mut began = false;
    while let Some(mut section) = Section::next(&mut reader, &mut began, Law::of)? {
        let header = reader.header();
        let mut saved = Saved::new(CaptureWriter::new(&mut output, header, options)?, header, every);
        let mut told = 0;
        while let Some(event) = reader.next() {
            let event = event?;
            let cost = section.cost(&reader);
            saved.lose(event.at, Loss { queue_full: cost - told, ..Loss::default() })?;
            told = cost;
            section.push(&event);
            saved.push(&event)?;
        }
        let (check, _) = section.finish(&mut reader);
        saved.refused = saved.refused.saturating_add(check.passed_over.events);
        let is_complete = check.is_complete();
        let Written { totals, refused, sections } =
            saved.finish(check.least_cost - told, check.totals.losses, is_complete)?;
        done(Recovered { check, totals, sections, refused });
    }
    Ok(())
}

/// A section that is being written.
struct Saved<W: Write> {
    writer: CaptureWriter<W>,
    law: Law,
    /// The losses that the recorder stated in events that were read.
    stated: Loss,
    refused: u64,
    last_at: u64,
    /// `None` when it is never divided.
    division: Option<Division>,
    /// Of the pieces that were written.
    before: Before,
}

/// What was written in the sections before the last one.
#[derive(Default)]
struct Before {
    sections: u64,
    events: u64,
    /// In all sections, the last one too.
    said_again: u64,
    losses: Loss,
}

/// What a section knows that is divided.
struct Division {
    seams: Seams,
    continuation: Continuation,
    /// The next event belongs to another piece.
    is_due: bool,
    /// All that was read may say again what held before.
    is_again: bool,
    first_at: Option<u64>,
}

/// What became of it.
struct Written {
    totals: Totals,
    refused: u64,
    sections: u64,
}

impl Division {
    fn new(header: &Header, every: Duration) -> Option<Self> {
        let is_known = header.began_at > 0 && header.recording(None).is_some();
        let seams = Seams::new(every, header.interval_ms).filter(|_| is_known)?;
        // What goes on with something says first what held.
        let is_again = header.continues_from.is_some();
        let continuation = Continuation::new(header.clone());
        Some(Self { seams, continuation, is_due: false, is_again, first_at: None })
    }

    /// Takes an event that was written.
    fn learn(&mut self, event: &Event) {
        self.continuation.learn(event);
        let utc = self.continuation.utc();
        if self.is_again && self.first_at.is_none() {
            self.seams.begin(utc);
        }
        let is_first_moment = *self.first_at.get_or_insert(event.at) == event.at;
        if self.is_again && is_first_moment {
            self.is_again = !matches!(event.body, Body::Tick(_));
            self.seams.say_again(event);
            return;
        }
        self.is_again = false;
        self.is_due |= self.seams.is_ended_by(event, utc);
    }
}

impl<W: Write> Saved<W> {
    fn new(writer: CaptureWriter<W>, header: &Header, every: Duration) -> Self {
        Self {
            writer,
            law: Law::of(header),
            stated: Loss::default(),
            refused: 0,
            last_at: 0,
            division: Division::new(header, every),
            before: Before::default(),
        }
    }

    fn write(&mut self, event: &Event) -> Result<(), WriteError> {
        self.divide_if_due()?;
        self.writer.push(event)?;
        if let Some(division) = &mut self.division {
            division.learn(event);
        }
        Ok(())
    }

    /// Only where something follows: a piece that holds nothing else than what is said again is of no use.
    fn divide_if_due(&mut self) -> Result<(), WriteError> {
        let Some(division) = self.division.as_mut().filter(|division| division.is_due) else { return Ok(()) };
        division.is_due = false;
        division.continuation.begin_piece();
        division.seams.begin(division.continuation.utc());
        let ended = self.writer.next_section(division.continuation.header())?;
        self.before.sections += 1;
        self.before.events += ended.events;
        self.before.losses += ended.losses;
        for event in division.continuation.restate() {
            self.writer.push(&event)?;
            division.seams.say_again(&event);
            self.before.said_again += 1;
        }
        Ok(())
    }

    /// Writes an event that was read.
    fn push(&mut self, event: &Event) -> Result<(), WriteError> {
        match self.write(event) {
            Err(WriteError::Unintroduced { .. } | WriteError::Order { .. } | WriteError::TooLong { .. }) => {
                self.refused += 1;
                return Ok(());
            }
            pushed => pushed?,
        }
        if let Body::Loss(loss) = event.body {
            self.stated += loss;
        }
        self.law.push(event);
        self.last_at = event.at;
        Ok(())
    }

    /// Writes that something is missing here.
    fn lose(&mut self, at: u64, loss: Loss) -> Result<(), WriteError> {
        if loss.is_zero() {
            return Ok(());
        }
        let event = Event { at, body: Body::Loss(loss) };
        self.law.push(&event);
        self.write(&event)
    }

    /// Ends the section: `unsaved` is what is lost since the last event, `stated` what the recorder stated in all.
    fn finish(mut self, unsaved: u64, stated: Loss, is_complete: bool) -> Result<Written, WriteError> {
        let mut missing = stated.since(self.stated);
        missing.queue_full = missing.queue_full.saturating_add(unsaved).saturating_add(self.refused);
        if !is_complete || self.refused > 0 {
            self.balance(&mut missing);
        }
        self.lose(self.last_at, missing)?;
        let (_, mut totals) = self.writer.finish()?;
        totals.events = totals.events + self.before.events - self.before.said_again;
        totals.losses += self.before.losses;
        Ok(Written { totals, refused: self.refused, sections: self.before.sections + 1 })
    }

    /// Adds the opens and closes that the events lack.
    fn balance(&self, missing: &mut Loss) {
        let with = |missing: &Loss| {
            let mut losses = self.law.losses();
            losses += *missing;
            (losses, self.law.account(losses, true))
        };
        let (losses, account) = with(missing);
        missing.lost_opens += account.without_open.saturating_sub(losses.lost_opens);
        match with(missing).1.verdict {
            Verdict::Holds => {}
            Verdict::Uncounted(closes) => missing.lost_closes = missing.lost_closes.saturating_add(closes),
            // Their close is lost by the recorder's word, and the open by the damage.
            Verdict::Overcounted(opens) => missing.lost_opens = missing.lost_opens.saturating_add(opens),
        }
    }
}
