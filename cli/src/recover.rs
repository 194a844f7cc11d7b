//! `netflow recover`: all that is intact of a capture, as a new one.
//!
//! In: a capture, however damaged. Out: a capture that is closed and intact, and on stderr what could not be saved. Never
//! here: how it is mended, and never a change to the input.

use std::io::Write;

use anyhow::{Context, anyhow, bail};
use netflow_core::event::Loss;
use netflow_formats::capture::{PassedOver, RecoverError, Recovered, WriterOptions, recover};

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
    let written = output::write(&args.out, args.force, |out: &mut (dyn Write + Send)| {
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
    tell(args, &sections);
    Ok(if sections.iter().all(Recovered::is_whole) { Outcome::Done } else { Outcome::Lossy })
}

/// Says what became of the whole, however many sections it has.
fn tell(args: &RecoverArgs, sections: &[Recovered]) {
    let name = input::name(&args.input);
    let sum = |get: fn(&Recovered) -> u64| sections.iter().map(get).fold(0, u64::saturating_add);
    let damages = sum(|section| section.check.damage_count);
    for damage in sections.iter().flat_map(|section| &section.check.damage).take(MOST_TOLD) {
        eprintln!("warning: {name}: {damage}");
    }
    if damages > MOST_TOLD as u64 {
        eprintln!("warning: {name}: {}", units::count(damages - MOST_TOLD as u64, "more damaged place"));
    }
    let passed_over = sections.iter().fold(PassedOver::default(), |sum, section| sum.and(section.check.passed_over));
    if !passed_over.is_nothing() {
        eprintln!("warning: {name}: a newer netflow wrote what this one cannot save: {passed_over}");
    }
    let out = output::name(&args.out);
    let saved = sum(|section| section.check.totals.events.saturating_sub(section.refused));
    let saved = units::count(saved, "event");
    let within = if sections.len() > 1 { format!(" in {} sections", sections.len()) } else { String::new() };
    if sections.iter().all(Recovered::is_whole) {
        eprintln!("{out}: {saved} saved{within}; nothing was lost");
        return;
    }
    let lost = sum(|section| section.check.least_cost.saturating_add(section.refused));
    let mut losses = Loss::default();
    sections.iter().for_each(|section| losses += section.totals.losses);
    eprintln!("{out}: {saved} saved{within}; at least {lost} lost, which it states: {losses}");
}
