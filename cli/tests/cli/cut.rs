//! `netflow cut`, and `--since` and `--until` of what reads captures.

use std::fs;
use std::path::Path;

use crate::events::capture;
use crate::run::{netflow, netflow_with_input};

/// Every column, nothing left out.
const REPORT: [&str; 6] = ["report", "--csv=-", "--keep-idle", "--no-fold", "--sort", "dst_port"];

/// The web capture of the fixtures, from its events.
fn web(folder: &Path) {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures/web/events.jsonl");
    netflow(folder, &["import", events.to_str().unwrap(), "-o", "web.nfcap"]).ok();
}

fn report(folder: &Path, more: &[&str]) -> String {
    netflow(folder, &[&REPORT, more].concat()).ok()
}

fn replay(folder: &Path, more: &[&str]) -> String {
    netflow(folder, &[&["replay", "--no-fold"], more].concat()).ok()
}

/// Cuts the web capture at each of these times.
fn parts(folder: &Path, times: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for part in 0..=times.len() {
        let name = format!("part{part}.nfcap");
        let mut command = vec!["cut", "web.nfcap", "--force", "-o", &name];
        if part > 0 {
            command.extend(["--since", times[part - 1]]);
        }
        if let Some(until) = times.get(part) {
            command.extend(["--until", until]);
        }
        netflow(folder, &command).ok();
        names.push(name);
    }
    names
}

