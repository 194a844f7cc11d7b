//! Laws of grouping: what a coarser report says follows from a finer one, by simple arithmetic.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netflow_core::address::Endpoint;
use netflow_core::column::{Column, Tag, TagError};
use netflow_core::event::{Event, Header, Identity, Transport};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report, Row};
use netflow_core::sums::Sums;
use netflow_core::value::Value;
use proptest::prelude::*;
use stream::{S, bytes, close, lines, open, report, sample};

/// A connection: its ends out of few, when it begins, and what it sends each second.
#[derive(Debug, Clone)]
struct Life {
    identity: Identity,
    begins: u64,
    sends: Vec<u64>,
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        // Networks of 24 and 25 bits of which two are in one of 16.
        prop::sample::select(vec![[10, 0, 0, 1], [10, 0, 0, 200], [10, 0, 1, 1], [10, 1, 0, 1], [172, 16, 0, 1]])
            .prop_map(IpAddr::from),
        prop::sample::select(vec!["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db9::1"])
            .prop_map(|text| text.parse().unwrap()),
    ]
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let end =
        || (ip(), prop::sample::select(vec![53_u16, 443, 40000, 40001])).prop_map(|(ip, port)| Endpoint::new(ip, port));
    let sends = prop::collection::vec(1..1000_u64, 1..5);
    let name = prop::sample::select(vec![None, Some("curl"), Some("psql")]);
    let life = (end(), end(), name, any::<bool>(), 0..8_u64, sends).prop_map(
        |(local, remote, name, is_tcp, begins, sends)| {
            let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
            let identity = Identity { process: name.map(Into::into), ..Identity::new(transport, local, remote) };
            Life { identity, begins, sends }
        },
    );
    prop::collection::vec(life, 1..16)
}

