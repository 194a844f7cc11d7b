//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measure what recording costs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench -p netflow --bench cost --", max_term_width = 120)]
pub(crate) struct Options {
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Install what is missing of the tools to compare with (Debian).
    #[arg(long)]
    pub(crate) install: bool,
    /// The recorder to measure [default: the one built with this benchmark].
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_netflow"), hide_default_value = true)]
    pub(crate) netflow: PathBuf,
    /// Measure these parts only.
    #[arg(long, value_delimiter = ',', value_name = "PART,...")]
    pub(crate) only: Vec<Part>,
    /// Compare with these tools only; `none` is the recorder alone.
    #[arg(long, value_delimiter = ',', value_name = "TOOL,...")]
    pub(crate) tools: Option<Vec<String>>,
    /// Seconds for the pairs of traffic with and without.
    #[arg(long, value_name = "SECONDS", default_value_t = 210)]
    pub(crate) pair_seconds: u64,
    /// Milliseconds of traffic in one slot of a pair.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pub(crate) slot_ms: u64,
    /// Seconds of paced connections for the recorder.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(crate) recorder_seconds: u64,
    /// Connections a second for the recorder.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub(crate) rate: u64,
    /// Pairs of connected sockets for the snapshot.
    #[arg(long, value_name = "N", default_value_t = 9000)]
    pub(crate) socket_pairs: u32,
    /// Do nothing but keep empty programs attached; the benchmark starts itself with this.
    #[arg(long, hide = true)]
    pub(crate) hold_empty: bool,
    /// `cargo bench` says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Nanoseconds in each eBPF program.
    Programs,
    /// Traffic with and without the recorder, and with and without other tools.
    Pairs,
    /// Memory and processor time of the recorder.
    Recorder,
    /// Time of a snapshot of many sockets.
    Snapshot,
}

impl Options {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
