//! The groups of a report as rows of numbers.
//!
//! In: the values of a connection's tags, and what it did. Out: the row of its group, with the sums so far. Never here: which
//! connections belong to a group, how rows are sorted.
//!
//! Each value of a tag is kept once and stands in the rows as a code of 32 bits, and a row has room only for the sums that
//! somebody asked for, 32 bits each: what a sum has beyond is kept apart. So millions of groups take little more than their
//! numbers.

use std::hash::Hasher;
use std::slice::ChunksExact;

use rustc_hash::FxHasher;

use crate::column::Tag;
use crate::dictionary::Dictionary;
use crate::index::{Index, mixed};
use crate::measure::{Carries, Layout, Measures};
use crate::own::{self, Own};
use crate::ports::{self, Ports};
use crate::share::Share;
use crate::sums::Sums;
use crate::tabular::{Part, Typed};
use crate::value::{Type, Value};

/// The row of a group of which somebody else takes care: what is added to it goes nowhere.
pub(crate) const ELSEWHERE: u32 = u32::MAX;

/// Rows in a piece of memory, which then moves no more.
const PIECE: usize = 1 << 16;

/// Not found.
const NONE: u32 = u32::MAX;

/// The values of a tag.
#[derive(Debug)]
pub(crate) enum Values {
    /// Each once, by code.
    Different(Dictionary),
    /// Each is its own code.
    Ports(Ports),
    /// One for each connection, and so for each of its rows, which they stand beside. Nobody looks for them.
    Own(Own),
}

impl Values {
    /// Words that such a value takes in a key.
    fn words(&self) -> usize {
        if matches!(self, Self::Own(_)) { 2 } else { 1 }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Different(dictionary) => dictionary.memory(),
            Self::Ports(_) => 0,
            Self::Own(own) => own.memory(),
        }
    }
}

/// The groups.
#[derive(Debug)]
pub(crate) struct Rows {
    values: Vec<Values>,
    /// Where in a key the code of each tag is, or its own value: those are behind all codes.
    places: Box<[usize]>,
    has_windows: bool,
    share: Share,
    /// Each connection is a group of its own.
    is_by_connection: bool,
    layout: Layout,
    /// Words that say of which group a row is: where there are windows two for the start, then the codes, then what each
    /// connection has of its own.
    key: usize,
    /// How many of them stand in the row.
    kept: usize,
    /// Words of a row.
    width: usize,
    pieces: Vec<Vec<u32>>,
    carries: Carries,
    count: u32,
    /// How many of them anybody is in.
    filled: u32,
    found: Index,
    /// Of those that are looked for together.
    hashes: Vec<u32>,
}

