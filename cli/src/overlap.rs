//! What would count twice when several captures are read as one.
//!
//! In: the headers of captures and the times of their events. Out: a refusal where two hold the same time of one recording, a
//! word where they come in the wrong order. Never here: captures that do not say of which recording they are.

use std::path::{Path, PathBuf};

use anyhow::bail;
use netflow_core::event::Header;

use crate::input;

/// The sections that were read.
#[derive(Default)]
pub(crate) struct Overlaps {
    sections: Vec<Section>,
}

struct Section {
    path: PathBuf,
    header: Header,
    /// The time of its first and of its last event; `None` without events.
    times: Option<(u64, u64)>,
}

impl Overlaps {
    /// Fails when the same file is there twice.
    pub(crate) fn refuse_twins(paths: &[PathBuf]) -> anyhow::Result<()> {
        let mut seen: Vec<PathBuf> = Vec::new();
        for path in paths.iter().filter(|path| !input::is_std(path)) {
            // What cannot be found is told when it is opened.
            let Ok(real) = path.canonicalize() else { continue };
            if seen.contains(&real) && real.is_file() {
                bail!("{} is given twice, and would count twice", path.display());
            }
            seen.push(real);
        }
        Ok(())
    }

    /// A section begins.
    pub(crate) fn begin(&mut self, path: &Path, header: &Header) {
        self.sections.push(Section { path: path.to_owned(), header: header.clone(), times: None });
    }

    /// An event of the section that began last.
    pub(crate) fn see(&mut self, at: u64) {
        if let Some(section) = self.sections.last_mut() {
            let (_, last) = section.times.get_or_insert((at, at));
            *last = at;
        }
    }

    /// Fails when something would count twice.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (place, one) in self.sections.iter().enumerate() {
            let others = self.sections[place + 1..].iter();
            for next in others.filter(|next| next.is_of_same_recording(one)) {
                let names = [one, next].map(|section| input::name(&section.path));
                if one.overlaps(next) {
                    let [one, next] = names;
                    bail!(
                        "cannot report {one} and {next} as one: both hold the same time of one recording, which would count twice; leave one out, or `netflow cut` it"
                    );
                }
                if next.place() < one.place() {
                    let [one, next] = names;
                    eprintln!(
                        "note: {next} is an earlier part of the recording than {one}: what is open in both counts as two connections; give them in order"
                    );
                }
            }
        }
        Ok(())
    }
}

impl Section {
    /// Both hold some time. What a section says again first is not its own.
    fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end_of = |one: &Self, other: &Self| {
            other.last().is_some_and(|last| one.header.continues_from.is_none_or(|begin| begin < last))
        };
        self.header.part == other.header.part && begins_before_end_of(self, other) && begins_before_end_of(other, self)
    }

    fn place(&self) -> (u32, Option<u64>) {
        (self.header.part, self.last())
    }

    fn is_of_same_recording(&self, other: &Self) -> bool {
        self.recording().is_some_and(|own| other.recording() == Some(own))
    }

    fn recording(&self) -> Option<(&str, &str, u64)> {
        self.header.recording(self.times.map(|(first, _)| first))
    }

    fn last(&self) -> Option<u64> {
        self.times.map(|(_, last)| last)
    }
}
