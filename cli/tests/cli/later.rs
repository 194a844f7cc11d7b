//! Captures of a later version: what this one does not know is passed over, counted and said.

use std::fs;
use std::path::Path;

use netflow_fixtures::forged::{BLOCK_HEADER, Claim, END, EVENTS, INDEX, block, events, start};
use serde_json::Value;

use crate::events::capture;
use crate::run::netflow;

/// Of a block that no version has yet.
const UNKNOWN: u8 = 99;
/// A stream as it is.
const STORED: u8 = 0;
/// An event of a kind that no version has yet, and a complete tick.
const KINDS: [u8; 2] = [200, 3];

fn later(sequence: u32, events_before: u64, events: u32) -> Vec<u8> {
    block(&Claim { kind: UNKNOWN, sequence, events_before, events, ..Claim::default() }, b"what will be")
}

/// `events.nfcap` with a block of this many events behind its metadata, as a later version writes it: it is counted in the
/// headers behind it.
fn with_block(folder: &Path, extra: u32) {
    capture(folder);
    let bytes = fs::read(folder.join("events.nfcap")).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 8).filter(|place| bytes[*place..place + 8] == bytes[32..40]).collect();
    let mut made = bytes[..places[1]].to_vec();
    made.extend(later(1, 0, extra));
    let inserted = made.len() - places[1];
    let mut rest = bytes[places[1]..].to_vec();
    for place in &places[1..] {
        let header = &mut rest[place - places[1]..];
        let sequence = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) + 1;
        header[12..16].copy_from_slice(&sequence.to_le_bytes());
        let mut before = [0; 8];
        before.copy_from_slice(&header[24..32]);
        let before = u64::from_le_bytes(before) + u64::from(extra);
        header[24..32].copy_from_slice(&before.to_le_bytes());
    }
    // The index says first where it is, and the end how long it is.
    let at = places[places.len() - 2] - places[1];
    let (events, old) = rest.split_at(at);
    let raw = u32::from_le_bytes([old[20], old[21], old[22], old[23]]) as usize;
    let mut index = old[BLOCK_HEADER..old.len() - BLOCK_HEADER - 8].to_vec();
    if old[9] == 1 {
        index = zstd::bulk::decompress(&index, raw).unwrap();
    }
    assert_eq!(index[0], 251);
    let offset = u16::from_le_bytes([index[1], index[2]]) + u16::try_from(inserted).unwrap();
    index[1..3].copy_from_slice(&offset.to_le_bytes());
    made.extend(events);
    let claim = |kind, sequence| Claim { kind, sequence, events_before: 9 + u64::from(extra), ..Claim::default() };
    let index = block(&claim(INDEX, u32::try_from(places.len()).unwrap() - 1), &index);
    made.extend(&index);
    made.extend(block(&claim(END, u32::try_from(places.len()).unwrap()), &(index.len() as u64).to_le_bytes()));
    netflow_fixtures::forged::seal(&mut made);
    fs::write(folder.join("later.nfcap"), made).unwrap();
}

