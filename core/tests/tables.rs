//! Tables of filters, addresses, directions, ports and groups: what a connection is, and the row that it must become.
//!
//! Where a row of these tables is not what the collector said whose vocabulary this is, it is said beside it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use netflow_core::address::{AddressType, Endpoint};
use netflow_core::event::{Direction, Identity, Totals, Transport};
use netflow_core::filter::{BuiltIn, LeftOut};
use netflow_core::flow::PortOptions;
use netflow_core::pipeline::ReportOptions;
use stream::{at_seconds, bytes, close, close_of, lines, open, report, sample, tcp, udp};

/// Ends, bytes received and sent, and why the connection is left out.
#[test]
fn what_is_left_out() {
    use LeftOut::{Idle, Loopback, Unspecified};
    let table = [
        ("127.0.0.1:1", "127.0.0.1:1", 1, 1, Some(Loopback)),
        ("127.0.1.1:1", "127.0.0.1:1", 0, 0, Some(Loopback)),
        // Loopback at one end is enough, whatever came through; there it took both once something had.
        ("128.0.1.1:1", "127.0.0.1:1", 1, 0, Some(Loopback)),
        ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", 1, 1, Some(Loopback)),
        ("[::ffff:143.0.1.1]:1", "[::ffff:127.0.0.1]:1", 0, 0, Some(Loopback)),
        ("[::ffff:143.0.1.1]:1", "[::ffff:127.0.0.1]:1", 1, 0, Some(Loopback)),
        ("[::]:0", "[::ffff:127.0.0.1]:0", 1, 0, Some(Unspecified)),
        ("[::1]:1", "[::1]:1", 1, 0, Some(Loopback)),
        ("[::1]:1", "[2::1]:1", 1, 0, Some(Loopback)),
        ("[2::1]:1", "[::1]:1", 1, 0, Some(Loopback)),
        ("[2::1]:1", "[2::1]:1", 1, 0, None),
        ("127.1.0.1:1", "1.1.1.1:1", 1, 0, Some(Loopback)),
        ("12.1.0.1:1", "127.0.0.1:1", 1, 0, Some(Loopback)),
        ("12.1.0.1:0", "12.0.0.1:1", 1, 0, Some(Unspecified)),
        ("12.1.0.1:1", "12.0.0.1:0", 1, 0, Some(Unspecified)),
        ("12.1.0.1:1", "12.0.0.1:1", 1, 0, None),
        ("0.0.0.0:1", "12.0.0.1:1", 1, 0, Some(Unspecified)),
        ("10.0.0.1:1", "10.0.0.1:2", 1, 0, None),
        ("126.255.255.255:1", "128.0.0.1:1", 1, 0, None),
        ("[::ffff:8.8.8.8]:1", "[::ffff:127.9.9.9]:1", 1, 0, Some(Loopback)),
        ("[::ffff:10.0.0.1]:1", "[::ffff:8.8.8.8]:1", 1, 0, None),
        ("[2001:db8::1]:1", "[2001:db8::2]:1", 1, 0, None),
        ("[fe80::1]:1", "[fe80::2]:1", 1, 0, None),
        // Was taken for loopback because its last words were compared without the first.
        ("[2001:db8::1]:1", "[::ffff:1.2.3.4]:1", 1, 0, None),
        // Was taken for loopback by a slip in the order of bytes.
        ("[::100:0]:1", "[::100:0]:1", 1, 0, None),
        ("[::]:1", "[2001:db8::1]:1", 1, 0, Some(Unspecified)),
        ("[::]:1", "[::]:1", 1, 0, Some(Unspecified)),
        // The recorder never writes an IPv4 address in this form, so it is an IPv6 address like any other.
        ("[::127.0.0.1]:1", "[::127.0.0.1]:1", 1, 0, None),
        ("10.0.0.1:40000", "8.8.8.8:443", 0, 0, Some(Idle)),
        ("10.0.0.1:40000", "8.8.8.8:443", 1, 0, None),
        ("10.0.0.1:40000", "8.8.8.8:443", 0, 1, None),
    ];
    for (local, remote, recv, sent, expected) in table {
        let events = at_seconds(vec![(1, open(1, &udp(local, remote))), (2, sample(1, bytes(sent, recv)))]);
        let report = report(&events, ReportOptions::default());
        let out = report.left_out;
        let counts = [
            (Unspecified, out.unspecified),
            (Loopback, out.loopback),
            (LeftOut::SameIp, out.same_ip),
            (Idle, out.idle),
        ];
        let found: Vec<LeftOut> = counts.into_iter().filter(|(_, count)| *count > 0).map(|(cause, _)| cause).collect();
        assert_eq!(found, Vec::from_iter(expected), "{local} {remote} {recv} {sent}");
        assert_eq!(report.rows.len(), usize::from(expected.is_none()), "{local} {remote}");
    }
}

