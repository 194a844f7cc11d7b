//! What went wrong elsewhere, each as a test that it does not here.
//!
//! The collector whose vocabulary this program keeps had these faults; every test is named after the right behaviour, its
//! comment tells the wrong one. Faults in the kernel's half are for the tests of the capture.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use netflow_core::delta::{Deltas, Step};
use netflow_core::event::{Body, Direction, Event, Identity, Loss, Totals, Transport};
use netflow_core::pipeline::ReportOptions;
use stream::{
    CUT_TICK, S, TICK, at_seconds, bytes, client, close, close_of, dns, exit, lines, listen, nat, open, process,
    report, rows, sample, sample_of, tcp, udp,
};

const BYTES: &str = "bytes_written bytes_read tcp_established tcp_closed";

/// A translated destination was part of what identified a connection: when it became known, all bytes so far and the open
/// were reported a second time.
#[test]
fn learning_the_nat_destination_counts_nothing_again() {
    let events = vec![
        (1, sample_of(1, bytes(100, 200), &client())),
        (2, nat(&client(), "10.42.0.5:8443")),
        (3, sample(1, bytes(110, 220))),
        (4, close(1, bytes(111, 221))),
    ];
    assert_eq!(rows(events, &format!("dst_nat_ip {BYTES}")), ["10.42.0.5 111 221 1 1"]);
}

/// So was the name of the process.
#[test]
fn learning_the_process_name_counts_nothing_again() {
    let events = vec![
        (1, sample_of(1, bytes(100, 200), &client())),
        (2, process(7, "curl")),
        (3, sample(1, bytes(110, 220))),
        (4, close(1, bytes(111, 221))),
    ];
    assert_eq!(rows(events, &format!("process_name {BYTES}")), ["curl 111 221 1 1"]);
}

/// One counter that went back made all four changes zero.
#[test]
fn a_counter_that_goes_back_leaves_the_others_alone() {
    let events = at_seconds(vec![(1, sample_of(1, bytes(100, 200), &client())), (2, sample(1, bytes(10, 500)))]);
    let report = report(&events, ReportOptions::default());
    assert_eq!(lines(&report, BYTES), ["110 500 1 0"]);
    assert_eq!(report.diagnostics.counter_resets, 1);
}

/// A connection whose close got lost was kept for ever, and the next one with its ends was measured against it.
#[test]
fn a_connection_whose_close_was_lost_is_forgotten() {
    let mut deltas = Deltas::new();
    let mut steps = Vec::new();
    for conn in 0..1000 {
        deltas.push(&Event { at: conn * S, body: sample_of(conn, bytes(1, 1), &client()) }, &mut steps);
        deltas.push(&Event { at: conn * S, body: TICK }, &mut steps);
    }
    assert_eq!(deltas.diagnostics().lost_closes, 999);
    let slots = steps.iter().filter_map(|step| if let Step::Delta(delta) = step { Some(delta.slot) } else { None });
    assert!(slots.max().unwrap() <= 2, "room is used again");
}

/// An interval in which a connection only retransmitted was left out, but counted as told: the retransmissions were gone.
#[test]
fn retransmissions_alone_are_reported() {
    let again = |retransmits| Totals { retransmits, ..bytes(1, 1) };
    let events =
        at_seconds(vec![(1, sample_of(1, again(0), &client())), (2, sample(1, again(5))), (3, sample(1, again(5)))]);
    let windows = ReportOptions { every_ns: Some(S), ..ReportOptions::default() };
    assert_eq!(lines(&report(&events, windows), "bytes_read retransmits"), ["1 0", "0 5"]);
}

/// What the filters leave out was never removed: a resolver on loopback filled the table until nothing new was seen.
#[test]
fn what_is_left_out_takes_no_room_for_ever() {
    let mut deltas = Deltas::new();
    let mut steps = Vec::new();
    for conn in 0..10_000_u64 {
        let asks = udp(&format!("127.0.0.1:{}", 10_000 + conn), "127.0.0.53:53");
        deltas.push(&Event { at: conn * S / 10, body: open(conn, &asks) }, &mut steps);
        deltas.push(&Event { at: conn * S / 10, body: close(conn, bytes(30, 60)) }, &mut steps);
    }
    let slots = steps.iter().filter_map(|step| if let Step::Delta(delta) = step { Some(delta.slot) } else { None });
    assert!(slots.max().unwrap() < 30, "ten a second, known for two seconds after their end");
}

