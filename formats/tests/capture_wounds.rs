//! Random damage to a capture of thousands of events in many blocks: what is read is exactly what the blocks hold that were
//! not hit, what is missing is stated, and no number that follows from it is wrong.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::collections::HashMap;
use std::sync::Arc;

use events::bare;
use netflow_core::delta::{Deltas, Step};
use netflow_core::event::{
    Body, Close, Direction, Event, Header, Identity, Loss, Open, Process, Reason, Sample, TcpStates, Tick, Totals,
    Transport,
};
use netflow_formats::capture::{CaptureReader, CaptureWriter, End, WriterOptions};

/// Of xorshift, from a seed that is not 0.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn identity(conn: u64, chance: &mut Chance) -> Arc<Identity> {
    let port = 1024 + conn % 60_000;
    let remote =
        if chance.below(4) == 0 { format!("[2001:db8::{conn:x}]:443") } else { format!("10.0.0.{}:80", conn % 250) };
    let local = if remote.starts_with('[') { format!("[fd00::1]:{port}") } else { format!("10.0.0.251:{port}") };
    Arc::new(Identity {
        direction: Some(if chance.below(2) == 0 { Direction::Outgoing } else { Direction::Incoming }),
        pid: Some(u32::try_from(chance.below(9)).unwrap()),
        process: Some(format!("p{}", chance.below(5)).into()),
        preexisting: conn.is_multiple_of(6),
        ..Identity::new(Transport::Tcp, local.parse().unwrap(), remote.parse().unwrap())
    })
}

/// Some thousand events: connections that come, grow, change their owner and go, snapshots, losses.
fn stream(seed: u64) -> Vec<Event> {
    let mut chance = Chance(seed);
    let mut live: Vec<(u64, Totals)> = Vec::new();
    let (mut at, mut next, mut events) = (1_000, 1, Vec::new());
    while events.len() < 6_000 {
        at += u64::try_from(chance.below(3_000_000)).unwrap();
        let place = chance.below(live.len().max(1));
        let body = match chance.below(20) {
            0..4 => {
                live.push((next, Totals::default()));
                next += 1;
                Body::Open(Open { conn: next - 1, identity: identity(next - 1, &mut chance) })
            }
            4..7 if live.len() > 40 => {
                let (conn, mut totals) = live.swap_remove(place);
                grow(&mut totals, &mut chance);
                let tcp_states = TcpStates::from_bits(0x92).unwrap();
                Body::Close(Close { conn, totals, identity: None, tcp_states, reason: Some(Reason::Fin) })
            }
            7 => {
                let process = Process {
                    pid: u32::try_from(chance.below(9)).unwrap(),
                    process: "p1".into(),
                    exe: None,
                    cgroup: None,
                    container_id: None,
                    exited: false,
                    started_at: None,
                };
                Body::Process(process)
            }
            8 if chance.below(20) == 0 => {
                Body::Loss(Loss { ring_full: u64::try_from(chance.below(9)).unwrap(), ..Loss::default() })
            }
            9 if chance.below(4) == 0 && !live.is_empty() => {
                for (conn, totals) in &mut live {
                    grow(totals, &mut chance);
                    events.push(Event {
                        at,
                        body: Body::Sample(Sample { conn: *conn, totals: *totals, identity: None }),
                    });
                }
                Body::Tick(Tick { complete: true })
            }
            _ if live.is_empty() => continue,
            _ => {
                let (conn, totals) = &mut live[place];
                grow(totals, &mut chance);
                let identity = (chance.below(10) == 0).then(|| identity(*conn, &mut chance));
                Body::Sample(Sample { conn: *conn, totals: *totals, identity })
            }
        };
        events.push(Event { at, body });
    }
    events
}

fn grow(totals: &mut Totals, chance: &mut Chance) {
    totals.sent_bytes += u64::try_from(chance.below(100_000)).unwrap();
    totals.recv_bytes += u64::try_from(chance.below(1_000)).unwrap();
    totals.sent_packets += u64::try_from(chance.below(70)).unwrap();
    totals.recv_packets += u64::try_from(chance.below(70)).unwrap();
    totals.retransmits += u64::try_from(chance.below(2)).unwrap();
    totals.rtt_us = u32::try_from(chance.below(5_000)).unwrap();
}

/// Where each block is in the file, and which events it holds.
struct Block {
    begin: usize,
    end: usize,
    events: std::ops::Range<usize>,
}

