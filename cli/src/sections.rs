//! A capture written from parts of another, section by section.
//!
//! In: [`Part`]s. Out: a capture with an index, which states as a loss what is missing in it. Never here: where the parts
//! come from, what becomes of their events.

use std::io::Write;

use netflow_core::event::{Body, Event, Header, Loss};
use netflow_formats::capture::{CaptureWriter, Totals, WriteError, WriterOptions};

use crate::passage::Part;

/// What was written.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) events: u64,
    /// Those before them that say again what held.
    pub(crate) again: u64,
    pub(crate) missing: u64,
}

impl Written {
    /// What is to be said of what is missing; empty when nothing is.
    pub(crate) fn lost(&self) -> String {
        match self.missing {
            0 => String::new(),
            missing => format!("; at least {missing} missing, which it states"),
        }
    }
}

/// The sections of the new capture.
pub(crate) struct Sections<'a> {
    /// Where the next section goes; not here while one is written.
    out: Option<&'a mut dyn Write>,
    writer: Option<CaptureWriter<&'a mut dyn Write>>,
    /// The header of a capture without events.
    nothing: Option<Header>,
    last_at: u64,
    written: Written,
}

impl<'a> Sections<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out: Some(out), writer: None, nothing: None, last_at: 0, written: Written::default() }
    }

    pub(crate) fn take(&mut self, part: Part<'_>) -> anyhow::Result<()> {
        match part {
            Part::Begin(header) => self.begin(header)?,
            Part::Again(event) => {
                self.written.again += 1;
                self.push(event)?;
            }
            Part::Event(event) => {
                self.written.events += 1;
                self.push(event)?;
            }
            Part::Missing(events) => self.miss(events)?,
            // Where the time lies within a section, that one's header says where.
            Part::Nothing(header) => {
                if self.nothing.is_none() || header.continues_from.is_some() {
                    self.nothing = Some(header.clone());
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, header: &Header) -> Result<(), WriteError> {
        self.end()?;
        if let Some(out) = self.out.take() {
            self.writer = Some(CaptureWriter::new(out, header, WriterOptions::compact())?);
            self.last_at = 0;
        }
        Ok(())
    }

    fn push(&mut self, event: &Event) -> Result<(), WriteError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.push(event) {
            // An intact event that makes no sense: only damage, or a program of another, makes such.
            Err(WriteError::Unintroduced { .. } | WriteError::Order { .. } | WriteError::TooLong { .. }) => {
                self.miss(1)
            }
            pushed => {
                self.last_at = event.at;
                pushed
            }
        }
    }

    /// States that so many events are missing here.
    fn miss(&mut self, events: u64) -> Result<(), WriteError> {
        self.written.missing = self.written.missing.saturating_add(events);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.push(&Event { at: self.last_at, body: Body::Loss(Loss { queue_full: events, ..Loss::default() }) })
    }

    fn end(&mut self) -> Result<Option<Totals>, WriteError> {
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let (out, totals) = writer.finish()?;
        self.out = Some(out);
        Ok(Some(totals))
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<Written> {
        if self.end()?.is_none()
            && let Some(header) = self.nothing.take()
        {
            self.begin(&header)?;
            self.end()?;
        }
        Ok(self.written)
    }
}
