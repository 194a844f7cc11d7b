//! Damage costs the block that it hits, is always noticed, and never gives a wrong number.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::io::Cursor;
use std::sync::Arc;

use events::bare;
use netflow_core::event::{
    Body, Clock, Close, Direction, Event, Header, Identity, Loss, Open, Process, Reason, Sample, TcpStates, Tick,
    Totals, Transport,
};
use netflow_formats::capture::{
    CaptureReader, CaptureWriter, Checker, DamagedPart, End, NotACapture, ReadError, WriteError, WriterOptions,
    read_index,
};

fn identity(remote: &str) -> Arc<Identity> {
    Arc::new(Identity {
        direction: Some(Direction::Outgoing),
        pid: Some(4711),
        process: Some("curl".into()),
        netns: Some(4_026_531_840),
        ..Identity::new(Transport::Tcp, "10.0.0.5:40000".parse().unwrap(), remote.parse().unwrap())
    })
}

fn header() -> Header {
    Header {
        tool: "netflow test".into(),
        host: "a".into(),
        boot_time_ns: 1_700_000_000_000_000_000,
        ..Header::default()
    }
}

fn totals(sent_bytes: u64) -> Totals {
    Totals { sent_bytes, sent_packets: sent_bytes / 1448 + 1, rtt_us: 300, ..Totals::default() }
}

fn sample(at: u64, conn: u64, sent: u64) -> Event {
    Event { at, body: Body::Sample(Sample { conn, totals: totals(sent), identity: None }) }
}

fn small_stream() -> Vec<Event> {
    let open = |at, conn, remote| Event { at, body: Body::Open(Open { conn, identity: identity(remote) }) };
    let close = |at, conn, sent| {
        let tcp_states = TcpStates::from_bits(0x92).unwrap();
        let close = Close { conn, totals: totals(sent), identity: None, tcp_states, reason: Some(Reason::Fin) };
        Event { at, body: Body::Close(close) }
    };
    vec![
        open(100, 1, "10.0.0.9:443"),
        open(150, 2, "[2001:db8::1]:443"),
        sample(200, 1, 5_000),
        sample(201, 2, 70_000),
        Event { at: 202, body: Body::Tick(Tick { complete: true }) },
        Event {
            at: 203,
            body: Body::Process(Process {
                pid: 4711,
                process: "curl".into(),
                exe: Some("/usr/bin/curl".into()),
                cgroup: None,
                container_id: None,
                exited: false,
                started_at: Some(77),
            }),
        },
        sample(300, 1, 6_000),
        sample(301, 2, 80_000),
        Event { at: 302, body: Body::Loss(Loss { ring_full: 3, lost_opens: 2, ..Loss::default() }) },
        close(400, 1, 7_000),
        Event { at: 500, body: Body::Clock(Clock { boot_time_ns: 5 }) },
        close(501, 2, 90_000),
    ]
}

fn write(events: &[Event], max_rows: u32) -> Vec<u8> {
    let options = WriterOptions { max_rows, ..WriterOptions::default() };
    let mut writer = CaptureWriter::new(Vec::new(), &header(), options).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish().unwrap().0
}

struct Outcome {
    headers: Vec<Header>,
    events: Vec<Event>,
    damage: Vec<String>,
    parts: Vec<DamagedPart>,
    lost: u64,
    all_known: bool,
    end: Option<End>,
    losses: Loss,
}

fn read(bytes: &[u8]) -> Result<Outcome, ReadError> {
    let mut reader = CaptureReader::new(bytes)?;
    let (mut headers, mut events) = (Vec::new(), Vec::new());
    loop {
        headers.push(reader.header().clone());
        for event in &mut reader {
            events.push(event?);
        }
        if !reader.next_section()? {
            break;
        }
    }
    Ok(Outcome {
        headers,
        events,
        damage: reader.damage().iter().map(ToString::to_string).collect(),
        parts: reader.damage().iter().map(|damage| damage.part).collect(),
        lost: reader.events_lost(),
        all_known: reader.damage().iter().all(|damage| damage.events_lost.is_some()),
        end: reader.end(),
        losses: reader.losses(),
    })
}

