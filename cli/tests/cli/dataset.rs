//! A report as a data set of partitions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::events::EVENTS;
use crate::python;
use crate::run::{netflow, netflow_with_input};

/// A name of which most has to be escaped in a folder, in JSON and as it stands in folders.
const STRANGE: (&str, &str) = ("a/..=b%41 \\\"ü\\\":*\\n{+}", "a%2F..%3Db%2541 %22ü%22%3A%2A%0A%7B+}");

/// Makes `NAME.nfcap`: a host recorded over two days, with names of processes that look like numbers and worse.
fn capture(folder: &Path, name: &str, host: &str, boot_s: u64) {
    let events = EVENTS
        .replace("\"host\":\"db1\"", &format!("\"host\":\"{host}\""))
        .replace("1769860800000000000", &format!("{boot_s}000000000"))
        .replace("\"psql\"", &format!("\"{}\"", STRANGE.0))
        .replace("\"dig\"", "\"007\"")
        .replace("\"process\":\"curl\",", "");
    netflow_with_input(folder, &["import", "-", "-o", &format!("{name}.nfcap")], events.as_bytes()).ok();
}

/// Two seconds before the end of 2026-01-31: what is sampled then is of the next day.
const BOOT_S: u64 = 1_769_903_998;

fn report(folder: &Path, arguments: &[&str]) -> crate::run::Ran {
    let mut all = vec!["report", "--every", "1h"];
    all.extend(arguments);
    netflow(folder, &all)
}

/// The files of the data set and what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(place) = folders.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn partitions_are_named_as_hive_does_and_are_the_same_on_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    capture(at, "a", "db1", BOOT_S);
    capture(at, "b", "", BOOT_S);
    for name in ["one", "two"] {
        report(at, &["a.nfcap", "b.nfcap", &format!("--parquet={name}"), "--partition-by", "host,date"]).ok();
    }
    let one = files(&at.join("one"));
    let names: Vec<&str> = one.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "host=__HIVE_DEFAULT_PARTITION__/date=2026-01-31/part-0.parquet",
            "host=__HIVE_DEFAULT_PARTITION__/date=2026-02-01/part-0.parquet",
            "host=db1/date=2026-01-31/part-0.parquet",
            "host=db1/date=2026-02-01/part-0.parquet",
        ]
    );
    assert_eq!(one, files(&at.join("two")));
    report(at, &["a.nfcap", "--parquet=names", "--partition-by", "process_name,src_port"]).ok();
    let names: Vec<String> = files(&at.join("names")).into_keys().collect();
    assert_eq!(
        names,
        [
            "process_name=007/src_port=__HIVE_DEFAULT_PARTITION__/part-0.parquet".to_owned(),
            "process_name=__HIVE_DEFAULT_PARTITION__/src_port=__HIVE_DEFAULT_PARTITION__/part-0.parquet".to_owned(),
            format!("process_name={}/src_port=__HIVE_DEFAULT_PARTITION__/part-0.parquet", STRANGE.1),
        ]
    );
    // Beside the capture, when no folder is said.
    let ran = report(at, &["a.nfcap", "--parquet", "--partition-by", "date"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "a.parquet (2 partitions)\n"));
    assert_eq!(files(&at.join("a.parquet")).len(), 2);
    let mut left: Vec<String> =
        fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["a.nfcap", "a.parquet", "b.nfcap", "names", "one", "two"], "nothing is left beside it");
}

#[test]
fn only_the_partitions_of_the_report_are_replaced_and_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (ds, by) = ("--parquet=ds", "--partition-by=host,date");
    capture(at, "a", "db1", BOOT_S);
    capture(at, "b", "db2", BOOT_S);
    capture(at, "later", "db1", BOOT_S + 86_400);
    fs::create_dir(at.join("ds")).unwrap();
    report(at, &["a.nfcap", ds, by]).ok();
    let first = files(&at.join("ds"));
    let ran = report(at, &["b.nfcap", ds, by]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("ds exists; give another name, or --force"), "{}", ran.stderr);
    assert_eq!(files(&at.join("ds")), first);

    // Another host is added, the first is not touched.
    report(at, &["b.nfcap", ds, by, "--force"]).ok();
    let both = files(&at.join("ds"));
    assert_eq!(both.len(), 4);
    assert!(first.iter().all(|file| both.get(file.0) == Some(file.1)));

    // One day of db1 is given anew (there is less in it), its other day and db2 are not.
    let day = "host=db1/date=2026-02-01/part-0.parquet";
    report(at, &["a.nfcap", ds, by, "--force", "--since", "2026-02-01T00:00:00Z", "--having", "rtt > 0"]).ok();
    let after = files(&at.join("ds"));
    let changed: Vec<&str> = both.keys().filter(|name| after[*name] != both[*name]).map(String::as_str).collect();
    assert_eq!((changed, after.len()), (vec![day], 4));
    report(at, &["a.nfcap", ds, by, "--force"]).ok();
    assert_eq!(files(&at.join("ds")), both, "the same day again is the same");
    report(at, &["later.nfcap", ds, by, "--force"]).ok();
    let later = files(&at.join("ds"));
    let changed: Vec<&str> = both.keys().filter(|name| later[*name] != both[*name]).map(String::as_str).collect();
    assert_eq!((changed, later.len()), (vec![day], 5), "both days that it is about, and one is new");
}

