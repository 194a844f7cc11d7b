//! The one pipeline: `Event → Delta → Report`.
//!
//! In: the header and the events of one or several captures, one after the other. Out: a [`Report`]. Never here: where
//! events come from, how a report is written.
//!
//! What depends on the connection alone (whether it is kept, in which group it belongs) is decided once, when all is known
//! of it: so an attribute that was learned late holds for the whole connection, and nothing is counted twice.

use std::sync::Arc;

use crate::aggregate::{Groups, Pending};
use crate::delta::{Deltas, Diagnostics, Step};
use crate::event::{Body, Event, Header};
use crate::field::Field;
use crate::filter::BuiltIn;
use crate::flow::{PortOptions, Surroundings};
use crate::k8s::Cluster;
use crate::report::{Order, Report, Window};

/// What to report.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// The tags by which rows are grouped; empty: by every tag.
    pub by: Vec<&'static Field>,
    /// Length of the windows in nanoseconds, aligned to multiples of it since 1970 (UTC); `None` or 0: one window.
    pub every_ns: Option<u64>,
    /// The built-in filters.
    pub filter: BuiltIn,
    /// How ports are read.
    pub ports: PortOptions,
    /// How rows are sorted.
    pub order: Order,
}

/// One capture while it is read.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) ephemeral_port_min: u16,
    pub(crate) host: Option<Arc<str>>,
    /// UTC of the boot; a clock event changes it.
    boot_time_ns: i64,
    pub(crate) deltas: Deltas,
    pub(crate) surroundings: Surroundings,
    /// By slot.
    pub(crate) pending: Vec<Pending>,
}

/// The pipeline.
#[derive(Debug)]
pub struct Pipeline {
    groups: Groups,
    section: Option<Section>,
    headers: Vec<Header>,
    span: Option<Window>,
    order: Order,
    diagnostics: Diagnostics,
    steps: Vec<Step>,
}

impl Pipeline {
    /// A pipeline that has seen nothing yet.
    #[must_use]
    pub fn new(options: ReportOptions) -> Self {
        Self {
            order: options.order,
            groups: Groups::new(options),
            section: None,
            headers: Vec::new(),
            span: None,
            diagnostics: Diagnostics::default(),
            steps: Vec::new(),
        }
    }

    /// A capture begins. What is still pending of the one before it ends here.
    pub fn begin(&mut self, header: &Header) {
        self.end_section();
        self.headers.push(header.clone());
        self.section = Some(Section {
            host: (!header.host.is_empty()).then(|| Arc::from(header.host.as_str())),
            boot_time_ns: header.boot_time_ns,
            ephemeral_port_min: header.ephemeral_port_min,
            deltas: Deltas::new(),
            surroundings: Surroundings::default(),
            pending: Vec::new(),
        });
    }

    /// The cluster that the host of the capture that began last belongs to. A `k8s` event carries text, which is not for
    /// here to read: whoever reads it calls this, and again when a later event says otherwise.
    pub fn set_cluster(&mut self, cluster: Arc<Cluster>) {
        if let Some(section) = &mut self.section {
            section.surroundings.cluster = Some(cluster);
        }
    }

    /// Takes the next event of the capture that began last. Events before any capture began are ignored.
    pub fn push(&mut self, event: &Event) {
        let Some(section) = &mut self.section else { return };
        section.surroundings.learn(&event.body);
        if let Body::Clock(clock) = &event.body {
            section.boot_time_ns = clock.boot_time_ns;
        }
        let moment = section.utc_ns(event.at).div_euclid(1000);
        let span = self.span.get_or_insert(Window { start_us: moment, end_us: moment });
        span.start_us = span.start_us.min(moment);
        span.end_us = span.end_us.max(moment);
        section.deltas.push(event, &mut self.steps);
        self.groups.apply(section, &mut self.steps);
    }

    /// The report on everything that was pushed.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.end_section();
        let mut report = Report {
            headers: self.headers,
            columns: Report::columns_for(&self.groups.tags),
            left_out: self.groups.left_out,
            rows: self.groups.rows(self.span.unwrap_or_default()),
            span: self.span,
            diagnostics: self.diagnostics,
        };
        report.sort(self.order);
        report
    }

    fn end_section(&mut self) {
        let Some(mut section) = self.section.take() else { return };
        section.deltas.finish(&mut self.steps);
        self.groups.apply(&mut section, &mut self.steps);
        self.diagnostics.add(&section.deltas.diagnostics());
    }
}

impl Section {
    pub(crate) fn utc_ns(&self, at: u64) -> i64 {
        self.boot_time_ns.saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
    }
}
