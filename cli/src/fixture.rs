//! `netflow fixture`: regression tests of recorded traffic.

mod check;
mod new;
mod tell;

use crate::args::{FixtureArgs, FixtureCommand};
use crate::outcome::Outcome;

/// The file that makes a folder a fixture.
const TOML: &str = "fixture.toml";

pub(crate) fn run(args: &FixtureArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        FixtureCommand::New(args) => new::run(args),
        FixtureCommand::Check(args) => check::run(args),
    }
}