fn blocks(bytes: &[u8]) -> Vec<Block> {
    let (mut begin, mut blocks) = (32, Vec::new());
    while begin < bytes.len() {
        let number =
            |place: usize| u32::from_le_bytes(bytes[begin + place..begin + place + 4].try_into().unwrap()) as usize;
        let end = begin + 144 + number(16);
        blocks.push(Block { begin, end, events: number(24)..number(24) + number(32) });
        begin = end;
    }
    blocks
}

/// A damaged file. What stands before `start` is never there twice: that would be another section.
fn wound(bytes: &[u8], start: usize, chance: &mut Chance) -> Vec<u8> {
    let mut file: Vec<(u8, usize)> = bytes.iter().enumerate().map(|(place, byte)| (*byte, place)).collect();
    for _ in 0..1 + chance.below(8) {
        let begin = chance.below(file.len());
        let length = [1, 1, 20, 400, 5_000][chance.below(5)].min(file.len() - begin);
        let (kind, range) = (chance.below(6), begin..begin + length);
        match kind {
            0 => file[begin].0 ^= 1 << chance.below(8),
            1 => file[range].iter_mut().for_each(|(byte, _)| *byte = chance.byte()),
            2 => file[range].iter_mut().for_each(|(byte, _)| *byte = 0),
            3 => drop(file.drain(range)),
            4 => drop(file.splice(begin..begin, (0..length).map(|_| (chance.byte(), start)).collect::<Vec<_>>())),
            // What came earlier comes again.
            _ if file[range.clone()].iter().all(|(_, place)| *place >= start) => {
                let again = file[range].to_vec();
                let place = begin + length + chance.below(file.len() - begin - length + 1);
                drop(file.splice(place..place, again));
            }
            _ => {}
        }
    }
    file.into_iter().map(|(byte, _)| byte).collect()
}

/// The blocks that are whole in the damaged file, without those that come behind the header of a later one, or of the same
/// whose payload was hit: a reader does not go back.
fn intact<'a>(damaged: &[u8], bytes: &[u8], blocks: &'a [Block]) -> Vec<&'a Block> {
    let marker = &bytes[32..40];
    let (mut intact, mut last) = (Vec::new(), 0);
    for place in (0..damaged.len()).filter(|place| damaged[*place..].starts_with(marker)) {
        let rest = &damaged[place..];
        let found = blocks.iter().find(|block| rest.starts_with(&bytes[block.begin..block.begin + 144]));
        let Some(found) = found.filter(|found| found.begin > last) else { continue };
        last = found.begin;
        if rest.starts_with(&bytes[found.begin..found.end]) {
            intact.push(found);
        }
    }
    intact
}

/// What is known of the connection of each event, at it.
fn known(events: &[Event]) -> Vec<Option<Arc<Identity>>> {
    let mut known: HashMap<u64, Arc<Identity>> = HashMap::new();
    let at = |event: &Event| {
        let (conn, said) = match &event.body {
            Body::Open(open) => (open.conn, Some(&open.identity)),
            Body::Sample(sample) => (sample.conn, sample.identity.as_ref()),
            Body::Close(close) => (close.conn, close.identity.as_ref()),
            _ => return None,
        };
        if let Some(said) = said {
            known.insert(conn, Arc::clone(said));
        }
        known.get(&conn).cloned()
    };
    events.iter().map(at).collect()
}

fn totals(event: &Event) -> Option<(u64, Totals)> {
    match &event.body {
        Body::Sample(sample) => Some((sample.conn, sample.totals)),
        Body::Close(close) => Some((close.conn, close.totals)),
        _ => None,
    }
}

/// The sums of the changes of each connection: all five counters.
fn sums(events: &[Event]) -> (HashMap<u64, [u64; 5]>, Deltas) {
    let (mut deltas, mut steps, mut sums) = (Deltas::new(), Vec::new(), HashMap::new());
    for event in events {
        deltas.push(event, &mut steps);
        for step in steps.drain(..) {
            let Step::Delta(delta) = step else { continue };
            let sum: &mut [u64; 5] = sums.entry(deltas.connection(delta.slot).id).or_default();
            let counts = delta.counts;
            let now =
                [counts.sent_bytes, counts.recv_bytes, counts.sent_packets, counts.recv_packets, counts.retransmits];
            sum.iter_mut().zip(now).for_each(|(sum, now)| *sum += now);
        }
    }
    (sums, deltas)
}

