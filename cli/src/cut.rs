//! `netflow cut`: a part of a capture, by time or by connections, as a capture.
//!
//! In: a capture, two moments, a filter. Out: a capture of the sections and events between them, which first says again what
//! held at its beginning and states what is missing in it. Never here: how a part is found, and never a change to the input.

mod connections;

use std::io::Write;

use anyhow::bail;
use netflow_core::event::{Body, Event, Header, Loss};
use netflow_formats::capture::{CaptureWriter, Totals, WriteError, WriterOptions};

use crate::args::CutArgs;
use crate::input;
use crate::options;
use crate::outcome::Outcome;
use crate::output;
use crate::passage::{self, Part, Window};
use crate::units;
use connections::{Connections, Input};

pub(crate) fn run(args: &CutArgs) -> anyhow::Result<Outcome> {
    let name = input::name(&args.input);
    if output::is_same(&args.input, &args.out) {
        bail!("{name} would be replaced by a part of it; give another name");
    }
    let filter = args.filter.as_deref().map(options::filter).transpose()?;
    let mut input = Input::new(&args.input, filter.is_some())?;
    let mut connections =
        filter.as_ref().map(|filter| Connections::survey(&mut input, args.window, filter)).transpose()?;
    let capture = input.open()?;
    let mut window = Window::new(args.window);
    let mut is_lossy = false;
    let mut written = Written::default();
    output::write(&args.out, args.force, |out| {
        let mut sections = Sections { out: Some(out), writer: None, nothing: None, last_at: 0, written: &mut written };
        is_lossy = passage::read(capture, &args.input, &mut window, |part| match &mut connections {
            Some(connections) => connections.take(part, &mut |part| sections.take(part)),
            None => sections.take(part),
        })?;
        if let Some(connections) = &mut connections {
            connections.end(&mut |part| sections.take(part))?;
        }
        sections.finish()
    })?;
    let out = if input::is_std(&args.out) { "stdout".to_owned() } else { args.out.display().to_string() };
    if written.events == 0 {
        eprintln!("note: {out} is empty: {name} has no event of that time; `netflow info` tells which time it has");
    } else {
        let events = units::count(written.events, "event");
        let again = match written.again {
            0 if args.window.is_whole() => String::new(),
            again => {
                format!(", and before them {} that say what held at its beginning", units::count(again, "event"))
            }
        };
        let lost = if written.missing > 0 {
            format!("; at least {} missing, which it states", written.missing)
        } else {
            String::new()
        };
        eprintln!("{out}: {events}{again}{lost}");
    }
    Ok(if is_lossy { Outcome::Lossy } else { Outcome::Done })
}

/// What was written.
#[derive(Default)]
struct Written {
    events: u64,
    again: u64,
    missing: u64,
}

/// The sections of the new capture.
struct Sections<'a, 'b> {
    /// Where the next section goes; not here while one is written.
    out: Option<&'a mut dyn Write>,
    writer: Option<CaptureWriter<&'a mut dyn Write>>,
    /// The header of a capture without events.
    nothing: Option<Header>,
    last_at: u64,
    written: &'b mut Written,
}

impl Sections<'_, '_> {
    fn take(&mut self, part: Part<'_>) -> anyhow::Result<()> {
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

    fn finish(mut self) -> anyhow::Result<()> {
        if self.end()?.is_none()
            && let Some(header) = self.nothing.take()
        {
            self.begin(&header)?;
            self.end()?;
        }
        Ok(())
    }
}
