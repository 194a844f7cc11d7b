//! Writing and reading captures: `cargo bench -p netflow-formats`. Rates are per second by the clock, so they want a quiet
//! machine; `examples/capture_rates.rs` measures processor time, sizes and memory at full length.
#![allow(clippy::unwrap_used, missing_docs, reason = "a program for measurements")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netflow_core::event::{Event, Header};
use netflow_formats::capture::{CaptureReader, CaptureWriter, Field, Selection, WriterOptions};

#[path = "../examples/mixes/mod.rs"]
mod mixes;

fn encode(events: &[Event], options: WriterOptions) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), &Header::default(), options).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish().unwrap().0
}

fn decode(bytes: &[u8], selection: Selection) -> usize {
    let (mut reader, mut events) = (CaptureReader::new(bytes).unwrap(), 0);
    while let Some(block) = reader.next_block(selection).unwrap() {
        events += block.kinds().len();
    }
    events
}

fn captures(criterion: &mut Criterion) {
    let recorded = include_bytes!("../../fixtures/captures/web/capture.nfcap").as_slice();
    let mixes: [(&str, Vec<Event>); 3] = [
        ("one-shot connections", mixes::one_shot(50_000).collect()),
        ("long connections", mixes::sampled(10_000, 10, 10_000_000_000, 10).collect()),
        ("a recorded web server", CaptureReader::new(recorded).unwrap().map(Result::unwrap).collect()),
    ];
    for (name, events) in mixes {
        let bytes = encode(&events, WriterOptions::default());
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function("encode", |bencher| bencher.iter(|| encode(&events, WriterOptions::default())));
        group.bench_function("decode events", |bencher| {
            bencher.iter(|| CaptureReader::new(bytes.as_slice()).unwrap().filter_map(Result::ok).count());
        });
        group.bench_function("decode all columns", |bencher| bencher.iter(|| decode(&bytes, Selection::ALL)));
        let two = Selection::of(&[Field::At, Field::SentBytes]);
        group.bench_function("decode two columns", |bencher| bencher.iter(|| decode(&bytes, two)));
        group.finish();
    }
}

criterion_group!(benches, captures);
criterion_main!(benches);
