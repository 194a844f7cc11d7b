//! `netflow dump`: the events of a capture as JSON Lines on stdout, section by section.

use std::io::{self, BufWriter, Write as _};

use anyhow::Context;
use netflow_formats::jsonl::Exporter;

use crate::args::DumpArgs;
use crate::input;
use crate::outcome::Outcome;

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<Outcome> {
    let mut capture = input::open_capture(&args.input)?;
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut out = Exporter::new(out, capture.header())?;
    let cannot = || format!("cannot read {}", input::name(&args.input));
    loop {
        for event in capture.by_ref() {
            out.write(&event.with_context(cannot)?)?;
        }
        if !capture.next_section().with_context(cannot)? {
            break;
        }
        out.begin(capture.header())?;
    }
    out.finish()?.flush()?;
    let damaged = input::tell_damage(&args.input, &capture);
    Ok(if damaged { Outcome::Lossy } else { Outcome::Done })
}
