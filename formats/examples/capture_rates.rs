//! How small and how fast: writes and reads captures of stated mixes in memory, and prints bytes and rates.
//!
//! `cargo run --release -p netflow-formats --example capture_rates [CONNECTIONS] [LEVEL]`. The mixes are made from a
//! fixed seed, so that sizes are the same on every run and machine.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]

use netflow_core::event::{Event, Header};
use netflow_formats::capture::{CaptureReader, CaptureWriter, WriterOptions};

mod mixes;

use mixes::{one_shot, sampled};

/// Time that this process has had a processor: others on the machine do not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn measure(name: &str, events: impl Iterator<Item = Event>, per: (&str, u64), options: WriterOptions) {
    let events: Vec<Event> = events.collect();
    let header = Header { tool: "capture_rates".into(), interval_ms: 10_000, ..Header::default() };
    let begin = cpu_seconds();
    let mut writer = CaptureWriter::new(Vec::new(), &header, options).unwrap();
    for event in &events {
        writer.push(event).unwrap();
    }
    let (bytes, totals) = writer.finish().unwrap();
    let encode = events.len() as f64 / (cpu_seconds() - begin);
    let begin = cpu_seconds();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let mut sum = 0_u64;
    for event in reader.by_ref() {
        sum = sum.wrapping_add(event.unwrap().at);
    }
    let decode = events.len() as f64 / (cpu_seconds() - begin);
    assert_eq!(sum, events.iter().fold(0, |sum, event| event.at.wrapping_add(sum)));
    assert!(reader.damage().is_empty());
    println!(
        "  {name}: {} events, {} blocks, {} bytes, {:.2} bytes per {}; encode {:.1} M, decode {:.1} M events per CPU second",
        events.len(),
        totals.blocks,
        bytes.len(),
        bytes.len() as f64 / per.1 as f64,
        per.0,
        encode / 1e6,
        decode / 1e6,
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap());
    let count = arguments.next().unwrap_or(500_000);
    let level = arguments.next().unwrap_or(1) as i32;
    for (name, options) in [("recorded", WriterOptions::default()), ("compact", WriterOptions::compact())] {
        println!("{name}");
        all(count, WriterOptions { level, ..options });
    }
}

fn all(count: u64, options: WriterOptions) {
    measure("one-shot connections", one_shot(count), ("connection", count), options);
    let long = count / 20;
    for (name, active) in [("idle", 0), ("a tenth active", 10), ("all active", 100)] {
        let events = sampled(long, 20, 10_000_000_000, active);
        measure(&format!("samples, {name}"), events, ("sample", long * 20), options);
    }
    let events = sampled(long / 20, 400, 10_000_000, 100);
    measure("samples, 100 in each block", events, ("sample", long / 20 * 400), options);
}
