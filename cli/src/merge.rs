//! `netflow merge`: several captures as one.
//!
//! In: captures. Out: one capture with all of their sections, those of one recording in order behind each other, each with
//! its own host and clock and an index; those of a long time are divided as a recorder does it. What is damaged or was not
//! closed is written as `netflow recover` writes it. Never here: sections made into one; whoever reads them joins what goes
//! on.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use netflow_core::event::Header;
use netflow_formats::capture::{
    CaptureReader, End, RecoverError, Recovered, WriterOptions, read_index, recover_divided,
};

use crate::args::MergeArgs;
use crate::input;
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::units;

/// A section of an input.
struct Section<'a> {
    path: &'a Path,
    file: &'a File,
    offset: u64,
    bytes: u64,
    header: Header,
    /// The time of its first and of its last event; `None` without events.
    times: Option<(u64, u64)>,
    /// There is nothing in it, and nothing of it is lost.
    is_empty: bool,
}

pub(crate) fn run(args: &MergeArgs) -> anyhow::Result<Outcome> {
    if args.inputs.iter().filter(|path| input::is_std(path)).count() > 1 {
        return Err(Usage("only one capture can come from stdin".to_owned()).into());
    }
    if !args.force && !input::is_std(&args.out) {
        output::refuse_existing(&args.out)?;
    }
    let mut files = Vec::new();
    for path in &args.inputs {
        if output::is_same(path, &args.out) {
            bail!("{} would be replaced by what is made of it; give another name", path.display());
        }
        files.push((path.as_path(), open(path)?));
    }
    let mut sections = Vec::new();
    for (path, file) in &files {
        sections.extend(find(path, file).with_context(|| format!("cannot read {}", input::name(path)))?);
    }
    let sections = in_order(sections);
    refuse_overlaps(&sections)?;
    let mut done = Vec::new();
    let mut unreadable = None;
    let written = output::write(&args.out, args.force, |out| {
        for section in &sections {
            if let Err(error) = copy(section, args.section, out, &mut done) {
                return Err(match error {
                    RecoverError::Read(error) => {
                        unreadable = Some((section.path, error));
                        anyhow!("its input cannot be read")
                    }
                    RecoverError::Write(error) => error.into(),
                });
            }
        }
        Ok(())
    });
    // What cannot be read is no fault of the output.
    if let Some((path, error)) = unreadable {
        return Err(error).with_context(|| format!("cannot read {}", input::name(path)));
    }
    written?;
    tell(args, &done);
    Ok(if done.iter().all(|(_, section)| section.is_whole()) { Outcome::Done } else { Outcome::Lossy })
}

/// Opens a file, or keeps what comes from stdin in one: it is gone through twice.
fn open(path: &Path) -> anyhow::Result<File> {
    if !input::is_std(path) {
        // With its messages.
        drop(input::open(path)?);
        return File::open(path).with_context(|| format!("cannot open {}", path.display()));
    }
    input::keep_stdin()
}

