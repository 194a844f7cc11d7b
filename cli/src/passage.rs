//! Reading the part of captures that was asked for.
//!
//! In: a capture, and which time of it. Out: its sections one after the other, each as a header and events, beginning with
//! what says again what held then; and what is missing in that time. Never here: what the events mean, how a part is found
//! in a stream.
//!
//! What is before the part in its section is read all the same, for only there it is told what held when it began. What is
//! behind it, and sections that have nothing of it, are not read where the file's sections have indexes; the last one need
//! not, for it may still be written. Otherwise nobody knows whether another section follows: the rest is gone through
//! without being decoded.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use netflow_core::event::{Event, Header};
use netflow_core::excerpt::{Excerpt, Place, Span};
use netflow_formats::capture::{End, Layout, ReadError, SectionIndex, find_sections};

use crate::args::WindowArgs;
use crate::input::{self, Capture};
use crate::outcome::Usage;

/// What there is in the part.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// A section begins.
    Begin(&'a Header),
    /// An event that says again what held before.
    Again(&'a Event),
    /// An event.
    Event(&'a Event),
    /// So many events, at least, are missing in front of the next one.
    Missing(u64),
    /// Nothing of a section is in the part. Its header, as if it began there.
    Nothing(&'a Header),
}

/// The time that was asked for, of all captures of a command.
pub(crate) struct Window {
    args: WindowArgs,
    /// Known once the first capture's beginning is.
    span: Option<Span>,
}

impl Window {
    pub(crate) fn new(args: WindowArgs) -> Self {
        Self { args, span: args.is_whole().then(Span::default) }
    }

    /// Nothing is left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.args.is_whole()
    }

    /// The time, where the first capture begins with `at`.
    fn span(&mut self, header: &Header, at: u64) -> Result<Span, Usage> {
        if let Some(span) = self.span {
            return Ok(span);
        }
        let span = self.args.span(header.boot_time_ns.saturating_add(i64::try_from(at).unwrap_or(i64::MAX)))?;
        self.span = Some(span);
        Ok(span)
    }

    /// The sections of a file; `None` where nobody knows beforehand what is in them.
    fn sections(&mut self, path: &Path) -> Result<Option<Vec<Found>>, Usage> {
        if self.args.is_whole() || input::is_std(path) {
            return Ok(None);
        }
        let Some(Ok(Some(Layout { closed, open }))) = File::open(path).ok().map(find_sections) else {
            return Ok(None);
        };
        let closed = closed.into_iter().map(|section| {
            let without = if self.has_some_of(&section)? { None } else { Some(section.header) };
            Ok(Found { offset: section.offset, without, is_open: false })
        });
        let mut found = closed.collect::<Result<Vec<_>, _>>()?;
        found.extend(open.map(|offset| Found { offset, without: None, is_open: true }));
        Ok(Some(found))
    }

    fn has_some_of(&mut self, section: &SectionIndex) -> Result<bool, Usage> {
        let totals = &section.index.totals;
        let (Some(first), Some(last)) = (totals.first_at, totals.last_at) else { return Ok(true) };
        let span = self.span(&section.header, first)?;
        let utc = |at: u64| section.header.boot_time_ns.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        let is_outside =
            span.since.is_some_and(|since| utc(last) < since) || span.until.is_some_and(|until| utc(first) >= until);
        // A clock that was set makes other times of them.
        let was_set = totals.counts.get(CLOCK).is_none_or(|count| *count > 0);
        Ok(was_set || !is_outside)
    }
}

/// A section of a file whose sections are known.
struct Found {
    /// Where it begins: bytes from the start of the file.
    offset: u64,
    /// Its header, where it has nothing of the time that was asked for.
    without: Option<Header>,
    /// It was not closed.
    is_open: bool,
}

/// The place of `clock` among the kinds of event.
const CLOCK: usize = 9;

/// Reads all sections of a capture; true when something of it is missing, which is said on stderr.
pub(crate) fn read(
    mut capture: Capture,
    path: &Path,
    window: &mut Window,
    take: impl FnMut(Part<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    read_quietly(&mut capture, path, window, take)?;
    Ok(input::tell_damage(path, &capture))
}

/// The same, and what is missing is left for who reads it again to say.
pub(crate) fn read_quietly(
    capture: &mut Capture,
    path: &Path,
    window: &mut Window,
    mut take: impl FnMut(Part<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", input::name(path));
    match window.sections(path)? {
        Some(sections) => {
            let is_open = sections.last().is_some_and(|last| last.is_open);
            for Found { offset, without, .. } in &sections {
                if let Some(header) = without {
                    take(Part::Nothing(header))?;
                    continue;
                }
                if !go_to(capture, *offset).with_context(cannot)? {
                    break;
                }
                read_section(capture, path, window, &mut take)?;
            }
            // Of one that is read to its end, the end tells.
            if is_open && capture.end().is_none() {
                eprintln!("note: {} was not closed: its recording was killed, or it still runs", input::name(path));
            }
        }
        None => loop {
            read_section(capture, path, window, &mut take)?;
            // What is left of this section is not decoded.
            capture.skip_before(u64::MAX);
            if !capture.next_section().with_context(cannot)? {
                break;
            }
            capture.skip_before(0);
        },
    }
    Ok(())
}

/// Goes to a section, if it is not there; what lies before it is not read twice.
fn go_to(capture: &mut Capture, offset: u64) -> Result<bool, ReadError> {
    if offset == capture.section_offset() {
        return Ok(true);
    }
    if capture.end().is_some() && offset == capture.offset() {
        return capture.next_section();
    }
    capture.seek_section(offset)
}

fn read_section(
    capture: &mut Capture,
    path: &Path,
    window: &mut Window,
    take: &mut impl FnMut(Part<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut events = Events { path, cost: capture.least_cost(), capture };
    if window.args.is_whole() {
        take(Part::Begin(events.capture.header()))?;
        while let Some((event, missing)) = events.next()? {
            give(take, missing, Some(&event))?;
        }
        return give(take, events.missing(), None);
    }
    let Some((event, mut missing)) = events.next()? else {
        return take(Part::Nothing(events.capture.header()));
    };
    let header = events.capture.header();
    let mut excerpt = Excerpt::new(window.span(header, event.at)?, header);
    let mut next = Some(event);
    let mut began = false;
    while let Some(event) = next {
        match excerpt.push(&event) {
            Place::Before => {}
            Place::First => {
                began = true;
                take(Part::Begin(excerpt.header()))?;
                excerpt.restate(event.at).try_for_each(|event| take(Part::Again(&event)))?;
                give(take, missing, Some(&event))?;
            }
            Place::Within => give(take, missing, Some(&event))?,
            Place::Behind if began => return give(take, missing, None),
            Place::Behind => break,
        }
        (next, missing) = events.next()?.map_or((None, 0), |(event, missing)| (Some(event), missing));
    }
    if began { give(take, events.missing(), None) } else { take(Part::Nothing(excerpt.header())) }
}

fn give(
    take: &mut impl FnMut(Part<'_>) -> anyhow::Result<()>,
    missing: u64,
    event: Option<&Event>,
) -> anyhow::Result<()> {
    if missing > 0 {
        take(Part::Missing(missing))?;
    }
    event.map_or(Ok(()), |event| take(Part::Event(event)))
}

/// The events of a section.
struct Events<'a> {
    path: &'a Path,
    capture: &'a mut Capture,
    /// What damage had cost up to the last event, at least.
    cost: u64,
}

impl Events<'_> {
    /// The next event, and how many are missing in front of it.
    fn next(&mut self) -> anyhow::Result<Option<(Event, u64)>> {
        let Some(event) = self.capture.next() else { return Ok(None) };
        let event = event.with_context(|| format!("cannot read {}", input::name(self.path)))?;
        let cost = self.capture.least_cost();
        let before = std::mem::replace(&mut self.cost, cost);
        Ok(Some((event, cost - before)))
    }

    /// How many are missing at the end, behind the last one.
    fn missing(&self) -> u64 {
        let torn = match self.capture.end() {
            Some(End::Torn { events_lost, .. }) => events_lost.unwrap_or(1),
            Some(End::Clean | End::NotClosed) | None => 0,
        };
        (self.capture.least_cost() - self.cost).saturating_add(torn)
    }
}
