//! More than the recorder can take: what it lost is counted to the connection, and nothing else is wrong.

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use netflow_fixtures::traffic::{self, Family, Namespaces, Place};
use rustix::process::Signal;
use serde_json::Value;

use crate::recording::{Recording, netflow, only_vanished, run, text, until_whole};
use crate::rotation::{interrupt, parts, start};
use crate::scenarios::{closes, info, key_of, said_numbers, settle};

fn burst(connections: u64) {
    traffic::burst(connections, || thread::sleep(Duration::from_millis(1))).unwrap();
}

/// So many UDP sockets, each with one datagram for one that goes last.
fn datagrams(sockets: u32) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..sockets {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[1; 30], peer.local_addr().unwrap()).unwrap();
    }
}

/// `netflow verify` finds the file sound but for what it states as lost, and the law in it; and the recorder, who counted
/// in the kernel, said the same numbers. The losses.
#[track_caller]
pub(crate) fn assert_law(folder: &Path, said: &str, code: i32) -> Value {
    let check: Value = serde_json::from_str(&run(&["verify", "out.nfcap", "--json"], folder, code)).unwrap();
    let info = info(folder, code);
    assert!(!said.contains("do not add up"), "{said}");
    assert_eq!((&check["intact"], &check["law"]["verdict"]), (&true.into(), &"holds".into()), "{said}{check}");
    assert_eq!(check["law"]["strangers"], 0, "{check}");
    assert_eq!(check["losses"], info["losses"]);
    let number = |value: &Value| value.as_u64().unwrap();
    let law = |field: &str| ["tcp", "udp"].iter().map(|transport| number(&check["law"][transport][field])).sum::<u64>();
    // What left no trace in the file is known by the recorder's word alone.
    let unseen = number(&check["law"]["unseen"]);
    let lost_closes = number(&check["losses"]["lost_closes"]);
    let [opened, older, closed, failed, alive] = said_numbers(said);
    assert_eq!(opened + older, closed + lost_closes + alive, "{said}{check}");
    let told =
        [law("opened") + law("preexisting") + unseen, law("closed"), law("lost_closes") + unseen, law("live_at_end")];
    assert_eq!(told, [opened + older, closed, lost_closes, alive], "{said}{check}");
    assert_eq!(number(&check["law"]["connect_failures"]), failed, "{said}{check}");
    assert_eq!(number(&info["counts"]["close"]), closed + failed, "{said}{info}");
    if number(&info["losses"]["lost_opens"]) == 0 {
        assert_eq!(number(&info["counts"]["open"]), opened + older, "{said}{info}");
    }
    info["losses"].clone()
}

#[track_caller]
fn assert_lost(losses: &Value, cause: &str) {
    assert!(losses[cause].as_u64().unwrap() > 0, "{cause} in {losses}");
}

/// With snapshots in between, which find what the ring had no room for, and without.
pub(crate) fn a_tiny_ring_loses_and_says_so() {
    for interval in ["200ms", "60s"] {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", interval, "--ring-size", "4096"]);
        datagrams(500);
        burst(20_000);
        settle();
        let said = recording.interrupt(3);
        assert!(said.contains("lost: ring_full "), "{said}");
        assert_lost(&assert_law(folder.path(), &said, 3), "ring_full");
    }
}

/// How many connections of this process to one server there are by the report on the file, and the bytes it wrote.
fn reported(folder: &Path, server: SocketAddr, code: i32) -> (u64, u64) {
    let by = "transport,direction,pid,dst_port";
    let rows = run(&["report", "out.nfcap", "--json=-", "--no-fold", "--keep-loopback", "--by", by], folder, code);
    let ours = |row: &Value| {
        (&row["transport"], &row["direction"]) == (&"tcp".into(), &"outgoing".into())
            && (&row["pid"], &row["dst_port"]) == (&std::process::id().into(), &server.port().into())
    };
    let row = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(ours);
    let number = |name: &str| row.as_ref().and_then(|row| row[name].as_u64()).unwrap_or_default();
    (number("connections"), number("bytes_written"))
}

/// A server that reads what comes until the end, for as long as the program runs.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || stream.unwrap().read_to_end(&mut Vec::new()));
        }
    });
    address
}

/// Connects, writes 100 bytes and closes; the client's port.
fn hand_over(server: SocketAddr) -> u16 {
    let mut client = TcpStream::connect(server).unwrap();
    client.write_all(&[1; 100]).unwrap();
    client.local_addr().unwrap().port()
}

