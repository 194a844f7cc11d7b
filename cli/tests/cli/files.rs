//! Files that are missing, damaged, in the way, or something else.

use std::fs;
use std::process::{Command, Stdio};

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

#[test]
fn what_is_no_capture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("empty.nfcap", b"");
    write("text.nfcap", b"hello, this is no capture\n");
    write("events.jsonl", EVENTS.as_bytes());
    write("zip.nfcap", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, word) in [
        ("empty.nfcap", "empty"),
        ("text.nfcap", "text"),
        ("events.jsonl", "netflow import"),
        ("zip.nfcap", "gzip"),
        ("folder", "is a directory"),
        ("missing.nfcap", "No such file"),
    ] {
        let commands = ["report", "replay", "info", "dump", "verify"].map(|command| vec![command, name]).into_iter();
        let commands = commands.chain([
            vec!["recover", name, "-o", "out.nfcap"],
            vec!["cut", name, "-o", "out.nfcap", "--since", "12:00"],
            vec!["merge", name, "-o", "out.nfcap"],
            vec!["report", name, "--until", "12:00"],
        ]);
        for command in commands {
            let ran = netflow(folder.path(), &command);
            assert_eq!(ran.code, Some(1), "{command:?}: {}", ran.stderr);
            assert!(
                ran.stderr.starts_with("error: cannot ") && ran.stderr.contains(word) && ran.stderr.contains(name),
                "{}",
                ran.stderr
            );
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
            assert_eq!(ran.stdout, "");
        }
    }
    assert!(!folder.path().join("out.nfcap").exists());
}

#[test]
fn a_cut_capture_gives_what_is_whole_and_says_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let whole = fs::read(folder.path().join("events.nfcap")).unwrap();
    let full = netflow(folder.path(), &["report", "events.nfcap", "--csv=-"]).ok();
    let mut seen_whole = false;
    for length in (1..whole.len()).rev().step_by(11) {
        let ran = netflow_with_input(folder.path(), &["report", "-", "--csv=-"], &whole[..length]);
        match ran.code {
            // Only what follows the events is missing.
            Some(0) => {
                assert!(ran.stderr.contains("was not closed") || ran.stdout == full, "{length}: {}", ran.stderr);
                seen_whole |= ran.stdout == full;
            }
            Some(3) => assert!(ran.stderr.contains("warning: stdin"), "{length}: {}", ran.stderr),
            Some(1) => assert!(ran.stderr.starts_with("error: cannot read stdin"), "{length}: {}", ran.stderr),
            code => panic!("{length}: {code:?} {}", ran.stderr),
        }
    }
    assert!(seen_whole, "a capture without its index reports the same");
}

#[test]
fn nothing_is_overwritten_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let csv = folder.path().join("events.csv");
    fs::write(&csv, "precious").unwrap();
    let ran = netflow(folder.path(), &["report", "events.nfcap", "--csv"]);
    assert_eq!((ran.code, fs::read_to_string(&csv).unwrap().as_str()), (Some(1), "precious"));
    assert!(ran.stderr.contains("events.csv exists") && ran.stderr.contains("--force"), "{}", ran.stderr);
    netflow(folder.path(), &["report", "events.nfcap", "--csv", "--force"]).ok();
    assert!(fs::read_to_string(&csv).unwrap().starts_with("window_start,"));
    let before = fs::read(folder.path().join("events.nfcap")).unwrap();
    let ran = netflow_with_input(folder.path(), &["import", "-", "-o", "events.nfcap"], EVENTS.as_bytes());
    assert_eq!((ran.code, fs::read(folder.path().join("events.nfcap")).unwrap()), (Some(1), before));
}

