//! The steps of a report: `cargo bench -p netflow-formats --bench report`. Rates are events per second by the clock, so they
//! want a quiet machine. Decoding alone is in `capture.rs`; `cli/benches/peers` compares the whole with other programs.
#![allow(clippy::unwrap_used, missing_docs, reason = "a program for measurements")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use netflow_core::batch::Block;
use netflow_core::column::Tag;
use netflow_core::delta::Deltas;
use netflow_core::event::{Event, Header};
use netflow_core::filter::Filter;
use netflow_core::flow::PortOptions;
use netflow_core::grouped::Grouped;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_formats::capture::{CaptureReader, CaptureWriter, Columns, Selection, WriterOptions};
use netflow_formats::report::write_csv;

#[path = "../examples/mixes/mod.rs"]
mod mixes;

fn options(by: &[&str], only: Option<&str>) -> ReportOptions {
    ReportOptions {
        by: Tag::parse_all(by).unwrap(),
        only: only.map(|only| Filter::parse(only).unwrap()),
        ports: PortOptions { no_fold: true, ..PortOptions::default() },
        ..ReportOptions::default()
    }
}

fn by_events(events: &[Event], options: &ReportOptions) -> Grouped {
    let mut pipeline = Pipeline::new(options.clone());
    pipeline.begin(&Header::default());
    events.iter().for_each(|event| pipeline.push(event));
    pipeline.finish_groups()
}

fn by_batches(capture: &[u8], options: &ReportOptions) -> Grouped {
    let (mut reader, mut pipeline) = (CaptureReader::new(capture).unwrap(), Pipeline::new(options.clone()));
    pipeline.begin(reader.header());
    let mut last: Option<Arc<Columns>> = None;
    loop {
        let spare = last.take().and_then(Arc::into_inner).unwrap_or_default();
        let Some(columns) = reader.next_batch(Selection::default(), spare).unwrap() else { break };
        let columns = Arc::new(columns);
        pipeline.push_block(&(Arc::clone(&columns) as Arc<dyn Block>));
        last = Some(columns);
    }
    pipeline.finish_groups()
}

fn reports(criterion: &mut Criterion) {
    let mixes: [(&str, Vec<Event>); 2] = [
        ("report on one-shot connections", mixes::one_shot(50_000).collect()),
        ("report on long connections", mixes::sampled(10_000, 10, 10_000_000_000, 10).collect()),
    ];
    for (name, events) in mixes {
        let mut writer = CaptureWriter::new(Vec::new(), &Header::default(), WriterOptions::default()).unwrap();
        events.iter().for_each(|event| writer.push(event).unwrap());
        let (capture, _) = writer.finish().unwrap();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let (mut reader, mut found) = (CaptureReader::new(capture.as_slice()).unwrap(), 0);
                let mut spare = Columns::default();
                while let Some(columns) = reader.next_batch(Selection::default(), spare).unwrap() {
                    found += columns.kinds().len();
                    spare = columns;
                }
                found
            });
        });
        group.bench_function("deltas of events", |bencher| {
            bencher.iter(|| {
                let (mut deltas, mut steps, mut found) = (Deltas::new(), Vec::new(), 0);
                for event in &events {
                    deltas.push(event, &mut steps);
                    found += steps.drain(..).count();
                }
                found
            });
        });
        let questions = [
            ("few groups", options(&["src_ip"], None)),
            ("many groups", options(&["src_ip", "dst_ip", "dst_port"], None)),
            ("a filter", options(&["src_ip"], Some("dst_ip in 100.0.0.0/8 and dst_port == 443"))),
        ];
        for (question, options) in &questions {
            group.bench_with_input(BenchmarkId::new("events", question), options, |bencher, options| {
                bencher.iter(|| by_events(&events, options));
            });
            group.bench_with_input(BenchmarkId::new("batches", question), options, |bencher, options| {
                bencher.iter(|| by_batches(&capture, options));
            });
        }
        let [_, (_, many), _] = &questions;
        let sorted = by_events(&events, many).sort();
        group.bench_function("write CSV of many groups", |bencher| {
            bencher.iter(|| write_csv(&sorted, std::io::sink()).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, reports);
criterion_main!(benches);
