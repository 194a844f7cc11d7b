//! A report in parts: one for each value of some tags, and for each day.
//!
//! In: a report, and by what it is parted. Out: the folder of each part, as Hive names it (`host=db1/date=2026-11-23`), and
//! the part, without the columns that its folder tells. Never here: files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::DateTime;
use netflow_core::column::{Cell, Column, Tag, TagError};
use netflow_core::field::Field;
use netflow_core::report::{Report, Rest, Row};
use netflow_core::value::Value;

use super::ReportError;

/// The day of a row's window, which is no field.
const DATE: &str = "date";
/// What stands for a value that is not there. A folded port is none: there are many behind it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// By what a report is parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKey {
    /// A tag.
    Tag(&'static Field),
    /// The day in UTC on which the row's window begins.
    Date,
}

impl PartitionKey {
    /// `date`, or the tag of that name.
    ///
    /// # Errors
    /// When no tag has it, or it is that of a network, which no folder can have.
    pub fn parse(name: &str) -> Result<Self, TagError> {
        if name == DATE {
            return Ok(Self::Date);
        }
        let field = Tag::parse(name)?.field();
        if field.name == name {
            return Ok(Self::Tag(field));
        }
        Err(TagError::Unknown { name: name.to_owned() })
    }

    /// Its name in folders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tag(field) => field.name,
            Self::Date => DATE,
        }
    }
}

/// The parts of the report by their folder, of which each `/` parts two folders. Rows keep their order.
///
/// # Errors
/// When a tag is no column of the report, or a time has no day.
pub fn partitions(report: &Report, keys: &[PartitionKey]) -> Result<BTreeMap<String, Report>, ReportError> {
    let mut places = Vec::new();
    for key in keys {
        places.push(match key {
            PartitionKey::Date => None,
            PartitionKey::Tag(field) => {
                let place = report.columns.iter().find_map(|column| match column.cell {
                    Cell::Tag(place) if column.name == field.name => Some(place),
                    _ => None,
                });
                Some(place.ok_or(ReportError::NoColumn { name: field.name })?)
            }
        });
    }
    let is_told =
        |column: &Column| keys.iter().any(|key| matches!(key, PartitionKey::Tag(field) if column.name == field.name));
    let columns: Vec<Column> = report.columns.iter().filter(|column| !is_told(column)).cloned().collect();
    let mut parts: BTreeMap<String, Report> = BTreeMap::new();
    for row in &report.rows {
        let mut folder = String::new();
        for (key, place) in keys.iter().zip(&places) {
            let value = match place {
                None => day(row)?,
                Some(place) => row.key.get(*place).map_or_else(String::new, text),
            };
            let value = if value.is_empty() { NULL.to_owned() } else { escaped(&value) };
            let _ = write!(folder, "{}{}={value}", if folder.is_empty() { "" } else { "/" }, key.name());
        }
        let part = parts.entry(folder).or_insert_with(|| Report {
            headers: report.headers.clone(),
            columns: columns.clone(),
            chosen: report.chosen,
            span: report.span,
            rows: Vec::new(),
            rest: Rest::default(),
            order: report.order.clone(),
            left_out: report.left_out,
            diagnostics: report.diagnostics,
        });
        part.rows.push(row.clone());
    }
    Ok(parts)
}

fn day(row: &Row) -> Result<String, ReportError> {
    let micros = row.window.start_us;
    let time = DateTime::from_timestamp_micros(micros).ok_or(ReportError::Time { micros })?;
    Ok(time.format("%Y-%m-%d").to_string())
}

/// Nothing where there is no value.
fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Folded => String::new(),
        Value::Number(number) => number.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Net(net) => net.to_string(),
        Value::Word(word) => (*word).to_owned(),
        Value::Text(text) => text.to_string(),
        Value::Time(micros) => micros.to_string(),
    }
}

/// The value as Hive and Spark write it into the name of a folder.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        if char.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(char) {
            let _ = write!(escaped, "%{:02X}", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_hive_does() {
        let table = [
            ("db1", "db1"),
            ("2001:db8::1", "2001%3Adb8%3A%3A1"),
            ("a/../b", "a%2F..%2Fb"),
            ("100% \"x\"=*", "100%25 %22x%22%3D%2A"),
            ("two\nlines\u{0}\u{7f}", "two%0Alines%00%7F"),
            ("ünï {a}[b]^c\\d#e?f'g", "ünï %7Ba}%5Bb%5D%5Ec%5Cd%23e%3Ff%27g"),
        ];
        for (value, expected) in table {
            assert_eq!(escaped(value), expected, "{value:?}");
        }
    }
}
