//! The options of `netflow fixture`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{PipelineArgs, WindowArgs};
use crate::units;

/// Regression tests of recorded traffic: a small capture with the reports that are expected of it.
#[derive(Debug, Args, PartialEq)]
pub(crate) struct FixtureArgs {
    #[command(subcommand)]
    pub(crate) command: FixtureCommand,
}

#[derive(Debug, Subcommand, PartialEq)]
pub(crate) enum FixtureCommand {
    New(Box<FixtureNewArgs>),
    Check(FixtureCheckArgs),
}

/// Make a fixture of a part of a capture: a folder with a small, anonymized capture and the report that is expected of it.
///
/// The same capture and the same options give the same bytes on every machine. Look at report.csv before you keep it: what
/// it says is what `netflow fixture check` expects from now on. Exit code 0: done; 3: done, but the capture is damaged, or cut
/// off (the fixture's capture states how much is lost).
#[derive(Debug, Args, PartialEq)]
#[command(
    group = ArgGroup::new("which-key").args(["key", "key_from_seed", "not_anonymized"]).required(true),
    after_help = "Examples:\n  netflow fixture new tests.nfcap fixtures/login --key-from-seed 1\n  netflow fixture new out.nfcap fixtures/web --key secret.key --since 09:00 --until 09:01 --filter 'dst_port == 443' --max-connections 100 --by process_name,dst_ip --every 10s"
)]
pub(crate) struct FixtureNewArgs {
    /// Capture file.
    #[arg(value_name = "IN.nfcap")]
    pub(crate) input: PathBuf,
    /// Folder to make; one that is there is a fixture to replace with --force.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Take only the first N connections (of those that pass the filter).
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<u64>,
    /// Anonymize with the key in this file: see `netflow anonymize --help`.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Anonymize with a key made from a number, the same everywhere, which is no secret.
    #[arg(long, value_name = "N")]
    pub(crate) key_from_seed: Option<u64>,
    /// Keep addresses and names as they are.
    #[arg(long)]
    pub(crate) not_anonymized: bool,
    /// One sentence on what it is a test of.
    #[arg(long, value_name = "TEXT")]
    pub(crate) about: Option<String>,
    /// The report has one window each DURATION, aligned to the clock (UTC).
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) every: Option<Duration>,
    /// The report is sorted by columns, the greatest first; `FIELD:asc`: the smallest first [default: by tags].
    #[arg(long, value_name = "FIELD[:asc],…")]
    pub(crate) sort: Option<String>,
    /// The report has this many rows only, with --every of each window.
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Replace the fixture if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Make the reports of fixtures again and compare them with what is expected.
///
/// Says nothing when all are as expected. Exit code 0: all are; 3: something differs, and what is printed names the
/// fixture, the row, the column, what was expected and what was found; 1: a fixture cannot be read.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow fixture check fixtures/\n  netflow fixture check --bless fixtures/web\n  netflow fixture check --format junit fixtures/ >junit.xml"
)]
pub(crate) struct FixtureCheckArgs {
    /// Folders with a fixture.toml, or with such folders in them.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// Write what is found as what is expected; the difference is then for review.
    #[arg(long)]
    pub(crate) bless: bool,
    /// How differences are told.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FixtureFormat,
    /// Fixtures that are run at the same time [default: one for each processor].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Differences of one fixture that are told, at most.
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) most: usize,
}

/// How differences are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FixtureFormat {
    /// A line each, and nothing when there are none.
    Text,
    /// JUnit XML, a test case for each fixture.
    Junit,
    /// Annotations of GitHub Actions, beside the lines.
    Github,
}
