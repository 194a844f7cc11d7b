//! Laws of taking captures apart: cut in two, put in another order, restricted to some connections, told more about.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::collections::BTreeMap;

use netflow_core::column::Tag;
use netflow_core::event::{Body, Event, Header, Identity, Totals, Transport};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Report, Row};
use netflow_core::sums::Sums;
use netflow_core::value::Value;
use proptest::prelude::*;
use stream::{S, close_of, dns, exit, nat, open, process, report, sample, tcp};

/// One connection: when it opens, what its totals grow by at each sight, how it ends, if it does.
#[derive(Debug, Clone)]
struct Life {
    begins: u64,
    growth: Vec<[u64; 3]>,
    preexisting: bool,
    port: u16,
    is_tcp: bool,
    ends: bool,
}

impl Life {
    fn identity(&self) -> Identity {
        let transport = if self.is_tcp { Transport::Tcp } else { Transport::Udp };
        let (pid, netns, preexisting) = (Some(u32::from(self.port)), Some(1), self.preexisting);
        Identity { transport, pid, netns, preexisting, ..tcp("10.0.0.1:40000", &format!("10.0.0.2:{}", self.port)) }
    }

    fn totals(&self, seen: usize) -> Totals {
        let sum = |index: usize| self.growth[..seen].iter().map(|step| step[index]).sum::<u64>();
        let rtt_us = u32::try_from(sum(0) % 5000).unwrap();
        Totals { sent_bytes: sum(0), recv_bytes: sum(1), retransmits: sum(2), rtt_us, ..Totals::default() }
    }
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let growth = prop::collection::vec(prop::array::uniform3(0..1000_u64), 1..6);
    let life = (0..12_u64, growth, any::<bool>(), 1..4_u16, any::<bool>(), any::<bool>()).prop_map(
        |(begins, growth, preexisting, port, is_tcp, ends)| Life { begins, growth, preexisting, port, is_tcp, ends },
    );
    prop::collection::vec(life, 1..12)
}

/// The events of all, in order of time, and at the same time by `rank` of the connection.
fn events_of(lives: &[Life], rank: impl Fn(usize) -> usize) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, life) in lives.iter().enumerate() {
        let conn = index as u64;
        let at = |step: usize| (life.begins + step as u64) * S;
        events.push((rank(index), Event { at: at(0), body: open(conn, &life.identity()) }));
        for seen in 1..=life.growth.len() {
            let body = if seen == life.growth.len() && life.ends {
                close_of(conn, life.totals(seen), None, &[])
            } else {
                sample(conn, life.totals(seen))
            };
            events.push((rank(index), Event { at: at(seen), body }));
        }
    }
    events.sort_by_key(|(rank, event)| (event.at, *rank));
    events.into_iter().map(|(_, event)| event).collect()
}

/// What each group did, however many captures its connections are in.
fn sums(report: &Report) -> BTreeMap<Vec<Value>, Sums> {
    let without_number = |row: &Row| (row.key.to_vec(), Sums { connections: 0, ..row.sums });
    report.rows.iter().map(without_number).collect()
}

/// The second half of a capture that was cut before `events[place]`: what was open then is older than it, with the totals at
/// the cut as its baseline.
fn second_half(events: &[Event], place: usize, lives: &[Life]) -> Vec<Event> {
    let mut live: BTreeMap<u64, Option<Totals>> = BTreeMap::new();
    for event in &events[..place] {
        match &event.body {
            Body::Open(open) => drop(live.insert(open.conn, None)),
            Body::Sample(sample) => drop(live.insert(sample.conn, Some(sample.totals))),
            Body::Close(close) => drop(live.remove(&close.conn)),
            _ => {}
        }
    }
    let at = events.get(place).map_or(0, |event| event.at);
    let mut half = Vec::new();
    for (conn, totals) in live {
        let life = &lives[usize::try_from(conn).unwrap()];
        // One whose totals nobody has asked for yet began with zero, unless it is older than the whole.
        let baseline = totals.or((!life.preexisting).then(Totals::default));
        half.push(Event { at, body: open(conn, &Identity { preexisting: true, ..life.identity() }) });
        half.extend(baseline.map(|totals| Event { at, body: sample(conn, totals) }));
    }
    half.extend_from_slice(&events[place..]);
    half
}

