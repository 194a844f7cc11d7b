//! Streams: bytes of a kind, compressed in whichever way makes them smallest.
//!
//! In: the bytes of a stream. Out: what is stored of them, and back. No length that a file states is believed before it is
//! compared with what must be there. Never here: what the bytes mean.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, Strategy, compress_bound};

use super::error::{Malformed, WriteError};

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
    again: Again,
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
            again: Again::default(),
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
        if is_text || self.again.is_likely(raw, least) {
            compress(&mut self.matching, raw, &mut self.other)?;
            best.take_shorter(ZSTD, &mut self.other);
        }
        // What repeats is below what its frequencies allow: then nothing else will do better.
        let coded = least + coding_bytes(distinct);
        // What has more than some two bits of information is coded as well by itself.
        let gathers = distinct <= 4 || least * 32 < raw.len() * 9;
        if packed < raw.len() && best.length > least && (gathers || packed < coded + coded / 8) {
            narrow(raw, &counts, distinct, &mut self.narrow);
            // Where all are about as frequent, nothing remains to compress.
            if gathers && coded < packed - packed / 32 {
                compress(&mut self.entropy, &self.narrow, &mut self.other)?;
                best.take_shorter(PACKED_ZSTD, &mut self.other);
            }
            best.take_shorter(PACKED, &mut self.narrow);
        }
        // No code is shorter than a bit.
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

/// Bytes that a zstd frame takes beside what is coded by frequency, roughly and at least: itself, and the codes.
fn coding_bytes(distinct: usize) -> usize {
    12 + distinct / 8
}

/// Looks whether a stream has longer pieces again.
#[derive(Default)]
struct Again {
    /// Places in the stream by what begins there.
    places: Vec<u32>,
}

/// Pieces that are looked for.
const LOOKS: usize = 16;
/// So many must be found. When half of a stream is there again, then about half of them are.
const FOUND: usize = 2;
/// Places that are remembered at most.
const PLACES: usize = 1 << 13;

impl Again {
    /// Whether a stream that its frequencies alone make `least` bytes has pieces again.
    fn is_likely(&mut self, raw: &[u8], least: usize) -> bool {
        // Pieces of some 32 bits of information: chance hardly brings them twice.
        match raw.len() * 4 / least.max(1) {
            0..=8 => self.look::<8>(raw),
            9..=16 => self.look::<16>(raw),
            17..=32 => self.look::<32>(raw),
            _ => self.look::<64>(raw),
        }
    }

    fn look<const BYTES: usize>(&mut self, raw: &[u8]) -> bool {
        let piece = |at: usize| raw.get(at..).and_then(<[u8]>::first_chunk::<BYTES>);
        let size = (raw.len() / 4).next_power_of_two().min(PLACES);
        // Every so many bytes one is remembered, so one of as many next to each other is found.
        let stride = (raw.len() * 2 / size).max(8);
        self.places.clear();
        self.places.resize(size, 0);
        let slot = |piece: &[u8; BYTES]| hash(piece) & (size - 1);
        for (number, at) in (0..).zip((0..raw.len()).step_by(stride)) {
            let Some(piece) = piece(at) else { break };
            if let Some(place) = self.places.get_mut(slot(piece)) {
                *place = number;
            }
        }
        let is_there = |at: usize| {
            let Some(found) = piece(at) else { return false };
            let place = self.places.get(slot(found)).map_or(0, |place| *place as usize * stride);
            place != at && piece(place) == Some(found)
        };
        let begins = (0..LOOKS).map(|look| raw.len() / LOOKS * look);
        begins.filter(|begin| (*begin..*begin + stride).any(is_there)).nth(FOUND - 1).is_some()
    }
}

