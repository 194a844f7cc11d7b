//! What arrives beside the connections, and the rows that it fills in.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use netflow_core::event::{Body, Identity, Nat};
use stream::{bytes, client, close, dns, exit, in_container, listen, nat, open, process, rows, sample, tcp};

/// The case, what is learned at which second, and the cells of the row.
type Learned = (&'static str, Vec<(u64, Body)>, &'static str);

/// When each thing is learned of process 7 (the connection lives from second 10 to second 20), and the name in the row.
#[test]
fn names_of_processes() {
    let table: [Learned; 9] = [
        ("before", vec![(5, process(7, "curl"))], "curl"),
        ("while it lives", vec![(15, process(7, "curl"))], "curl"),
        ("just after", vec![(21, process(7, "curl"))], "curl"),
        ("too late: by then the id may be another's", vec![(23, process(7, "sleep"))], "-"),
        (
            "the latest while it lives",
            vec![(5, process(7, "sh")), (15, process(7, "curl")), (21, process(7, "sleep"))],
            "curl",
        ),
        ("the process is gone", vec![(5, process(7, "curl")), (12, exit(7, "curl"))], "curl"),
        (
            "gone, and its id is another's",
            vec![(5, process(7, "curl")), (12, exit(7, "curl")), (14, process(7, "sleep"))],
            "curl",
        ),
        ("gone before the connection was heard of", vec![(5, process(7, "curl")), (6, exit(7, "curl"))], "curl"),
        ("another process", vec![(5, process(8, "curl"))], "-"),
    ];
    for (what, learned, expected) in table {
        let mut events = vec![(10, open(1, &client())), (20, close(1, bytes(1, 1))), (30, stream::TICK)];
        events.extend(learned);
        events.sort_by_key(|(at, _)| *at);
        assert_eq!(rows(events, "process_name tcp_established bytes_read"), [format!("{expected} 1 1")], "{what}");
    }
}

/// A connection outlives its process, the table forgets that, and the id is another's: the name stays.
#[test]
fn a_name_outlives_the_table() {
    let mut events = vec![(1, process(7, "curl")), (10, open(1, &client())), (12, exit(7, "curl"))];
    events.extend((1000..4000).flat_map(|pid| [(200, process(pid, "cc")), (201, exit(pid, "cc"))]));
    events.sort_by_key(|(at, _)| *at);
    events.extend([(500, process(7, "sshd")), (501, sample(1, bytes(1, 1))), (900, close(1, bytes(2, 2)))]);
    assert_eq!(rows(events, "process_name bytes_read"), ["curl 2"]);
}

#[test]
fn a_name_in_the_connections_own_events_comes_first() {
    let named = Identity { process: Some("nginx".into()), ..client() };
    assert_eq!(rows(vec![(1, process(7, "systemd")), (2, open(1, &named))], "process_name"), ["nginx"]);
    let nameless = Identity { process: Some("".into()), ..client() };
    assert_eq!(rows(vec![(1, process(7, "systemd")), (2, open(1, &nameless))], "process_name"), ["systemd"]);
}

#[test]
fn containers() {
    let events = vec![
        (1, in_container(7, "sh", "c0ffee")),
        (2, process(7, "nginx")),
        (3, open(1, &client())),
        (4, exit(7, "nginx")),
        (900, close(1, bytes(1, 1))),
    ];
    assert_eq!(rows(events, "process_name container_id"), ["nginx c0ffee"]);
}

/// A connection whose owner changes takes the new owner's name and container, not half of each.
#[test]
fn a_new_owner() {
    let handed_over = Identity { pid: Some(9), ..client() };
    let events = vec![
        (1, in_container(7, "master", "c0ffee")),
        (1, process(9, "worker")),
        (2, open(1, &client())),
        (3, stream::sample_of(1, bytes(1, 1), &handed_over)),
    ];
    assert_eq!(rows(events, "pid process_name container_id"), ["9 worker -"]);
}

