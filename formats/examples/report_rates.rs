//! How fast the steps of a report are: reads a capture, and prints millions of events per CPU second for decoding alone, and
//! for reports event by event and block by block.
//!
//! `cargo run --release -p netflow-formats --example report_rates CAPTURE [BY [FILTER [STEP]]]`, where BY is tags with commas
//! between them (`src_ip` when nothing is said), FILTER may be empty, and STEP is the beginning of the only steps to be
//! taken. Ports are not folded, and of measures there are bytes and connections.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a program for measurements")]

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use netflow_core::batch::Block;
use netflow_core::column::{Column, Tag};
use netflow_core::filter::Filter;
use netflow_core::flow::PortOptions;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_formats::capture::{CaptureReader, Columns, Field, Selection};

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().unwrap();
    let by = arguments.get(1).map_or("src_ip", String::as_str);
    let by = by.split(',').map(|tag| Tag::parse(tag).unwrap()).collect();
    let only = arguments.get(2).filter(|filter| !filter.is_empty()).map(|filter| Filter::parse(filter).unwrap());
    let ports = PortOptions { no_fold: true, ..PortOptions::default() };
    let mut options = ReportOptions { by, only, ports, ..ReportOptions::default() };
    options.shown = Column::choose(&options.columns(), &["bytes_read", "bytes_written", "connections"]).unwrap();
    let wanted = arguments.get(3).map_or("", String::as_str);
    let open = || CaptureReader::new(File::open(path).unwrap()).unwrap();
    let rate = |name: &str, run: &dyn Fn() -> u64| {
        if !name.starts_with(wanted) {
            return;
        }
        let begin = cpu_seconds();
        let events = run();
        println!("{name}: {:.1} M events per CPU second", events as f64 / (cpu_seconds() - begin) / 1e6);
    };
    for (name, measured) in [
        ("decode batches", Selection::of(&[Field::Rtt, Field::RttVar])),
        ("decode batches without round-trip times", Selection::default()),
    ] {
        rate(name, &|| {
            let (mut reader, mut events, mut spare) = (open(), 0, Columns::default());
            while let Some(columns) = reader.next_batch(measured, spare).unwrap() {
                events += columns.kinds().len() as u64;
                spare = columns;
            }
            events
        });
    }
    rate("report by batches", &|| {
        let (mut reader, mut pipeline) = (open(), Pipeline::new(options.clone()));
        pipeline.begin(reader.header());
        let mut kept: VecDeque<Arc<Columns>> = VecDeque::new();
        loop {
            let is_free = kept.front().is_some_and(|front| Arc::strong_count(front) == 1);
            let spare = if is_free { kept.pop_front().and_then(Arc::into_inner) } else { None };
            let Some(columns) = reader.next_batch(Selection::default(), spare.unwrap_or_default()).unwrap() else {
                break;
            };
            let columns = Arc::new(columns);
            pipeline.push_block(&(Arc::clone(&columns) as Arc<dyn Block>));
            kept.push_back(columns);
        }
        pipeline.finish_groups().about().diagnostics.events
    });
    rate("report by events", &|| {
        let (mut reader, mut pipeline) = (open(), Pipeline::new(options.clone()));
        pipeline.begin(reader.header());
        reader.by_ref().for_each(|event| pipeline.push(&event.unwrap()));
        pipeline.finish_groups().about().diagnostics.events
    });
}
