//! The groups of a report as rows of numbers.
//!
//! In: the values of a connection's tags, and what it did. Out: the row of its group, with the sums so far. Never here: which
//! connections belong to a group, how rows are sorted.
//!
//! Each value of a tag is kept once and stands in the rows as a code of 32 bits, and a row has room only for the sums that
//! somebody asked for, 32 bits each: what a sum has beyond is kept apart. So millions of groups take little more than their
//! numbers.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::column::Tag;
use crate::dictionary::Dictionary;
use crate::index::{Index, mixed};
use crate::measure::{Carries, Layout, Measures};
use crate::own::Own;
use crate::share::Share;
use crate::sums::Sums;
use crate::tabular::{Part, Typed};
use crate::value::Value;

/// The row of a group of which somebody else takes care: what is added to it goes nowhere.
pub(crate) const ELSEWHERE: u32 = u32::MAX;

/// Rows in a piece of memory, which then moves no more.
const PIECE: usize = 1 << 16;

/// Not found.
const NONE: u32 = u32::MAX;

/// The values of a tag.
#[derive(Debug)]
enum Values {
    /// Each once.
    Different(Dictionary),
    /// One for each connection. Nobody looks for them.
    Own(Own),
}

impl Values {
    fn memory(&self) -> usize {
        match self {
            Self::Different(dictionary) => dictionary.memory(),
            Self::Own(own) => own.memory(),
        }
    }
}

/// The groups.
#[derive(Debug)]
pub(crate) struct Rows {
    values: Vec<Values>,
    has_windows: bool,
    share: Share,
    /// Each connection is a group of its own.
    is_by_connection: bool,
    layout: Layout,
    /// Words of a row that say of which group it is: where there are windows two for the start, then the codes.
    key: usize,
    /// Words of a row.
    width: usize,
    pieces: Vec<Vec<u32>>,
    carries: Carries,
    count: u32,
    places: Index,
    /// The words of a row before it is known to be new.
    wanted: Vec<u32>,
    /// Of those that are looked for together.
    hashes: Vec<u32>,
}

