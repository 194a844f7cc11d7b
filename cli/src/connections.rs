//! Some connections of a capture alone.
//!
//! In: a capture that can be read twice, a filter, a number. Out: the parts of the capture with what these connections have in place of
//! each event. Never here: which connections a filter means, and what is written.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use anyhow::Context;
use netflow_core::choice::{Chosen, Survey};
use netflow_core::event::{Event, Header};
use netflow_core::filter::Filter;
use netflow_formats::capture::CaptureReader;

use crate::args::WindowArgs;
use crate::cluster::Clusters;
use crate::input::{self, Capture};
use crate::passage::{self, Part, Window};

/// A capture that can be opened more than once.
struct Original<'a> {
    path: &'a Path,
    /// What came from stdin.
    kept: Option<File>,
}

impl<'a> Original<'a> {
    /// The capture, which is read once only unless `twice`.
    fn new(path: &'a Path, twice: bool) -> anyhow::Result<Self> {
        let kept = (twice && input::is_std(path)).then(input::keep_stdin).transpose()?;
        Ok(Self { path, kept })
    }

    fn open(&mut self) -> anyhow::Result<Capture> {
        let Some(file) = &mut self.kept else { return input::open_capture(self.path) };
        let file = file.rewind().and_then(|()| file.try_clone()).context("cannot read what came from stdin again")?;
        CaptureReader::new(Box::new(BufReader::with_capacity(1 << 18, file)) as _).context("cannot read stdin")
    }
}

/// Which connections are meant.
#[derive(Clone, Copy)]
pub(crate) struct Meant<'a> {
    /// Those of which it holds; `None`: all.
    pub(crate) filter: Option<&'a Filter>,
    /// So many of them, in the order of their first events; `None`: all.
    pub(crate) most: Option<u64>,
}

impl Meant<'_> {
    fn is_all(self) -> bool {
        self.filter.is_none() && self.most.is_none()
    }
}

/// The part of a capture that is meant: some time of it, some connections.
pub(crate) struct Selected<'a> {
    path: &'a Path,
    window: WindowArgs,
    /// `None`: all.
    connections: Option<Connections<'a>>,
    capture: Capture,
}

impl<'a> Selected<'a> {
    /// Opens the capture; where some connections are meant, after reading it once.
    pub(crate) fn open(path: &'a Path, window: WindowArgs, meant: Meant<'a>) -> anyhow::Result<Self> {
        let mut original = Original::new(path, !meant.is_all())?;
        let connections = Connections::survey(&mut original, window, meant)?;
        Ok(Self { path, window, connections, capture: original.open()? })
    }

    /// Gives what there is; true when something is missing, which is said on stderr.
    pub(crate) fn read(self, give: &mut dyn FnMut(Part<'_>) -> anyhow::Result<()>) -> anyhow::Result<bool> {
        let Self { path, window, mut connections, capture } = self;
        let is_damaged = passage::read(capture, path, &mut Window::new(window), |part| match &mut connections {
            Some(connections) => connections.take(part, give),
            None => give(part),
        })?;
        if let Some(connections) = &mut connections {
            connections.end(give)?;
        }
        Ok(is_damaged)
    }
}

/// The connections that are meant.
struct Connections<'a> {
    filter: Option<&'a Filter>,
    chosen: Chosen,
    /// What the capture had when the connections were chosen. A file that is still recorded has more by now.
    parts_left: u64,
    place: Vec<Event>,
}

impl<'a> Connections<'a> {
    /// Reads that time of the capture to learn which connections are meant; `None` when all are.
    fn survey(original: &mut Original<'_>, window: WindowArgs, meant: Meant<'a>) -> anyhow::Result<Option<Self>> {
        if meant.is_all() {
            return Ok(None);
        }
        let mut survey = Survey::new(meant.filter.cloned());
        let mut parts = 0;
        let clusters = Clusters::default();
        passage::read_quietly(&mut original.open()?, original.path, &mut Window::new(window), |part| {
            parts += 1;
            match part {
                Part::Begin(header) => survey.begin(header),
                Part::Again(event) | Part::Event(event) => {
                    clusters.learn(event, original.path, |cluster| survey.set_cluster(cluster));
                    survey.push(event);
                }
                Part::Missing(_) | Part::Nothing(_) => {}
            }
            Ok(())
        })?;
        let mut choice = survey.finish();
        if let Some(most) = meant.most {
            choice.keep_first(most);
        }
        Ok(Some(Self { filter: meant.filter, chosen: Chosen::new(choice), parts_left: parts, place: Vec::new() }))
    }

    /// Takes the next part of the second reading and gives what is in its place.
    fn take(&mut self, part: Part<'_>, give: &mut dyn FnMut(Part<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(left) = self.parts_left.checked_sub(1) else { return Ok(()) };
        self.parts_left = left;
        match part {
            Part::Begin(header) => {
                self.end(give)?;
                self.chosen.begin(header);
                give(Part::Begin(&self.marked(header)))
            }
            Part::Nothing(header) => give(Part::Nothing(&self.marked(header))),
            Part::Missing(events) => give(Part::Missing(events)),
            Part::Again(event) => self.replace(event).iter().try_for_each(|event| give(Part::Again(event))),
            Part::Event(event) => self.replace(event).iter().try_for_each(|event| give(Part::Event(event))),
        }
    }

    /// The section is over.
    fn end(&mut self, give: &mut dyn FnMut(Part<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.chosen.end().map_or(Ok(()), |event| give(Part::Event(&event)))
    }

    fn replace(&mut self, event: &Event) -> &[Event] {
        self.place.clear();
        self.chosen.push(event, &mut self.place);
        &self.place
    }

    /// The header says what is in the capture.
    fn marked(&self, header: &Header) -> Header {
        let comment = self.filter.map_or_else(|| header.comment.clone(), |filter| filter.remark(&header.comment));
        Header { comment, ..header.clone() }
    }
}
