//! What no two connections share: values of which each connection has its own, and each row one.
//!
//! In: numbers, or times, row by row. Out: the same by row. Never here: a look-up by value.
//!
//! Those of neighbours lie close to each other, so most take 32 bits.

use crate::tabular::{Part, Typed};
use crate::value::{Type, Value};

/// Values in a piece of memory, which then moves no more.
const PIECE: usize = if cfg!(test) { 4 } else { 1 << 16 };

/// Some of the values.
#[derive(Debug)]
enum Piece {
    /// Behind the first number, or before the middle of what can be told.
    Near {
        base: u64,
        offsets: Vec<u32>,
    },
    Far(Vec<u64>),
}

/// The values of a tag, one for each row.
#[derive(Debug)]
pub(crate) struct Own {
    pieces: Vec<Piece>,
    count: usize,
    are_times: bool,
    /// The least and the greatest, as [`rank`](Self::rank) has them.
    least: u64,
    most: u64,
    /// Each is greater than the one before it.
    is_rising: bool,
}

impl Piece {
    fn new(first: u64, room: usize) -> Self {
        // Some come a little before those that came first.
        Self::Near { base: first.wrapping_sub(1 << 31), offsets: Vec::with_capacity(room) }
    }

    #[inline]
    fn push(&mut self, number: u64) {
        match self {
            Self::Near { base, offsets } => match u32::try_from(number.wrapping_sub(*base)) {
                Ok(offset) => offsets.push(offset),
                Err(_) => self.push_far(number),
            },
            Self::Far(numbers) => numbers.push(number),
        }
    }

    #[cold]
    fn push_far(&mut self, number: u64) {
        let mut numbers = Vec::with_capacity(PIECE);
        numbers.extend(self.iter());
        numbers.push(number);
        *self = Self::Far(numbers);
    }

    #[inline]
    fn get(&self, place: usize) -> Option<u64> {
        match self {
            Self::Near { base, offsets } => offsets.get(place).map(|offset| base.wrapping_add((*offset).into())),
            Self::Far(numbers) => numbers.get(place).copied(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let (base, offsets, numbers): (u64, &[u32], &[u64]) = match self {
            Self::Near { base, offsets } => (*base, offsets, &[]),
            Self::Far(numbers) => (0, &[], numbers),
        };
        offsets.iter().map(move |offset| base.wrapping_add((*offset).into())).chain(numbers.iter().copied())
    }

    fn memory(&self) -> usize {
        match self {
            Self::Near { offsets, .. } => offsets.capacity() * size_of::<u32>(),
            Self::Far(numbers) => numbers.capacity() * size_of::<u64>(),
        }
    }
}

impl Own {
    /// No values yet; `None` when they are neither numbers nor times.
    pub(crate) fn new(ty: Type) -> Option<Self> {
        let (pieces, are_times) = (Vec::new(), ty == Type::Time);
        let own = Self { pieces, count: 0, are_times, least: u64::MAX, most: 0, is_rising: true };
        matches!(ty, Type::U64 | Type::Time).then_some(own)
    }

    /// Takes the numbers of the next rows: of times their bits.
    #[inline]
    pub(crate) fn extend(&mut self, mut numbers: impl Iterator<Item = u64>) {
        let sign = if self.are_times { 1 << 63 } else { 0 };
        let (mut least, mut most, mut is_rising) = (self.least, self.most, self.is_rising);
        let mut numbers = numbers.by_ref().inspect(|number| {
            let rank = number ^ sign;
            // Before the first one the least is greater.
            is_rising &= rank > most || least > most;
            (least, most) = (least.min(rank), most.max(rank));
        });
        loop {
            let room = self.count.next_multiple_of(PIECE) - self.count;
            match self.pieces.last_mut().filter(|_| room > 0) {
                Some(piece) => {
                    let before = self.count;
                    numbers.by_ref().take(room).for_each(|number| {
                        piece.push(number);
                        self.count += 1;
                    });
                    if self.count < before + room {
                        break;
                    }
                }
                None => {
                    let Some(number) = numbers.next() else { break };
                    // Whoever has many has as many again.
                    let mut piece = Piece::new(number, if self.count > 0 { PIECE } else { 0 });
                    piece.push(number);
                    self.pieces.push(piece);
                    self.count += 1;
                }
            }
        }
        (self.least, self.most, self.is_rising) = (least, most, is_rising);
    }

    /// The value of a row as a number: of a time its bits.
    #[inline]
    pub(crate) fn number(&self, row: u32) -> Option<u64> {
        self.pieces.get(row as usize / PIECE)?.get(row as usize % PIECE)
    }

    /// What a number means.
    pub(crate) fn meaning(&self, number: u64) -> Value {
        if self.are_times { Value::Time(number.cast_signed()) } else { Value::Number(number) }
    }

    /// What stands for a number in the order of values.
    #[inline]
    fn rank(&self, number: u64) -> u64 {
        if self.are_times { number ^ 1 << 63 } else { number }
    }

    /// Of all rows one after the other, what stands for their values in the order of values.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = u64> + '_ {
        self.pieces.iter().flat_map(Piece::iter).map(|number| self.rank(number))
    }

    /// Likewise of one row.
    pub(crate) fn rank_of(&self, row: u32) -> u64 {
        self.number(row).map_or(0, |number| self.rank(number))
    }

    /// The least and the greatest of [`ranks`](Self::ranks), and whether each is greater than the one before it.
    pub(crate) fn range(&self) -> (u64, u64, bool) {
        (self.least, self.most, self.is_rising)
    }

    /// The values of these rows.
    pub(crate) fn part(&self, rows: &[u32]) -> Part<'static> {
        let numbers = rows.iter().map(|row| self.number(*row).unwrap_or(0));
        if self.are_times {
            Part::Times(Typed::known(numbers.map(u64::cast_signed).collect()))
        } else {
            Part::Numbers(Typed::known(numbers.collect()))
        }
    }

