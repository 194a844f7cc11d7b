//! Blocks read as columns say what their events say; and no more of a file is read than was asked for.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use netflow_core::event::{Body, Close, Event, Header, Open, Sample, Tick, Totals};
use netflow_formats::capture::{CaptureReader, CaptureWriter, Columns, Field, Selection, WriterOptions, read_index};
use proptest::prelude::*;

fn write(header: &Header, events: &[Event], max_rows: u32) -> Vec<u8> {
    let options = WriterOptions { max_rows, ..WriterOptions::default() };
    let mut writer = CaptureWriter::new(Vec::new(), header, options).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish().unwrap().0
}

/// The events that the columns of a block say.
fn rebuild(block: &Columns) -> Vec<Event> {
    let (mut rows, mut others) = (block.rows().iter(), block.others().iter());
    let (mut states, mut reasons, mut complete) = (block.tcp_states(), block.reasons(), block.complete());
    let mut carried = block.carried();
    let mut place = 0;
    let conn_of = |row: usize| (block.definitions().conns()[row], Arc::new(block.definitions().identity(row).unwrap()));
    let events = block.kinds().iter().zip(block.at()).map(|(kind, at)| {
        let mut totals = || {
            let number = |field| block.totals(field)[place];
            let totals = Totals {
                sent_bytes: number(Field::SentBytes),
                recv_bytes: number(Field::RecvBytes),
                sent_packets: number(Field::SentPackets),
                recv_packets: number(Field::RecvPackets),
                retransmits: number(Field::Retransmits),
                rtt_us: number(Field::Rtt).try_into().unwrap(),
                rtt_var_us: number(Field::RttVar).try_into().unwrap(),
                unacked_bytes: number(Field::Unacked),
                unread_bytes: number(Field::Unread),
            };
            let row = *rows.next().unwrap();
            assert_eq!(block.total_rows()[place], row);
            place += 1;
            let (conn, identity) = conn_of(row as usize);
            (conn, totals, carried.next().unwrap().then_some(identity))
        };
        let body = match *kind {
            Columns::OPEN => {
                let (conn, identity) = conn_of(*rows.next().unwrap() as usize);
                Body::Open(Open { conn, identity })
            }
            Columns::SAMPLE => {
                let (conn, totals, identity) = totals();
                Body::Sample(Sample { conn, totals, identity })
            }
            Columns::CLOSE => {
                let (conn, totals, identity) = totals();
                let (tcp_states, reason) = (states.next().unwrap(), reasons.next().unwrap());
                Body::Close(Close { conn, totals, identity, tcp_states, reason })
            }
            Columns::TICK => Body::Tick(Tick { complete: complete.next().unwrap() }),
            _ => others.next().unwrap().clone().unwrap(),
        };
        Event { at: *at, body }
    });
    events.collect()
}

fn blocks(bytes: &[u8], selection: Selection, mut see: impl FnMut(usize, &Columns)) {
    let mut reader = CaptureReader::new(bytes).unwrap();
    let mut number = 0;
    while let Some(block) = reader.next_block(selection).unwrap() {
        see(number, block);
        number += 1;
    }
    assert_eq!(reader.damage(), []);
    assert_eq!(reader.offset(), bytes.len() as u64);
}

