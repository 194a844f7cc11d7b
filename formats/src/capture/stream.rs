//! Streams: bytes of a kind, compressed in whichever way makes them smallest.
//!
//! In: the bytes of a stream. Out: what is stored of them, and back. No length that a file states is believed before it is
//! compared with what must be there. Never here: what the bytes mean.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, Strategy, compress_bound};

use super::error::{Malformed, WriteError};
use super::judge::{Repetitions, coding_bytes, count, entropy_bytes};

pub(super) const STORED: u8 = 0;
pub(super) const ZSTD: u8 = 1;
pub(super) const REPEATED: u8 = 2;
pub(super) const PACKED: u8 = 3;
pub(super) const PACKED_ZSTD: u8 = 4;

/// Below this a zstd frame's own bytes cost more than they save.
const WORTH_COMPRESSING: usize = 48;

/// Compresses streams.
pub(super) struct Packer {
    /// Finds what was there before.
    matching: Compressor<'static>,
    /// Finds hardly anything that was there before: where bytes differ in nothing but how frequent they are, naming
    /// short repetitions costs more than it saves.
    entropy: Compressor<'static>,
    best: Vec<u8>,
    other: Vec<u8>,
    narrow: Vec<u8>,
    repetitions: Repetitions,
}

fn compress(compressor: &mut Compressor<'_>, raw: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
    out.clear();
    out.reserve(compress_bound(raw.len()));
    compressor.compress_to_buffer(raw, out).map_err(WriteError::Compress)?;
    Ok(())
}

impl Packer {
    pub(super) fn new(level: i32) -> Result<Self, WriteError> {
        let mut entropy = Compressor::new(1).map_err(WriteError::Compress)?;
        for parameter in [
            CParameter::Strategy(Strategy::ZSTD_fast),
            CParameter::MinMatch(7),
            CParameter::HashLog(6),
            CParameter::WindowLog(17),
        ] {
            entropy.set_parameter(parameter).map_err(WriteError::Compress)?;
        }
        Ok(Self {
            matching: Compressor::new(level).map_err(WriteError::Compress)?,
            entropy,
            best: Vec::new(),
            other: Vec::new(),
            narrow: Vec::new(),
            repetitions: Repetitions::default(),
        })
    }

    /// Appends to `out` what is to be stored, and gives the codec. What is no `text` is only searched for what was there
    /// before when a few looks find such.
    pub(super) fn pack(&mut self, raw: &[u8], is_text: bool, out: &mut Vec<u8>) -> Result<u8, WriteError> {
        let Some(first) = raw.first() else { return Ok(STORED) };
        if raw.iter().fold(0, |others, byte| others | (byte ^ first)) == 0 {
            out.push(*first);
            return Ok(REPEATED);
        }
        let counts = count(raw);
        let distinct = counts.iter().filter(|count| **count > 0).count();
        let packed = packed_length(raw.len(), distinct);
        if raw.len() < WORTH_COMPRESSING {
            if packed >= raw.len() {
                out.extend_from_slice(raw);
                return Ok(STORED);
            }
            narrow(raw, &counts, distinct, &mut self.narrow);
            out.extend_from_slice(&self.narrow);
            return Ok(PACKED);
        }
        let least = entropy_bytes(raw.len(), &counts);
        // A stream that hardly shrinks is stored: it reads much faster.
        let limit = raw.len() - raw.len() / 32;
        let mut best = Best { bytes: &mut self.best, codec: STORED, length: limit };
        // Less than two bits each, and too many to gather: codes of whole bits are a waste, and what comes again is not.
        let is_sparse = distinct > 16 && least * 4 < raw.len();
        if is_text || is_sparse || self.repetitions.are_likely(raw, least) {
            compress(&mut self.matching, raw, &mut self.other)?;
            best.take_shorter(ZSTD, &mut self.other);
        }
        let coded = least + coding_bytes(distinct);
        // What has more than some two bits of information is coded as well by itself.
        let gathers = distinct <= 4 || least * 32 < raw.len() * 9;
        if packed < raw.len() && (gathers || packed < coded + coded / 8 + WORTH_COMPRESSING) {
            narrow(raw, &counts, distinct, &mut self.narrow);
            // Where all are about as frequent, nothing remains to compress.
            if gathers && coded < packed - packed / 32 {
                compress(&mut self.entropy, &self.narrow, &mut self.other)?;
                best.take_shorter(PACKED_ZSTD, &mut self.other);
            }
            best.take_shorter(PACKED, &mut self.narrow);
        }
        // No code is shorter than a bit; and what repeats may be below what frequencies allow.
        if distinct > 4 && coded.max(raw.len() / 8) < best.length {
            compress(&mut self.entropy, raw, &mut self.other)?;
            best.take_shorter(ZSTD, &mut self.other);
        }
        let codec = best.codec;
        out.extend_from_slice(if codec == STORED { raw } else { &self.best });
        Ok(codec)
    }
}

