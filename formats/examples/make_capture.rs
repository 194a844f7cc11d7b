//! Writes a capture of a stated mix and size, the same bytes on every run and machine.
//!
//! `cargo run --release -p netflow-formats --example make_capture MIX COUNT OUT.nfcap`, where MIX is `one-shot` (COUNT
//! connections of two events each, 15 % IPv6, Zipf addresses) or `long` (COUNT connections, sampled a hundred times every
//! ten seconds, a tenth of them active).
#![allow(clippy::unwrap_used, reason = "a program for measurements")]

use std::fs::File;

use netflow_core::event::{Event, Header};
use netflow_formats::capture::{CaptureWriter, WriterOptions};

mod mixes;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mix, count, out] = arguments.as_slice() else {
        eprintln!("usage: make_capture one-shot|long COUNT OUT.nfcap");
        std::process::exit(2);
    };
    let count = count.parse().unwrap();
    let events: Box<dyn Iterator<Item = Event>> = match mix.as_str() {
        "one-shot" => Box::new(mixes::one_shot(count)),
        "long" => Box::new(mixes::sampled(count, 100, 10_000_000_000, 10)),
        _ => {
            eprintln!("no mix {mix:?}: one-shot or long");
            std::process::exit(2);
        }
    };
    let header = Header {
        tool: "make_capture".into(),
        host: "made".into(),
        boot_time_ns: 1_790_000_000_000_000_000,
        interval_ms: 10_000,
        ephemeral_port_min: 32768,
        ephemeral_port_max: 60999,
        ..Header::default()
    };
    let mut writer = CaptureWriter::new(File::create(out).unwrap(), &header, WriterOptions::default()).unwrap();
    for event in events {
        writer.push(&event).unwrap();
    }
    let (_, totals) = writer.finish().unwrap();
    println!("{out}: {} events, {} blocks", totals.events, totals.blocks);
}
