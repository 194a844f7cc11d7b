//! Rows as lines of text, in one syntax or another.
//!
//! In: rows, a syntax. Out: a line for each row, made by several threads and written in turn. Never here: what a line looks like.

use std::io::Write;

use netflow_core::tabular::{Part, Tabular};
use netflow_core::value::Value;

use super::ReportError;
use super::fields::{Fields, Kept, Second, Short};
use super::turns::{Maker, Turns, threads};

/// Rows that are written at once.
const ROWS: usize = 2048;

/// What lines look like: fields, each with a comma behind it, whose last the end of the line stands in place of.
pub(super) trait Syntax: Sync {
    /// A line begins.
    fn begin(&self, _fields: &mut Fields) {}

    /// The field of a column follows.
    fn announce(&self, _fields: &mut Fields, _column: usize) {}

    /// Any value.
    fn value(&self, fields: &mut Fields, value: &Value, second: &mut Second) -> Result<(), ReportError>;

    /// A time, in µs since 1970.
    fn time(&self, fields: &mut Fields, micros: i64, second: &mut Second) -> Result<(), ReportError>;

    /// A line ends.
    fn end(&self, fields: &mut Fields);
}

/// Writes the rows.
pub(super) fn write<T: Tabular + ?Sized, W: Write + Send>(
    table: &T,
    out: W,
    syntax: &impl Syntax,
) -> Result<(), ReportError> {
    let kept = |part: &Part<'_>| kept(part, table.height(), syntax);
    let kept = table.parts(0..0).iter().map(kept).collect::<Result<Vec<_>, _>>()?;
    let turns = Turns::new(table.height().div_ceil(ROWS), out);
    match table.shared() {
        Some(table) => turns.run(threads(), || Lines::new(table, syntax, &kept)),
        None => turns.take_turns(Lines::new(table, syntax, &kept)),
    }
    turns.finish()?.flush()?;
    Ok(())
}

/// The fields of a column's different values by code, unless it has fewer rows than values.
fn kept(part: &Part<'_>, height: usize, syntax: &impl Syntax) -> Result<Kept, ReportError> {
    let (mut kept, mut fields, mut second) = (Kept::default(), Fields::default(), Second::default());
    if let Part::Coded { values, .. } = part
        && values.len() <= height
    {
        for value in *values {
            fields.clear();
            syntax.value(&mut fields, value, &mut second)?;
            if !kept.push(fields.bytes()) {
                break;
            }
        }
    }
    Ok(kept)
}

/// Makes lines.
struct Lines<'a, T: ?Sized, S> {
    table: &'a T,
    syntax: &'a S,
    kept: &'a [Kept],
    /// Of those the fields of each column.
    found: Vec<Vec<Short>>,
    fields: Fields,
    second: Second,
}

impl<'a, T: Tabular + ?Sized, S: Syntax> Lines<'a, T, S> {
    fn new(table: &'a T, syntax: &'a S, kept: &'a [Kept]) -> Self {
        let found = kept.iter().map(|_| Vec::new()).collect();
        Self { table, syntax, kept, found, fields: Fields::default(), second: Second::default() }
    }
}

impl<T: Tabular + ?Sized, S: Syntax, W: Write> Maker<W> for Lines<'_, T, S> {
    fn make(&mut self, part: usize) -> Result<(), ReportError> {
        let Self { table, syntax, kept, found, fields, second } = self;
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
            syntax.begin(fields);
            for (column, ((part, kept), found)) in parts.iter().zip(*kept).zip(&*found).enumerate() {
                syntax.announce(fields, column);
                match part {
                    Part::Coded { values, codes } => {
                        if !found.get(row).is_some_and(|field| fields.kept(kept, field)) {
                            let code = codes.get(row).map_or(usize::MAX, |code| *code as usize);
                            syntax.value(fields, values.get(code).unwrap_or(&Value::Null), second)?;
                        }
                    }
                    Part::Numbers(numbers) => match numbers.get(row) {
                        Some(number) => fields.number(number),
                        None => syntax.value(fields, &Value::Null, second)?,
                    },
                    Part::Times(times) => match times.get(row) {
                        Some(micros) => syntax.time(fields, micros, second)?,
                        None => syntax.value(fields, &Value::Null, second)?,
                    },
                    Part::Values(values) => syntax.value(fields, values.get(row).unwrap_or(&Value::Null), second)?,
                }
            }
            syntax.end(fields);
        }
        Ok(())
    }

    fn write(&mut self, out: &mut W) -> Result<(), ReportError> {
        Ok(out.write_all(self.fields.bytes())?)
    }
}