/// The shortest so far; `length` is the one that others must be below.
struct Best<'a> {
    bytes: &'a mut Vec<u8>,
    codec: u8,
    length: usize,
}

impl Best<'_> {
    fn take_shorter(&mut self, codec: u8, other: &mut Vec<u8>) {
        if other.len() < self.length {
            std::mem::swap(self.bytes, other);
            self.codec = codec;
            self.length = self.bytes.len();
        }
    }
}

/// Bits for each of so many different bytes, of which there are 16 at most.
fn packed_width(distinct: usize) -> Option<usize> {
    match distinct {
        0..=2 => Some(1),
        3..=4 => Some(2),
        5..=16 => Some(4),
        _ => None,
    }
}

/// Bytes of a stream of so many different bytes that [`narrow`] gathers; as many as there can be when it does not.
fn packed_length(raw: usize, distinct: usize) -> usize {
    packed_width(distinct).map_or(usize::MAX, |width| 1 + distinct + raw.div_ceil(8 / width))
}

/// Gathers a stream of at most 16 different bytes in 1, 2 or 4 bits each, behind a list of these bytes.
fn narrow(raw: &[u8], counts: &[u32; 256], distinct: usize, out: &mut Vec<u8>) {
    out.clear();
    let Some(width) = packed_width(distinct) else { return };
    let mut codes = [0_u8; 256];
    let mut next = 0;
    #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
    out.push(distinct as u8);
    for (byte, code) in (0..=u8::MAX).zip(&mut codes) {
        if counts[usize::from(byte)] > 0 {
            *code = next;
            next += 1;
            out.push(byte);
        }
    }
    let gather = |bytes: &[u8]| bytes.iter().rev().fold(0, |packed, byte| packed << width | codes[usize::from(*byte)]);
    // With a known length each the compiler needs no loop for the few bytes of one.
    let rest = match width {
        1 => gather_all::<8>(raw, gather, out),
        2 => gather_all::<4>(raw, gather, out),
        _ => gather_all::<2>(raw, gather, out),
    };
    if !rest.is_empty() {
        out.push(gather(rest));
    }
}

fn gather_all<'a, const N: usize>(raw: &'a [u8], gather: impl Fn(&[u8]) -> u8, out: &mut Vec<u8>) -> &'a [u8] {
    let (chunks, rest) = raw.as_chunks::<N>();
    out.extend(chunks.iter().map(|bytes| gather(bytes)));
    rest
}

/// Undoes [`narrow`] for a stream that must have `raw` bytes.
fn widen(packed: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some((distinct, rest)) = packed.split_first() else {
        return Err(Malformed::new("packed stream", "a list of bytes", "nothing"));
    };
    let width = match distinct {
        1..=2 => 1_usize,
        3..=4 => 2,
        5..=16 => 4,
        _ => return Err(Malformed::new("different bytes of a packed stream", "1 to 16", distinct)),
    };
    let Some((bytes, codes)) = rest.split_at_checked(usize::from(*distinct)) else {
        return Err(Malformed::new("packed stream", format!("{distinct} bytes"), rest.len()));
    };
    let expected = (raw * width).div_ceil(8);
    if codes.len() != expected {
        return Err(Malformed::new("length of a packed stream", expected, codes.len()));
    }
    let mut meaning = [0_u8; 16];
    for (meaning, byte) in meaning.iter_mut().zip(bytes) {
        *meaning = *byte;
    }
    let known = usize::from(*distinct);
    // A code beyond the list would be a byte that nobody wrote.
    if known < 1 << width {
        let mask = (1_u8 << width) - 1;
        let beyond =
            codes.iter().any(|byte| (0..8 / width).any(|place| usize::from(byte >> (place * width) & mask) >= known));
        if beyond {
            return Err(Malformed::new("code of a packed stream", format!("below {known}"), "more"));
        }
    }
    out.clear();
    out.reserve(codes.len() * 8 / width);
    match width {
        1 => {
            let [zero, one] = [meaning[0], meaning[1]];
            let flip = zero ^ one;
            let each =
                |byte: u8| std::array::from_fn::<u8, 8, _>(|place| zero ^ (flip & (byte >> place & 1).wrapping_neg()));
            out.extend(codes.iter().flat_map(|byte| each(*byte)));
        }
        2 => {
            let each =
                |byte: u8| std::array::from_fn::<u8, 4, _>(|place| meaning[usize::from(byte >> (place * 2) & 3)]);
            out.extend(codes.iter().flat_map(|byte| each(*byte)));
        }
        _ => {
            let each = |byte: u8| [meaning[usize::from(byte & 15)], meaning[usize::from(byte >> 4)]];
            out.extend(codes.iter().flat_map(|byte| each(*byte)));
        }
    }
    out.truncate(raw);
    Ok(())
}

/// A buffer of so many bytes: what there is room for does not depend on what came before.
fn sized(buffer: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    buffer.reserve_exact(bytes.saturating_sub(buffer.len()));
    buffer.resize(bytes, 0);
    buffer
}

