//! Fields of text lines, one behind the other.
//!
//! In: numbers, addresses, times, texts. Out: the same as bytes, each with a comma behind it. Never here: what of a report they
//! are.
//!
//! Millions of them are short, so each is stored as a chunk of a fixed length, of which then only the beginning counts.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use super::{ReportError, rfc3339};

/// A field of at most 15 bytes, with its comma. The last byte says how many bytes it has, or is the comma itself. Of a longer
/// field it is 0, and before it stand where it begins and where it ends among the long ones, with 32 bits each.
type Short = [u8; 16];

const DAY_US: i64 = 86_400_000_000;

/// Every pair of digits.
const PAIRS: [u16; 100] = {
    let mut pairs = [0; 100];
    let mut pair = 0;
    while pair < 100 {
        pairs[pair as usize] = (b'0' as u16 + pair / 10) | (b'0' as u16 + pair % 10) << 8;
        pair += 1;
    }
    pairs
};

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Behind `length` is room.
    bytes: Vec<u8>,
    length: usize,
}

/// Fields that are written again and again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    fields: Vec<Short>,
    long: Vec<u8>,
}

/// The day of the last time, as text: most times are of the same.
#[derive(Debug, Default)]
pub(super) struct Day {
    /// Its beginning, in µs since 1970, and its text up to the hour.
    known: Option<(i64, String)>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The first `length` bytes of a chunk.
    #[inline]
    fn put<const N: usize>(&mut self, chunk: &[u8; N], length: usize) {
        match self.bytes.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => *place = *chunk,
            None => self.grow(chunk),
        }
        self.length += length;
    }

    #[cold]
    fn grow(&mut self, bytes: &[u8]) {
        self.bytes.resize(2 * (self.length + bytes.len()), 0);
        if let Some(place) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    #[inline]
    pub(super) fn comma(&mut self) {
        self.put(b",", 1);
    }

    /// The line ends in place of the last comma.
    pub(super) fn end_line(&mut self) {
        if let Some(comma) = self.length.checked_sub(1).and_then(|last| self.bytes.get_mut(last)) {
            *comma = b'\n';
        }
    }

    /// The field at a place of those that are kept; false when there is none.
    #[inline]
    pub(super) fn kept(&mut self, kept: &Kept, place: usize) -> bool {
        let Some(field) = kept.fields.get(place) else { return false };
        match field[15] {
            0 => self.extend(kept.long(*field)),
            b',' => self.put(field, 16),
            length => self.put(field, length.into()),
        }
        true
    }

    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        let (high, low) = (number / 10_000, number % 10_000);
        if high == 0 {
            let (digits, length) = leading(low);
            self.put(&(u64::from(digits) | u64::from(b',') << (8 * length)).to_le_bytes(), length + 1);
        } else if high < 10_000 {
            let (digits, length) = leading(high);
            self.put(&digits.to_le_bytes(), length);
            self.put(&(u64::from(four(low)) | u64::from(b',') << 32).to_le_bytes(), 5);
        } else {
            self.text(itoa::Buffer::new().format(number));
            self.comma();
        }
    }

    pub(super) fn ip(&mut self, ip: IpAddr) -> io::Result<()> {
        match ip {
            IpAddr::V4(ip) => self.ipv4(ip),
            IpAddr::V6(ip) => write!(self, "{ip},")?,
        }
        Ok(())
    }

    fn ipv4(&mut self, ip: Ipv4Addr) {
        for (octet, end) in ip.octets().into_iter().zip(*b"...,") {
            let (digits, length) = leading(octet.into());
            self.put(&(digits | u32::from(end) << (8 * length)).to_le_bytes(), length + 1);
        }
    }

    /// RFC 3339 in UTC.
    #[inline]
    pub(super) fn time(&mut self, micros: i64, day: &mut Day) -> Result<(), ReportError> {
        let within = micros.rem_euclid(DAY_US);
        let start = micros.saturating_sub(within);
        match &day.known {
            Some((known, text)) if *known == start => self.text(text),
            _ => {
                let text = rfc3339(micros)?;
                let text = text.split_inclusive('T').next().unwrap_or_default().to_owned();
                self.text(&text);
                day.known = Some((start, text));
            }
        }
        let within = within.unsigned_abs();
        let (seconds, micros) = (within / 1_000_000, within % 1_000_000);
        let clock = pair(seconds / 3600)
            | u64::from(b':') << 16
            | pair(seconds / 60 % 60) << 24
            | u64::from(b':') << 40
            | pair(seconds % 60) << 48;
        self.put(&clock.to_le_bytes(), 8);
        let fraction = u64::from(b'.')
            | pair(micros / 10_000) << 8
            | pair(micros / 100 % 100) << 24
            | pair(micros % 100) << 40
            | u64::from(b'Z') << 56;
        self.put(&fraction.to_le_bytes(), 8);
        self.comma();
        Ok(())
    }

    /// A text without a comma behind it.
    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.extend(text.as_bytes());
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => self.grow(bytes),
        }
        self.length += bytes.len();
    }
}

