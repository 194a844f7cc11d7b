//! Laws of a stream of some of its connections alone.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use netflow_core::choice::{Chosen, Survey};
use netflow_core::event::{Body, Event, Header, Identity, Loss, Nat};
use netflow_core::filter::{Filter, LeftOutCounts};
use netflow_core::pipeline::ReportOptions;
use proptest::prelude::*;
use stream::captures::{self, Capture, points, report};
use stream::chance::{deeds, events};
use stream::{S, TICK, at_seconds, bytes, client, close, lines, nat, open, options, process, sample, tcp};

fn chosen(captures: &[Capture], filter: &Filter) -> Vec<Capture> {
    let mut survey = Survey::new(Some(filter.clone()));
    for (header, events) in captures {
        survey.begin(header);
        events.iter().for_each(|event| survey.push(event));
    }
    let mut chosen = Chosen::new(survey.finish());
    let mut found = Vec::new();
    for (header, events) in captures {
        chosen.begin(header);
        let mut place = Vec::new();
        events.iter().for_each(|event| chosen.push(event, &mut place));
        place.extend(chosen.end());
        found.push((header.clone(), place));
    }
    found
}

fn header() -> Header {
    Header { host: "abc".into(), boot_time_ns: 1_700_000_000_123_456_789, began_at: 5, ..Header::default() }
}

/// The stream in parts that begin at these half seconds, which go on with each other.
fn parts(events: &[Event], halves: &[u16]) -> Vec<Capture> {
    let moment = |half: &u16| header().boot_time_ns + 1000 * S as i64 + i64::from(*half) * 500_000_000;
    let whole = (header(), events.to_vec());
    captures::parts(&whole, halves.iter().map(moment).collect()).into_iter().map(|(_, part)| part).collect()
}

/// What is asked, and whether the answer is the same from the first event of a connection to its last.
fn filters() -> impl Strategy<Value = (&'static str, bool)> {
    prop::sample::select(vec![
        ("transport == tcp", true),
        ("transport == udp or dst_port < 90", true),
        ("dst_ip in 10.0.0.3/32", true),
        ("not ip in 10.0.0.2/31", true),
        ("host == abc", true),
        ("host != abc", true),
        ("pid == 7", false),
        ("process_name != null", false),
        ("process_name == null", false),
        ("process_name matches \"^(p1|worker)$\"", false),
        ("container_id != null or dst_domain != null", false),
        ("dst_nat_ip != null", false),
        ("not dst_nat_ip != null and direction == outgoing", false),
        ("direction == incoming", false),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A report, and every point, on the stream of some connections is that on the whole with the filter.
    #[test]
    fn the_stream_of_some_says_of_them_what_the_whole_says(
        deeds in deeds(), (filter, is_firm) in filters(), halves in prop::collection::vec(0..80_u16, 0..4), every_s in 0..9_u64, keep_idle in any::<bool>(),
    ) {
        let whole = parts(&events(&deeds), &halves);
        let filter = Filter::parse(filter).unwrap();
        let some = chosen(&whole, &filter);
        let plain = options("", every_s, keep_idle);
        let filtered = ReportOptions { only: Some(filter.clone()), ..plain.clone() };
        let (expected, found) = (report(&whole, &filtered), report(&some, &plain));
        prop_assert_eq!((&found.rows, found.span), (&expected.rows, expected.span));
        prop_assert_eq!(found.diagnostics.loss, expected.diagnostics.loss);
        prop_assert_eq!(found.left_out, LeftOutCounts { filter: 0, ..expected.left_out });
        // Tick by tick a filter may know less than at the end.
        let (expected, found) = (points(&whole, &filtered), points(&some, &plain));
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found.span, expected.span);
            if is_firm {
                prop_assert_eq!(&found.rows, &expected.rows);
            }
        }
    }

    /// To choose twice is to choose once, and to choose all is to choose nothing.
    #[test]
    fn a_choice_is_made_once(deeds in deeds(), (filter, _) in filters()) {
        let whole = vec![(header(), events(&deeds))];
        let filter = Filter::parse(filter).unwrap();
        let some = chosen(&whole, &filter);
        prop_assert_eq!(&chosen(&some, &filter), &some);
        let everything = chosen(&whole, &Filter::parse("port >= 0").unwrap());
        prop_assert_eq!(everything, whole);
    }
}