/// Where in `whole` the events of `part` are; `None` when they are not among them in order.
fn missing(part: &[Event], whole: &[Event]) -> Option<Vec<usize>> {
    let mut rest = part.iter().map(bare).peekable();
    let missing = whole.iter().enumerate().filter(|(_, event)| rest.next_if(|next| next == &bare(event)).is_none());
    let missing = missing.map(|(place, _)| place).collect();
    rest.peek().is_none().then_some(missing)
}

/// After a gap, each connection whose events are read has been introduced.
fn assert_introduced(events: &[Event]) {
    let mut known = std::collections::HashMap::new();
    for event in events {
        match &event.body {
            Body::Open(open) => {
                known.insert(open.conn, open.identity.clone());
            }
            Body::Sample(Sample { conn, identity, .. }) | Body::Close(Close { conn, identity, .. }) => {
                if let Some(identity) = identity {
                    known.insert(*conn, identity.clone());
                }
                let remote = known.get(conn).unwrap_or_else(|| panic!("{conn} not introduced: {events:?}")).remote;
                assert_eq!(remote.to_string(), if *conn == 1 { "10.0.0.9:443" } else { "[2001:db8::1]:443" });
            }
            _ => {}
        }
    }
}

#[test]
fn every_flipped_bit_costs_at_most_its_block() {
    let stream = small_stream();
    let bytes = write(&stream, 4);
    let intact = read(&bytes).unwrap();
    assert_eq!((intact.events.len(), intact.damage.len(), intact.end), (12, 0, Some(End::Clean)));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome = read(&bytes).unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        assert!(!outcome.damage.is_empty(), "bit {bit} was not noticed");
        let lost = missing(&outcome.events, &stream).unwrap_or_else(|| panic!("bit {bit}: {:?}", outcome.events));
        // Blocks have four events each: all or none of a single one may be missing.
        assert!(
            lost.is_empty() || (lost.len() == 4 && lost[0].is_multiple_of(4) && lost[3] == lost[0] + 3),
            "bit {bit}: {lost:?}"
        );
        assert!(outcome.all_known && outcome.lost == lost.len() as u64 || outcome.end != Some(End::Clean), "bit {bit}");
        assert_introduced(&outcome.events);
        let is_header_lost = outcome.parts.contains(&DamagedPart::Metadata);
        assert_eq!(outcome.headers, [if is_header_lost { Header::default() } else { header() }], "bit {bit}");
        assert_eq!(outcome.losses, Loss { ring_full: 3, lost_opens: 2, ..Loss::default() }, "bit {bit}");
        // The index is either right or not used.
        if let Some(sections) = read_index(Cursor::new(&bytes)).unwrap() {
            assert_eq!((sections[0].index.totals.events, &sections[0].header), (12, &header()), "bit {bit}");
        }
    }
}

#[test]
fn every_truncation_is_a_clean_end() {
    let stream = small_stream();
    let bytes = write(&stream, 4);
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Err(ReadError::NotACapture(NotACapture::Empty)) => assert_eq!(length, 0),
            Err(ReadError::NotACapture(NotACapture::TooShort { bytes })) => {
                assert!(bytes == length && length < 250, "{length}: {bytes}");
            }
            Err(error) => panic!("{length}: {error}"),
            Ok(outcome) => {
                assert_eq!(outcome.events, stream[..outcome.events.len()], "{length}");
                assert_eq!(outcome.events.len() % 4, 0, "{length}");
                assert_eq!(outcome.damage, [""; 0], "{length}");
                assert!(matches!(outcome.end, Some(End::NotClosed | End::Torn { .. })), "{length}: {:?}", outcome.end);
            }
        }
        assert_eq!(read_index(Cursor::new(&bytes[..length])).unwrap(), None);
    }
}

