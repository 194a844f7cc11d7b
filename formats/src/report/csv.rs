//! A report as CSV (RFC 4180, with `\n` line ends and a header row).
//!
//! In: rows. Out: one line a row; a folded port is `*`, an unknown value an empty field, an empty text `""`, a time RFC 3339 in
//! UTC. Never here: types; a CSV has none, so a port column may hold a word.

use std::io::Write;

use netflow_core::tabular::Tabular;
use netflow_core::value::Value;

use super::ReportError;
use super::fields::{Fields, Second};
use super::rendering::{self, Syntax};

/// Writes the rows under a header row.
///
/// # Errors
/// When the output fails, or a time cannot be shown.
pub fn write_csv<T: Tabular + ?Sized, W: Write + Send>(table: &T, mut out: W) -> Result<(), ReportError> {
    let mut header = Fields::default();
    for column in table.columns() {
        push_text(&mut header, &column.name);
    }
    header.end_line();
    out.write_all(if table.columns().is_empty() { b"\n" } else { header.bytes() })?;
    write_csv_rows(table, out)
}

/// Writes the rows without the header row, as more of a report that has one.
///
/// # Errors
/// As [`write_csv`].
pub fn write_csv_rows<T: Tabular + ?Sized, W: Write + Send>(table: &T, out: W) -> Result<(), ReportError> {
    rendering::write(table, out, &Csv)
}

struct Csv;

impl Syntax for Csv {
    fn value(&self, fields: &mut Fields, value: &Value, second: &mut Second) -> Result<(), ReportError> {
        match value {
            Value::Null => fields.comma(),
            Value::Folded => fields.text("*,"),
            Value::Number(number) => fields.number(*number),
            Value::Ip(ip) => fields.ip(*ip)?,
            Value::Net(net) => write!(fields, "{net},")?,
            Value::Word(word) => push_text(fields, word),
            Value::Text(text) => push_text(fields, text),
            Value::Time(micros) => fields.time(*micros, second)?,
        }
        Ok(())
    }

    #[inline]
    fn time(&self, fields: &mut Fields, micros: i64, second: &mut Second) -> Result<(), ReportError> {
        fields.time(micros, second)
    }

    fn end(&self, fields: &mut Fields) {
        fields.end_line();
    }
}

/// An empty text is not an unknown one, so it is quoted, as is what would not be one field.
fn push_text(fields: &mut Fields, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        fields.text(text);
    } else {
        fields.text("\"");
        for (place, piece) in text.split('"').enumerate() {
            fields.text(if place > 0 { "\"\"" } else { "" });
            fields.text(piece);
        }
        fields.text("\"");
    }
    fields.comma();
}