/// Any change is activity. Retransmissions and packets once were none.
#[test]
fn what_is_activity() {
    let none = Totals::default();
    let table = [
        ("nothing", none, false),
        ("sent", Totals { sent_bytes: 1, ..none }, true),
        ("received", Totals { recv_bytes: 1, ..none }, true),
        ("retransmissions", Totals { retransmits: 5, ..none }, true),
        ("packets sent", Totals { sent_packets: 3, ..none }, true),
        ("packets received", Totals { recv_packets: 3, ..none }, true),
        ("a measurement alone", Totals { rtt_us: 100, ..none }, false),
    ];
    let old = Identity { preexisting: true, ..tcp("10.0.0.1:40000", "8.8.8.8:443") };
    for (what, totals, kept) in table {
        let events = at_seconds(vec![(1, open(1, &old)), (2, sample(1, none)), (3, sample(1, totals))]);
        assert_eq!(report(&events, ReportOptions::default()).rows.len(), usize::from(kept), "{what}");
    }
    let keep_idle = BuiltIn { keep_idle: true, ..BuiltIn::default() };
    let events = at_seconds(vec![(1, open(1, &old)), (2, sample(1, none))]);
    assert_eq!(report(&events, ReportOptions { filter: keep_idle, ..ReportOptions::default() }).rows.len(), 1);
    let ended = at_seconds(vec![(1, open(1, &old)), (2, close(1, none))]);
    assert_eq!(report(&ended, ReportOptions::default()).rows.len(), 1, "an end");
}

/// Lowest client port, evidence, local and remote port; direction and both ports of the row.
#[test]
fn direction_and_folded_ports() {
    use Direction::{Incoming, Outgoing};
    let table = [
        (0, Some(Outgoing), 40000, 443, "outgoing * 443"),
        (0, Some(Outgoing), 8080, 9090, "outgoing * 9090"),
        (0, Some(Incoming), 40000, 443, "incoming 40000 *"),
        (0, Some(Incoming), 8080, 52000, "incoming 8080 *"),
        (32768, Some(Outgoing), 40000, 443, "outgoing * 443"),
        (32768, Some(Outgoing), 8080, 52000, "outgoing 8080 52000"),
        (32768, Some(Outgoing), 8080, 9090, "outgoing 8080 9090"),
        (32768, Some(Outgoing), 50000, 60000, "outgoing * 60000"),
        (32768, Some(Incoming), 40000, 443, "incoming 40000 443"),
        (32768, Some(Incoming), 8080, 52000, "incoming 8080 *"),
        (32768, Some(Outgoing), 43210, 80, "outgoing * 80"),
        // A later version turned this one around by its ports. Here what the kernel saw is never overruled: a client may
        // well be bound to port 80.
        (32768, Some(Outgoing), 80, 43210, "outgoing 80 43210"),
        // Without evidence there was always `outgoing`. Here the ports tell, or nobody knows.
        (32768, None, 80, 43210, "incoming 80 *"),
        (32768, None, 52345, 6379, "outgoing * 6379"),
        (32768, None, 8080, 9090, "- 8080 9090"),
        (32768, None, 50000, 60000, "- 50000 60000"),
        (0, None, 8080, 9090, "- 8080 9090"),
    ];
    for (min, direction, local, remote, expected) in table {
        let identity = Identity { direction, ..tcp(&format!("10.0.0.1:{local}"), &format!("10.0.0.2:{remote}")) };
        let events = at_seconds(vec![(1, open(1, &identity))]);
        let ports = PortOptions { no_fold: false, ephemeral_port_min: Some(min) };
        let found =
            lines(&report(&events, ReportOptions { ports, ..ReportOptions::default() }), "direction src_port dst_port");
        assert_eq!(found, [expected], "{min} {direction:?} {local} {remote}");
        let ports = PortOptions { no_fold: true, ephemeral_port_min: Some(min) };
        let found = lines(&report(&events, ReportOptions { ports, ..ReportOptions::default() }), "src_port dst_port");
        assert_eq!(found, [format!("{local} {remote}")], "nothing is folded");
    }
}

