//! A recording in several files: alone and together they say what the applications counted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netflow_fixtures::traffic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cluster::CLUSTER;
use crate::recording::{netflow, only_vanished, run, text, until_whole};
use crate::scenarios::compare_all;

/// Bytes written and read, connections established, closed and seen, by the port of the end that counts and the other's.
/// A client's port is used again.
pub(crate) type Counts = BTreeMap<(u64, u64), [u64; 5]>;

pub(crate) fn add(counts: &mut Counts, more: impl IntoIterator<Item = ((u64, u64), [u64; 5])>) {
    for (ports, more) in more {
        let sum = counts.entry(ports).or_default();
        *sum = std::array::from_fn(|field| sum[field] + more[field]);
    }
}

/// The files of the recording, in the order of their names.
pub(crate) fn parts(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut parts: Vec<String> = names.filter(|name| name.starts_with("out-")).collect();
    parts.sort();
    parts
}

/// A recording in its own process, once the kernel is being recorded.
pub(crate) fn start(folder: &Path, options: &[&str]) -> Child {
    let child = netflow()
        .arg("record")
        .args(options)
        .arg("out.nfcap")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let is_begun = |name: &String| fs::metadata(folder.join(name)).is_ok_and(|metadata| metadata.len() > 0);
    while !parts(folder).iter().any(is_begun) {
        assert!(began.elapsed() < Duration::from_secs(60), "the recording does not begin");
        thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Its exit code, and what it said.
fn end(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), text(&output.stderr))
}

pub(crate) fn interrupt(child: Child) -> (i32, String) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    end(child)
}

/// Both ends of a connection over which `chunks` go to the server and come back, with a break between; what they counted.
pub(crate) fn talk(server: SocketAddr, chunks: usize, wait: Duration) -> [((u64, u64), [u64; 5]); 2] {
    let mut client = TcpStream::connect(server).unwrap();
    let ports = (u64::from(client.local_addr().unwrap().port()), u64::from(server.port()));
    let (mut written, mut read) = (0, 0);
    let mut buffer = [7; 3000];
    for chunk in 0..chunks {
        let length = 1 + chunk * 37 % buffer.len();
        client.write_all(&buffer[..length]).unwrap();
        written += length as u64;
        client.read_exact(&mut buffer[..length]).unwrap();
        read += length as u64;
        thread::sleep(wait);
    }
    let swapped = (ports.1, ports.0);
    [(ports, [written, read, 1, 1, 1]), (swapped, [read, written, 1, 1, 1])]
}

/// A server that sends everything back.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 3000];
                while let Ok(length) = stream.read(&mut buffer) {
                    if length == 0 || stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// What the report on these files says of the ends with the port of the server.
pub(crate) fn reported(folder: &Path, files: &[String], server: SocketAddr) -> Counts {
    let mut arguments = vec!["report", "--json=-", "--no-fold", "--keep-loopback", "--by"];
    arguments.push("transport,src_ip,src_port,dst_ip,dst_port");
    arguments.extend(files.iter().map(String::as_str));
    let mut counts = Counts::new();
    for line in run(&arguments, folder, 0).lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        let ports = (number("src_port"), number("dst_port"));
        let port = u64::from(server.port());
        if row["src_ip"] != "127.0.0.1" || row["transport"] != "tcp" || (ports.0 != port && ports.1 != port) {
            continue;
        }
        let news = ["bytes_written", "bytes_read", "tcp_established", "tcp_closed", "connections"].map(number);
        assert_eq!(counts.insert(ports, news), None, "one row an end: {row}");
    }
    counts
}

pub(crate) fn the_files_of_a_recording_add_up() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.json"), CLUSTER).unwrap();
        let recording = start(folder.path(), &["--rotate", "2s", "-i", "700ms", "--k8s", "cluster.json"]);
        let server = echo();
        let long = thread::spawn(move || talk(server, 3500, Duration::from_millis(2)));
        let mut counted = Counts::new();
        while !long.is_finished() {
            add(&mut counted, talk(server, 3, Duration::from_millis(1)));
        }
        let long = long.join().unwrap();
        add(&mut counted, long);
        thread::sleep(Duration::from_millis(500));
        let (code, said) = interrupt(recording);
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code == 0 {
            compare(folder.path(), server, &counted, long[0].0);
            let files = parts(folder.path()).len();
            assert!(said.contains(&format!("out-*.nfcap, {files} files: ")), "{said}");
        }
        code == 0
    });
}

