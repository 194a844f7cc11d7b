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
/// field it is 0, and before it stand where it begins and where it ends among the long ones, with 32 bits each. Where there is
/// no field it is [`NONE`].
pub(super) type Short = [u8; 16];

const NONE: u8 = u8::MAX;

const SECOND_US: i64 = 1_000_000;

const DAY_US: i64 = 86_400 * SECOND_US;

/// `0` eight times.
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

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

/// The second of the last time, as text: most times are of the same, or of the same day.
#[derive(Debug, Default)]
pub(super) struct Second {
    /// The beginning of the day, in µs since 1970, and its text up to the hour.
    day: Option<(i64, String)>,
    /// The beginning of the second.
    start: Option<i64>,
    /// Up to the point.
    text: Vec<u8>,
}

impl Second {
    /// A time in the second that begins then is to follow.
    #[inline]
    fn begin(&mut self, micros: i64, start: i64) -> Result<(), ReportError> {
        if self.start == Some(start) { Ok(()) } else { self.change(micros, start) }
    }

    fn change(&mut self, micros: i64, start: i64) -> Result<(), ReportError> {
        let within = micros.rem_euclid(DAY_US);
        let day = micros.saturating_sub(within);
        self.start = None;
        self.text.clear();
        match &self.day {
            Some((known, text)) if *known == day => self.text.extend_from_slice(text.as_bytes()),
            _ => {
                let text = rfc3339(micros)?;
                let text = text.split_inclusive('T').next().unwrap_or_default().to_owned();
                self.text.extend_from_slice(text.as_bytes());
                self.day = Some((day, text));
            }
        }
        let seconds = within.unsigned_abs() / SECOND_US.unsigned_abs();
        let clock = seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
        let [_, _, a, b, c, d, e, f] = eight(clock).to_le_bytes();
        self.text.extend_from_slice(&[a, b, b':', c, d, b':', e, f, b'.']);
        self.start = Some(start);
        Ok(())
    }
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
        self.end_with(b'\n');
    }

    /// Something else stands in place of the last comma.
    pub(super) fn end_with(&mut self, end: u8) {
        if let Some(comma) = self.length.checked_sub(1).and_then(|last| self.bytes.get_mut(last)) {
            *comma = end;
        }
    }

    /// A field of those that are kept; false when there is none.
    #[inline]
    pub(super) fn kept(&mut self, kept: &Kept, field: &Short) -> bool {
        match field[15] {
            0 => self.extend(kept.long(*field)),
            b',' => self.put(field, 16),
            NONE => return false,
            length => self.put(field, length.into()),
        }
        true
    }

    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        if number < 100_000_000 {
            self.digits(number, b',');
        } else {
            self.text(itoa::Buffer::new().format(number));
            self.comma();
        }
    }

    /// A number below 100,000,000, and what follows it.
    #[inline]
    fn digits(&mut self, number: u64, end: u8) {
        let (digits, length) = leading(number);
        if self.bytes.len() < self.length + 16 {
            self.grow(&[0; 16]);
        }
        // The end is stored by itself: to put it behind the digits first takes longer.
        if let Some(place) = self.bytes.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut::<16>) {
            place[..8].copy_from_slice(&digits.to_le_bytes());
            place[length % 16] = end;
        }
        self.length += length + 1;
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
            self.digits(octet.into(), end);
        }
    }

    /// RFC 3339 in UTC.
    #[inline]
    pub(super) fn time(&mut self, micros: i64, second: &mut Second) -> Result<(), ReportError> {
        let within = micros.rem_euclid(SECOND_US);
        second.begin(micros, micros.saturating_sub(within))?;
        match second.text.first_chunk::<20>().filter(|text| text.len() == second.text.len()) {
            Some(text) => self.put(text, 20),
            None => self.extend(&second.text),
        }
        // Two digits more than there are.
        let fraction = eight(within.unsigned_abs()) >> 16;
        self.put(&(fraction | u64::from(u16::from_le_bytes(*b"Z,")) << 48).to_le_bytes(), 8);
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

    /// Finds the fields at many places: memory is waited for once for all.
    pub(super) fn find(&self, places: &[u32], found: &mut Vec<Short>) {
        found.clear();
        found.extend(places.iter().map(|place| self.fields.get(*place as usize).copied().unwrap_or([NONE; 16])));
        let long = found.iter().filter(|field| field[15] == 0).filter_map(|field| self.long(*field).first());
        std::hint::black_box(long.fold(0, |all, byte| all ^ byte));
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

/// The eight digits of a number below 100,000,000, the first in the lowest byte: as numbers, not as characters.
///
/// All that is divided is divided at once: by 10,000, then both by 100, then all four by 10.
#[inline]
fn digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

/// Likewise as characters.
#[inline]
fn eight(number: u64) -> u64 {
    digits(number) | ZEROS
}

/// Likewise without leading zeros, and how many they are.
#[inline]
fn leading(number: u64) -> (u64, usize) {
    let digits = digits(number);
    // 0 has one digit.
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    ((digits | ZEROS) >> (8 * zeros), 8 - zeros as usize)
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
        let mut found = vec![[1; 16]; 2];
        kept.find(&[3, 2, 0], &mut found);
        assert_eq!(found.len(), 3);
        for _ in 0..40 {
            assert!(fields.kept(&kept, &found[1]) && !fields.kept(&kept, &found[0]));
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
            let mut second = Second::default();
            for (start, bits, more) in times {
                let micros = (start >> bits).saturating_add(more);
                let mut fields = Fields::default();
                match (rfc3339(micros), fields.time(micros, &mut second)) {
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
