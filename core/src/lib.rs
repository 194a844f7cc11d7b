//! The heart of netflow: from raw events to reports.
//!
//! In: [`event::Event`]s from any source, as an iterator. Out: [`report::Report`]s. Never here: files, clocks, environment,
//! threads, `unsafe` (`clippy.toml` beside this crate bans them), so the same events give the same report everywhere.
//!
//! ```text
//! Event ──Deltas──▶ Delta ──filter──▶ Delta ──sums by group──▶ Report, on the whole or tick by tick
//! ```

pub mod address;
mod again;
mod aggregate;
pub mod anonymize;
pub mod batch;
mod brief;
pub mod carry;
pub mod choice;
pub mod column;
pub mod continuation;
pub mod delta;
mod dictionary;
pub mod direction;
pub mod domains;
pub mod event;
pub mod excerpt;
pub mod field;
pub mod filter;
pub mod flow;
pub mod grouped;
mod index;
pub mod k8s;
mod key;
pub mod law;
mod lives;
mod lot;
pub mod measure;
mod own;
mod picked;
pub mod pipeline;
mod plan;
mod ports;
pub mod processes;
pub mod report;
mod rows;
mod runs;
pub mod share;
pub mod sieve;
mod sorting;
pub mod sums;
mod sweep;
pub mod tabular;
pub mod ticks;
pub mod translations;
pub mod value;
