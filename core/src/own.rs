//! What no two connections share: values of which each connection has its own.
//!
//! In: numbers, or times, one after the other. Out: each by its code, which is its place. Never here: a look-up by value.

use crate::tabular::{Part, Typed};
use crate::value::{Type, Value};

/// Values in a piece of memory, which then moves no more.
const PIECE: usize = 1 << 16;

/// The values of a tag, one for each connection.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pieces: Vec<Vec<u64>>,
    are_times: bool,
}

impl Own {
    /// No values yet; `None` when they are neither numbers nor times.
    pub(crate) fn new(ty: Type) -> Option<Self> {
        matches!(ty, Type::U64 | Type::Time).then(|| Self { pieces: Vec::new(), are_times: ty == Type::Time })
    }

    /// Takes one more; its code.
    pub(crate) fn push(&mut self, value: &Value) -> u32 {
        let number = match value {
            Value::Number(number) => *number,
            Value::Time(micros) => micros.cast_unsigned(),
            _ => 0,
        };
        let last = self.pieces.len().saturating_sub(1);
        match self.pieces.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => {
                piece.push(number);
                u32::try_from(last * PIECE + piece.len() - 1).unwrap_or(u32::MAX)
            }
            None => {
                // Whoever has many has as many again.
                let mut piece = Vec::with_capacity(if self.pieces.is_empty() { 0 } else { PIECE });
                piece.push(number);
                self.pieces.push(piece);
                u32::try_from((self.pieces.len() - 1) * PIECE).unwrap_or(u32::MAX)
            }
        }
    }

    /// The value of a code as a number: of a time its bits.
    #[inline]
    pub(crate) fn number(&self, code: u32) -> Option<u64> {
        self.pieces.get(code as usize / PIECE)?.get(code as usize % PIECE).copied()
    }

    /// The value of a code.
    pub(crate) fn value(&self, code: u32) -> Option<Value> {
        let number = self.number(code)?;
        Some(if self.are_times { Value::Time(number.cast_signed()) } else { Value::Number(number) })
    }

    /// They are times.
    pub(crate) fn are_times(&self) -> bool {
        self.are_times
    }

    /// The values of these codes.
    pub(crate) fn part(&self, codes: impl Iterator<Item = u32>) -> Part<'static> {
        let numbers = codes.map(|code| self.number(code).unwrap_or(0));
        if self.are_times {
            Part::Times(Typed::known(numbers.map(u64::cast_signed).collect()))
        } else {
            Part::Numbers(Typed::known(numbers.collect()))
        }
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.pieces.iter().map(Vec::capacity).sum::<usize>() * size_of::<u64>()
    }
}
