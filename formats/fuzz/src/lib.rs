//! What must hold for any input at all, whoever made it.
//!
//! In: bytes. Out: nothing, or a panic that tells what does not hold. Never here: how the bytes were found.

use std::io::Cursor;

use netflow_core::anonymize::{Anonymizer, Key, Options};
use netflow_core::event::Event;
use netflow_core::filter::{Expression, MAX_LENGTH, Scope};
use netflow_core::k8s::Cluster;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_formats::capture::{
    CaptureReader, CaptureWriter, Checker, End, ReadError, Selection, WriteError, WriterOptions, read_index, recover,
};
use netflow_formats::jsonl::{Exporter, ImportOptions, Importer};
use netflow_formats::k8s;

/// A few hundred bytes can claim half a million events: more blocks than this tell nothing new, and cost time.
const BLOCKS: usize = 4;

/// Any bytes as a capture.
pub fn capture(bytes: &[u8]) {
    let Some(read) = count(bytes) else { return };
    let columns = columns(bytes);
    let index = read_index(Cursor::new(bytes)).expect("memory can be read");
    if !read.is_whole {
        return;
    }
    if let Some(columns) = columns {
        // Who reads every column may find fault with one that no event needs.
        assert!(columns <= read.events, "columns, events: {columns} {}", read.events);
    }
    let Some(intact) = check(bytes) else { return };
    if read.is_clean && intact {
        let stated: u64 = index.expect("an intact capture has an index").iter().map(|it| it.index.totals.events).sum();
        assert_eq!(stated, read.events + read.skipped, "index, events");
    }
    let mut saved = Vec::new();
    if recover(bytes, &mut saved, WriterOptions::default(), |_| {}).is_ok() {
        assert_eq!(check(&saved), Some(true), "what was recovered is intact");
    }
}

/// A capture whose checksums are made to fit.
pub fn sealed(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    netflow_fixtures::forged::seal(&mut bytes);
    capture(&bytes);
}

struct Read {
    events: u64,
    skipped: u64,
    /// Nothing is damaged, and it was closed.
    is_clean: bool,
    /// It was read up to the end.
    is_whole: bool,
}

/// Reads all events into a report.
fn count(bytes: &[u8]) -> Option<Read> {
    let mut reader = CaptureReader::new(bytes).ok()?;
    let mut read = Read { events: 0, skipped: 0, is_clean: true, is_whole: true };
    let mut left = 200_000;
    let mut pipeline = Pipeline::new(ReportOptions::default());
    loop {
        pipeline.begin(reader.header());
        let mut last_at = 0;
        for event in reader.by_ref() {
            let event: Event = event.expect("memory can be read");
            assert!(event.at >= last_at, "{} after {last_at}", event.at);
            last_at = event.at;
            pipeline.push(&event);
            read.events += 1;
            left -= 1;
            if left == 0 {
                return Some(Read { is_whole: false, ..read });
            }
        }
        read.is_clean &= reader.end() == Some(End::Clean);
        match reader.next_section() {
            Ok(true) => {}
            Ok(false) => break,
            Err(ReadError::Io { .. }) => unreachable!("memory can be read"),
            Err(_) => return None,
        }
    }
    let _ = pipeline.finish();
    read.skipped = reader.passed_over().events;
    read.is_clean &= reader.damage_count() == 0 && reader.passed_over().blocks == 0;
    Some(read)
}

/// The events of all columns of the first blocks; none when there are more.
fn columns(bytes: &[u8]) -> Option<u64> {
    let mut reader = CaptureReader::new(bytes).ok()?;
    let (mut events, mut skipped, mut blocks) = (0, 0, 0);
    loop {
        while let Some(columns) = reader.next_block(Selection::ALL).expect("memory can be read") {
            events += columns.kinds().len() as u64;
            skipped += columns.others().iter().filter(|other| other.is_none()).count() as u64;
            assert_eq!(columns.at().len(), columns.kinds().len());
            for row in columns.rows() {
                assert!(columns.definitions().identity(*row as usize).is_some());
            }
            blocks += 1;
            if blocks > BLOCKS {
                return None;
            }
        }
        if !reader.next_section().ok()? {
            return Some(events - skipped);
        }
    }
}

