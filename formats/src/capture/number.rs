//! Numbers of any size as one byte each, and the bits that the byte leaves open.
//!
//! In: the numbers of a column. Out: symbols, which compress well, and bits, which are noise; and back. Never here: what
//! a number means, compression.
//!
//! A number below 16 is its own symbol. Of a greater one the symbol says which of its bits is the highest and what the
//! two bits below that are; the rest follows as bits. So the 256 symbols cover all numbers of 64 bits.

use super::error::Malformed;

const EXACT: u64 = 16;

/// The smallest number of a symbol, how many bits follow, and as many ones: to shift by what varies is slow.
const STARTS: [(u64, u8, u64); 256] = starts();

const fn starts() -> [(u64, u8, u64); 256] {
    let mut table = [(0, 0, 0); 256];
    let mut symbol = 0;
    while symbol < 256 {
        table[symbol] = if symbol < 16 {
            (symbol as u64, 0, 0)
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
            let width = width(symbol as u8);
            ((4 + (symbol as u64 & 3)) << width, width, (1 << width) - 1)
        };
        symbol += 1;
    }
    table
}

/// A number's symbol, and how many bits it leaves open.
#[expect(clippy::cast_possible_truncation, reason = "below 256 by construction")]
fn symbol(value: u64) -> (u8, u32) {
    // At least 4, so that the choice below needs no branch.
    let high = 63 - (value | EXACT).leading_zeros();
    let width = high - 2;
    // The highest bit is among the three, so they are 4 at least.
    let above = ((high - 1) * 4) as u8 + (value >> width) as u8;
    if value < EXACT { (value as u8, 0) } else { (above, width) }
}

/// Rows that an estimate looks at: enough to tell two columns apart.
const LOOKED_AT: usize = 1 << 10;

/// Bits that numbers like the first of these take, roughly: the entropy of their symbols and what follows them.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn estimate(values: impl Iterator<Item = u64>) -> f32 {
    let mut counts = [0_u32; 256];
    let (mut all, mut bits) = (0_u32, 0_u32);
    for value in values.take(LOOKED_AT) {
        let (symbol, width) = symbol(value);
        counts[usize::from(symbol)] += 1;
        bits += width;
        all += 1;
    }
    let each = |count: &u32| *count as f32 * (all as f32 / *count as f32).log2();
    counts.iter().filter(|count| **count > 0).map(each).sum::<f32>() + bits as f32
}

/// The symbols and bits of a column, which gets its numbers a few at a time.
#[derive(Default)]
pub(super) struct Split {
    symbols: Vec<u8>,
    bits: Vec<u8>,
    /// Bits that fill no eight bytes yet, and how many.
    open: u64,
    count: u32,
    /// Numbers so far, so long as all are zero: these take no memory.
    zeros: usize,
}

impl Split {
    /// Adds numbers, the bits of the first lowest.
    pub(super) fn add(&mut self, values: &[u64]) {
        let used = values.iter().fold(0, |used, value| used | value);
        if used == 0 && self.symbols.is_empty() {
            self.zeros += values.len();
            return;
        }
        if self.zeros > 0 {
            self.symbols.resize(self.zeros, 0);
            self.zeros = 0;
        }
        if used < EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "below 16")]
            self.symbols.extend(values.iter().map(|value| *value as u8));
            return;
        }
        let (mut open, mut count) = (self.open, self.count);
        let bits = &mut self.bits;
        self.symbols.extend(values.iter().map(|value| {
            let (symbol, width) = symbol(*value);
            let rest = value & !(u64::MAX << width);
            open |= rest << count;
            count += width;
            if count >= 64 {
                bits.extend_from_slice(&open.to_le_bytes());
                count -= 64;
                open = rest.unbounded_shr(width - count);
            }
            symbol
        }));
        (self.open, self.count) = (open, count);
    }

    /// Ends the column and gives its symbols and bits; no symbols when all numbers are zero.
    pub(super) fn finish(&mut self) -> (&[u8], &[u8]) {
        let bytes = self.open.to_le_bytes();
        self.bits.extend(bytes.into_iter().take(self.count.div_ceil(8) as usize));
        (self.open, self.count) = (0, 0);
        (&self.symbols, &self.bits)
    }

    /// Empty again, for the next column.
    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        self.bits.clear();
        (self.open, self.count, self.zeros) = (0, 0, 0);
    }
}

/// How many bits a symbol leaves open, at most 62.
const fn width(symbol: u8) -> u8 {
    if symbol < 16 { 0 } else { (symbol >> 2) - 2 }
}

/// Bytes that the bits of these symbols take.
pub(super) fn bit_bytes(symbols: &[u8]) -> usize {
    // So many fit into a small sum, of which a processor makes several at once.
    let few = |symbols: &[u8]| usize::from(symbols.iter().fold(0_u16, |bits, symbol| bits + u16::from(width(*symbol))));
    symbols.chunks(1 << 10).map(few).sum::<usize>().div_ceil(8)
}

