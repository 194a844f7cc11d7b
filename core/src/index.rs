//! Where things are that have a number each, by hash.
//!
//! In: hashes and numbers. Out: the numbers of a hash. Never here: the things, and how they are hashed.
//!
//! A table of hashes with the numbers beside them, in the order of the hashes as far as possible: so it grows in one pass,
//! and looks at no thing for that. It is for who asks for many at a time: nothing is waited for between two questions.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// Nothing is there.
const EMPTY: u64 = u64::MAX;

/// The numbers of things by hash.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A hash, and below it a number. As many as a power of two, or none.
    slots: Vec<u64>,
    count: usize,
}

impl Index {
    /// The number of the thing that has this hash and of which `is` says that it is the one.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.place(hash);
        loop {
            let slot = *self.slots.get(place)?;
            if slot == EMPTY {
                return None;
            }
            if slot >> 32 == u64::from(hash) && is(number(slot)) {
                return Some(number(slot));
            }
            place = self.behind(place);
        }
    }

    /// The number of a thing that has this hash.
    #[inline]
    pub(crate) fn first(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds a thing, which is not there.
    pub(crate) fn insert(&mut self, hash: u32, number: u32) {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.put(u64::from(hash) << 32 | u64::from(number));
        self.count += 1;
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    fn put(&mut self, new: u64) {
        let mut place = self.place((new >> 32) as u32);
        // A quarter of the slots is free.
        while let Some(slot) = self.slots.get_mut(place) {
            if *slot == EMPTY {
                *slot = new;
                return;
            }
            place = self.behind(place);
        }
    }

    #[inline]
    fn behind(&self, place: usize) -> usize {
        (place + 1) & self.slots.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let slots = vec![EMPTY; (self.slots.len() * 2).max(16)];
        let old = std::mem::replace(&mut self.slots, slots);
        old.into_iter().filter(|slot| *slot != EMPTY).for_each(|slot| self.put(slot));
    }

    /// Where a hash belongs.
    #[inline]
    fn place(&self, hash: u32) -> usize {
        usize::try_from((u64::from(hash) * self.slots.len() as u64) >> 32).unwrap_or(0)
    }
}

/// The order of hashes is that of places, so the upper bits are those that count.
pub(crate) fn mixed(hasher: &FxHasher) -> u32 {
    (hasher.finish().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn number(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found_by_its_hash() {
        // Few hashes, at both ends of the table, so that things stand far from where they belong.
        let hash = |number: u32| [u32::MAX, u32::MAX - 1, 0, 1, number.wrapping_mul(0x9e37_79b9)][number as usize % 5];
        let mut index = Index::default();
        assert_eq!((index.first(0), index.find(7, |_| true)), (None, None));
        for number in 0..3_000 {
            index.insert(hash(number), number);
        }
        for number in 0..3_000 {
            assert_eq!(index.find(hash(number), |found| found == number), Some(number));
            assert_eq!(index.find(hash(number), |found| hash(found) != hash(number)), None);
            assert_eq!(index.first(hash(number)).map(hash), Some(hash(number)));
        }
        assert_eq!(index.first(0x1234_5678), None);
    }
}
