//! A report as a table for people.
//!
//! In: a report. Out: aligned text with units, totals, and how many rows are not shown. Columns that say nothing (nothing
//! known, all zero) are left out. Never here: colours, the width of the terminal (the caller knows it).

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use humansize::{BINARY, format_size};
use netflow_core::column::Column;
use netflow_core::report::{Report, Row};
use netflow_core::value::Value;

use super::{ReportError, rfc3339};

/// How the table is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableOptions {
    /// The most rows to show of each window, or of all when they are sorted across windows; `None`: all.
    pub top: Option<usize>,
    /// The width of the terminal in columns; `None`: as wide as it gets.
    pub width: Option<u16>,
}

/// One column: its title, its alignment, and its text for a row.
struct TableColumn {
    title: String,
    right: bool,
    texts: Vec<String>,
}

/// The table as text that ends with a line end.
///
/// # Errors
/// When a time cannot be shown.
pub fn table(report: &Report, options: TableOptions) -> Result<String, ReportError> {
    let rows = report.first(options.top.unwrap_or(usize::MAX));
    let columns: Vec<TableColumn> = layout(report)
        .into_iter()
        .map(|part| part.column(report, &rows))
        .collect::<Result<Vec<_>, ReportError>>()?
        .into_iter()
        .filter(|column| column.texts.iter().any(|text| !matches!(text.as_str(), "" | "0")))
        .collect();
    let mut text = String::new();
    if report.rows.is_empty() {
        text.push_str("No connections to report.\n");
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = options.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(columns.iter().map(|column| Cell::new(&column.title).set_alignment(alignment(column))));
        for row in 0..rows.len() {
            table.add_row(columns.iter().map(|column| Cell::new(&column.texts[row]).set_alignment(alignment(column))));
        }
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&totals(report, report.rows.len() - rows.len()));
    }
    text.push_str(&left_out(report));
    if let Some(note) = note(report) {
        let _ = writeln!(text, "{note}");
    }
    Ok(text)
}

fn alignment(column: &TableColumn) -> CellAlignment {
    if column.right { CellAlignment::Right } else { CellAlignment::Left }
}

/// A word that takes less room than the field's name, where there is one.
fn title(name: &str) -> &str {
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
enum Part<'a> {
    /// A column as it is.
    Field(usize, &'a Column),
    /// An address and its port, which people read as one.
    End { title: &'static str, ip: usize, port: usize },
}

/// What a table leaves out so that it fits on a screen; every other format has it.
const DETAILS: [&str; 6] = ["window_end", "packets_read", "packets_written", "rtt_var", "rtt_min", "rtt_max"];
/// An address and its port share a column.
fn layout(report: &Report) -> Vec<Part<'_>> {
    let at = |name: &str| report.columns.iter().position(|field| field.name == name);
    let ends = [("src", at("src_ip"), at("src_port")), ("dst", at("dst_ip"), at("dst_port"))];
    let windows = report.has_windows();
    let one_host =
        report.headers.iter().all(|header| Some(&header.host) == report.headers.first().map(|first| &first.host));
    let mut parts = Vec::new();
    for (index, field) in report.columns.iter().enumerate() {
        let end = ends.iter().find_map(|(title, ip, port)| {
            Some((*title, (*ip)?, (*port)?)).filter(|end| end.1 == index || end.2 == index)
        });
        match (field.name.as_ref(), end) {
            (_, Some((title, ip, port))) if ip == index => parts.push(Part::End { title, ip, port }),
            (_, Some(_)) => {}
            ("window_start", _) if !windows => {}
            (name, _) if !report.order.has(name) && (DETAILS.contains(&name) || name == "host" && one_host) => {}
            _ => parts.push(Part::Field(index, field)),
        }
    }
    parts
}

impl Part<'_> {
    fn column(&self, report: &Report, rows: &[&Row]) -> Result<TableColumn, ReportError> {
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            let cells: Vec<Value> = report.cells(row).collect();
            texts.push(match self {
                Self::Field(index, field) => text(&cells[*index], field.unit)?,
                Self::End { ip, port, .. } => match &cells[*ip] {
                    Value::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{}", text(&cells[*port], "")?),
                    ip => format!("{}:{}", text(ip, "")?, text(&cells[*port], "")?),
                },
            });
        }
        let (title, right) = match self {
            Self::Field(_, field) => (title(&field.name).to_owned(), !field.unit.is_empty() && field.unit != "UTC"),
            Self::End { title, .. } => ((*title).to_owned(), false),
        };
        Ok(TableColumn { title, right, texts })
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
        // Names come from outside: a control character must not reach the terminal.
        (Value::Text(text), _) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        (Value::Time(micros), _) => rfc3339(*micros)?,
    })
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

fn totals(report: &Report, hidden: usize) -> String {
    let sums = report.totals();
    let mut line = String::new();
    if hidden > 0 {
        let _ = writeln!(line, "… {hidden} more {}", if hidden == 1 { "row" } else { "rows" });
    }
    let rows = report.rows.len();
    let _ = writeln!(
        line,
        "\n{} {}, read {}, written {}",
        rows,
        if rows == 1 { "row" } else { "rows" },
        format_size(sums.bytes_read, BINARY),
        format_size(sums.bytes_written, BINARY),
    );
    line
}

/// One line on what makes the numbers less than whole; `None` when nothing does.
#[must_use]
pub fn note(report: &Report) -> Option<String> {
    let diagnostics = &report.diagnostics;
    let mut parts = Vec::new();
    if !diagnostics.loss.is_zero() {
        parts.push(format!("the recorder lost: {}", diagnostics.loss));
    }
    let counts = [
        ("connections that vanished without a close", diagnostics.lost_closes),
        ("counters that went backwards", diagnostics.counter_resets),
        ("events of unknown connections", diagnostics.strangers),
    ];
    parts.extend(counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count}")));
    (!parts.is_empty()).then(|| format!("Note: {}", parts.join("; ")))
}

/// One line on the connections that are not in the table, and what would show them.
fn left_out(report: &Report) -> String {
    let counts = report.left_out;
    let parts: Vec<String> = [
        (counts.loopback, "over loopback (--keep-loopback)"),
        (counts.idle, "without activity (--keep-idle)"),
        (counts.unspecified, "with port 0 or an unspecified address (--keep-unspecified)"),
        (counts.same_ip, "of an address with itself"),
        (counts.filter, "that --filter does not ask for"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() { String::new() } else { format!("Left out: {}\n", parts.join(", ")) }
}