/// Undoes the compression of streams, and keeps the memory for the next one.
pub(super) struct Unpacker {
    pub(super) inflater: Inflater,
    pub(super) buffer: Vec<u8>,
    /// What a column of measured numbers is made of beside its bits.
    pub(super) symbols: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        let inflater = Inflater { decompressor: Decompressor::new()?, narrow: Vec::new() };
        Ok(Self { inflater, buffer: Vec::new(), symbols: Vec::new() })
    }

    /// The bytes of a stream, of which there must be `raw`.
    pub(super) fn unpack<'b>(&'b mut self, codec: u8, stored: &'b [u8], raw: usize) -> Result<&'b [u8], Malformed> {
        self.inflater.unpack(codec, stored, raw, &mut self.buffer)
    }

    /// Decompresses one zstd frame that must give exactly `raw` bytes; no more than that is ever allocated.
    pub(super) fn inflate(&mut self, stored: &[u8], raw: usize) -> Result<&[u8], Malformed> {
        self.inflater.inflate(stored, raw, &mut self.buffer)
    }
}

/// The same into any memory.
pub(super) struct Inflater {
    decompressor: Decompressor<'static>,
    narrow: Vec<u8>,
}

impl Inflater {
    /// As [`Unpacker::unpack`]; `buffer` is not needed for what is stored as it is.
    pub(super) fn unpack<'b>(
        &mut self,
        codec: u8,
        stored: &'b [u8],
        raw: usize,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], Malformed> {
        match (codec, stored) {
            (STORED, _) if stored.len() == raw => Ok(stored),
            (STORED, _) => Err(Malformed::new("length of a stored stream", raw, stored.len())),
            (REPEATED, [byte]) => {
                buffer.clear();
                buffer.resize(raw, *byte);
                Ok(buffer)
            }
            (REPEATED, _) => Err(Malformed::new("length of a repeated stream", 1, stored.len())),
            (ZSTD, _) => self.inflate(stored, raw, buffer),
            (PACKED, _) => {
                widen(stored, raw, buffer)?;
                Ok(buffer)
            }
            (PACKED_ZSTD, _) => {
                // At most the list and four bits each.
                let most = 17 + raw.div_ceil(2);
                let found = self.decompressor.decompress_to_buffer(stored, sized(&mut self.narrow, most));
                let found = found.map_err(|error| {
                    Malformed::new("compressed stream", format!("at most {most} bytes in one zstd frame"), error)
                })?;
                widen(self.narrow.get(..found).unwrap_or_default(), raw, buffer)?;
                Ok(buffer)
            }
            (codec, _) => Err(Malformed::new("codec of a stream", "0 to 4", codec)),
        }
    }

    fn inflate<'b>(&mut self, stored: &[u8], raw: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed> {
        match self.decompressor.decompress_to_buffer(stored, sized(buffer, raw)) {
            Ok(found) if found == raw => Ok(buffer),
            Ok(found) => Err(Malformed::new("length of a compressed stream", raw, found)),
            Err(error) => Err(Malformed::new("compressed stream", format!("{raw} bytes in one zstd frame"), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by lot, of so many.
    fn drawn(seed: u64, length: usize, distinct: u64) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from((state >> 33) % distinct).unwrap()
        })
        .take(length)
        .collect()
    }

    #[test]
    fn what_is_packed_comes_back_in_every_codec() {
        let (mut packer, mut unpacker) = (Packer::new(1).unwrap(), Unpacker::new().unwrap());
        let mut codecs = [0; 5];
        for length in [1, 2, 7, 8, 9, 47, 48, 255, 256, 300, 1_000, 20_000] {
            for distinct in [1, 2, 3, 4, 5, 16, 17, 60, 256] {
                let noise = drawn(length as u64, length, distinct);
                // Mostly zeros.
                let skewed = noise.iter().zip(drawn(9, length, 9)).map(|(byte, lot)| if lot == 0 { *byte } else { 0 });
                let halves = [&noise[..length / 2], &noise[..length - length / 2]].concat();
                for raw in [skewed.collect(), halves, noise] {
                    for is_text in [false, true] {
                        let mut stored = vec![99];
                        let codec = packer.pack(&raw, is_text, &mut stored).unwrap();
                        assert_eq!(unpacker.unpack(codec, &stored[1..], raw.len()).unwrap(), raw);
                        assert!(stored.len() <= raw.len() + 1);
                        codecs[usize::from(codec)] += 1;
                    }
                }
            }
        }
        assert!(codecs.iter().all(|count| *count > 0), "{codecs:?}");
    }

    #[test]
    fn what_comes_again_far_away_is_not_stored_twice() {
        let noise = drawn(3, 30_000, 256);
        let mut stored = Vec::new();
        let codec = Packer::new(1).unwrap().pack(&[&noise[..], &noise].concat(), false, &mut stored).unwrap();
        assert_eq!(codec, ZSTD);
        assert!(stored.len() < 31_000, "{}", stored.len());
    }
}
