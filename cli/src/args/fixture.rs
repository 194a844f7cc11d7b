//! The options of `netflow fixture`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Regression tests of recorded traffic: a small capture with the reports that are expected of it.
#[derive(Debug, Args, PartialEq)]
pub(crate) struct FixtureArgs {
    #[command(subcommand)]
    pub(crate) command: FixtureCommand,
}

#[derive(Debug, Subcommand, PartialEq)]
pub(crate) enum FixtureCommand {
    Check(FixtureCheckArgs),
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