/// Whether all of it is intact; none when it cannot be read to its end.
fn check(bytes: &[u8]) -> Option<bool> {
    let mut checker = Checker::new(bytes).ok()?;
    let mut intact = true;
    while let Some(section) = checker.next_section().ok()? {
        assert!(section.least_cost >= section.events_lost);
        intact &= section.is_intact();
    }
    Some(intact)
}

/// Any bytes as events in JSON Lines.
pub fn events(bytes: &[u8]) {
    let sorted = Importer::new(bytes, ImportOptions { sort: true });
    if let Ok(sorted) = sorted {
        sorted.for_each(drop);
    }
    let Some((header, events)) = import(bytes) else { return };
    let mut exporter = Exporter::new(Vec::new(), &header).expect("memory can be written");
    let mut writer = match CaptureWriter::new(Vec::new(), &header, WriterOptions::default()) {
        Ok(writer) => Some(writer),
        Err(WriteError::TooLong { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    for event in &events {
        exporter.write(event).expect("memory can be written");
        match writer.as_mut().map(|writer| writer.push(event)) {
            None | Some(Ok(())) => {}
            Some(Err(WriteError::TooLong { .. })) => writer = None,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    let text = exporter.finish().expect("memory can be written");
    let again = import(&text).unwrap_or_else(|| panic!("cannot be read again: {}", String::from_utf8_lossy(&text)));
    assert_eq!(again, (header, events.clone()));
    if let Some(writer) = writer {
        let (capture, totals) = writer.finish().expect("memory can be written");
        assert_eq!(totals.events, events.len() as u64);
        let mut reader = CaptureReader::new(capture.as_slice()).expect("what was written can be read");
        let read: Vec<Event> = reader.by_ref().map(|event| event.expect("memory can be read")).collect();
        assert_eq!((read, reader.damage_count(), reader.end()), (events, 0, Some(End::Clean)));
        assert_eq!(check(&capture), Some(true));
    }
}

fn import(bytes: &[u8]) -> Option<(netflow_core::event::Header, Vec<Event>)> {
    let mut importer = Importer::new(bytes, ImportOptions::default()).ok()?;
    let events = importer.by_ref().collect::<Result<Vec<_>, _>>().ok()?;
    Some((importer.header().clone(), events))
}

/// Any text as objects of a cluster.
pub fn k8s(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(objects) = k8s::read(text) else { return };
    let _ = Cluster::new(&objects);
    // Only what is reduced is written.
    let reduced = objects.reduced();
    assert_eq!(k8s::read(&k8s::write(&reduced)).as_ref(), Ok(&reduced));
    let other = Anonymizer::new(&Key::from_seed(1), Options::default()).objects(&objects);
    assert_eq!(k8s::read(&k8s::write(&other)).as_ref(), Ok(&other));
}

/// Any text as a filter.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let columns = ReportOptions::default().columns();
    for scope in [Scope::Connections, Scope::Recorded, Scope::Rows(&columns)] {
        match Expression::parse(text, scope) {
            Ok(expression) => {
                let shown = expression.to_string();
                if shown.len() <= MAX_LENGTH {
                    let again = Expression::parse(&shown, scope);
                    let again = again.unwrap_or_else(|error| panic!("cannot be read again: {error}"));
                    assert_eq!(again, expression, "{shown}");
                    assert_eq!(again.to_string(), shown);
                }
            }
            Err(error) => {
                assert_eq!(error.to_string().lines().count(), 3, "{error}");
                assert!(text.get(error.place()).is_some() || text.len() > MAX_LENGTH);
            }
        }
    }
}