proptest! {
    /// Two captures of the two halves of a time say what one capture of the whole time says.
    #[test]
    fn a_capture_cut_in_two_gives_the_same_report(lives in lives(), place in any::<prop::sample::Index>()) {
        let events = events_of(&lives, |index| index);
        let place = place.index(events.len() + 1);
        let mut halves = Pipeline::new(ReportOptions::default());
        for half in [events[..place].to_vec(), second_half(&events, place, &lives)] {
            halves.begin(&Header { host: "abc".into(), ..Header::default() });
            half.iter().for_each(|event| halves.push(event));
        }
        prop_assert_eq!(sums(&halves.finish()), sums(&report(&events, ReportOptions::default())));
    }

    /// What different connections do at the same time has no order.
    #[test]
    fn the_order_of_connections_within_an_instant_changes_nothing(lives in lives(), ranks in prop::collection::vec(0..12_usize, 12)) {
        let one = report(&events_of(&lives, |index| index), ReportOptions::default());
        let other = report(&events_of(&lives, |index| ranks[index]), ReportOptions::default());
        prop_assert_eq!((one.rows, one.left_out, one.diagnostics), (other.rows, other.left_out, other.diagnostics));
    }

    /// To look at some connections only is to look at some rows only.
    #[test]
    fn to_choose_connections_is_to_choose_rows(lives in lives(), port in 1..4_u16, is_tcp in any::<bool>(), every_s in 0..9_u64) {
        let chosen = |life: &Life| life.port == port && life.is_tcp == is_tcp;
        let events = events_of(&lives, |index| index);
        let of_chosen = |event: &&Event| event.body.conn().is_some_and(|conn| chosen(&lives[usize::try_from(conn).unwrap()]));
        let some: Vec<Event> = events.iter().filter(of_chosen).cloned().collect();
        for by in [vec![], Tag::parse_all(&["transport", "dst_port"]).unwrap()] {
            let options = ReportOptions { by, every_ns: Some(every_s * S), ..ReportOptions::default() };
            let first = report(&some, options.clone());
            let mut then = report(&events, options);
            let cell = |row: &Row, name: &str| {
                let column = then.columns.iter().position(|column| column.name == name).unwrap();
                then.cells(row).nth(column).unwrap()
            };
            let transport = Value::Word(if is_tcp { "tcp" } else { "udp" });
            let keep: Vec<bool> = then.rows.iter().map(|row| {
                // A folded port is one row with others: the range of these ports is below any client's.
                cell(row, "dst_port") == Value::Number(port.into()) && cell(row, "transport") == transport
            }).collect();
            let mut kept = keep.into_iter();
            then.rows.retain(|_| kept.next().unwrap());
            // The window of the whole is as long as what is in it.
            if every_s == 0 {
                then.rows.iter_mut().zip(&first.rows).for_each(|(row, other)| row.window = other.window);
            }
            prop_assert_eq!(first.rows, then.rows);
        }
    }

    /// Whatever is learned beside the connections, and whenever: it adds nothing and takes nothing away.
    #[test]
    fn attributes_change_no_sum(lives in lives(), learned in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, 1..4_u16), 0..20)) {
        let mut events = events_of(&lives, |index| index);
        let bare = report(&events, ReportOptions::default());
        for (place, kind, port) in learned {
            let place = place.index(events.len());
            let identity = Identity { netns: Some(1), ..tcp("10.0.0.1:40000", &format!("10.0.0.2:{port}")) };
            let body = match kind {
                0 => process(port.into(), &format!("p{place}")),
                1 => exit(port.into(), "gone"),
                2 => dns(&format!("n{place}.example"), "10.0.0.2", 1, None),
                _ => nat(&identity, &format!("10.42.0.1:{}", place + 1)),
            };
            let at = events[place].at;
            events.insert(place, Event { at, body });
        }
        let told = report(&events, ReportOptions::default());
        prop_assert_eq!(told.totals(), bare.totals());
        prop_assert_eq!(told.left_out, bare.left_out);
        // A connection is in one row, whatever it was called on the way.
        prop_assert_eq!(told.totals().connections + told.left_out.idle, lives.len() as u64);
    }
}
