//! Timelines in a notation that reads like a table: what the kernel says, tick by tick, and what each tick must report.
//!
//! `snap 1 100/200 R1 rtt1000` is a sample of connection 1 with 100 bytes sent, 200 received, one retransmission and a
//! round-trip time of 1000 µs; `close` likewise, `fail` is the end of a connect that came to nothing, `|` is the end of an
//! interval of one second. A result is what is not zero: bytes, retransmissions, rtt, established, closed, failures.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use netflow_core::event::{Body, Event, Identity, Totals};
use netflow_core::pipeline::ReportOptions;
use netflow_core::report::Report;
use stream::{CUT_TICK, S, TICK, client, close_of, report, sample_of, udp};

/// Everything that happened in an interval comes in the middle of it.
fn parse(timeline: &str, identity: &dyn Fn(u64) -> Identity) -> Vec<Event> {
    let mut events = Vec::new();
    for (interval, text) in timeline.split('|').enumerate() {
        let at = interval as u64 * S + S / 2;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            events.push(Event { at, body: parse_one(word, identity) });
        }
        if !text.contains("cut") {
            events.push(Event { at, body: TICK });
        }
    }
    events
}

fn parse_one(word: &str, identity: &dyn Fn(u64) -> Identity) -> Body {
    let mut parts = word.split(' ');
    let kind = parts.next().unwrap();
    if kind == "cut" {
        return CUT_TICK;
    }
    let conn = parts.next().unwrap().parse().unwrap();
    let mut totals = Totals::default();
    for part in parts {
        if let Some((sent, recv)) = part.split_once('/') {
            (totals.sent_bytes, totals.recv_bytes) = (sent.parse().unwrap(), recv.parse().unwrap());
        } else if let Some(rtt) = part.strip_prefix("rtt") {
            totals.rtt_us = rtt.parse().unwrap();
        } else if let Some(retransmits) = part.strip_prefix('R') {
            totals.retransmits = retransmits.parse().unwrap();
        } else {
            panic!("{part}");
        }
    }
    let identity = identity(conn);
    match kind {
        "snap" => sample_of(conn, totals, &identity),
        "close" => close_of(conn, totals, Some(&identity), &["established", "close"]),
        "fail" => close_of(conn, totals, Some(&identity), &["syn_sent", "close"]),
        _ => panic!("{kind}"),
    }
}

fn results(report: &Report, intervals: usize) -> String {
    let one = |interval: usize| {
        let start_us = interval as i64 * 1_000_000;
        let rows: Vec<_> = report.rows.iter().filter(|row| row.window.start_us == start_us).collect();
        assert!(rows.len() <= 1, "one group: {rows:?}");
        let Some(sums) = rows.first().map(|row| row.sums) else { return "-".to_owned() };
        let mut text = format!("{}/{}", sums.bytes_written, sums.bytes_read);
        if let Some(tcp) = sums.tcp {
            let counts = [
                (" R", tcp.retransmits),
                (" rtt", tcp.rtt.mean().unwrap_or_default()),
                (" e", tcp.established),
                (" c", tcp.closed),
                (" f", tcp.connect_failures),
            ];
            for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                text += &format!("{name}{count}");
            }
        }
        text
    };
    (0..intervals).map(one).collect::<Vec<_>>().join(" | ")
}

fn run(timeline: &str, identity: &dyn Fn(u64) -> Identity) -> (String, Report) {
    let options = ReportOptions { every_ns: Some(S), ..ReportOptions::default() };
    let report = report(&parse(timeline, identity), options);
    (results(&report, timeline.split('|').count()), report)
}

#[test]
fn tcp_timelines() {
    let table = [
        (
            "a life over four intervals",
            "snap 1 100/200 R1 rtt1000 | snap 1 150/500 R3 rtt1200 | snap 1 150/500 R3 rtt1200 | close 1 160/600 R4 rtt900",
            "100/200 R1 rtt1000 e1 | 50/300 R2 rtt1200 | - | 10/100 R1 rtt900 c1",
        ),
        ("opened and closed between two ticks", "close 1 10/20 R1", "10/20 R1 e1 c1"),
        ("twice between two ticks", "close 1 10/20 R1, close 2 30/40 R2 rtt600", "40/60 R3 rtt600 e2 c2"),
        ("twice, both measured", "close 1 1/1 rtt600, close 2 1/1 rtt601", "2/2 rtt601 e2 c2"),
        (
            "the close was lost; the next life is smaller",
            "snap 1 100/200 R5 | snap 2 10/500 R2 | snap 2 20/600 R2",
            "100/200 R5 e1 | 10/500 R2 e1 | 10/100",
        ),
        (
            "the close was lost; the next life is greater",
            "snap 1 100/200 R5 | snap 2 1100/1200",
            "100/200 R5 e1 | 1100/1200 e1",
        ),
        (
            "the close comes after a sample of the next life",
            "snap 1 27/0 | snap 2 10/0, close 1 37/0 | snap 2 20/0",
            "27/0 e1 | 20/0 e1 c1 | 10/0",
        ),
        ("only retransmissions", "snap 1 1/1 | snap 1 1/1 R5 | snap 1 1/1 R5", "1/1 e1 | 0/0 R5 | -"),
        ("a connect that was refused", "fail 1 0/0", "0/0 f1"),
        ("a connect that was refused after a retry", "fail 1 0/0 R1", "0/0 R1 f1"),
        ("nothing yet", "snap 1 0/0", "0/0 e1"),
    ];
    for (what, timeline, expected) in table {
        assert_eq!(run(timeline, &|_| client()).0, expected, "{what}");
    }
}

