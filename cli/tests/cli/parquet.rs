//! The Parquet file as others read it: DuckDB and pyarrow, from PyPI, in an environment of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::events::capture;
use crate::run::netflow;

const PACKAGES: [&str; 2] = ["duckdb==2.0.0", "pyarrow==26.0.1"];

const SCRIPT: &str = r#"
import csv, sys, duckdb, pyarrow.parquet as pq
parquet, text = sys.argv[1:]
table = pq.read_table(parquet)
types = {field.name: str(field.type) for field in table.schema}
print("pyarrow", types["window_start"], types["src_port"], types["pid"], types["bytes_read"], types["src_ip"].replace("_view", ""))
print("nulls", table["src_port"].null_count, table["rtt"].null_count, table["container_id"].null_count)
rows = list(csv.DictReader(open(text)))
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
described = {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM '{parquet}'").fetchall()}
print("duckdb", described["window_start"], described["src_port"], described["pid"], described["bytes_read"], described["src_ip"])
measures = [name for name in table.schema.names if types[name] == "uint64"]
for name in measures:
    expected = sum(int(row[name]) for row in rows if row[name])
    by_duckdb = con.execute(f"SELECT coalesce(sum({name}), 0)::BIGINT FROM '{parquet}'").fetchone()[0]
    by_arrow = sum(value for value in table[name].to_pylist() if value is not None)
    known = sum(1 for row in rows if row[name])
    assert by_duckdb == by_arrow == expected, (name, by_duckdb, by_arrow, expected)
    assert known == con.execute(f"SELECT count({name}) FROM '{parquet}'").fetchone()[0], name
print("sums", len(measures), "rows", len(rows), table.num_rows)
print("start", con.execute(f"SELECT strftime(min(window_start) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') FROM '{parquet}'").fetchone()[0], rows[0]["window_start"])
"#;

/// A Python with the packages, made once and kept with the build; `None` where there is no Python or no registry.
fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = home.join("bin/python3");
    let has_packages = |python: &Path| {
        Command::new(python).args(["-c", "import duckdb, pyarrow"]).output().is_ok_and(|output| output.status.success())
    };
    if !has_packages(&python) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&home).output();
        made.ok().filter(|output| output.status.success())?;
        let install = Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES).output().ok()?;
        if !install.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&install.stderr));
            return None;
        }
    }
    has_packages(&python).then_some(python)
}

#[test]
fn duckdb_and_pyarrow_read_the_same_sums_with_types() {
    let Some(python) = python() else {
        assert!(std::env::var_os("NETFLOW_REQUIRE_PYTHON").is_none(), "no Python with {PACKAGES:?} could be made");
        eprintln!("skipped: no Python with {PACKAGES:?} could be made (python3-venv and access to PyPI are needed)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    netflow(folder.path(), &["report", "events.nfcap", "--csv", "--parquet"]).ok();
    fs::write(folder.path().join("read.py"), SCRIPT).unwrap();
    let output = Command::new(python)
        .args(["read.py", "events.parquet", "events.csv"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "pyarrow timestamp[us, tz=UTC] uint16 uint32 uint64 string\n\
         nulls 3 2 3\n\
         duckdb TIMESTAMP WITH TIME ZONE USMALLINT UINTEGER UBIGINT VARCHAR\n\
         sums 13 rows 3 3\n\
         start 2026-01-31T12:00:01.000000Z 2026-01-31T12:00:01.000000Z\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
