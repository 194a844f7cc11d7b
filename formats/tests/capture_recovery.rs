//! Whatever happens to a capture, checking it notices, and recovering it saves every block that was not hit.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use events::bare;
use netflow_core::event::{Body, Event, Header, Loss};
use netflow_core::law::{Tally, Verdict};
use netflow_formats::capture::{
    CaptureReader, CaptureWriter, Checker, DamagedPart, End, IndexState, ReadError, RecoverError, Recovered,
    SectionCheck, WriterOptions, recover,
};
use netflow_formats::jsonl::{ImportOptions, Importer};

/// Two TCP connections and two UDP flows, of which one each is older than the recording; a failed connect.
const EVENTS: &str = r#"{"type":"header","boot_time_ns":1769860800000000000,"interval_ms":1000,"host":"db1"}
{"type":"open","at":10,"conn":1,"transport":"tcp","local":"10.0.0.1:22","remote":"10.0.0.2:40001","preexisting":true}
{"type":"open","at":10,"conn":2,"transport":"udp","local":"10.0.0.1:53","remote":"10.0.0.3:40002","preexisting":true}
{"type":"open","at":20,"conn":3,"transport":"tcp","local":"10.0.0.1:40003","remote":"10.0.0.4:443"}
{"type":"sample","at":30,"conn":1,"sent_bytes":100}
{"type":"sample","at":30,"conn":2,"sent_bytes":200}
{"type":"sample","at":30,"conn":3,"sent_bytes":300}
{"type":"tick","at":30}
{"type":"open","at":40,"conn":4,"transport":"udp","local":"10.0.0.1:40004","remote":"10.0.0.5:53"}
{"type":"close","at":50,"conn":3,"sent_bytes":310,"tcp_states":["established","close"],"reason":"fin"}
{"type":"close","at":55,"conn":5,"transport":"tcp","local":"10.0.0.1:40005","remote":"10.0.0.6:81","tcp_states":["syn_sent","close"],"reason":"rst"}
{"type":"close","at":56,"conn":4,"sent_bytes":40}
{"type":"sample","at":60,"conn":1,"sent_bytes":101}
{"type":"sample","at":60,"conn":2,"sent_bytes":201}
{"type":"tick","at":60}
"#;
/// Events of one block.
const ROWS: usize = 4;

fn parse(text: &str) -> (Header, Vec<Event>) {
    let mut importer = Importer::new(text.as_bytes(), ImportOptions::default()).unwrap();
    let events = importer.by_ref().collect::<Result<_, _>>().unwrap();
    (importer.header().clone(), events)
}

/// The capture, and where each block of events ends.
fn write(header: &Header, events: &[Event]) -> (Vec<u8>, Vec<usize>) {
    let mut writer = CaptureWriter::new(Vec::new(), header, WriterOptions::default()).unwrap();
    let mut ends = Vec::new();
    for block in events.chunks(ROWS) {
        for event in block {
            writer.push(event).unwrap();
        }
        writer.seal().unwrap();
        ends.push(writer.get_ref().len());
    }
    (writer.finish().unwrap().0, ends)
}

fn check(bytes: &[u8]) -> Result<Vec<SectionCheck>, ReadError> {
    let mut checker = Checker::new(bytes)?;
    let mut sections = Vec::new();
    while let Some(section) = checker.next_section()? {
        sections.push(section);
    }
    Ok(sections)
}

/// What was saved: the sections' headers, all events but added losses, the losses.
struct Saved {
    bytes: Vec<u8>,
    headers: Vec<Header>,
    events: Vec<Event>,
    lost: Loss,
    recovered: Vec<Recovered>,
}

fn save(bytes: &[u8]) -> Result<Saved, RecoverError> {
    let (mut out, mut recovered) = (Vec::new(), Vec::new());
    recover(bytes, &mut out, WriterOptions::default(), |section| recovered.push(section))?;
    let mut saved = Saved { bytes: out, headers: Vec::new(), events: Vec::new(), lost: Loss::default(), recovered };
    let mut reader = CaptureReader::new(saved.bytes.as_slice()).unwrap();
    loop {
        saved.headers.push(reader.header().clone());
        for event in reader.by_ref() {
            match event.unwrap() {
                Event { body: Body::Loss(loss), .. } => saved.lost += loss,
                event => saved.events.push(event),
            }
        }
        if !reader.next_section().unwrap() {
            break;
        }
    }
    assert!(reader.damage().is_empty());
    Ok(saved)
}

