//! `netflow anonymize`: a capture with other names and addresses.
//!
//! In: a capture and a key. Out: a capture of the same sections and events, in which names and addresses stand for others.
//! Never here: what becomes of a name or an address.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use netflow_core::anonymize::{Anonymizer, Key, Options, Ranges};
use netflow_core::event::Event;
use netflow_formats::k8s;

use crate::args::{AnonymizeArgs, WindowArgs};
use crate::input;
use crate::key;
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::passage::{self, Part, Window};
use crate::sections::{Sections, Written};
use crate::units;

/// The state of a cluster with nothing in it, in place of one that cannot be read.
const NO_CLUSTER: &str = r#"{"apiVersion":"v1","kind":"List","items":[]}"#;

pub(crate) fn run(args: &AnonymizeArgs) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.new_key {
        key::create(path)?;
        eprintln!("{}: a new key", path.display());
        return Ok(Outcome::Done);
    }
    let (Some(input), Some(out)) = (&args.input, &args.out) else {
        return Err(Usage("a capture to read and one to write are needed".to_owned()).into());
    };
    let name = input::name(input);
    if output::is_same(input, out) {
        bail!("{name} would be replaced by what is made of it; give another name");
    }
    let Some(key) = key::chosen(args.key.as_deref(), args.key_from_seed)? else {
        return Err(Usage("a key is needed: --key FILE or --key-from-seed N".to_owned()).into());
    };
    let ranges = if args.no_keep_ranges { Ranges::Mapped } else { Ranges::Kept };
    let options = Options { ranges, shift: args.shift_times.unwrap_or_default() };
    let mut copy = Copy::new(input, &key, options);
    let capture = input::open_capture(input)?;
    let mut window = Window::new(WindowArgs { since: None, until: None });
    let mut is_damaged = false;
    let mut written = Written::default();
    output::write(out, args.force, |out| {
        let mut sections = Sections::new(out);
        is_damaged = passage::read(capture, input, &mut window, |part| copy.take(part, &mut sections))?;
        written = sections.finish()?;
        Ok(())
    })?;
    let out = output::name(out);
    eprintln!("{out}: {}, anonymized{}", units::count(written.events, "event"), written.lost());
    let is_whole = !is_damaged && copy.unreadable == 0 && written.missing == 0;
    Ok(if is_whole { Outcome::Done } else { Outcome::Lossy })
}

/// A capture on its way.
pub(crate) struct Copy<'a> {
    path: &'a Path,
    anonymizer: Anonymizer,
    /// States of clusters that could not be read.
    pub(crate) unreadable: u64,
}

impl<'a> Copy<'a> {
    pub(crate) fn new(path: &'a Path, key: &Key, options: Options) -> Self {
        Self { path, anonymizer: Anonymizer::new(key, options), unreadable: 0 }
    }

    pub(crate) fn take(&mut self, part: Part<'_>, sections: &mut Sections<'_>) -> anyhow::Result<()> {
        match part {
            Part::Begin(header) => sections.take(Part::Begin(&self.anonymizer.header(header))),
            Part::Nothing(header) => sections.take(Part::Nothing(&self.anonymizer.header(header))),
            Part::Again(event) => sections.take(Part::Again(&self.event(event))),
            Part::Event(event) => sections.take(Part::Event(&self.event(event))),
            Part::Missing(events) => sections.take(Part::Missing(events)),
        }
    }

    fn event(&mut self, event: &Event) -> Event {
        let (path, unreadable) = (self.path, &mut self.unreadable);
        self.anonymizer.event(event, |anonymizer, state| match k8s::anonymize(state, anonymizer) {
            Ok(state) => state.into(),
            Err(error) => {
                *unreadable += 1;
                let name = input::name(path);
                eprintln!("warning: {name}: the cluster's state cannot be read, and so is left out: {error}");
                Arc::from(NO_CLUSTER)
            }
        })
    }
}