/// Incoming: the local end is the server, so what it wrote is what the server sent.
#[test]
fn the_client_is_the_end_that_began() {
    let server = Identity { direction: Some(Direction::Incoming), ..tcp("10.0.0.1:80", "10.0.0.2:40000") };
    let events = vec![(1, open(1, &server)), (2, close(1, bytes(20, 10)))];
    let fields = "direction src_ip src_port dst_ip dst_port bytes_read bytes_written";
    assert_eq!(stream::rows(events, fields), ["incoming 10.0.0.1 80 10.0.0.2 * 10 20"]);
}

/// The family of the socket does not matter, the addresses do.
#[test]
fn families_texts_and_types_of_addresses() {
    let table = [
        ("[::ffff:10.0.0.1]:1", "[::ffff:8.8.8.8]:1", "IPv4 10.0.0.1 8.8.8.8 private other"),
        // The form that an old kernel interface gave for dual-stack UDP; the recorder gives plain IPv4 there.
        ("[::10.0.0.1]:1", "[::8.8.8.8]:1", "IPv6 ::a00:1 ::808:808 other other"),
        // Never on a wire: ends of two families. Each keeps its own type; both were `other` once.
        ("[::ffff:10.0.0.1]:1", "[2001:db8::1]:1", "IPv6 10.0.0.1 2001:db8::1 private other"),
        ("[::1.0.0.0]:1", "[::8.8.8.8]:1", "IPv6 ::100:0 ::808:808 other other"),
        ("[2001:db8::1]:1", "[2001:db8::2]:1", "IPv6 2001:db8::1 2001:db8::2 other other"),
        ("10.0.0.1:1", "224.0.0.251:1", "IPv4 10.0.0.1 224.0.0.251 private multicast"),
    ];
    for (local, remote, expected) in table {
        let found =
            stream::rows(vec![(1, open(1, &tcp(local, remote)))], "family src_ip dst_ip src_ip_type dst_ip_type");
        assert_eq!(found, [expected], "{local} {remote}");
    }
}

/// Network order in memory, as the kernel keeps addresses, and the text.
#[test]
fn texts_of_raw_addresses() {
    let v4 = [
        ([0xac, 0x10, 0, 0], "172.16.0.0", "private"),
        ([0x7f, 0, 0, 0], "127.0.0.0", "loopback"),
        ([0x65, 2, 3, 4], "101.2.3.4", "other"),
    ];
    for (octets, text, kind) in v4 {
        let end = Endpoint::new(octets.into(), 1);
        assert_eq!((end.ip().to_string().as_str(), AddressType::of(end.ip()).name()), (text, kind));
    }
    let v6 = [
        ([0xfe00, 0xaa11, 0, 0, 0, 0, 0, 0], "fe00:aa11::", "other"),
        ([0xef, 0, 0, 0, 0, 0, 0xdafe, 0xbbaa], "ef::dafe:bbaa", "other"),
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], "2001:db8::1", "other"),
        ([0xfc01, 0, 0, 0, 0, 0, 0, 0], "fc01::", "private"),
        ([0, 0, 0, 0, 0, 0, 0, 1], "::1", "loopback"),
        ([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1], "10.0.0.1", "private"),
    ];
    for (groups, text, kind) in v6 {
        let end = Endpoint::new(groups.into(), 1);
        assert_eq!((end.ip().to_string().as_str(), AddressType::of(end.ip()).name()), (text, kind));
    }
}

/// One connection each, incoming, 1 byte both ways, a close without an open in the recording, and the row that it makes.
#[test]
fn rows_of_single_connections() {
    let totals = Totals { sent_bytes: 1, recv_bytes: 1, rtt_us: 189_000, rtt_var_us: 20_000, ..Totals::default() };
    let tags =
        "host src_ip src_port dst_ip dst_port src_ip_type dst_ip_type family transport direction pid process_name";
    let fields = "bytes_read bytes_written retransmits rtt rtt_var tcp_closed tcp_established";
    let table = [
        (
            Transport::Tcp,
            "125.0.1.1:8080",
            "125.0.0.1:23456",
            "125.0.1.1 8080 125.0.0.1",
            "tcp",
            "1 1 0 189000 20000 1 0",
        ),
        (Transport::Udp, "125.0.1.1:8080", "125.0.0.1:23456", "125.0.1.1 8080 125.0.0.1", "udp", "1 1 - - - - -"),
        (Transport::Udp, "125.0.1.1:8081", "125.0.0.1:23456", "125.0.1.1 8081 125.0.0.1", "udp", "1 1 - - - - -"),
        (
            Transport::Tcp,
            "[::ffff:95.0.1.1]:8080",
            "[::ffff:95.0.0.1]:23456",
            "95.0.1.1 8080 95.0.0.1",
            "tcp",
            "1 1 0 189000 20000 1 0",
        ),
    ];
    let mut all = Vec::new();
    for (conn, (transport, local, remote, ends, word, numbers)) in (1..).zip(table) {
        let (direction, pid) = (Some(Direction::Incoming), Some(1222));
        let identity = Identity { transport, direction, pid, preexisting: true, ..tcp(local, remote) };
        let states: &[&str] = if transport == Transport::Tcp { &["established", "close"] } else { &[] };
        let events = vec![
            (0, open(conn, &identity)),
            (1, sample(conn, Totals::default())),
            (2, close_of(conn, totals, None, states)),
        ];
        let report = report(&at_seconds(events.clone()), ReportOptions::default());
        // An unknown name is empty, and becomes `N/A` where a format has no way to say so.
        assert_eq!(lines(&report, tags), [format!("abc {ends} 23456 other other IPv4 {word} incoming 1222 -")]);
        assert_eq!(lines(&report, fields), [numbers]);
        all.extend(events);
    }
    all.sort_by_key(|(at, _)| *at);
    assert_eq!(report(&at_seconds(all), ReportOptions::default()).rows.len(), 4, "four groups");
}