/// Which blocks of `whole` are not in `part`, if all others are there in order and whole.
fn lost_blocks(part: &[Event], whole: &[Event]) -> Option<Vec<usize>> {
    let part: Vec<Event> = part.iter().map(bare).collect();
    let mut rest = part.as_slice();
    let mut lost = Vec::new();
    for (number, block) in whole.chunks(ROWS).enumerate() {
        let block: Vec<Event> = block.iter().map(bare).collect();
        match rest.strip_prefix(block.as_slice()) {
            Some(after) => rest = after,
            None => lost.push(number),
        }
    }
    rest.is_empty().then_some(lost)
}

/// What is recovered is sound, and says what it lacks.
fn assert_sound(saved: &Saved, context: &str) {
    for section in check(&saved.bytes).unwrap() {
        assert!(section.is_intact() && section.is_complete(), "{context}: {section:?}");
        assert_eq!((section.account.verdict, section.account.strangers), (Verdict::Holds, 0), "{context}");
        assert!(section.account.tcp.holds() && section.account.udp.holds(), "{context}");
    }
    let is_whole = saved.recovered.iter().all(Recovered::is_whole);
    assert_eq!(is_whole, saved.lost.is_zero(), "{context}: {:?}", saved.lost);
}

#[test]
fn an_intact_capture_is_found_so_and_recovered_as_it_is() {
    let (header, events) = parse(EVENTS);
    let (bytes, ends) = write(&header, &events);
    let sections = check(&bytes).unwrap();
    let [section] = sections.as_slice() else { panic!("{sections:?}") };
    assert!(section.is_intact() && section.is_complete() && section.is_lossless(), "{section:?}");
    assert_eq!((section.bytes, section.totals.events), (bytes.len() as u64, events.len() as u64));
    // The blocks of events, the index and the end.
    assert_eq!(section.blocks, ends.len() as u64 + 2);
    let account = &section.account;
    let tcp = Tally { opened: 1, preexisting: 1, closed: 1, lost_closes: 0, live_at_end: 1 };
    assert_eq!((account.tcp, account.udp, account.connect_failures), (tcp, tcp, 1));
    let saved = save(&bytes).unwrap();
    assert_eq!((saved.headers.as_slice(), saved.events.as_slice()), (&[header][..], events.as_slice()));
    assert_sound(&saved, "intact");
}

#[test]
fn every_flipped_bit_is_noticed_and_costs_at_most_its_block() {
    let (header, events) = parse(EVENTS);
    let (bytes, ends) = write(&header, &events);
    let start = CaptureWriter::new(Vec::new(), &header, WriterOptions::default()).unwrap().get_ref().len();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let context = format!("bit {bit}");
        let sections = check(&damaged).unwrap();
        assert!(sections.iter().any(|section| !section.is_intact()), "{context} was not noticed");
        let listed: Vec<_> = sections.iter().flat_map(|section| &section.damage).collect();
        let saved = save(&damaged).unwrap();
        assert_sound(&saved, &context);
        let lost = lost_blocks(&saved.events, &events).unwrap_or_else(|| panic!("{context}: {:?}", saved.events));
        // The block that the bit is in, and no other.
        let hit = ends.iter().position(|end| (start..*end).contains(&(bit / 8)));
        assert_eq!(lost, hit.into_iter().collect::<Vec<_>>(), "{context}");
        for number in &lost {
            let missing = events.chunks(ROWS).nth(*number).unwrap().len() as u64;
            assert!(saved.lost.queue_full >= missing, "{context}: {:?}", saved.lost);
            assert_eq!(sections.iter().map(|section| section.events_lost).sum::<u64>(), missing, "{context}");
        }
        if bit / 8 < start {
            let metadata = listed.iter().any(|damage| damage.part == DamagedPart::Metadata);
            let expected = if metadata { Header::default() } else { header.clone() };
            assert_eq!(saved.headers, [expected], "{context}: {listed:?}");
            assert_eq!(saved.lost.queue_full, u64::from(metadata), "{context}");
        }
        assert!(saved.recovered.iter().all(|section| section.refused == 0), "{context}");
    }
}

#[test]
fn every_truncation_is_noticed_and_leaves_all_whole_blocks() {
    let (header, events) = parse(EVENTS);
    let (bytes, ends) = write(&header, &events);
    let mut shortest = None;
    for length in 0..bytes.len() {
        let context = format!("{length} bytes");
        let sections = match check(&bytes[..length]) {
            Ok(sections) => sections,
            Err(ReadError::NotACapture(_)) => {
                assert_eq!(shortest, None, "{context}");
                assert!(matches!(save(&bytes[..length]), Err(RecoverError::Read(ReadError::NotACapture(_)))));
                continue;
            }
            Err(error) => panic!("{context}: {error}"),
        };
        shortest.get_or_insert(length);
        let [section] = sections.as_slice() else { panic!("{context}: {sections:?}") };
        assert!(!section.is_intact() && section.end != End::Clean && section.damage_count == 0, "{context}");
        let whole = ends.iter().filter(|end| **end <= length).count() * ROWS;
        let whole = &events[..whole.min(events.len())];
        let saved = save(&bytes[..length]).unwrap();
        assert_eq!((saved.events.as_slice(), saved.headers.as_slice()), (whole, &[header.clone()][..]), "{context}");
        assert_sound(&saved, &context);
    }
    // Everything but the bytes before the first block of events.
    assert!(shortest.unwrap() < ends[0]);
}

