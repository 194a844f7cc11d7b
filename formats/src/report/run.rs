//! From a source of events to reports, in one pass.
//!
//! In: a capture, or events as JSON Lines, and what to report. Out: one report for each. Never here: parts of captures by
//! time, and what to do about damage: the reader that was given lists it.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::sync::Arc;

use netflow_core::batch::Block;
use netflow_core::event::{Body, Event, Header};
use netflow_core::k8s::Cluster;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Report;

use crate::capture::{CaptureReader, Columns, Field, ReadError, Selection};
use crate::jsonl::{ImportError, Importer};
use crate::k8s;

/// Events could not be turned into a report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(#[from] ReadError),
    /// The events cannot be read.
    #[error(transparent)]
    Events(#[from] ImportError),
    /// An event holds a state of a cluster that cannot be read.
    #[error("the cluster's state at {at} ns since boot cannot be read: {source}")]
    Cluster {
        /// When the event was.
        at: u64,
        /// What is wrong with it.
        source: k8s::ReadError,
    },
}

/// The report on all sections of a capture. What is damaged is left out and listed by the reader
/// ([`damage`](CaptureReader::damage), [`end`](CaptureReader::end)).
///
/// # Errors
/// When the input fails, or a state of a cluster in it cannot be read.
pub fn report<R: Read>(capture: &mut CaptureReader<R>, options: ReportOptions) -> Result<Report, RunError> {
    reports(capture, [options]).map(|mut reports| reports.remove(0))
}

/// Several reports on all sections of a capture, which is read once.
///
/// # Errors
/// As [`report`].
pub fn reports<R: Read>(
    capture: &mut CaptureReader<R>,
    options: impl IntoIterator<Item = ReportOptions>,
) -> Result<Vec<Report>, RunError> {
    let mut run = Run::new(options);
    // The pipelines keep blocks for a moment: who is back first is filled again.
    let mut kept: VecDeque<Arc<Columns>> = VecDeque::new();
    let measured = Selection::of(&[Field::Rtt, Field::RttVar]);
    loop {
        run.begin(capture.header());
        loop {
            let is_back = kept.front().is_some_and(|first| Arc::strong_count(first) == 1);
            let spare = if is_back { kept.pop_front().and_then(Arc::into_inner) } else { None };
            let Some(columns) = capture.next_batch(measured, spare.unwrap_or_default())? else { break };
            let columns = Arc::new(columns);
            kept.push_back(Arc::clone(&columns));
            run.push_block(&(columns as Arc<dyn Block>))?;
        }
        for event in capture.by_ref() {
            run.push(&event?)?;
        }
        if !capture.next_section()? {
            return Ok(run.finish());
        }
    }
}

/// Several reports on events as JSON Lines.
///
/// # Errors
/// When a line is not understood, or a state of a cluster cannot be read.
pub fn reports_on_events<R: BufRead>(
    events: &mut Importer<R>,
    options: impl IntoIterator<Item = ReportOptions>,
) -> Result<Vec<Report>, RunError> {
    let mut run = Run::new(options);
    loop {
        run.begin(events.header());
        for event in events.by_ref() {
            run.push(&event?)?;
        }
        if !events.next_section()? {
            return Ok(run.finish());
        }
    }
}

/// Pipelines that get the same events.
struct Run(Vec<Pipeline>);

impl Run {
    fn new(options: impl IntoIterator<Item = ReportOptions>) -> Self {
        Self(options.into_iter().map(Pipeline::new).collect())
    }

    fn begin(&mut self, header: &Header) {
        self.0.iter_mut().for_each(|pipeline| pipeline.begin(header));
    }

    fn push(&mut self, event: &Event) -> Result<(), RunError> {
        if let Body::K8s(cluster) = &event.body {
            let objects = k8s::read(&cluster.state).map_err(|source| RunError::Cluster { at: event.at, source })?;
            let cluster = Arc::new(Cluster::new(&objects));
            self.0.iter_mut().for_each(|pipeline| pipeline.set_cluster(Arc::clone(&cluster)));
        }
        self.0.iter_mut().for_each(|pipeline| pipeline.push(event));
        Ok(())
    }

    fn push_block(&mut self, block: &Arc<dyn Block>) -> Result<(), RunError> {
        let batch = block.batch();
        if batch.others.iter().flatten().any(|body| matches!(body, Body::K8s(_))) {
            return batch.events().try_for_each(|event| self.push(&event));
        }
        self.0.iter_mut().for_each(|pipeline| pipeline.push_block(block));
        Ok(())
    }

    fn finish(self) -> Vec<Report> {
        self.0.into_iter().map(Pipeline::finish).collect()
    }
}
