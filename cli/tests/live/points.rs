//! `netflow live`: the points of all intervals against what the applications counted.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use netflow_core::event::Transport;
use netflow_fixtures::traffic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::recording::{netflow, text, until_whole};
use crate::scenarios::{Key, key, key_of};

/// Starts `netflow live` with its points in `points.jsonl`; returns when the kernel is being watched.
fn start(folder: &Path, options: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let points = std::fs::File::create(folder.join("points.jsonl")).unwrap();
    let mut child = netflow()
        .arg("live")
        .args(options)
        .env("NO_PROXY", "127.0.0.1")
        .stdout(points)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("points every "), "{line}");
    (child, said)
}

pub(crate) fn points_add_up_to_what_the_applications_counted() {
    until_whole(points_of_all_scenarios);
}

/// False when connections vanished from the kernel's sight.
fn points_of_all_scenarios() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let by = "transport,src_ip,src_port,dst_ip,dst_port";
    let options = ["-i", "300ms", "--no-fold", "--keep-loopback", "--keep-unspecified", "--by", by];
    let (mut child, mut said) = start(folder.path(), &options);
    let ends = traffic::run_all().unwrap();
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    if status.code() == Some(3) {
        return false;
    }
    assert_eq!(status.code(), Some(0), "{rest}");

    let mut sums: HashMap<Key, HashMap<&str, u64>> = HashMap::new();
    let names = ["bytes_written", "bytes_read", "packets_written", "packets_read"];
    let counts = ["tcp_established", "tcp_closed", "tcp_connect_failures"];
    let mut intervals = Vec::new();
    for line in std::fs::read_to_string(folder.path().join("points.jsonl")).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let interval =
            (row["window_start"].as_str().unwrap().to_owned(), row["window_end"].as_str().unwrap().to_owned());
        if intervals.last() != Some(&interval) {
            intervals.push(interval);
        }
        let sum = sums.entry(key(&row)).or_default();
        for name in names.into_iter().chain(counts) {
            *sum.entry(name).or_default() += row[name].as_u64().unwrap_or(0);
        }
    }
    assert!(intervals.len() > 2 && intervals.is_sorted_by(|one, next| one.1 <= next.0), "{intervals:?}");

    let mut wrong = Vec::new();
    for end in &ends {
        let Some(sum) = sums.get(&key_of(end)) else {
            wrong.push(format!("{} {}: no point\n  {end:?}", end.scenario, end.side));
            continue;
        };
        let mut expected = vec![("bytes_written", end.sent_bytes)];
        // What was broken off may have reached a socket that nobody read.
        if end.clean {
            expected.push(("bytes_read", end.recv_bytes));
        }
        if end.transport == Transport::Tcp {
            let opened = u64::from(end.opened);
            expected.extend(counts.into_iter().zip([opened, opened, 1 - opened]));
        } else {
            expected.extend([("packets_written", end.sent_datagrams), ("packets_read", end.recv_datagrams)]);
        }
        for (name, value) in expected.into_iter().filter(|(name, value)| sum[name] != *value) {
            wrong.push(format!("{} {}: {name} is {}, should be {value}\n  {end:?}", end.scenario, end.side, sum[name]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ends.len() > 200, "{} ends", ends.len());
    true
}

pub(crate) fn live_ends_by_itself_and_with_its_reader() {
    let output = netflow().args(["live", "-d", "300ms", "--format", "csv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("window_start,window_end,host,"), "{}", text(&output.stdout));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let began = Instant::now();
    let output = netflow().args(["live", "-i", "100ms", "--format", "csv"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(60));
    // A server that is away ends it too, with an error.
    let folder = tempfile::tempdir().unwrap();
    let away = "http://127.0.0.1:9/write";
    let options = ["-i", "200ms", "--keep-loopback", "--post", away, "--retry-for", "100ms"];
    let (mut child, mut said) = start(folder.path(), &options);
    traffic::burst(10, || ()).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("error: cannot post to http://127.0.0.1:9/write: "), "{rest}");
}
