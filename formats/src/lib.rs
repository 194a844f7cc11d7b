//! The carriers: events and reports as bytes, and back.
//!
//! In and out: [`netflow_core::event::Event`]s and [`netflow_core::report::Report`]s on one side, `Read` and `Write` on the
//! other. Never here: paths, the kernel, decisions about what is counted.

pub mod capture;
pub mod jsonl;
pub mod report;
