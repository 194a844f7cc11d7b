//! A capture that is divided into sections has the events that it had in one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::io::Cursor;
use std::time::Duration;

use netflow_core::event::{Body, Event, Header, Tick};
use netflow_core::law::Law;
use netflow_formats::capture::{
    CaptureReader, CaptureWriter, Checker, WriterOptions, find_sections, read_index, recover, recover_divided,
};
use proptest::prelude::*;

fn write(header: &Header, events: &[Event]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), header, WriterOptions::default()).unwrap();
    events.iter().for_each(|event| writer.push(event).unwrap());
    writer.finish().unwrap().0
}

/// The sections of a capture, each without what it says again of the one before.
fn own_events(bytes: &[u8]) -> Vec<Vec<Event>> {
    let mut reader = CaptureReader::new(bytes).unwrap();
    let mut law = Law::of(reader.header());
    let mut sections = Vec::new();
    loop {
        let mut own = Vec::new();
        for event in reader.by_ref() {
            let (event, before) = (event.unwrap(), law.said_again());
            law.push(&event);
            if law.said_again() == before {
                own.push(event);
            }
        }
        sections.push(own);
        if !reader.next_section().unwrap() {
            return sections;
        }
        law.go_on();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_event_is_lost_or_told_twice(list in events::events(), every_ms in 1..5_000_u64, ticks in 1..12_usize) {
        // Snapshots here and there, and so much beside them that a section may end.
        let mut stream = Vec::new();
        for (place, event) in list.iter().enumerate() {
            stream.push(event.clone());
            if place % ticks == 0 {
                stream.push(Event { at: event.at, body: Body::Tick(Tick { complete: true }) });
            }
        }
        let header = Header { host: "a".into(), began_at: 1, ..Header::default() };
        let (mut divided, mut done) = (Vec::new(), Vec::new());
        let every = Duration::from_nanos(every_ms);
        recover_divided(write(&header, &stream).as_slice(), &mut divided, WriterOptions::default(), every, |section| done.push(section)).unwrap();
        let [done] = done.as_slice() else { panic!("one section was read") };
        let sections = own_events(&divided);
        prop_assert_eq!(sections.len() as u64, done.sections);
        // A connection that a complete snapshot has missed is gone: what is told of it after a seam makes no sense there.
        let lost = u64::from(done.refused > 0);
        prop_assert_eq!(sections.iter().map(|own| own.len() as u64).sum::<u64>() + done.refused - lost, stream.len() as u64);
        if done.refused == 0 {
            prop_assert_eq!(sections.concat(), stream);
        }
        prop_assert_eq!(done.totals.events, sections.iter().map(|own| own.len() as u64).sum::<u64>());
        // Each is sound, goes on with the one before, and has its index.
        let mut checker = Checker::new(divided.as_slice()).unwrap();
        let check = checker.next_recording().unwrap().unwrap();
        prop_assert!(check.is_intact(), "{:?}", check);
        prop_assert_eq!((check.sections, check.totals.events), (done.sections, done.totals.events));
        prop_assert!(checker.next_recording().unwrap().is_none());
        let index = read_index(Cursor::new(&divided)).unwrap().unwrap();
        let said_again = index.iter().flat_map(|section| section.index.totals.said_again).sum::<u64>();
        let all = index.iter().map(|section| section.index.totals.events).sum::<u64>();
        prop_assert_eq!(all - said_again, done.totals.events);
        prop_assert!(index.iter().all(|section| section.header.part == 0));
        // As it is, it stays when it is mended.
        let mut again = Vec::new();
        recover(divided.as_slice(), &mut again, WriterOptions::default(), |_| {}).unwrap();
        prop_assert_eq!(own_events(&again), sections);
        // Where an event was left out, a block may have ended for it.
        prop_assert!(again == divided || done.refused > 0);
        prop_assert_eq!(find_sections(Cursor::new(&again)).unwrap().unwrap().closed.len(), index.len());
    }
}
