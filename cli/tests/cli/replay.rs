//! Replays of a capture that is known in full.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

/// What the points say of each interval: transport, bytes, opened, closed, failed, connections.
const BY: [&str; 2] = ["--by", "transport"];

fn replay(folder: &std::path::Path, more: &[&str]) -> String {
    netflow(folder, &[&["replay", "events.nfcap"], more].concat()).ok()
}

#[test]
fn json_has_the_points_of_each_interval() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let lines = replay(folder.path(), &BY);
    let points: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<String> = points
        .iter()
        .map(|point| {
            let text = |name: &str| point[name].to_string().replace("2026-01-31T12:00:0", "").replace(".000000Z", "");
            let names = ["window_start", "window_end", "transport", "bytes_written", "bytes_read", "rtt"];
            let more = ["tcp_established", "tcp_closed", "tcp_connect_failures", "connections"];
            names.iter().chain(&more).map(|name| text(name)).collect::<Vec<_>>().join(" ").replace('"', "")
        })
        .collect();
    assert_eq!(
        said,
        ["1 2 tcp 100 2000 150 1 0 0 1", "1 2 udp 40 90 null null null null 1", "2 3 tcp 10 500 250 0 1 1 2"]
    );
    let columns: Vec<&String> = points[0].as_object().unwrap().keys().collect();
    assert_eq!((columns[0], columns[2], columns.len()), (&"window_start".to_owned(), &"transport".to_owned(), 16));
}

#[test]
fn csv_has_one_header_and_lines_are_points() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let csv = replay(folder.path(), &["--format", "csv", "--by", "transport"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("window_start,window_end,transport,bytes_read,"), "{csv}");
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[3].starts_with("2026-01-31T12:00:02.000000Z,2026-01-31T12:00:03.000000Z,tcp,500,10,"), "{csv}");
    let points = replay(folder.path(), &["--format", "line"]);
    assert_eq!(points.lines().count(), 4, "two connections, then two others: {points}");
    for point in points.lines() {
        let words: Vec<&str> = point.split(' ').collect();
        assert!(words[0].starts_with("netflow,direction=outgoing,dst_ip=10.0.0."), "{point}");
        assert!(words[0].contains(",src_port=*,"), "folded as in reports: {point}");
        assert!(words[2] == "1769860802000000000" || words[2] == "1769860803000000000", "{point}");
    }
    assert!(replay(folder.path(), &["--format", "line", "--no-fold"]).contains(",src_port=40001,"));
    let table = replay(folder.path(), &["--format", "table"]);
    assert!(table.starts_with("2026-01-31T12:00:02.000Z\n process  proto "), "{table}");
    // Without a single point, a CSV still has its columns.
    let header = EVENTS.lines().next().unwrap();
    netflow_with_input(folder.path(), &["import", "-", "-o", "none.nfcap"], header.as_bytes()).ok();
    assert_eq!(netflow(folder.path(), &["replay", "none.nfcap", "--format", "csv"]).ok().lines().count(), 1);
    assert_eq!(netflow(folder.path(), &["replay", "none.nfcap"]).ok(), "");
}

#[test]
fn the_last_interval_is_there_without_a_tick_and_several_captures_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let cut: Vec<&str> =
        EVENTS.lines().filter(|line| !(line.contains("\"tick\"") && line.contains("3000000000"))).collect();
    let cut = cut.join("\n");
    netflow_with_input(folder.path(), &["import", "-", "-o", "events.nfcap"], cut.as_bytes()).ok();
    let points = replay(folder.path(), &BY);
    assert_eq!(points.lines().count(), 3);
    assert!(points.lines().last().unwrap().contains("\"window_end\":\"2026-01-31T12:00:03.000000Z\""), "{points}");
    let twice = netflow(folder.path(), &["replay", "events.nfcap", "events.nfcap", "--by", "transport"]).ok();
    assert_eq!(twice, points.repeat(2));
}

#[test]
fn sums_are_those_of_the_report() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let capture = "fixtures/captures/web/capture.nfcap";
    let sums = |csv: &str, columns: std::ops::Range<usize>| -> Vec<u64> {
        columns
            .map(|column| {
                let cells = csv.lines().skip(1).map(|line| line.split(',').nth(column).unwrap());
                cells.filter(|cell| !cell.is_empty()).map(|cell| cell.parse::<u64>().unwrap()).sum()
            })
            .collect()
    };
    let whole = netflow(root, &["report", capture, "--csv=-", "--by", "transport,direction"]).ok();
    let parts = netflow(root, &["replay", capture, "--format", "csv", "--by", "transport,direction"]).ok();
    assert!(parts.lines().count() > whole.lines().count(), "{parts}");
    for columns in [4..9, 13..16] {
        assert_eq!(sums(&parts, columns.clone()), sums(&whole, columns));
    }
}

