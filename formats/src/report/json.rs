//! A report as JSON Lines: one object a row.
//!
//! In: rows. Out: objects whose keys are the columns, times RFC 3339 in UTC, unknown and folded values null. Never
//! here: an enclosing array, which no tool could read line by line.

use std::io::Write;

use netflow_core::tabular::Tabular;
use netflow_core::value::Value;

use super::ReportError;
use super::fields::{Fields, Second};
use super::rendering::{self, Syntax};

/// Writes the rows.
///
/// # Errors
/// When the output fails, or a time cannot be shown.
pub fn write_json<T: Tabular + ?Sized, W: Write + Send>(table: &T, out: W) -> Result<(), ReportError> {
    let keys = table.columns().iter().map(|column| key(&column.name)).collect::<Result<_, _>>()?;
    rendering::write(table, out, &Json { keys })
}

struct Json {
    /// What stands before the value of each column.
    keys: Box<[Vec<u8>]>,
}

fn key(name: &str) -> Result<Vec<u8>, ReportError> {
    let mut key = serde_json::to_vec(name)?;
    key.push(b':');
    Ok(key)
}

impl Syntax for Json {
    fn begin(&self, fields: &mut Fields) {
        fields.text("{");
    }

    fn announce(&self, fields: &mut Fields, column: usize) {
        fields.extend(self.keys.get(column).map_or(&[], Vec::as_slice));
    }

    fn value(&self, fields: &mut Fields, value: &Value, second: &mut Second) -> Result<(), ReportError> {
        match value {
            Value::Null | Value::Folded => fields.text("null,"),
            Value::Number(number) => fields.number(*number),
            Value::Ip(ip) => write!(fields, "\"{ip}\",")?,
            Value::Net(net) => write!(fields, "\"{net}\",")?,
            Value::Word(word) => push_text(fields, word)?,
            Value::Text(text) => push_text(fields, text)?,
            Value::Time(micros) => self.time(fields, *micros, second)?,
        }
        Ok(())
    }

    fn time(&self, fields: &mut Fields, micros: i64, second: &mut Second) -> Result<(), ReportError> {
        fields.text("\"");
        fields.time(micros, second)?;
        fields.end_with(b'"');
        fields.comma();
        Ok(())
    }

    fn end(&self, fields: &mut Fields) {
        if self.keys.is_empty() {
            fields.comma();
        }
        fields.end_with(b'}');
        fields.text("\n");
    }
}

fn push_text(fields: &mut Fields, text: &str) -> Result<(), ReportError> {
    serde_json::to_writer(&mut *fields, text)?;
    fields.comma();
    Ok(())
}
