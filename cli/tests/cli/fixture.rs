//! `netflow fixture`: what is made is found as expected, and every difference is told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Ran, netflow};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fixtures")
}

/// A folder with the recording that fixtures are made of.
fn lab() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("captures/web/capture.nfcap"), folder.path().join("in.nfcap")).unwrap();
    folder
}

fn new(folder: &Path, name: &str, options: &[&str]) -> Ran {
    netflow(folder, &[&["fixture", "new", "in.nfcap", name], options].concat())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

const SEED: [&str; 2] = ["--key-from-seed", "7"];

#[test]
fn what_is_made_is_as_expected_and_the_same_again() {
    let lab = lab();
    let options = [
        "--key-from-seed",
        "7",
        "--filter",
        "transport == tcp and port == 8080",
        "--by",
        "process_name,dst_ip",
        "--every",
        "2s",
        "--about",
        "What the web does.",
    ];
    new(lab.path(), "one", &options).ok();
    new(lab.path(), "two", &options).ok();
    assert_eq!(netflow(lab.path(), &["fixture", "check", "one", "two"]).ok(), "");
    for file in ["capture.nfcap", "fixture.toml", "report.csv"] {
        assert_eq!(
            fs::read(lab.path().join("one").join(file)).unwrap(),
            fs::read(lab.path().join("two").join(file)).unwrap()
        );
    }
    let whole = ["report", "in.nfcap", "--csv=-", "--by", "transport", "--filter", "transport == tcp and port == 8080"];
    let part = ["report", "one/capture.nfcap", "--csv=-", "--by", "transport"];
    assert_eq!(
        netflow(lab.path(), &part).ok(),
        netflow(lab.path(), &whole).ok(),
        "the connections that were asked for"
    );
    let toml = read(&lab.path().join("one/fixture.toml"));
    assert!(
        toml.contains("filter = \"transport == \\\"tcp\\\" and port == 8080\"") || toml.contains("filter = 'transport"),
        "{toml}"
    );
    assert!(toml.contains("anonymized = \"seed 7\"") && toml.contains("every = \"2s\""), "{toml}");
}

#[test]
fn nothing_of_the_original_stands_in_a_fixture() {
    let lab = lab();
    let filter = "process_name in {curl, python3} and ip in {10.20.0.1, 10.20.0.2}";
    new(lab.path(), "one", &[&SEED[..], &["--filter", filter]].concat()).ok();
    for file in ["fixture.toml", "report.csv"] {
        let text = read(&lab.path().join("one").join(file));
        for original in ["curl", "python3", "10.20.0.", "fd20:", "demo"] {
            assert!(!text.contains(original), "{original} is in {file}: {text}");
        }
    }
    let dump = netflow(lab.path(), &["dump", "one/capture.nfcap"]).ok();
    assert!(!dump.contains("curl") && !dump.contains("10.20.0."), "{dump}");
    new(lab.path(), "open", &["--not-anonymized", "--filter", filter]).ok();
    assert!(read(&lab.path().join("open/fixture.toml")).contains("10.20.0.1"));
}

#[test]
fn the_first_connections_alone() {
    let lab = lab();
    new(lab.path(), "three", &["--not-anonymized", "--max-connections", "3"]).ok();
    let dump = netflow(lab.path(), &["dump", "three/capture.nfcap"]).ok();
    let mut connections: Vec<&str> =
        dump.lines().filter_map(|line| line.split("\"conn\":").nth(1)?.split([',', '}']).next()).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 3, "{dump}");
}

