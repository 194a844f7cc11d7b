//! The carriers: events and reports as bytes, and back.
//!
//! In and out: [`netflow_core::event::Event`]s, [`netflow_core::report::Report`]s and [`netflow_core::k8s::Objects`] on one
//! side, `Read`, `Write` and text on the other. Never here: paths, the kernel, decisions about what is counted.

pub mod capture;
#[cfg(feature = "report")]
pub mod fixture;
pub mod jsonl;
pub mod k8s;
#[cfg(feature = "report")]
pub mod report;
