//! The heart of netflow: from raw events to reports.
//!
//! In: [`event::Event`]s from any source, as an iterator. Out: reports. Never here: files, clocks, environment, threads,
//! `unsafe` (`clippy.toml` beside this crate bans them), so the same events give the same report everywhere.

pub mod address;
pub mod event;