/// A close that was read after a sample of the next connection with the same ends garbled both: 47 bytes became 0 and 140.
#[test]
fn a_close_that_comes_after_the_next_life_began_loses_nothing() {
    let events = vec![
        (1, sample_of(1, bytes(100, 0), &Identity { preexisting: true, ..client() })),
        (2, sample_of(2, bytes(10, 0), &client())),
        (2, close(1, bytes(137, 0))),
    ];
    assert_eq!(rows(events, BYTES), ["47 0 1 1"]);
}

/// Payload came out negative when a counter was huge, because it was shown as a signed number.
#[test]
fn a_huge_counter_is_not_negative() {
    let huge = u64::MAX - 10;
    assert_eq!(rows(vec![(1, sample_of(1, bytes(huge, 0), &client()))], BYTES), [format!("{huge} 0 1 0")]);
    let twice = vec![(1, sample_of(1, bytes(huge, 0), &client())), (1, sample_of(2, bytes(huge, 0), &client()))];
    assert_eq!(rows(twice, BYTES), [format!("{} 0 2 0", u64::MAX)], "it stays at the end of its range");
}

/// The mean counted connections without a measurement as zero, weighted nothing, and cut off the fraction.
#[test]
fn a_connection_without_a_measurement_does_not_lower_the_round_trip_time() {
    let measured = |rtt_us| Totals { rtt_us, ..bytes(1, 1) };
    let events =
        (0..3).map(|conn| (1, sample_of(conn, measured([100, 200, 0][usize::try_from(conn).unwrap()]), &client())));
    assert_eq!(rows(events.collect(), "rtt rtt_min rtt_max connections"), ["150 100 200 3"]);
}

/// There was a place for packets, and always 0 in it.
#[test]
fn packets_are_counted() {
    let totals = Totals { sent_packets: 3, recv_packets: 4, ..bytes(1, 1) };
    assert_eq!(rows(vec![(1, sample_of(1, totals, &client()))], "packets_written packets_read"), ["3 4"]);
}

/// The last word of an IPv6 address was compared without the first three: 2001:db8::1 was loopback at times.
#[test]
fn an_address_that_ends_like_loopback_is_not() {
    for (local, remote) in [("[2001:db8::1]:1", "[::ffff:1.2.3.4]:1"), ("[64:ff9b::1]:1", "[2001:db8::2]:1")] {
        assert_eq!(rows(vec![(1, open(1, &tcp(local, remote)))], BYTES), ["0 0 1 0"]);
    }
    for (local, remote) in [("[::1]:1", "[2001:db8::1]:1"), ("[::ffff:127.8.8.8]:1", "10.0.0.1:1")] {
        assert!(rows(vec![(1, open(1, &tcp(local, remote)))], BYTES).is_empty());
    }
}

/// A connect that was refused counted as opened and closed.
#[test]
fn a_refused_connect_is_a_failure() {
    let refused = close_of(1, bytes(0, 0), Some(&client()), &["syn_sent", "close"]);
    assert_eq!(rows(vec![(1, refused)], &format!("{BYTES} tcp_connect_failures")), ["0 0 0 0 1"]);
}

/// A connection that was open long before counted as opened when it closed, or when it was first seen.
#[test]
fn a_connection_older_than_the_recording_does_not_open_in_it() {
    let old = Identity { preexisting: true, ..client() };
    let seen = vec![(1, sample_of(1, bytes(1_000_000, 1), &old)), (2, sample(1, bytes(1_000_007, 1)))];
    assert_eq!(rows(seen, BYTES), ["7 0 0 0"]);
    let closed = close_of(1, bytes(1_000_000, 1), Some(&old), &["established", "close"]);
    assert_eq!(rows(vec![(1, closed)], BYTES), ["0 0 0 1"]);
}

/// After six idle hours half of what was known of a connection was dropped: when it woke up, it had opened again and all
/// its retransmissions came again.
#[test]
fn an_idle_connection_that_wakes_up_repeats_nothing() {
    let totals = |sent_bytes| Totals { sent_bytes, retransmits: 5, ..Totals::default() };
    let mut events = vec![(0, sample_of(1, totals(100), &client()))];
    events.extend((1..=24).flat_map(|hour| [(hour * 3600, sample(1, totals(100))), (hour * 3600, TICK)]));
    events.push((25 * 3600, sample(1, totals(101))));
    assert_eq!(rows(events, &format!("{BYTES} retransmits")), ["101 0 1 0 5"]);
}

