//! Timelines tick by tick: what goes in, and exactly which points come out at each tick.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use netflow_core::column::Tag;
use netflow_core::event::{
    Body, Clock, Close, Direction, Event, Header, Identity, Process, Sample, TcpStates, Tick, Totals, Transport,
};
use netflow_core::filter::BuiltIn;
use netflow_core::pipeline::ReportOptions;
use netflow_core::report::{Report, Window};
use netflow_core::ticks::Ticks;
use netflow_core::value::Value;

const TICK: Body = Body::Tick(Tick { complete: true });
const MS: u64 = 1_000_000;

fn flow(transport: Transport) -> Identity {
    Identity {
        direction: Some(Direction::Outgoing),
        pid: Some(7),
        ..Identity::new(transport, "10.0.0.1:40001".parse().unwrap(), "8.8.8.8:443".parse().unwrap())
    }
}

fn tcp() -> Identity {
    flow(Transport::Tcp)
}

fn named(name: &str) -> Identity {
    Identity { process: Some(name.into()), ..tcp() }
}

/// Sent, received, retransmitted, round-trip time.
type Seen = (u64, u64, u64, u32);

fn totals((sent_bytes, recv_bytes, retransmits, rtt_us): Seen) -> Totals {
    Totals { sent_bytes, recv_bytes, retransmits, rtt_us, ..Totals::default() }
}

fn snap(conn: u64, seen: Seen, identity: Identity) -> Body {
    Body::Sample(Sample { conn, totals: totals(seen), identity: Some(Arc::new(identity)) })
}

fn close(conn: u64, seen: Seen, identity: Identity) -> Body {
    close_through(conn, seen, identity, &[])
}

fn close_through(conn: u64, seen: Seen, identity: Identity, states: &[&str]) -> Body {
    let tcp_states = states.iter().fold(TcpStates::default(), |set, name| set.with_name(name).unwrap());
    Body::Close(Close { conn, totals: totals(seen), identity: Some(Arc::new(identity)), tcp_states, reason: None })
}

fn by(names: &[&str]) -> ReportOptions {
    ReportOptions { by: Tag::parse_all(names).unwrap(), ..ReportOptions::default() }
}

/// The reports, one for each tick and one for the rest; events are a millisecond apart.
fn run(options: ReportOptions, bodies: Vec<Body>) -> Vec<Report> {
    let mut ticks = Ticks::new(options);
    ticks.begin(&Header { boot_time_ns: 1_000 * 1_000_000_000, ..Header::default() });
    let mut at = 0;
    let events = bodies.into_iter().map(|body| {
        at += MS;
        Event { at, body }
    });
    let mut reports: Vec<Report> = events.filter_map(|event| ticks.push(&event)).collect();
    reports.push(ticks.finish());
    reports
}

/// A report's rows, each as `sent/recv Rretransmits eestablished cclosed ffailures rtt` without what is zero, behind its
/// tags; `-` when there are none.
fn points(report: &Report) -> String {
    let rows: Vec<String> = report
        .rows
        .iter()
        .map(|row| {
            let mut text = String::new();
            for tag in &row.key {
                match tag {
                    Value::Text(name) => text += &format!("{name} "),
                    Value::Null => text += "? ",
                    _ => {}
                }
            }
            text += &format!("{}/{}", row.sums.bytes_written, row.sums.bytes_read);
            if let Some(tcp) = row.sums.tcp {
                let counts = [
                    (" R", tcp.retransmits),
                    (" e", tcp.established),
                    (" c", tcp.closed),
                    (" f", tcp.connect_failures),
                    (" rtt", tcp.rtt.mean().unwrap_or(0)),
                ];
                for (name, count) in counts.iter().filter(|(_, count)| *count > 0) {
                    text += &format!("{name}{count}");
                }
            }
            if row.sums.connections == 1 { text } else { format!("{text} of {}", row.sums.connections) }
        })
        .collect();
    if rows.is_empty() { "-".to_owned() } else { rows.join("; ") }
}