fn events_of(lives: &[Life]) -> Vec<Event> {
    let mut events = Vec::new();
    for (conn, life) in lives.iter().enumerate() {
        let conn = conn as u64;
        events.push(Event { at: life.begins * S, body: open(conn, &life.identity) });
        let mut sent = 0;
        for (second, bytes_sent) in life.sends.iter().enumerate() {
            sent += bytes_sent;
            let at = (life.begins + second as u64) * S + 1;
            let is_last = second + 1 == life.sends.len();
            let body = if is_last { close(conn, bytes(sent, 7)) } else { sample(conn, bytes(sent, 7)) };
            events.push(Event { at, body });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn options(by: &[&str], distinct: &[&str], every_s: u64) -> ReportOptions {
    let mut options = stream::options(&by.join(" "), every_s, false);
    options.distinct = Tag::parse_all(distinct).unwrap();
    options
}

/// The rows again, by what `coarser` makes of the keys.
fn regrouped(report: &Report, coarser: impl Fn(&Row) -> Vec<Value>) -> BTreeMap<(i64, Vec<Value>), Sums> {
    let mut groups: BTreeMap<_, Sums> = BTreeMap::new();
    for row in &report.rows {
        groups.entry((row.window.start_us, coarser(row))).or_default().merge(&row.sums);
    }
    groups
}

fn as_they_are(report: &Report) -> BTreeMap<(i64, Vec<Value>), Sums> {
    regrouped(report, |row| row.key.to_vec())
}

/// The network by text and bits, without the code that is under test.
fn network(ip: IpAddr, v4: u32, v6: u32) -> String {
    let (bits, width, kept) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32, v4),
        IpAddr::V6(ip) => (ip.to_bits(), 128, v6),
    };
    let kept_bits = if kept == 0 { 0 } else { bits >> (width - kept) << (width - kept) };
    let text = match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::from_bits(u32::try_from(kept_bits).unwrap()).to_string(),
        IpAddr::V6(_) => std::net::Ipv6Addr::from_bits(kept_bits).to_string(),
    };
    if kept == width { text } else { format!("{text}/{kept}") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Fewer tags: the rows that agree in what is left, together.
    #[test]
    fn fewer_tags_are_the_finer_rows_together(lives in lives(), every_s in 0..4_u64) {
        let events = events_of(&lives);
        let fine = report(&events, options(&["dst_ip", "dst_port", "process_name"], &[], every_s));
        for (names, places) in [(["dst_port", "process_name"].as_slice(), [1, 2].as_slice()), (&["dst_ip"], &[0]), (&["process_name"], &[2])] {
            let coarse = report(&events, options(names, &[], every_s));
            let expected = regrouped(&fine, |row| places.iter().map(|place| row.key[*place].clone()).collect());
            prop_assert_eq!(as_they_are(&coarse), expected);
        }
    }

    /// A prefix: the rows whose addresses agree in these bits, together; a shorter one likewise of a longer one.
    #[test]
    fn a_prefix_is_the_rows_of_its_addresses_together(lives in lives(), every_s in 0..4_u64, v4 in 0..33_u32, v6 in 0..129_u32, fewer in 0..33_u32) {
        let events = events_of(&lives);
        let tag = format!("dst_ip/{v4}/{v6}");
        let by_text = |report: &Report, cut: &dyn Fn(&Value) -> String| {
            let mut groups: BTreeMap<(i64, String, Value), Sums> = BTreeMap::new();
            for row in &report.rows {
                groups.entry((row.window.start_us, cut(&row.key[0]), row.key[1].clone())).or_default().merge(&row.sums);
            }
            groups
        };
        let shown = |value: &Value| match value {
            Value::Net(net) => net.to_string(),
            other => panic!("{other:?} is no network"),
        };
        let of_address = |value: &Value| match value {
            Value::Ip(ip) => network(*ip, v4, v6),
            other => panic!("{other:?} is no address"),
        };
        let whole = report(&events, options(&["dst_ip", "transport"], &[], every_s));
        let prefixes = report(&events, options(&[&tag, "transport"], &[], every_s));
        prop_assert_eq!(prefixes.rows.len(), by_text(&prefixes, &shown).len(), "a group is one row");
        prop_assert_eq!(by_text(&prefixes, &shown), by_text(&whole, &of_address));

        let shorter = format!("dst_ip/{}/{}", v4.min(fewer), v6.min(fewer));
        let shorter_rows = report(&events, options(&[&shorter, "transport"], &[], every_s));
        let again = |value: &Value| match value {
            Value::Net(net) => network(net.range().0, v4.min(fewer), v6.min(fewer)),
            other => panic!("{other:?} is no network"),
        };
        prop_assert_eq!(by_text(&shorter_rows, &shown), by_text(&prefixes, &again));
    }

    /// The sums of all rows are those of the whole, however they are grouped.
    #[test]
    fn the_sums_of_all_rows_are_those_of_the_whole(lives in lives(), v4 in 0..33_u8, v6 in 33..129_u8) {
        let events = events_of(&lives);
        let whole = report(&events, options(&["host"], &[], 0));
        prop_assert_eq!(whole.rows.len(), 1);
        for by in [format!("src_ip/{v4}"), format!("dst_ip/{v6}"), format!("dst_ip/{v4}/{v6}"), "shared".to_owned(), "pid".to_owned()] {
            prop_assert_eq!(report(&events, options(&[&by], &["dst_ip"], 0)).totals(), whole.totals(), "{}", by);
        }
    }

    /// Counts of different values are the sizes of naive sets, and how many finer rows there are.
    #[test]
    fn different_values_are_counted_exactly(lives in lives(), every_s in 0..4_u64) {
        let events = events_of(&lives);
        let counted = report(&events, options(&["transport"], &["dst_ip", "src_port", "process_name", "dst_ip/16/32", "container_id"], every_s));
        let mut sets: BTreeMap<(i64, &str), [BTreeSet<String>; 4]> = BTreeMap::new();
        for life in &lives {
            for second in 0..life.sends.len() as u64 {
                let at_s = life.begins + second;
                let number = at_s.checked_div(every_s).unwrap_or(0);
                let window = i64::try_from(number * every_s).unwrap() * 1_000_000;
                let sets = sets.entry((window, life.identity.transport.name())).or_default();
                let remote = life.identity.remote;
                sets[0].insert(remote.ip().to_string());
                sets[1].insert(life.identity.local.port().to_string());
                sets[2].extend(life.identity.process.as_ref().map(ToString::to_string));
                sets[3].insert(network(remote.ip(), 16, 32));
            }
        }
        let found: BTreeMap<(i64, String), Vec<u64>> = counted.rows.iter().map(|row| {
            let Value::Word(transport) = row.key[0] else { panic!("{:?}", row.key) };
            let start = if every_s == 0 { 0 } else { row.window.start_us };
            ((start, transport.to_owned()), row.distinct.to_vec())
        }).collect();
        let expected = sets.into_iter().map(|((window, transport), sets)| {
            // Nobody told of containers.
            let sizes = sets.iter().map(|set| set.len() as u64).chain([0]).collect();
            ((window, transport.to_owned()), sizes)
        }).collect();
        prop_assert_eq!(&found, &expected);

        let finer = report(&events, options(&["transport", "dst_ip"], &[], every_s));
        for row in &counted.rows {
            let rows = finer.rows.iter().filter(|fine| fine.window.start_us == row.window.start_us && fine.key[0] == row.key[0]);
            prop_assert_eq!(row.distinct[0], rows.count() as u64);
        }
    }

    /// The first rows of each window are those before which there are not as many of that window; across windows, of all.
    #[test]
    fn the_first_rows_are_the_greatest(lives in lives(), every_s in 1..4_u64, top in 0..5_usize, across in any::<bool>()) {
        let plain = options(&["dst_ip/16", "process_name"], &["dst_port"], every_s);
        let order = Order::parse("distinct_dst_port,bytes_written:asc", &plain.columns(), across).unwrap();
        let sorted = report(&events_of(&lives), ReportOptions { order, ..plain });
        let rank = |row: &Row| (std::cmp::Reverse(row.distinct[0]), row.sums.bytes_written, row.window, row.key.clone());
        let mut expected: Vec<&Row> = Vec::new();
        let windows: BTreeSet<_> = sorted.rows.iter().map(|row| row.window).collect();
        let groups: Vec<Vec<&Row>> = if across {
            vec![sorted.rows.iter().collect()]
        } else {
            windows.into_iter().map(|window| sorted.rows.iter().filter(|row| row.window == window).collect()).collect()
        };
        for mut group in groups {
            group.sort_by_key(|row| rank(row));
            expected.extend(group.into_iter().take(top));
        }
        prop_assert_eq!(sorted.first(top), expected);
        let kept = sorted.keep_first(top);
        prop_assert_eq!(kept.rows.iter().collect::<Vec<_>>(), sorted.first(top));
    }
}

#[test]
fn ports_are_counted_as_they_are_though_rows_fold_them() {
    let identity = |port: u16| Identity {
        direction: Some(netflow_core::event::Direction::Outgoing),
        ..stream::tcp(&format!("10.0.0.1:{port}"), "10.0.0.2:443")
    };
    let events: Vec<Event> = [40001, 40002, 40001]
        .into_iter()
        .enumerate()
        .flat_map(|(conn, port)| {
            let conn = conn as u64;
            [(open(conn, &identity(port))), close(conn, bytes(1, 1))].map(|body| Event { at: conn * S, body })
        })
        .collect();
    let folded = ReportOptions {
        by: Tag::parse_all(&["src_port"]).unwrap(),
        distinct: Tag::parse_all(&["src_port", "dst_port"]).unwrap(),
        ..ReportOptions::default()
    };
    let found = report(&events, folded);
    assert_eq!(lines(&found, "src_port connections distinct_src_port distinct_dst_port"), ["* 3 2 1"]);
}

#[test]
fn what_rows_cannot_be_sorted_by() {
    let columns = Column::all(&Tag::parse_all(&["dst_ip/24"]).unwrap(), &Tag::parse_all(&["pid"]).unwrap());
    let said = |text: &str| Order::parse(text, &columns, false).map(drop).map_err(|error: TagError| error.to_string());
    assert_eq!(said("dst_ip/24/128:asc,distinct_pid,rtt"), Ok(()));
    let no_column = |name: &str, how: &str| {
        format!(
            "the report has no column {name}: ask for it with {how}; it has window_start, window_end, dst_ip/24, bytes_read, \
             bytes_written, packets_read, packets_written, retransmits, rtt, rtt_var, rtt_min, rtt_max, tcp_established, \
             tcp_closed, tcp_connect_failures, connections, distinct_pid"
        )
    };
    let table = [
        ("dst_ip", no_column("dst_ip", "--by dst_ip")),
        ("rtt,dst_ip/16", no_column("dst_ip/16", "--by dst_ip/16")),
        ("distinct_dst_ip", no_column("distinct_dst_ip", "--distinct dst_ip")),
        ("rttt", "no field is named \"rttt\"; `netflow fields` lists them all".to_owned()),
        ("rtt:desc", "no field is named \"rtt:desc\"; `netflow fields` lists them all".to_owned()),
        ("rtt,", "no field is named \"\"; `netflow fields` lists them all".to_owned()),
    ];
    for (text, message) in table {
        assert_eq!(said(text), Err(message), "{text}");
    }
}

/// Two hosts that number their connections alike, each of which has one in two windows, and an id that serves twice.
#[test]
fn each_connection_is_a_row() {
    let host = |name: &str, boot_s: i64| Header {
        host: name.into(),
        boot_id: name.into(),
        boot_time_ns: boot_s * 1_000_000_000,
        ..Header::default()
    };
    let ends = || stream::tcp("10.0.0.1:40001", "8.8.8.8:443");
    let opened = Identity { preexisting: true, opened_at: Some(500_000_000), ..ends() };
    let events = stream::at_seconds(vec![
        (1, open(7, &ends())),
        (1, open(8, &opened)),
        (1, sample(8, bytes(100, 0))),
        (2, sample(7, bytes(10, 1))),
        (3, sample(8, bytes(103, 0))),
        (12, close(7, bytes(15, 2))),
        (20, open(7, &ends())),
        (21, close(7, bytes(1, 0))),
    ]);
    let rows = |by: &str, every_s: u64, fields: &str| {
        let mut pipeline = Pipeline::new(stream::options(by, every_s, false));
        for header in [host("a", 1000), host("b", 2000)] {
            pipeline.begin(&header);
            events.iter().for_each(|event| pipeline.push(event));
        }
        lines(&pipeline.finish(), fields)
    };
    let shown = "connection dst_port bytes_written connections";
    // Rows with the same tags are in the order in which they ended.
    let once = ["7 443 15 1", "7 443 1 1", "7 443 15 1", "7 443 1 1", "8 443 3 1", "8 443 3 1"];
    assert_eq!(rows("connection dst_port", 0, shown), once);
    let began = "host began connection bytes_written";
    assert_eq!(
        rows("host connection began", 10, began),
        [
            "a 1001000000 7 10",
            "a 1000500000 8 3",
            "a 1001000000 7 5",
            "a 1020000000 7 1",
            "b 2001000000 7 10",
            "b 2000500000 8 3",
            "b 2001000000 7 5",
            "b 2020000000 7 1",
        ]
    );
    assert_eq!(
        rows("began", 0, "began bytes_written connections"),
        ["1000500000 3 1", "1001000000 15 1", "1020000000 1 1", "2000500000 3 1", "2001000000 15 1", "2020000000 1 1"]
    );
}
