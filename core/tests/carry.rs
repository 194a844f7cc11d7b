//! Laws of a stream that is cut into parts, each of which says first what held before.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::collections::BTreeMap;

use netflow_core::carry::Carry;
use netflow_core::event::{Body, Event, Header, Identity, Loss, Totals, Transport};
use netflow_core::law::Law;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Report;
use netflow_core::sums::Sums;
use netflow_core::ticks::Ticks;
use netflow_core::value::Value;
use proptest::prelude::*;
use stream::chance::{deeds, events};
use stream::{
    S, TICK, bytes, client, close, dns, exit, in_container, listen, nat, open, options, process, sample, tcp,
};

/// The stream in parts that begin at these places.
fn parts(events: &[Event], places: &[prop::sample::Index]) -> Vec<Vec<Event>> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(events.len() + 1)).collect();
    places.sort_unstable();
    let mut carry = Carry::new();
    let mut parts = vec![Vec::new()];
    for (place, event) in events.iter().map(Some).chain([None]).enumerate() {
        for _ in places.iter().filter(|begins| **begins == place) {
            let at = events[..place].last().map_or(0, |event| event.at);
            parts.push(carry.restate(at).collect());
        }
        if let Some(event) = event {
            carry.learn(event);
            parts.last_mut().unwrap().push(event.clone());
        }
    }
    parts
}

fn header(part: usize) -> Header {
    Header { host: "abc".into(), began_at: 5, part: u32::try_from(part).unwrap(), ..Header::default() }
}

/// The report on captures with these headers.
fn report<'a>(captures: impl IntoIterator<Item = (Header, &'a [Event])>, options: &ReportOptions) -> Report {
    let mut pipeline = Pipeline::new(options.clone());
    for (header, events) in captures {
        pipeline.begin(&header);
        events.iter().for_each(|event| pipeline.push(event));
    }
    pipeline.finish()
}

/// The report on the parts one after the other.
fn in_order(parts: &[Vec<Event>], options: &ReportOptions) -> Report {
    report(parts.iter().enumerate().map(|(part, events)| (header(part), events.as_slice())), options)
}

/// The points of all intervals.
fn points(parts: &[Vec<Event>], options: &ReportOptions) -> Vec<Report> {
    let mut ticks = Ticks::new(options.clone());
    let mut points = Vec::new();
    for (part, events) in parts.iter().enumerate() {
        points.extend(ticks.begin(&header(part)));
        points.extend(events.iter().filter_map(|event| ticks.push(event)));
    }
    points.push(ticks.finish());
    points
}

/// What each group did in each window, however many captures its connections are in.
fn sums<'a>(reports: impl IntoIterator<Item = &'a Report>) -> BTreeMap<(i64, Vec<Value>), Sums> {
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for row in reports.into_iter().flat_map(|report| &report.rows) {
        sums.entry((row.window.start_us, row.key.to_vec())).or_default().merge(&Sums { connections: 0, ..row.sums });
    }
    sums
}