/// Three connections of one client make one row; what is measured is averaged over what was measured.
#[test]
fn a_group_of_three() {
    let identity = |port: u16| Identity {
        direction: Some(Direction::Outgoing),
        pid: Some(7),
        preexisting: port == 40001,
        ..tcp(&format!("10.0.0.1:{port}"), "8.8.8.8:443")
    };
    let totals = |sent_bytes, recv_bytes, retransmits, rtt_us, rtt_var_us| Totals {
        sent_bytes,
        recv_bytes,
        retransmits,
        rtt_us,
        rtt_var_us,
        ..Totals::default()
    };
    let events = vec![
        (0, open(3, &identity(40001))),
        (0, sample(3, totals(0, 0, 0, 0, 0))),
        (1, stream::sample_of(1, totals(100, 1000, 1, 100, 10), &identity(40002))),
        (2, close_of(2, totals(200, 2000, 2, 200, 21), Some(&identity(40003)), &["established", "close"])),
        (3, close(3, totals(1, 0, 0, 0, 0))),
    ];
    let fields = "src_port bytes_written bytes_read retransmits rtt rtt_var tcp_established tcp_closed connections rtt_min rtt_max";
    // 15.5 is nearer to neither neighbour and goes up.
    assert_eq!(stream::rows(events, fields), ["* 301 3000 3 150 16 2 2 3 100 200"]);
}

/// Which differences between two connections make two rows.
#[test]
fn what_splits_groups() {
    let one = Identity { netns: Some(1), process: Some("curl".into()), ..stream::client() };
    let table = [
        ("the client's port", Identity { local: "10.0.0.1:40002".parse().unwrap(), ..one.clone() }, 1),
        ("the incarnation", Identity { opened_at: Some(1), ..one.clone() }, 1),
        // Once merged.
        ("the namespace", Identity { netns: Some(2), ..one.clone() }, 2),
        ("the process", Identity { pid: Some(8), ..one.clone() }, 2),
        ("the name", Identity { process: Some("wget".into()), ..one.clone() }, 2),
        ("the direction", Identity { direction: Some(Direction::Incoming), ..one.clone() }, 2),
        ("the transport", Identity { transport: Transport::Udp, ..one.clone() }, 2),
        ("the server's port", Identity { remote: "8.8.8.8:80".parse().unwrap(), ..one.clone() }, 2),
    ];
    for (what, other, rows) in table {
        let events = at_seconds(vec![
            (1, open(1, &one)),
            (1, open(2, &other)),
            (2, sample(1, bytes(1, 1))),
            (2, sample(2, bytes(1, 1))),
        ]);
        assert_eq!(report(&events, ReportOptions::default()).rows.len(), rows, "{what}");
    }
    let translated = Identity { local: "10.0.0.1:40002".parse().unwrap(), ..one.clone() };
    let events =
        at_seconds(vec![(1, open(1, &one)), (1, open(2, &translated)), (1, stream::nat(&translated, "10.42.0.1:1"))]);
    assert_eq!(report(&events, ReportOptions::default()).rows.len(), 2, "the translated destination");
}

/// Tags that hold for the whole capture stand beside the others and replace none of them.
#[test]
fn the_host_replaces_nothing() {
    let found = stream::rows(vec![(1, open(1, &stream::client()))], "host direction src_ip");
    assert_eq!(found, ["abc outgoing 10.0.0.1"]);
}