fn compare(folder: &Path, server: SocketAddr, counted: &Counts, long: (u64, u64)) {
    let files = parts(folder);
    assert!(files.len() > 3 && counted.len() > 500, "{files:?}, {} ends", counted.len());
    assert_eq!(&reported(folder, &files, server), counted, "all files together");
    let mut sums = Counts::new();
    let mut with_long = 0;
    for file in &files {
        let alone = reported(folder, std::slice::from_ref(file), server);
        with_long += u32::from(alone.get(&long).is_some_and(|counts| counts[0] > 0 && counts[0] < counted[&long][0]));
        add(&mut sums, alone);
    }
    // A connection is seen in every file in which it is open.
    for (ports, sum) in &mut sums {
        assert!(sum[4] >= counted[ports][4], "{ports:?}");
        sum[4] = counted[ports][4];
    }
    assert_eq!(&sums, counted, "the sum of the files");
    assert!(with_long > 3, "the long connection is in {with_long} of {files:?}");
    for (number, file) in files.iter().enumerate() {
        let dump = run(&["dump", file], folder, 0);
        let events: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[1]["type"], "k8s", "the cluster's state stands first in {file}");
        let (header, last) = (&events[0], events.last().unwrap());
        assert_eq!(header["part"].as_u64().unwrap_or_default(), number as u64, "{header}");
        assert!(last["type"] == "tick" && last["complete"] != false, "{file} ends behind a snapshot: {last}");
        let seconds: u32 = file["out-20261123T0900".len()..].split('Z').next().unwrap().parse().unwrap();
        assert!(number == 0 || seconds.is_multiple_of(2), "{file} is aligned to the clock");
    }
}

/// In whatever state a connection is when a file ends, TCP or UDP, shared, passed on or broken off: it has one row.
pub(crate) fn every_scenario_in_several_files() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = start(folder.path(), &["--rotate", "1s", "-i", "300ms"]);
        let ends = traffic::run_all().unwrap();
        let (code, said) = interrupt(recording);
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code == 0 {
            let files = parts(folder.path());
            assert!(files.len() > 2, "{files:?}");
            compare_all(folder.path(), &files, &ends);
        }
        code == 0
    });
}

pub(crate) fn the_oldest_files_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["out.nfcap", "out-other.nfcap"].map(|name| folder.path().join(name));
    others.iter().for_each(|path: &PathBuf| fs::write(path, "precious").unwrap());
    fs::write(folder.path().join("out-20200101T000000Z.nfcap"), "of an earlier recording").unwrap();
    let options = ["--rotate", "4KB", "--keep", "2", "--max-events", "8000"];
    let mut recording = start(folder.path(), &options);
    let server = echo();
    let began = Instant::now();
    while recording.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "the limit does not end the recording");
        talk(server, 1, Duration::from_millis(1));
    }
    let (code, said) = end(recording);
    assert!(code == 0 || only_vanished(&said), "{said}");
    assert!(said.contains("the number of events asked for is reached"), "{said}");
    let files: Vec<String> = parts(folder.path()).into_iter().filter(|name| name != "out-other.nfcap").collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(!files[0].contains("2020"), "{files:?}");
    let (_, rest) = said.split_once("out-*.nfcap, ").unwrap();
    let (written, rest) = rest.split_once(" files: ").unwrap();
    assert!(written.parse::<u32>().unwrap() > 3, "{said}");
    let events: u64 = rest.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    // Batches that were on their way come on top.
    assert!(events >= 8000, "{said}");
    let in_files = |name: &String| run(&["dump", name], folder.path(), 0).lines().count() as u64 - 1;
    assert!(files.iter().map(in_files).sum::<u64>() < events, "the limit is that of all files");
    assert!(others.iter().all(|path| fs::read_to_string(path).unwrap() == "precious"));
}
