//! `netflow merge`: the report on the new capture is the report on all that went into it.

use std::fs;
use std::path::Path;

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

/// Makes a capture of these events, as another host's or another time's.
fn make(folder: &Path, name: &str, events: &str) {
    netflow_with_input(folder, &["import", "-", "-o", name], events.as_bytes()).ok();
}

fn report(folder: &Path, inputs: &[&str]) -> String {
    netflow(folder, &[&["report", "--csv=-", "--every", "1s", "--keep-idle"], inputs].concat()).ok()
}

#[test]
fn hosts_stay_apart_and_add_up() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    make(folder.path(), "db2.nfcap", &EVENTS.replace("\"db1\"", "\"db2\""));
    let before = fs::read(folder.path().join("db2.nfcap")).unwrap();
    let ran = netflow(folder.path(), &["merge", "events.nfcap", "db2.nfcap", "-o", "both.nfcap"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "both.nfcap: 18 events in 2 sections\n");
    assert_eq!(report(folder.path(), &["both.nfcap"]), report(folder.path(), &["events.nfcap", "db2.nfcap"]));
    let csv = netflow(folder.path(), &["report", "both.nfcap", "--csv=-", "--by", "host"]).ok();
    let sums: Vec<&str> = csv.lines().skip(1).map(|line| line.split_once("Z,db").unwrap().1).collect();
    assert_eq!(sums, ["1,2590,150,10,9,1,200,,150,250,1,1,1,3", "2,2590,150,10,9,1,200,,150,250,1,1,1,3"]);
    let verified = netflow(folder.path(), &["verify", "both.nfcap"]).ok();
    assert_eq!(verified.matches("intact: 9 events").count(), 2, "{verified}");
    // By the indexes alone; a word of one host is not that of the other.
    let info = netflow(folder.path(), &["info", "both.nfcap", "--json"]).ok();
    let hosts: Vec<serde_json::Value> = info.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&hosts[0]["host"], &hosts[1]["host"]), (&"db1".into(), &"db2".into()));
    assert!(hosts.iter().all(|section| section["source"] == "index"), "{info}");
    assert_eq!(fs::read(folder.path().join("db2.nfcap")).unwrap(), before);
    // As text, and back.
    let dump = netflow(folder.path(), &["dump", "both.nfcap"]).ok();
    assert_eq!((dump.lines().count(), dump.matches(r#""type":"header""#).count()), (20, 2), "{dump}");
    for import in [&["import", "-", "-o", "back.nfcap"][..], &["import", "-", "-o", "back.nfcap", "--sort", "--force"]]
    {
        netflow_with_input(folder.path(), import, dump.as_bytes()).ok();
        assert_eq!(report(folder.path(), &["back.nfcap"]), report(folder.path(), &["both.nfcap"]));
        assert_eq!(netflow(folder.path(), &["dump", "back.nfcap"]).ok(), dump);
    }
    // What was merged is merged again, and comes through pipes.
    let bytes = fs::read(folder.path().join("both.nfcap")).unwrap();
    make(folder.path(), "db0.nfcap", &EVENTS.replace("\"db1\"", "\"db0\"").replace("1769860800", "1769860000"));
    netflow_with_input(folder.path(), &["merge", "-", "db0.nfcap", "-o", "all.nfcap"], &bytes).ok();
    let of_three = report(folder.path(), &["events.nfcap", "db2.nfcap", "db0.nfcap"]);
    assert_eq!(report(folder.path(), &["all.nfcap"]), of_three);
    let info = netflow(folder.path(), &["info", "all.nfcap"]).ok();
    let places: Vec<usize> = ["db0", "db1", "db2"].map(|host| info.find(&format!(" on {host}, ")).unwrap()).to_vec();
    assert!(places.is_sorted(), "in the order of their times: {info}");
}

/// The events as the files of one recording that rotated after the first snapshot.
fn rotated(folder: &Path) {
    let recording = |part: u32, more: &str| {
        let header = EVENTS.lines().next().unwrap();
        header.replace("\"host\"", &format!("\"boot_id\":\"b\",\"began_at\":7,\"part\":{part}{more},\"host\""))
    };
    let lines: Vec<&str> = EVENTS.lines().skip(1).collect();
    let whole = [&[recording(0, "").as_str()], &lines[..]].concat().join("\n");
    make(folder, "whole.nfcap", &whole);
    let first = [&[recording(0, "").as_str()], &lines[..5]].concat().join("\n");
    make(folder, "out-1.nfcap", &first);
    let told = lines[..2].iter().map(|line| {
        line.replace("\"at\":1000000000", "\"at\":2000000000").replace("\"netns\"", "\"preexisting\":true,\"netns\"")
    });
    let told: Vec<String> = told.chain(lines[2..5].iter().map(|line| (*line).to_owned())).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let header = recording(1, ",\"continues_from\":2000000000");
    let second = [&[header.as_str()], &told[..], &lines[5..]].concat().join("\n");
    make(folder, "out-2.nfcap", &second);
}

#[test]
fn files_of_a_recording_are_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    rotated(folder.path());
    let whole = report(folder.path(), &["whole.nfcap"]);
    assert_eq!(report(folder.path(), &["out-1.nfcap", "out-2.nfcap"]), whole);
    netflow(folder.path(), &["merge", "out-2.nfcap", "out-1.nfcap", "-o", "day.nfcap"]).ok();
    assert_eq!(report(folder.path(), &["day.nfcap"]), whole);
    // Cut over the seam, and put together again.
    for (name, window) in [("a", ["--until", "12:00:01.5"]), ("b", ["--since", "12:00:01.5"])] {
        netflow(folder.path(), &[&["cut", "day.nfcap", "-o", &format!("{name}.nfcap")], &window[..]].concat()).ok();
    }
    assert_eq!(report(folder.path(), &["a.nfcap", "b.nfcap"]), whole);
    netflow(folder.path(), &["merge", "b.nfcap", "a.nfcap", "-o", "again.nfcap"]).ok();
    assert_eq!(report(folder.path(), &["again.nfcap"]), whole);
}

#[test]
fn the_same_time_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    rotated(folder.path());
    for (name, window) in [("a", ["--until", "12:00:02.6"]), ("b", ["--since", "12:00:01.5"])] {
        netflow(folder.path(), &[&["cut", "whole.nfcap", "-o", &format!("{name}.nfcap")], &window[..]].concat()).ok();
    }
    for [one, other] in [["whole", "whole"], ["whole", "a"], ["b", "whole"], ["b", "a"], ["out-2", "out-2"]] {
        let inputs = [one, other].map(|name| format!("{name}.nfcap"));
        let ran = netflow(folder.path(), &["merge", &inputs[0], &inputs[1], "-o", "out.nfcap"]);
        assert_eq!(ran.code, Some(1), "{inputs:?}");
        assert!(ran.stderr.contains("both hold the same time of one recording"), "{}", ran.stderr);
    }
    // Older captures do not say when their recording began.
    fs::copy("../fixtures/captures/web/capture.nfcap", folder.path().join("web.nfcap")).unwrap();
    let from = ["cut", "web.nfcap", "-o", "part.nfcap", "--since", "07:01:54"];
    netflow(folder.path(), &from).ok();
    netflow(folder.path(), &["cut", "web.nfcap", "-o", "before.nfcap", "--until", "07:01:54"]).ok();
    for [one, other] in [["web", "web"], ["part", "web"], ["web", "part"], ["before", "web"], ["part", "part"]] {
        let inputs = [one, other].map(|name| format!("{name}.nfcap"));
        let ran = netflow(folder.path(), &["merge", &inputs[0], &inputs[1], "-o", "out.nfcap"]);
        assert_eq!(ran.code, Some(1), "{inputs:?}");
        assert!(ran.stderr.contains("both hold the same time of one recording"), "{}", ran.stderr);
    }
    assert!(!folder.path().join("out.nfcap").exists());
    netflow(folder.path(), &["merge", "part.nfcap", "before.nfcap", "-o", "out.nfcap"]).ok();
    // Without a host nobody knows whether two files are of one.
    let nameless = EVENTS.replace(",\"host\":\"db1\"", "");
    make(folder.path(), "nameless.nfcap", &nameless);
    netflow(folder.path(), &["merge", "nameless.nfcap", "nameless.nfcap", "-o", "twice.nfcap"]).ok();
}

