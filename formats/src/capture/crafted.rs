//! Files with fitting checksums that lie: each claim is checked before it costs memory or gives a wrong number; and
//! files of later minor versions, whose additions are skipped.

use netflow_core::event::{Body, Event, Header, Loss, Tick};
use xxhash_rust::xxh3::xxh3_64;

use super::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind};
use super::column::{Column, ColumnWriter, TableRows};
use super::encode::{CLOSE, OPEN, SAMPLE, TICK};
use super::record::{self, Directory, Stream};
use super::{CaptureReader, CaptureWriter, MAX_ROWS, WriterOptions};

const DNS: u8 = record::DNS;

fn start() -> Vec<u8> {
    let writer = CaptureWriter::new(Vec::new(), &Header::default(), WriterOptions::default()).unwrap();
    writer.get_ref().clone()
}

fn block(kind: BlockKind, sequence: u32, events: u32, payload: &[u8]) -> Vec<u8> {
    block_of(kind, sequence, events, u32::try_from(payload.len()).unwrap(), payload)
}

fn block_of(kind: BlockKind, sequence: u32, events: u32, raw_bytes: u32, payload: &[u8]) -> Vec<u8> {
    let header = BlockHeader {
        kind,
        codec: 0,
        sequence,
        stored_bytes: u32::try_from(payload.len()).unwrap(),
        raw_bytes,
        events_before: 0,
        events,
        first_at: 10,
        last_at: 10,
        losses: Loss::default(),
        checksum: xxh3_64(payload),
    };
    [&header.to_bytes()[..], payload].concat()
}

/// The events of a capture with one crafted block, and the damage found.
fn read(block: &[u8]) -> (Vec<Event>, String) {
    let bytes = [&start(), block].concat();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    reader.check_everything();
    let events = reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    (events, reader.damage().iter().map(|damage| format!("{}\n", damage.what)).collect())
}

fn columns(events: u32, rows: TableRows, fill: impl FnOnce(&mut ColumnWriter)) -> (Vec<Event>, String) {
    let mut writer = ColumnWriter::new(1).unwrap();
    fill(&mut writer);
    let mut payload = Vec::new();
    writer.finish(rows, &mut payload).unwrap();
    read(&block(BlockKind::Events, 1, events, &payload))
}

fn directory(directory: &Directory, data: &[u8]) -> String {
    let mut payload = Vec::new();
    record::encode("a directory", directory, &mut payload).unwrap();
    payload.extend_from_slice(data);
    read(&block(BlockKind::Events, 1, 1, &payload)).1
}

fn stream(step: u16, codec: u8, stored_bytes: u32) -> Directory {
    Directory { streams: vec![Stream { step, codec, stored_bytes }], ..Directory::default() }
}

