//! The groups of a report as rows of numbers.
//!
//! In: the values of a connection's tags, and what it did. Out: the row of its group, with the sums so far. Never here: which
//! connections belong to a group, how rows are sorted.
//!
//! Each value of a tag is kept once and stands in the rows as a code of 32 bits, and a row has room only for the sums that
//! somebody asked for. So millions of groups take little more than their numbers.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::measure::{Layout, Measures};
use crate::sums::Sums;
use crate::value::Value;

/// Rows in a piece of memory, which then moves no more.
const PIECE: usize = 1 << 16;

/// The different values of a tag.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    values: Vec<Value>,
    places: HashTable<u32>,
}

impl Dictionary {
    /// The code of a value.
    pub(crate) fn code(&mut self, value: Value) -> u32 {
        let values = &mut self.values;
        let found = self.places.entry(
            hash_of(&value),
            |place| values.get(*place as usize) == Some(&value),
            |place| values.get(*place as usize).map_or(0, hash_of),
        );
        match found {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let code = u32::try_from(values.len()).unwrap_or(u32::MAX);
                entry.insert(code);
                values.push(value);
                code
            }
        }
    }

    /// The value of each code.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

fn hash_of(value: &Value) -> u64 {
    let mut hasher = FxHasher::default();
    std::hash::Hash::hash(value, &mut hasher);
    hasher.finish()
}

/// The groups.
#[derive(Debug)]
pub(crate) struct Rows {
    dictionaries: Vec<Dictionary>,
    has_windows: bool,
    layout: Layout,
    /// Words of a row that say of which group it is: the window's start, where there are windows, then two codes each.
    key: usize,
    /// Words of a row.
    width: usize,
    pieces: Vec<Vec<u64>>,
    count: u32,
    places: HashTable<u32>,
    /// The words of a row before it is known to be new.
    wanted: Vec<u64>,
}

impl Rows {
    /// No groups yet, of connections with so many tags.
    pub(crate) fn new(tags: usize, has_windows: bool, measures: Measures) -> Self {
        let key = usize::from(has_windows) + tags.div_ceil(2);
        let layout = Layout::new(measures);
        Self {
            dictionaries: (0..tags).map(|_| Dictionary::default()).collect(),
            has_windows,
            key,
            width: key + layout.words(),
            layout,
            pieces: Vec::new(),
            count: 0,
            places: HashTable::new(),
            wanted: vec![0; key],
        }
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many tags there are.
    pub(crate) fn tags(&self) -> usize {
        self.dictionaries.len()
    }

    /// No more groups follow: what finds them is given back.
    pub(crate) fn seal(&mut self) {
        self.places = HashTable::new();
        self.dictionaries.iter_mut().for_each(|dictionary| dictionary.places = HashTable::new());
        self.pieces.last_mut().into_iter().for_each(Vec::shrink_to_fit);
    }

    /// The different values of the tag at a place.
    pub(crate) fn dictionary(&mut self, tag: usize) -> &mut Dictionary {
        &mut self.dictionaries[tag]
    }

    /// The row of the group of these codes, one for each tag, in the window that begins at `window`.
    pub(crate) fn row(&mut self, window: i64, codes: &[u32]) -> u32 {
        let mut words = self.wanted.iter_mut();
        if self.has_windows
            && let Some(word) = words.next()
        {
            *word = window.cast_unsigned();
        }
        for (word, pair) in words.zip(codes.chunks(2)) {
            *word = pair.iter().rev().fold(0, |word, code| word << 32 | u64::from(*code));
        }
        let Self { pieces, wanted, places, width, key, .. } = self;
        let found = places.entry(
            hash_words(wanted),
            |place| key_of(pieces, *place, *width, *key) == wanted.as_slice(),
            |place| hash_words(key_of(pieces, *place, *width, *key)),
        );
        match found {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let row = self.count;
                entry.insert(row);
                self.count += 1;
                let piece = row as usize / PIECE;
                if self.pieces.len() <= piece {
                    self.pieces.push(Vec::new());
                }
                let piece = &mut self.pieces[piece];
                piece.extend_from_slice(&self.wanted);
                piece.resize(piece.len() + self.width - self.key, 0);
                row
            }
        }
    }