/// Counters were kept per process and retransmissions per socket: a socket of two processes reported them twice, and two
/// opens.
#[test]
fn a_socket_of_two_processes_counts_once() {
    let totals = |sent_bytes, retransmits| Totals { sent_bytes, retransmits, ..Totals::default() };
    let child = Identity { pid: Some(8), shared: true, ..client() };
    let events = vec![
        (1, sample_of(1, totals(100, 3), &client())),
        (2, sample_of(1, totals(150, 4), &child)),
        (3, close_of(1, totals(150, 4), Some(&client()), &["established", "close"])),
    ];
    assert_eq!(rows(events.clone(), &format!("pid {BYTES} retransmits")), ["7 150 0 1 1 4"]);
    // Once shared, always shared; a column of that name comes only when it is asked for.
    assert_eq!(rows(events.clone(), "pid shared connections"), ["7 true 1"]);
    let columns = report(&at_seconds(events), ReportOptions::default()).columns;
    assert!(columns.iter().any(|column| column.name == "pid") && columns.iter().all(|column| column.name != "shared"));
}

/// When a process closed what another had used, there was an empty connection for the one, and for the other an end that
/// never came.
#[test]
fn a_close_by_another_process_ends_the_same_connection() {
    let server = Identity { direction: Some(Direction::Incoming), ..client() };
    let closer = Identity { pid: Some(9), direction: None, ..client() };
    let events = vec![
        (1, sample_of(1, bytes(100, 100), &server)),
        (2, close_of(1, bytes(120, 120), Some(&closer), &["established", "close"])),
    ];
    assert_eq!(rows(events, &format!("direction {BYTES} connections")), ["incoming 120 120 1 1 1"]);
}

/// A walk over the kernel's table could show a connection twice, or end early without anybody noticing.
#[test]
fn a_snapshot_that_repeats_or_stops_changes_nothing() {
    let events = at_seconds(vec![
        (1, sample_of(1, bytes(10, 10), &client())),
        (1, sample(1, bytes(10, 10))),
        (1, TICK),
        (2, CUT_TICK),
        (3, sample(1, bytes(30, 30))),
        (3, TICK),
    ]);
    let report = report(&events, ReportOptions::default());
    assert_eq!(lines(&report, BYTES), ["30 30 1 0"]);
    assert_eq!(report.diagnostics.lost_closes, 0);
}

/// Records were dropped where nobody counted them.
#[test]
fn what_the_recorder_lost_is_in_the_report() {
    let loss = |ring_full| Body::Loss(Loss { ring_full, ..Loss::default() });
    let report =
        report(&at_seconds(vec![(1, loss(3)), (2, open(1, &client())), (9, loss(2))]), ReportOptions::default());
    assert_eq!(report.diagnostics.loss.to_string(), "ring_full 5");
    assert!(report.diagnostics.is_lossy());
}

/// What happened after the last tick was lost.
#[test]
fn what_comes_after_the_last_tick_is_reported() {
    let events = vec![(1, sample_of(1, bytes(1, 1), &client())), (1, TICK), (2, sample(1, bytes(5, 5)))];
    assert_eq!(rows(events, BYTES), ["5 5 1 0"]);
}

/// Connections of different network namespaces were one row, and no column told.
#[test]
fn namespaces_are_kept_apart() {
    let there = Identity { netns: Some(2), ..client() };
    let events = vec![(1, sample_of(1, bytes(1, 1), &client())), (1, sample_of(2, bytes(2, 2), &there))];
    assert_eq!(rows(events, "netns bytes_read"), ["1 1", "2 2"]);
}

/// One clock stood still while the machine slept, the other did not: after a night, live connections were taken for idle.
#[test]
fn a_night_of_sleep_ends_no_connection() {
    let events = at_seconds(vec![
        (1, sample_of(1, bytes(1, 1), &client())),
        (1, TICK),
        (36_000, sample(1, bytes(2, 2))),
        (36_000, TICK),
    ]);
    let report = report(&events, ReportOptions::default());
    assert_eq!(lines(&report, BYTES), ["2 2 1 0"]);
    assert_eq!((report.diagnostics.lost_closes, report.diagnostics.unclosed), (0, 1));
}

/// Rows came in another order each time, stamped with the time at which they were written.
#[test]
fn rows_come_in_the_same_order_whatever_the_order_of_events() {
    let events = |order: [u64; 3]| {
        let one = |conn| (1, sample_of(conn, bytes(conn, 0), &tcp(&format!("10.0.0.{conn}:1"), "8.8.8.8:2")));
        at_seconds(order.into_iter().map(one).collect())
    };
    let first = report(&events([1, 2, 3]), ReportOptions::default());
    let second = report(&events([3, 1, 2]), ReportOptions::default());
    assert_eq!(first.rows, second.rows);
    assert_eq!(first.rows[0].window.end_us, 1_000_000, "the time is the recording's");
}

