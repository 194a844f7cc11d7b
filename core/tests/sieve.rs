//! Laws of a stream of which only some connections are recorded.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use netflow_core::event::{Body, Event, Identity};
use netflow_core::filter::Filter;
use netflow_core::law::Law;
use netflow_core::pipeline::ReportOptions;
use netflow_core::report::Report;
use netflow_core::sieve::Sieve;
use netflow_core::sums::{Measurements, Sums, TcpSums};
use netflow_core::value::Value;
use proptest::prelude::*;
use stream::chance::{deeds, events};
use stream::{TICK, at_seconds, bytes, client, close, lines, open, options, process, report, sample, sample_of, tcp};

fn sieved(events: &[Event], filter: &str) -> Vec<Event> {
    let mut sieve = Sieve::new(Filter::parse_recorded(filter).unwrap());
    let mut place = Vec::new();
    events.iter().for_each(|event| sieve.push(event, &mut place));
    place.extend(sieve.finish());
    place
}

/// What each connection did, whenever that was counted: its ends tell it from every other. Round-trip times are those of the
/// samples that are there.
fn sums(report: &Report) -> BTreeMap<Vec<Value>, Sums> {
    let without_times = |sums: Sums| {
        let tcp = sums.tcp.map(|tcp| TcpSums { rtt: Measurements::default(), rtt_var: Measurements::default(), ..tcp });
        Sums { tcp, ..sums }
    };
    report.rows.iter().map(|row| (row.key.to_vec(), without_times(row.sums))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What is recorded of some connections is what would have been recorded of them, and it adds up.
    #[test]
    fn what_passes_is_whole(deeds in deeds(), filter in prop::sample::select(vec![
        "transport == tcp", "not dst_port in {80..95}", "dst_ip in 10.0.0.2/31 and src_port > 1000", "process_name == worker",
        "process_name != worker", "process_name == worker or dst_port < 90", "not process_name == worker and transport == udp",
        "process_name == null", "pid == 7", "pid == 9", "netns == 1", "netns == 2",
    ])) {
        let whole = events(&deeds);
        let some = sieved(&whole, filter);
        prop_assert!(some.is_sorted_by_key(|event| event.at));
        let by = |only: Option<&str>| ReportOptions {
            only: only.map(|only| Filter::parse(only).unwrap()),
            ..options("transport dst_ip dst_port", 0, true)
        };
        let (all, found) = (report(&whole, by(None)), report(&some, by(None)));
        prop_assert_eq!(found.diagnostics.strangers, all.diagnostics.strangers);
        let (all, found) = (sums(&all), sums(&found));
        for (key, sums) in &found {
            prop_assert_eq!(Some(sums), all.get(key), "{:?}", key);
        }
        // An owner may change after it was asked for; these never do, or never back, and no process is called so otherwise.
        if !filter.contains("pid") && !filter.contains("null") && !filter.contains("!=") && !filter.starts_with("not process") {
            let filtered = sums(&report(&whole, by(Some(filter))));
            prop_assert_eq!(found, filtered);
        }
        let mut law = Law::new();
        some.iter().for_each(|event| law.push(event));
        prop_assert!(law.account(law.losses(), true).total().holds());
    }
}

/// The kinds and connections of events.
fn shown(events: &[Event]) -> Vec<String> {
    let conn = |event: &Event| event.body.conn().map(|conn| format!(" {conn}")).unwrap_or_default();
    let kind = |body: &Body| match body {
        Body::Open(open) => format!("open {:?}", open.identity.opened_at.map(|at| at / stream::S)),
        Body::Close(_) => "close".to_owned(),
        Body::Sample(sample) => format!("sample {}", sample.totals.sent_bytes),
        Body::Tick(_) => "tick".to_owned(),
        _ => "other".to_owned(),
    };
    events.iter().map(|event| format!("{} {}{}", event.at / stream::S, kind(&event.body), conn(event))).collect()
}

#[test]
fn who_is_not_known_yet_waits() {
    let nobody = Identity { pid: None, ..client() };
    let old = Identity { preexisting: true, ..nobody.clone() };
    let named = |identity: &Identity| Identity { pid: Some(7), process: Some("web".into()), ..identity.clone() };
    let events = at_seconds(vec![
        (1, open(1, &nobody)),
        (1, open(2, &nobody)),
        (1, open(3, &old)),
        (2, sample(1, bytes(1, 0))),
        (2, sample(3, bytes(100, 0))),
        (2, TICK),
        (3, sample_of(1, bytes(2, 0), &named(&nobody))),
        (3, sample_of(3, bytes(130, 0), &named(&old))),
        (3, close(2, bytes(9, 0))),
        (3, process(7, "web")),
        (3, TICK),
        (4, close(1, bytes(3, 0))),
        (4, close(3, bytes(150, 0))),
    ]);
    let some = sieved(&events, "process_name == web");
    assert_eq!(
        shown(&some),
        [
            "2 tick",
            "3 open Some(1) 1",
            "3 sample 2 1",
            "3 open Some(1) 3",
            "3 sample 100 3",
            "3 sample 130 3",
            "3 other",
            "3 tick",
            "4 close 1",
            "4 close 3",
        ]
    );
    // The bytes of the older one count from its first totals, as they would have.
    assert_eq!(lines(&report(&some, options("pid", 0, false)), "bytes_written connections"), ["53 2"]);
    // At the end of a connection, and of the recording, what is not known is not known.
    let none = sieved(&events[..9], "process_name == null and dst_port == 443");
    assert_eq!(shown(&none), ["2 tick", "3 open Some(1) 2", "3 close 2"]);
    let waiting = sieved(&events[..6], "pid != 8");
    assert_eq!(
        shown(&waiting),
        [
            "2 tick",
            "2 open Some(1) 1",
            "2 sample 1 1",
            "2 open Some(1) 2",
            "2 sample 0 2",
            "2 open Some(1) 3",
            "2 sample 100 3",
            "2 sample 100 3"
        ]
    );
    // What is known decides it whoever it is.
    assert_eq!(shown(&sieved(&events[..3], "pid == 8 and dst_port == 80")), Vec::<String>::new());
    assert_eq!(shown(&sieved(&events[..2], "pid == 8 or port == 443")), ["1 open None 1", "1 open None 2"]);
}

#[test]
fn what_is_missing_decides_nothing_that_it_could_change() {
    let nobody = Arc::new(tcp("10.0.0.1:40000", "10.0.0.2:80"));
    let table = [
        ("dst_port == 80", Some(true)),
        ("pid == 7", None),
        ("not pid == 7", None),
        ("pid != null", None),
        ("pid == 7 or dst_port == 80", Some(true)),
        ("pid == 7 or dst_port == 81", None),
        ("dst_port == 81 or pid == 7 or dst_port == 80", Some(true)),
        ("pid == 7 and dst_port == 80", None),
        ("dst_port == 80 and pid == 7 and dst_port == 81", Some(false)),
        ("not (pid == 7 and dst_port == 81)", Some(true)),
    ];
    for (text, expected) in table {
        assert_eq!(Filter::parse_recorded(text).unwrap().decides(&nobody), expected, "{text}");
    }
}
