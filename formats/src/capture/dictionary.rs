//! Tables of values that repeat within a block: addresses and names, numbered in the order of first use.
//!
//! In: values. Out: for each, 0 when it is new (the table's next row), else its row plus one; and back. Never here:
//! anything that outlives a block.
//!
//! "New" costs a constant instead of a number because most values of a busy block are seen once.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::error::Malformed;

const NONE: u32 = u32::MAX;

/// A table of small values, and where each is.
pub(super) struct Dictionary<T> {
    values: Vec<T>,
    /// Rows by the hashes of their values: twice as many at least, a power of two.
    places: Vec<u32>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { values: Vec::new(), places: Vec::new() }
    }
}

impl<T: Copy + Eq + Hash> Dictionary<T> {
    /// The row of a value, and whether it is new. Rows are numbered in the order of first use.
    pub(super) fn row(&mut self, value: T) -> (u32, bool) {
        if self.places.len() <= self.values.len() * 2 {
            self.grow();
        }
        let (place, found) = self.place(value);
        if let Some(row) = found {
            return (row, false);
        }
        let row = u32::try_from(self.values.len()).unwrap_or(NONE);
        self.places[place] = row;
        self.values.push(value);
        (row, true)
    }

    /// Where the value is, or belongs.
    fn place(&self, value: T) -> (usize, Option<u32>) {
        let last = self.places.len().wrapping_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
        let mut place = FxBuildHasher.hash_one(value) as usize & last;
        // Steps of 1, 2, 3, … come to each place of a power of two.
        for step in 1.. {
            match self.places.get(place) {
                None | Some(&NONE) => break,
                Some(row) if self.values.get(*row as usize) == Some(&value) => return (place, Some(*row)),
                Some(_) => place = (place + step) & last,
            }
        }
        (place, None)
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(64);
        self.places.clear();
        self.places.resize(size, NONE);
        for (row, value) in (0..).zip(&self.values) {
            let (place, _) = self.place(*value);
            self.places[place] = row;
        }
    }

    /// The values, by their rows.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn clear(&mut self) {
        // After one large block, small ones should not have to clear what it needed.
        self.places.truncate((self.values.len() * 4).next_power_of_two().max(64));
        self.places.fill(NONE);
        self.values.clear();
    }
}

/// Names that were asked for lately are found by where they are in memory.
const LATELY: usize = 64;

/// A table of names.
pub(super) struct Names {
    rows: FxHashMap<Arc<str>, u32>,
    lately: [Option<(Arc<str>, u32)>; LATELY],
    lengths: Vec<u64>,
    bytes: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            rows: FxHashMap::default(),
            lately: std::array::from_fn(|_| None),
            lengths: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

impl Names {
    /// The row of a name.
    pub(super) fn row(&mut self, name: &Arc<str>) -> u32 {
        let address = name.as_ptr().addr();
        let place = (address >> 4 ^ address >> 10) % LATELY;
        if let Some((known, row)) = &self.lately[place]
            && Arc::ptr_eq(known, name)
        {
            return *row;
        }
        let row = self.rows.get(&**name).copied().unwrap_or_else(|| {
            let row = u32::try_from(self.lengths.len()).unwrap_or(NONE);
            self.lengths.push(name.len() as u64);
            self.bytes.extend_from_slice(name.as_bytes());
            self.rows.insert(Arc::clone(name), row);
            row
        });
        self.lately[place] = Some((Arc::clone(name), row));
        row
    }

    /// How long they are, by their rows.
    pub(super) fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// One behind the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.lately.fill(None);
        self.lengths.clear();
        self.bytes.clear();
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
    is_wrong: bool,
}

impl Codes {
    pub(super) fn new(what: &'static str, rows: u32) -> Self {
        Self { what, rows, next: 0, is_wrong: false }
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

    /// As [`row`](Self::row) without a way out, for who reads many: what is wrong is [`is_sound`](Self::is_sound)'s to say.
    /// There are as many new ones as others in no order, which no processor guesses: so there is no choice between them.
    #[inline]
    pub(super) fn quick_row(&mut self, code: u64) -> u32 {
        let is_new = code == 0;
        let row = if is_new { self.next.into() } else { code - 1 };
        self.next = self.next.wrapping_add(u32::from(is_new));
        self.is_wrong |= row >= u64::from(self.next);
        #[expect(clippy::cast_possible_truncation, reason = "below the number of rows, or wrong")]
        let row = row as u32;
        row
    }

    /// The rows of many codes. On its own, so that all of it is in registers.
    #[inline(never)]
    pub(super) fn quick_rows(&mut self, codes: &[u64], rows: &mut [u32]) {
        for (row, code) in rows.iter_mut().zip(codes) {
            *row = self.quick_row(*code);
        }
    }

    /// Nothing was wrong.
    pub(super) fn is_sound(&self) -> bool {
        !self.is_wrong && self.next <= self.rows
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn rows_are_numbered_in_the_order_of_first_use() {
        let mut table = Dictionary::default();
        for many in [3_000, 3, 70_000] {
            let (mut known, mut state) = (HashMap::new(), 1_u64);
            for _ in 0..many {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = u128::from(state >> 50) << 64;
                let next = u32::try_from(known.len()).unwrap();
                let row = *known.entry(value).or_insert(next);
                assert_eq!(table.row(value), (row, row == next));
            }
            assert!(table.values().iter().zip(0..).all(|(value, row)| known[value] == row));
            assert_eq!(table.values().len(), known.len());
            table.clear();
        }
    }

    #[test]
    fn a_name_has_one_row_wherever_it_is_in_memory() {
        let mut names = Names::default();
        let all: Vec<Arc<str>> = (0..300).map(|number| Arc::from(format!("n{number}"))).collect();
        for round in 0..3 {
            for (name, row) in all.iter().zip(0..) {
                assert_eq!(names.row(name), row);
                assert_eq!(names.row(&Arc::from(&**name)), row, "{round}");
            }
        }
        assert_eq!(names.lengths().len(), 300);
        assert_eq!(names.bytes()[..4], *b"n0n1");
        names.clear();
        assert_eq!(names.row(&all[7]), 0);
        assert_eq!((names.lengths(), names.bytes()), (&[2][..], &b"n7"[..]));
    }
}
