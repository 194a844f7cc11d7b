//! `netflow verify` and `netflow recover`: what they print, and their exit codes.

use std::fs;
use std::path::Path;

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

/// Where the blocks of a capture begin: each with the same eight bytes, the first one behind 32 bytes.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len() - 8).filter(|place| bytes[*place..place + 8] == bytes[32..40]).collect()
}

/// Makes `bad.nfcap`: `events.nfcap` with the last byte of the block changed that has the five events of the second second.
fn damaged(folder: &Path) {
    capture(folder);
    let mut bytes = fs::read(folder.join("events.nfcap")).unwrap();
    let place = blocks(&bytes)[3] - 1;
    bytes[place] ^= 1;
    fs::write(folder.join("bad.nfcap"), bytes).unwrap();
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_intact_capture_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let line = "intact: 9 events in 5 blocks, closed, index agrees; nothing lost; \
        tcp 1 opened + 0 older = 1 closed + 0 lost closes + 0 live, \
        udp 1 opened + 0 older = 0 closed + 0 lost closes + 1 live\n";
    assert_eq!(netflow(folder.path(), &["verify", "events.nfcap"]).ok(), format!("events.nfcap: {line}"));
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let twice = [bytes.clone(), bytes].concat();
    let said = netflow_with_input(folder.path(), &["verify", "-"], &twice).ok();
    assert_eq!(said, format!("stdin: {line}stdin, section 2: {line}"));
    let checks = lines(&netflow_with_input(folder.path(), &["verify", "-", "--json"], &twice).ok());
    assert_eq!(checks.len(), 2);
    assert_eq!((&checks[1]["section"], &checks[1]["offset"]), (&2.into(), &(twice.len() / 2).into()));
    assert_eq!((&checks[1]["intact"], &checks[1]["law"]["verdict"]), (&true.into(), &"holds".into()));
    assert_eq!(checks[1]["law"]["udp"]["live_at_end"], 1);
}

#[test]
fn damage_is_shown_by_block_and_recovered_around() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path());
    let before = fs::read(folder.path().join("bad.nfcap")).unwrap();
    let ran = netflow(folder.path(), &["verify", "bad.nfcap", "events.nfcap"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
    assert!(ran.stdout.starts_with("bad.nfcap: damaged in 1 place, 5 events lost\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nevents.nfcap: intact: "), "{}", ran.stdout);
    let ran = netflow(folder.path(), &["verify", "bad.nfcap", "--json"]);
    let check = lines(&ran.stdout).remove(0);
    let damage = &check["damage"][0];
    assert_eq!((&damage["kind"], &damage["sequence"]), (&"events".into(), &2.into()), "{check}");
    assert_eq!((&damage["what"], &damage["events_lost"]), (&"checksum of payload".into(), &5.into()));
    assert_eq!((&check["end"], &check["index"], &check["intact"]), (&"clean".into(), &"agrees".into(), &false.into()));
    assert_eq!(check["law"]["verdict"], "unknown");
    let place = damage["offset"].as_u64().unwrap();
    assert!(netflow(folder.path(), &["verify", "bad.nfcap"]).stdout.contains(&format!("\n{place:>9} ")));

    let ran = netflow(folder.path(), &["recover", "bad.nfcap", "-o", "out.nfcap"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    assert!(ran.stderr.contains(&format!("warning: bad.nfcap: damaged block at byte {place}: ")), "{}", ran.stderr);
    assert!(ran.stderr.contains("out.nfcap: 4 events saved; at least 5 lost"), "{}", ran.stderr);
    assert_eq!(fs::read(folder.path().join("bad.nfcap")).unwrap(), before);
    // The loss stays visible; nothing else is wrong with it.
    let ran = netflow(folder.path(), &["verify", "out.nfcap", "--json"]);
    let check = lines(&ran.stdout).remove(0);
    assert_eq!((ran.code, &check["intact"], &check["losses"]["queue_full"]), (Some(3), &true.into(), &5.into()));
    let ran = netflow(folder.path(), &["info", "out.nfcap"]);
    assert_eq!(ran.code, Some(3));
    for (cause, count) in [("ring_full", 0), ("queue_full", 5), ("lost_closes", 0)] {
        assert!(ran.stdout.contains(&format!(" {cause:<14} {count:>9}  ")), "{cause}: {}", ran.stdout);
    }
}

#[test]
fn what_was_not_closed_is_closed_by_recovering_it() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let cut = &bytes[..bytes.len() - 1];
    let ran = netflow_with_input(folder.path(), &["verify", "-"], cut);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.starts_with("stdin: cut off\n"), "{}", ran.stdout);
    let ran = netflow_with_input(folder.path(), &["recover", "-", "-o", "out.nfcap"], cut);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "out.nfcap: 9 events saved; nothing was lost\n"));
    assert_eq!(fs::read(folder.path().join("out.nfcap")).unwrap(), bytes);
    let ran = netflow_with_input(folder.path(), &["recover", "-", "-o", "out.nfcap"], cut);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("out.nfcap exists") && ran.stderr.contains("--force"), "{}", ran.stderr);
    netflow_with_input(folder.path(), &["recover", "-", "-o", "out.nfcap", "--force"], cut).ok();
    let ran = netflow(folder.path(), &["recover", "out.nfcap", "-o", "./out.nfcap", "--force"]);
    assert_eq!((ran.code, fs::read(folder.path().join("out.nfcap")).unwrap()), (Some(1), bytes));
}