/// What is asked and answered (the connection to 8.8.8.8 lives in namespace 1 from second 100 to second 900).
#[test]
fn names_of_remote_addresses() {
    let table: [Learned; 9] = [
        ("asked before", vec![(99, dns("dns.google", "8.8.8.8", 300, None))], "dns.google"),
        ("a short TTL holds for a minute", vec![(41, dns("dns.google", "8.8.8.8", 1, None))], "dns.google"),
        ("and no longer", vec![(40, dns("dns.google", "8.8.8.8", 1, None))], "-"),
        ("another address", vec![(99, dns("one.one", "1.1.1.1", 300, None))], "-"),
        ("mapped", vec![(99, dns("dns.google", "::ffff:8.8.8.8", 300, None))], "dns.google"),
        ("asked elsewhere", vec![(99, dns("dns.google", "8.8.8.8", 300, Some(2)))], "-"),
        (
            "asked here, and later elsewhere",
            vec![
                (98, dns("here.example", "8.8.8.8", 300, Some(1))),
                (99, dns("elsewhere.example", "8.8.8.8", 300, None)),
            ],
            "here.example",
        ),
        (
            "the latest before it began, whatever is asked later",
            vec![
                (97, dns("a.example", "8.8.8.8", 300, None)),
                (98, dns("b.example", "8.8.8.8", 300, None)),
                (200, dns("c.example", "8.8.8.8", 300, None)),
            ],
            "b.example",
        ),
        ("learned late", vec![(901, dns("dns.google", "8.8.8.8", 300, None))], "dns.google"),
    ];
    for (what, learned, expected) in table {
        let mut events = vec![(100, open(1, &client())), (500, sample(1, bytes(1, 1))), (900, close(1, bytes(2, 2)))];
        events.extend(learned);
        events.sort_by_key(|(at, _)| *at);
        assert_eq!(rows(events, "dst_domain bytes_read tcp_established"), [format!("{expected} 2 1")], "{what}");
    }
}

#[test]
fn the_remote_end_is_named_in_both_directions() {
    let server = tcp("10.0.0.1:80", "192.0.2.1:50000");
    let events = vec![(1, dns("client.example", "192.0.2.1", 60, None)), (2, open(1, &server))];
    assert_eq!(rows(events, "direction dst_domain"), ["incoming client.example"]);
}

/// When a translation of the connection (second 10 to second 20) is learned.
#[test]
fn translated_destinations() {
    let to = |dst: &str, identity: &Identity| nat(identity, dst);
    let ended = |dst: &str| match nat(&client(), dst) {
        Body::Nat(nat) => Body::Nat(Nat { end: true, ..nat }),
        _ => panic!("nat"),
    };
    let anywhere = Identity { netns: None, ..client() };
    let elsewhere = Identity { netns: Some(2), ..client() };
    let udp = Identity { transport: netflow_core::event::Transport::Udp, ..client() };
    let table: [Learned; 9] = [
        ("before", vec![(5, to("10.42.0.1:8443", &client()))], "10.42.0.1 8443"),
        ("while it lives", vec![(15, to("10.42.0.1:8443", &client()))], "10.42.0.1 8443"),
        ("just after", vec![(21, to("10.42.0.1:8443", &client()))], "10.42.0.1 8443"),
        ("too late", vec![(23, to("10.42.0.1:8443", &client()))], "- -"),
        ("ended before it began", vec![(5, to("10.42.0.1:8443", &client())), (9, ended("10.42.0.1:8443"))], "- -"),
        (
            "ended meanwhile",
            vec![(5, to("10.42.0.1:8443", &client())), (12, ended("10.42.0.1:8443"))],
            "10.42.0.1 8443",
        ),
        ("any namespace", vec![(15, to("10.42.0.1:8443", &anywhere))], "10.42.0.1 8443"),
        ("another namespace", vec![(15, to("10.42.0.1:8443", &elsewhere))], "- -"),
        ("another transport", vec![(15, to("10.42.0.1:8443", &udp))], "- -"),
    ];
    for (what, learned, expected) in table {
        let mut events = vec![(10, open(1, &client())), (20, close(1, bytes(1, 1))), (30, stream::TICK)];
        events.extend(learned);
        events.sort_by_key(|(at, _)| *at);
        assert_eq!(rows(events, "dst_nat_ip dst_nat_port tcp_established"), [format!("{expected} 1")], "{what}");
    }
}

#[test]
fn who_listened_once_is_the_server() {
    let unknown = Identity { netns: Some(1), ..tcp("10.0.0.1:50001", "10.0.0.2:80") };
    let table: [Learned; 4] = [
        ("nobody listens: the ports tell", vec![], "outgoing"),
        ("before", vec![(1, listen("0.0.0.0:50001", Some(1), 7, false))], "incoming"),
        (
            "the listening socket closes first",
            vec![(1, listen("0.0.0.0:50001", Some(1), 7, false)), (15, listen("0.0.0.0:50001", Some(1), 7, true))],
            "incoming",
        ),
        (
            "it closed before",
            vec![(1, listen("0.0.0.0:50001", Some(1), 7, false)), (2, listen("0.0.0.0:50001", Some(1), 7, true))],
            "outgoing",
        ),
    ];
    for (what, learned, expected) in table {
        let mut events = vec![(10, open(1, &unknown)), (20, close(1, bytes(1, 1)))];
        events.extend(learned);
        events.sort_by_key(|(at, _)| *at);
        assert_eq!(rows(events, "direction"), [expected], "{what}");
    }
}
