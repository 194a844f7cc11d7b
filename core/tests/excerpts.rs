//! Laws of a stream that is cut by time.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::collections::BTreeMap;

use netflow_core::event::{Body, Clock, Event, Header};
use netflow_core::excerpt::Span;
use netflow_core::report::Report;
use netflow_core::sums::Sums;
use netflow_core::value::Value;
use proptest::prelude::*;
use stream::captures::{Capture, cut, parts, points, report};
use stream::chance::{Deed, deeds, events};
use stream::{S, TICK, bytes, client, close, open, options, sample};

/// UTC of the boot, in nanoseconds.
const BOOT: i64 = 1_700_000_000_123_456_789;

/// What chance makes, with a clock that is set now and then: at which event, by how many half seconds.
fn capture(deeds: &[Deed], steps: &[(prop::sample::Index, i8)]) -> Capture {
    let mut events = events(deeds);
    let mut boot_time_ns = BOOT;
    for (place, halves) in steps {
        let place = place.index(events.len());
        boot_time_ns += i64::from(*halves) * 500_000_000;
        let at = events[place].at;
        events.insert(place, Event { at, body: Body::Clock(Clock { boot_time_ns }) });
    }
    (Header { host: "abc".into(), boot_time_ns: BOOT, ..Header::default() }, events)
}

/// A moment of the stream, in half seconds and a little more or less.
fn moment(halves: u16, nanos: i8) -> i64 {
    BOOT + i64::try_from(1000 * S).unwrap() + i64::from(halves) * 500_000_000 + i64::from(nanos.signum())
}

/// What each group did in each window, however many captures its connections are in.
fn sums<'a>(reports: impl IntoIterator<Item = &'a Report>, has_windows: bool) -> BTreeMap<(i64, Vec<Value>), Sums> {
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for row in reports.into_iter().flat_map(|report| &report.rows) {
        let start = if has_windows { row.window.start_us } else { 0 };
        sums.entry((start, row.key.to_vec())).or_default().merge(&Sums { connections: 0, ..row.sums });
    }
    sums
}

/// What no connection learns later.
const FIRM: &str = "transport src_ip src_port dst_ip dst_port netns";

fn steps() -> impl Strategy<Value = Vec<(prop::sample::Index, i8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), -9..9_i8), 0..3)
}

fn moments() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((0..80_u16, -1..2_i8).prop_map(|(halves, nanos)| moment(halves, nanos)), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The parts in order are the whole: every row with every attribute, every count of connections, every point.
    #[test]
    fn the_parts_in_order_are_the_whole(
        deeds in deeds(), steps in steps(), moments in moments(), every_s in 0..9_u64, keep_idle in any::<bool>(),
    ) {
        let whole = capture(&deeds, &steps);
        let parts: Vec<Capture> = parts(&whole, moments).into_iter().map(|(_, part)| part).collect();
        let options = options("", every_s, keep_idle);
        let (expected, found) = (report([&whole], &options), report(&parts, &options));
        prop_assert_eq!(&found.rows, &expected.rows);
        prop_assert_eq!((found.span, found.left_out, found.diagnostics), (expected.span, expected.left_out, expected.diagnostics));
        let [expected, found] = [points([&whole], &options), points(&parts, &options)]
            .map(|points| points.into_iter().filter(|report| report.span.is_some()).collect::<Vec<_>>());
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!((&found.rows, found.span), (&expected.rows, expected.span));
        }
    }

    /// Each part says alone what the whole says of its time, and nothing of another time.
    #[test]
    fn each_part_is_the_whole_in_its_time(deeds in deeds(), moments in moments(), every_s in 0..9_u64) {
        let whole = capture(&deeds, &[]);
        let parts = parts(&whole, moments);
        let options = options(FIRM, every_s, false);
        let expected = report([&whole], &options);
        let alone: Vec<Report> = parts.iter().map(|(_, part)| report([part], &options)).collect();
        prop_assert_eq!(sums(&alone, every_s > 0), sums([&expected], every_s > 0));
        let backwards = report(parts.iter().rev().map(|(_, part)| part), &options);
        prop_assert_eq!(sums([&backwards], every_s > 0), sums([&expected], every_s > 0));
        let sum = |get: fn(&Report) -> u64| alone.iter().map(get).sum::<u64>();
        prop_assert_eq!(sum(|report| report.diagnostics.lost_closes), expected.diagnostics.lost_closes);
        prop_assert_eq!(sum(|report| report.diagnostics.counter_resets), expected.diagnostics.counter_resets);
        prop_assert_eq!(sum(|report| report.diagnostics.strangers), expected.diagnostics.strangers);
        for ((span, _), report) in parts.iter().zip(&alone) {
            let Some(found) = report.span else { continue };
            prop_assert!(span.since.is_none_or(|since| found.start_us >= since.div_euclid(1000)), "{:?} {:?}", span, found);
            prop_assert!(span.until.is_none_or(|until| found.end_us <= until.div_euclid(1000)), "{:?} {:?}", span, found);
        }
    }

    /// A part of a part is a part of the whole.
    #[test]
    fn cutting_twice_is_cutting_once(deeds in deeds(), steps in steps(), mut ends in prop::array::uniform4(0..60_u16)) {
        ends.sort_unstable();
        let [first, second, third, last] = ends.map(|halves| Some(moment(halves, 0)));
        let whole = capture(&deeds, &steps);
        let outer = cut(&whole, Span { since: first, until: last });
        let parts = [
            cut(&whole, Span { since: None, until: first }),
            cut(&outer, Span { since: None, until: second }),
            cut(&outer, Span { since: second, until: third }),
            cut(&outer, Span { since: third, until: None }),
            cut(&whole, Span { since: last, until: None }),
        ];
        let options = options(FIRM, 0, false);
        let once = report([&cut(&whole, Span { since: second, until: third })], &options);
        prop_assert_eq!(sums([&report([&parts[2]], &options)], false), sums([&once], false));
        prop_assert_eq!(sums([&report(&parts, &options)], false), sums([&report([&whole], &options)], false));
    }
}

