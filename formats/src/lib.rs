//! The carriers: events and reports as bytes, and back.
//!
//! In and out: [`netflow_core::event::Event`]s, [`netflow_core::report::Report`]s and [`netflow_core::k8s::Objects`] on one
//! side, `Read`, `Write` and text on the other. Never here: paths, the kernel, decisions about what is counted.
//!
//! # A capture, a report, a frame
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "report")] {
//! use netflow_core::column::Tag;
//! use netflow_core::filter::Filter;
//! use netflow_core::pipeline::ReportOptions;
//! use netflow_formats::capture::CaptureReader;
//! use netflow_formats::report::{frame, report};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures/web/capture.nfcap");
//! let mut capture = CaptureReader::new(std::fs::File::open(path)?)?;
//! let options = ReportOptions {
//!     by: Tag::parse_all(&["process_name", "dst_ip"])?,
//!     only: Some(Filter::parse("transport == tcp and dst_port == 8080")?),
//!     ..ReportOptions::default()
//! };
//! let report = report(&mut capture, options)?;
//! // What could not be read is listed, and nothing of it is in the report.
//! assert!(capture.damage().is_empty());
//! for row in &report.rows {
//!     println!("{:?}: {} bytes read", row.key, row.sums.bytes_read);
//! }
//! // The same as a polars frame.
//! let frame = frame(&report)?;
//! assert_eq!(frame.height(), report.rows.len());
//! # use polars_core::prelude::ChunkAgg as _;
//! # assert_eq!(frame.column("bytes_read")?.u64()?.sum(), Some(report.totals().bytes_read));
//! # }
//! # Ok(())
//! # }
//! ```

pub mod capture;
#[cfg(feature = "report")]
pub mod fixture;
pub mod jsonl;
pub mod k8s;
#[cfg(feature = "report")]
pub mod report;