#[test]
fn what_is_damaged_or_was_not_closed_is_stated() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let blocks: Vec<usize> = (0..bytes.len() - 8).filter(|place| bytes[*place..place + 8] == bytes[32..40]).collect();
    // Without its index nothing is lost.
    let ran =
        netflow_with_input(folder.path(), &["merge", "-", "-o", "whole.nfcap"], &bytes[..blocks[blocks.len() - 2]]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "whole.nfcap: 9 events in 1 section\n"));
    assert_eq!(report(folder.path(), &["whole.nfcap"]), report(folder.path(), &["events.nfcap"]));
    // Without its second half something is.
    let half = blocks[2] + 200;
    fs::write(folder.path().join("half.nfcap"), &bytes[..half]).unwrap();
    make(folder.path(), "db2.nfcap", &EVENTS.replace("\"db1\"", "\"db2\""));
    let ran = netflow(folder.path(), &["merge", "db2.nfcap", "half.nfcap", "-o", "both.nfcap"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: half.nfcap: at least 5 events lost"), "{}", ran.stderr);
    let ran = netflow(folder.path(), &["report", "both.nfcap", "--csv=-", "--by", "host"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(3), 3), "{}", ran.stderr);
    let ran = netflow(folder.path(), &["merge", "db2.nfcap", "-o", "./db2.nfcap", "--force"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("would be replaced"), "{}", ran.stderr);
}
