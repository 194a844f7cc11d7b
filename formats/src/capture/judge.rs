//! What a stream is like, so that it is compressed only in ways that may pay.
//!
//! In: the bytes of a stream. Out: how frequent they are, what that makes possible, and whether longer pieces come again.
//! Never here: compression.

/// Bytes that a zstd frame takes beside what is coded by frequency, roughly and at least: itself, and the codes.
pub(super) fn coding_bytes(distinct: usize) -> usize {
    12 + distinct / 8
}

/// Looks whether a stream has longer pieces again.
#[derive(Default)]
pub(super) struct Repetitions {
    /// Places in the stream by what begins there.
    places: Vec<u32>,
}

/// Shorter streams are compressed before looks are worth it, and have pieces that are too short for these.
const WORTH_LOOKING: usize = 256;
/// Pieces that are looked for.
const LOOKS: usize = 16;
/// So many must be found. When half of a stream is there again, then about half of them are.
const FOUND: usize = 2;
/// Places that are remembered at most.
const PLACES: usize = 1 << 13;

impl Repetitions {
    /// Whether a stream that its frequencies alone make `least` bytes has pieces again.
    pub(super) fn are_likely(&mut self, raw: &[u8], least: usize) -> bool {
        if raw.len() < WORTH_LOOKING {
            return true;
        }
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

/// How often each byte is there.
pub(super) fn count(raw: &[u8]) -> [u32; 256] {
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
pub(super) fn entropy_bytes(length: usize, counts: &[u32; 256]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize, limit: u64) -> Vec<u8> {
        let mut state = length as u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from((state >> 33) % limit).unwrap()
        })
        .take(length)
        .collect()
    }

    #[test]
    fn pieces_are_found_at_any_distance_and_never_in_noise() {
        let mut repetitions = Repetitions::default();
        let mut are_likely = |raw: &[u8]| repetitions.are_likely(raw, entropy_bytes(raw.len(), &count(raw)));
        for length in [260, 700, 3_000, 20_001, 300_000] {
            for limit in [4, 16, 256] {
                let once = noise(length, limit);
                assert!(!are_likely(&once), "{length} of {limit}");
                assert!(are_likely(&[&once[..], &once].concat()), "{length} of {limit}");
                // The last third is the first one.
                let mut later = once;
                later.copy_within(..length / 3, length - length / 3);
                assert!(length < 1_000 || are_likely(&later), "{length} of {limit}");
            }
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a comparison of estimates")]
    fn logarithms_are_right_to_a_hundredth() {
        for number in (1..70_000).chain([u32::MAX / 3, u32::MAX]) {
            let number = number as f32;
            assert!((logarithm(number) - number.log2()).abs() < 0.01, "{number}");
        }
    }

    #[test]
    fn frequencies_tell_how_small_a_stream_can_be() {
        let halves: Vec<u8> = (0..8_000_u32).map(|place| u8::from(place % 2 == 0)).collect();
        let found = entropy_bytes(halves.len(), &count(&halves));
        assert!((990..=1_010).contains(&found), "{found}");
        assert_eq!(count(&halves).iter().sum::<u32>(), 8_000);
        assert_eq!(count(&halves)[..3], [4_000, 4_000, 0]);
        assert_eq!(count(b"abcabcabcabca")[usize::from(b'a')], 5);
    }
}
