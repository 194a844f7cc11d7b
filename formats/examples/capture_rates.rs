//! How small and how fast: writes a capture of a stated mix to a file, reads it, anonymizes it, and prints bytes, rates and
//! memory.
//!
//! `cargo run --release -p netflow-formats --example capture_rates MIX [COUNT] [recorded|compact] [profile]`, where MIX is
//! `one-shot` (COUNT connections of two events each, Zipf addresses, 15 % IPv6), `long`, `idle` or `active` (COUNT
//! connections sampled a hundred times every ten seconds, of which a tenth, none or all carry traffic), `dense` (COUNT
//! connections sampled a hundred times each second), or a capture file, which is written anew. `profile` adds
//! the bytes of each column. Mixes come from a fixed seed: the same bytes on every run and machine.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a program for measurements"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use netflow_core::anonymize::{Anonymizer, Key, Options};
use netflow_core::event::{Body, Event, Header};
use netflow_formats::capture::{CaptureReader, CaptureWriter, Field, Selection, Totals, WriterOptions, read_index};
use netflow_formats::k8s;

mod mixes;

/// Events made at once, so that making them is not measured and takes little memory.
const BATCH: usize = 1 << 12;

/// Time that this process has had a processor: others on the machine do not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The most memory that this process has had, in MiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mix = arguments.first().map_or("one-shot", String::as_str);
    let count = arguments.iter().find_map(|argument| argument.parse::<u64>().ok());
    let is_compact = arguments.iter().any(|argument| argument == "compact");
    let options = if is_compact { WriterOptions::compact() } else { WriterOptions::default() };
    let tenth = |active| Box::new(mixes::sampled(count.unwrap_or(10_000), 100, 10_000_000_000, active));
    let events: Box<dyn Iterator<Item = Event>> = match mix {
        "one-shot" => Box::new(mixes::one_shot(count.unwrap_or(500_000))),
        "long" => tenth(10),
        "idle" => tenth(0),
        "active" => tenth(100),
        "dense" => Box::new(mixes::sampled(count.unwrap_or(10_000), 100, 10_000_000, 100)),
        path => Box::new(CaptureReader::new(File::open(path).unwrap()).unwrap().map(Result::unwrap)),
    };
    let file = std::env::temp_dir().join(format!("capture_rates.{}.nfcap", std::process::id()));
    let (totals, rate) = write(&file, events, options);
    let bytes = file.metadata().unwrap().len();
    println!(
        "{mix}, {}: {} events in {} blocks, {bytes} bytes",
        arguments[1..].join(" "),
        totals.events,
        totals.blocks
    );
    let [opens, samples, ..] = totals.counts;
    let (per, count) = if samples > opens { ("sample", samples) } else { ("connection", opens) };
    println!("  {:.2} bytes per {per}", bytes as f64 / count as f64);
    println!("  write: {:.1} M events per CPU second, {:.0} MiB at most", rate / 1e6, peak_memory());
    read(&file, totals.events);
    anonymize(&file, totals.events);
    if arguments.iter().any(|argument| argument == "profile") {
        profile(&file, count as f64, per);
    }
    std::fs::remove_file(&file).unwrap();
}

fn write(path: &Path, mut events: impl Iterator<Item = Event>, options: WriterOptions) -> (Totals, f64) {
    let header = Header { tool: "capture_rates".into(), interval_ms: 10_000, ..Header::default() };
    let mut writer = CaptureWriter::new(File::create(path).unwrap(), &header, options).unwrap();
    let mut batch = Vec::with_capacity(BATCH);
    let mut seconds = 0.0;
    loop {
        batch.clear();
        batch.extend(events.by_ref().take(BATCH));
        if batch.is_empty() {
            break;
        }
        let begin = cpu_seconds();
        for event in &batch {
            writer.push(event).unwrap();
        }
        seconds += cpu_seconds() - begin;
    }
    let begin = cpu_seconds();
    let (_, totals) = writer.finish().unwrap();
    seconds += cpu_seconds() - begin;
    (totals.clone(), totals.events as f64 / seconds)
}

fn read(path: &Path, events: u64) {
    let rate = |name: &str, read: &dyn Fn() -> u64| {
        let begin = cpu_seconds();
        let found = read();
        assert_eq!(found, events);
        println!("  read {name}: {:.1} M events per CPU second", events as f64 / (cpu_seconds() - begin) / 1e6);
    };
    let open = || CaptureReader::new(File::open(path).unwrap()).unwrap();
    rate("events", &|| {
        let mut reader = open();
        let opens = reader.by_ref().filter(|event| matches!(event.as_ref().unwrap().body, Body::Open(_))).count();
        assert!(opens > 0 && reader.damage().is_empty());
        events
    });
    let blocks = |selection: Selection| {
        let (mut reader, mut found) = (open(), 0);
        while let Some(block) = reader.next_block(selection).unwrap() {
            found += block.kinds().len() as u64;
        }
        assert!(reader.damage().is_empty());
        found
    };
    rate("all columns", &|| blocks(Selection::ALL));
    rate("at and sent_bytes", &|| blocks(Selection::of(&[Field::At, Field::SentBytes])));
    rate("at and conn", &|| blocks(Selection::of(&[Field::At, Field::Conn])));
    let begin = std::time::Instant::now();
    read_index(File::open(path).unwrap()).unwrap().unwrap();
    println!("  read index: {:.2} ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// What `netflow anonymize` does.
fn anonymize(path: &Path, events: u64) {
    let mut anonymizer = Anonymizer::new(&Key::from_seed(1), Options::default());
    let mut reader = CaptureReader::new(File::open(path).unwrap()).unwrap();
    let header = anonymizer.header(reader.header());
    let mut writer = CaptureWriter::new(std::io::sink(), &header, WriterOptions::compact()).unwrap();
    let state = |anonymizer: &mut Anonymizer, state: &str| k8s::anonymize(state, anonymizer).unwrap().into();
    let begin = cpu_seconds();
    for event in reader.by_ref() {
        writer.push(&anonymizer.event(&event.unwrap(), state)).unwrap();
    }
    assert_eq!(writer.finish().unwrap().1.events, events);
    let rate = events as f64 / (cpu_seconds() - begin) / 1e6;
    println!("  anonymize: {rate:.1} M events per CPU second, {:.0} MiB at most", peak_memory());
}

fn profile(path: &Path, count: f64, per: &str) {
    let mut reader = CaptureReader::new(File::open(path).unwrap()).unwrap();
    let mut sizes = BTreeMap::new();
    while let Some(block) = reader.next_block(Selection::default()).unwrap() {
        for (column, name, bytes) in block.stored_bytes() {
            *sizes.entry((column, name)).or_insert(0) += bytes;
        }
    }
    let all = path.metadata().unwrap().len() as usize;
    for ((column, name), bytes) in &sizes {
        println!("  {column:3} {name:17} {:7.3} bytes per {per}", *bytes as f64 / count);
    }
    println!("      {:17} {:7.3} bytes per {per}", "headers", (all - sizes.values().sum::<usize>()) as f64 / count);
}
