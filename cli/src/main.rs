//! `netflow`: a flight recorder for a Linux host's connections.
//!
//! In: the command line. Out: an exit code. Never here: anything but parsing, dispatching and that translation; each
//! command has a file of its own.

mod anonymize;
mod args;
mod batches;
mod cluster;
mod completions;
mod connections;
mod cut;
mod dataset;
mod doctor;
mod dump;
mod fields;
mod fixture;
mod import;
mod info;
mod input;
mod key;
mod live;
mod manual;
mod merge;
mod moment;
mod options;
mod outcome;
mod output;
mod overlap;
mod pace;
mod passage;
mod points;
mod progress;
mod queue;
mod record;
mod recorder;
mod recover;
mod replay;
mod report;
mod sections;
mod stop;
mod units;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Record(args) => record::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Report(args) => report::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Live(args) => live::run(args),
        Command::Info(args) => info::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Recover(args) => recover::run(args),
        Command::Cut(args) => cut::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Anonymize(args) => anonymize::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Import(args) => import::run(args),
        Command::Fixture(args) => fixture::run(args),
        Command::Fields => fields::run(),
        Command::Completions(args) => completions::run(args),
        Command::Manual(args) => manual::run(args),
    };
    outcome::exit_code(result)
}