#[test]
fn a_part_holds_what_was_in_its_time_and_begins_with_what_held() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let cut =
        ["cut", "events.nfcap", "-o", "part.nfcap", "--since", "12:00:02.2", "--until", "2026-01-31T13:00:02.6+01:00"];
    let ran = netflow(folder.path(), &cut);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "part.nfcap: 1 event, and before them 5 events that say what held at its beginning\n");
    let dump = netflow(folder.path(), &["dump", "part.nfcap"]).ok();
    let lines: Vec<&str> = dump.lines().collect();
    assert!(lines[0].contains(r#""began_at":1000000000,"continues_from":2000000000,"excerpt":true"#), "{dump}");
    assert!(lines[1..6].iter().all(|line| line.contains(r#""at":2200000000"#)), "{dump}");
    assert!(lines[6].starts_with(r#"{"type":"close","at":2500000000,"conn":1,"#), "{dump}");
    assert_eq!(lines.len(), 7);
    let csv = netflow(folder.path(), &["report", "part.nfcap", "--csv=-", "--by", "dst_port"]).ok();
    // It closed, was established before, and had only one measurement in this time.
    let row = "2026-01-31T12:00:02.200000Z,2026-01-31T12:00:02.500000Z,5432,500,10,3,3,1,250,,250,250,0,1,0,1";
    assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), [row]);
    netflow(folder.path(), &["verify", "part.nfcap"]).ok();
    let info = netflow(folder.path(), &["info", "part.nfcap"]).ok();
    assert!(
        info.contains("\ncut out        of a capture, from behind its event at 2026-01-31T12:00:02.000Z on\n"),
        "{info}"
    );
}

#[test]
fn the_report_on_a_part_is_the_report_on_its_time() {
    let folder = tempfile::tempdir().unwrap();
    web(folder.path());
    let times = ["07:01:53", "07:01:53.5", "07:01:54.75", "07:01:56", "07:01:56.001", "07:01:58"];
    let names = parts(folder.path(), &times);
    for (part, name) in names.iter().enumerate() {
        let mut window = vec!["web.nfcap"];
        if part > 0 {
            window.extend(["--since", times[part - 1]]);
        }
        if let Some(until) = times.get(part) {
            window.extend(["--until", until]);
        }
        let alone = report(folder.path(), &[name]);
        assert_eq!(report(folder.path(), &window), alone, "{name}");
        assert_eq!(replay(folder.path(), &window), replay(folder.path(), &[name]), "{name}");
        // Whatever the window of a row, it begins in the time of the part.
        let from = part.checked_sub(1).map_or(String::new(), |before| format!("2026-11-23T{}", times[before]));
        let to = times.get(part).map_or("3000".to_owned(), |until| format!("2026-11-23T{until}"));
        for row in alone.lines().skip(1) {
            let (start, rest) = row.split_once('Z').unwrap();
            assert!(*start >= *from && rest[1..].split_once('Z').unwrap().0 <= to.as_str(), "{name}: {row}");
        }
    }
    // A minute as one window of the whole is a minute cut out of it.
    let second = ["web.nfcap", "--every", "1s"];
    let whole = report(folder.path(), &second);
    let mut rows: Vec<&str> = whole.lines().filter(|row| row.starts_with("2026-11-23T07:01:55")).collect();
    let cut = report(folder.path(), &[&second[..], &["--since", "07:01:55", "--until", "07:01:56"]].concat());
    let mut found: Vec<&str> = cut.lines().filter(|row| has_counts(row)).skip(1).collect();
    rows.retain(|row| has_counts(row));
    rows.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, rows);
    assert!(rows.len() > 5, "{rows:?}");
}

/// Something was counted: idle connections are seen in other windows than they are in the whole.
fn has_counts(row: &str) -> bool {
    row.split(',').skip(28).take(5).any(|count| count != "0" && !count.is_empty())
}

#[test]
fn all_parts_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    web(folder.path());
    let whole = [report(folder.path(), &["web.nfcap"]), replay(folder.path(), &["web.nfcap"])];
    let every_event: Vec<String> = netflow(folder.path(), &["dump", "web.nfcap"])
        .ok()
        .lines()
        .skip(1)
        .step_by(9)
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let nanos = 1_795_412_979_085_780_510 + event["at"].as_u64().unwrap();
            let (seconds, rest) = (nanos / 1_000_000_000 % 86_400, nanos % 1_000_000_000);
            format!("2026-11-23T{:02}:{:02}:{:02}.{rest:09}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
        })
        .collect();
    let mut at_events: Vec<&str> = every_event.iter().map(String::as_str).collect();
    at_events.dedup();
    let tables: [&[&str]; 3] = [&["07:01:54"], &["07:01:00", "07:01:54.2", "07:01:54.3", "09:00"], &at_events];
    for times in tables {
        let names = parts(folder.path(), times);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!([report(folder.path(), &names), replay(folder.path(), &names)], whole, "{times:?}");
        // In another order, as one file.
        let backwards: Vec<&str> = names.iter().rev().copied().collect();
        netflow(folder.path(), &[&["merge", "--force", "-o", "merged.nfcap"], &backwards[..]].concat()).ok();
        assert_eq!(
            [report(folder.path(), &["merged.nfcap"]), replay(folder.path(), &["merged.nfcap"])],
            whole,
            "{times:?}"
        );
        netflow(folder.path(), &["verify", "merged.nfcap"]).ok();
        // And a part of that, over the seams of its sections, is a part of the whole. (It begins with what is told first,
        // so only its windows are the same.)
        let window = ["--since", "07:01:53.9", "--until", "07:01:57.1", "--every", "1h"];
        let expected = report(folder.path(), &[&["web.nfcap"], &window[..]].concat());
        assert_eq!(report(folder.path(), &[&["merged.nfcap"], &window[..]].concat()), expected, "{times:?}");
        netflow(folder.path(), &[&["cut", "merged.nfcap", "--force", "-o", "cut.nfcap"], &window[..4]].concat()).ok();
        assert_eq!(report(folder.path(), &["cut.nfcap", "--every", "1h"]), expected, "{times:?}");
    }
}

/// What the web capture can be asked for, and in which windows.
const CHOICES: [(&str, &[&str]); 7] = [
    ("transport == tcp", &[]),
    ("port in {5300, 8080} and not process_name == python3", &["--since", "07:01:54.2"]),
    ("process_name matches \"^py\" or dst_domain != null", &["--until", "07:01:55"]),
    ("direction == incoming and dst_port >= 41000", &["--since", "07:01:53.5", "--until", "07:01:56.001"]),
    ("not direction == incoming and ip in 127.0.0.0/8", &[]),
    ("container_id != null", &[]),
    ("pid == 1", &[]),
];

#[test]
fn the_report_on_some_connections_is_the_report_with_a_filter() {
    let folder = tempfile::tempdir().unwrap();
    web(folder.path());
    let bytes = fs::read(folder.path().join("web.nfcap")).unwrap();
    let mut rows = Vec::new();
    for (filter, window) in CHOICES {
        let choice = [&["--filter", filter], window].concat();
        let ran = netflow(folder.path(), &[&["cut", "web.nfcap", "--force", "-o", "some.nfcap"], &choice[..]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        for more in [&[][..], &["--keep-loopback"], &["--every", "1s", "--keep-loopback"]] {
            let whole = report(folder.path(), &[&["web.nfcap"], more, &choice[..]].concat());
            assert_eq!(report(folder.path(), &[&["some.nfcap"], more].concat()), whole, "{filter}");
            rows.push(whole.lines().count() - 1);
        }
        netflow(folder.path(), &["verify", "some.nfcap"]).ok();
        // It is the same from a pipe, which cannot be read twice.
        let piped = [&["cut", "-", "--force", "-o", "piped.nfcap"], &choice[..]].concat();
        netflow_with_input(folder.path(), &piped, &bytes).ok();
        assert_eq!(
            fs::read(folder.path().join("piped.nfcap")).unwrap(),
            fs::read(folder.path().join("some.nfcap")).unwrap(),
            "{filter}"
        );
    }
    assert!(rows.iter().filter(|rows| **rows > 0).count() > 9, "most of them choose something: {rows:?}");
    let info = netflow(folder.path(), &["info", "some.nfcap"]).ok();
    assert!(info.contains("only connections with pid == 1\n"), "{info}");
    assert_eq!(netflow(folder.path(), &["dump", "some.nfcap"]).ok().matches("\"conn\"").count(), 0);
}

#[test]
fn pipes_both_ways_and_a_file_without_an_index_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    web(folder.path());
    let window = ["--since", "07:01:54", "--until", "07:01:57"];
    netflow(folder.path(), &[&["cut", "web.nfcap", "-o", "part.nfcap"], &window[..]].concat()).ok();
    let part = fs::read(folder.path().join("part.nfcap")).unwrap();
    // The last block of events is there, the index is not: as it is while it is recorded.
    let bytes = fs::read(folder.path().join("web.nfcap")).unwrap();
    let marker = &bytes[32..40];
    let blocks: Vec<usize> = (0..bytes.len() - 8).filter(|place| bytes[*place..place + 8] == *marker).collect();
    let growing = &bytes[..blocks[blocks.len() - 2]];
    fs::write(folder.path().join("growing.nfcap"), growing).unwrap();
    for (input, is_closed) in [(&bytes[..], true), (growing, false)] {
        let note = "stdin was not closed: its recording was killed, or it still runs";
        let run = |more: &[&str]| {
            let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_netflow"));
            child.args(more).args(window).current_dir(folder.path());
            child
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            let mut child = child.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
            child.wait_with_output().unwrap()
        };
        let cut = run(&["cut", "-", "-o", "-"]);
        assert_eq!(cut.status.code(), Some(0));
        assert_eq!(cut.stdout, part);
        let stderr = String::from_utf8(cut.stderr).unwrap();
        assert_eq!(stderr.contains(note), !is_closed, "{stderr}");
        let reported = run(&["report", "-", "--csv=-"]);
        let expected = netflow(folder.path(), &["report", "part.nfcap", "--csv=-"]).ok();
        assert_eq!((reported.status.code(), String::from_utf8(reported.stdout).unwrap()), (Some(0), expected));
        assert_eq!(String::from_utf8(reported.stderr).unwrap().contains(note), !is_closed);
    }
    let ran = netflow(folder.path(), &["report", "growing.nfcap", "--since", "07:01:54"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("note: growing.nfcap was not closed"), "{}", ran.stderr);
    let ran = netflow(folder.path(), &["info", "growing.nfcap"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("\nend            not closed; counted by reading all of it"), "{}", ran.stdout);
    assert!(ran.stderr.contains("note: growing.nfcap was not closed"), "{}", ran.stderr);
}

#[test]
fn a_time_without_events_gives_an_empty_capture_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let ran = netflow(folder.path(), &["cut", "events.nfcap", "-o", "none.nfcap", "--since", "12:00:04"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.starts_with("note: none.nfcap is empty: events.nfcap has no event of that time"),
        "{}",
        ran.stderr
    );
    assert!(netflow(folder.path(), &["verify", "none.nfcap"]).ok().contains("intact: 0 events"));
    assert_eq!(netflow(folder.path(), &["report", "none.nfcap", "--csv=-"]).ok().lines().count(), 1);
    assert_eq!(
        netflow(folder.path(), &["report", "events.nfcap", "--csv=-", "--since", "12:00:04"]).ok().lines().count(),
        1
    );
}

#[test]
fn a_part_of_what_is_damaged_states_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let mut bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let marker = bytes[32..40].to_vec();
    let blocks: Vec<usize> = (0..bytes.len() - 8).filter(|place| bytes[*place..place + 8] == marker).collect();
    // The last byte of the block of the second second.
    bytes[blocks[3] - 1] ^= 1;
    fs::write(folder.path().join("bad.nfcap"), &bytes).unwrap();
    let ran = netflow(folder.path(), &["cut", "bad.nfcap", "-o", "part.nfcap", "--since", "12:00:00"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: bad.nfcap: ") && ran.stderr.contains("at least 5 missing"), "{}", ran.stderr);
    let ran = netflow(folder.path(), &["verify", "part.nfcap", "--json"]);
    let check: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&check["intact"], &check["losses"]["queue_full"]), (&true.into(), &5.into()), "{check}");
    // What is missing before the part is not missing in it.
    bytes[blocks[3] - 1] ^= 1;
    bytes[blocks[2] - 1] ^= 1;
    let ran = netflow_with_input(folder.path(), &["cut", "-", "-o", "late.nfcap", "--since", "12:00:02.7"], &bytes);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(!ran.stderr.contains("missing, which it states"), "{}", ran.stderr);
    netflow(folder.path(), &["verify", "late.nfcap"]).ok();
    // A part is never written over its capture.
    let before = fs::read(folder.path().join("bad.nfcap")).unwrap();
    let ran = netflow(folder.path(), &["cut", "bad.nfcap", "-o", "./bad.nfcap", "--force", "--since", "12:00"]);
    assert_eq!((ran.code, fs::read(folder.path().join("bad.nfcap")).unwrap()), (Some(1), before));
    assert!(ran.stderr.contains("would be replaced"), "{}", ran.stderr);
}
