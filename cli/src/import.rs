//! `netflow import`: a capture from JSON Lines.

use std::io::BufReader;

use anyhow::Context;
use netflow_formats::capture::{CaptureWriter, WriterOptions};
use netflow_formats::jsonl::{ImportOptions, Importer};

use crate::args::ImportArgs;
use crate::input;
use crate::outcome::Outcome;
use crate::output;

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<Outcome> {
    let cannot = || format!("cannot import {}", input::name(&args.input));
    let options = ImportOptions { sort: args.sort };
    let mut events = Importer::new(BufReader::new(input::open(&args.input)?), options).with_context(cannot)?;
    output::write(&args.out, args.force, |out| {
        loop {
            let mut writer = CaptureWriter::new(&mut *out, events.header(), WriterOptions::default())?;
            for event in &mut events {
                writer.push(&event.with_context(cannot)?)?;
            }
            writer.finish()?;
            if !events.next_section().with_context(cannot)? {
                return Ok(());
            }
        }
    })?;
    Ok(Outcome::Done)
}
