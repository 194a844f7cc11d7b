//! A report as JSON Lines: one object a row.
//!
//! In: rows. Out: objects whose keys are the columns, times RFC 3339 in UTC, unknown and folded values null. Never
//! here: an enclosing array, which no tool could read line by line.

use std::io::Write;

use netflow_core::tabular::Tabular;
use netflow_core::value::Value;
use serde_json::{Map, Value as Json};

use super::{ReportError, rfc3339};

/// Writes the rows.
///
/// # Errors
/// When the output fails, or a time cannot be shown.
pub fn write_json<T: Tabular + ?Sized, W: Write>(table: &T, mut out: W) -> Result<(), ReportError> {
    for row in table.rows() {
        let mut object = Map::new();
        for column in table.columns() {
            object.insert(column.name.to_string(), json(&row.cell(column.cell))?);
        }
        serde_json::to_writer(&mut out, &object)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn json(cell: &Value) -> Result<Json, ReportError> {
    Ok(match cell {
        Value::Null | Value::Folded => Json::Null,
        Value::Number(number) => Json::from(*number),
        Value::Ip(ip) => Json::from(ip.to_string()),
        Value::Net(net) => Json::from(net.to_string()),
        Value::Word(word) => Json::from(*word),
        Value::Text(text) => Json::from(text.as_ref()),
        Value::Time(micros) => Json::from(rfc3339(*micros)?),
    })
}
