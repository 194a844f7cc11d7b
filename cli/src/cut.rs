//! `netflow cut`: a part of a capture, by time or by connections, as a capture.
//!
//! In: a capture, two moments, a filter. Out: a capture of the sections and events between them, which first says again what
//! held at its beginning and states what is missing in it. Never here: how a part is found, and never a change to the input.

use anyhow::bail;

use crate::args::CutArgs;
use crate::connections::{Meant, Selected};
use crate::input;
use crate::options;
use crate::outcome::Outcome;
use crate::output;
use crate::sections::{Sections, Written};
use crate::units;

pub(crate) fn run(args: &CutArgs) -> anyhow::Result<Outcome> {
    let name = input::name(&args.input);
    if output::is_same(&args.input, &args.out) {
        bail!("{name} would be replaced by a part of it; give another name");
    }
    let filter = args.filter.as_deref().map(options::filter).transpose()?;
    let selected = Selected::open(&args.input, args.window, Meant { filter: filter.as_ref(), most: None })?;
    let mut is_lossy = false;
    let mut written = Written::default();
    output::write(&args.out, args.force, |out| {
        let mut sections = Sections::new(out);
        is_lossy = selected.read(&mut |part| sections.take(part))?;
        written = sections.finish()?;
        Ok(())
    })?;
    let out = output::name(&args.out);
    if written.events == 0 {
        eprintln!("note: {out} is empty: {name} has no event of that time; `netflow info` tells which time it has");
    } else {
        let events = units::count(written.events, "event");
        let again = match written.again {
            0 if args.window.is_whole() => String::new(),
            again => {
                format!(", and before them {} that say what held at its beginning", units::count(again, "event"))
            }
        };
        eprintln!("{out}: {events}{again}{}", written.lost());
    }
    Ok(if is_lossy { Outcome::Lossy } else { Outcome::Done })
}
