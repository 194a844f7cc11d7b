//! The different values of a tag, each once.
//!
//! In: values. Out: a code of 32 bits for each, the same for the same value. Never here: what values are of.

use std::hash::Hasher;
use std::net::IpAddr;

use rustc_hash::FxHasher;

use crate::index::{Index, mixed};
use crate::value::Value;

/// Not found.
const NONE: u32 = u32::MAX;

/// The different values of a tag.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    values: Vec<Value>,
    /// IPv4 addresses, of which no two have one hash: nobody need look at the value, which is elsewhere in memory.
    ipv4: Index,
    others: Index,
    /// Of those that are looked for together.
    hashes: Vec<u32>,
    /// Bytes of texts, which stand elsewhere.
    texts: usize,
}

impl Dictionary {
    /// The code of a value.
    pub(crate) fn code(&mut self, value: Value) -> u32 {
        let hash = hash_of(&value);
        self.code_of(hash, value)
    }

    /// The codes of many, which are looked for together.
    pub(crate) fn codes(&mut self, values: &mut Vec<Value>, codes: &mut Vec<u32>) {
        codes.clear();
        self.hashes.clear();
        self.hashes.extend(values.iter().map(hash_of));
        codes.extend(self.hashes.iter().zip(&*values).map(|(hash, value)| {
            let places = if is_ipv4(value) { &self.ipv4 } else { &self.others };
            places.first(*hash).unwrap_or(NONE)
        }));
        let hashes = std::mem::take(&mut self.hashes);
        for ((code, value), hash) in codes.iter_mut().zip(values.drain(..)).zip(&hashes) {
            if *code == NONE || !is_ipv4(&value) {
                *code = self.code_of(*hash, value);
            }
        }
        self.hashes = hashes;
    }

    fn code_of(&mut self, hash: u32, value: Value) -> u32 {
        let is_ipv4 = is_ipv4(&value);
        let found = match is_ipv4 {
            true => self.ipv4.first(hash),
            false => self.others.find(hash, |code| self.values.get(code as usize) == Some(&value)),
        };
        if let Some(code) = found {
            return code;
        }
        let code = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        if is_ipv4 { &mut self.ipv4 } else { &mut self.others }.insert(hash, code);
        if let Value::Text(text) = &value {
            // Two counts stand before it.
            self.texts += text.len() + 16;
        }
        self.values.push(value);
        code
    }

    /// No more values follow: what finds them is given back.
    pub(crate) fn seal(&mut self) {
        (self.ipv4, self.others) = (Index::default(), Index::default());
    }

    /// The value of each code.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    pub(crate) fn memory(&self) -> usize {
        self.values.capacity() * size_of::<Value>() + self.ipv4.memory() + self.others.memory() + self.texts
    }
}

fn is_ipv4(value: &Value) -> bool {
    matches!(value, Value::Ip(IpAddr::V4(_)))
}

fn hash_of(value: &Value) -> u32 {
    let mut hasher = FxHasher::default();
    match value {
        Value::Ip(IpAddr::V4(ip)) => return reversible(ip.to_bits()),
        // Their own hash is slow.
        Value::Ip(IpAddr::V6(ip)) => hasher.write_u128(ip.to_bits()),
        value => std::hash::Hash::hash(value, &mut hasher),
    }
    mixed(&hasher)
}

/// Another number for each number: each step can be undone.
fn reversible(number: u32) -> u32 {
    let number = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let number = (number ^ number >> 15).wrapping_mul(0x846c_a68b);
    number ^ number >> 16
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustc_hash::FxHashSet;

    use super::*;

    /// As [`reversible`], from its end to its beginning.
    fn reversed(number: u32) -> u32 {
        let inverse = |factor: u32| {
            (0..5).fold(factor, |found, _| found.wrapping_mul(2_u32.wrapping_sub(factor.wrapping_mul(found))))
        };
        let number = (number ^ number >> 16).wrapping_mul(inverse(0x846c_a68b));
        let number = (number ^ number >> 15 ^ number >> 30).wrapping_mul(inverse(0x7feb_352d));
        number ^ number >> 16
    }

    #[test]
    fn no_two_ipv4_addresses_have_one_hash() {
        for number in (0..u32::MAX).step_by(65_521) {
            assert_eq!(reversed(reversible(number)), number);
        }
    }

    #[test]
    fn a_value_has_one_code_alone_and_among_many() {
        let value = |number: u32| match number % 4 {
            0 => Value::Ip(Ipv4Addr::from_bits(number / 8).into()),
            1 => Value::Ip(Ipv4Addr::from_bits(number / 8).to_ipv6_mapped().into()),
            2 => Value::Number((number / 8).into()),
            _ => Value::Text((number / 8).to_string().into()),
        };
        let (mut many, mut alone) = (Dictionary::default(), Dictionary::default());
        let mut codes = Vec::new();
        for begin in (0..40_000).step_by(100) {
            let mut values: Vec<Value> = (begin..begin + 200).map(value).collect();
            many.codes(&mut values.clone(), &mut codes);
            assert_eq!(codes, values.drain(..).map(|value| alone.code(value)).collect::<Vec<_>>());
        }
        let numbers = 0..40_100_u32;
        let values: FxHashSet<Value> = numbers.map(value).collect();
        assert_eq!(many.values().iter().cloned().collect::<FxHashSet<_>>(), values);
        assert_eq!(many.values().len(), values.len());
    }
}
