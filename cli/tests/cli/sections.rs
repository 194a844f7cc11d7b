//! A recording of a day in sections: an hour of it is read alone, and says what it says of the recording in one.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use netflow_core::event::{
    Body, Close, Event, Header, Identity, Open, Process, Sample, TcpStates, Tick, Totals, Transport,
};
use netflow_formats::capture::{CaptureWriter, WriterOptions};
use serde_json::Value;

use crate::economy::{AHEAD, MIDNIGHT, MINUTE, bytes_read};
use crate::run::{Ran, netflow, netflow_with_input};

/// Connections that are open all day.
const LONG: u64 = 200;
/// Connections that begin each minute and end three minutes later.
const SHORT: u64 = 6;

/// A day of snapshots each minute, in one section. Counters and round trips are such that no compressor makes them small.
fn day(path: &Path) {
    let boot_time_ns = MIDNIGHT - 60_000_000_000;
    let header = Header { host: "a".into(), began_at: MINUTE, boot_time_ns, interval_ms: 60_000, ..Header::default() };
    let out = BufWriter::new(File::create(path).unwrap());
    let mut writer = CaptureWriter::new(out, &header, WriterOptions::default()).unwrap();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut next = 0;
    for minute in 0..24 * 60_u64 {
        let mut at = (minute + 1) * MINUTE;
        let mut push = |body: Body| {
            at += 1;
            writer.push(&Event { at, body }).unwrap();
        };
        for _ in 0..if minute == 0 { LONG } else { SHORT } {
            let local = format!("10.0.{}.{}:{}", next >> 8 & 255, next & 255, 40_000 + (next >> 16));
            let pid = u32::try_from(100 + next % 7).unwrap();
            let known = Identity::new(Transport::Tcp, local.parse().unwrap(), "10.9.0.1:443".parse().unwrap());
            if next < 7 {
                push(Body::Process(Process::new(pid, format!("p{pid}").as_str())));
            }
            push(Body::Open(Open { conn: next, identity: Arc::new(Identity { pid: Some(pid), ..known }) }));
            open.push((next, 0));
            next += 1;
        }
        open.retain_mut(|(conn, sent)| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            *sent += chance >> 24;
            let rtt_us = u32::try_from(chance & 0xffff).unwrap();
            let totals = Totals { sent_bytes: *sent, recv_bytes: *sent / 3, rtt_us, ..Totals::default() };
            let conn = *conn;
            let is_over = conn >= LONG && conn + 3 * SHORT < next;
            push(if is_over {
                let tcp_states = TcpStates::default().with_name("established").unwrap();
                Body::Close(Close { conn, totals, identity: None, tcp_states, reason: None })
            } else {
                Body::Sample(Sample { conn, totals, identity: None })
            });
            !is_over
        });
        push(Body::Tick(Tick { complete: true }));
    }
    writer.finish().unwrap().0.flush().unwrap();
}