/// The sections of a file: from its indexes, otherwise by reading all of it.
fn find<'a>(path: &'a Path, mut file: &'a File) -> anyhow::Result<Vec<Section<'a>>> {
    if let Some(sections) = read_index(file)? {
        return Ok(sections
            .into_iter()
            .map(|section| {
                let totals = section.index.totals;
                let times = totals.first_at.zip(totals.last_at);
                let (offset, bytes, header) = (section.offset, section.bytes, section.header);
                Section { path, file, offset, bytes, header, times, is_empty: totals.events == 0 }
            })
            .collect());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut capture = CaptureReader::new(file)?;
    let mut sections = Vec::new();
    loop {
        let (offset, header, cost) = (capture.section_offset(), capture.header().clone(), capture.least_cost());
        let mut times = None;
        for event in capture.by_ref() {
            let at = event?.at;
            let (_, last) = times.get_or_insert((at, at));
            *last = at;
        }
        let is_torn = matches!(capture.end(), Some(End::Torn { .. }));
        let is_empty = times.is_none() && !is_torn && capture.least_cost() == cost;
        let bytes = capture.offset() - offset;
        sections.push(Section { path, file, offset, bytes, header, times, is_empty });
        if !capture.next_section()? {
            return Ok(sections);
        }
    }
}

/// The recordings by the time of their beginning, the sections of each in order. Those without events are left out, unless
/// there is nothing else.
fn in_order(mut sections: Vec<Section<'_>>) -> Vec<Section<'_>> {
    if sections.iter().any(|section| !section.is_empty) {
        sections.retain(|section| !section.is_empty);
    } else {
        sections.truncate(1);
    }
    let mut recordings: Vec<Vec<Section<'_>>> = Vec::new();
    for section in sections {
        match recordings.iter_mut().find(|recording| section.is_of(recording)) {
            Some(recording) => recording.push(section),
            None => recordings.push(vec![section]),
        }
    }
    for recording in &mut recordings {
        recording.sort_by_key(|section| (section.header.part, section.times));
    }
    recordings.sort_by_cached_key(|recording| recording.first().map(Section::utc));
    recordings.into_iter().flatten().collect()
}

fn refuse_overlaps(sections: &[Section<'_>]) -> anyhow::Result<()> {
    for pair in sections.windows(2) {
        let [one, next] = pair else { continue };
        let is_of_same_file = next.is_of(std::slice::from_ref(one)) && next.header.part == one.header.part;
        let (Some((_, end)), true) = (one.times, is_of_same_file) else { continue };
        // What a part says again first is not its own.
        if next.header.continues_from.is_none_or(|begin| begin < end) {
            let [one, next] = [one, next].map(|section| input::name(section.path));
            bail!(
                "cannot merge {one} and {next}: both hold the same time of one recording, which would count twice; leave one out, or `netflow cut` it"
            );
        }
    }
    Ok(())
}

fn copy<'a>(
    section: &Section<'a>,
    every: Duration,
    out: &mut dyn Write,
    done: &mut Vec<(&'a Path, Recovered)>,
) -> Result<(), RecoverError> {
    let mut file = section.file;
    let offset = section.offset;
    file.seek(SeekFrom::Start(offset))
        .map_err(|source| RecoverError::Read(netflow_formats::capture::ReadError::Io { offset, source }))?;
    let input = io::BufReader::with_capacity(1 << 18, file.take(section.bytes));
    recover_divided(input, out, WriterOptions::compact(), every, |recovered| done.push((section.path, recovered)))
}

fn tell(args: &MergeArgs, done: &[(&Path, Recovered)]) {
    for (path, section) in done.iter().filter(|(_, section)| !section.is_whole()) {
        let lost = units::count(section.check.least_cost.saturating_add(section.refused), "event");
        let name = input::name(path);
        if !section.check.passed_over.is_nothing() {
            let passed_over = section.check.passed_over;
            eprintln!("warning: {name}: a newer netflow wrote what this one cannot merge: {passed_over}");
        }
        eprintln!(
            "warning: {name}: at least {lost} lost, which the new capture states; `netflow verify {name}` tells where"
        );
    }
    let out = output::name(&args.out);
    let events = done.iter().map(|(_, section)| section.totals.events).sum();
    let sections = units::count(done.iter().map(|(_, section)| section.sections).sum(), "section");
    eprintln!("{out}: {} in {sections}", units::count(events, "event"));
}

impl Section<'_> {
    fn is_of(&self, recording: &[Section<'_>]) -> bool {
        self.recording().is_some_and(|own| recording.iter().any(|other| other.recording() == Some(own)))
    }

    fn recording(&self) -> Option<(&str, &str, u64)> {
        self.header.recording(self.times.map(|(first, _)| first))
    }

    /// UTC of its beginning, in nanoseconds since 1970.
    fn utc(&self) -> i64 {
        let first = self.times.map_or(0, |(first, _)| first);
        self.header.boot_time_ns.saturating_add(i64::try_from(first).unwrap_or(i64::MAX))
    }
}
