//! Real traffic, recorded into a file and reported from it.

use std::collections::HashMap;

use netflow_core::event::Transport;
use netflow_fixtures::traffic::{self, End, Odd, run_odd};
use serde_json::Value;

use crate::overload::assert_law;
use crate::recording::{Recording, only_vanished, run, until_whole};

/// One end of one connection: transport, local and remote address and port.
pub(crate) type Key = (String, String, u64, String, u64);

pub(crate) fn key(row: &Value) -> Key {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    let number = |name: &str| row[name].as_u64().unwrap();
    (text("transport"), text("src_ip"), number("src_port"), text("dst_ip"), number("dst_port"))
}

pub(crate) fn key_of(end: &End) -> Key {
    let (local, remote) = (end.local, end.remote);
    (
        end.transport.name().to_owned(),
        local.ip().to_string(),
        local.port().into(),
        remote.ip().to_string(),
        remote.port().into(),
    )
}

/// What the report must say of an end, and what it says. `unread` is what reached the socket though the application
/// never read it.
fn compare(end: &End, row: &Value, unread: u64) -> Option<String> {
    let tcp = end.transport == Transport::Tcp;
    let mut expected = vec![
        ("pid", Value::from(end.pid)),
        ("direction", Value::from(end.direction().name())),
        ("bytes_written", Value::from(end.sent_bytes)),
        ("bytes_read", Value::from(end.recv_bytes + unread)),
        ("connections", Value::from(1)),
    ];
    if tcp {
        let opened = u64::from(end.opened);
        expected.push(("tcp_established", Value::from(opened)));
        expected.push(("tcp_closed", Value::from(opened)));
        expected.push(("tcp_connect_failures", Value::from(1 - opened)));
    } else {
        expected.push(("packets_written", Value::from(end.sent_datagrams)));
        expected.push(("packets_read", Value::from(end.recv_datagrams)));
        expected.push(("retransmits", Value::Null));
    }
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(name, value)| row[*name] != *value)
        .map(|(name, value)| format!("{name} is {}, should be {value}", row[*name]))
        .collect();
    (!wrong.is_empty()).then(|| format!("{} {}: {}\n  {end:?}", end.scenario, end.side, wrong.join(", ")))
}

pub(crate) fn report_equals_what_the_applications_counted() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "300ms"]);
        let ends = traffic::run_all().unwrap();
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code == 0 {
            assert!(ends.len() > 200, "{} ends", ends.len());
            compare_all(folder.path(), &["out.nfcap".to_owned()], &ends);
        }
        code == 0
    });
}

/// Failed connects, connections that nobody accepted, and one of more than four gigabytes: their rows, and in the dump the
/// reason of their end.
pub(crate) fn why_connects_failed_and_what_was_never_accepted() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "300ms"]);
        let mut ends = Vec::new();
        for group in [Odd::Connects, Odd::Queue, Odd::Large] {
            let skipped = run_odd(group, &mut ends, &mut || {}).unwrap();
            assert!(skipped.is_empty(), "{skipped:?}");
        }
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code == 0 {
            compare_all(folder.path(), &["out.nfcap".to_owned()], &ends);
        }
        code == 0 && compare_reasons(&run(&["dump", "out.nfcap"], folder.path(), 0), &ends)
    });
}

