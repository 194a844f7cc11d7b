//! Points in a real InfluxDB: what it sums up is what the report says.
//!
//! Needs `influxd` of InfluxDB 1.x (Debian: `apt-get install influxdb`), which each test starts for itself on free ports of
//! 127.0.0.1 with a folder of its own. Without, the tests are skipped and say so, unless `NETFLOW_REQUIRE_INFLUX=1`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The sums that can be added up over intervals.
const SUMS: [&str; 8] = [
    "bytes_read",
    "bytes_written",
    "packets_read",
    "packets_written",
    "retransmits",
    "tcp_established",
    "tcp_closed",
    "tcp_connect_failures",
];

/// Names that line protocol has to escape.
const NAMES: [&str; 8] = ["plain", "two words", "a,b=c", "q\"uo\"te", "back\\slash", "back\\,comma", "ünï→", "x\\ y"];

/// A server with its data in a folder.
struct Influx {
    child: Child,
    port: u16,
}

impl Influx {
    /// Starts a server on a port and waits until it answers.
    fn start(folder: &Path, port: u16) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let (data, wal, meta) = (path("data"), path("wal"), path("meta"));
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{}\"\n[meta]\n  dir = \"{meta}\"\n[data]\n  dir = \"{data}\"\n  \
             wal-dir = \"{wal}\"\n[http]\n  bind-address = \"127.0.0.1:{port}\"\n",
            free_port()
        );
        fs::write(folder.join("influxdb.conf"), config).unwrap();
        let log = File::create(folder.join("influxd.log")).unwrap();
        let child = Command::new("influxd")
            .arg("-config")
            .arg(folder.join("influxdb.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, port };
        let began = Instant::now();
        while server.agent().get(server.url("/ping")).call().is_err() {
            let log = || fs::read_to_string(folder.join("influxd.log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "influxd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder().proxy(None).build().into()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where points for the database go.
    fn write_url(&self) -> String {
        self.url("/write?db=net&precision=ns")
    }

    fn create_database(&self) {
        self.agent().post(self.url("/query")).send_form([("q", "CREATE DATABASE net")]).unwrap();
    }

    fn query(&self, query: &str) -> Value {
        let parameters = [("db", "net"), ("epoch", "ns"), ("q", query)];
        let mut response = self.agent().get(self.url("/query")).query_pairs(parameters).call().unwrap();
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        assert!(answer["results"][0]["error"].is_null(), "{query}: {answer}");
        answer["results"][0]["series"].clone()
    }

    /// The sums of everything by these tags.
    fn sums(&self, by: &[&str]) -> BTreeMap<Vec<String>, Vec<u64>> {
        let columns: Vec<String> = SUMS.iter().map(|name| format!("sum({name})")).collect();
        let series = self.query(&format!("SELECT {} FROM netflow GROUP BY {}", columns.join(","), by.join(",")));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        series
            .as_array()
            .unwrap()
            .iter()
            .map(|group| {
                let sums = group["values"][0].as_array().unwrap()[1..].iter();
                (
                    by.iter().map(|tag| text(&group["tags"][tag])).collect(),
                    sums.map(|sum| sum.as_u64().unwrap_or(0)).collect(),
                )
            })
            .collect()
    }
}

impl Influx {
    /// Ends it as a service manager does, so that it keeps what it has.
    fn stop(mut self) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder to work in; `None` where there is no server to test with.
fn folder() -> Option<TempDir> {
    if Command::new("influxd").arg("version").output().is_ok_and(|output| output.status.success()) {
        return Some(tempfile::tempdir().unwrap());
    }
    let why = "there is no influxd (Debian: apt-get install influxdb)";
    assert!(std::env::var_os("NETFLOW_REQUIRE_INFLUX").is_none_or(|value| value != "1"), "{why}");
    eprintln!("skipped: {why}");
    None
}

fn netflow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow"));
    command.args(arguments).current_dir(folder).env("NO_PROXY", "127.0.0.1").stdin(Stdio::null());
    command
}

#[track_caller]
fn ok(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A capture of 2,000 connections over twenty intervals, some of them cut off by the end of the recording.
fn capture(folder: &Path) {
    let mut events =
        r#"{"type":"header","boot_time_ns":1769860800000000000,"interval_ms":1000,"host":"db1"}"#.to_owned();
    let second = 1_000_000_000_u64;
    for tick in 1..=20_u64 {
        for conn in tick * 100..(tick + 1) * 100 {
            let name = NAMES[usize::try_from(conn).unwrap() % NAMES.len()].replace('\\', "\\\\").replace('"', "\\\"");
            let transport = if conn % 3 == 0 { "udp" } else { "tcp" };
            write!(
                events,
                "\n{{\"type\":\"open\",\"at\":{},\"conn\":{conn},\"transport\":\"{transport}\",\"local\":\"10.0.0.1:{}\",\
                 \"remote\":\"10.0.{}.2:443\",\"direction\":\"outgoing\",\"pid\":{},\"process\":\"{name}\"}}",
                tick * second,
                40_000 + conn,
                conn % 7,
                conn % 50
            )
            .unwrap();
        }
        for (kind, age) in [("sample", 0), ("close", 2)] {
            let born = tick.saturating_sub(age);
            for conn in (born * 100..(born + 1) * 100).filter(|conn| *conn >= 100) {
                let sent = conn * conn * (age + 1);
                let retransmits = if conn % 3 == 0 { 0 } else { conn % 5 };
                write!(
                    events,
                    "\n{{\"type\":\"{kind}\",\"at\":{},\"conn\":{conn},\"sent_bytes\":{sent},\"recv_bytes\":{},\"sent_packets\":{},\
                     \"recv_packets\":{},\"retransmits\":{retransmits}}}",
                    tick * second + 500,
                    sent * 100_000,
                    sent / 10,
                    sent / 7
                )
                .unwrap();
            }
        }
        if tick < 20 {
            write!(events, "\n{{\"type\":\"tick\",\"at\":{},\"complete\":false}}", tick * second + 600).unwrap();
        }
    }
    fs::write(folder.join("events.jsonl"), events).unwrap();
    ok(netflow(folder, &["import", "events.jsonl", "-o", "out.nfcap"]).output().unwrap());
}

/// The report's sums by these tags, from its CSV.
fn report(folder: &Path, by: &[&str]) -> BTreeMap<Vec<String>, Vec<u64>> {
    let csv = ok(netflow(folder, &["report", "out.nfcap", "--csv=-", "--by", &by.join(",")]).output().unwrap());
    let mut lines = csv.lines().map(cells);
    let header = lines.next().unwrap();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    lines
        .map(|row| {
            let sum = |name: &&str| row[at(name)].parse().unwrap_or(0);
            (by.iter().map(|tag| row[at(tag)].clone()).collect(), SUMS.iter().map(sum).collect())
        })
        .collect()
}

/// The cells of a line of CSV.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let cell = cells.last_mut().unwrap();
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            char => cell.push(char),
        }
    }
    cells
}

#[test]
fn the_server_sums_up_to_what_the_report_says() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    capture(folder);
    let server = Influx::start(folder, free_port());
    server.create_database();
    for batch in ["512", "7"] {
        // The second time every point replaces itself.
        ok(netflow(folder, &["replay", "out.nfcap", "--post", &server.write_url(), "--batch", batch])
            .output()
            .unwrap());
        for by in [&["transport"][..], &["process_name"], &["dst_ip", "transport"], &["host", "pid", "src_port"]] {
            let expected = report(folder, by);
            assert_eq!(server.sums(by), expected, "{by:?}");
            assert!(!expected.is_empty());
        }
    }
    let names: Vec<Vec<String>> = server.sums(&["process_name"]).into_keys().collect();
    let mut expected: Vec<Vec<String>> = NAMES.iter().map(|name| vec![(*name).to_owned()]).collect();
    expected.sort();
    assert_eq!(names, expected, "every name comes back as it was");

    // As many points as lines, each at the end of its interval.
    let lines = ok(netflow(folder, &["replay", "out.nfcap", "--format", "line"]).output().unwrap());
    let count = server.query("SELECT count(connections) FROM netflow");
    assert_eq!(count[0]["values"][0][1].as_u64(), Some(lines.lines().count() as u64));
    let ends = server.query("SELECT sum(connections) FROM netflow WHERE transport='tcp' GROUP BY time(1s) fill(none)");
    assert_eq!(ends[0]["values"].as_array().unwrap().len(), 20);
    let unknown = server.query("SELECT count(connections) FROM netflow WHERE dst_nat_ip='N/A' AND container_id=''");
    assert_eq!(unknown[0]["values"][0][1], count[0]["values"][0][1]);
}

#[test]
fn a_server_that_comes_back_gets_everything() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    capture(folder);
    let port = free_port();
    let first = Influx::start(folder, port);
    first.create_database();
    let url = first.write_url();
    first.stop();
    let replay = netflow(folder, &["replay", "out.nfcap", "--post", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let second = Influx::start(folder, port);
    let output = replay.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ok(output);
    assert!(said.contains("warning: ") && said.contains("trying again"), "{said}");
    assert_eq!(second.sums(&["transport"]), report(folder, &["transport"]));
}

#[test]
fn errors_name_the_server_and_what_was_sent() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    capture(folder);
    let post = |url: &str| {
        let output = netflow(folder, &["replay", "out.nfcap", "--post", url, "--retry-for", "1s"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let away = format!("http://127.0.0.1:{}/write?db=net", free_port());
    let began = Instant::now();
    let (code, said) = post(&away);
    assert_eq!(code, Some(1), "{said}");
    assert!(began.elapsed() >= Duration::from_secs(1), "it tried for as long as it was told to");
    for words in [format!("error: cannot post to {away}: "), "0 points sent, 512 points not".to_owned()] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    // A database that does not exist is no reason to try again.
    let server = Influx::start(folder, free_port());
    let (code, said) = post(&server.write_url());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("404 Not Found") && said.contains("database not found"), "{said}");
    assert!(!said.contains("trying again"), "{said}");
}
