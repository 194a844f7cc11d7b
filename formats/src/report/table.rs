//! A report as a table for people.
//!
//! In: a report. Out: aligned text with units, totals, how many rows are not shown, what is left out and what is missing. Columns
//! that say nothing (nothing known, all zero) are left out. Never here: the terminal (the caller knows its width and whether it
//! has colours).

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};
use humansize::{BINARY, format_size};
use netflow_core::column::{Cell, Column};
use netflow_core::delta::Diagnostics;
use netflow_core::report::{Report, Row};
use netflow_core::value::{Type, Value};

use super::ReportError;
use super::lines::{TextColumn, alarm, lines};

/// How the table is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableOptions {
    /// The most rows to show of each window, or of all when they are sorted across windows; `None`: all.
    pub top: Option<usize>,
    /// The width of the terminal in columns; `None`: as wide as it gets.
    pub width: Option<u16>,
    /// Retransmissions, failures and losses are red, by ANSI escape sequences.
    pub is_colored: bool,
}

/// The table as text that ends with a line end.
///
/// # Errors
/// When a time cannot be shown.
pub fn table(report: &Report, options: TableOptions) -> Result<String, ReportError> {
    let rows = report.first(options.top.unwrap_or(usize::MAX));
    let mut text = String::new();
    if report.all_rows() == 0 {
        text.push_str("No connections to report.\n");
    } else {
        let parts = layout(report, &DETAILS).into_iter();
        let mut columns = parts.map(|part| part.column(report, &rows)).collect::<Result<Vec<_>, ReportError>>()?;
        columns.retain(|column| report.chosen || !column.is_idle());
        // One row is its own total. Where nothing is told of whom a row is of, nothing stands beside the totals either.
        let has_totals = report.all_rows() > 1;
        if let Some(first) = columns.first_mut().filter(|first| has_totals && !first.right) {
            first.total = "total".to_owned();
        }
        let more = more_rows(report.all_rows(), report.all_rows() - rows.len());
        text.push_str(&lines(&columns, options.width, options.is_colored, &more, has_totals));
    }
    let left_out = left_out_line(report);
    if report.all_rows() > 0 && (report.diagnostics.unclosed > 0 || !left_out.is_empty() || note(report).is_some()) {
        text.push('\n');
    }
    if report.diagnostics.unclosed > 0 {
        let _ = writeln!(text, "Open at the end: {}", report.diagnostics.unclosed);
    }
    text.push_str(&left_out);
    if let Some(note) = note(report) {
        let _ = writeln!(text, "{}", if options.is_colored { alarm(&note) } else { note });
    }
    Ok(text)
}

fn more_rows(all: usize, hidden: usize) -> String {
    if hidden == 0 { String::new() } else { format!(" … {hidden} more of {all} rows\n") }
}

/// A word that takes less room than the field's name, where there is one.
pub(super) fn title(name: &str) -> &str {
    match name {
        "window_start" => "from",
        "process_name" => "process",
        "transport" => "proto",
        "bytes_read" => "read",
        "bytes_written" => "written",
        "retransmits" => "retrans",
        "tcp_established" => "opened",
        "tcp_closed" => "closed",
        "tcp_connect_failures" => "failed",
        "connections" => "conns",
        name => name,
    }
}

/// What one column of the table shows.
pub(super) enum Part<'a> {
    /// A column as it is.
    Field(&'a Column),
    /// An address and its port, which people read as one.
    End { title: &'static str, ip: usize, port: usize },
}

/// What a table leaves out so that it fits on a screen; every other format has it.
const DETAILS: [&str; 6] = ["window_end", "packets_read", "packets_written", "rtt_var", "rtt_min", "rtt_max"];

/// Where anything but 0 is bad news.
const ALARMS: [&str; 2] = ["retransmits", "tcp_connect_failures"];

/// The columns without those that are details; those that were chosen, as they are. An address and its port share a column.
pub(super) fn layout<'a>(report: &'a Report, details: &[&str]) -> Vec<Part<'a>> {
    let at = |name: &str| report.columns.iter().position(|column| column.name == name);
    let ends = [("src", at("src_ip"), at("src_port")), ("dst", at("dst_ip"), at("dst_port"))];
    let has_windows = report.has_windows();
    let hosts = report.headers.iter().map(|header| &header.host);
    let tags = report.columns.iter().filter(|column| matches!(column.cell, Cell::Tag(_))).count();
    let one_host = tags > 1 && hosts.clone().all(|host| Some(host) == hosts.clone().next());
    let mut parts = Vec::new();
    for (index, column) in report.columns.iter().enumerate() {
        if report.chosen {
            parts.push(Part::Field(column));
            continue;
        }
        let end = ends.iter().find_map(|(title, ip, port)| {
            Some((*title, (*ip)?, (*port)?)).filter(|end| end.1 == index || end.2 == index)
        });
        match (column.name.as_ref(), end) {
            (_, Some((title, ip, port))) if ip == index => parts.push(Part::End { title, ip, port }),
            (_, Some(_)) => {}
            ("window_start", _) if !has_windows => {}
            (name, _) if !report.order.has(name) && (details.contains(&name) || name == "host" && one_host) => {}
            _ => parts.push(Part::Field(column)),
        }
    }
    parts
}

