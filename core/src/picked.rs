//! Rows that were picked, in their order.
//!
//! In: numbers of rows. Out: the same, which take no memory where they are all of the first so many. Never here: why they
//! were picked.

use std::ops::Range;

/// Rows by their numbers.
#[derive(Debug, Clone)]
pub(crate) enum Picked {
    /// All before this one, as they come.
    All(u32),
    /// These.
    These(Vec<u32>),
}

impl Picked {
    /// Those of the first so many that are wanted.
    pub(crate) fn new(count: u32, is_wanted: impl Fn(u32) -> bool) -> Self {
        match (0..count).find(|row| !is_wanted(*row)) {
            None => Self::All(count),
            Some(first) => Self::These((0..first).chain((first + 1..count).filter(|row| is_wanted(*row))).collect()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::All(count) => *count as usize,
            Self::These(rows) => rows.len(),
        }
    }

    /// They are all of the first so many.
    pub(crate) fn are_all(&self) -> bool {
        matches!(self, Self::All(_))
    }

    pub(crate) fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::All(count) => u32::try_from(place).ok().filter(|row| row < count),
            Self::These(rows) => rows.get(place).copied(),
        }
    }

    /// Those at these places, as far as there are any.
    pub(crate) fn at(&self, places: Range<usize>) -> Vec<u32> {
        let end = places.end.min(self.len());
        (places.start.min(end)..end).filter_map(|place| self.get(place)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        let (all, these): (u32, &[u32]) = match self {
            Self::All(count) => (*count, &[]),
            Self::These(rows) => (0, rows),
        };
        (0..all).chain(these.iter().copied())
    }

    /// The greatest.
    pub(crate) fn max(&self) -> u32 {
        match self {
            Self::All(count) => count.saturating_sub(1),
            Self::These(rows) => rows.iter().max().copied().unwrap_or(0),
        }
    }
}