#[test]
fn lengths_are_checked_before_memory_is_taken() {
    let mut table = String::new();
    let mut case = |name: &str, found: &str| table.push_str(&format!("{name}: {}\n", found.trim_end()));
    case("raw length of a block", &read(&block_of(BlockKind::Events, 1, 1, u32::MAX, b"")).1);
    case("raw length of events", &read(&block_of(BlockKind::Events, 1, 1, 1, b"")).1);
    case("events of a block", &read(&block(BlockKind::Events, 1, u32::MAX, b"")).1);
    case("empty payload", &read(&block(BlockKind::Events, 1, 1, b"")).1);
    // The directory claims 4,294,967,295 streams and ends.
    case("streams", &read(&block(BlockKind::Events, 1, 1, &[0, 0, 0, 0, 0, 252, 255, 255, 255, 255])).1);
    case("stored length", &directory(&stream(0, 0, u32::MAX), &[0]));
    case("stream", &directory(&stream(0, 0, 2), &[3, 3]));
    case("repeated", &directory(&stream(0, 2, 2), &[3, 3]));
    case("codec", &directory(&stream(0, 9, 1), &[3]));
    case("after the end", &directory(&stream(0, 0, 1), &[3, 3]));
    case("packed, nothing", &directory(&stream(0, 3, 0), &[]));
    case("packed, no list", &directory(&stream(0, 3, 1), &[17]));
    case("packed, list cut", &directory(&stream(0, 3, 2), &[2, 3]));
    case("packed, too long", &directory(&stream(0, 3, 5), &[2, 3, 4, 0, 0]));
    case("packed, code", &directory(&stream(0, 3, 5), &[3, 3, 4, 5, 3]));
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let stored = u32::try_from(bomb.len()).unwrap();
    case("bomb", &directory(&stream(0, 1, stored), &bomb));
    case("packed bomb", &directory(&stream(0, 4, stored), &bomb));
    let mut twice = stream(0, 0, 1);
    twice.streams.push(twice.streams[0]);
    case("stream twice", &directory(&twice, &[3, 3]));
    let mut around = stream(1, 0, 1);
    around.streams.push(Stream { step: u16::MAX, ..around.streams[0] });
    case("ids around", &directory(&around, &[3, 3]));
    case("no zstd frame", &directory(&stream(0, 1, 3), &[1, 2, 3]));
    for (name, rows) in [
        ("definitions", TableRows { definitions: MAX_ROWS, ..TableRows::default() }),
        ("addresses", TableRows { addresses: u32::MAX, ..TableRows::default() }),
        ("profiles", TableRows { profiles: u32::MAX, ..TableRows::default() }),
        ("names", TableRows { names: u32::MAX, ..TableRows::default() }),
    ] {
        case(name, &columns(1, rows, |columns| columns.bytes(Column::Kind, &[TICK]).unwrap()).1);
    }
    insta::assert_snapshot!(table, @r#"
    raw length of a block: raw length of a block: expected at most 100663296, found 4294967295
    raw length of events: raw length of an events block: expected 0, found 1
    events of a block: events of a block: expected at most 524288, found 4294967295
    empty payload: directory of columns: expected a complete record, found 0 bytes (UnexpectedEnd { additional: 1 })
    streams: directory of columns: expected a complete record, found 10 bytes (LimitExceeded)
    stored length: stored length of a stream: expected at most 1, found 4294967295
    stream: length of a stored stream: expected 1, found 2
    repeated: length of a repeated stream: expected 1, found 2
    codec: codec of a stream: expected 0 to 4, found 9
    after the end: payload: expected its end after the last stream, found 1 more bytes
    packed, nothing: packed stream: expected a list of bytes, found nothing
    packed, no list: different bytes of a packed stream: expected 1 to 16, found 17
    packed, list cut: packed stream: expected 2 bytes, found 1
    packed, too long: length of a packed stream: expected 1, found 2
    packed, code: code of a packed stream: expected below 3, found more
    bomb: compressed stream: expected 1 bytes in one zstd frame, found Destination buffer is too small
    packed bomb: compressed stream: expected at most 18 bytes in one zstd frame, found Destination buffer is too small
    stream twice: stream: expected an id above 0, found 0
    ids around: stream: expected an id above 1, found 65535
    no zstd frame: compressed stream: expected 1 bytes in one zstd frame, found Src size is incorrect
    definitions: definitions: expected at most 0, found 524288
    addresses: addresses: expected at most 0, found 4294967295
    profiles: profiles: expected at most 0, found 4294967295
    names: names: expected at most 0, found 4294967295
    "#);
}

#[test]
fn contents_are_checked() {
    let one = TableRows { definitions: 1, profiles: 1, addresses: 1, ipv6_addresses: 0, names: 0 };
    let close = |rows: TableRows, fill: fn(&mut ColumnWriter)| {
        let (events, damage) = columns(1, rows, |columns| {
            columns.bytes(Column::Kind, &[CLOSE]).unwrap();
            fill(columns);
        });
        assert!(events.is_empty());
        damage
    };
    let mut table = String::new();
    let mut case = |name: &str, found: &str| table.push_str(&format!("{name}: {}\n", found.trim_end()));
    case("two addresses needed", &close(one, |_| {}));
    let two = TableRows { addresses: 2, ..one };
    case("reference", &close(two, |columns| columns.numbers(Column::Reference, &[1]).unwrap()));
    case("states", &close(two, |columns| columns.planes(Column::TcpStates, &[1]).unwrap()));
    case("reason", &close(two, |columns| columns.bytes(Column::Reason, &[8]).unwrap()));
    case("bits left out", &close(two, |columns| columns.stream(Column::Rtt as u16 * 8, &[99]).unwrap()));
    case("bits of zeros", &close(two, |columns| columns.stream(Column::Rtt as u16 * 8 + 1, &[9]).unwrap()));
    case("third stream", &close(two, |columns| columns.stream(Column::Rtt as u16 * 8 + 2, &[9]).unwrap()));
    case("predictions", &close(two, |columns| columns.bytes(Column::Predictions, &[4, 0]).unwrap()));
    case("rtt", &close(two, |columns| columns.numbers(Column::Rtt, &[1 << 32]).unwrap()));
    case("port", &close(two, |columns| columns.numbers(Column::NextPort, &[1 << 16]).unwrap()));
    case("pid", &close(two, |columns| columns.planes(Column::Pid, &[1 << 32]).unwrap()));
    case("directions", &close(two, |columns| columns.planes(Column::Flags, &[6]).unwrap()));
    case("remote", &close(two, |columns| columns.numbers(Column::Remote, &[9]).unwrap()));
    case("family", &close(two, |columns| columns.bytes(Column::Family, &[0, 2]).unwrap()));
    case("profile", &close(two, |columns| columns.numbers(Column::Profile, &[5]).unwrap()));
    case("time", &close(two, |columns| columns.numbers(Column::At, &[7]).unwrap()));
    let named = TableRows { names: 1, ..two };
    case("name not used", &close(named, |_| {}));
    case("name length", &close(named, |columns| columns.numbers(Column::NameLength, &[u64::MAX]).unwrap()));
    case(
        "name text",
        &close(named, |columns| {
            columns.numbers(Column::NameLength, &[1]).unwrap();
            columns.blob(Column::NameBytes, &[0xff]).unwrap();
        }),
    );
    let (events, damage) = columns(1, TableRows::default(), |columns| {
        columns.bytes(Column::Kind, &[DNS]).unwrap();
        columns.numbers(Column::RecordLength, &[3]).unwrap();
        columns.blob(Column::RecordBytes, &[2, 255, 255]).unwrap();
    });
    assert!(events.is_empty());
    case("record", &damage);
    let (events, damage) = columns(3, one, |columns| columns.bytes(Column::Kind, &[OPEN, SAMPLE, CLOSE]).unwrap());
    assert!(events.is_empty());
    case("definitions left", &damage);
    insta::assert_snapshot!(table, @r#"
    two addresses needed: address: expected at most 1 rows, found 2
    reference: reference to a definition: expected at most 0 back, found 1
    states: tcp_states: expected bits 1 to 12, found 0x1
    reason: reason: expected 0 to 7, found 8
    bits left out: bits of a column: expected 3 bytes, found 0
    bits of zeros: bits of a column of zeros: expected 0, found 1
    third stream: streams of a column: expected at most 2, found 3
    predictions: predictions: expected 0 to 3 and 0 to 1, found [4, 0]
    rtt: rtt_us: expected at most 4294967295, found 4294967296
    port: port: expected at most 65535, found 65536
    pid: pid: expected at most 4294967295, found 4294967296
    directions: direction: expected at most one of two bits, found both
    remote: address: expected a row below 1, found 8
    family: families of addresses: expected 0 times 1, otherwise 0, found 0
    profile: profile: expected a row below 0, found 4
    time: time of the last event: expected 10, found 17
    name not used: name: expected 1 rows, found 0
    name length: length of a name: expected at most 65535, found 18446744073709551615
    name text: name: expected UTF-8, found invalid utf-8 sequence of 1 bytes from index 0
    record: dns event: expected a complete record, found 3 bytes (Utf8 { inner: Utf8Error { valid_up_to: 0, error_len: Some(1) } })
    definitions left: address: expected at most 1 rows, found 2
    "#);
}

#[test]
fn later_additions_are_skipped() {
    let tick = Event { at: 10, body: Body::Tick(Tick { complete: true }) };
    // A column, a plane beyond those known, and a kind of event.
    let (events, damage) = columns(2, TableRows::default(), |columns| {
        columns.bytes(Column::Kind, &[200, TICK]).unwrap();
        columns.numbers(Column::RecordLength, &[4]).unwrap();
        columns.blob(Column::RecordBytes, b"what").unwrap();
        columns.stream(6000, b"a column that was not known").unwrap();
    });
    assert_eq!((events, damage.as_str()), (vec![tick.clone()], ""));
    // A kind of block.
    let mut ticks = ColumnWriter::new(1).unwrap();
    ticks.bytes(Column::Kind, &[TICK]).unwrap();
    let mut payload = Vec::new();
    ticks.finish(TableRows::default(), &mut payload).unwrap();
    let known = block(BlockKind::Events, 2, 1, &payload);
    let (events, damage) = read(&[block(BlockKind::Unknown(99), 1, 0, b"new"), known].concat());
    assert_eq!((events, damage.as_str()), (vec![tick], ""));
}

#[test]
fn a_file_that_is_all_markers_is_read_in_linear_time() {
    let mut bytes = start();
    let marker = block(BlockKind::Events, 1, 1, b"")[..8].to_vec();
    for _ in 0..100_000 {
        bytes.extend_from_slice(&marker);
    }
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    assert_eq!(reader.by_ref().count(), 0);
    assert_eq!(reader.damage_count(), 1);
}

#[test]
fn any_byte_of_a_payload_may_lie() {
    let stream = crate::jsonl::Importer::new(include_bytes!("crafted.jsonl").as_slice(), Default::default()).unwrap();
    let mut writer = CaptureWriter::new(Vec::new(), &Header::default(), WriterOptions::default()).unwrap();
    let before = start().len();
    for event in stream {
        writer.push(&event.unwrap()).unwrap();
    }
    writer.seal().unwrap();
    let bytes = writer.get_ref().clone();
    let (head, payload) = bytes[before..].split_at(BLOCK_HEADER_BYTES);
    let header = BlockHeader::parse(head.first_chunk().unwrap()).unwrap();
    let (mut whole, mut refused) = (0, 0);
    for place in 0..payload.len() {
        for value in
            [0, 1, 2, 3, 8, 127, 128, 250, 251, 252, 253, 255, payload[place] ^ 1, payload[place].wrapping_add(1)]
        {
            let mut payload = payload.to_vec();
            payload[place] = value;
            let header = BlockHeader { checksum: xxh3_64(&payload), ..header };
            let (events, damage) = read(&[&header.to_bytes()[..], &payload].concat());
            // All or none. Losses that differ from what the header states are told, and cost nothing.
            if damage.lines().all(|what| what.starts_with("losses up to the end of a block: ")) {
                assert!(events.len() <= header.events as usize);
                whole += 1;
            } else {
                assert!(events.is_empty(), "{damage}");
                refused += 1;
            }
        }
    }
    assert!(whole > 100 && refused > 100, "{whole} {refused}");
}
