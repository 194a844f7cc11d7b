//! What recording costs: the programs in the kernel, the traffic that passes them, and the recorder itself.
//!
//! ```sh
//! cargo bench -p netflow --bench cost                  # all of it, under 5 minutes, as root
//! cargo bench -p netflow --bench cost -- --install     # the tools to compare with are installed first
//! cargo bench -p netflow --bench cost -- --json        # the same figures as one JSON object
//! ```
//!
//! In: this host, as root, with a kernel that can be recorded. Out: one table, with a target beside each figure that has
//! one. README.md beside this file says what is measured how, and what the figures do not say. Never here: a lasting
//! change of the host; the traffic runs in a network namespace of the benchmark's own.

mod attached;
mod empty;
mod options;
mod pairs;
mod programs;
mod recorder;
mod result;
mod sample;
mod snapshot;
mod subject;
mod surroundings;
mod sys;
mod traffic;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser as _;

use options::{Options, Part};
use result::Results;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    if options.hold_empty {
        return empty::hold();
    }
    if options.install {
        subject::install()?;
    }
    let before = surroundings::look();
    surroundings::enter_namespace()
        .context("cannot make a network namespace for the traffic (this must run as root)")?;
    let dir = tempfile::tempdir()?;
    let mut results = Results::new(before);
    if options.has(Part::Programs) {
        results.programs = Some(programs::measure(options, dir.path())?);
    }
    if options.has(Part::Snapshot) {
        results.snapshot = Some(snapshot::measure(options)?);
    }
    if options.has(Part::Recorder) {
        results.recorder = Some(recorder::measure(options, dir.path())?);
    }
    if options.has(Part::Pairs) {
        results.pairs = Some(pairs::measure(options, dir.path())?);
    }
    results.print(options.json);
    Ok(())
}