impl Rows {
    /// No groups yet, by these tags; of them a share.
    pub(crate) fn new(tags: &[Tag], has_windows: bool, measures: Measures, share: Share) -> Self {
        let key = if has_windows { 2 } else { 0 } + tags.len();
        let layout = Layout::new(measures);
        let is_by_connection = tags.iter().any(|tag| tag.is_connection());
        let values = |tag: &Tag| match Own::new(tag.ty()).filter(|_| is_by_connection) {
            Some(own) => Values::Own(own),
            None => Values::Different(Dictionary::default()),
        };
        Self {
            values: tags.iter().map(values).collect(),
            has_windows,
            share,
            is_by_connection,
            key,
            width: key + layout.words(),
            layout,
            pieces: Vec::new(),
            carries: Carries::default(),
            count: 0,
            places: Index::default(),
            wanted: Vec::with_capacity(key),
            hashes: Vec::new(),
        }
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Rows are of windows.
    pub(crate) fn has_windows(&self) -> bool {
        self.has_windows
    }

    /// How many tags there are.
    pub(crate) fn tags(&self) -> usize {
        self.values.len()
    }

    /// No more groups follow: what finds them is given back.
    pub(crate) fn seal(&mut self) {
        self.places = Index::default();
        for values in &mut self.values {
            if let Values::Different(dictionary) = values {
                dictionary.seal();
            }
        }
        self.pieces.last_mut().into_iter().for_each(Vec::shrink_to_fit);
    }

    /// The code of a connection's value of the tag at a place.
    pub(crate) fn encode(&mut self, tag: usize, value: Value) -> u32 {
        match self.values.get_mut(tag) {
            Some(Values::Different(dictionary)) => dictionary.code(value),
            Some(Values::Own(own)) => own.push(&value),
            None => 0,
        }
    }

    /// The codes of many connections' values of the tag at a place. No values are left.
    pub(crate) fn encode_all(&mut self, tag: usize, values: &mut Vec<Value>, codes: &mut Vec<u32>) {
        if let Some(Values::Different(dictionary)) = self.values.get_mut(tag) {
            dictionary.codes(values, codes);
        } else {
            codes.clear();
            codes.extend(values.drain(..).map(|value| self.encode(tag, value)));
        }
    }

    /// How many words say of which group a row is, and at which of them its codes begin.
    pub(crate) fn key_words(&self) -> (usize, usize) {
        (self.key, self.key - self.tags())
    }

    /// The row of the group of these codes, one for each tag, in the window that begins at `window`; [`ELSEWHERE`] when it is
    /// in another share. To be asked once for each connection and window.
    pub(crate) fn row(&mut self, window: i64, codes: &[u32]) -> u32 {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        self.begin_key(window, &mut wanted);
        wanted.extend_from_slice(codes);
        let row = self.row_of(hash_words(&wanted), &wanted);
        self.wanted = wanted;
        row
    }

    /// Begins what says of which group a row is; the codes are to follow.
    #[inline]
    pub(crate) fn begin_key(&self, window: i64, key: &mut Vec<u32>) {
        if self.has_windows {
            key.extend(halves(window));
        }
    }

    /// As [`row`](Self::row) of many, each begun by [`begin_key`](Self::begin_key). Memory is waited for once for many.
    pub(crate) fn rows(&mut self, keys: &[u32], found: &mut Vec<u32>) {
        found.clear();
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        let keys = keys.chunks_exact(self.key.max(1));
        if self.is_by_connection {
            found.extend(keys.map(|key| self.row_of(0, key)));
            return;
        }
        hashes.extend(keys.clone().map(hash_words));
        found.extend(hashes.iter().map(|hash| self.places.first(*hash).unwrap_or(NONE)));
        for (found, key) in found.iter_mut().zip(keys.clone()) {
            *found = if is_same(self.key_of(*found), key) { *found } else { NONE };
        }
        for ((found, key), hash) in found.iter_mut().zip(keys).zip(&hashes) {
            if *found == NONE {
                *found = self.row_of(*hash, key);
            }
        }
        self.hashes = hashes;
    }

    fn row_of(&mut self, hash: u32, key: &[u32]) -> u32 {
        if !self.share.is_all() && !self.share.has(self.hash_of(key)) {
            return ELSEWHERE;
        }
        if !self.is_by_connection {
            if let Some(row) = self.places.find(hash, |row| is_same(self.key_of(row), key)) {
                return row;
            }
            self.places.insert(hash, self.count);
        }
        let row = self.count;
        self.count += 1;
        let piece = row as usize / PIECE;
        if self.pieces.len() <= piece {
            // Whoever has many has as many again.
            self.pieces.push(Vec::with_capacity(if piece > 0 { PIECE * self.width } else { 0 }));
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend_from_slice(key);
            piece.resize(piece.len() + self.width - self.key, 0);
        }
        row
    }

    /// Of what says of which group a row is: rows with the same values are in one share.
    fn hash_of(&self, key: &[u32]) -> u32 {
        let mut hasher = FxHasher::default();
        let (window, codes) = key.split_at(key.len().saturating_sub(self.tags()));
        window.iter().for_each(|word| hasher.write_u32(*word));
        for (values, code) in self.values.iter().zip(codes) {
            match values {
                Values::Different(_) => hasher.write_u32(*code),
                Values::Own(own) => hasher.write_u64(own.number(*code).unwrap_or(0)),
            }
        }
        mixed(&hasher)
    }

    /// The words of a row that say of which group it is.
    #[inline]
    fn key_of(&self, row: u32) -> &[u32] {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        self.pieces.get(piece).and_then(|piece| piece.get(start..start + self.key)).unwrap_or_default()
    }

    /// What happened in a row's group happened, too.
    pub(crate) fn add(&mut self, row: u32, sums: &Sums) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width + self.key);
        let words = self.layout.words();
        if let Some(words) = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + words)) {
            self.layout.add(row, words, &mut self.carries, sums);
        }
    }

    /// Rows to which something is to be added soon: where there are many, memory is waited for once for all of them.
    pub(crate) fn expect(&self, rows: impl Iterator<Item = u32>) {
        if self.count as usize >= PIECE {
            for row in rows {
                let words = self.words(row);
                let (first, last) = (words.get(self.key), words.last());
                std::hint::black_box(first.copied().unwrap_or(0) ^ last.copied().unwrap_or(0));
            }
        }
    }

    /// A connection is in a row's group, too, of which its last totals tell everything: see [`Layout::add_one`].
    #[inline]
    pub(crate) fn add_one(&mut self, row: u32, is_tcp: bool, totals: &[&[u64]; 9], place: usize) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        let words = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + self.width));
        if let Some(words) = words.and_then(|words| words.get_mut(self.key..)) {
            self.layout.add_one(row, words, &mut self.carries, is_tcp, totals, place);
        }
    }

    /// The words of a row.
    #[inline]
    pub(crate) fn words(&self, row: u32) -> &[u32] {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        self.pieces.get(piece).and_then(|piece| piece.get(start..start + self.width)).unwrap_or_default()
    }

    /// Bytes of memory that all this takes.
    pub(crate) fn memory(&self) -> usize {
        let values: usize = self.values.iter().map(Values::memory).sum();
        let pieces: usize = self.pieces.iter().map(Vec::capacity).sum();
        values + 4 * pieces + self.places.memory() + self.carries.memory()
    }

    /// The rows go, and what their codes mean stays.
    pub(crate) fn clear(&mut self) {
        (self.pieces, self.carries, self.count) = (Vec::new(), Carries::default(), 0);
    }

    /// When the window of a row begins, in µs; 0 without windows.
    pub(crate) fn window(&self, row: u32) -> i64 {
        match self.words(row) {
            [high, low, ..] if self.has_windows => (u64::from(*high) << 32 | u64::from(*low)).cast_signed(),
            _ => 0,
        }
    }

    /// The code of a row's value of the tag at a place.
    pub(crate) fn code(&self, row: u32, tag: usize) -> u32 {
        let place = if self.has_windows { 2 } else { 0 } + tag;
        self.words(row).get(place).copied().unwrap_or(0)
    }

    /// The values of the tag at a place where each connection has its own.
    pub(crate) fn own(&self, tag: usize) -> Option<&Own> {
        match self.values.get(tag)? {
            Values::Different(_) => None,
            Values::Own(own) => Some(own),
        }
    }

    /// The different values of the tag at a place, by code; `None` where each connection has its own.
    pub(crate) fn values(&self, tag: usize) -> Option<&[Value]> {
        match self.values.get(tag)? {
            Values::Different(dictionary) => Some(dictionary.values()),
            Values::Own(..) => None,
        }
    }

    /// The tag at a place of the rows of these words.
    pub(crate) fn part(&self, tag: usize, rows: &[&[u32]]) -> Part<'_> {
        let place = self.key - self.tags() + tag;
        let codes = rows.iter().map(|words| words.get(place).copied().unwrap_or(0));
        match self.values.get(tag) {
            Some(Values::Different(dictionary)) => Part::Coded { values: dictionary.values(), codes: codes.collect() },
            Some(Values::Own(own)) => own.part(codes),
            None => Part::Values(vec![Value::Null; rows.len()]),
        }
    }

    /// The measure of that name of these rows, if it is one sum; `words` are theirs.
    pub(crate) fn measure(&self, name: &str, rows: &[u32], words: &[&[u32]]) -> Option<Typed<u64>> {
        let count = self.layout.count(name)?;
        let words = words.iter().map(|words| words.get(self.key..).unwrap_or_default());
        Some(count.of(rows, words, &self.carries))
    }

    /// A row's value of the tag at a place.
    pub(crate) fn value(&self, row: u32, tag: usize) -> Value {
        self.meaning(tag, self.code(row, tag))
    }

    /// What a code of the tag at a place means.
    pub(crate) fn meaning(&self, tag: usize, code: u32) -> Value {
        let value = match self.values.get(tag) {
            Some(Values::Different(dictionary)) => dictionary.values().get(code as usize).cloned(),
            Some(Values::Own(own)) => own.value(code),
            None => None,
        };
        value.unwrap_or(Value::Null)
    }

    /// The sums of a row. What nobody asked for is 0.
    pub(crate) fn sums(&self, row: u32) -> Sums {
        self.layout.sums(row, self.words(row).get(self.key..).unwrap_or_default(), &self.carries)
    }

    /// Nobody is in a row: it was found for somebody who then went elsewhere.
    pub(crate) fn is_empty(&self, row: u32) -> bool {
        self.layout.is_empty(row, self.words(row).get(self.key..).unwrap_or_default(), &self.carries)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half")]
fn halves(window: i64) -> [u32; 2] {
    let window = window.cast_unsigned();
    [(window >> 32) as u32, window as u32]
}

/// They are short.
#[inline]
fn is_same(a: &[u32], b: &[u32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b)
}

#[inline]
fn hash_words(words: &[u32]) -> u32 {
    let mut hasher = FxHasher::default();
    words.iter().for_each(|word| hasher.write_u32(*word));
    mixed(&hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_row_and_its_own_sums() {
        let mut rows =
            Rows::new(&Tag::parse_all(&["pid", "host", "netns"]).unwrap(), true, Measures::ALL, Share::default());
        let of = |connections| Sums { connections, bytes_read: 10 * connections, ..Sums::default() };
        let mut made = Vec::new();
        for number in 0..200_000_u64 {
            let values = [Value::Number(number % 7), Value::Null, Value::Number(number / 7)];
            let codes: Vec<u32> = values.into_iter().enumerate().map(|(tag, value)| rows.encode(tag, value)).collect();
            let row = rows.row(-5, &codes);
            rows.add(row, &of(number));
            rows.add(row, &of(1));
            made.push((row, codes));
        }
        assert_eq!(rows.count(), 200_000);
        for (number, (row, codes)) in (0..).zip(made) {
            assert_eq!(rows.row(-5, &codes), row);
            assert_eq!(rows.window(row), -5);
            let key = [0, 1, 2].map(|tag| rows.value(row, tag));
            assert_eq!(key, [Value::Number(number % 7), Value::Null, Value::Number(number / 7)]);
            assert_eq!(rows.sums(row), of(number + 1));
        }
        assert_ne!(rows.row(-4, &[0, 0, 0]), rows.row(-5, &[0, 0, 0]));
    }
}
