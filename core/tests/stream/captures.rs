//! Captures in parts, and reports on several of them.

use netflow_core::event::{Event, Header};
use netflow_core::excerpt::{Excerpt, Place, Span};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Report;
use netflow_core::ticks::Ticks;

/// A capture: its header and events.
pub(crate) type Capture = (Header, Vec<Event>);

/// The part of the capture that is in this time.
pub(crate) fn cut((header, events): &Capture, span: Span) -> Capture {
    let mut excerpt = Excerpt::new(span, header);
    let mut part = Vec::new();
    for event in events {
        match excerpt.push(event) {
            Place::Before | Place::Behind => continue,
            Place::First => part.extend(excerpt.restate(event.at)),
            Place::Within => {}
        }
        part.push(event.clone());
    }
    (excerpt.header().clone(), part)
}

/// The capture cut at each of these moments, in nanoseconds of UTC.
pub(crate) fn parts(capture: &Capture, mut moments: Vec<i64>) -> Vec<(Span, Capture)> {
    moments.sort_unstable();
    let begins = std::iter::once(None).chain(moments.iter().copied().map(Some));
    let ends = moments.iter().copied().map(Some).chain([None]);
    begins.zip(ends).map(|(since, until)| Span { since, until }).map(|span| (span, cut(capture, span))).collect()
}

/// The report on the captures, one behind the other.
pub(crate) fn report<'a>(captures: impl IntoIterator<Item = &'a Capture>, options: &ReportOptions) -> Report {
    let mut pipeline = Pipeline::new(options.clone());
    for (header, events) in captures {
        pipeline.begin(header);
        events.iter().for_each(|event| pipeline.push(event));
    }
    pipeline.finish()
}

/// Every point of the captures, one behind the other.
pub(crate) fn points<'a>(captures: impl IntoIterator<Item = &'a Capture>, options: &ReportOptions) -> Vec<Report> {
    let mut ticks = Ticks::new(options.clone());
    let mut points = Vec::new();
    for (header, events) in captures {
        points.extend(ticks.begin(header));
        points.extend(events.iter().filter_map(|event| ticks.push(event)));
    }
    points.push(ticks.finish());
    points
}