#[test]
fn each_section_has_its_own_check() {
    let (header, events) = parse(EVENTS);
    let (one, ends) = write(&header, &events);
    let mut bytes = [one.clone(), one.clone(), one.clone()].concat();
    bytes[one.len() + ends[1] - 1] ^= 1;
    let sections = check(&bytes).unwrap();
    assert_eq!(sections.iter().map(SectionCheck::is_intact).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(
        sections.iter().map(|section| section.offset).collect::<Vec<_>>(),
        [0, 1, 2].map(|n| n * one.len() as u64)
    );
    let [damage] = sections[1].damage.as_slice() else { panic!("{:?}", sections[1]) };
    let place = (damage.offset, damage.part, damage.sequence, damage.events_lost);
    assert_eq!(place, ((one.len() + ends[0]) as u64, DamagedPart::Payload, 2, Some(ROWS as u64)));
    assert_eq!(damage.kind.map(|kind| kind.name()), Some("events"));
    let saved = save(&bytes).unwrap();
    assert_eq!(saved.headers.len(), 3);
    assert_eq!(saved.events.len(), 3 * events.len() - ROWS);
    assert_sound(&saved, "three sections");
}

#[test]
fn an_index_of_another_capture_is_noticed() {
    let (header, events) = parse(EVENTS);
    let (bytes, ends) = write(&header, &events);
    let (_, others) =
        parse(&EVENTS.replace(r#"{"type":"tick","at":30}"#, r#"{"type":"clock","at":30,"boot_time_ns":5}"#));
    let (other, other_ends) = write(&header, &others);
    let mixed = [&bytes[..*ends.last().unwrap()], &other[*other_ends.last().unwrap()..]].concat();
    let sections = check(&mixed).unwrap();
    let IndexState::Differs(differences) = &sections[0].index else { panic!("{:?}", sections[0].index) };
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    for difference in ["tick: expected 2, found 1", "clock: expected 0, found 1"] {
        assert!(told.iter().any(|told| told == difference), "{told:?}");
    }
    assert!(!sections[0].is_intact() && sections[0].is_complete());
    // Nothing but the index was wrong, and the new one is right.
    let saved = save(&mixed).unwrap();
    assert_eq!(saved.events, events);
    assert_sound(&saved, "mixed");
}

#[test]
fn a_close_that_nobody_counted_breaks_the_law() {
    let (header, events) = parse(EVENTS);
    let without: Vec<Event> = events.iter().filter(|event| event.at != 50).cloned().collect();
    let sections = check(&write(&header, &without).0).unwrap();
    assert!(sections[0].is_intact() && !sections[0].is_lossless());
    assert_eq!(sections[0].account.verdict, Verdict::Uncounted(1));
    let counted = Loss { ring_full: 1, lost_closes: 1, ..Loss::default() };
    let told = Event { at: 55, body: Body::Loss(counted) };
    let place = without.iter().position(|event| event.at >= 55).unwrap();
    let with = [&without[..place], &[told], &without[place..]].concat();
    let sections = check(&write(&header, &with).0).unwrap();
    assert_eq!((sections[0].account.verdict, sections[0].totals.losses), (Verdict::Holds, counted));
    assert!(sections[0].is_intact() && !sections[0].is_lossless());
}

#[test]
fn removed_and_doubled_stretches_are_noticed_and_what_is_recovered_is_sound() {
    let (header, events) = parse(EVENTS);
    let (bytes, _) = write(&header, &events);
    for begin in (0..bytes.len()).step_by(7) {
        for length in [1, 8, 64, 300, 1000] {
            let end = (begin + length).min(bytes.len());
            let without = [&bytes[..begin], &bytes[end..]].concat();
            let doubled = [&bytes[..end], &bytes[begin..]].concat();
            for (changed, is_doubled) in [(without, false), (doubled, true)] {
                let context = format!("{begin} {length} {is_doubled}");
                let sections = match check(&changed) {
                    Ok(sections) => sections,
                    // All that is left lies within one block.
                    Err(ReadError::NotACapture(_)) => {
                        assert!(!is_doubled && begin < 300, "{context}");
                        continue;
                    }
                    Err(error) => panic!("{context}: {error}"),
                };
                assert!(!sections.iter().all(SectionCheck::is_intact), "{context} was not noticed");
                let saved = save(&changed).unwrap();
                assert_sound(&saved, &context);
            }
        }
    }
}
