//! From the text of a value to a value of a field's type.
//!
//! In: a field, a word or quoted text. Out: a literal or a set's item of the field's type, or what was expected instead.
//! Never here: where it stands.

use std::net::IpAddr;

use chrono::{DateTime, Datelike as _};
use ipnet::IpNet;

use super::error::{Wrong, found};
use super::expression::{Item, Literal, Subject};
use crate::field::Field;
use crate::value::{Net, Type};

/// Units, how many of the field's own unit each is, and of how many it is one part.
const BYTES: [(&str, u64, u64); 10] = [
    ("B", 1, 1),
    ("kB", 1_000, 1),
    ("KB", 1_000, 1),
    ("MB", 1_000_000, 1),
    ("GB", 1_000_000_000, 1),
    ("TB", 1_000_000_000_000, 1),
    ("KiB", 1 << 10, 1),
    ("MiB", 1 << 20, 1),
    ("GiB", 1 << 30, 1),
    ("TiB", 1 << 40, 1),
];
const MICROSECONDS: [(&str, u64, u64); 6] =
    [("ns", 1, 1_000), ("us", 1, 1), ("µs", 1, 1), ("μs", 1, 1), ("ms", 1_000, 1), ("s", 1_000_000, 1)];

/// More digits behind the point cannot make a whole number of any unit.
const MOST_DIGITS: usize = 12;

/// What stands where a value is expected.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Word(&'a str),
    /// In quotes.
    Text(&'a str),
}

/// The type of what a subject is.
pub(super) fn type_of(subject: Subject) -> Type {
    match subject {
        Subject::Field(field) => field.ty,
        Subject::Prefix(tag) => tag.ty(),
        Subject::Distinct(_) => Type::U64,
        Subject::Ip => Type::Ip,
        Subject::Port => Type::U16,
    }
}

/// What the type is called in messages.
pub(super) fn kind(ty: Type) -> &'static str {
    match ty {
        Type::U16 | Type::U32 | Type::U64 => "a number",
        Type::Ip => "an address",
        Type::Net => "a network",
        Type::Text => "text",
        Type::Time => "a time",
    }
}

/// The operators that go with the type.
pub(super) fn takes(ty: Type) -> &'static str {
    match ty {
        Type::U16 | Type::U32 | Type::U64 | Type::Time => "== != < <= > >= in",
        Type::Ip | Type::Net => "== != in",
        Type::Text => "== != in contains matches",
    }
}

/// What a value of the subject looks like.
pub(super) fn expected(subject: Subject) -> String {
    match (type_of(subject), subject) {
        (Type::Ip, _) => "an address, like 10.0.0.1 or 2001:db8::1".to_owned(),
        (Type::Net, _) => "a network, like 10.0.0.0/24, or an address".to_owned(),
        (Type::Time, _) => "a time, like 2026-11-23T09:00:00Z".to_owned(),
        (Type::Text, Subject::Field(field)) if !field.words.is_empty() => field.words.join(" or "),
        (Type::Text, _) => "text, like \"curl\"".to_owned(),
        (_, Subject::Field(Field { unit: "bytes", .. })) => "a number of bytes, like 1000 or 1.5MB".to_owned(),
        (_, Subject::Field(Field { unit: "µs", .. })) => "a time, like 20ms or 500 (µs)".to_owned(),
        _ => "a number".to_owned(),
    }
}

/// Reads one value.
pub(super) fn literal(subject: Subject, text: Found<'_>) -> Result<Literal, Wrong> {
    let unexpected = || Wrong::Expected { expected: expected(subject), found: text.shown() };
    match (type_of(subject), text) {
        (Type::U16 | Type::U32 | Type::U64, Found::Word(word)) => {
            number(subject, word).and_then(|number| number.ok_or_else(unexpected)).map(Literal::Number)
        }
        (Type::U16 | Type::U32 | Type::U64, Found::Text(_)) => Err(unexpected()),
        (Type::Net, Found::Word(text) | Found::Text(text)) => {
            let address = || text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical().into());
            network(text).or_else(address).map(|net| Literal::Net(Net::from(net))).ok_or_else(unexpected)
        }
        (Type::Ip, Found::Word(text) | Found::Text(text)) => match text.parse::<IpAddr>() {
            Ok(ip) => Ok(Literal::Ip(ip.to_canonical())),
            Err(_) => Err(network(text).map_or_else(unexpected, |network| Wrong::Network(network.to_string()))),
        },
        (Type::Time, Found::Word(text) | Found::Text(text)) => {
            let time = DateTime::parse_from_rfc3339(text).map_err(|_| unexpected())?.to_utc();
            // Only such years are written with four digits.
            if !(0..=9999).contains(&time.year()) {
                return Err(unexpected());
            }
            Ok(Literal::Time(time.timestamp_micros()))
        }
        (Type::Text, Found::Word(text) | Found::Text(text)) => match subject {
            Subject::Field(field) if !field.words.is_empty() && !field.words.contains(&text) => Err(unexpected()),
            _ => Ok(Literal::Text(text.to_owned())),
        },
    }
}

