//! `netflow manual`: the manual, made from the definition of the arguments.

use std::fs;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::{Cli, ManualArgs};
use crate::outcome::Outcome;

pub(crate) fn run(args: &ManualArgs) -> anyhow::Result<Outcome> {
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder).with_context(|| format!("cannot make {folder}"))?;
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .with_context(|| format!("cannot write the manual into {folder}"))?;
    Ok(Outcome::Done)
}
