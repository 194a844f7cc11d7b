//! Tables of values that repeat within a block: addresses and names, numbered in the order of first use.
//!
//! In: values. Out: for each, 0 when it is new (the table's next row), else its row plus one; and back. Never here:
//! anything that outlives a block.
//!
//! "New" costs a constant instead of a number because most values of a busy block are seen once.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::error::Malformed;

pub(super) struct Dictionary<T> {
    rows: Vec<T>,
    places: FxHashMap<T, u64>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: FxHashMap::default() }
    }
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The code of a value.
    pub(super) fn code(&mut self, value: &T) -> u64 {
        if let Some(code) = self.places.get(value) {
            return *code;
        }
        self.rows.push(value.clone());
        self.places.insert(value.clone(), self.rows.len() as u64);
        0
    }

    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.places.clear();
    }
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