/// Reads one item of a set, which is not a range.
pub(super) fn item(subject: Subject, text: Found<'_>) -> Result<Item, Wrong> {
    let network = match (type_of(subject), text) {
        (Type::Ip | Type::Net, Found::Word(text) | Found::Text(text)) => network(text),
        _ => None,
    };
    network.map_or_else(|| literal(subject, text).map(Item::One), |network| Ok(Item::Network(network)))
}

/// A network; one of IPv4 addresses mapped into IPv6 is one of IPv4 addresses.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok()?.trunc();
    let mapped = match network {
        IpNet::V6(net) => net.addr().to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.map_or(Some(network), |(ip, prefix)| IpNet::new(ip.into(), prefix).ok())
}

/// A number with or without unit; `None` when it is none.
fn number(subject: Subject, word: &str) -> Result<Option<u64>, Wrong> {
    let digits = |text: &str| text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = word.split_at(digits(word));
    if whole.is_empty() {
        return Ok(None);
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) => behind.split_at(digits(behind)),
        None => ("", rest),
    };
    if !rest.chars().all(char::is_alphabetic) || (word.contains('.') && fraction.is_empty()) {
        return Ok(None);
    }
    let unit = match subject {
        Subject::Field(field) => field.unit,
        Subject::Prefix(_) | Subject::Distinct(_) | Subject::Ip | Subject::Port => "",
    };
    let units: &[(&str, u64, u64)] = match unit {
        "bytes" => &BYTES,
        "µs" => &MICROSECONDS,
        _ => &[],
    };
    let (times, part) = match units.iter().find(|(name, ..)| *name == rest) {
        Some((_, times, part)) => (*times, *part),
        None if rest.is_empty() => (1, 1),
        None => {
            let mut units = units.to_vec();
            // One name of each is enough to know.
            units.dedup_by_key(|(_, times, part)| (*times, *part));
            let units: Vec<_> = units.into_iter().map(|(name, ..)| name).collect();
            return Err(Wrong::Unit { name: subject.name(), units: units.join(" ") });
        }
    };
    let most = most(type_of(subject));
    let too_great = || Wrong::TooGreat { name: subject.name(), most };
    let fraction = fraction.trim_end_matches('0');
    let not_whole = || Wrong::Fraction { found: found(word), unit };
    if fraction.len() > MOST_DIGITS {
        return Err(not_whole());
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    // No number above this fits, whatever its unit; what is not above cannot overflow below.
    let whole = whole.parse::<u128>().ok().filter(|whole| *whole <= u128::from(u64::MAX) * 1_000);
    let parts = whole
        .and_then(|whole| whole.checked_mul(scale))
        .and_then(|whole| whole.checked_add(fraction.parse().unwrap_or_default()))
        .and_then(|parts| parts.checked_mul(times.into()))
        .ok_or_else(too_great)?;
    let divisor = scale * u128::from(part);
    if parts % divisor != 0 {
        return Err(not_whole());
    }
    u64::try_from(parts / divisor).ok().filter(|number| *number <= most).map(Some).ok_or_else(too_great)
}

/// The greatest number of the type.
fn most(ty: Type) -> u64 {
    match ty {
        Type::U16 => u16::MAX.into(),
        Type::U32 => u32::MAX.into(),
        Type::U64 | Type::Text | Type::Ip | Type::Net | Type::Time => u64::MAX,
    }
}

impl Found<'_> {
    fn shown(self) -> String {
        match self {
            Self::Word(text) => found(text),
            Self::Text(text) => format!("the text {}", if text.is_empty() { "\"\"".to_owned() } else { found(text) }),
        }
    }
}
