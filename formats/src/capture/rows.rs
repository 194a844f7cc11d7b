//! Rows of numbers on their way into columns.
//!
//! In: one row for each thing that is told. Out: a column for each place in the row. Never here: what the numbers mean.
//!
//! Only a few rows are kept as they are: then each column takes its part of them, which is a few bytes for each number
//! instead of eight, and less to go through again.

use super::number::Split;

/// Rows that are kept as they are: few enough for the nearest cache, enough to judge by.
pub(super) const KEPT: usize = 512;

/// Columns of numbers that get their rows together.
pub(super) struct Rows<const N: usize> {
    kept: Vec<[u64; N]>,
    columns: [Split; N],
    /// The numbers of one column.
    values: Vec<u64>,
    split: usize,
}

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Self {
            kept: Vec::with_capacity(KEPT),
            columns: std::array::from_fn(|_| Split::default()),
            values: Vec::with_capacity(KEPT),
            split: 0,
        }
    }
}

impl<const N: usize> Rows<N> {
    pub(super) fn push(&mut self, row: [u64; N]) {
        if self.keep(row) {
            self.split();
        }
    }

    /// Keeps a row as it is. True when there should be no more of these.
    pub(super) fn keep(&mut self, row: [u64; N]) -> bool {
        self.kept.push(row);
        self.kept.len() >= KEPT
    }

    /// The rows that are kept as they are.
    pub(super) fn kept(&mut self) -> &mut [[u64; N]] {
        &mut self.kept
    }

    /// Gives each column its part of the rows that are kept.
    pub(super) fn split(&mut self) {
        for (place, column) in self.columns.iter_mut().enumerate() {
            self.values.clear();
            self.values.extend(self.kept.iter().map(|row| row[place]));
            column.add(&self.values);
        }
        self.split += self.kept.len();
        self.kept.clear();
    }

    /// All rows so far.
    pub(super) fn len(&self) -> usize {
        self.split + self.kept.len()
    }

    /// The columns, complete.
    pub(super) fn columns(&mut self) -> &mut [Split; N] {
        self.split();
        &mut self.columns
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.columns.iter_mut().for_each(Split::clear);
        self.split = 0;
    }
}
