//! The stream of those connections alone of which a filter holds.
//!
//! In: a header and events, twice. The first time a [`Survey`] learns which connections are meant, for what decides it may be
//! known late. The second time [`Chosen`] says what the stream of these has in place of each event. Never here: files, and
//! what the filter asks.
//!
//! A report on the new stream is a report with that filter on the old one, rows, windows and points:
//!
//! * What says nothing of a connection stays: processes, names, translations, listening sockets, the cluster, ticks, clocks,
//!   losses. Losses are those of the whole: nobody knows of whom they were.
//! * The new stream begins and ends when the old one does. Where the event there is left out, a `loss` of nothing stands.
//! * The end of a connection that is left out ends its translation, which another with the same ends would inherit otherwise.
//!
//! Memory is bounded by the connections that live, and one byte for each that ever was.

use std::sync::Arc;

use crate::column::Tag;
use crate::event::{Body, Event, Header, Loss, Nat};
use crate::filter::Filter;
use crate::k8s::Cluster;
use crate::pipeline::{Pipeline, ReportOptions};

/// Which connections are meant: by the number of the recording among those of the stream, and of the connection in it.
#[derive(Debug, Default, Clone)]
pub struct Choice(Vec<Vec<bool>>);

impl Choice {
    /// Leaves the first `most` of them, in the order in which they were introduced.
    pub fn keep_first(&mut self, most: u64) {
        let mut left = most;
        for is_chosen in self.0.iter_mut().flatten().filter(|is_chosen| **is_chosen) {
            *is_chosen = left > 0;
            left = left.saturating_sub(1);
        }
    }

    pub(crate) fn set(&mut self, (recording, connection): (usize, usize), is_chosen: bool) {
        if self.0.len() <= recording {
            self.0.resize_with(recording + 1, Vec::new);
        }
        let connections = &mut self.0[recording];
        if connections.len() <= connection {
            connections.resize(connection + 1, false);
        }
        connections[connection] = is_chosen;
    }

    pub(crate) fn has(&self, (recording, connection): (usize, usize)) -> bool {
        self.0.get(recording).and_then(|connections| connections.get(connection)).is_some_and(|chosen| *chosen)
    }
}

/// What the pipeline notes about connections beside their sums.
#[derive(Debug, Default)]
pub(crate) enum Note {
    #[default]
    Nothing,
    /// Of which the filter holds.
    Chosen(Choice),
    /// The translations of those that are not chosen, when they end.
    Released(Choice, Vec<Nat>),
}

/// The first reading.
#[derive(Debug)]
pub struct Survey {
    pipeline: Pipeline,
}

impl Survey {
    /// Nothing seen yet; without a filter, every connection is meant.
    #[must_use]
    pub fn new(filter: Option<Filter>) -> Self {
        let options = ReportOptions { only: filter, ..few_groups() };
        Self { pipeline: Pipeline::noting(options, Note::Chosen(Choice::default())) }
    }

    /// A capture begins.
    pub fn begin(&mut self, header: &Header) {
        self.pipeline.begin(header);
    }

    /// The Kubernetes cluster that the host of the capture that began last belongs to.
    pub fn set_cluster(&mut self, cluster: Arc<Cluster>) {
        self.pipeline.set_cluster(cluster);
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        self.pipeline.push(event);
    }

    /// Which connections are meant.
    #[must_use]
    pub fn finish(self) -> Choice {
        match self.pipeline.into_note() {
            Note::Chosen(choice) => choice,
            Note::Nothing | Note::Released(..) => Choice::default(),
        }
    }
}

/// The second reading, of the same stream.
#[derive(Debug)]
pub struct Chosen {
    pipeline: Pipeline,
    choice: Choice,
    /// The capture began with what was known.
    said_again: bool,
    /// When the last event of the capture was, whether anything is in its place or not.
    last_at: Option<u64>,
    /// When the last one was with something in its place.
    given_at: Option<u64>,
}

impl Chosen {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(choice: Choice) -> Self {
        let note = Note::Released(choice.clone(), Vec::new());
        Self {
            pipeline: Pipeline::noting(few_groups(), note),
            choice,
            said_again: false,
            last_at: None,
            given_at: None,
        }
    }

    /// A capture begins, after [`Chosen::end`] of the one before.
    pub fn begin(&mut self, header: &Header) {
        self.pipeline.begin(header);
        (self.said_again, self.last_at, self.given_at) = (false, None, None);
    }

    /// Takes the next event, and appends what stands in its place.
    pub fn push(&mut self, event: &Event, place: &mut Vec<Event>) {
        self.pipeline.push(event);
        let at = event.at;
        let before = place.len();
        // It was over before this event, or this one would inherit it all the same.
        let over_at = self.last_at.unwrap_or(at);
        let ended = self.pipeline.take_released().into_iter();
        place.extend(ended.map(|nat| Event { at: over_at, body: Body::Nat(Nat { end: true, ..nat }) }));
        // Who was never introduced is nobody: such events are the same loss in both streams.
        let number = event.body.conn().and_then(|conn| self.pipeline.number_of(conn));
        if number.is_none_or(|number| self.choice.has(number)) {
            place.push(event.clone());
        }
        // What is said again is no part of the time.
        if self.pipeline.is_said_again() {
            self.said_again = true;
            return;
        }
        // The same where something was said again before: what is left of that does not show where it ends.
        if self.last_at.is_none() && (place.len() == before || self.said_again) {
            place.insert(before, nothing(at));
        }
        self.last_at = Some(at);
        if let Some(given) = place[before..].last() {
            self.given_at = Some(given.at);
        }
    }

    /// The capture is over: what stands at its end, if nothing was given as late as it ends.
    pub fn end(&mut self) -> Option<Event> {
        self.last_at.filter(|_| self.given_at < self.last_at).map(nothing)
    }
}

/// What holds a place and says nothing.
fn nothing(at: u64) -> Event {
    Event { at, body: Body::Loss(Loss::default()) }
}

/// What is counted here is of no use: as little of it as possible.
fn few_groups() -> ReportOptions {
    ReportOptions { by: Tag::parse("transport").into_iter().collect(), ..ReportOptions::default() }
}