    /// The values go.
    pub(crate) fn clear(&mut self) {
        (self.pieces, self.count) = (Vec::new(), 0);
        (self.least, self.most, self.is_rising) = (u64::MAX, 0, true);
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.pieces.iter().map(Piece::memory).sum()
    }
}

/// The number of a value: of a time its bits.
pub(crate) fn number(value: &Value) -> u64 {
    match value {
        Value::Number(number) => *number,
        Value::Time(micros) => micros.cast_unsigned(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However far they are from each other.
        #[test]
        fn each_row_has_its_value(
            near in any::<u64>(),
            values in prop::collection::vec((any::<u64>(), 0..64_u32, any::<bool>()), 0..20),
            steps in prop::collection::vec(0..7_usize, 0..6),
            are_times: bool,
        ) {
            let numbers: Vec<u64> = values.iter().map(|(number, bits, is_far)| {
                if *is_far { number >> bits } else { near.wrapping_add(number >> 32) }
            }).collect();
            let mut own = Own::new(if are_times { Type::Time } else { Type::U64 }).unwrap();
            let mut rest = &numbers[..];
            for some in steps {
                let (first, more) = rest.split_at(some.min(rest.len()));
                own.extend(first.iter().copied());
                rest = more;
            }
            own.extend(rest.iter().copied());
            let values: Vec<Value> = numbers.iter().map(|number| own.meaning(*number)).collect();
            let rows: Vec<u32> = (0..).take(numbers.len()).collect();
            prop_assert_eq!(own.part(&rows).iter().map(|value| value.into_owned()).collect::<Vec<_>>(), values.clone());
            prop_assert_eq!(values.iter().map(number).collect::<Vec<_>>(), numbers);
            prop_assert_eq!(own.number(u32::try_from(rows.len()).unwrap()), None);

            let ranks: Vec<u64> = own.ranks().collect();
            prop_assert_eq!(rows.iter().map(|row| own.rank_of(*row)).collect::<Vec<_>>(), ranks.clone());
            for (a, b) in values.iter().zip(&ranks) {
                for (other, rank) in values.iter().zip(&ranks) {
                    prop_assert_eq!(a.cmp(other), b.cmp(rank));
                }
            }
            let (least, most, is_rising) = own.range();
            prop_assert_eq!(is_rising, values.is_sorted_by(|a, b| a < b));
            prop_assert_eq!((least, most), (ranks.iter().min().copied().unwrap_or(u64::MAX), ranks.iter().max().copied().unwrap_or(0)));
        }
    }
}