/// While the reader stands still, the ring takes what it can: nothing is lost of what fits, and all else is counted.
pub(crate) fn a_recorder_that_was_stopped_goes_on() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "300ms", "--ring-size", "64MiB"]);
        let server = sink();
        recording.signal(Signal::STOP);
        (0..3000).for_each(|_| _ = hand_over(server));
        datagrams(500);
        recording.signal(Signal::CONT);
        settle();
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        assert_law(folder.path(), &said, code);
        if code == 0 {
            assert_eq!(reported(folder.path(), server, 0), (3000, 300_000));
        }
        code == 0
    });
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::start(folder.path(), &["-i", "300ms", "--ring-size", "65536"]);
    for _ in 0..2 {
        recording.signal(Signal::STOP);
        burst(10_000);
        datagrams(500);
        thread::sleep(Duration::from_secs(2));
        recording.signal(Signal::CONT);
        settle();
    }
    let said = recording.interrupt(3);
    assert_lost(&assert_law(folder.path(), &said, 3), "ring_full");
}

/// Nobody reads the pipe that is recorded into: the ring is drained all the same, what does not fit into the queue is
/// dropped and counted, and a connection whose open was dropped is told with its next event.
pub(crate) fn a_pipe_that_nobody_reads() {
    // How long it takes until the queue is full depends on the machine.
    let is_full = [8, 24].into_iter().any(|seconds| blocked_pipe(Duration::from_secs(seconds)));
    assert!(is_full, "the queue was never full");
}