#[test]
fn every_removed_or_doubled_stretch_is_noticed() {
    let stream = small_stream();
    let bytes = write(&stream, 4);
    for begin in (0..bytes.len()).step_by(7) {
        for length in [1, 8, 64, 300] {
            let end = (begin + length).min(bytes.len());
            let without = [&bytes[..begin], &bytes[end..]].concat();
            let doubled = [&bytes[..end], &bytes[begin..]].concat();
            for changed in [without, doubled] {
                // What loses its beginning is no capture any more.
                let Ok(outcome) = read(&changed) else {
                    assert!(begin < 250, "{begin} {length}");
                    continue;
                };
                assert!(!outcome.damage.is_empty() || outcome.end != Some(End::Clean), "{begin} {length}");
                assert!(missing(&outcome.events, &stream).is_some(), "{begin} {length}: {:?}", outcome.events);
                assert_introduced(&outcome.events);
            }
        }
    }
}

#[test]
fn damage_reads_like_a_table() {
    let stream = small_stream();
    let intact = write(&stream, 4);
    let mut table = String::new();
    for place in [3, 14, 40, 180, 300, 420, intact.len() - 300, intact.len() - 3] {
        let mut bytes = intact.clone();
        bytes[place] ^= 1;
        let outcome = read(&bytes).unwrap();
        table.push_str(&format!("byte {place}: {}, {:?}\n", outcome.damage.join("\n    "), outcome.end.unwrap()));
    }
    insta::assert_snapshot!(table, @r#"
    byte 3: damaged file header at byte 0: magic: expected 896e6574666c6f770d0a1a0a, found 896e6575666c6f770d0a1a0a; no event lost, Clean
    byte 14: damaged file header at byte 0: version and flags: expected 010000000000000000000000414470250070a001, found 010001000000000000000000414470250070a001; no event lost, Clean
    byte 40: damaged metadata at byte 32: checksum of block header: expected 2d07bd872aeab2e8, found 7c03eb7c64037dee; host, clock and interval are unknown, Clean
    byte 180: damaged metadata at byte 32: checksum of payload: expected 1aafde4870113271, found 0b021818a11f3f0b; host, clock and interval are unknown, Clean
    byte 300: damaged block header at byte 209: checksum of block header: expected d50dd0c2b1150574, found e8cf47e8286fb0d3; 4 events lost, Clean
    byte 420: damaged block at byte 209: checksum of payload: expected d79446ff00ce1391, found 76961900b15e473c; 4 events lost, Clean
    byte 1190: damaged block header at byte 1135: checksum of block header: expected a97d92e4083fe2ee, found 031c8ef95ec05505; no event lost, Clean
    byte 1487: damaged index at byte 1338: checksum of payload: expected 17293af3ecfce47c, found 87e2d19a2c7b8f30; no event lost, NotClosed
    "#);
}

#[test]
fn other_files_are_recognised() {
    let capture = write(&small_stream(), 4);
    let unix: Vec<u8> = capture.iter().copied().filter(|byte| *byte != b'\r').collect();
    let stripped: Vec<u8> = capture.iter().map(|byte| byte & 0x7f).collect();
    let mut later = capture[..32].to_vec();
    later[12] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&later[..24]).to_le_bytes();
    later[24..].copy_from_slice(&checksum);
    let mut features = capture[..32].to_vec();
    features[17] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&features[..24]).to_le_bytes();
    features[24..].copy_from_slice(&checksum);
    let mut table = String::new();
    for bytes in [
        &b""[..],
        &capture[..5],
        &capture[..100],
        &unix,
        &stripped,
        &later,
        &features,
        b"hello, this is a text of some length\n",
        b"{\"type\":\"header\",\"boot_time_ns\":1,\"interval_ms\":1}\n",
        b"\x1f\x8b\x08\0\0\0\0\0\0\0",
        b"\x28\xb5\x2f\xfd\0\0\0\0\0\0",
        b"\xd4\xc3\xb2\xa1\x02\0\x04\0",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        &[0; 4096],
    ] {
        let error = read(bytes).err().unwrap();
        table.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(table, @r#"
    not a capture: the file is empty
    not a capture: the file ends after 5 bytes, before its first block; the recording was cut off as it began
    not a capture: the file ends after 100 bytes, before its first block; the recording was cut off as it began
    not a capture: the file was damaged by a transfer in text mode (line ends or high bits were changed); copy it again in binary mode
    not a capture: the file was damaged by a transfer in text mode (line ends or high bits were changed); copy it again in binary mode
    capture of format 2.0: expected format 1.x; a newer netflow can read it
    capture needs features that this netflow does not have (flags 0x200); a newer one can read it
    not a capture: the file is text, beginning with "hello, this is a text of"
    not a capture: the file looks like JSON Lines; `netflow import` turns events into a capture
    not a capture: the file is compressed with gzip; try gunzip first
    not a capture: the file is compressed with zstd; try unzstd first
    not a capture: the file is a packet capture (pcap); netflow reads captures made by `netflow record`
    not a capture: expected the first bytes 896e6574666c6f770d0a1a0a, found 7f454c460201010000000000
    not a capture: expected the first bytes 896e6574666c6f770d0a1a0a, found 000000000000000000000000
    "#);
}

#[test]
fn writer_refuses_what_cannot_be_read_back() {
    let mut writer = CaptureWriter::new(Vec::new(), &header(), WriterOptions::default()).unwrap();
    let stream = small_stream();
    let mut table = String::new();
    let mut refuse = |error: WriteError| table.push_str(&format!("{error}\n"));
    writer.push(&stream[1]).unwrap();
    refuse(writer.push(&stream[0]).unwrap_err());
    refuse(writer.push(&sample(900, 77, 1)).unwrap_err());
    let long = Process {
        pid: 1,
        process: "x".repeat(70_000).into(),
        exe: None,
        cgroup: None,
        container_id: None,
        exited: false,
        started_at: Some(77),
    };
    refuse(writer.push(&Event { at: 900, body: Body::Process(long) }).unwrap_err());
    writer.push(&stream[3]).unwrap();
    let bytes = writer.finish().unwrap().0;
    assert_eq!(read(&bytes).unwrap().events, [stream[1].clone(), stream[3].clone()]);
    let huge = Header { comment: "x".repeat(5 << 20), ..Header::default() };
    refuse(CaptureWriter::new(Vec::new(), &huge, WriterOptions::default()).err().unwrap());
    insta::assert_snapshot!(table, @r#"
    event 1: expected a time of 150 ns or later, found 100 ns
    event 1: connection 77 was never introduced: expected an open before this sample, or what is known of the connection in it
    process: expected at most 65535 bytes, found 70000
    header: expected at most 4194304 bytes, found 5242896
    "#);
}

#[test]
fn time_is_found_by_the_index_and_without_it() {
    let stream = small_stream();
    let bytes = write(&stream, 4);
    let sections = read_index(Cursor::new(&bytes)).unwrap().unwrap();
    let mut sought = CaptureReader::new(Cursor::new(&bytes)).unwrap();
    sought.seek_to(301, &sections[0].index).unwrap();
    let mut skipped = CaptureReader::new(bytes.as_slice()).unwrap();
    skipped.skip_before(301);
    let sought_events = sought.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(sought_events, skipped.by_ref().collect::<Result<Vec<_>, _>>().unwrap());
    assert_eq!(missing(&sought_events, &stream).unwrap(), [0, 1, 2, 3]);
    assert_introduced(&sought_events);
    assert_eq!((sought.damage(), sought.end()), (&[][..], Some(End::Clean)));
    assert_eq!((skipped.damage(), skipped.end()), (&[][..], Some(End::Clean)));
}

/// Where the blocks of a capture begin.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let marker = [0xf1, 0x0e, 0xb1, 0x0c, 0xa7, 0x95, 0xe3, 0xdc];
    (0..bytes.len()).filter(|place| bytes[*place..].starts_with(&marker)).collect()
}

#[test]
fn every_number_of_a_block_header_may_lie() {
    let stream = small_stream();
    let intact = write(&stream, 4);
    // Offsets and lengths. A kind that is not known is no lie: it is a later version's, and skipped.
    let numbers = [(9, 1), (12, 4), (16, 4), (20, 4), (24, 8), (32, 4), (40, 8), (48, 8)];
    let losses = (0..9).map(|place| (56 + place * 8, 8));
    for block in blocks(&intact) {
        for (offset, length) in numbers.into_iter().chain(losses.clone()) {
            let place = block + offset..block + offset + length;
            let mut stored = [0; 8];
            stored[..length].copy_from_slice(&intact[place.clone()]);
            let stored = u64::from_le_bytes(stored);
            for lie in [0, 1, u64::MAX, u64::MAX / 2, stored.wrapping_add(1), stored.wrapping_sub(1)] {
                let mut bytes = intact.clone();
                bytes[place.clone()].copy_from_slice(&lie.to_le_bytes()[..length]);
                let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[block..block + 136]).to_le_bytes();
                bytes[block + 136..block + 144].copy_from_slice(&checksum);
                let Ok(outcome) = read(&bytes) else { continue };
                let context = format!("block at {block}, offset {offset}: {lie}");
                // The time of a block's first event has no witness but the last one's, which must then lie as well.
                assert!(missing(&outcome.events, &stream).is_some(), "{context}: {:?}", outcome.events);
                let lost = stream.len() - outcome.events.len();
                assert!(lost == 0 || !outcome.damage.is_empty() || outcome.end != Some(End::Clean), "{context}");
                assert_introduced(&outcome.events);
                let mut checker = Checker::new(bytes.as_slice()).unwrap();
                while checker.next_section().unwrap().is_some() {}
                let _ = read_index(Cursor::new(&bytes)).unwrap();
            }
        }
    }
}