#[test]
fn a_failed_import_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = EVENTS.replace("\"sent_bytes\":110", "\"sent_bites\":110");
    let ran = netflow_with_input(folder.path(), &["import", "-", "-o", "out.nfcap"], wrong.as_bytes());
    assert_eq!(ran.code, Some(1));
    for word in ["line 7", "sent_bites", "sent_bytes"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let ran = netflow(folder.path(), &["report", "events.nfcap", "--csv=/nowhere/out.csv"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/nowhere/out.csv"), "{}", ran.stderr);
    for arguments in [
        ["report", "events.nfcap", "--csv=-"].as_slice(),
        &["report", "events.nfcap"],
        &["replay", "events.nfcap"],
        &["replay", "events.nfcap", "--format", "csv"],
        &["dump", "events.nfcap"],
        &["info", "events.nfcap"],
        &["verify", "events.nfcap"],
        &["recover", "events.nfcap", "-o", "-"],
        &["cut", "events.nfcap", "-o", "-", "--since", "12:00"],
        &["merge", "events.nfcap", "-o", "-"],
        &["fields"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = |stdout: Stdio| {
            Command::new(env!("CARGO_BIN_EXE_netflow"))
                .args(arguments)
                .current_dir(folder.path())
                .stdout(stdout)
                .output()
                .unwrap()
        };
        let output = run(full.into());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("No space left"), "{arguments:?}: {stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(writer.into());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stderr, b"", "{arguments:?}");
    }
}

#[test]
fn wrong_usage_says_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let table = [
        (vec!["report"], "IN.nfcap"),
        (vec!["report", "events.nfcap", "--by", "proces"], "netflow fields"),
        (vec!["report", "events.nfcap", "--by", "rtt"], "grouped by tags"),
        (vec!["report", "events.nfcap", "--sort", "nothing"], "netflow fields"),
        (
            vec!["report", "events.nfcap", "--filter", "pid == x"],
            "error: --filter: expected a number, found \"x\"\n  pid == x\n",
        ),
        (vec!["replay", "events.nfcap", "--filter", "rtt > 1ms"], "use --having"),
        (vec!["record", "--filter", "container_id == a", "x.nfcap"], "is not known for certain while recording"),
        (vec!["cut", "events.nfcap", "-o", "x.nfcap", "--filter", "pid =="], "expected a number, found the end"),
        (vec!["live", "--filter", "dst_prot == 1"], "dst_port is the nearest"),
        (
            vec!["report", "events.nfcap", "--by", "pid", "--having", "host == a"],
            "error: --having: the rows have no host",
        ),
        (vec!["report", "events.nfcap", "--by", "host", "--sort", "pid"], "--by"),
        (vec!["report", "events.nfcap", "--every", "soon"], "expected a duration"),
        (vec!["report", "events.nfcap", "--csv=-", "--json=-"], "stdout"),
        (vec!["report", "-", "--csv"], "no name"),
        (vec!["record", "-d", "0s", "x.nfcap"], "at least 1ms"),
        (vec!["record"], "OUT.nfcap"),
        (vec!["record", "--rotate", "1h", "-"], "stdout is one"),
        (vec!["record", "--rotate", "1h", ".."], "is none"),
        (vec!["record", "--rotate", "10M", "x.nfcap"], "like 1h, or a size like 100MB"),
        (vec!["record", "--rotate", "500ms", "x.nfcap"], "1s at least"),
        (vec!["record", "--rotate", "1h", "--keep", "0", "x.nfcap"], "from 1 on"),
        (vec!["record", "--keep", "3", "x.nfcap"], "--rotate"),
        (vec!["record", "--rotate", "1h", "--force", "x.nfcap"], "cannot be used with"),
        (vec!["replay-all"], "unrecognized subcommand"),
        (vec!["cut", "events.nfcap", "-o", "x.nfcap"], "--since <T>|--until <T>"),
        (
            vec!["cut", "events.nfcap", "-o", "x.nfcap", "--since", "noon"],
            "like 2026-11-23T09:00:00Z, 09:00 or 09:00:30",
        ),
        (
            vec!["cut", "events.nfcap", "-o", "x.nfcap", "--since", "12:00", "--until", "2026-01-31T12:00:00Z"],
            "error: there is no time between",
        ),
        (vec!["cut", "events.nfcap", "--since", "12:00"], "--out"),
        (vec!["report", "events.nfcap", "--since", "5m"], "expected a time"),
        (vec!["merge", "-o", "x.nfcap"], "IN.nfcap"),
        (vec!["merge", "-", "-", "-o", "x.nfcap"], "only one capture can come from stdin"),
    ];
    for (arguments, word) in table {
        let ran = netflow(folder.path(), &arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_pipe_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let expected = netflow(folder.path(), &["report", "events.nfcap", "--csv=-"]).ok();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for more in [&[][..], &["--force"]] {
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        netflow(folder.path(), &[&["report", "events.nfcap", "--csv=pipe"], more].concat()).ok();
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), expected);
    }
}
