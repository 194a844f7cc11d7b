//! `netflow verify`: whether captures are sound.
//!
//! In: captures. Out: on stdout one line for each recording that is sound, however many sections it has; otherwise what is damaged, whether the index and
//! the end agree, and whether the events add up. Never here: mending.

mod object;
mod text;

use std::io;
use std::path::Path;

use anyhow::Context;
use netflow_formats::capture::{Checker, SectionCheck};

use crate::args::VerifyArgs;
use crate::input;
use crate::outcome::{self, Outcome};

/// A recording in a file: a section and those that go on with it.
struct Checked<'a> {
    path: &'a Path,
    /// The place of its first section in the file, counted from 1.
    number: u64,
    check: SectionCheck,
}

impl Checked<'_> {
    fn is_sound(&self) -> bool {
        self.check.is_intact() && self.check.is_lossless()
    }

    /// The file, and the section where it is not the first.
    fn name(&self) -> String {
        let name = input::name(self.path);
        if self.number == 1 { name } else { format!("{name}, section {}", self.number) }
    }
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    let mut out = io::stdout().lock();
    for path in &args.inputs {
        match verify(path, args.json, &mut out) {
            Ok(true) => {}
            Ok(false) if outcome == Outcome::Done => outcome = Outcome::Lossy,
            Ok(false) => {}
            Err(error) => {
                outcome::go_on(error)?;
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}

/// Whether all of a capture is sound.
fn verify(path: &Path, json: bool, out: &mut impl io::Write) -> anyhow::Result<bool> {
    let cannot = || format!("cannot read {}", input::name(path));
    let mut checker = Checker::new(input::open(path)?).with_context(cannot)?;
    let (mut number, mut are_sound) = (1, true);
    while let Some(check) = checker.next_recording().with_context(cannot)? {
        let sections = check.sections;
        let checked = Checked { path, number, check };
        number += sections;
        are_sound &= checked.is_sound();
        if json {
            serde_json::to_writer(&mut *out, &object::object(&checked))?;
            writeln!(out)?;
        } else {
            write!(out, "{}", text::text(&checked))?;
        }
    }
    Ok(are_sound)
}
