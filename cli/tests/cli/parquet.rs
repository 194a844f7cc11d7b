//! Reports as others read them: DuckDB, pyarrow, pandas, Polars and Spark, from PyPI, in environments of their own.

use std::fmt::Write as _;
use std::path::Path;

use netflow_core::field::FIELDS;
use netflow_core::value::Type;
use netflow_formats::report::ROW_GROUP;

use crate::{dataset, python, wild};

/// PARQUET.md, which says what is in the files.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/PARQUET.md");

fn document() -> String {
    std::fs::read_to_string(DOCUMENT).unwrap()
}

/// The cells of the rows of the document's table that has this heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = document();
    let (_, rest) = document.split_once(&format!("{heading}\n")).unwrap();
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.map(cells).collect()
}

fn parquet(ty: Type) -> (&'static str, &'static str) {
    match ty {
        Type::U16 => ("INT32", "INTEGER(16, false)"),
        Type::U32 => ("INT32", "INTEGER(32, false)"),
        Type::U64 => ("INT64", "INTEGER(64, false)"),
        Type::Text | Type::Ip | Type::Net => ("BYTE_ARRAY", "STRING"),
        Type::Time => ("INT64", "TIMESTAMP(microseconds, true)"),
    }
}

#[test]
fn the_document_has_every_column() {
    let mut expected = String::from("| column | Parquet | logical type | unit | |\n|---|---|---|---|---|\n");
    for field in &FIELDS {
        let (physical, logical) = parquet(field.ty);
        let unit = if field.unit.is_empty() { String::new() } else { format!("{} ", field.unit) };
        let _ = writeln!(expected, "| `{}` | {physical} | {logical} | {unit}| {} |", field.name, field.help);
    }
    assert!(document().contains(&expected), "formats/PARQUET.md must have this table:\n{expected}");
}

#[test]
fn the_types_are_those_of_the_document() {
    let Some(python) = python::readers() else { return };
    let folder = tempfile::tempdir().unwrap();
    wild::write(folder.path(), "wild", &wild::small());
    let printed = python::run(&python, folder.path(), include_str!("readers/schema.py"), &["wild.parquet"]);
    let readers = table("| logical type | pyarrow | pandas | DuckDB | Polars | Spark |");
    let expected: String = FIELDS
        .iter()
        .map(|field| {
            let (physical, logical) = parquet(field.ty);
            let row = readers.iter().find(|row| row[0] == logical).unwrap();
            format!("{} | {physical} | {}\n", field.name, row[..5].join(" | "))
        })
        .collect();
    assert_eq!(printed, expected);
}

#[test]
fn every_reader_has_every_cell_of_the_csv() {
    let Some(python) = python::readers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rows = ROW_GROUP + 5_000;
    for (name, report) in [("wild", wild::small()), ("large", wild::large(rows)), ("empty", wild::empty())] {
        wild::write(folder.path(), name, &report);
        let printed = python::run(&python, folder.path(), include_str!("readers/formats.py"), &[name]);
        assert_eq!(printed.lines().count(), if name == "empty" { 11 } else { 13 }, "{printed}");
    }
}

#[test]
fn row_groups_say_what_is_in_them() {
    let Some(python) = python::readers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rows = ROW_GROUP * 2 + 1;
    wild::write_parquet_alone(folder.path(), "large", &wild::large(rows));
    let printed = python::run(&python, folder.path(), include_str!("readers/statistics.py"), &["large.parquet"]);
    assert_eq!(printed, format!("rows {rows}\ngroups {ROW_GROUP} {ROW_GROUP} 1\nwithout statistics: []\nwrong: []\n"));
}

#[test]
fn spark_has_every_cell_of_the_csv() {
    let Some(python) = python::spark() else { return };
    let folder = tempfile::tempdir().unwrap();
    wild::write(folder.path(), "wild", &wild::small());
    dataset::write(folder.path(), "host,date,process_name");
    let printed = python::run(&python, folder.path(), include_str!("readers/spark.py"), &["wild", "ds"]);
    let readers = table("| logical type | pyarrow | pandas | DuckDB | Polars | Spark |");
    let expected: String = FIELDS
        .iter()
        .map(|field| {
            let row = readers.iter().find(|row| row[0] == parquet(field.ty).1).unwrap();
            format!("{} | {}\n", field.name, row[5])
        })
        .collect();
    assert_eq!(printed, expected);
}

/// What of the README is shown with a reader: commands, then what they print.
#[test]
fn the_readme_shows_what_readers_print() {
    let Some(python) = python::readers() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("fixtures"), folder.path().join("fixtures")).unwrap();
    let block = |marker: &str| {
        let (_, rest) = readme.split_once(&format!("<!-- {marker} -->\n```")).unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    for line in block("columns").lines() {
        let arguments: Vec<&str> = line.strip_prefix("netflow ").unwrap().split_whitespace().collect();
        crate::run::netflow(folder.path(), &arguments).ok();
    }
    for reader in ["duckdb", "pandas"] {
        let printed = python::run(&python, folder.path(), &block(reader), &[]);
        assert_eq!(printed.trim_end(), block(&format!("{reader} prints")).trim_end());
    }
}