#[test]
fn loss_ends_with_3_as_in_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let lossy = format!("{EVENTS}{}\n", r#"{"type":"loss","at":3000000001,"ring_full":2}"#);
    netflow_with_input(folder.path(), &["import", "-", "-o", "lossy.nfcap"], lossy.as_bytes()).ok();
    let (replay, report) =
        (netflow(folder.path(), &["replay", "lossy.nfcap"]), netflow(folder.path(), &["report", "lossy.nfcap"]));
    assert_eq!((replay.code, report.code), (Some(3), Some(3)));
    assert!(replay.stderr.contains("the recorder lost: ring_full 2"), "{}", replay.stderr);
}

#[test]
fn the_recorded_pace_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let took = |speed: &str| {
        let began = Instant::now();
        replay(folder.path(), &["--speed", speed]);
        began.elapsed()
    };
    // Two seconds were recorded; a busy machine may take longer, never shorter.
    assert!(took("4") >= Duration::from_millis(500));
    assert!(took("1") >= Duration::from_secs(2));
    assert!(took("1000000000") < Duration::from_secs(60));
}

/// Answers one request after the other with these status lines and bodies; gives what was asked.
fn server(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/write?db=x&p=secret", listener.local_addr().unwrap().port());
    let answering = std::thread::spawn(move || {
        let answer = |answer: &&str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let text = loop {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let lengths =
                    head.lines().filter_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if read == 0 || lengths.into_iter().any(|length: usize| body.len() >= length) {
                    break text;
                }
            };
            let (status, body) = answer.split_once('\n').unwrap_or((*answer, ""));
            // An answer of nothing is a connection that breaks off.
            if !answer.is_empty() {
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
            text
        };
        answers.iter().map(answer).collect()
    });
    (url, answering)
}

fn post(folder: &std::path::Path, url: &str, more: &[&str]) -> crate::run::Ran {
    netflow(folder, &[&["replay", "events.nfcap", "--post", url], more].concat())
}

#[test]
fn what_may_pass_is_tried_again_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let (url, asked) =
        server(&["503 Busy\nlater", "", "429 Too Many", "204 No Content", "408 Timeout", "200 OK\nfine"]);
    let ran = post(folder.path(), &url, &["--batch", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: http://127.0.0.1:") && ran.stderr.contains("503"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("4 points sent to http://127.0.0.1:") && !ran.stderr.contains("secret"),
        "{}",
        ran.stderr
    );
    let asked = asked.join().unwrap();
    let body = |text: &String| text.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert!(asked[0].starts_with("POST /write?db=x&p=secret HTTP/1.1\r\n"), "{}", asked[0]);
    assert_eq!(asked[..4].iter().map(body).collect::<Vec<_>>(), vec![body(&asked[0]); 4]);
    let lines = netflow(folder.path(), &["replay", "events.nfcap", "--format", "line"]).ok();
    assert_eq!(body(&asked[3]) + &body(&asked[5]), lines);
    assert_eq!(body(&asked[3]).lines().count(), 3);
}

#[test]
fn what_the_server_refuses_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let (url, asked) = server(&["204 No Content", "400 Bad Request\n{\"error\":\n \"partial write\"}"]);
    let ran = post(folder.path(), &url, &["--batch", "3"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for words in [
        "error: cannot post to http://127.0.0.1:",
        "400 Bad Request: {\"error\": \"partial write\"}",
        "3 points sent, 1 point not",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(asked.join().unwrap().len(), 2);
}

#[test]
fn a_server_that_stays_away_is_an_error_even_if_it_breaks_the_pipe() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let (url, asked) = server(&["500 Broken pipe\nBroken pipe"]);
    let ran = post(folder.path(), &url, &["--retry-for", "600ms"]);
    asked.join().unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for words in [
        "trying again for 600ms",
        "error: cannot post to http://127.0.0.1:",
        "(tried for ",
        "0 points sent, 4 points not",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn wrong_usage_says_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let table: [(&[&str], &str); 6] = [
        (&["--speed", "0"], "a number above 0"),
        (&["--format", "xml"], "jsonl, line, csv, table"),
        (&["--post", "https://h/write"], "https is not supported"),
        (&["--post", "http://h/write", "--format", "csv"], "--format"),
        (&["--batch", "7"], "--post"),
        (&["--by", "rtt"], "grouped by tags"),
    ];
    for (more, word) in table {
        let ran = netflow(folder.path(), &[&["replay", "events.nfcap"], more].concat());
        assert_eq!(ran.code, Some(2), "{more:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{more:?}: {}", ran.stderr);
    }
}
