//! How many bytes commands read of a capture of a day, as the kernel counts them, and that a large one is written and read
//! within an address space that does not grow with it.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use netflow_core::event::{Body, Event, Header, Identity, Open, Sample, Tick, Totals, Transport};
use netflow_formats::capture::{CaptureWriter, WriterOptions};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::run::{netflow, netflow_within};

pub(crate) const MINUTE: u64 = 60_000_000_000;
/// What the reader reads ahead at most, twice: to look at the index, and from a place.
pub(crate) const AHEAD: u64 = 2 << 18;
/// 2026-01-31T00:00:00Z.
pub(crate) const MIDNIGHT: i64 = 1_769_817_600_000_000_000;

/// A day of these connections, each sampled once a minute, with counters that no compressor makes small.
fn day(path: &Path, host: &str, day: u64, connections: u64) {
    let boot_time_ns = MIDNIGHT + i64::try_from(day * 24 * 60 * MINUTE).unwrap();
    let header = Header { host: host.into(), boot_time_ns, interval_ms: 60_000, ..Header::default() };
    let out = BufWriter::new(File::create(path).unwrap());
    let mut writer = CaptureWriter::new(out, &header, WriterOptions::default()).unwrap();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut sent = vec![0; usize::try_from(connections).unwrap()];
    for minute in 0..24 * 60_u64 {
        let at = minute * MINUTE;
        for conn in (0..connections).filter(|_| minute == 0) {
            let local = format!("10.0.{}.{}:40000", conn >> 8, conn & 255);
            let identity = Identity::new(Transport::Tcp, local.parse().unwrap(), "10.9.0.1:443".parse().unwrap());
            writer.push(&Event { at, body: Body::Open(Open { conn, identity: Arc::new(identity) }) }).unwrap();
        }
        for (conn, sent) in (0..).zip(&mut sent) {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            *sent += chance >> 24;
            let totals = Totals { sent_bytes: *sent, recv_bytes: *sent / 3, ..Totals::default() };
            let at = at + conn;
            writer.push(&Event { at, body: Body::Sample(Sample { conn, totals, identity: None }) }).unwrap();
        }
        writer.push(&Event { at: at + connections, body: Body::Tick(Tick { complete: true }) }).unwrap();
    }
    writer.finish().unwrap().0.flush().unwrap();
}

/// The bytes that a command read from anything, until it ended with 0.
pub(crate) fn bytes_read(folder: &Path, arguments: &[&str]) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    // It has ended, and what it did is not yet forgotten.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let counts = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn what_lies_behind_a_part_and_in_other_sections_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    day(&path("one.nfcap"), "a", 0, 300);
    day(&path("two.nfcap"), "b", 1, 300);
    let both = [fs::read(path("one.nfcap")).unwrap(), fs::read(path("two.nfcap")).unwrap()].concat();
    fs::write(path("both.nfcap"), &both).unwrap();
    let size = fs::metadata(path("one.nfcap")).unwrap().len();
    let nothing = bytes_read(folder.path(), &["fields"]);
    let read = |arguments: &[&str]| bytes_read(folder.path(), arguments).saturating_sub(nothing);
    let index = read(&["info", "one.nfcap"]);
    assert!(size > 2_500_000 && index < size / 20, "{size} {index}");

    let hour = size / 24;
    let whole = read(&["report", "one.nfcap", "--csv=/dev/null", "--force"]);
    assert!((size..size + AHEAD).contains(&whole), "{whole} of {size}");
    for command in [
        &["report", "one.nfcap", "--csv=/dev/null", "--force", "--until", "01:00"][..],
        &["replay", "one.nfcap", "--until", "01:00"],
        &["cut", "one.nfcap", "-o", "part.nfcap", "--force", "--until", "01:00"],
        // What is before the part in its section is read: it tells what held.
        &["report", "one.nfcap", "--csv=/dev/null", "--force", "--since", "00:30", "--until", "01:00"],
        // The first of two days, and the second.
        &["report", "both.nfcap", "--csv=/dev/null", "--force", "--until", "01:00"],
        &["report", "both.nfcap", "--csv=/dev/null", "--force", "--since", "2026-02-01T00:30:00Z", "--until", "01:00"],
        &["cut", "both.nfcap", "-o", "part.nfcap", "--force", "--since", "2026-02-01T00:30:00Z", "--until", "01:00"],
    ] {
        let found = read(command);
        assert!(found < hour * 11 / 10 + 2 * index + AHEAD, "{command:?}: {found} of {size}");
    }
    // And it is the right part.
    let window = ["--since", "2026-02-01T00:30:00Z", "--until", "2026-02-01T01:00:00Z"];
    let report = |name: &str| netflow(folder.path(), &[&["report", name, "--csv=-"], &window[..]].concat()).ok();
    assert_eq!(report("both.nfcap"), report("two.nfcap"));
    assert_eq!(report("both.nfcap").lines().count(), 301);
}

#[test]
fn info_reads_the_index_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = bytes_read(folder.path(), &["fields"]);
    let mut found = Vec::new();
    for connections in [20, 400] {
        day(&folder.path().join("day.nfcap"), "a", 0, connections);
        let size = fs::metadata(folder.path().join("day.nfcap")).unwrap().len();
        found.push((size, bytes_read(folder.path(), &["info", "day.nfcap"]).saturating_sub(nothing)));
    }
    // As many blocks, so as many entries in the index: twenty times the events cost nothing.
    let [(small, of_small), (large, of_large)] = found[..] else { unreachable!() };
    assert!(large > 8 * small, "{found:?}");
    assert!(of_large < of_small + 16_384 && of_large < large / 50, "{found:?}");
}

/// A million events, which would take more memory than this one by one.
#[test]
fn a_large_capture_is_written_and_read_in_little_memory() {
    const MIB: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    day(&folder.path().join("day.nfcap"), "a", 0, 750);
    let within = |bytes: u64, arguments: &[&str]| {
        let ran = netflow_within(bytes, folder.path(), arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    };
    // As it is recorded: blocks of a moment.
    within(96 * MIB, &["recover", "day.nfcap", "-o", "again.nfcap"]);
    within(96 * MIB, &["report", "again.nfcap", "--csv=blocks.csv"]);
    // As it is rewritten: blocks as full as they may be.
    within(256 * MIB, &["merge", "day.nfcap", "-o", "compact.nfcap"]);
    within(256 * MIB, &["report", "compact.nfcap", "--csv=compact.csv"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("blocks.csv") == read("compact.csv") && read("compact.csv").len() > 50_000);
    let info = |name: &str| netflow(folder.path(), &["info", name, "--json"]).ok();
    let events = format!("\"events\":{}", 750 + 24 * 60 * 751);
    assert!(info("again.nfcap").contains(&events) && info("compact.nfcap").contains(&events));
}