#[test]
fn differences_are_told_and_can_be_accepted() {
    let lab = lab();
    new(lab.path(), "a/one", &[&SEED[..], &["--by", "dst_port"]].concat()).ok();
    let report = lab.path().join("a/one/report.csv");
    let expected = read(&report);
    fs::write(&report, expected.replace(",201015,", ",201016,").replacen("5300", "5301", 1)).unwrap();
    let told = netflow(lab.path(), &["fixture", "check", "a"]);
    assert_eq!(told.code, Some(3));
    assert!(
        told.stdout.contains("a/one/report.csv:") && told.stdout.contains("row dst_port=5301: expected, not found"),
        "{}",
        told.stdout
    );
    let junit = netflow(lab.path(), &["fixture", "check", "a", "--format", "junit"]);
    assert_eq!(junit.code, Some(3));
    assert!(
        junit.stdout.contains("<testcase name=\"a/one\">") && junit.stdout.contains("failures=\"1\""),
        "{}",
        junit.stdout
    );
    netflow(lab.path(), &["fixture", "check", "a", "--bless"]).ok();
    assert_eq!(read(&report), expected);
    assert_eq!(netflow(lab.path(), &["fixture", "check", "--jobs", "1", "."]).ok(), "");
    // Another capture under the expectations.
    let other = fixtures().join("captures/dual/capture.nfcap");
    fs::copy(other, lab.path().join("a/one/capture.nfcap")).unwrap();
    let told = netflow(lab.path(), &["fixture", "check", "a", "--most", "1"]);
    assert!(told.stdout.starts_with("a/one/capture.nfcap: the input is another one"), "{}", told.stdout);
    assert!(told.stdout.contains("more\n"), "{}", told.stdout);
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_left() {
    let lab = lab();
    let refused = |options: &[&str], code: i32, says: &str| {
        let told = new(lab.path(), "out", options);
        assert_eq!(told.code, Some(code), "{options:?}: {}", told.stderr);
        assert!(told.stderr.contains(says), "{options:?}: {}", told.stderr);
        assert!(!lab.path().join("out").exists(), "{options:?}");
    };
    refused(&[], 2, "--key-from-seed");
    refused(&["--key-from-seed", "1", "--by", "proces_name"], 2, "proces_name");
    refused(&["--key-from-seed", "1", "--filter", "port = 3"], 2, "--filter");
    refused(&["--key-from-seed", "1", "--filter", "port == 3"], 1, "has no row");
    refused(&["--key", "none.key"], 1, "none.key");
    refused(&["--key-from-seed", "1", "--k8s", "x.json"], 2, "record --k8s");
    new(lab.path(), "one", &SEED).ok();
    assert_eq!(new(lab.path(), "one", &SEED).code, Some(1), "it exists");
    new(lab.path(), "one", &[&SEED[..], &["--force"]].concat()).ok();
    fs::create_dir(lab.path().join("mine")).unwrap();
    let told = new(lab.path(), "mine", &[&SEED[..], &["--force"]].concat());
    assert!(told.stderr.contains("no fixture that could be replaced"), "{}", told.stderr);

    let check = |says: &str| {
        let told = netflow(lab.path(), &["fixture", "check", "."]);
        assert_eq!(told.code, Some(1), "{}", told.stderr);
        assert!(told.stderr.contains(says), "{}", told.stderr);
    };
    fs::write(lab.path().join("mine/fixture.toml"), "input = \"../in.nfcap\"\n[[report]]\nfile = \"r.csv\"\n").unwrap();
    check("without a path");
    fs::write(lab.path().join("mine/fixture.toml"), "input = \"none.nfcap\"\n[[report]]\nfile = \"r.csv\"\n").unwrap();
    check("none.nfcap");
    fs::write(lab.path().join("mine/fixture.toml"), "input = \"in.nfcap\"\n[[report]]\nfile = \"r.csv\"\nevry = 1\n")
        .unwrap();
    check("evry");
    fs::write(lab.path().join("mine/in.nfcap"), "no capture").unwrap();
    fs::write(lab.path().join("mine/fixture.toml"), "input = \"in.nfcap\"\n[[report]]\nfile = \"r.csv\"\n").unwrap();
    check("mine: in.nfcap");
    assert_eq!(netflow(lab.path(), &["fixture", "check", "nowhere"]).code, Some(1));
}