/// All that a field gives, as text that can be compared.
fn field(block: &Columns, field: Field) -> String {
    match field {
        Field::At => format!("{:?}", block.at()),
        Field::Conn => format!("{:?} {:?} {:?}", block.definitions().conns(), block.rows(), block.total_rows()),
        Field::Identity => {
            let identities = (0..block.definitions().conns().len()).map(|row| block.definitions().identity(row));
            format!("{:?}", identities.collect::<Vec<_>>())
        }
        Field::Carried => format!("{:?}", block.carried().collect::<Vec<_>>()),
        Field::Ending => {
            format!("{:?} {:?}", block.tcp_states().collect::<Vec<_>>(), block.reasons().collect::<Vec<_>>())
        }
        Field::Complete => format!("{:?}", block.complete().collect::<Vec<_>>()),
        Field::Others => format!("{:?}", block.others()),
        number => format!("{:?}", block.totals(number)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn columns_say_what_events_say(header in events::header(), list in events::events(), max_rows in 1..40_u32) {
        let bytes = write(&header, &list, max_rows);
        let mut found = Vec::new();
        blocks(&bytes, Selection::ALL, |_, block| found.extend(rebuild(block)));
        prop_assert_eq!(&found, &list);
        // In blocks of other lengths other events have a row before.
        found.clear();
        blocks(&write(&header, &list, 1 << 19), Selection::ALL, |_, block| found.extend(rebuild(block)));
        prop_assert_eq!(found, list);
    }

    #[test]
    fn each_selection_gives_the_same(list in events::events(), picked in any::<u16>()) {
        let bytes = write(&Header::default(), &list, 25);
        let fields: Vec<Field> = Field::ALL.into_iter().filter(|field| picked >> *field as u16 & 1 == 1).collect();
        let mut all = Vec::new();
        blocks(&bytes, Selection::ALL, |_, block| all.push(fields.iter().map(|name| field(block, *name)).collect::<Vec<_>>()));
        let selection = Selection::of(&fields);
        blocks(&bytes, selection, |number, block| {
            let found: Vec<_> = fields.iter().map(|name| field(block, *name)).collect();
            assert_eq!(found, all[number]);
            for name in Field::ALL.into_iter().filter(|name| !selection.has(*name)) {
                let is_number = (Field::SentBytes as u32..=Field::Unread as u32).contains(&(name as u32));
                assert!(!is_number || block.totals(name).is_empty());
            }
        });
    }
}

fn tick(at: u64) -> Event {
    Event { at, body: Body::Tick(Tick { complete: true }) }
}

#[test]
fn a_block_after_damage_says_so() {
    let list: Vec<Event> = (0..12).map(|at| tick(at * 10)).collect();
    let mut bytes = write(&Header::default(), &list, 3);
    let index = read_index(Cursor::new(&bytes)).unwrap().unwrap().remove(0).index;
    let second = usize::try_from(index.entries[1].offset).unwrap();
    bytes[second + 150] ^= 4;
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let selection = Selection::of(&[Field::At, Field::Complete]);
    let mut found = Vec::new();
    while let Some(block) = reader.next_block(selection).unwrap() {
        found.push((block.at().to_vec(), block.is_after_gap(), block.complete().collect::<Vec<_>>()));
    }
    let all = vec![true; 3];
    let expected = [
        (vec![0, 10, 20], false, all.clone()),
        (vec![60, 70, 80], true, vec![false, true, true]),
        (vec![90, 100, 110], false, all),
    ];
    assert_eq!(found, expected);
    assert_eq!((reader.damage_count(), reader.events_lost()), (1, 3));
}

/// Counts the bytes that are read.
struct Counting<'a> {
    input: Cursor<&'a [u8]>,
    bytes: u64,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

impl Seek for Counting<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.input.seek(to)
    }
}

#[test]
fn an_hour_of_a_day_reads_no_more_than_its_blocks() {
    const SECOND: u64 = 1_000_000_000;
    let list: Vec<Event> =
        (0..8_640).flat_map(|step| (0..5).map(move |part| tick((step * 10 + 1) * SECOND + part))).collect();
    let bytes = write(&Header::default(), &list, 1 << 16);

    // What `info` needs: the end, the index, the start. The index is compressed, and far smaller than what it spares.
    let mut counted = Counting { input: Cursor::new(&bytes), bytes: 0 };
    let section = read_index(&mut counted).unwrap().unwrap().remove(0);
    let entries = &section.index.entries;
    assert_eq!(entries.len(), 8_640);
    let first = entries[0].offset;
    let last = entries.last().unwrap().offset;
    assert!(counted.bytes < first + bytes.len() as u64 - last, "{} bytes", counted.bytes);

    let (since, until) = (10 * 3_600 * SECOND, 11 * 3_600 * SECOND - 1);
    let within: Vec<Event> = list.iter().filter(|event| (since..=until).contains(&event.at)).cloned().collect();
    let begin = entries.iter().find(|entry| entry.first_at >= since).unwrap().offset;
    let end = entries.iter().find(|entry| entry.first_at > until).unwrap().offset;
    // The start of the file, the hour's blocks, and the header that says that the next one is too late.
    let allowed = first + (end - begin) + 144;

    let open = || CaptureReader::new(Counting { input: Cursor::new(&bytes), bytes: 0 }).unwrap();
    let mut reader = open();
    reader.stop_after(until);
    reader.seek_to(since, &section.index).unwrap();
    assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), within);
    assert_eq!((reader.damage(), reader.end()), (&[][..], None));
    assert_eq!(reader.into_inner().bytes, allowed);

    let mut reader = open();
    reader.stop_after(until);
    reader.seek_to(since, &section.index).unwrap();
    let mut found = Vec::new();
    while let Some(block) = reader.next_block(Selection::of(&[Field::At])).unwrap() {
        found.extend_from_slice(block.at());
    }
    assert_eq!(found, within.iter().map(|event| event.at).collect::<Vec<_>>());
    assert_eq!(reader.into_inner().bytes, allowed);

    // What follows is passed over, not given.
    let mut reader = open();
    reader.stop_after(until);
    assert!(!reader.next_section().unwrap());
    assert_eq!(reader.into_inner().bytes, bytes.len() as u64);
}
