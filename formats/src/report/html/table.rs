//! Tables of a page as data: columns with what they hold, and cells as they are.
//!
//! In: rows of reports. Out: what the page's script makes tables of. Never here: how numbers are written.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use netflow_core::report::{Report, Row};
use netflow_core::sums::Sums;
use netflow_core::value::{Type, Value};
use serde::{Serialize, Serializer};

use super::MOST_ROWS;
use crate::report::table::{Part, layout, printable, title};

/// What not even a page has room for.
const DETAILS: [&str; 2] = ["window_end", "rtt_var"];

/// The greatest number up to which JavaScript has all whole numbers.
const MOST_EXACT: u64 = (1 << 53) - 1;

/// A number of any size: as text where JavaScript's numbers have gaps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact(pub(super) u64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= MOST_EXACT { serializer.serialize_u64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

/// One cell.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Number(Exact),
    /// A moment in µs.
    Time(i64),
    Text(String),
    Unknown(()),
}

impl Cell {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Unknown(()),
            Value::Folded => Self::Text("*".to_owned()),
            Value::Number(number) => Self::Number(Exact(*number)),
            Value::Ip(ip) => Self::Text(ip.to_string()),
            Value::Net(net) => Self::Text(net.to_string()),
            Value::Word(word) => Self::Text((*word).to_owned()),
            Value::Text(text) => Self::Text(printable(text)),
            Value::Time(micros) => Self::Time(*micros),
        }
    }

    fn number(number: Option<u64>) -> Self {
        number.map_or(Self::Unknown(()), |number| Self::Number(Exact(number)))
    }

    /// It tells something: a column of others can be left out.
    fn tells(&self) -> bool {
        match self {
            Self::Unknown(()) | Self::Number(Exact(0)) => false,
            Self::Number(_) | Self::Time(_) => true,
            Self::Text(text) => !text.is_empty(),
        }
    }
}

/// What a column holds, which decides how it is shown and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Text,
    /// A number that only names something.
    Id,
    Bytes,
    /// A duration in µs.
    Duration,
    Count,
    Time,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Column {
    title: String,
    help: String,
    kind: Kind,
}

impl Column {
    fn new(title: &str, help: &str, kind: Kind) -> Self {
        Self { title: title.to_owned(), help: help.to_owned(), kind }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// So many rows are not in it.
    more: usize,
}

impl Table {
    /// Leaves out the columns that tell nothing.
    fn new(columns: Vec<Column>, rows: Vec<Vec<Cell>>, more: usize) -> Self {
        let tells: Vec<bool> =
            (0..columns.len()).map(|index| rows.iter().any(|row| row.get(index).is_some_and(Cell::tells))).collect();
        let keep = |index: usize| tells.get(index).copied().unwrap_or(false);
        let columns = columns.into_iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, column)| column);
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, cell)| cell).collect());
        Self { columns: columns.collect(), rows: rows.collect(), more }
    }

    /// The first rows of a report: `top` of each window, as elsewhere, or else as many as a page holds.
    pub(super) fn of_report(report: &Report, top: Option<usize>) -> Self {
        let first = || report.rows.iter().take(MOST_ROWS).collect();
        let shown: Vec<&Row> = top.map_or_else(first, |top| report.first(top));
        let parts = layout(report, &DETAILS);
        let columns = parts.iter().map(|part| match part {
            Part::Field(field) => {
                let kind = match (field.unit, field.ty) {
                    ("UTC", _) => Kind::Time,
                    ("bytes", _) => Kind::Bytes,
                    ("µs", _) => Kind::Duration,
                    ("", Type::U16 | Type::U32 | Type::U64) => Kind::Id,
                    ("", _) => Kind::Text,
                    (_, _) => Kind::Count,
                };
                Column::new(title(&field.name), &field.help, kind)
            }
            Part::End { title, .. } => Column::new(
                title,
                if *title == "src" { "The local end: address and port." } else { "The remote end: address and port." },
                Kind::Text,
            ),
        });
        let rows = shown.iter().map(|row| {
            let cells: Vec<Value> = report.cells(row).collect();
            parts
                .iter()
                .map(|part| match part {
                    Part::Field(field) => Cell::of(&row.cell(field.cell)),
                    Part::End { ip, port, .. } => Cell::Text(end(&cells[*ip], &cells[*port])),
                })
                .collect()
        });
        Self::new(columns.collect(), rows.collect(), report.all_rows() - shown.len())
    }
}

/// An address with its port.
fn end(ip: &Value, port: &Value) -> String {
    let port = match port {
        Value::Folded => "*".to_owned(),
        Value::Number(port) => port.to_string(),
        _ => "?".to_owned(),
    };
    match ip {
        Value::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Value::Ip(ip) => format!("{ip}:{port}"),
        _ => format!("?:{port}"),
    }
}