/// Two connections, of which one ends; a snapshot each second.
fn small() -> Capture {
    let events = [
        (1, open(1, &client())),
        (2, sample(1, bytes(10, 0))),
        (2, TICK),
        (3, sample(1, bytes(30, 0))),
        (3, TICK),
        (4, close(1, bytes(60, 0))),
    ];
    let events = events.map(|(at, body)| Event { at: at * S, body });
    (Header { host: "abc".into(), began_at: 5, ..Header::default() }, events.to_vec())
}

fn seconds(since: i64, until: i64) -> Span {
    let [since, until] = [since, until].map(|second| Some(second * 1_000_000_000));
    Span { since, until }
}

#[test]
fn an_excerpt_counts_what_happened_in_it() {
    for ((since, until), written, established, closed) in [
        ((0, 2), 0, 1, 0),
        ((0, 3), 10, 1, 0),
        ((2, 3), 10, 0, 0),
        ((3, 4), 20, 0, 0),
        ((4, 9), 30, 0, 1),
        ((5, 9), 0, 0, 0),
    ] {
        let sums = report([&cut(&small(), seconds(since, until))], &options(FIRM, 0, true)).totals();
        let tcp = sums.tcp.unwrap_or_default();
        assert_eq!(
            (sums.bytes_written, tcp.established, tcp.closed),
            (written, established, closed),
            "{since} {until}"
        );
    }
}

#[test]
fn parts_with_a_gap_or_in_disorder_count_nothing_twice_and_nothing_of_the_gap() {
    let part = |since, until| cut(&small(), seconds(since, until));
    let written = |parts: &[Capture]| report(parts, &options(FIRM, 0, false)).totals().bytes_written;
    assert_eq!(written(&[part(0, 3), part(4, 9)]), 40);
    assert_eq!(written(&[part(3, 4), part(0, 3), part(4, 9)]), 60);
    // The next file of the recording follows on all of this one, not on a part of it.
    let next = |at: u64| {
        let mut carry = netflow_core::carry::Carry::new();
        small().1[..5].iter().for_each(|event| carry.learn(event));
        let header = Header { part: 1, continues_from: Some(at * S), ..small().0 };
        let mut events: Vec<Event> = carry.restate(3 * S).collect();
        events.push(Event { at: 4 * S, body: close(1, bytes(60, 0)) });
        (header, events)
    };
    let connections = |parts: &[Capture]| report(parts, &options(FIRM, 0, false)).totals().connections;
    let parts = [part(0, 3), next(3)];
    assert_eq!((written(&parts), connections(&parts)), (40, 2));
    let parts = [part(0, 4), next(3)];
    assert_eq!((written(&parts), connections(&parts)), (60, 1));
    let parts = [part(0, 3), part(3, 4), next(3)];
    assert_eq!((written(&parts), connections(&parts)), (60, 1));
    // A file whose end is missing, and the whole file behind it: what grew meanwhile is known.
    let torn = (small().0, small().1[..3].to_vec());
    let parts = [torn, next(3)];
    assert_eq!((written(&parts), connections(&parts)), (60, 1));
}

#[test]
fn the_header_says_where_an_excerpt_begins() {
    let header = |span| cut(&small(), span).0;
    let whole = header(Span::default());
    assert_eq!(whole, small().0);
    let first = header(seconds(0, 3));
    assert_eq!((first.continues_from, first.excerpt), (None, true));
    let second = header(seconds(3, 9));
    assert_eq!((second.continues_from, second.excerpt), (Some(2 * S), true));
    // It has no events, and still its place.
    let none = header(seconds(8, 9));
    assert_eq!((none.continues_from, none.excerpt), (Some(4 * S), true));
    let (_, told) = cut(&small(), Span { since: Some(2_500_000_000), until: None });
    assert!(
        told.iter().take_while(|event| event.at < 3 * S).all(|event| event.at == 2_500_000_000),
        "as of its beginning"
    );
}