/// The numbers of symbols and bits; `bits` has [`bit_bytes`].
pub(super) fn join(symbols: &[u8], bits: &[u8], values: &mut Vec<u64>) -> Result<(), Malformed> {
    values.clear();
    let greatest = symbols.iter().fold(0, |greatest, symbol| greatest.max(*symbol));
    if u64::from(greatest) < EXACT {
        values.extend(symbols.iter().map(|symbol| u64::from(*symbol)));
        return Ok(());
    }
    // As many at a time as surely are in eight bytes, with the seven bits that may be before them.
    let taken = match 57 / usize::from(width(greatest)).max(1) {
        0 => join_wide(symbols, bits, values),
        1 => join_each::<1>(symbols, bits, values),
        2 | 3 => join_each::<2>(symbols, bits, values),
        _ => join_each::<4>(symbols, bits, values),
    };
    if taken.div_ceil(8) != bits.len() {
        return Err(Malformed::new("bits of a column", format!("{} bytes", bit_bytes(symbols)), bits.len()));
    }
    Ok(())
}

/// The eight bytes that a bit is in, from that bit on.
#[inline]
fn window(bits: &[u8], place: usize) -> u64 {
    let byte = place >> 3;
    let window = match bits.get(byte..byte + 8).and_then(|window| window.first_chunk()) {
        Some(window) => u64::from_le_bytes(*window),
        None => at_end(bits, byte),
    };
    window >> (place & 7)
}

/// The same where there are less than eight: zeros follow.
#[cold]
#[inline(never)]
fn at_end(bits: &[u8], byte: usize) -> u64 {
    bits.iter().skip(byte).rev().fold(0, |window, byte| window << 8 | u64::from(*byte))
}

/// Gives how many bits there should be.
fn join_each<const N: usize>(symbols: &[u8], bits: &[u8], values: &mut Vec<u64>) -> usize {
    values.resize(symbols.len(), 0);
    let mut place = 0_usize;
    let mut join = |symbols: &[u8], values: &mut [u64]| {
        let mut rest = window(bits, place);
        for (symbol, value) in symbols.iter().zip(values) {
            let (start, width, ones) = STARTS[usize::from(*symbol)];
            *value = start + (rest & ones);
            rest >>= width;
            place += usize::from(width);
        }
    };
    let ((symbols, last_symbols), (values, last_values)) = (symbols.as_chunks::<N>(), values.as_chunks_mut::<N>());
    for (symbols, values) in symbols.iter().zip(values) {
        join(symbols, values);
    }
    join(last_symbols, last_values);
    place
}

/// The same where those of one number may be in nine bytes.
fn join_wide(symbols: &[u8], bits: &[u8], values: &mut Vec<u64>) -> usize {
    let mut place = 0_usize;
    values.extend(symbols.iter().map(|symbol| {
        let (start, width, ones) = STARTS[usize::from(*symbol)];
        let shift = place & 7;
        let above = bits.get((place >> 3) + 8).copied().unwrap_or(0);
        let above = if usize::from(width) + shift > 64 { u64::from(above) << (64 - shift) } else { 0 };
        let rest = window(bits, place) | above;
        place += usize::from(width);
        start + (rest & ones)
    }));
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_of_number_comes_back() {
        let mut numbers = vec![0, 1, 15, 16, 17, 19, 20, u64::MAX];
        for high in 0..64 {
            for below in [0, 1, 2, 3, 5, 7] {
                numbers.extend([1_u64 << high, (1 << high) + (below << high >> 3)]);
            }
            // All bits up to this one.
            numbers.push(u64::MAX >> (63 - high));
        }
        for offset in 0..9 {
            let part = &numbers[offset..];
            for at_a_time in [1, 7, part.len()] {
                let (mut split, mut found) = (Split::default(), Vec::new());
                part.chunks(at_a_time).for_each(|chunk| split.add(chunk));
                let (symbols, bits) = split.finish();
                assert_eq!(bits.len(), bit_bytes(symbols));
                join(symbols, bits, &mut found).unwrap();
                assert_eq!(found, part);
                for other in [&bits[1..], &[bits, &[0]].concat()] {
                    assert!(join(symbols, other, &mut found).is_err());
                }
            }
        }
    }

    #[test]
    fn zeros_take_symbols_once_there_is_another_number() {
        let mut split = Split::default();
        split.add(&[0; 3]);
        assert_eq!(split.finish(), (&[][..], &[][..]));
        split.add(&[0, 3]);
        split.add(&[0]);
        assert_eq!(split.finish(), (&[0, 0, 0, 0, 3, 0][..], &[][..]));
        split.clear();
        split.add(&[17]);
        assert_eq!(split.finish(), (&[16][..], &[1][..]));
    }

    #[test]
    fn symbols_follow_each_other_without_a_gap() {
        for (symbol, pair) in STARTS.windows(2).enumerate() {
            assert_eq!(pair[0].0 + (1_u64 << pair[0].1), pair[1].0, "{symbol}");
        }
        assert_eq!(u128::from(STARTS[255].0) + (1_u128 << STARTS[255].1), 1 << 64);
        assert_eq!(bit_bytes(&[u8::MAX; 10_000]), 10_000 * usize::from(STARTS[255].1) / 8);
    }
}