/// A name was that behind the last alias, held for ever, and for everybody; the last answer won.
#[test]
fn the_name_that_was_asked_for_holds_for_its_time_and_place() {
    let mut events = vec![
        (0, dns("www.example", "8.8.8.8", 300, Some(1))),
        (1, dns("tracker.example", "8.8.8.8", 300, Some(2))),
        (2, open(1, &client())),
        (3, open(2, &Identity { netns: Some(2), ..client() })),
        (400, open(3, &Identity { netns: Some(1), pid: Some(9), ..client() })),
    ];
    assert_eq!(rows(events.clone(), "pid netns dst_domain"), ["7 1 www.example", "7 2 tracker.example", "9 1 -"]);
    events.retain(|(_, body)| !matches!(body, Body::Dns(_)));
    assert_eq!(rows(events, "pid netns dst_domain"), ["7 1 -", "7 2 -", "9 1 -"]);
}

/// A worker that was forked and never executed anything had no name, and an unknown name was an empty one.
#[test]
fn a_forked_worker_has_a_name_and_an_unknown_one_is_unknown() {
    let worker = Identity { pid: Some(8), ..client() };
    let stranger = Identity { pid: Some(9), process: Some("".into()), ..client() };
    let events =
        vec![(1, process(7, "nginx")), (1, process(8, "nginx")), (2, open(1, &worker)), (2, open(2, &stranger))];
    assert_eq!(rows(events, "pid process_name"), ["8 nginx", "9 -"]);
}

/// Once a process had exited and its id was given to another, late records took the wrong name.
#[test]
fn a_process_id_that_is_used_again_names_the_right_process() {
    let events = vec![
        (1, process(7, "curl")),
        (2, open(1, &client())),
        (3, exit(7, "curl")),
        (4, process(7, "sshd")),
        (5, open(2, &client())),
        (6, close(1, bytes(1, 0))),
        (7, close(2, bytes(2, 0))),
    ];
    assert_eq!(rows(events, "process_name bytes_written"), ["curl 1", "sshd 2"]);
}

/// By default every port of the supposed client was folded, 8080 as well, and without evidence everybody was a client: the
/// port of the service was what disappeared.
#[test]
fn a_service_port_is_not_folded() {
    let table = [
        (8080, 9090, None, "- 8080 9090"),
        (8080, 52000, None, "incoming 8080 *"),
        (8080, 9090, Some(Direction::Outgoing), "outgoing 8080 9090"),
        (40000, 8080, None, "outgoing * 8080"),
    ];
    for (local, remote, direction, expected) in table {
        let identity = Identity { direction, ..tcp(&format!("10.0.0.1:{local}"), &format!("10.0.0.2:{remote}")) };
        assert_eq!(rows(vec![(1, open(1, &identity))], "direction src_port dst_port"), [expected]);
    }
}

/// When one of several sockets on a port was closed, the port no longer counted as listening.
#[test]
fn closing_one_socket_of_a_port_leaves_the_others_listening() {
    let unknown = Identity { netns: Some(1), ..tcp("10.0.0.1:50001", "10.0.0.2:80") };
    let events = vec![
        (1, listen("0.0.0.0:50001", Some(1), 7, false)),
        (1, listen("0.0.0.0:50001", Some(1), 8, false)),
        (2, listen("0.0.0.0:50001", Some(1), 7, true)),
        (3, open(1, &unknown)),
    ];
    assert_eq!(rows(events, "direction"), ["incoming"]);
}

/// Translations were found whatever the transport, never from the right namespace, and stayed for whoever came after.
#[test]
fn a_translation_applies_to_its_own_connection() {
    let same_ends = Identity { transport: Transport::Udp, ..client() };
    let events = vec![
        (1, open(1, &client())),
        (1, nat(&client(), "10.42.0.5:8443")),
        (1, sample_of(2, bytes(1, 0), &same_ends)),
        (1, open(3, &Identity { netns: Some(2), ..client() })),
        (2, close(1, bytes(1, 0))),
        (5, open(4, &Identity { pid: Some(8), ..client() })),
    ];
    let expected = ["tcp 7 1 10.42.0.5", "tcp 7 2 -", "tcp 8 1 -", "udp 7 1 -"];
    let mut found = rows(events, "transport pid netns dst_nat_ip");
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// A record of a closed connection did not say when: it counted where it was read.
#[test]
fn opens_and_closes_count_where_they_happened() {
    let events = vec![(1, open(1, &client())), (5, close(1, bytes(1, 1))), (9, TICK)];
    let windows = ReportOptions { every_ns: Some(S), ..ReportOptions::default() };
    let found = lines(&report(&at_seconds(events), windows), "window_start tcp_established tcp_closed");
    assert_eq!(found, ["1000000 1 0", "5000000 0 1"]);
}
