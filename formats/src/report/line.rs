//! A report as InfluxDB line protocol: one point a row.
//!
//! In: rows. Out: lines of measurement `netflow`: tags in the order of their names (which is what the server sorts them
//! into), the beginning of the window and the measures as integers, the end of the window in nanoseconds as timestamp.
//! What is unknown is left out, apart from a few tags that are always there and then say `N/A`. Never here: where lines
//! are sent.

use std::io::Write;

use netflow_core::column::{Cell, Column};
use netflow_core::report::Row;
use netflow_core::tabular::Tabular;
use netflow_core::value::Value;

use super::ReportError;

const MEASUREMENT: &str = "netflow";
/// What a tag says whose value is unknown, where the tag has to be there.
const UNKNOWN: &str = "N/A";
/// Tags that are always there.
const ALWAYS: [&str; 3] = ["dst_nat_ip", "dst_nat_port", "process_name"];
/// Tags of which all are there when one of them is known.
const CLUSTER: &str = "_k8s_";

/// Writes the rows.
///
/// # Errors
/// When the output fails, or a time does not fit into 64 bits of nanoseconds.
pub fn write_line<T: Tabular + ?Sized, W: Write>(table: &T, mut out: W) -> Result<(), ReportError> {
    let columns = table.columns();
    let mut by_name: Vec<usize> = (0..columns.len()).collect();
    by_name.sort_by_key(|index| &columns[*index].name);
    for row in table.rows() {
        out.write_all(line(columns, &by_name, &row)?.as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

fn line(columns: &[Column], by_name: &[usize], row: &Row) -> Result<String, ReportError> {
    let cells: Vec<Value> = columns.iter().map(|column| row.cell(column.cell)).collect();
    let known = |(field, cell): (&Column, &Value)| {
        matches!(field.cell, Cell::Tag(_)) && field.name.contains(CLUSTER) && *cell != Value::Null
    };
    let in_cluster = columns.iter().zip(&cells).any(known);
    let mut line = MEASUREMENT.to_owned();
    for index in by_name {
        let field = &columns[*index];
        if !matches!(field.cell, Cell::Tag(_)) {
            continue;
        }
        let text = tag(&cells[*index]).filter(|text| !text.is_empty());
        let is_always = ALWAYS.contains(&field.name.as_ref()) || in_cluster && field.name.contains(CLUSTER);
        if let Some(text) = text.or_else(|| is_always.then(|| UNKNOWN.to_owned())) {
            line.push(',');
            line.push_str(&field.name);
            line.push('=');
            line.push_str(&text);
        }
    }
    line.push_str(&format!(" window_start={}i", nanoseconds(row.window.start_us)?));
    for (field, cell) in columns.iter().zip(&cells) {
        if let (Cell::Measure(_) | Cell::Distinct(_), Value::Number(number)) = (field.cell, cell) {
            // Integers have a sign there.
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            line.push_str(&format!(",{}={number}i", field.name));
        }
    }
    line.push_str(&format!(" {}\n", nanoseconds(row.window.end_us)?));
    Ok(line)
}

fn nanoseconds(micros: i64) -> Result<i64, ReportError> {
    micros.checked_mul(1000).ok_or(ReportError::Time { micros })
}

fn tag(cell: &Value) -> Option<String> {
    Some(match cell {
        Value::Null => return None,
        Value::Folded => "*".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Net(net) => net.to_string(),
        Value::Word(word) => escaped(word),
        Value::Text(text) => escaped(text),
        Value::Time(micros) => micros.to_string(),
    })
}

/// The text as the value of a tag. A comma, a space and an equals sign get a backslash before them; quotes and
/// backslashes mean themselves. Two things the format cannot say at all: control characters, a line end among them, and
/// a backslash at the end, which would take away the meaning of what follows.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            ',' | ' ' | '=' => escaped.extend(['\\', char]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            char if char.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            char => escaped.push(char),
        }
    }
    if escaped.ends_with('\\') {
        escaped.pop();
        escaped.push(char::REPLACEMENT_CHARACTER);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_values() {
        let table = [
            ("plain", "plain"),
            ("two words", "two\\ words"),
            ("a,b", "a\\,b"),
            ("a=b", "a\\=b"),
            ("say \"x\"", "say\\ \"x\""),
            ("it's", "it's"),
            ("C:\\Windows\\x", "C:\\Windows\\x"),
            ("back\\,slash", "back\\\\,slash"),
            ("ends\\", "ends\u{fffd}"),
            ("ends\\\\", "ends\\\u{fffd}"),
            ("two\nlines\r\n", "two\\nlines\\r\\n"),
            ("tab\there", "tab\\there"),
            ("bell\u{7}\u{0}", "bell\u{fffd}\u{fffd}"),
            ("ünï → 日本", "ünï\\ →\\ 日本"),
            ("", ""),
            (" ", "\\ "),
            ("#", "#"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn times_that_do_not_fit_are_errors() {
        assert_eq!(nanoseconds(1_700_000_000_000_001).unwrap(), 1_700_000_000_000_001_000);
        assert!(nanoseconds(i64::MAX).is_err());
    }
}
