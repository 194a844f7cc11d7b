//! `netflow cut`: a part of a capture, by time, as a capture.
//!
//! In: a capture and two moments. Out: a capture of the sections and events between them, which first says again what held
//! at its beginning and states what is missing in it. Never here: how a part is found, and never a change to the input.

use anyhow::bail;

use crate::args::CutArgs;
use crate::input;
use crate::outcome::Outcome;
use crate::output;
use crate::passage::{self, Window};
use crate::sections::{Sections, Written};
use crate::units;

pub(crate) fn run(args: &CutArgs) -> anyhow::Result<Outcome> {
    let name = input::name(&args.input);
    if output::is_same(&args.input, &args.out) {
        bail!("{name} would be replaced by a part of it; give another name");
    }
    let capture = input::open_capture(&args.input)?;
    let mut window = Window::new(args.window);
    let mut is_lossy = false;
    let mut written = Written::default();
    output::write(&args.out, args.force, |out| {
        let mut sections = Sections::new(out);
        is_lossy = passage::read(capture, &args.input, &mut window, |part| sections.take(part))?;
        written = sections.finish()?;
        Ok(())
    })?;
    let out = if input::is_std(&args.out) { "stdout".to_owned() } else { args.out.display().to_string() };
    if written.events == 0 {
        eprintln!("note: {out} is empty: {name} has no event of that time; `netflow info` tells which time it has");
    } else {
        let [events, again] =
            [(written.events, "event"), (written.again, "event")].map(|(n, noun)| units::count(n, noun));
        let lost = if written.missing > 0 {
            format!("; at least {} missing, which it states", written.missing)
        } else {
            String::new()
        };
        eprintln!("{out}: {events}, and before them {again} that say what held at its beginning{lost}");
    }
    Ok(if is_lossy { Outcome::Lossy } else { Outcome::Done })
}