fn of_merge(folder: &Path, arguments: &[&str]) -> u64 {
    let ran = netflow(folder, &[&["merge", "one.nfcap"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (_, sections) = ran.stderr.trim_end().rsplit_once(" in ").unwrap();
    sections.split(' ').next().unwrap().parse().unwrap()
}

fn said(ran: Ran) -> (Option<i32>, String) {
    (ran.code, ran.stdout)
}

/// What the commands say of a time, of the recording in one section and in several.
fn compare(folder: &Path, other: &str, window: &[&str]) {
    for command in [
        &["report", "--csv=-"][..],
        &["report", "--csv=-", "--by", "process_name,src_port", "--every", "10m"],
        &["report", "--json=-", "--by", "process_name", "--no-fold", "--keep-idle"],
        &["replay", "--by", "process_name"],
    ] {
        let of = |name: &str| said(netflow(folder, &[command, window, &[name]].concat()));
        let (one, several) = (of("one.nfcap"), of(other));
        assert!(one.1.lines().count() > 1, "{command:?} {window:?}: {}", one.1);
        assert!(one == several, "{command:?} {window:?}:\n{}\n{}", one.1.lines().count(), several.1.lines().count());
    }
    let cut = |name: &str, part: &str| {
        netflow(folder, &[&["cut", name, "-o", part, "--force"], window].concat()).ok();
        said(netflow(folder, &["report", "--csv=-", "--by", "process_name,src_ip", part]))
    };
    assert!(cut("one.nfcap", "part-one.nfcap") == cut(other, "part-other.nfcap"), "{window:?}");
}

const WINDOWS: [&[&str]; 6] = [
    &["--since", "2026-01-31T23:00:00Z", "--until", "2026-02-01T00:00:00Z"],
    &["--since", "23:00"],
    &["--since", "12:00", "--until", "13:00"],
    &["--since", "12:34:56", "--until", "13:34:56"],
    &["--since", "12:20:00.0000001", "--until", "12:21"],
    &["--until", "01:00"],
];

#[test]
fn an_hour_is_read_alone_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    day(&path.join("one.nfcap"));
    let sections = of_merge(path, &["-o", "day.nfcap"]);
    assert!((48..=96).contains(&sections), "{sections}");
    assert_eq!(of_merge(path, &["-o", "same.nfcap", "--section", "0s"]), 1);
    for window in WINDOWS {
        compare(path, "day.nfcap", window);
    }
    // Not more is read than the hour, and one section before it where it is not on a whole hour.
    let nothing = bytes_read(path, &["fields"]);
    let read = |arguments: &[&str]| bytes_read(path, arguments).saturating_sub(nothing);
    let size = fs::metadata(path.join("day.nfcap")).unwrap().len();
    let indexes = read(&["info", "day.nfcap"]);
    assert!(size > 2_000_000 && indexes < size / 20, "{size} {indexes}");
    for window in &WINDOWS[..4] {
        let lead = size / sections;
        let most = size / 24 + lead + 2 * indexes + AHEAD;
        for command in [
            &["report", "day.nfcap", "--csv=/dev/null", "--force"][..],
            &["replay", "day.nfcap"],
            &["cut", "day.nfcap", "-o", "part.nfcap", "--force"],
        ] {
            let found = read(&[command, window].concat());
            assert!(found < most && most < size / 2, "{command:?} {window:?}: {found} of {size}, {most} at most");
        }
    }
    // Nor of one that was killed as it wrote, but for what is behind the last section.
    let bytes = fs::read(path.join("day.nfcap")).unwrap();
    fs::write(path.join("killed.nfcap"), &bytes[..bytes.len() - 100]).unwrap();
    for window in [WINDOWS[2], WINDOWS[3]] {
        let of = |name: &str| said(netflow(path, &[&["report", "--csv=-", name], window].concat()));
        assert!(of("killed.nfcap") == of("day.nfcap"));
        let found = read(&[&["report", "killed.nfcap", "--csv=/dev/null", "--force"], window].concat());
        assert!(found < size / 2, "{found} of {size}");
    }
}

#[test]
fn all_sections_are_told_of_as_one_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    day(&path.join("one.nfcap"));
    let sections = of_merge(path, &["-o", "day.nfcap"]);
    let lines = |arguments: &[&str]| {
        let text = netflow(path, arguments).ok();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    for command in ["info", "verify"] {
        let [one, day] = ["one.nfcap", "day.nfcap"].map(|name| {
            let mut objects = lines(&[command, "--json", name]);
            assert_eq!(objects.len(), 1, "{command} {name}");
            objects.remove(0)
        });
        assert_eq!((&one["sections"], &day["sections"]), (&1.into(), &sections.into()));
        for same in [
            "first",
            "last",
            "seconds",
            "events",
            "counts",
            "preexisting",
            "live_at_end",
            "losses",
            "law",
            "intact",
            "lossless",
            "end",
        ] {
            assert_eq!(one[same], day[same], "{command} {same}");
        }
    }
    let text = netflow(path, &["verify", "day.nfcap"]).ok();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains(&format!(" blocks in {sections} sections, closed, index agrees; nothing lost; tcp 8834 opened")),
        "{text}"
    );
    let text = netflow(path, &["info", "day.nfcap"]).ok();
    assert!(text.lines().count() < 15 && text.contains(&format!("\nin             {sections} sections\n")), "{text}");
    // Whole, from a pipe, damaged and mended, as text, divided twice.
    let report = |name: &str| netflow(path, &["report", "--csv=-", "--by", "process_name,src_ip", name]).ok();
    let whole = report("one.nfcap");
    assert!(report("day.nfcap") == whole);
    let bytes = fs::read(path.join("day.nfcap")).unwrap();
    let piped = netflow_with_input(path, &["report", "--csv=-", "--by", "process_name,src_ip", "-"], &bytes).ok();
    assert!(piped == whole);
    netflow(path, &["recover", "day.nfcap", "-o", "recovered.nfcap"]).ok();
    netflow(path, &["merge", "day.nfcap", "-o", "again.nfcap"]).ok();
    let dump = netflow(path, &["dump", "day.nfcap"]).ok();
    netflow_with_input(path, &["import", "-", "-o", "imported.nfcap"], dump.as_bytes()).ok();
    for name in ["recovered.nfcap", "again.nfcap", "imported.nfcap"] {
        assert!(report(name) == whole, "{name}");
        assert_eq!(lines(&["info", "--json", name])[0]["sections"], sections, "{name}");
    }
    // The same time twice is refused, whichever of it.
    let ran = netflow(path, &["merge", "one.nfcap", "day.nfcap", "-o", "twice.nfcap"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let ran = netflow(path, &["report", "one.nfcap", "day.nfcap"]);
    assert!(ran.stderr.contains("the same time of one recording"), "{}", ran.stderr);
}

#[test]
fn what_is_damaged_is_divided_and_states_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    day(&path.join("whole.nfcap"));
    let mut bytes = fs::read(path.join("whole.nfcap")).unwrap();
    for place in [bytes.len() / 3, bytes.len() / 2] {
        bytes[place] ^= 1;
    }
    fs::write(path.join("one.nfcap"), &bytes).unwrap();
    for (out, options) in [("day.nfcap", &[][..]), ("same.nfcap", &["--section", "0s"])] {
        let ran = netflow(path, &[&["merge", "one.nfcap", "-o", out], options].concat());
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("warning: one.nfcap: at least "), "{}", ran.stderr);
    }
    let of = |name: &str| {
        let report = said(netflow(path, &["report", "--csv=-", "--by", "process_name,src_ip", name]));
        let verified: Value = serde_json::from_str(&netflow(path, &["verify", "--json", name]).stdout).unwrap();
        assert_eq!((&verified["intact"], &verified["law"]["verdict"]), (&true.into(), &"holds".into()), "{verified}");
        (report, verified["losses"].clone(), verified["law"].clone(), verified["events"].clone())
    };
    assert!(of("day.nfcap") == of("same.nfcap"));
    assert_eq!(of("day.nfcap").0.0, Some(3));
    assert!(of("day.nfcap").1["queue_full"].as_u64() > Some(200));
}
