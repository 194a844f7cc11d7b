//! A report as one page that any browser opens offline.
//!
//! In: three reports on the same events ([`HtmlReport::reports`] says which). Out: one HTML file with its data, style and
//! scripts in it; the same reports give the same bytes. Never here: where the page is written.
//!
//! All that comes from captures stands in one block of JSON, of which the page makes text and charts, never markup. The
//! page's policy allows its own style and scripts, by their hashes, and forbids every request.

mod data;
mod over_time;
mod page;
mod table;
mod windows;

use std::io::Write;

use netflow_core::column::{Tag, TagError};
use netflow_core::flow::PortOptions;
use netflow_core::pipeline::ReportOptions;
use netflow_core::report::{Order, Report, Window};

use super::ReportError;

/// The most rows of the report that are in a page when nothing else is asked for.
const MOST_ROWS: usize = 5_000;

/// By what the report is grouped that tells who talked to whom.
const RELATION_TAGS: [&str; 8] =
    ["host", "process_name", "transport", "direction", "src_port", "dst_domain", "dst_ip", "dst_port"];

/// What the page says beside the reports.
#[derive(Debug, Clone, Default)]
pub struct HtmlOptions {
    /// How the rows are sorted; `None`: the rows with the most bytes first.
    pub order: Option<Order>,
    /// The most rows of the report proper; `None`: 5,000.
    pub top: Option<usize>,
    /// What was asked for, as options of the command and their values.
    pub asked: Vec<(String, String)>,
    /// Something of the captures was damaged or cut off.
    pub is_damaged: bool,
}

/// A page that is to be made, from reports that are to be made.
#[derive(Debug, Clone)]
pub struct HtmlReport {
    reports: [ReportOptions; 3],
    windows: windows::Base,
}

impl HtmlReport {
    /// A page on the report with these options. `span` is the time that the events are known to lie in, if it is known:
    /// it decides how finely they are summed up over time. Unknown, windows have 10 s at least.
    ///
    /// # Errors
    /// When a field that the page needs is not in the list of fields.
    pub fn new(options: ReportOptions, span: Option<Window>) -> Result<Self, TagError> {
        let windows = windows::Base::new(options.every_ns, span);
        // Without another order rows are sorted by traffic, which is not always shown.
        let order = if matches!(options.order, Order::Key) { Order::Traffic } else { options.order.clone() };
        let options = ReportOptions { order, ..options };
        // With clients' ports kept, each connection would be a relation.
        let ports = PortOptions { no_fold: false, ..options.ports };
        let relations = ReportOptions {
            by: Tag::parse_all(&RELATION_TAGS)?,
            distinct: Vec::new(),
            every_ns: None,
            having: None,
            shown: Vec::new(),
            ports,
            ..options.clone()
        };
        let over_time =
            ReportOptions { by: Tag::parse_all(&["process_name"])?, every_ns: Some(windows.ns()), ..relations.clone() };
        Ok(Self { reports: [options, relations, over_time], windows })
    }

    /// What to report for it: the rows of the report proper, who talked to whom, and what happened over time.
    #[must_use]
    pub fn reports(&self) -> &[ReportOptions; 3] {
        &self.reports
    }

    /// Writes the page. The reports are those of [`HtmlReport::reports`], in that order.
    ///
    /// # Errors
    /// When the output fails, or a time cannot be shown.
    pub fn write<W: Write>(&self, reports: [Report; 3], options: &HtmlOptions, out: W) -> Result<(), ReportError> {
        let [mut rows, relations, over_time] = reports;
        match &options.order {
            Some(order) => rows.sort(order.clone()),
            // Over all windows, or the first windows would be all that is kept.
            None => {
                rows.sort(Order::Key);
                rows.rows.sort_by_key(|row| std::cmp::Reverse(row.sums.bytes()));
            }
        }
        let data = data::Data::new(&rows, &relations, &over_time, self.windows, options)?;
        page::write(&data, out)
    }
}
