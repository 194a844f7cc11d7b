//! A report as CSV (RFC 4180, with `\n` line ends and a header row).
//!
//! In: rows. Out: one line a row; a folded port is `*`, an unknown value an empty field, an empty text `""`, a time RFC 3339 in
//! UTC. Never here: types; a CSV has none, so a port column may hold a word.

use std::io::Write;

use netflow_core::tabular::{Part, Tabular};
use netflow_core::value::Value;

use super::ReportError;
use super::fields::{Fields, Kept, Second, Short};
use super::turns::{Maker, Turns, threads};

/// Rows that are written at once.
const ROWS: usize = 2048;

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
    let kept = table.parts(0..0).iter().map(|part| kept(part, table.height())).collect::<Result<Vec<_>, _>>()?;
    let turns = Turns::new(table.height().div_ceil(ROWS), out);
    match table.shared() {
        Some(table) => turns.run(threads(), || Lines::new(table, &kept)),
        None => turns.take_turns(Lines::new(table, &kept)),
    }
    turns.finish()?.flush()?;
    Ok(())
}

/// The fields of a column's different values by code, unless it has fewer rows than values.
fn kept(part: &Part<'_>, height: usize) -> Result<Kept, ReportError> {
    let (mut kept, mut fields, mut second) = (Kept::default(), Fields::default(), Second::default());
    if let Part::Coded { values, .. } = part
        && values.len() <= height
    {
        for value in *values {
            fields.clear();
            push(&mut fields, value, &mut second)?;
            if !kept.push(fields.bytes()) {
                break;
            }
        }
    }
    Ok(kept)
}

/// Makes lines.
struct Lines<'a, T: ?Sized> {
    table: &'a T,
    kept: &'a [Kept],
    /// Of those the fields of each column.
    found: Vec<Vec<Short>>,
    fields: Fields,
    second: Second,
}

impl<'a, T: Tabular + ?Sized> Lines<'a, T> {
    fn new(table: &'a T, kept: &'a [Kept]) -> Self {
        let found = kept.iter().map(|_| Vec::new()).collect();
        Self { table, kept, found, fields: Fields::default(), second: Second::default() }
    }
}

impl<T: Tabular + ?Sized, W: Write> Maker<W> for Lines<'_, T> {
    fn make(&mut self, part: usize) -> Result<(), ReportError> {
        let Self { table, kept, found, fields, second } = self;
        let start = part * ROWS;
        let rows = ROWS.min(table.height().saturating_sub(start));
        let parts = table.parts(start..start + rows);
        for ((part, kept), found) in parts.iter().zip(*kept).zip(&mut *found) {
            if let Part::Coded { codes, .. } = part {
                kept.find(codes, found);
            }
        }
        fields.clear();
        for row in 0..rows {
            for ((part, kept), found) in parts.iter().zip(*kept).zip(&*found) {
                match part {
                    Part::Coded { values, codes } => {
                        if !found.get(row).is_some_and(|field| fields.kept(kept, field)) {
                            let code = codes.get(row).map_or(usize::MAX, |code| *code as usize);
                            push(fields, values.get(code).unwrap_or(&Value::Null), second)?;
                        }
                    }
                    Part::Numbers(numbers) => match numbers.get(row) {
                        Some(number) => fields.number(number),
                        None => fields.comma(),
                    },
                    Part::Times(times) => match times.get(row) {
                        Some(micros) => fields.time(micros, second)?,
                        None => fields.comma(),
                    },
                    Part::Values(values) => push(fields, values.get(row).unwrap_or(&Value::Null), second)?,
                }
            }
            fields.end_line();
        }
        Ok(())
    }

    fn write(&mut self, out: &mut W) -> Result<(), ReportError> {
        Ok(out.write_all(self.fields.bytes())?)
    }
}

fn push(fields: &mut Fields, value: &Value, second: &mut Second) -> Result<(), ReportError> {
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