impl Rows {
    /// No groups yet, by these tags; of them a share.
    pub(crate) fn new(tags: &[Tag], has_windows: bool, measures: Measures, share: Share) -> Self {
        let layout = Layout::new(measures);
        let is_by_connection = tags.iter().any(|tag| tag.is_connection());
        let values = |tag: &Tag| match (Own::new(tag.ty()), tag.ty()) {
            (Some(own), _) if is_by_connection => Values::Own(own),
            (_, Type::U16) => Values::Ports(Ports::default()),
            _ => Values::Different(Dictionary::default()),
        };
        let values: Vec<Values> = tags.iter().map(values).collect();
        let window = if has_windows { 2 } else { 0 };
        let kept = window + values.iter().filter(|values| !matches!(values, Values::Own(_))).count();
        let (mut next, mut next_own) = (window, kept);
        let places = values.iter().map(|values| {
            let next = if matches!(values, Values::Own(_)) { &mut next_own } else { &mut next };
            *next += values.words();
            *next - values.words()
        });
        Self {
            places: places.collect(),
            has_windows,
            share,
            is_by_connection,
            key: next_own,
            kept,
            width: kept + layout.words(),
            values,
            layout,
            pieces: Vec::new(),
            carries: Carries::default(),
            count: 0,
            filled: 0,
            found: Index::default(),
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
        self.found = Index::default();
        for values in &mut self.values {
            if let Values::Different(dictionary) = values {
                dictionary.seal();
            }
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.truncate((self.count as usize - 1) % PIECE * self.width + self.width);
            piece.shrink_to_fit();
        }
    }

    /// The code of a connection's value of the tag at a place, of which not each connection has its own.
    pub(crate) fn encode(&mut self, tag: usize, value: Value) -> u32 {
        match self.values.get_mut(tag) {
            Some(Values::Different(dictionary)) => dictionary.code(value),
            Some(Values::Ports(ports)) => ports.code(&value),
            Some(Values::Own(_)) | None => 0,
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

    /// Says in a key what a connection's value of the tag at a place is.
    pub(crate) fn set(&mut self, key: &mut [u32], tag: usize, value: Value) {
        let place = self.place(tag);
        if let Some(Values::Own(_)) = self.values.get(tag) {
            set_own(key, place, own::number(&value));
        } else {
            set_code(key, place, self.encode(tag, value));
        }
    }

    /// Likewise in many keys, one behind the other.
    #[inline]
    pub(crate) fn set_all(&mut self, keys: &mut [u32], tag: usize, values: impl Iterator<Item = Value>) {
        let place = self.place(tag);
        let keys = keys.chunks_exact_mut(self.key.max(1)).zip(values);
        match self.values.get_mut(tag) {
            Some(Values::Own(_)) => keys.for_each(|(key, value)| set_own(key, place, own::number(&value))),
            Some(Values::Ports(ports)) => keys.for_each(|(key, value)| set_code(key, place, ports.code(&value))),
            Some(Values::Different(dictionary)) => {
                keys.for_each(|(key, value)| set_code(key, place, dictionary.code(value)));
            }
            None => {}
        }
    }

    /// Where in a key the tag at a place is.
    #[inline]
    pub(crate) fn place(&self, tag: usize) -> usize {
        self.places.get(tag).copied().unwrap_or(usize::MAX)
    }

    /// How many words say of which group a row is.
    pub(crate) fn key_words(&self) -> usize {
        self.key
    }

    /// Says in a key in which window the group is, which begins then.
    #[inline]
    pub(crate) fn set_window(&self, key: &mut [u32], window: i64) {
        if let Some(words) = key.first_chunk_mut().filter(|_| self.has_windows) {
            *words = halves(window.cast_unsigned());
        }
    }

    /// The row of the group of a key, of which [`set`](Self::set) said all tags; [`ELSEWHERE`] when it is in another share. To
    /// be asked once for each connection and window.
    pub(crate) fn row(&mut self, key: &[u32]) -> u32 {
        if self.is_by_connection { self.new_row_of(key) } else { self.row_of(hash_words(key), key) }
    }

    /// As [`row`](Self::row) of many. Memory is waited for once for many.
    pub(crate) fn rows(&mut self, keys: &[u32], found: &mut Vec<u32>) {
        found.clear();
        let keys = keys.chunks_exact(self.key.max(1));
        if self.is_by_connection && self.share.is_all() {
            self.push_rows(&keys, found);
            return;
        }
        if self.is_by_connection {
            found.extend(keys.map(|key| self.new_row_of(key)));
            return;
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        hashes.extend(keys.clone().map(hash_words));
        found.extend(hashes.iter().map(|hash| self.found.first(*hash).unwrap_or(NONE)));
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
        if !self.is_here(key) {
            return ELSEWHERE;
        }
        if let Some(row) = self.found.find(hash, |row| is_same(self.key_of(row), key)) {
            return row;
        }
        self.found.insert(hash, self.count);
        self.push_row(key)
    }

    /// Where nobody else can have the same key.
    #[inline]
    fn new_row_of(&mut self, key: &[u32]) -> u32 {
        if self.is_here(key) { self.push_row(key) } else { ELSEWHERE }
    }

    /// The group is in the share.
    #[inline]
    fn is_here(&self, key: &[u32]) -> bool {
        self.share.is_all() || self.share.has(hash_words(key))
    }

    #[inline]
    fn push_row(&mut self, key: &[u32]) -> u32 {
        let row = self.push_words(key);
        if self.kept < key.len() {
            self.push_own(&std::iter::once(key));
        }
        row
    }

    /// New rows of all these.
    fn push_rows(&mut self, keys: &ChunksExact<'_, u32>, found: &mut Vec<u32>) {
        found.extend(keys.clone().map(|key| self.push_words(key)));
        self.push_own(keys);
    }

    /// What these connections have of their own, which stands beside rows.
    fn push_own<'a>(&mut self, keys: &(impl Iterator<Item = &'a [u32]> + Clone)) {
        for (values, place) in self.values.iter_mut().zip(&self.places) {
            if let Values::Own(own) = values {
                own.extend(keys.clone().map(|key| key.get(*place..).map_or(0, whole)));
            }
        }
    }

    /// The words of one more row.
    #[inline]
    fn push_words(&mut self, key: &[u32]) -> u32 {
        let row = self.count;
        self.count += 1;
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        if self.pieces.len() <= piece {
            // Whoever has many has as many again. What is nothing but zeros takes no memory before it is written.
            self.pieces.push(vec![0; if piece > 0 { PIECE * self.width } else { 0 }]);
        }
        if let Some(piece) = self.pieces.last_mut() {
            if piece.len() < start + self.width {
                piece.resize((2 * piece.len()).clamp(start + self.width, PIECE * self.width), 0);
            }
            let words = piece.get_mut(start..start + self.kept).unwrap_or_default();
            words.iter_mut().zip(key).for_each(|(word, key)| *word = *key);
        }
        row
    }

    /// The words of a row that say of which group it is.
    #[inline]
    fn key_of(&self, row: u32) -> &[u32] {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        self.pieces.get(piece).and_then(|piece| piece.get(start..start + self.kept)).unwrap_or_default()
    }

    /// What happened in a row's group happened, too.
    pub(crate) fn add(&mut self, row: u32, sums: &Sums) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width + self.kept);
        let words = self.layout.words();
        if let Some(words) = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + words)) {
            self.filled += u32::from(sums.connections > 0 && self.layout.is_empty(row, words, &self.carries));
            self.layout.add(row, words, &mut self.carries, sums);
        }
    }

    /// Rows to which something is to be added soon: where there are many, memory is waited for once for all of them.
    pub(crate) fn expect(&self, rows: impl Iterator<Item = u32>) {
        if self.count as usize >= PIECE {
            for row in rows {
                let words = self.words(row);
                let (first, last) = (words.get(self.kept), words.last());
                std::hint::black_box(first.copied().unwrap_or(0) ^ last.copied().unwrap_or(0));
            }
        }
    }

    /// A connection is in a row's group, too, of which its last totals tell everything: see [`Layout::add_one`].
    #[inline]
    pub(crate) fn add_one(&mut self, row: u32, is_tcp: bool, totals: &[&[u64]; 9], place: usize) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        let words = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + self.width));
        if let Some(words) = words.and_then(|words| words.get_mut(self.kept..)) {
            self.filled += u32::from(self.layout.is_empty(row, words, &self.carries));
            self.layout.add_one(row, words, &mut self.carries, is_tcp, totals, place);
        }
    }

    /// Each row is of one connection, and no two are of one in the same window.
    pub(crate) fn are_by_connection(&self) -> bool {
        self.is_by_connection
    }

    /// Nobody is in a row any longer: whoever was goes elsewhere.
    pub(crate) fn leave(&mut self, row: u32) {
        let (piece, start) = (row as usize / PIECE, row as usize % PIECE * self.width);
        let words = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(start..start + self.width));
        if let Some(words) = words.and_then(|words| words.get_mut(self.kept..)) {
            self.filled -= u32::from(!self.layout.is_empty(row, words, &self.carries));
            self.layout.clear(row, words, &mut self.carries);
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
        values + 4 * pieces + self.found.memory() + self.carries.memory()
    }

    /// The rows go, and what their numbers mean stays.
    pub(crate) fn clear(&mut self) {
        (self.pieces, self.carries, self.count, self.filled) = (Vec::new(), Carries::default(), 0, 0);
        for values in &mut self.values {
            if let Values::Own(own) = values {
                own.clear();
            }
        }
    }

    /// When the window of a row begins, in µs; 0 without windows.
    pub(crate) fn window(&self, row: u32) -> i64 {
        match self.words(row) {
            words @ [_, _, ..] if self.has_windows => whole(words).cast_signed(),
            _ => 0,
        }
    }

    /// The code of a row's value of the tag at a place, of which not each connection has its own.
    pub(crate) fn code(&self, row: u32, tag: usize) -> u32 {
        self.words(row).get(self.place(tag)).copied().unwrap_or(0)
    }

    /// The values of the tag at a place where each connection has its own.
    pub(crate) fn own(&self, tag: usize) -> Option<&Own> {
        match self.values.get(tag)? {
            Values::Own(own) => Some(own),
            Values::Different(_) | Values::Ports(_) => None,
        }
    }

    /// The values of the tag at a place.
    pub(crate) fn values(&self, tag: usize) -> Option<&Values> {
        self.values.get(tag)
    }

    /// The tag at a place of these rows; `words` are theirs.
    pub(crate) fn part(&self, tag: usize, rows: &[u32], words: &[&[u32]]) -> Part<'_> {
        let place = self.place(tag);
        let codes = words.iter().map(|words| words.get(place).copied().unwrap_or(0));
        match self.values.get(tag) {
            Some(Values::Different(dictionary)) => Part::Coded { values: dictionary.values(), codes: codes.collect() },
            Some(Values::Ports(ports)) => ports.part(codes),
            Some(Values::Own(own)) => own.part(rows),
            None => Part::Values(vec![Value::Null; rows.len()]),
        }
    }

    /// The measure of that name of these rows, if it is one sum; `words` are theirs.
    pub(crate) fn measure(&self, name: &str, rows: &[u32], words: &[&[u32]]) -> Option<Typed<u64>> {
        let count = self.layout.count(name)?;
        let words = words.iter().map(|words| words.get(self.kept..).unwrap_or_default());
        Some(count.of(rows, words, &self.carries))
    }

    /// A row's value of the tag at a place.
    pub(crate) fn value(&self, row: u32, tag: usize) -> Value {
        self.meaning(tag, self.number(row, tag))
    }

    /// What stands for a row's value of the tag at a place.
    pub(crate) fn number(&self, row: u32, tag: usize) -> u64 {
        match self.values.get(tag) {
            Some(Values::Own(own)) => own.number(row).unwrap_or(0),
            _ => self.code(row, tag).into(),
        }
    }

    /// What such a number means.
    pub(crate) fn meaning(&self, tag: usize, number: u64) -> Value {
        let code = u32::try_from(number).unwrap_or(u32::MAX);
        match self.values.get(tag) {
            Some(Values::Different(dictionary)) => {
                dictionary.values().get(code as usize).cloned().unwrap_or(Value::Null)
            }
            Some(Values::Ports(_)) => ports::value(code),
            Some(Values::Own(own)) => own.meaning(number),
            None => Value::Null,
        }
    }

    /// The sums of a row. What nobody asked for is 0.
    pub(crate) fn sums(&self, row: u32) -> Sums {
        self.layout.sums(row, self.words(row).get(self.kept..).unwrap_or_default(), &self.carries)
    }

    /// Somebody is in each row.
    pub(crate) fn are_filled(&self) -> bool {
        self.filled == self.count
    }

    /// Nobody is in a row: it was found for somebody who then went elsewhere.
    pub(crate) fn is_empty(&self, row: u32) -> bool {
        self.layout.is_empty(row, self.words(row).get(self.kept..).unwrap_or_default(), &self.carries)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half")]
fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

/// The number of two halves; what follows is something else.
fn whole(words: &[u32]) -> u64 {
    match words {
        [high, low, ..] => u64::from(*high) << 32 | u64::from(*low),
        _ => 0,
    }
}

#[inline]
fn set_code(key: &mut [u32], place: usize, code: u32) {
    if let Some(word) = key.get_mut(place) {
        *word = code;
    }
}

/// Says in a key what a connection has of its own.
#[inline]
fn set_own(key: &mut [u32], place: usize, number: u64) {
    if let Some(words) = key.get_mut(place..).and_then(<[u32]>::first_chunk_mut) {
        *words = halves(number);
    }
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
impl Rows {
    /// The row of the group of these values, one for each tag.
    pub(crate) fn row_of_values(&mut self, window: i64, values: &[Value]) -> u32 {
        let mut key = vec![0; self.key_words()];
        self.set_window(&mut key, window);
        values.iter().enumerate().for_each(|(tag, value)| self.set(&mut key, tag, value.clone()));
        self.row(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_row_and_its_own_sums() {
        let tags = Tag::parse_all(&["pid", "host", "netns", "dst_port"]).unwrap();
        let mut rows = Rows::new(&tags, true, Measures::ALL, Share::default());
        let of = |connections| Sums { connections, bytes_read: 10 * connections, ..Sums::default() };
        let key = |number: u64| [number % 7, number, number / 7, number % 90].map(Value::Number);
        let mut made = Vec::new();
        for number in 0..200_000_u64 {
            let row = rows.row_of_values(-5, &key(number));
            assert!(!rows.are_filled());
            rows.add(row, &of(number + 1));
            assert!(rows.are_filled());
            rows.add(row, &of(1));
            made.push(row);
        }
        assert_eq!(rows.count(), 200_000);
        for (number, row) in (0..).zip(made) {
            assert_eq!(rows.row_of_values(-5, &key(number)), row);
            assert_eq!(rows.window(row), -5);
            assert_eq!([0, 1, 2, 3].map(|tag| rows.value(row, tag)), key(number));
            assert_eq!(rows.sums(row), of(number + 2));
        }
        assert_ne!(rows.row_of_values(-4, &key(0)), rows.row_of_values(-5, &key(0)));
    }

    /// Whatever their numbers are, and however much was counted.
    #[test]
    fn who_leaves_a_row_leaves_nothing_in_it() {
        let tags = Tag::parse_all(&["connection", "dst_ip", "began"]).unwrap();
        let mut rows = Rows::new(&tags, false, Measures::ALL, Share::default());
        let of = |bytes_read| Sums { connections: 1, bytes_read, ..Sums::default() };
        for (row, bytes) in [(0, 7), (1, 1 << 40), (2, 1 << 41)] {
            let key = [Value::Number(u64::MAX - u64::from(row)), Value::Null, Value::Time(-7)];
            assert_eq!(rows.row_of_values(0, &key), row);
            rows.add(row, &of(bytes));
        }
        rows.leave(1);
        assert!(!rows.are_filled());
        assert_eq!([0, 1, 2].map(|row| rows.sums(row)), [of(7), Sums::default(), of(1 << 41)]);
        assert_eq!([0, 1, 2].map(|row| rows.is_empty(row)), [false, true, false]);
        rows.leave(1);
        rows.add(1, &of(3));
        assert!(rows.are_filled());
        assert_eq!(rows.sums(1), of(3));
        assert_eq!(rows.value(1, 0), Value::Number(u64::MAX - 1));
    }
}
