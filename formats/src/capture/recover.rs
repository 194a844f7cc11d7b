//! What is intact of a damaged capture, as a new capture.
//!
//! In: bytes. Out: a capture with an index and an end, of the same sections and of all events that can be read, and what
//! could not be saved. The new capture states it, too, so that nobody takes it for whole: a `loss` event stands in each
//! gap with the events that are missing there as `queue_full`; another one at the end of the section brings the sums up to
//! what the recorder stated in the blocks that are left, and up to the opens and closes that the remaining events lack.
//! Never here: guessing what was lost.

use std::io::{Read, Write};

use netflow_core::event::{Body, Event, Loss};
use netflow_core::law::{Law, Verdict};

use super::check::{Section, SectionCheck};
use super::error::{ReadError, WriteError};
use super::index::Totals;
use super::reader::CaptureReader;
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
    /// What was written.
    pub totals: Totals,
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
    mut output: W,
    options: WriterOptions,
    mut done: impl FnMut(Recovered),
) -> Result<(), RecoverError> {
    let mut reader = CaptureReader::salvage(input)?;
    reader.check_everything();
    let mut began = false;
    while let Some(mut section) = Section::next(&mut reader, &mut began)? {
        let mut saved = Saved::new(CaptureWriter::new(&mut output, reader.header(), options)?, reader.header().part);
        let mut told = 0;
        while let Some(event) = reader.next() {
            let event = event?;
            let cost = section.cost(&reader);
            saved.lose(event.at, Loss { queue_full: cost - told, ..Loss::default() })?;
            told = cost;
            section.push(&event);
            saved.push(&event)?;
        }
        let check = section.finish(&mut reader);
        saved.refused = saved.refused.saturating_add(check.passed_over.events);
        let (totals, refused) = saved.finish(check.least_cost - told, check.totals.losses, check.is_complete())?;
        done(Recovered { check, totals, refused });
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
}

impl<W: Write> Saved<W> {
    fn new(writer: CaptureWriter<W>, part: u32) -> Self {
        Self { writer, law: Law::of_part(part), stated: Loss::default(), refused: 0, last_at: 0 }
    }

    /// Writes an event that was read.
    fn push(&mut self, event: &Event) -> Result<(), WriteError> {
        match self.writer.push(event) {
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
        self.writer.push(&event)
    }

    /// Ends the section: `unsaved` is what is lost since the last event, `stated` what the recorder stated in all.
    fn finish(mut self, unsaved: u64, stated: Loss, is_complete: bool) -> Result<(Totals, u64), WriteError> {
        let mut missing = stated.since(self.stated);
        missing.queue_full = missing.queue_full.saturating_add(unsaved).saturating_add(self.refused);
        if !is_complete || self.refused > 0 {
            self.balance(&mut missing);
        }
        self.lose(self.last_at, missing)?;
        let (_, totals) = self.writer.finish()?;
        Ok((totals, self.refused))
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