#[test]
fn what_would_be_read_twice_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    capture(at, "a", "db1", BOOT_S);
    report(at, &["a.nfcap", "--parquet=ds", "--partition-by=host,date"]).ok();
    fs::write(at.join("ds/_SUCCESS"), "").unwrap();
    let ran = report(at, &["a.nfcap", "--parquet=ds", "--partition-by=date", "--force"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("host=db1 is in ds, where only folders date=… can be"), "{}", ran.stderr);
    let strange = "ds/host=db1/date=2026-02-01/part-00000-1f.snappy.parquet";
    fs::write(at.join(strange), "PAR1").unwrap();
    fs::write(at.join("ds/host=db1/date=2026-01-31/part-0.parquet"), "of before").unwrap();
    let before = files(&at.join("ds"));
    let ran = report(at, &["a.nfcap", "--parquet=ds", "--partition-by=host,date", "--force"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("which netflow did not write: rows might be there twice"), "{}", ran.stderr);
    assert_eq!(files(&at.join("ds")), before);
    fs::remove_file(at.join(strange)).unwrap();
    report(at, &["a.nfcap", "--parquet=ds", "--partition-by=host,date", "--force"]).ok();
    assert_ne!(files(&at.join("ds")), before);
    // A file is no folder.
    let ran = report(at, &["a.nfcap", "--parquet=a.nfcap", "--partition-by=date", "--force"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_is_an_error_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    capture(at, "a", "db1", BOOT_S);
    let table: [(&[&str], &str); 9] = [
        (&["--parquet=ds", "--partition-by", "date"], "ask for windows of a day or less"),
        (&["--parquet=ds", "--partition-by", "date", "--every", "25h"], "ask for windows of a day or less"),
        (&["--parquet=ds", "--partition-by", "hots"], "no field is named \"hots\""),
        (&["--parquet=ds", "--partition-by", "bytes_read"], "bytes_read is a measure"),
        (&["--parquet=ds", "--partition-by", "window_start"], "window_start is a window"),
        (&["--parquet=ds", "--partition-by", "shared"], "no column shared to partition by: ask for it with --by"),
        (&["--parquet=ds", "--partition-by", "pid", "--by", "dst_ip"], "no column pid to partition by"),
        (&["--parquet=ds", "--partition-by", "pid,pid"], "names pid twice"),
        (&["--parquet=-", "--partition-by", "pid"], "say in which folder"),
    ];
    for (arguments, expected) in table {
        let mut all = vec!["report", "a.nfcap"];
        all.extend(arguments);
        let ran = netflow(at, &all);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(netflow(at, &["report", "a.nfcap", "--csv=-", "--partition-by", "pid"]).code, Some(2));
    assert!(!at.join("ds").exists());
    // A day at once is fine, and a report without rows is a folder without partitions.
    netflow(at, &["report", "a.nfcap", "--parquet=day", "--partition-by", "date", "--every", "24h"]).ok();
    assert_eq!(files(&at.join("day")).len(), 2);
    report(at, &["a.nfcap", "--parquet=none", "--partition-by", "date", "--filter", "pid == 1"]).ok();
    assert_eq!(files(&at.join("none")).len(), 0);
}

/// `ds` and `ds.csv`, the same report in partitions and in one piece.
pub(crate) fn write(at: &Path, keys: &str) {
    capture(at, "a", "db1", BOOT_S);
    capture(at, "b", STRANGE.0, BOOT_S);
    report(at, &["a.nfcap", "b.nfcap", "--parquet=ds", "--csv=ds.csv", "--partition-by", keys]).ok();
}

#[test]
fn duckdb_pyarrow_and_polars_read_the_rows_of_the_report() {
    let Some(python) = python::readers() else { return };
    for keys in ["host,date", "date,process_name,dst_ip,dst_port"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), keys);
        let printed = python::run(&python, folder.path(), include_str!("readers/dataset.py"), &["ds", keys]);
        let line = |reader| format!("{reader} 8 5180\n");
        assert_eq!(printed, ["DuckDB", "pyarrow", "Polars"].map(line).concat().repeat(2));
    }
}