    /// What happened in a row's group happened, too.
    pub(crate) fn add(&mut self, row: u32, sums: &Sums) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width + self.key);
        let words = self.layout.words();
        if let Some(words) = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + words)) {
            self.layout.add(words, sums);
        }
    }

    /// The words of a row.
    fn words(&self, row: u32) -> &[u64] {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        self.pieces.get(piece).and_then(|piece| piece.get(start..start + self.width)).unwrap_or_default()
    }

    /// When the window of a row begins, in µs; 0 without windows.
    pub(crate) fn window(&self, row: u32) -> i64 {
        if self.has_windows { self.words(row).first().copied().unwrap_or(0).cast_signed() } else { 0 }
    }

    /// The code of a row's value of the tag at a place.
    pub(crate) fn code(&self, row: u32, tag: usize) -> u32 {
        let word = self.words(row).get(usize::from(self.has_windows) + tag / 2).copied().unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "one of the two halves")]
        let code = (word >> (tag % 2 * 32)) as u32;
        code
    }

    /// The different values of the tag at a place, by code.
    pub(crate) fn values(&self, tag: usize) -> &[Value] {
        self.dictionaries.get(tag).map_or(&[][..], Dictionary::values)
    }

    /// A row's value of the tag at a place.
    pub(crate) fn value(&self, row: u32, tag: usize) -> &Value {
        self.values(tag).get(self.code(row, tag) as usize).unwrap_or(&Value::Null)
    }

    /// The sums of a row. What nobody asked for is 0.
    pub(crate) fn sums(&self, row: u32) -> Sums {
        self.layout.sums(self.words(row).get(self.key..).unwrap_or_default())
    }

    /// Nobody is in a row: it was found for somebody who then went elsewhere.
    pub(crate) fn is_empty(&self, row: u32) -> bool {
        self.layout.is_empty(self.words(row).get(self.key..).unwrap_or_default())
    }
}

fn key_of(pieces: &[Vec<u64>], row: u32, width: usize, key: usize) -> &[u64] {
    let (piece, start) = (row as usize / PIECE, row as usize % PIECE * width);
    pieces.get(piece).and_then(|piece| piece.get(start..start + key)).unwrap_or_default()
}

fn hash_words(words: &[u64]) -> u64 {
    let mut hasher = FxHasher::default();
    words.iter().for_each(|word| hasher.write_u64(*word));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_row_and_its_own_sums() {
        let mut rows = Rows::new(3, true, Measures::ALL);
        let of = |connections| Sums { connections, bytes_read: 10 * connections, ..Sums::default() };
        let mut made = Vec::new();
        for number in 0..200_000_u64 {
            let values = [Value::Number(number % 7), Value::Null, Value::Number(number / 7)];
            let codes: Vec<u32> =
                values.into_iter().enumerate().map(|(tag, value)| rows.dictionary(tag).code(value)).collect();
            let row = rows.row(-5, &codes);
            rows.add(row, &of(number));
            rows.add(row, &of(1));
            made.push((row, codes));
        }
        assert_eq!(rows.count(), 200_000);
        for (number, (row, codes)) in (0..).zip(made) {
            assert_eq!(rows.row(-5, &codes), row);
            assert_eq!(rows.window(row), -5);
            let key = [0, 1, 2].map(|tag| rows.value(row, tag).clone());
            assert_eq!(key, [Value::Number(number % 7), Value::Null, Value::Number(number / 7)]);
            assert_eq!(rows.sums(row), of(number + 1));
        }
        assert_ne!(rows.row(-4, &[0, 0, 0]), rows.row(-5, &[0, 0, 0]));
    }
}
