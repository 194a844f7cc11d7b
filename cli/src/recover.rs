//! `netflow recover`: all that is intact of a capture, as a new one.
//!
//! In: a capture, however damaged. Out: a capture that is closed and intact, and on stderr what could not be saved. Never
//! here: how it is mended, and never a change to the input.

use std::io::Write;

use anyhow::{Context, anyhow, bail};
use netflow_formats::capture::{RecoverError, Recovered, WriterOptions, recover};

use crate::args::RecoverArgs;
use crate::input;
use crate::outcome::Outcome;
use crate::output;
use crate::units;

/// Damaged places that are told one by one; `netflow verify` has more.
const MOST_TOLD: usize = 20;

pub(crate) fn run(args: &RecoverArgs) -> anyhow::Result<Outcome> {
    if output::is_same(&args.input, &args.out) {
        bail!("{} would be replaced by what is left of it; give another name", args.input.display());
    }
    let input = input::open(&args.input)?;
    let mut sections = Vec::new();
    let mut unreadable = None;
    let written = output::write(&args.out, args.force, |out: &mut dyn Write| {
        match recover(input, out, WriterOptions::default(), |section| sections.push(section)) {
            Err(RecoverError::Read(error)) => {
                unreadable = Some(error);
                Err(anyhow!("its input cannot be read"))
            }
            written => Ok(written?),
        }
    });
    // What cannot be read is no fault of the output.
    if let Some(error) = unreadable {
        return Err(error).with_context(|| format!("cannot read {}", input::name(&args.input)));
    }
    written?;
    for section in &sections {
        tell(args, section);
    }
    Ok(if sections.iter().all(Recovered::is_whole) { Outcome::Done } else { Outcome::Lossy })
}

fn tell(args: &RecoverArgs, section: &Recovered) {
    let name = input::name(&args.input);
    let check = &section.check;
    for damage in check.damage.iter().take(MOST_TOLD) {
        eprintln!("warning: {name}: {damage}");
    }
    if check.damage_count > MOST_TOLD as u64 {
        eprintln!("warning: {name}: {}", units::count(check.damage_count - MOST_TOLD as u64, "more damaged place"));
    }
    if !check.passed_over.is_nothing() {
        eprintln!("warning: {name}: a newer netflow wrote what this one cannot save: {}", check.passed_over);
    }
    let out = output::name(&args.out);
    let saved = units::count(check.totals.events.saturating_sub(section.refused), "event");
    if section.is_whole() {
        eprintln!("{out}: {saved} saved; nothing was lost");
        return;
    }
    let lost = check.least_cost.saturating_add(section.refused);
    eprintln!("{out}: {saved} saved; at least {lost} lost, which it states: {}", section.totals.losses);
}
