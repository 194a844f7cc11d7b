//! A report as CSV (RFC 4180, with `\n` line ends and a header row).
//!
//! In: a report. Out: one line a row; a folded port is `*`, an unknown value an empty field, a time RFC 3339 in UTC.
//! Never here: types; a CSV has none, so a port column may hold a word.

use std::io::Write;

use netflow_core::report::Report;
use netflow_core::value::Value;
use polars_core::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use polars_io::SerWriter;
use polars_io::csv::write::CsvWriter;

use super::{ReportError, frame, rfc3339};

/// Writes the report.
///
/// # Errors
/// When the output fails, or a time cannot be shown.
pub fn write_csv<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    write(report, true, out)
}

/// Writes the rows without the header row, as more of a report that has one.
///
/// # Errors
/// As [`write_csv`].
pub fn write_csv_rows<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    write(report, false, out)
}

fn write<W: Write>(report: &Report, header: bool, out: W) -> Result<(), ReportError> {
    let mut columns = Vec::new();
    for (field, cells) in frame::columns(report) {
        let texts = cells.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        columns.push(Series::new(field.name.as_ref().into(), texts).into_column());
    }
    let mut frame = DataFrame::new(report.rows.len(), columns)?;
    CsvWriter::new(out).include_header(header).n_threads(1).finish(&mut frame)?;
    Ok(())
}

fn text(cell: &Value) -> Result<Option<String>, ReportError> {
    Ok(match cell {
        Value::Null => None,
        Value::Folded => Some("*".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Ip(ip) => Some(ip.to_string()),
        Value::Net(net) => Some(net.to_string()),
        Value::Word(word) => Some((*word).to_owned()),
        Value::Text(text) => Some(text.to_string()),
        Value::Time(micros) => Some(rfc3339(*micros)?),
    })
}
