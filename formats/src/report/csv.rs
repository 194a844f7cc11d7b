//! A report as CSV (RFC 4180, with `\n` line ends and a header row).
//!
//! In: rows. Out: one line a row; a folded port is `*`, an unknown value an empty field, an empty text `""`, a time RFC 3339 in
//! UTC. Never here: types; a CSV has none, so a port column may hold a word.

use std::io::Write;

use netflow_core::tabular::{Part, Tabular};
use netflow_core::value::Value;

use super::{ReportError, rfc3339};

/// Rows that are written at once.
const ROWS: usize = 4096;

/// Writes the rows under a header row.
///
/// # Errors
/// When the output fails, or a time cannot be shown.
pub fn write_csv<T: Tabular + ?Sized, W: Write>(table: &T, mut out: W) -> Result<(), ReportError> {
    let mut header = Vec::new();
    for (place, column) in table.columns().iter().enumerate() {
        if place > 0 {
            header.push(b',');
        }
        push_text(&mut header, &column.name);
    }
    header.push(b'\n');
    out.write_all(&header)?;
    write_csv_rows(table, out)
}

/// Writes the rows without the header row, as more of a report that has one.
///
/// # Errors
/// As [`write_csv`].
pub fn write_csv_rows<T: Tabular + ?Sized, W: Write>(table: &T, mut out: W) -> Result<(), ReportError> {
    let mut fields: Vec<Fields> = table.columns().iter().map(|_| Fields::default()).collect();
    let mut lines = Vec::new();
    for start in (0..table.height()).step_by(ROWS) {
        let rows = ROWS.min(table.height() - start);
        let parts = table.parts(start..start + rows);
        for (part, fields) in parts.iter().zip(&mut fields) {
            fields.learn(part, table.height())?;
        }
        lines.clear();
        for row in 0..rows {
            for (part, fields) in parts.iter().zip(&mut fields) {
                fields.push(&mut lines, part, row)?;
                lines.push(b',');
            }
            lines.pop();
            lines.push(b'\n');
        }
        out.write_all(&lines)?;
    }
    out.flush()?;
    Ok(())
}

/// The fields of a column that are there already.
#[derive(Default)]
struct Fields {
    /// By code, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// The second of the last time, in µs, and its field up to there: the next time is mostly in the same.
    second: Option<(i64, String)>,
}

/// Fields of so many bytes are copied as if they had as many: a copy of a known length is no call.
const SHORT: usize = 16;

impl Fields {
    /// Makes the fields of a column's different values, once, unless it has fewer rows than values.
    fn learn(&mut self, part: &Part<'_>, height: usize) -> Result<(), ReportError> {
        let Part::Coded { values, .. } = part else { return Ok(()) };
        if self.ends.is_empty() && values.len() <= height {
            self.ends.reserve_exact(values.len());
            for value in *values {
                push(&mut self.bytes, value)?;
                self.ends.push(self.bytes.len());
            }
            self.bytes.extend_from_slice(&[0; SHORT]);
        }
        Ok(())
    }

    fn push(&mut self, line: &mut Vec<u8>, part: &Part<'_>, row: usize) -> Result<(), ReportError> {
        let value = match part {
            Part::Coded { values, codes } => {
                let code = codes.get(row).map_or(usize::MAX, |code| *code as usize);
                if let Some(end) = self.ends.get(code) {
                    let start = code.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
                    match self.bytes.get(start..).and_then(<[u8]>::first_chunk::<SHORT>) {
                        Some(chunk) if end - start <= SHORT => {
                            let length = line.len() + end - start;
                            line.extend_from_slice(chunk);
                            line.truncate(length);
                        }
                        _ => line.extend_from_slice(self.bytes.get(start..*end).unwrap_or_default()),
                    }
                    return Ok(());
                }
                values.get(code)
            }
            Part::Values(values) => values.get(row),
        };
        match value {
            Some(Value::Time(micros)) => self.push_time(line, *micros),
            Some(value) => push(line, value),
            None => Ok(()),
        }
    }

    fn push_time(&mut self, line: &mut Vec<u8>, micros: i64) -> Result<(), ReportError> {
        let mut within = micros.rem_euclid(1_000_000);
        let second = micros.saturating_sub(within);
        if self.second.as_ref().is_none_or(|(known, _)| *known != second) {
            let whole = rfc3339(micros)?;
            let (text, _) = whole.split_once('.').unwrap_or((&whole, ""));
            self.second = Some((second, text.to_owned()));
        }
        line.extend_from_slice(self.second.as_ref().map_or("", |(_, text)| text).as_bytes());
        let mut fraction = *b".000000Z";
        for digit in fraction[1..7].iter_mut().rev() {
            *digit += u8::try_from(within % 10).unwrap_or(0);
            within /= 10;
        }
        line.extend_from_slice(&fraction);
        Ok(())
    }
}

fn push(line: &mut Vec<u8>, value: &Value) -> Result<(), ReportError> {
    match value {
        Value::Null => {}
        Value::Folded => line.push(b'*'),
        Value::Number(number) => line.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Ip(ip) => write!(line, "{ip}")?,
        Value::Net(net) => write!(line, "{net}")?,
        Value::Word(word) => push_text(line, word),
        Value::Text(text) => push_text(line, text),
        Value::Time(micros) => line.extend_from_slice(rfc3339(*micros)?.as_bytes()),
    }
    Ok(())
}

/// An empty text is not an unknown one, so it is quoted, as is what would not be one field.
fn push_text(line: &mut Vec<u8>, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in text.bytes() {
        line.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    }
    line.push(b'"');
}
