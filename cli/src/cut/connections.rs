//! Some connections of a capture alone.
//!
//! In: a capture that can be read twice, a filter. Out: the parts of the capture with what these connections have in place of
//! each event. Never here: which connections a filter means, and what is written.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
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
pub(super) struct Input<'a> {
    path: &'a Path,
    /// What came from stdin.
    kept: Option<File>,
}

impl<'a> Input<'a> {
    /// The capture, which is read once only unless `twice`.
    pub(super) fn new(path: &'a Path, twice: bool) -> anyhow::Result<Self> {
        let kept = (twice && input::is_std(path)).then(keep_stdin).transpose()?;
        Ok(Self { path, kept })
    }

    pub(super) fn open(&mut self) -> anyhow::Result<Capture> {
        let Some(file) = &mut self.kept else { return input::open_capture(self.path) };
        let file = file.rewind().and_then(|()| file.try_clone()).context("cannot read what came from stdin again")?;
        CaptureReader::new(Box::new(BufReader::with_capacity(1 << 18, file)) as _).context("cannot read stdin")
    }
}

/// A file of stdin's content that is gone when it is closed.
fn keep_stdin() -> anyhow::Result<File> {
    let cannot = || format!("cannot keep stdin in {} to read it twice", std::env::temp_dir().display());
    let mut file = tempfile::tempfile().with_context(cannot)?;
    io::copy(&mut io::stdin().lock(), &mut file).with_context(cannot)?;
    Ok(file)
}

/// The connections that are meant.
pub(super) struct Connections<'a> {
    filter: &'a Filter,
    chosen: Chosen,
    /// What the capture had when the connections were chosen. A file that is still recorded has more by now.
    parts_left: u64,
    place: Vec<Event>,
}

impl<'a> Connections<'a> {
    /// Reads that time of the capture to learn which connections are meant.
    pub(super) fn survey(input: &mut Input<'_>, window: WindowArgs, filter: &'a Filter) -> anyhow::Result<Self> {
        let mut survey = Survey::new(filter.clone());
        let mut parts = 0;
        let clusters = Clusters::default();
        passage::read_quietly(&mut input.open()?, input.path, &mut Window::new(window), |part| {
            parts += 1;
            match part {
                Part::Begin(header) => survey.begin(header),
                Part::Again(event) | Part::Event(event) => {
                    clusters.learn(event, input.path, |cluster| survey.set_cluster(cluster));
                    survey.push(event);
                }
                Part::Missing(_) | Part::Nothing(_) => {}
            }
            Ok(())
        })?;
        Ok(Self { filter, chosen: Chosen::new(survey.finish()), parts_left: parts, place: Vec::new() })
    }

    /// Takes the next part of the second reading and gives what is in its place.
    pub(super) fn take(
        &mut self,
        part: Part<'_>,
        give: &mut dyn FnMut(Part<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
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
    pub(super) fn end(&mut self, give: &mut dyn FnMut(Part<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.chosen.end().map_or(Ok(()), |event| give(Part::Event(&event)))
    }

    fn replace(&mut self, event: &Event) -> &[Event] {
        self.place.clear();
        self.chosen.push(event, &mut self.place);
        &self.place
    }

    /// The header says what is in the capture.
    fn marked(&self, header: &Header) -> Header {
        Header { comment: self.filter.remark(&header.comment), ..header.clone() }
    }
}