fn blocked_pipe(blocked: Duration) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = netflow();
    command.args(["record", "-i", "20ms", "-"]).stdout(Stdio::from(writer)).stderr(Stdio::piped());
    let recorder = command.spawn().unwrap();
    // The command holds the writing end until it goes.
    drop(command);
    let mut begin = [0; 1];
    reader.read_exact(&mut begin).unwrap();
    let (server, late_server) = (sink(), sink());
    let held: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(server).unwrap()).collect();
    let began = Instant::now();
    // More than the ring holds: it must be drained.
    burst(20_000);
    thread::sleep(blocked.saturating_sub(began.elapsed()));
    let mut late: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(late_server).unwrap()).collect();
    // Open to the end: the last samples are never dropped.
    late.iter_mut().for_each(|client| client.write_all(&[1; 100]).unwrap());
    let out = folder.path().join("out.nfcap");
    let copy = thread::spawn(move || {
        let mut bytes = begin.to_vec();
        reader.read_to_end(&mut bytes).unwrap();
        fs::write(out, bytes).unwrap();
    });
    settle();
    let pid = rustix::process::Pid::from_raw(i32::try_from(recorder.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let output = recorder.wait_with_output().unwrap();
    copy.join().unwrap();
    drop((held, late));
    let said = text(&output.stderr);
    let code = output.status.code().unwrap();
    assert!(code == 0 || code == 3, "{said}");
    let losses = assert_law(folder.path(), &said, code);
    assert_eq!(losses["ring_full"], 0, "the ring was drained: {losses}");
    assert_eq!(reported(folder.path(), late_server, code), (100, 10_000));
    losses["queue_full"].as_u64().unwrap() > 0
}

/// Sockets for which the kernel may not allocate: they are not recorded, that is counted, and all others are.
pub(crate) fn sockets_without_room_for_their_state() {
    let namespaces = Namespaces::create().unwrap();
    // What a program keeps for a socket counts as the socket's options.
    namespaces.set("net.core.optmem_max=64").unwrap();
    for run_one in [traffic::run_tcp, traffic::run_udp] {
        until_whole(|| {
            let folder = tempfile::tempdir().unwrap();
            let recording = Recording::start(folder.path(), &["-i", "300ms"]);
            let (mut without, mut with) = (Vec::new(), Vec::new());
            run_one(Place::Namespaces(&namespaces), Family::V4, &mut without).unwrap();
            run_one(Place::Host, Family::V4, &mut with).unwrap();
            settle();
            let said = recording.interrupt(3);
            let losses = assert_law(folder.path(), &said, 3);
            assert_lost(&losses, "storage_failed");
            assert_eq!((&losses["ring_full"], &losses["map_full"]), (&0.into(), &0.into()), "{losses}");
            let closes = closes(&run(&["dump", "out.nfcap"], folder.path(), 0));
            assert!(without.iter().all(|end| !closes.contains_key(&key_of(end))), "what has no state is not recorded");
            let is_whole = losses["lost_closes"] == 0;
            assert!(!is_whole || with.iter().filter(|end| end.recorded).all(|end| closes.contains_key(&key_of(end))));
            is_whole
        });
    }
}

/// A recording in several files loses, and the law holds in each of them.
pub(crate) fn each_file_of_an_overloaded_recording() {
    let folder = tempfile::tempdir().unwrap();
    let recording = start(folder.path(), &["-i", "200ms", "--rotate", "1s", "--ring-size", "4096"]);
    let began = Instant::now();
    while parts(folder.path()).len() < 6 {
        assert!(began.elapsed() < Duration::from_secs(120), "no next file");
        burst(2000);
    }
    let (code, said) = interrupt(recording);
    assert_eq!(code, 3, "{said}");
    let files = parts(folder.path());
    let mut arguments = vec!["verify", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let checks = run(&arguments, folder.path(), 3);
    let mut lost = 0;
    for check in checks.lines() {
        let check: Value = serde_json::from_str(check).unwrap();
        assert_eq!((&check["intact"], &check["law"]["verdict"]), (&true.into(), &"holds".into()), "{check}");
        lost += check["losses"]["lost_closes"].as_u64().unwrap();
    }
    assert_eq!(checks.lines().count(), files.len());
    let [opened, older, closed, _, alive] = said_numbers(&said);
    assert_eq!(opened + older, closed + lost + alive, "{said}");
}

/// Whenever the recorder is killed: the file can be read as it is, and what it lacks is of the last second.
pub(crate) fn killed_at_any_moment() {
    // As it begins, too: then nothing is old enough that it must be there.
    for moment in [0, 3, 40, 300, 700] {
        killed_after(Duration::from_millis(moment), &["-i", "200ms"]);
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..8 {
        // xorshift
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_millis(1200 + seed % 1000);
        until_whole(|| killed_after(moment, &["-i", "200ms"]));
    }
}

/// Some of them at the end of a section, or as the next one begins.
pub(crate) fn killed_between_sections() {
    for moment in [1300, 1700, 2010, 2900] {
        until_whole(|| killed_after(Duration::from_millis(moment), &["-i", "20ms", "--section", "100ms"]));
    }
}

fn killed_after(moment: Duration, options: &[&str]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::start(folder.path(), options);
    let server = sink();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // The client's port of each connection, and when it had been closed.
    let client = thread::spawn(move || {
        let mut log = Vec::new();
        while !stopped.load(Relaxed) {
            log.push((hand_over(server), Instant::now()));
        }
        log
    });
    thread::sleep(moment);
    let killed = Instant::now();
    recording.signal(Signal::KILL);
    recording.wait();
    stop.store(true, Relaxed);
    let log = client.join().unwrap();
    let told = netflow().args(["info", "out.nfcap", "--json"]).current_dir(folder.path()).output().unwrap();
    let info: Value = serde_json::from_slice(&told.stdout).unwrap();
    if told.status.code() != Some(0) {
        let losses = info["losses"].as_object().unwrap();
        let others = losses.iter().filter(|(name, _)| !["lost_closes", "snapshot_cut"].contains(&name.as_str()));
        assert!(told.status.code() == Some(3) && others.into_iter().all(|(_, count)| count == 0), "{info}");
        return false;
    }
    // Between two sections all of the file may have an index.
    let has_sections = options.contains(&"--section");
    assert!(info["source"] == "scan" || has_sections && info["source"] == "index", "{info}");
    assert!(!has_sections || info["sections"].as_u64() > Some(1), "{info}");
    let dump = run(&["dump", "out.nfcap"], folder.path(), 0);
    run(&["report", "out.nfcap", "--keep-loopback"], folder.path(), 0);
    let remote = Value::from(server.to_string());
    let opened: HashSet<String> = dump
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["remote"] == remote)
        .map(|event| event["local"].as_str().unwrap().to_owned())
        .collect();
    let closes = closes(&dump);
    let before: Vec<u16> =
        log.iter().filter(|(_, at)| killed - *at > Duration::from_secs(1)).map(|(port, _)| *port).collect();
    let is_young = moment < Duration::from_secs(1);
    assert!(is_young || before.len() > 10, "{} connections in {moment:?}", before.len());
    let mut whole = true;
    for port in before {
        let is_opened = opened.contains(&format!("127.0.0.1:{port}"));
        assert!(is_opened, "{port} is none of the {} connections in {moment:?}", opened.len());
        let end = (
            "tcp".to_owned(),
            "127.0.0.1".to_owned(),
            u64::from(port),
            "127.0.0.1".to_owned(),
            u64::from(server.port()),
        );
        whole &= closes.get(&end).is_some_and(|close| close["sent_bytes"] == 100);
    }
    whole
}