/// The same numbers on every run.
struct Lot(u64);

impl Lot {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn damage_anywhere_in_a_long_capture_is_told_and_costs_whole_blocks() {
    let stream: Vec<Event> = (0..6_000)
        .map(|number| match number {
            0 => Event { at: 0, body: Body::Open(Open { conn: 1, identity: identity("10.0.0.9:443") }) },
            _ if number % 50 == 0 => Event { at: number * 1000, body: Body::Tick(Tick { complete: true }) },
            _ => sample(number * 1000 + number % 7, 1, number * number * 31),
        })
        .collect();
    let intact = write(&stream, 100);
    let mut lot = Lot(7);
    for round in 0..150 {
        let mut bytes = intact.clone();
        for _ in 0..=lot.below(4) {
            let begin = lot.below(bytes.len());
            let end = (begin + 1 + lot.below(300)).min(bytes.len());
            match lot.below(4) {
                0 => bytes[begin] ^= 1 << lot.below(8),
                1 => bytes[begin..end].fill_with(|| u8::try_from(lot.below(256)).unwrap()),
                2 => drop(bytes.drain(begin..end)),
                _ => bytes[begin..end].fill(0),
            }
        }
        let Ok(outcome) = read(&bytes) else { continue };
        let lost = missing(&outcome.events, &stream).unwrap_or_else(|| panic!("round {round}: a wrong event"));
        assert!(bytes == intact || !outcome.damage.is_empty() || outcome.end != Some(End::Clean), "round {round}");
        assert_eq!(lost.len() % 100, 0, "round {round}");
        assert!(
            !outcome.all_known || outcome.end != Some(End::Clean) || outcome.lost == lost.len() as u64,
            "round {round}"
        );
    }
}