fn counters(totals: &Totals) -> [u64; 5] {
    [totals.sent_bytes, totals.recv_bytes, totals.sent_packets, totals.recv_packets, totals.retransmits]
}

#[test]
fn what_is_read_is_what_the_intact_blocks_hold() {
    let mut costly = 0;
    for seed in 1..=100_u64 {
        let events = stream(seed / 10 + 7);
        let header = Header { host: "a".into(), boot_time_ns: 1, ..Header::default() };
        let options = WriterOptions { max_rows: 97, ..WriterOptions::default() };
        let mut writer = CaptureWriter::new(Vec::new(), &header, options).unwrap();
        events.iter().for_each(|event| writer.push(event).unwrap());
        let bytes = writer.finish().unwrap().0;
        let blocks = blocks(&bytes);
        assert!(blocks.len() > 60, "{}", blocks.len());

        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let damaged = wound(&bytes, blocks[1].begin, &mut chance);
        let intact = intact(&damaged, &bytes, &blocks);
        let expected: Vec<usize> = intact.iter().flat_map(|block| block.events.clone()).collect();

        let mut reader = CaptureReader::salvage(damaged.as_slice()).unwrap();
        let mut read = Vec::new();
        loop {
            read.extend(reader.by_ref().map(Result::unwrap));
            // A copy of the start in the middle is another section, whose blocks go on where these ended.
            if !reader.next_section().unwrap() {
                break;
            }
        }

        // Exactly the events of the intact blocks.
        let whole: Vec<Event> = expected.iter().map(|place| bare(&events[*place])).collect();
        let found: Vec<Event> = read.iter().map(bare).collect();
        assert!(found == whole, "seed {seed}: {} events, expected {}", found.len(), whole.len());

        // What is missing is stated; only what no intact block follows may be unknown.
        let missing = events.len() - expected.len();
        let last = intact.last().map_or(0, |block| block.events.end);
        let before_last = last - expected.len();
        assert!(reader.least_cost() >= before_last as u64, "seed {seed}: {} of {before_last}", reader.least_cost());
        let torn = matches!(reader.end(), Some(End::Torn { .. } | End::NotClosed));
        assert!(
            missing == before_last || torn || reader.damage().iter().any(|it| it.events_lost.is_none()),
            "seed {seed}"
        );
        assert!(missing == 0 || reader.damage_count() > 0 || torn, "seed {seed}");
        if missing > 0 {
            costly += 1;
        }

        // What is known of a connection is what was known, and a snapshot with a gap proves nothing.
        let truth = known(&events);
        let mut last_place = None;
        let mut is_broken = false;
        for (event, place) in read.iter().zip(&expected) {
            is_broken |= last_place.map_or(*place > 0, |last| *place > last + 1);
            last_place = Some(*place);
            match &event.body {
                Body::Sample(Sample { identity: Some(said), .. }) | Body::Close(Close { identity: Some(said), .. }) => {
                    assert_eq!(Some(said), truth[*place].as_ref(), "seed {seed}, event {place}");
                }
                Body::Tick(tick) => {
                    assert_eq!(tick.complete, !std::mem::take(&mut is_broken), "seed {seed}, event {place}");
                }
                _ => {}
            }
        }

        // Each connection's changes add up to its last totals, less the first where it is older than the recording.
        let (sums, deltas) = sums(&read);
        assert_eq!((deltas.diagnostics().strangers, deltas.diagnostics().counter_resets), (0, 0), "seed {seed}");
        let mut spans: HashMap<u64, ([u64; 5], [u64; 5])> = HashMap::new();
        for (event, place) in read.iter().zip(&expected) {
            let Some((conn, totals)) = totals(event) else { continue };
            let now = counters(&totals);
            let is_older = truth[*place].as_ref().unwrap().preexisting;
            spans.entry(conn).or_insert((if is_older { now } else { [0; 5] }, now)).1 = now;
        }
        for (conn, (first, last)) in spans {
            let expected: Vec<u64> = last.iter().zip(first).map(|(last, first)| last - first).collect();
            assert_eq!(sums[&conn].to_vec(), expected, "seed {seed}, connection {conn}");
        }
    }
    assert!(costly > 70, "{costly}");
}