#[test]
fn timelines() {
    let udp = || flow(Transport::Udp);
    let table: Vec<(&str, Vec<Body>, &[&str])> = vec![
        (
            "a life over four ticks",
            vec![
                snap(1, (100, 200, 1, 1000), tcp()),
                TICK,
                snap(1, (150, 500, 3, 1200), tcp()),
                TICK,
                snap(1, (150, 500, 3, 1200), tcp()),
                TICK,
                close(1, (160, 600, 4, 900), tcp()),
                TICK,
            ],
            &["100/200 R1 e1 rtt1000", "50/300 R2 rtt1200", "-", "10/100 R1 c1 rtt900", "-"],
        ),
        ("a life within one interval", vec![close(1, (10, 20, 1, 0), tcp()), TICK], &["10/20 R1 e1 c1", "-"]),
        (
            "two lives in one interval, round-trip times average over what was measured",
            vec![close(1, (10, 20, 1, 0), tcp()), close(2, (30, 40, 2, 600), tcp()), TICK],
            &["40/60 R3 e2 c2 rtt600 of 2", "-"],
        ),
        (
            "the close was lost and the next life has smaller totals",
            vec![
                snap(1, (100, 200, 5, 0), tcp()),
                TICK,
                snap(2, (10, 500, 2, 0), tcp()),
                TICK,
                snap(2, (20, 600, 2, 0), tcp()),
                TICK,
            ],
            &["100/200 R5 e1", "10/500 R2 e1", "10/100", "-"],
        ),
        (
            "the close was lost and the next life has greater totals",
            vec![snap(1, (100, 200, 5, 0), tcp()), TICK, snap(2, (1100, 1200, 0, 0), tcp()), TICK],
            &["100/200 R5 e1", "1100/1200 e1", "-"],
        ),
        (
            "the tail of a life and the head of the next in one interval",
            vec![
                snap(1, (100, 0, 0, 0), tcp()),
                TICK,
                snap(2, (10, 0, 0, 0), tcp()),
                close(1, (137, 0, 0, 0), tcp()),
                TICK,
            ],
            &["100/0 e1", "47/0 e1 c1 of 2", "-"],
        ),
        (
            "UDP lives are neither established nor closed, and an empty one is idle",
            vec![
                snap(1, (30, 60, 0, 0), udp()),
                TICK,
                close(1, (60, 120, 0, 0), udp()),
                TICK,
                close(2, (0, 0, 0, 0), udp()),
                TICK,
                close(3, (5, 0, 0, 0), udp()),
                snap(4, (1, 1, 0, 0), udp()),
                TICK,
            ],
            &["30/60", "30/60", "-", "6/1 of 2", "-"],
        ),
        (
            "retransmissions alone are activity",
            vec![snap(1, (9, 9, 0, 0), tcp()), TICK, snap(1, (9, 9, 5, 0), tcp()), TICK],
            &["9/9 e1", "0/0 R5", "-"],
        ),
        (
            "a refused connect is a failure",
            vec![close_through(1, (0, 0, 0, 0), tcp(), &["syn_sent", "close"]), TICK],
            &["0/0 f1", "-"],
        ),
        (
            "what follows the last tick is not lost",
            vec![snap(1, (1, 0, 0, 0), tcp()), TICK, snap(1, (3, 0, 0, 0), tcp()), close(2, (4, 4, 0, 0), tcp())],
            &["1/0 e1", "6/4 e1 c1 of 2"],
        ),
    ];
    for (what, bodies, expected) in table {
        let reports = run(by(&["transport"]), bodies);
        assert_eq!(reports.iter().map(points).collect::<Vec<_>>(), expected, "{what}");
    }
}

#[test]
fn a_name_holds_from_the_tick_on_at_which_it_is_known() {
    let life = vec![
        snap(1, (100, 200, 0, 0), tcp()),
        TICK,
        snap(1, (110, 220, 0, 0), named("curl")),
        TICK,
        close(1, (111, 221, 0, 0), tcp()),
        TICK,
    ];
    let reports = run(by(&["process_name"]), life);
    assert_eq!(
        reports.iter().map(points).collect::<Vec<_>>(),
        ["? 100/200 e1", "curl 10/20", "curl 1/1 c1", "-"],
        "and nothing is counted again"
    );
}

#[test]
fn what_arrives_beside_the_connections_holds_within_its_interval() {
    let process = Process { container_id: Some("c0ffee".into()), ..Process::new(7, "wget") };
    let life = vec![snap(1, (1, 0, 0, 0), tcp()), Body::Process(process), TICK];
    assert_eq!(points(&run(by(&["process_name", "container_id"]), life)[0]), "wget c0ffee 1/0 e1");
}

