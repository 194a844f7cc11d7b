//! A report that has of everything the worst: greatest numbers, nothing known, names that every format has to escape.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use netflow_core::column::Tag;
use netflow_core::field::{FIELDS, Field, Source};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report, Row, Window};
use netflow_core::sums::{Sums, TcpSums};
use netflow_core::value::{Type, Value};
use netflow_formats::report::{write_arrow, write_arrow_stream, write_csv, write_json, write_parquet};

/// Names as they may come from outside, among them words that readers take for something else.
const NAMES: [&str; 12] = [
    "a \"b\", c",
    "two\r\nlines\n",
    "ünï → 日本 🦀",
    "007",
    "1e5",
    "NaN",
    "null",
    "2026-11-23",
    "back\\slash'",
    " a+b %20=",
    "\u{1}\u{7f}\u{feff}",
    "true",
];

fn report(tags: &[&'static Field], rows: Vec<Row>) -> Report {
    let by = Tag::parse_all(&tags.iter().map(|tag| tag.name).collect::<Vec<_>>()).unwrap();
    let mut report = Pipeline::new(ReportOptions { by, ..ReportOptions::default() }).finish();
    report.rows = rows;
    report.sort(Order::Key);
    report
}

fn tags() -> Vec<&'static Field> {
    FIELDS.iter().filter(|field| matches!(field.source, Source::Tag(_))).collect()
}

/// A row of which each measure is this number, or as much of it as that measure can be.
fn row(start_us: i64, key: Vec<Value>, number: u64) -> Row {
    let mut tcp = TcpSums {
        retransmits: number,
        established: number,
        closed: number,
        connect_failures: number,
        ..TcpSums::default()
    };
    tcp.rtt.add(u32::try_from(number).unwrap_or(u32::MAX));
    let sums = Sums {
        bytes_read: number,
        bytes_written: number,
        packets_read: number,
        packets_written: number,
        tcp: Some(tcp),
        connections: number,
    };
    Row { window: Window { start_us, end_us: start_us + 60_000_000 }, key: key.into(), sums, distinct: Box::default() }
}

/// Every field, every name, numbers around every limit.
pub(crate) fn small() -> Report {
    let tags = tags();
    let nothing = tags.iter().map(|tag| if tag.name == "src_port" { Value::Folded } else { Value::Null }).collect();
    let mut rows = vec![Row { sums: Sums::default(), ..row(-1, nothing, 0) }];
    let numbers = [0, 1, u64::from(u32::MAX), (1 << 53) + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
    for (place, name) in NAMES.into_iter().enumerate() {
        let number = numbers[place % numbers.len()];
        let start = if place == 0 { 253_402_300_000_999_999 } else { 1_763_881_200_000_001 };
        let value = |tag: &&&'static Field| match (tag.ty, tag.words.first()) {
            (_, Some(word)) => Value::Word(word),
            (Type::U16, _) => Value::Number(number.min(u16::MAX.into())),
            (Type::U32, _) => Value::Number(number.min(u32::MAX.into())),
            (Type::U64, _) => Value::Number(number),
            (Type::Ip, _) if place % 2 == 0 => Value::Ip("2001:db8::ffff".parse().unwrap()),
            (Type::Ip, _) => Value::Ip("192.0.2.255".parse().unwrap()),
            (Type::Time, _) => Value::Time(start - 1),
            (Type::Text | Type::Net, _) => Value::Text(Arc::from(name)),
        };
        rows.push(row(start, tags.iter().by_ref().map(|tag| value(&tag)).collect(), number));
    }
    report(&tags, rows)
}

/// No row, and every column.
pub(crate) fn empty() -> Report {
    report(&tags(), Vec::new())
}

/// So many rows.
pub(crate) fn large(rows: usize) -> Report {
    let tags = ["src_port", "pid", "process_name", "dst_ip"].map(|name| Field::by_name(name).unwrap());
    let one = |place: u64| {
        let port = if place.is_multiple_of(3) { Value::Folded } else { Value::Number(place % 65_536) };
        let name = if place.is_multiple_of(5) {
            Value::Null
        } else {
            Value::Text(Arc::from(NAMES[usize::try_from(place).unwrap() % NAMES.len()]))
        };
        let ip = Value::Ip(std::net::Ipv6Addr::from(u128::from(place) << 64 | 1).into());
        let minute = 60_000_000 * i64::try_from(place / 1000).unwrap();
        row(
            minute,
            vec![port, Value::Number(place * 16_411 % (1 << 32)), name, ip],
            place.wrapping_mul(131_072_000_000_007),
        )
    };
    report(&tags, (0..rows as u64).map(one).collect())
}

/// The report in the formats that machines read, as `NAME.csv` and so on.
pub(crate) fn write(folder: &Path, name: &str, report: &Report) {
    let file = |extension: &str| File::create(folder.join(format!("{name}.{extension}"))).unwrap();
    write_csv(report, file("csv")).unwrap();
    write_parquet(report, file("parquet")).unwrap();
    write_arrow(report, file("arrow")).unwrap();
    write_arrow_stream(report, file("arrows")).unwrap();
    write_json(report, std::io::BufWriter::new(file("jsonl"))).unwrap();
}

/// Only the Parquet file.
pub(crate) fn write_parquet_alone(folder: &Path, name: &str, report: &Report) {
    write_parquet(report, File::create(folder.join(format!("{name}.parquet"))).unwrap()).unwrap();
}
