//! Groups in shares: who cannot keep all of them at a time reads everything once for each share.
//!
//! In: the rows of a share, in their order. Out: each as plain numbers that can be put elsewhere, and as a row again; or the
//! first rows of all shares as one report. Never here: where the numbers are in the meantime.
//!
//! In which share a group is depends on its window and the codes of its tags. Codes are given in the order in which values come,
//! so with the same input and the same options a code means the same in every share.

use rustc_hash::FxHashMap;

use crate::grouped::{Numbers, Sorted};
use crate::report::{Report, Row, Window};
use crate::sums::Sums;

/// One of several shares of the groups; by default the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: u32,
    of: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Share {
    /// The shares when there are so many; one at least.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        let of = of.max(1);
        (0..of).map(move |index| Self { index, of })
    }

    /// There is no other.
    pub(crate) fn is_all(self) -> bool {
        self.of == 1
    }

    /// A group with this hash is in it.
    pub(crate) fn has(self, hash: u32) -> bool {
        hash % self.of == self.index
    }
}

/// What the numbers of rows mean.
#[derive(Debug)]
pub struct Legend {
    about: Report,
    numbers: Numbers,
}

impl Sorted {
    /// A row as numbers, as many for each: behind those in `out`. Nothing for a row that there is not.
    pub fn numbers(&self, place: usize, out: &mut Vec<u64>) {
        let Some(row) = self.order.get(place) else { return };
        let numbers = &self.numbers;
        out.push(numbers.rows.window(row).cast_unsigned());
        out.extend((0..numbers.rows.tags()).map(|tag| numbers.rows.number(row, tag)));
        out.extend(numbers.rows.sums(row).words());
        out.extend(numbers.distinct(row));
    }

    /// What the numbers mean; the rows go.
    #[must_use]
    pub fn into_legend(self) -> Legend {
        let Self { about, mut numbers, .. } = self;
        numbers.rows.clear();
        numbers.distinct = Vec::new();
        Legend { about, numbers }
    }
}

impl Legend {
    /// The report without its rows.
    #[must_use]
    pub fn about(&self) -> &Report {
        &self.about
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        1 + self.numbers.rows.tags() + Sums::WORDS + self.numbers.counted
    }

    /// The row of such numbers; `None` when they are too few.
    #[must_use]
    pub fn row(&self, numbers: &[u64]) -> Option<Row> {
        let rows = &self.numbers.rows;
        let (window, rest) = numbers.split_first()?;
        let (codes, rest) = rest.split_at_checked(rows.tags())?;
        let (sums, distinct) = rest.split_first_chunk()?;
        let key = codes.iter().enumerate().map(|(tag, code)| rows.meaning(tag, *code));
        Some(Row {
            window: self.numbers.window_from(window.cast_signed()),
            key: key.collect(),
            sums: Sums::from_words(sums),
            distinct: distinct.into(),
        })
    }
}

impl Report {
    /// Of reports that have the first rows of each share, one that has the first rows of all: `most(has_windows)` of each
    /// window, or of all where rows are sorted across windows. `None` when there is none.
    #[must_use]
    pub fn of_shares(shares: Vec<Self>, most: impl Fn(bool) -> usize) -> Option<Self> {
        let mut shares = shares.into_iter();
        let mut all = shares.next()?;
        for share in shares {
            all.rest.has_windows |= share.rest.has_windows;
            all.rest.rows += share.rest.rows;
            all.rest.sums.merge(&share.rest.sums);
            all.rows.extend(share.rows);
        }
        all.rest.has_windows = all.has_windows();
        all.sort(all.order.clone());
        let most = most(all.rest.has_windows);
        let is_across = all.order.is_across_windows();
        let mut taken: FxHashMap<Window, usize> = FxHashMap::default();
        let rest = &mut all.rest;
        all.rows.retain(|row| {
            let taken = taken.entry(if is_across { Window::default() } else { row.window }).or_default();
            *taken += 1;
            if *taken > most {
                rest.rows += 1;
                rest.sums.merge(&row.sums);
            }
            *taken <= most
        });
        Some(all)
    }
}