/// The close of each end gives the reason that its application knows, and a connect that failed was never established.
/// False when the kernel started no program for a failure, which then is told without its reason and its counters.
fn compare_reasons(dump: &str, ends: &[End]) -> bool {
    let closes = closes(dump);
    let mut compared = 0;
    for end in ends.iter().filter(|end| end.recorded) {
        let close = &closes[&key_of(end)];
        let states: Vec<&str> = close["tcp_states"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(states.contains(&"established"), end.opened, "{end:?}: {close}");
        if let Some(reason) = end.reason {
            if !end.opened && close["sent_packets"].is_null() {
                return false;
            }
            assert_eq!(close["reason"], reason.name(), "{end:?}: {close}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
    true
}

/// Each end has one row, and it says what the application counted.
pub(crate) fn compare_all(folder: &std::path::Path, files: &[String], ends: &[End]) {
    let by = "transport,src_ip,src_port,dst_ip,dst_port,pid,direction,process_name";
    let mut arguments = vec!["report", "--json=-", "--no-fold", "--keep-loopback", "--keep-unspecified", "--by", by];
    arguments.extend(files.iter().map(String::as_str));
    let json = run(&arguments, folder, 0);
    let mut rows: HashMap<Key, Vec<Value>> = HashMap::new();
    for line in json.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        rows.entry(key(&row)).or_default().push(row);
    }
    let dump: String = files.iter().map(|file| run(&["dump", file], folder, 0)).collect();
    let closes = closes(&dump);
    let mut wrong = Vec::new();
    for end in ends {
        if !end.recorded {
            assert_eq!(rows.get(&key_of(end)), None, "{end:?}");
            continue;
        }
        let unread = closes.get(&key_of(end)).and_then(|close| close["unread_bytes"].as_u64()).unwrap_or(0);
        assert!(end.unread_bytes.is_none_or(|expected| expected == unread), "{unread} unread in {end:?}");
        assert!(!end.clean || unread == 0, "nothing is left unread in {end:?}");
        match rows.get(&key_of(end)).map(Vec::as_slice) {
            Some([row]) => wrong.extend(compare(end, row, unread)),
            found => wrong.push(format!("{} {}: expected one row, found {found:?}\n  {end:?}", end.scenario, end.side)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The close of each connection, by end.
pub(crate) fn closes(dump: &str) -> HashMap<Key, Value> {
    let mut identities: HashMap<u64, Key> = HashMap::new();
    let mut closes = HashMap::new();
    for line in dump.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let Some(conn) = event["conn"].as_u64() else { continue };
        if let Some(local) = event["local"].as_str() {
            let end = |text: &str| text.parse::<netflow_core::address::Endpoint>().unwrap();
            let (local, remote) = (end(local), end(event["remote"].as_str().unwrap()));
            let transport = event["transport"].as_str().unwrap().to_owned();
            let ips = (local.ip().to_string(), remote.ip().to_string());
            identities.insert(conn, (transport, ips.0, local.port().into(), ips.1, remote.port().into()));
        }
        if event["type"] == "close" {
            closes.insert(identities[&conn].clone(), event);
        }
    }
    closes
}

/// What `info` says of `out.nfcap`.
pub(crate) fn info(folder: &std::path::Path, code: i32) -> Value {
    serde_json::from_str(&run(&["info", "out.nfcap", "--json"], folder, code)).unwrap()
}

/// The numbers in `12 opened, 3 older than the recording, 11 closed, 2 failed to connect, 4 still open`.
pub(crate) fn said_numbers(said: &str) -> [u64; 5] {
    let (_, line) = said.split_once(" events; ").unwrap_or_else(|| panic!("{said}"));
    let numbers: Vec<u64> =
        line.lines().next().unwrap().split(", ").map(|part| part.split(' ').next().unwrap().parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// The last few connections of a burst wait for their last acknowledgement.
pub(crate) fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

pub(crate) fn twenty_thousand_connections() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "1s"]);
        traffic::burst(20_000, || std::thread::sleep(std::time::Duration::from_millis(1))).unwrap();
        settle();
        let (code, said) = recording.end();
        assert!(!said.contains("do not add up") && (code == 0 || only_vanished(&said)), "{said}");
        assert_law(folder.path(), &said, code);
        if code == 0 {
            assert!(said.contains("lost: none"), "{said}");
            assert_both_ends_of_all(folder.path());
        }
        code == 0
    });
}

/// Each end of each of twenty thousand connections was opened and closed; other traffic of the host may come on top.
fn assert_both_ends_of_all(folder: &std::path::Path) {
    let csv = run(&["report", "out.nfcap", "--csv=-", "--by", "direction", "--keep-loopback"], folder, 0);
    for row in csv.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |from_the_end: usize| cells[cells.len() - from_the_end].parse::<u64>().unwrap();
        assert!(number(4) >= 20_000 && number(3) >= 20_000, "tcp_established and tcp_closed in {row}");
    }
    assert_eq!(csv.lines().count(), 3, "incoming and outgoing: {csv}");
}

/// Snapshots follow each other while connections come and go: none of them takes a living connection for a dead one.
pub(crate) fn snapshots_in_a_storm() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "20ms"]);
        traffic::burst(10_000, || std::thread::sleep(std::time::Duration::from_millis(1))).unwrap();
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        let dump = run(&["dump", "out.nfcap"], folder.path(), 0);
        assert!(dump.lines().filter(|line| line.contains("\"tick\"")).count() > 10, "many snapshots");
        // Exit code 0: nothing vanished, nothing is unknown, nothing is lost.
        run(&["report", "out.nfcap", "--keep-loopback"], folder.path(), code);
        code == 0
    });
}