impl Kept {
    /// Keeps one more field, with its comma; false when there is no room for it.
    pub(super) fn push(&mut self, field: &[u8]) -> bool {
        let mut kept = [0; 16];
        match (kept.get_mut(..field.len()), u8::try_from(field.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(field);
                if length < 16 {
                    kept[15] = length;
                }
            }
            _ => {
                let Ok(start) = u32::try_from(self.long.len()) else { return false };
                let Ok(end) = u32::try_from(self.long.len() + field.len()) else { return false };
                self.long.extend_from_slice(field);
                kept[..4].copy_from_slice(&start.to_le_bytes());
                kept[4..8].copy_from_slice(&end.to_le_bytes());
            }
        }
        self.fields.push(kept);
        true
    }

    fn long(&self, [a, b, c, d, e, f, g, h, ..]: Short) -> &[u8] {
        let (start, end) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        self.long.get(start as usize..end as usize).unwrap_or_default()
    }
}

impl Write for Fields {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two digits of a number below 100.
#[inline]
fn pair(number: u64) -> u64 {
    PAIRS.get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or(0).into()
}

/// The four digits of a number below 10,000, the first in the lowest byte.
#[inline]
fn four(number: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "these are 16 bits each")]
    let (high, low) = (pair(number / 100) as u32, pair(number % 100) as u32);
    high | low << 16
}

/// Likewise without leading zeros, and how many they are.
#[inline]
fn leading(number: u64) -> (u32, usize) {
    let length = 1 + usize::from(number > 9) + usize::from(number > 99) + usize::from(number > 999);
    (four(number) >> (8 * (4 - length)), length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a field is without its comma, alone, kept, and where there is hardly any room.
    fn made(make: impl Fn(&mut Fields)) -> String {
        let mut fields = Fields::default();
        make(&mut fields);
        let text = String::from_utf8(fields.bytes().to_vec()).unwrap();
        let mut kept = Kept::default();
        assert!(kept.push(b"another,") && kept.push(b"another that is longer,") && kept.push(text.as_bytes()));
        fields.clear();
        for _ in 0..40 {
            assert!(fields.kept(&kept, 2) && !fields.kept(&kept, 3));
            make(&mut fields);
        }
        assert_eq!(fields.bytes(), text.repeat(80).as_bytes());
        text.strip_suffix(',').unwrap().to_owned()
    }

    #[test]
    fn every_short_number_and_the_ends_of_the_long_ones() {
        let ends = (0..20).flat_map(|power| {
            let power = 10_u64.pow(power);
            [power.saturating_sub(1), power, power + 1, power.saturating_mul(9)]
        });
        for number in (0..100_100).chain(ends).chain([u64::MAX - 1, u64::MAX]) {
            assert_eq!(made(|fields| fields.number(number)), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn numbers_and_addresses_are_what_they_are_elsewhere(number: u64, bits in 0..64_u32, ip: IpAddr) {
            prop_assert_eq!(made(|fields| fields.number(number >> bits)), (number >> bits).to_string());
            prop_assert_eq!(made(|fields| fields.ip(ip).unwrap()), ip.to_string());
        }

        #[test]
        fn times_are_what_a_calendar_says(
            times in prop::collection::vec((any::<i64>(), 0..64_u32, -2 * DAY_US..2 * DAY_US), 1..9)
        ) {
            let mut day = Day::default();
            for (start, bits, more) in times {
                let micros = (start >> bits).saturating_add(more);
                let mut fields = Fields::default();
                match (rfc3339(micros), fields.time(micros, &mut day)) {
                    (Ok(expected), Ok(())) => {
                        prop_assert_eq!(std::str::from_utf8(fields.bytes()).unwrap(), format!("{expected},"));
                    }
                    (Err(expected), Err(error)) => prop_assert_eq!(error.to_string(), expected.to_string()),
                    (expected, made) => prop_assert!(false, "{expected:?} {made:?}"),
                }
            }
        }
    }
}
