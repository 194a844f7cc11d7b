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
    kept: Box<[[u64; N]]>,
    used: usize,
    columns: [Split; N],
    /// Rows that the columns have.
    split: usize,
    /// The numbers of one column.
    values: Vec<u64>,
}

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Self {
            kept: vec![[0; N]; KEPT].into_boxed_slice(),
            used: 0,
            columns: std::array::from_fn(|_| Split::default()),
            split: 0,
            values: Vec::with_capacity(KEPT),
        }
    }
}

impl<const N: usize> Rows<N> {
    pub(super) fn push(&mut self, row: [u64; N]) {
        self.keep(row);
        if self.is_full() {
            self.split();
        }
    }

    /// Keeps a row as it is; one for which there is no place is left out.
    pub(super) fn keep(&mut self, row: [u64; N]) {
        if let Some(place) = self.kept.get_mut(self.used) {
            *place = row;
            self.used += 1;
        }
    }

    /// There is no place for another row before these are split.
    pub(super) fn is_full(&self) -> bool {
        self.used == KEPT
    }

    /// The rows that are kept as they are.
    pub(super) fn kept(&mut self) -> &mut [[u64; N]] {
        self.kept.get_mut(..self.used).unwrap_or_default()
    }

    /// Gives each column its part of the rows that are kept.
    pub(super) fn split(&mut self) {
        let kept = self.kept.get(..self.used).unwrap_or_default();
        for (place, column) in self.columns.iter_mut().enumerate() {
            self.values.clear();
            self.values.extend(kept.iter().map(|row| row[place]));
            column.add(&self.values);
        }
        self.split += kept.len();
        self.used = 0;
    }

    /// All rows so far.
    pub(super) fn len(&self) -> usize {
        self.split + self.used
    }

    /// The columns, complete.
    pub(super) fn columns(&mut self) -> &mut [Split; N] {
        self.split();
        &mut self.columns
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.columns.iter_mut().for_each(Split::clear);
        self.split = 0;
    }
}

impl Rows<1> {
    /// The only column, complete.
    pub(super) fn column(&mut self) -> &mut Split {
        let [column] = self.columns();
        column
    }
}