/// The most groups of a list.
const MOST_GROUPS: usize = 100;

/// What the lists of a page have of each group.
type Measure = (&'static str, &'static str, Kind, fn(&Sums) -> Option<u64>);
const MEASURES: [Measure; 9] = [
    ("received", "Payload received by this side.", Kind::Bytes, |sums| Some(sums.bytes_read)),
    ("sent", "Payload sent by this side.", Kind::Bytes, |sums| Some(sums.bytes_written)),
    ("conns", "Connections, each counted once.", Kind::Count, |sums| Some(sums.connections)),
    ("opened", "TCP connections established.", Kind::Count, |sums| sums.tcp.map(|tcp| tcp.established)),
    ("failed", "TCP connects that failed.", Kind::Count, |sums| sums.tcp.map(|tcp| tcp.connect_failures)),
    ("retrans", "TCP segments sent again.", Kind::Count, |sums| sums.tcp.map(|tcp| tcp.retransmits)),
    ("rtt", "Mean of the measured round-trip times.", Kind::Duration, |sums| sums.tcp.and_then(|tcp| tcp.rtt.mean())),
    ("rtt min", "Smallest measured round-trip time.", Kind::Duration, |sums| {
        sums.tcp.and_then(|tcp| tcp.rtt.min()).map(u64::from)
    }),
    ("rtt max", "Greatest measured round-trip time.", Kind::Duration, |sums| {
        sums.tcp.and_then(|tcp| tcp.rtt.max()).map(u64::from)
    }),
];

/// Groups of rows, those with the most of something first.
pub(super) struct Ranking {
    columns: Vec<Column>,
    groups: Vec<(Vec<Value>, Sums)>,
}

impl Ranking {
    /// Puts together the rows that have the same values. Over a single window this counts each connection once, for it is
    /// in one row only.
    pub(super) fn new<'a>(
        columns: &[(&str, &str, Kind)],
        rows: impl IntoIterator<Item = &'a Row>,
        key: impl Fn(&Row) -> Vec<Value>,
    ) -> Self {
        let mut groups: BTreeMap<Vec<Value>, Sums> = BTreeMap::new();
        for row in rows {
            groups.entry(key(row)).or_default().merge(&row.sums);
        }
        let columns = columns.iter().map(|(title, help, kind)| Column::new(title, help, *kind)).collect();
        Self { columns, groups: groups.into_iter().collect() }
    }

    /// How many groups there are whose first value is known.
    pub(super) fn known(&self) -> usize {
        self.groups.iter().filter(|(key, _)| key.first().is_some_and(|value| *value != Value::Null)).count()
    }

    /// The groups with the most of something first, ties in their own order, with these measures.
    pub(super) fn top(mut self, measures: &[&str], by: impl Fn(&Sums) -> u64) -> Table {
        self.groups.sort_by_key(|(_, sums)| Reverse(by(sums)));
        let shown = MOST_GROUPS.min(self.groups.len());
        let measures: Vec<&Measure> =
            measures.iter().filter_map(|name| MEASURES.iter().find(|measure| measure.0 == *name)).collect();
        let titles = measures.iter().map(|(title, help, kind, _)| Column::new(title, help, *kind));
        let columns = self.columns.into_iter().chain(titles).collect();
        let rows = self.groups[..shown].iter().map(|(key, sums)| {
            let measures = measures.iter().map(|(_, _, _, get)| Cell::number(get(sums)));
            key.iter().map(Cell::of).chain(measures).collect()
        });
        Table::new(columns, rows.collect(), self.groups.len() - shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_those_of_javascript_are_text() {
        let text = |number| serde_json::to_string(&Cell::of(&Value::Number(number))).unwrap();
        assert_eq!(text(9_007_199_254_740_991), "9007199254740991");
        assert_eq!(text(9_007_199_254_740_992), "\"9007199254740992\"");
        assert_eq!(text(u64::MAX), "\"18446744073709551615\"");
        assert_eq!(serde_json::to_string(&Cell::of(&Value::Null)).unwrap(), "null");
    }

    #[test]
    fn columns_that_tell_nothing_are_left_out() {
        let column = |title| Column::new(title, "", Kind::Count);
        let rows = vec![
            vec![Cell::Number(Exact(0)), Cell::Number(Exact(1)), Cell::Unknown(())],
            vec![Cell::Number(Exact(0)), Cell::Unknown(()), Cell::Text(String::new())],
        ];
        let table = Table::new(vec![column("a"), column("b"), column("c")], rows, 0);
        let titles: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
        assert_eq!(titles, ["b"]);
        assert_eq!(serde_json::to_string(&table.rows).unwrap(), "[[1],[null]]");
    }
}