/// A number that is the same for the same bytes; all of its 16 bits depend on all of them.
fn hash<const BYTES: usize>(piece: &[u8; BYTES]) -> usize {
    let (words, _) = piece.as_chunks::<8>();
    let mixed = words.iter().fold(0_u64, |mixed, word| {
        (mixed.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 48) as usize
}

fn count(raw: &[u8]) -> [u32; 256] {
    // Two of each, since the same byte often comes twice and one count would wait for the other.
    let mut counts = [[0_u32; 256]; 2];
    let [even, odd] = &mut counts;
    let (words, rest) = raw.as_chunks::<8>();
    for word in words {
        let [a, b, c, d, e, f, g, h] = word.map(usize::from);
        even[a] += 1;
        odd[b] += 1;
        even[c] += 1;
        odd[d] += 1;
        even[e] += 1;
        odd[f] += 1;
        even[g] += 1;
        odd[h] += 1;
    }
    for byte in rest {
        even[usize::from(*byte)] += 1;
    }
    std::array::from_fn(|byte| even[byte] + odd[byte])
}

/// Bytes that the stream takes when each byte is coded by its frequency alone.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn entropy_bytes(length: usize, counts: &[u32; 256]) -> usize {
    let all = logarithm(length as f32);
    let bits: f32 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f32)
        .fold(0.0, |bits, count| bits + count * (all - logarithm(count)));
    (bits / 8.0) as usize
}

/// The logarithm to base 2 of a number that is 1 at least, to a hundredth: each stream needs many.
#[expect(clippy::cast_precision_loss, reason = "an exponent is small")]
fn logarithm(number: f32) -> f32 {
    const MANTISSA: u32 = 23;
    const ONE: u32 = 127 << MANTISSA;
    let bits = number.to_bits() - ONE;
    let whole = bits >> MANTISSA;
    // From 1 to 2 it is nearly a parabola.
    let part = f32::from_bits(bits & ((1 << MANTISSA) - 1) | ONE);
    whole as f32 + (2.0 - part / 3.0) * part - 5.0 / 3.0
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

/// Undoes the compression of streams, and keeps the memory for the next one.
pub(super) struct Unpacker {
    decompressor: Decompressor<'static>,
    buffer: Vec<u8>,
    narrow: Vec<u8>,
    /// What a column of measured numbers is made of, while it is.
    pub(super) symbols: Vec<u8>,
    pub(super) bits: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            decompressor: Decompressor::new()?,
            buffer: Vec::new(),
            narrow: Vec::new(),
            symbols: Vec::new(),
            bits: Vec::new(),
        })
    }

    /// The bytes of a stream, of which there must be `raw`.
    pub(super) fn unpack<'b>(&'b mut self, codec: u8, stored: &'b [u8], raw: usize) -> Result<&'b [u8], Malformed> {
        match (codec, stored) {
            (STORED, _) if stored.len() == raw => Ok(stored),
            (STORED, _) => Err(Malformed::new("length of a stored stream", raw, stored.len())),
            (REPEATED, [byte]) => {
                self.buffer.clear();
                self.buffer.resize(raw, *byte);
                Ok(&self.buffer)
            }
            (REPEATED, _) => Err(Malformed::new("length of a repeated stream", 1, stored.len())),
            (ZSTD, _) => self.inflate(stored, raw),
            (PACKED, _) => {
                widen(stored, raw, &mut self.buffer)?;
                Ok(&self.buffer)
            }
            (PACKED_ZSTD, _) => {
                // At most the list and four bits each.
                let most = 17 + raw.div_ceil(2);
                let mut narrow = std::mem::take(&mut self.narrow);
                narrow.clear();
                narrow.reserve_exact(most);
                let found = self.decompressor.decompress_to_buffer(stored, &mut narrow);
                let widened = found
                    .map_err(|error| {
                        Malformed::new("compressed stream", format!("at most {most} bytes in one zstd frame"), error)
                    })
                    .and_then(|_| widen(&narrow, raw, &mut self.buffer));
                self.narrow = narrow;
                widened?;
                Ok(&self.buffer)
            }
            (codec, _) => Err(Malformed::new("codec of a stream", "0 to 4", codec)),
        }
    }

    /// Decompresses one zstd frame that must give exactly `raw` bytes; no more than that is ever allocated.
    pub(super) fn inflate(&mut self, stored: &[u8], raw: usize) -> Result<&[u8], Malformed> {
        self.buffer.clear();
        self.buffer.reserve_exact(raw);
        match self.decompressor.decompress_to_buffer(stored, &mut self.buffer) {
            Ok(found) if found == raw => Ok(&self.buffer),
            Ok(found) => Err(Malformed::new("length of a compressed stream", raw, found)),
            Err(error) => Err(Malformed::new("compressed stream", format!("{raw} bytes in one zstd frame"), error)),
        }
    }
}