impl Part<'_> {
    fn column(&self, report: &Report, rows: &[&Row]) -> Result<TextColumn, ReportError> {
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            let cell = |place: usize| report.columns.get(place).map_or(Value::Null, |column| row.cell(column.cell));
            texts.push(match self {
                Self::Field(column) => text(&row.cell(column.cell), column.unit)?,
                Self::End { ip, port, .. } => match cell(*ip) {
                    Value::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{}", text(&cell(*port), "")?),
                    ip => format!("{}:{}", text(&ip, "")?, text(&cell(*port), "")?),
                },
            });
        }
        let Self::Field(column) = self else {
            let Self::End { title, .. } = self else { return Ok(TextColumn::default()) };
            return Ok(TextColumn { title: (*title).to_owned(), texts, ..TextColumn::default() });
        };
        // A connection is in one row of each window in which it did something.
        let adds_up = column.name != "connections" || !report.has_windows();
        let total = match column.cell {
            Cell::Measure(get) if adds_up => text(&get(&report.totals()), column.unit)?,
            _ => String::new(),
        };
        Ok(TextColumn {
            title: title(&column.name).to_owned(),
            right: matches!(column.cell, Cell::Measure(_) | Cell::Distinct(_)),
            shrinks: column.ty == Type::Text,
            alarms: ALARMS.contains(&column.name.as_ref()),
            texts,
            total,
        })
    }
}

fn text(cell: &Value, unit: &str) -> Result<String, ReportError> {
    Ok(match (cell, unit) {
        (Value::Null, _) => String::new(),
        (Value::Folded, _) => "*".to_owned(),
        (Value::Number(0), _) => "0".to_owned(),
        (Value::Number(bytes), "bytes") => format_size(*bytes, BINARY),
        (Value::Number(micros), "µs") => duration(*micros),
        (Value::Number(number), _) => number.to_string(),
        (Value::Ip(ip), _) => ip.to_string(),
        (Value::Net(net), _) => net.to_string(),
        (Value::Word(word), _) => (*word).to_owned(),
        (Value::Text(text), _) => printable(text),
        (Value::Time(micros), _) => moment(*micros)?,
    })
}

/// The text without control characters: names come from outside, and none of them must reach the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// RFC 3339 in UTC, as short as it is exact.
fn moment(micros: i64) -> Result<String, ReportError> {
    let time = DateTime::from_timestamp_micros(micros).ok_or(ReportError::Time { micros })?;
    Ok(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// `87 µs`, `1.25 ms`, `3.40 s`.
#[allow(clippy::cast_precision_loss)] // For the eye: three digits are shown.
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// One line on what makes the numbers less than whole; `None` when nothing does.
#[must_use]
pub fn note(report: &Report) -> Option<String> {
    let diagnostics = &report.diagnostics;
    let mut parts = Vec::new();
    if !diagnostics.loss.is_zero() {
        parts.push(format!("the recorder lost: {}", diagnostics.loss));
    }
    parts.extend(
        oddities(diagnostics).iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count}")),
    );
    (!parts.is_empty()).then(|| format!("Note: {}", parts.join("; ")))
}

/// What was strange, with how often.
pub(super) fn oddities(diagnostics: &Diagnostics) -> [(&'static str, u64); 3] {
    [
        ("connections that vanished without a close", diagnostics.lost_closes),
        ("counters that went backwards", diagnostics.counter_resets),
        ("events of unknown connections", diagnostics.strangers),
    ]
}

/// How many connections are not in the table, and what would show them.
pub(super) fn left_out(report: &Report) -> [(u64, &'static str); 5] {
    let counts = report.left_out;
    [
        (counts.loopback, "over loopback (--keep-loopback)"),
        (counts.idle, "without activity (--keep-idle)"),
        (counts.unspecified, "with port 0 or an unspecified address (--keep-unspecified)"),
        (counts.same_ip, "of an address with itself"),
        (counts.filter, "that --filter does not ask for"),
    ]
}

/// One line on them.
fn left_out_line(report: &Report) -> String {
    let counts = left_out(report);
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { String::new() } else { format!("Left out: {}\n", parts.join(", ")) }
}
