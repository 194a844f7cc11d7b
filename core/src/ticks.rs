//! The pipeline tick by tick: a report on each interval as soon as it is over.
//!
//! In: headers and events, as for [`Pipeline`]. Out: at each tick (the end of a snapshot) a [`Report`] with one window, from
//! the tick before to this one, in which each connection appears under what is known of it at that moment; what is learned
//! later applies from then on. Never here: a second way of counting; this is [`Pipeline`], asked more often.
//!
//! The sums over all reports are those of the one report on the whole, whatever the intervals are. Memory is bounded by
//! the connections that live, and by those of one interval.

use crate::event::{Event, Header};
use crate::pipeline::{Pipeline, ReportOptions};
use crate::report::Report;

/// The pipeline tick by tick. `diagnostics` and `left_out` of each report are those of everything so far.
#[derive(Debug)]
pub struct Ticks {
    pipeline: Pipeline,
}

impl Ticks {
    /// Nothing seen yet. The intervals are the windows: `every_ns` is not looked at.
    #[must_use]
    pub fn new(options: ReportOptions) -> Self {
        Self { pipeline: Pipeline::new(ReportOptions { every_ns: None, ..options }) }
    }

    /// A capture begins. Gives the last interval of the one before it, which no tick ended; `None` when the capture goes on
    /// with the same recording, and with it that interval.
    pub fn begin(&mut self, header: &Header) -> Option<Report> {
        let last = (!self.pipeline.is_continued_by(header)).then(|| self.pipeline.end_interval());
        self.pipeline.begin(header);
        last
    }

    /// The Kubernetes cluster that the host of the capture that began last belongs to.
    pub fn set_cluster(&mut self, cluster: std::sync::Arc<crate::k8s::Cluster>) {
        self.pipeline.set_cluster(cluster);
    }

    /// Takes the next event; a tick ends an interval and gives the report on it.
    pub fn push(&mut self, event: &Event) -> Option<Report> {
        self.pipeline.take(event).then(|| self.pipeline.end_interval())
    }

    /// The report on the last interval, which no tick ended. Its `diagnostics` and `left_out` are those of the whole.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let last = self.pipeline.end_interval();
        self.pipeline.end_section();
        let whole = self.pipeline.end_interval();
        Report { diagnostics: whole.diagnostics, left_out: whole.left_out, ..last }
    }
}
