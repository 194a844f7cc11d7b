//! `netflow verify`: whether captures are sound.
//!
//! In: captures. Out: on stdout one line for each section that is sound; otherwise what is damaged, whether the index and
//! the end agree, and whether the events add up. Never here: mending.

mod object;
mod text;

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use netflow_formats::capture::{Checker, SectionCheck};

use crate::args::VerifyArgs;
use crate::input;
use crate::outcome::Outcome;

/// A section, and which one of its file it is.
struct Checked<'a> {
    path: &'a Path,
    /// Counted from 1.
    number: usize,
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
        let cannot = || format!("cannot read {}", input::name(path));
        let mut checker = Checker::new(input::open(path)?).with_context(cannot)?;
        let mut number = 0;
        while let Some(check) = checker.next_section().with_context(cannot)? {
            number += 1;
            let checked = Checked { path, number, check };
            if !checked.is_sound() {
                outcome = Outcome::Lossy;
            }
            if args.json {
                serde_json::to_writer(&mut out, &object::object(&checked))?;
                writeln!(out)?;
            } else {
                write!(out, "{}", text::text(&checked))?;
            }
        }
    }
    Ok(outcome)
}
