//! Rows and columns, however they are kept.
//!
//! In: a [`Report`], or [`Sorted`](crate::grouped::Sorted) groups. Out: rows one by one, or columns part by part: what a
//! writer needs to write both in the same way. Never here: what a format makes of a value.

use std::borrow::Cow;
use std::ops::Range;

use crate::column::Column;
use crate::report::{Report, Row};
use crate::value::Value;

/// Some rows of one column.
#[derive(Debug)]
pub enum Part<'a> {
    /// Each as its place among the different values. These are the same for all parts of the column.
    Coded {
        /// The different values.
        values: &'a [Value],
        /// A place for each row.
        codes: Vec<u32>,
    },
    /// One for each row.
    Values(Vec<Value>),
}

impl Part<'_> {
    /// The values, row by row.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Value> + '_> {
        match self {
            Self::Coded { values, codes } => {
                Box::new(codes.iter().map(|code| values.get(*code as usize).unwrap_or(&Value::Null)))
            }
            Self::Values(values) => Box::new(values.iter()),
        }
    }
}

/// Rows in their order.
pub trait Tabular {
    /// The columns, in their order.
    fn columns(&self) -> &[Column];

    /// How many rows there are.
    fn height(&self) -> usize;

    /// The rows.
    fn rows(&self) -> Box<dyn Iterator<Item = Cow<'_, Row>> + '_>;

    /// The rows at these places, those behind the last left out: a part for each column.
    fn parts(&self, places: Range<usize>) -> Vec<Part<'_>>;
}

impl Tabular for Report {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn height(&self) -> usize {
        self.rows.len()
    }

    fn rows(&self) -> Box<dyn Iterator<Item = Cow<'_, Row>> + '_> {
        Box::new(self.rows.iter().map(Cow::Borrowed))
    }

    fn parts(&self, places: Range<usize>) -> Vec<Part<'_>> {
        let end = places.end.min(self.rows.len());
        let rows = self.rows.get(places.start.min(end)..end).unwrap_or_default();
        let part = |column: &Column| Part::Values(rows.iter().map(|row| row.cell(column.cell)).collect());
        self.columns.iter().map(part).collect()
    }
}
