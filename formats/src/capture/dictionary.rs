//! Tables of values that repeat within a block: addresses and names, numbered in the order of first use.
//!
//! In: values. Out: for each, 0 when it is new (the table's next row), else its row plus one; and back. Never here:
//! anything that outlives a block.
//!
//! "New" costs a constant instead of a number because most values of a busy block are seen once.

use std::borrow::Borrow;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::error::Malformed;

pub(super) struct Dictionary<T> {
    places: FxHashMap<T, u32>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { places: FxHashMap::default() }
    }
}

impl<T: Eq + Hash> Dictionary<T> {
    /// The row of a value, and whether it is new. Rows are numbered in the order of first use.
    pub(super) fn row(&mut self, value: T) -> (u32, bool) {
        let next = self.len();
        self.row_or(value, next)
    }

    /// The row of a value, which is `next` when the value is new.
    pub(super) fn row_or(&mut self, value: T, next: u32) -> (u32, bool) {
        let row = *self.places.entry(value).or_insert(next);
        (row, row == next)
    }

    /// The row of a value that was there before.
    pub(super) fn find<Q: Eq + Hash + ?Sized>(&self, value: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.places.get(value).copied()
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }
}

/// How a row is referred to.
pub(super) fn code((row, is_new): (u32, bool)) -> u64 {
    if is_new { 0 } else { u64::from(row) + 1 }
}

/// Turns codes back into rows of a table of known size.
pub(super) struct Codes {
    what: &'static str,
    rows: u32,
    next: u32,
}

impl Codes {
    pub(super) fn new(what: &'static str, rows: u32) -> Self {
        Self { what, rows, next: 0 }
    }

    pub(super) fn row(&mut self, code: u64) -> Result<u32, Malformed> {
        let row = match code.checked_sub(1) {
            None => {
                self.next = self.next.saturating_add(1);
                u64::from(self.next) - 1
            }
            Some(row) if row < u64::from(self.next) => row,
            Some(row) => return Err(Malformed::new(self.what, format!("a row below {}", self.next), row)),
        };
        match u32::try_from(row) {
            Ok(row) if row < self.rows => Ok(row),
            _ => Err(Malformed::new(self.what, format!("at most {} rows", self.rows), u64::from(self.next))),
        }
    }

    /// Every row of the table must have been used.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.next == self.rows {
            Ok(())
        } else {
            Err(Malformed::new(self.what, format!("{} rows", self.rows), self.next))
        }
    }
}