/// What no connection learns later.
const FIRM: &str = "transport src_ip src_port dst_ip dst_port netns";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The parts in order say what the whole says: every row, with every attribute, and everything that was strange.
    #[test]
    fn the_parts_in_order_are_the_whole(
        deeds in deeds(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        every_s in 0..9_u64,
        keep_idle in any::<bool>(),
    ) {
        let events = events(&deeds);
        let parts = parts(&events, &places);
        let options = options("", every_s, keep_idle);
        let whole = report([(header(0), events.as_slice())], &options);
        let joined = in_order(&parts, &options);
        prop_assert_eq!(&joined.rows, &whole.rows);
        prop_assert_eq!((joined.span, joined.left_out, joined.diagnostics), (whole.span, whole.left_out, whole.diagnostics));
    }

    /// So do their points, interval by interval.
    #[test]
    fn the_points_of_the_parts_in_order_are_those_of_the_whole(
        deeds in deeds(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        keep_idle in any::<bool>(),
    ) {
        let events = events(&deeds);
        let options = options("", 0, keep_idle);
        let whole = points(std::slice::from_ref(&events), &options);
        let joined = points(&parts(&events, &places), &options);
        prop_assert_eq!(joined.len(), whole.len());
        for (joined, whole) in joined.iter().zip(&whole) {
            prop_assert_eq!(&joined.rows, &whole.rows);
            prop_assert_eq!((joined.span, joined.diagnostics), (whole.span, whole.diagnostics));
        }
    }

    /// Each part says alone what the whole says of its time, so their sums are those of the whole, in any order.
    #[test]
    fn each_part_is_complete_in_itself(
        deeds in deeds(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        every_s in 0..9_u64,
    ) {
        let events = events(&deeds);
        let parts = parts(&events, &places);
        let options = options(FIRM, every_s, false);
        let whole = report([(header(0), events.as_slice())], &options);
        let alone: Vec<Report> =
            parts.iter().enumerate().map(|(part, events)| report([(header(part), events.as_slice())], &options)).collect();
        // Without windows, a row has the window of its capture.
        let of_windows = |sums: BTreeMap<(i64, Vec<Value>), Sums>| {
            let mut all: BTreeMap<_, Sums> = BTreeMap::new();
            for ((start, key), sum) in sums {
                all.entry((if every_s > 0 { start } else { 0 }, key)).or_default().merge(&sum);
            }
            all
        };
        let expected = of_windows(sums([&whole]));
        prop_assert_eq!(of_windows(sums(&alone)), expected.clone());
        let strange = |reports: &[Report]| {
            let sum = |get: fn(&Report) -> u64| reports.iter().map(get).sum::<u64>();
            let of = |report: &Report| report.diagnostics.unclosed;
            (sum(|report| report.diagnostics.lost_closes), sum(|report| report.diagnostics.counter_resets),
             sum(|report| report.diagnostics.strangers), of(reports.last().unwrap()))
        };
        prop_assert_eq!(strange(&alone), strange(&[whole]));
        let backwards = parts.iter().enumerate().rev().map(|(part, events)| (header(part), events.as_slice()));
        prop_assert_eq!(of_windows(sums([&report(backwards, &options)])), expected);
    }

    /// Whoever has a part only knows as much of the connections: what it says of them at its end is what the whole says
    /// there, but for the time that a round trip took when that was last measured.
    #[test]
    fn a_part_passes_on_what_it_was_told(deeds in deeds(), place in any::<prop::sample::Index>()) {
        let of_connections = |event: &Event| event.body.conn().is_some() || matches!(event.body, Body::Tick(_));
        let events: Vec<Event> = events(&deeds).into_iter().filter(of_connections).collect();
        let parts = parts(&events, &[place]);
        let told = |events: &[Event]| {
            let mut carry = Carry::new();
            events.iter().for_each(|event| carry.learn(event));
            let told = carry.restate(u64::MAX).map(|mut event| {
                if let Body::Sample(sample) = &mut event.body {
                    sample.totals.rtt_us = 0;
                }
                event
            });
            told.collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&parts[1]), told(&events));
    }

    /// So does the account of its connections, whatever the recorder states to have lost.
    #[test]
    fn the_account_of_the_parts_in_order_is_that_of_the_whole(
        deeds in deeds(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        lost in (0..4_u64, 0..4_u64),
    ) {
        let events = events(&deeds);
        let lost = Loss { lost_opens: lost.0, lost_closes: lost.1, ..Loss::default() };
        let mut whole = Law::new();
        events.iter().for_each(|event| whole.push(event));
        let parts = parts(&events, &places);
        let mut law = Law::of(&header(0));
        let mut said_again = 0;
        for (part, events) in parts.iter().enumerate() {
            if part > 0 {
                law.go_on();
            }
            events.iter().for_each(|event| law.push(event));
            said_again += law.said_again();
        }
        let all: usize = parts.iter().map(Vec::len).sum();
        // In the middle of a snapshot, a sample of the moment of the seam may pass for said again; it says nothing new.
        prop_assert!(all as u64 - said_again <= events.len() as u64);
        let ends_with_tick = |part: &Vec<Event>| part.last().is_none_or(|event| matches!(event.body, Body::Tick(_)));
        if parts[..parts.len() - 1].iter().all(ends_with_tick) {
            prop_assert_eq!(all as u64 - said_again, events.len() as u64);
        }
        for finished in [false, true] {
            prop_assert_eq!(law.account(lost, finished), whole.account(lost, finished));
        }
    }

    /// A connection keeps in each part what it was found to have, though it no longer holds for anybody else: its owner
    /// exited, its name's time is over, its translation and its listening socket are gone.
    #[test]
    fn what_a_connection_keeps_is_in_every_part(
        opens in prop::collection::vec((0..3_u8, 0..3_u8, any::<bool>(), any::<bool>()), 1..8),
        later in prop::collection::vec((0..40_u64, 0..8_u8, any::<prop::sample::Index>()), 1..20),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let mut events = Vec::new();
        let mut push = |at: u64, body: Body| events.push(Event { at, body });
        for pid in [7, 8, 9] {
            push(S, in_container(pid, &format!("p{pid}"), &format!("c{pid}")));
        }
        push(S, dns("a.example", "10.0.0.2", 1, Some(1)));
        push(S, dns("b.example", "10.0.0.3", 100, None));
        push(S, listen("10.0.0.1:40000", Some(1), 7, false));
        let mut live = Vec::new();
        for (conn, (pid, remote, is_translated, is_named)) in opens.iter().enumerate() {
            let remote = format!("10.0.0.{}:{}", 2 + remote, 50_000 + conn);
            let identity = Identity {
                pid: Some(7 + u32::from(*pid)), netns: Some(1), process: is_named.then(|| "own".into()),
                ..tcp("10.0.0.1:40000", &remote)
            };
            if *is_translated {
                push(2 * S, nat(&identity, "10.42.0.1:1"));
            }
            push(2 * S, open(conn as u64, &identity));
            live.push((conn as u64, identity));
        }
        let mut at = 2 * S;
        let mut exited = std::collections::BTreeSet::new();
        for (wait, deed, which) in &later {
            at += wait * S;
            let (conn, identity) = &live[which.index(live.len())];
            let pid = identity.pid.unwrap();
            if *deed == 0 {
                exited.insert(pid);
            }
            let body = match deed {
                0 => exit(pid, &format!("p{pid}")),
                // Another process with the same id.
                1 if exited.contains(&pid) => process(pid, "other"),
                2 => dns("c.example", "10.0.0.2", 70, Some(1)),
                3 => listen("10.0.0.1:40000", Some(1), 7, true),
                4 => {
                    let Body::Nat(nat) = nat(identity, "10.42.0.1:1") else { panic!() };
                    Body::Nat(netflow_core::event::Nat { end: true, ..nat })
                }
                _ => sample(*conn, bytes(at / S, 0)),
            };
            push(at, body);
        }
        for (conn, _) in &live {
            push(at, close(*conn, bytes(at / S + 1, 1)));
        }
        let options = options("", 0, false);
        let keys = |report: Report| report.rows.into_iter().map(|row| row.key).collect::<std::collections::BTreeSet<_>>();
        let whole = keys(report([(header(0), events.as_slice())], &options));
        for (part, events) in parts(&events, &places).iter().enumerate() {
            for key in keys(report([(header(part), events.as_slice())], &options)) {
                prop_assert!(whole.contains(&key), "{:?} in {:?}", key, whole);
            }
        }
    }
}

/// Two captures of one recording, with this number of the second.
fn two(part: u32) -> Report {
    let first = [(1, open(1, &client())), (2, sample(1, bytes(10, 0))), (2, TICK)];
    let first: Vec<Event> = first.into_iter().map(|(at, body)| Event { at: at * S, body }).collect();
    let mut carry = Carry::new();
    first.iter().for_each(|event| carry.learn(event));
    let mut second: Vec<Event> = carry.restate(2 * S).collect();
    second.push(Event { at: 3 * S, body: close(1, bytes(15, 0)) });
    let second_header = Header { part, ..header(0) };
    report([(header(0), first.as_slice()), (second_header, second.as_slice())], &options(FIRM, 0, false))
}

#[test]
fn a_part_that_is_missing_counts_nothing_twice() {
    for (part, connections) in [(1, 1), (2, 2), (0, 2)] {
        let sums = two(part).totals();
        let tcp = sums.tcp.unwrap();
        assert_eq!((sums.bytes_written, tcp.established, tcp.closed), (15, 1, 1), "part {part}");
        assert_eq!(sums.connections, connections, "part {part}");
    }
}

#[test]
fn what_is_told_again_is_older_than_the_part() {
    let events = [
        (1, Body::K8s(netflow_core::event::K8s { state: "{}".into() })),
        (1, process(7, "curl")),
        (2, open(2, &Identity { transport: Transport::Udp, ..client() })),
        (2, open(1, &client())),
        (3, sample(1, Totals { rtt_us: 9, ..bytes(10, 0) })),
        (4, open(3, &Identity { preexisting: true, ..client() })),
        (4, open(4, &client())),
        (5, close(4, bytes(1, 1))),
        (6, dns("a.example", "8.8.8.8", 100, Some(1))),
        (6, dns("b.example", "8.8.4.4", 61, None)),
    ];
    let mut carry = Carry::new();
    events.into_iter().for_each(|(at, body)| carry.learn(&Event { at: at * S, body }));
    let told: Vec<Event> = carry.restate(67 * S).collect();
    let older = |opened_s: u64| Identity { preexisting: true, opened_at: Some(opened_s * S), ..client() };
    let expected = [
        Body::K8s(netflow_core::event::K8s { state: "{}".into() }),
        process(7, "curl"),
        dns("a.example", "8.8.8.8", 39, Some(1)),
        open(1, &older(2)),
        sample(1, Totals { rtt_us: 9, ..bytes(10, 0) }),
        open(2, &Identity { transport: Transport::Udp, ..older(2) }),
        sample(2, bytes(0, 0)),
        TICK,
        open(3, &Identity { preexisting: true, ..client() }),
        sample(1, bytes(10, 0)),
        sample(2, bytes(0, 0)),
    ];
    assert_eq!(told, expected.map(|body| Event { at: 67 * S, body }));
}