/// The times, kinds and connections of events.
fn shown(events: &[Event]) -> Vec<String> {
    let kind = |body: &Body| match body {
        Body::Open(_) => "open",
        Body::Close(_) => "close",
        Body::Sample(_) => "sample",
        Body::Process(_) => "process",
        Body::Loss(loss) if loss.is_zero() => "nothing",
        Body::Nat(Nat { end: true, .. }) => "nat end",
        Body::Nat(_) => "nat",
        _ => "other",
    };
    let conn = |body: &Body| body.conn().map(|conn| format!(" {conn}")).unwrap_or_default();
    events.iter().map(|event| format!("{} {}{}", event.at / S, kind(&event.body), conn(&event.body))).collect()
}

fn chosen_of(events: Vec<Event>, filter: &str) -> Vec<Event> {
    let captures = [(Header::default(), events)];
    chosen(&captures, &Filter::parse(filter).unwrap()).remove(0).1
}

#[test]
fn what_is_left_out_leaves_the_span_and_what_is_no_connections() {
    let other = tcp("10.0.0.1:40002", "8.8.8.8:80");
    let events = at_seconds(vec![
        (1, open(1, &other)),
        (1, open(2, &client())),
        (2, sample(1, bytes(1, 1))),
        (3, process(7, "curl")),
        (3, Body::Loss(Loss { ring_full: 3, ..Loss::default() })),
        (4, close(2, bytes(5, 5))),
        (5, close(1, bytes(9, 9))),
    ]);
    // The name is told after the open.
    let some = chosen_of(events.clone(), "process_name == curl");
    assert_eq!(shown(&some), ["1 nothing", "1 open 2", "3 process", "3 other", "4 close 2", "5 nothing"]);
    let some = chosen_of(events.clone(), "dst_port == 80");
    assert_eq!(shown(&some), ["1 open 1", "2 sample 1", "3 process", "3 other", "5 close 1"]);
    let some = chosen_of(events.clone(), "pid == 1");
    assert_eq!(shown(&some), ["1 nothing", "3 process", "3 other", "5 nothing"]);
    assert_eq!(shown(&chosen_of(events[..3].to_vec(), "pid == 1")), ["1 nothing", "2 nothing"]);
}

#[test]
fn nobody_inherits_the_translation_of_one_that_is_left_out() {
    let events = at_seconds(vec![
        (1, nat(&client(), "10.42.0.1:1")),
        (1, open(1, &client())),
        (2, close(1, bytes(5, 5))),
        (10, open(2, &client())),
        (10, process(7, "late")),
        (11, close(2, bytes(7, 7))),
        (20, process(8, "last")),
    ]);
    let whole = stream::report(&events, options("dst_nat_port", 0, false));
    assert_eq!(lines(&whole, "dst_nat_port bytes_written"), ["- 7", "1 5"]);
    let some = chosen_of(events, "dst_nat_port == null");
    assert_eq!(shown(&some), ["1 nat", "2 nat end", "10 open 2", "10 process", "11 close 2", "20 process"]);
    let found = stream::report(&some, options("dst_nat_port", 0, false));
    assert_eq!(lines(&found, "dst_nat_port bytes_written"), ["- 7"]);
}

#[test]
fn where_a_capture_stops_to_say_again_what_was_known_is_kept() {
    let other = tcp("10.0.0.1:40002", "8.8.8.8:80");
    let old = |identity: &Identity| Identity { preexisting: true, ..identity.clone() };
    let first = at_seconds(vec![(1, open(1, &other)), (2, sample(1, bytes(5, 5)))]);
    // Behind the sample of the one that is left out comes something new that looks like what is said again.
    let second = at_seconds(vec![
        (3, open(1, &old(&other))),
        (3, sample(1, bytes(5, 5))),
        (3, TICK),
        (3, sample(1, bytes(5, 5))),
        (3, open(2, &old(&client()))),
    ]);
    let whole = [(header(), first), (Header { continues_from: Some(2 * S), excerpt: true, ..header() }, second)];
    let filter = Filter::parse("dst_port == 443").unwrap();
    let some = chosen(&whole, &filter);
    assert_eq!(shown(&some[1].1), ["3 other", "3 nothing", "3 open 2"]);
    let options = options("", 0, true);
    let expected = report(&whole, &ReportOptions { only: Some(filter), ..options.clone() });
    let found = report(&some, &options);
    assert_eq!((found.rows, found.span), (expected.rows, expected.span));
    assert_eq!(found.span.map(|span| span.end_us - span.start_us), Some(2_000_000));
}
