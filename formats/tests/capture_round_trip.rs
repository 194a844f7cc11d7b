//! What is written to a capture is what is read from it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::io::Cursor;

use netflow_core::event::{Event, Header};
use netflow_formats::capture::{
    CaptureReader, CaptureWriter, End, Layout, Totals, WriterOptions, find_sections, read_index,
};
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
    fn a_writer_goes_on_in_a_section_as_in_another_capture(
        lists in prop::collection::vec((events::header(), events::events()), 2..5),
        cut in any::<prop::sample::Index>(),
        behind in 0..40_usize,
    ) {
        let options = WriterOptions { max_rows: 5, ..WriterOptions::default() };
        let apart: Vec<(Vec<u8>, Totals)> = lists.iter().map(|(header, list)| write(header, list, options)).collect();
        let mut writer = CaptureWriter::new(Vec::new(), &lists[0].0, options).unwrap();
        for (place, (header, list)) in lists.iter().enumerate() {
            if place > 0 {
                prop_assert_eq!(&writer.next_section(header).unwrap(), &apart[place - 1].1);
            }
            list.iter().for_each(|event| writer.push(event).unwrap());
            prop_assert_eq!(writer.section_events(), list.len() as u64);
        }
        prop_assert_eq!(writer.events(), lists.iter().map(|(_, list)| list.len() as u64).sum::<u64>());
        let (bytes, last) = writer.finish().unwrap();
        prop_assert_eq!(&last, &apart.last().unwrap().1);
        prop_assert_eq!(&bytes, &apart.iter().flat_map(|(bytes, _)| bytes).copied().collect::<Vec<u8>>());
        // However it is cut off, what is found of it are the first sections and where the rest begins.
        let Layout { closed, open } = find_sections(Cursor::new(&bytes)).unwrap().unwrap();
        prop_assert_eq!((closed.len(), open), (lists.len(), None));
        prop_assert_eq!(Some(closed.clone()), read_index(Cursor::new(&bytes)).unwrap());
        let ends = closed.iter().map(|section| usize::try_from(section.offset + section.bytes).unwrap() + behind);
        for cut in ends.chain([cut.index(bytes.len())]).filter(|cut| *cut < bytes.len()) {
            let whole: Vec<_> =
                closed.iter().filter(|section| section.offset + section.bytes <= cut as u64).cloned().collect();
            let end = whole.iter().map(|section| section.bytes).sum::<u64>();
            let rest = cut as u64 - end;
            match find_sections(Cursor::new(&bytes[..cut])).unwrap() {
                // Where not even the first bytes of the next are there, the last that was closed leads to them.
                Some(found) if (1..32).contains(&rest) => {
                    let (last, before) = whole.split_last().unwrap();
                    prop_assert_eq!(found.closed.as_slice(), before);
                    prop_assert_eq!(found.open, Some(last.offset));
                }
                Some(found) => {
                    prop_assert_eq!(found.closed, whole);
                    prop_assert_eq!(found.open, (rest > 0).then_some(end));
                }
                // None was closed, or what has to be read again is too long.
                None if (1..32).contains(&rest) => {
                    let last = whole.last().map_or(0, |last| last.offset);
                    prop_assert!(whole.len() < 2 || cut as u64 - last > cut as u64 / 4, "{} of {}", last, cut);
                }
                None => prop_assert!(whole.is_empty() || rest > cut as u64 / 4, "{} of {}", rest, cut),
            }
        }
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
