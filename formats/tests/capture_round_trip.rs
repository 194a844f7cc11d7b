//! What is written to a capture is what is read from it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::io::Cursor;

use netflow_core::event::{Event, Header};
use netflow_formats::capture::{CaptureReader, CaptureWriter, End, Totals, WriterOptions, read_index};
use proptest::prelude::*;

fn write(header: &Header, events: &[Event], options: WriterOptions) -> (Vec<u8>, Totals) {
    let mut writer = CaptureWriter::new(Vec::new(), header, options).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> (Header, Vec<Event>) {
    let mut reader = CaptureReader::new(bytes).unwrap();
    let header = reader.header().clone();
    let events = reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(reader.damage(), []);
    assert_eq!(reader.end(), Some(End::Clean));
    assert_eq!(reader.offset(), bytes.len() as u64);
    (header, events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_event_comes_back(header in events::header(), list in events::events(), max_rows in 1..40_u32) {
        let options = WriterOptions { max_rows, ..WriterOptions::default() };
        let (bytes, totals) = write(&header, &list, options);
        let (read_header, read_events) = read(&bytes);
        prop_assert_eq!(&read_header, &header);
        prop_assert_eq!(&read_events, &list);
        prop_assert_eq!(&write(&read_header, &read_events, options).0, &bytes);
        prop_assert_eq!(&read(&write(&header, &list, WriterOptions::compact()).0).1, &list);

        let sections = read_index(Cursor::new(&bytes)).unwrap().unwrap();
        prop_assert_eq!(sections.len(), 1);
        prop_assert_eq!(&sections[0].header, &header);
        prop_assert_eq!(&sections[0].index.totals, &totals);
        prop_assert_eq!(totals.events, list.len() as u64);
        prop_assert_eq!(sections[0].bytes, bytes.len() as u64);
    }

    #[test]
    fn captures_can_be_put_behind_each_other(
        first in events::events(),
        second in events::events(),
        headers in (events::header(), events::header()),
    ) {
        let mut bytes = write(&headers.0, &first, WriterOptions::default()).0;
        bytes.extend(write(&headers.1, &second, WriterOptions::default()).0);
        let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
        prop_assert_eq!(reader.header(), &headers.0);
        prop_assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), first);
        prop_assert_eq!(reader.end(), Some(End::Clean));
        prop_assert!(reader.next_section().unwrap());
        prop_assert_eq!(reader.header(), &headers.1);
        prop_assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), second);
        prop_assert_eq!(reader.end(), Some(End::Clean));
        prop_assert!(!reader.next_section().unwrap());
        prop_assert_eq!(reader.damage(), []);
        let sections = read_index(Cursor::new(&bytes)).unwrap().unwrap();
        prop_assert_eq!(sections.iter().map(|section| section.header.clone()).collect::<Vec<_>>(), [headers.0, headers.1]);
    }
}