#[test]
fn what_vanishes_uncounted_breaks_the_law() {
    let folder = tempfile::tempdir().unwrap();
    // The second snapshot does not find the UDP flow any more.
    let mut events: Vec<&str> = EVENTS.lines().collect();
    events.retain(|line| !line.contains(r#""sample","at":3000000000"#));
    let import = ["import", "-", "-o", "gone.nfcap"];
    netflow_with_input(folder.path(), &import, events.join("\n").as_bytes()).ok();
    let ran = netflow(folder.path(), &["verify", "gone.nfcap"]);
    assert_eq!(ran.code, Some(3));
    for word in [
        "law of udp   1 opened + 0 older = 0 closed + 1 lost closes + 0 live\n",
        "broken: 1 connection gone without a close that nobody counted as lost\n",
        "index        agrees with what was read\n",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let check = lines(&netflow(folder.path(), &["verify", "gone.nfcap", "--json"]).stdout).remove(0);
    assert_eq!((&check["law"]["verdict"], &check["law"]["difference"]), (&"uncounted".into(), &1.into()));
    assert_eq!((&check["intact"], &check["lossless"]), (&true.into(), &false.into()));
}

#[test]
fn all_of_several_are_checked_and_the_worst_counts() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path());
    fs::write(folder.path().join("text.nfcap"), "no capture").unwrap();
    let verify = |names: &[&str]| netflow(folder.path(), &[&["verify"], names].concat());
    let ran = verify(&["none.nfcap", "events.nfcap", "text.nfcap", "bad.nfcap"]);
    assert_eq!(ran.code, Some(1));
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert!(said[0].starts_with("error: cannot open none.nfcap: "), "{said:?}");
    assert!(said[1].starts_with("error: cannot read text.nfcap: not a capture: "), "{said:?}");
    assert_eq!(said.len(), 2);
    assert!(ran.stdout.starts_with("events.nfcap: intact: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nbad.nfcap: damaged in 1 place, 5 events lost\n"), "{}", ran.stdout);
    assert_eq!(verify(&["bad.nfcap", "events.nfcap"]).code, Some(3));
    assert_eq!(verify(&["bad.nfcap", "text.nfcap", "events.nfcap"]).code, Some(1));
}

/// What README.md says of a capture that has no end.
#[test]
fn what_is_only_not_closed_is_whole_for_reports_and_unsound_for_verify() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let blocks = blocks(&bytes);
    fs::write(folder.path().join("open.nfcap"), &bytes[..blocks[blocks.len() - 2]]).unwrap();
    let whole = netflow(folder.path(), &["report", "events.nfcap", "--csv=-"]).ok();
    let ran = netflow(folder.path(), &["report", "open.nfcap", "--csv=-"]);
    assert_eq!((ran.code, ran.stdout), (Some(0), whole));
    assert!(ran.stderr.contains("note: open.nfcap was not closed"), "{}", ran.stderr);
    for (command, code) in [("info", 0), ("replay", 0), ("dump", 0), ("verify", 3)] {
        assert_eq!(netflow(folder.path(), &[command, "open.nfcap"]).code, Some(code), "{command}");
    }
    netflow(folder.path(), &["recover", "open.nfcap", "-o", "closed.nfcap"]).ok();
}

#[test]
fn a_table_of_damage_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    // Repetitions of blocks: the same capture 30 times without its start.
    let many = [&bytes[..], &bytes[blocks(&bytes)[1]..].repeat(30)].concat();
    let ran = netflow_with_input(folder.path(), &["verify", "-"], &many);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.starts_with("stdin: damaged in 150 places\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("and 130 more places (--json has up to 10,000)\n"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() < 40, "{}", ran.stdout);
    let ran = netflow_with_input(folder.path(), &["recover", "-", "-o", "out.nfcap"], &many);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 22, "{}", ran.stderr);
    netflow(folder.path(), &["verify", "out.nfcap"]).ok();
}