#[test]
fn lost_closes_are_told() {
    let (_, told) = run("snap 1 100/200 R5 | snap 2 10/500 R2 | snap 2 20/600 R2", &|_| client());
    assert_eq!((told.diagnostics.lost_closes, told.diagnostics.unclosed), (1, 1));
    let (_, cut) = run("snap 1 1/1 | cut | snap 1 2/2", &|_| client());
    assert_eq!((cut.diagnostics.lost_closes, cut.diagnostics.unclosed), (0, 1));
}

#[test]
fn udp_timelines() {
    let table = [
        (
            "a socket that is reused",
            "snap 1 30/60 | close 1 60/120 | close 2 0/0 | close 3 5/0, snap 4 1/1",
            "30/60 | 30/60 | - | 6/1",
        ),
        ("idle", "snap 1 3/0 | snap 1 3/0 | snap 1 3/0", "3/0 | - | -"),
    ];
    for (what, timeline, expected) in table {
        assert_eq!(run(timeline, &|_| udp("10.0.0.1:40001", "8.8.8.8:443")).0, expected, "{what}");
    }
}

/// A name or a translated destination that is learned in the middle holds for the whole connection and counts nothing again.
#[test]
fn attributes_learned_on_the_way() {
    let timeline = "snap 1 100/200 | snap 1 110/220 | close 1 111/221";
    let learned = [
        Body::Process(netflow_core::event::Process {
            pid: 7,
            process: "curl".into(),
            exe: None,
            cgroup: None,
            container_id: None,
            exited: false,
            started_at: None,
        }),
        stream::nat(&client(), "10.42.0.5:8443"),
    ];
    for attribute in learned {
        let mut events = parse(timeline, &|_| client());
        events.insert(2, Event { at: S, body: attribute });
        let report = report(&events, ReportOptions { every_ns: Some(S), ..ReportOptions::default() });
        assert_eq!(results(&report, 3), "100/200 e1 | 10/20 | 1/1 c1");
        let tags = stream::lines(&report, "process_name dst_nat_ip");
        assert!(tags.iter().all(|tags| tags == "curl -" || tags == "- 10.42.0.5"), "{tags:?}");
    }
}

/// Four tuples, two of them known before: each step, and what the tuple it touches has done so far.
#[test]
fn a_table_of_states() {
    let tuple = |conn: u64| {
        let (local, remote) = match conn / 10 {
            1 => ("111.0.1.1:8080", "111.0.0.1:23456"),
            2 => ("111.0.1.1:8080", "111.1.1.1:23456"),
            3 => ("111.0.1.1:8088", "111.1.1.1:3456"),
            _ => ("111.0.1.1:8080", "111.0.0.2:23456"),
        };
        Identity { pid: Some(1222), preexisting: matches!(conn, 10 | 20), ..stream::tcp(local, remote) }
    };
    // The first digit of an id is the tuple (A, B, C, D), the second its life.
    let table = [
        ("snap 10 1/1, snap 20 1/1", 10, None),
        ("close 10 1/1", 10, Some("0/0 e0 c1")),
        ("close 11 1/1", 10, Some("1/1 e1 c2")),
        ("close 40 1/1", 40, Some("1/1 e1 c1")),
        ("snap 20 1/2", 20, Some("0/1 e0 c0")),
        ("snap 12 1/1", 10, Some("2/2 e2 c2")),
        ("snap 30 1/1", 30, Some("1/1 e1 c0")),
    ];
    let mut so_far = String::new();
    for (step, touched, expected) in table {
        so_far = if so_far.is_empty() { step.to_owned() } else { format!("{so_far}, {step}") };
        let report = report(&parse(&so_far, &tuple), ReportOptions { ports: unfolded(), ..ReportOptions::default() });
        let wanted = tuple(touched);
        let ends = format!("{} {} ", wanted.local.port(), wanted.remote.ip());
        let fields = "src_port dst_ip bytes_written bytes_read tcp_established tcp_closed";
        let found = stream::lines(&report, fields).into_iter().find_map(|line| {
            let cells: Vec<String> = line.strip_prefix(&ends)?.split(' ').map(str::to_owned).collect();
            Some(format!("{}/{} e{} c{}", cells[0], cells[1], cells[2], cells[3]))
        });
        assert_eq!(found.as_deref(), expected, "{step}");
    }
}

fn unfolded() -> netflow_core::flow::PortOptions {
    netflow_core::flow::PortOptions { no_fold: true, ephemeral_port_min: None }
}
