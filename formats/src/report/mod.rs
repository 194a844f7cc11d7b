//! Reports as bytes and as text.
//!
//! In: a [`netflow_core::report::Report`]; of formats for many rows also [sorted groups](netflow_core::grouped::Sorted), which take
//! a fraction of the memory. Out: CSV, Parquet, Arrow, JSON, line protocol, a table for people, a page for browsers.
//! Never here: paths, terminals, decisions about what is in the report.

mod arrow;
mod columns;
mod csv;
mod fields;
mod frame;
mod html;
mod json;
mod line;
mod lines;
mod parquet;
mod partition;
mod rendering;
mod run;
mod shares;
mod table;
mod turns;

pub use arrow::{write_arrow, write_arrow_stream};
pub use csv::{write_csv, write_csv_rows};
pub use frame::frame;
pub use html::{HtmlOptions, HtmlReport};
pub use json::write_json;
pub use line::write_line;
pub use parquet::{ROW_GROUP, write_parquet};
pub use partition::{PartitionKey, partitions};
pub use run::{RunError, report, reports, reports_on_events};
pub use shares::{Run, Shares};
pub use table::{TableOptions, note, printable, table};

use chrono::{DateTime, SecondsFormat};

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The data frame or its file format failed.
    #[error("cannot build the report's columns: {0}")]
    Frame(#[from] polars_core::error::PolarsError),
    /// The output failed.
    #[error("cannot write the report: {0}")]
    Write(#[from] std::io::Error),
    /// JSON failed; only an output error can bring this about.
    #[error("cannot write the report: {0}")]
    Json(#[from] serde_json::Error),
    /// The report is to be parted by what is no column of it.
    #[error("the report has no column {name}: ask for it with --by")]
    NoColumn {
        /// The field.
        name: &'static str,
    },
    /// A time is outside of what a calendar can show.
    #[error("{micros} µs since 1970 is no time that a calendar can show: is the capture's boot_time_ns right?")]
    Time {
        /// Microseconds since 1970.
        micros: i64,
    },
}

/// RFC 3339 in UTC, to the microsecond: `2026-01-31T12:00:00.000000Z`.
pub(crate) fn rfc3339(micros: i64) -> Result<String, ReportError> {
    DateTime::from_timestamp_micros(micros)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
        .ok_or(ReportError::Time { micros })
}