#[test]
fn a_block_with_events_is_a_loss_that_everything_states() {
    let folder = tempfile::tempdir().unwrap();
    with_block(folder.path(), 7);
    let run = |command: &[&str]| {
        let ran = netflow(folder.path(), command);
        assert_eq!(ran.code, Some(3), "{command:?} {}", ran.stderr);
        ran
    };
    let warning = "warning: later.nfcap: a newer netflow wrote what this one does not know: 1 unknown block with 7 events; \
        at least 7 events missing here, read it with a newer netflow\n";
    for command in [
        &["report", "later.nfcap", "--csv=-"][..],
        &["replay", "later.nfcap"],
        &["dump", "later.nfcap"],
        &["cut", "later.nfcap", "-o", "cut.nfcap", "--since", "12:00"],
    ] {
        let ran = run(command);
        assert!(ran.stderr.contains(warning), "{command:?} {}", ran.stderr);
    }
    let said = run(&["verify", "later.nfcap"]).stdout;
    assert!(said.starts_with("later.nfcap: "), "{said}");
    assert!(said.contains("7 events of a newer netflow passed over"), "{said}");
    assert!(said.contains("passed over  1 unknown block with 7 events, which a newer netflow wrote"), "{said}");
    let check: Value = serde_json::from_str(&run(&["verify", "later.nfcap", "--json"]).stdout).unwrap();
    assert_eq!((&check["passed_over"]["blocks"], &check["passed_over"]["block_events"]), (&1.into(), &7.into()));
    assert_eq!((&check["events"], &check["law"]["verdict"]), (&9.into(), &"unknown".into()), "{check}");
    // What is written anew states what it lacks.
    for (command, verb) in [
        (["recover", "later.nfcap", "-o", "new.nfcap"], "save"),
        (["merge", "later.nfcap", "-o", "merged.nfcap"], "merge"),
    ] {
        let said = run(&command).stderr;
        let warning = format!("wrote what this one cannot {verb}: 1 unknown block with 7 events\n");
        assert!(said.contains(&warning), "{said}");
    }
    for name in ["new.nfcap", "merged.nfcap", "cut.nfcap"] {
        let info: Value = serde_json::from_str(&run(&["info", name, "--json"]).stdout).unwrap();
        assert_eq!(info["losses"]["queue_full"], 7, "{name} {info}");
        assert_eq!(info["passed_over"]["block_events"], 0);
    }
}

#[test]
fn info_tells_it_from_the_index_and_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    for (extra, code) in [(7, 3), (0, 0)] {
        with_block(folder.path(), extra);
        let bytes = fs::read(folder.path().join("later.nfcap")).unwrap();
        let last = bytes.len() - 152;
        fs::write(folder.path().join("open.nfcap"), &bytes[..last]).unwrap();
        for (name, source) in [("later.nfcap", "index"), ("open.nfcap", "scan")] {
            let ran = netflow(folder.path(), &["info", name, "--json"]);
            assert_eq!(ran.code, Some(code), "{}", ran.stderr);
            let info: Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!((&info["passed_over"]["blocks"], &info["source"]), (&1.into(), &source.into()), "{info}");
            assert_eq!((&info["passed_over"]["block_events"], &info["events"]), (&extra.into(), &9.into()), "{info}");
        }
        let text = netflow(folder.path(), &["info", "open.nfcap"]).stdout;
        assert!(text.contains("\npassed over    1 unknown block with "), "{text}");
        fs::remove_file(folder.path().join("events.nfcap")).unwrap();
    }
}

#[test]
fn events_of_unknown_kinds_and_unknown_columns_are_said_and_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let claim = Claim { kind: EVENTS, sequence: 1, events: 2, ..Claim::default() };
    let streams: [(u16, u8, &[u8]); 4] =
        [(0, STORED, &KINDS), (51 * 8, STORED, &[4]), (52 * 8, STORED, b"what"), (6000, STORED, b"a later column")];
    fs::write(folder.path().join("later.nfcap"), [start(), block(&claim, &events([0; 5], &streams))].concat()).unwrap();
    let ran = netflow(folder.path(), &["dump", "later.nfcap"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 2), "{}", ran.stderr);
    let note = "note: later.nfcap: a newer netflow wrote what this one does not know: 1 event of an unknown kind, \
        unknown columns in 1 block; what is shown is whole, a newer netflow shows more\n";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    let info: Value = serde_json::from_str(&netflow(folder.path(), &["info", "later.nfcap", "--json"]).ok()).unwrap();
    assert_eq!((&info["passed_over"]["events"], &info["passed_over"]["wider_blocks"]), (&1.into(), &1.into()));
    assert_eq!(info["events"], 2);
    // In a new capture they are missing.
    let ran = netflow(folder.path(), &["recover", "later.nfcap", "-o", "new.nfcap"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("new.nfcap: 1 event saved; at least 1 lost"), "{}", ran.stderr);
}
