//! The kernel side of a recording, for every command that records.
//!
//! In: what is recorded; later, whether a command was started and whether further files are to come. Out: a running capture, and a process without the privileges
//! that it no longer needs. Never here: what becomes of the events.

use anyhow::Context;
use netflow_capture::{Capture, Feature, Options, give_up_privileges};

/// Attaches to the kernel.
pub(crate) fn start(options: &Options) -> anyhow::Result<Capture> {
    Capture::start(options).context("cannot record this host (`netflow doctor` tells what is missing and what to do)")
}

/// Gives up what a running recording does not need. Threads that run already keep all they have, so this comes before them,
/// and after the command, which runs with everything that the caller had.
pub(crate) fn give_up(has_command: bool, rotates: bool) {
    let mut features = vec![Feature::Recording];
    features.extend(has_command.then_some(Feature::Command));
    features.extend(rotates.then_some(Feature::Rotation));
    if let Err(error) = give_up_privileges(&features) {
        eprintln!("warning: the recording goes on with more privileges than it needs: {error}");
    }
}