#[test]
fn intervals_lie_end_to_end_and_no_two_end_at_once() {
    let mut ticks = Ticks::new(ReportOptions::default());
    ticks.begin(&Header::default());
    let mut windows = Vec::new();
    let mut push = |at: u64, body: Body| windows.extend(ticks.push(&Event { at, body }).map(|report| report.span));
    push(5_000, snap(1, (1, 0, 0, 0), tcp()));
    push(9_000, TICK);
    push(9_000, snap(1, (2, 0, 0, 0), tcp()));
    push(9_000, TICK);
    // An hour on by the wall clock, two microseconds by the recording's.
    push(11_000, Body::Clock(Clock { boot_time_ns: 3_600_000_000_000 }));
    push(12_000, TICK);
    push(20_000, snap(1, (3, 0, 0, 0), tcp()));
    let hour = 3_600_000_000;
    let window = |start_us, end_us| Some(Window { start_us, end_us });
    assert_eq!(windows, [window(5, 9), window(9, 10), window(hour + 10, hour + 12)]);
    assert_eq!(ticks.finish().rows[0].window, Window { start_us: hour + 12, end_us: hour + 20 });
}

#[test]
fn the_first_sight_of_an_old_connection_counts_nothing() {
    let old = || Identity { preexisting: true, ..tcp() };
    let life = vec![snap(1, (5000, 6000, 9, 80), old()), TICK, snap(1, (5001, 6000, 9, 80), old()), TICK];
    let reports = run(by(&["transport"]), life);
    assert_eq!(reports.iter().map(points).collect::<Vec<_>>(), ["-", "1/0 rtt80", "-"]);
}

#[test]
fn who_is_left_out_is_counted_once_and_consumes_nothing() {
    let loopback =
        || Identity { local: "127.0.0.1:40001".parse().unwrap(), remote: "127.0.0.1:80".parse().unwrap(), ..tcp() };
    let life = || {
        vec![
            snap(1, (10, 0, 0, 0), loopback()),
            snap(2, (0, 0, 0, 0), flow(Transport::Udp)),
            TICK,
            snap(1, (15, 0, 0, 0), loopback()),
            snap(2, (0, 0, 0, 0), flow(Transport::Udp)),
            TICK,
            close(1, (16, 0, 0, 0), loopback()),
        ]
    };
    let reports = run(by(&["transport"]), life());
    assert_eq!(reports.iter().map(points).collect::<Vec<_>>(), ["-", "-", "-"]);
    let left_out = reports.last().unwrap().left_out;
    assert_eq!((left_out.loopback, left_out.idle), (1, 1));
    let kept = BuiltIn { keep_loopback: true, ..BuiltIn::default() };
    let reports = run(ReportOptions { filter: kept, ..by(&["transport"]) }, life());
    assert_eq!(reports.iter().map(points).collect::<Vec<_>>(), ["10/0 e1", "5/0", "1/0 c1"]);
    assert_eq!(reports.last().unwrap().left_out.idle, 1, "idle in one interval is not idle for a whole life");
}

#[test]
fn a_capture_ends_its_last_interval_before_the_next_begins() {
    let mut ticks = Ticks::new(by(&["host"]));
    let header = |host: &str| Header { host: host.to_owned(), ..Header::default() };
    assert_eq!(points(&ticks.begin(&header("a")).unwrap()), "-");
    ticks.push(&Event { at: MS, body: snap(1, (1, 2, 0, 0), tcp()) });
    assert_eq!(points(&ticks.begin(&header("b")).unwrap()), "a 1/2 e1");
    ticks.push(&Event { at: MS, body: snap(1, (7, 8, 0, 0), tcp()) });
    let last = ticks.finish();
    assert_eq!(points(&last), "b 7/8 e1");
    assert_eq!(last.diagnostics.unclosed, 2, "diagnostics are those of both");
}

#[test]
fn memory_follows_the_connections_that_live() {
    let mut ticks = Ticks::new(ReportOptions::default());
    ticks.begin(&Header::default());
    for conn in 0..20_000_u64 {
        let at = conn * 10 * MS;
        assert!(ticks.push(&Event { at, body: close(conn, (1, 1, 0, 0), tcp()) }).is_none());
        if conn % 100 == 99 {
            let report = ticks.push(&Event { at, body: TICK }).unwrap();
            assert_eq!((report.rows.len(), report.rows[0].sums.connections), (1, 100));
        }
    }
    assert_eq!(ticks.finish().rows.len(), 0);
}
