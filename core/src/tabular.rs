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
    /// [`Value::Number`] for each row, or [`Value::Null`].
    Numbers(Typed<u64>),
    /// [`Value::Time`] for each row, or [`Value::Null`].
    Times(Typed<i64>),
    /// One for each row.
    Values(Vec<Value>),
}

impl Part<'_> {
    /// There will be so many rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Coded { codes, .. } => codes.reserve_exact(rows.saturating_sub(codes.len())),
            Self::Numbers(numbers) => numbers.reserve(rows),
            Self::Times(times) => times.reserve(rows),
            Self::Values(values) => values.reserve_exact(rows.saturating_sub(values.len())),
        }
    }

    /// Takes the rows that follow, which are of the same column.
    pub(crate) fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Coded { codes, .. }, Self::Coded { codes: more, .. }) => codes.extend(more),
            (Self::Numbers(numbers), Self::Numbers(more)) => numbers.append(more),
            (Self::Times(times), Self::Times(more)) => times.append(more),
            (Self::Values(values), Self::Values(more)) => values.extend(more),
            // A column has one kind of parts.
            _ => {}
        }
    }

    /// The values, row by row.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Cow<'_, Value>> + '_> {
        match self {
            Self::Coded { values, codes } => {
                Box::new(codes.iter().map(|code| Cow::Borrowed(values.get(*code as usize).unwrap_or(&Value::Null))))
            }
            Self::Numbers(numbers) => {
                Box::new(numbers.iter().map(|number| Cow::Owned(number.map_or(Value::Null, Value::Number))))
            }
            Self::Times(times) => Box::new(times.iter().map(|time| Cow::Owned(time.map_or(Value::Null, Value::Time)))),
            Self::Values(values) => Box::new(values.iter().map(Cow::Borrowed)),
        }
    }
}

/// Something for each row where it is known.
#[derive(Debug, Default)]
pub struct Typed<T> {
    values: Vec<T>,
    /// For each row, or empty where all are known.
    is_known: Vec<bool>,
}

impl<T: Copy + Default> Typed<T> {
    /// One for each row.
    #[must_use]
    pub fn known(values: Vec<T>) -> Self {
        Self { values, is_known: Vec::new() }
    }

    /// One for each row of which it is known.
    pub fn new(values: impl Iterator<Item = Option<T>>) -> Self {
        let mut typed = Self::default();
        values.for_each(|value| typed.push(value));
        typed
    }

    /// That of one more row.
    pub fn push(&mut self, value: Option<T>) {
        if value.is_none() || !self.is_known.is_empty() {
            self.is_known.resize(self.values.len(), true);
            self.is_known.push(value.is_some());
        }
        self.values.push(value.unwrap_or_default());
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve_exact(rows.saturating_sub(self.values.len()));
        if !self.is_known.is_empty() {
            self.is_known.reserve_exact(rows.saturating_sub(self.is_known.len()));
        }
    }

    fn append(&mut self, more: Self) {
        if !self.is_known.is_empty() || !more.is_known.is_empty() {
            self.is_known.resize(self.values.len(), true);
            self.is_known.extend(&more.is_known);
            self.is_known.resize(self.values.len() + more.values.len(), true);
        }
        self.values.extend(more.values);
    }

    /// That of a row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<T> {
        let value = self.values.get(row).copied()?;
        self.is_known.get(row).copied().unwrap_or(true).then_some(value)
    }

    /// Row by row.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> + '_ {
        (0..self.values.len()).map(|row| self.get(row))
    }

    /// All, anything where it is not known; and of which rows it is known, nothing when that are all.
    #[must_use]
    pub fn split(self) -> (Vec<T>, Vec<bool>) {
        (self.values, self.is_known)
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

    /// The same for several threads at once, where parts can be had in any order.
    fn shared(&self) -> Option<&(dyn Tabular + Sync)> {
        None
    }
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
    fn shared(&self) -> Option<&(dyn Tabular + Sync)> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_known_stays_known_behind_what_is_not(
            pieces in prop::collection::vec(prop::collection::vec(prop::option::of(any::<u64>()), 0..4), 0..5)
        ) {
            let mut typed = Typed::default();
            pieces.iter().for_each(|piece| typed.append(Typed::new(piece.iter().copied())));
            prop_assert_eq!(typed.iter().collect::<Vec<_>>(), pieces.concat());
            prop_assert_eq!(typed.get(pieces.concat().len()), None);
            let (values, is_known) = typed.split();
            prop_assert_eq!(values, pieces.concat().iter().map(|value| value.unwrap_or(0)).collect::<Vec<_>>());
            let all_known = pieces.concat().iter().all(Option::is_some);
            let known = pieces.concat().iter().map(Option::is_some).filter(|_| !all_known).collect::<Vec<_>>();
            prop_assert_eq!(is_known, known);
        }
    }
}
