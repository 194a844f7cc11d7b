//! `netflow dump`: the events of a capture as JSON Lines on stdout.

use std::io::{self, BufWriter, Write as _};

use anyhow::{Context, bail};
use netflow_formats::jsonl::Exporter;

use crate::args::DumpArgs;
use crate::input;
use crate::outcome::Outcome;

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<Outcome> {
    let mut capture = input::open_capture(&args.input)?;
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut out = Exporter::new(out, capture.header())?;
    for event in capture.by_ref() {
        let event = event.with_context(|| format!("cannot read {}", input::name(&args.input)))?;
        out.write(&event)?;
    }
    let more = capture.next_section()?;
    out.finish()?.flush()?;
    let damaged = input::tell_damage(&args.input, &capture);
    if more {
        bail!(
            "{} holds several captures one after the other; only the first was dumped, since a stream of events has one header",
            input::name(&args.input)
        );
    }
    Ok(if damaged { Outcome::Lossy } else { Outcome::Done })
}
