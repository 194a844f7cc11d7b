//! Ports as codes that need no table.
//!
//! In: values of a tag that is a port. Out: a code of 32 bits for each, the same for the same value, and back. Never here:
//! which ports are folded.

use crate::tabular::{Part, Typed};
use crate::value::Value;

/// Behind all ports.
const FOLDED: u32 = 1 << 16;

/// Behind these.
const UNKNOWN: u32 = FOLDED + 1;

/// The values of a tag, of which it is kept what there is beside plain ports.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    has_folded: bool,
    has_unknown: bool,
    /// The least and the greatest rank.
    ranks: Option<(u32, u32)>,
}

impl Ports {
    /// The code of a value.
    pub(crate) fn code(&mut self, value: &Value) -> u32 {
        let code = match value {
            Value::Number(port) => u32::try_from(*port).ok().filter(|port| *port < FOLDED).unwrap_or(UNKNOWN),
            Value::Folded => FOLDED,
            _ => UNKNOWN,
        };
        self.has_folded |= code == FOLDED;
        self.has_unknown |= code == UNKNOWN;
        let (rank, ranks) = (rank(code), self.ranks);
        self.ranks = Some(ranks.map_or((rank, rank), |(least, most)| (least.min(rank), most.max(rank))));
        code
    }

    /// The least and the greatest [`rank`] of all values.
    pub(crate) fn ranks(&self) -> (u32, u32) {
        self.ranks.unwrap_or_default()
    }

    /// The values of these codes.
    pub(crate) fn part(&self, codes: impl Iterator<Item = u32>) -> Part<'static> {
        match (self.has_folded, self.has_unknown) {
            (false, false) => Part::Numbers(Typed::known(codes.map(u64::from).collect())),
            (false, true) => Part::Numbers(Typed::new(codes.map(|code| (code < FOLDED).then_some(code.into())))),
            (true, _) => Part::Values(codes.map(value).collect()),
        }
    }
}

/// What a code means.
pub(crate) fn value(code: u32) -> Value {
    match code {
        FOLDED => Value::Folded,
        port if port < FOLDED => Value::Number(port.into()),
        _ => Value::Null,
    }
}

/// The place of a code in the order of values.
pub(crate) fn rank(code: u32) -> u32 {
    match code {
        FOLDED => 1,
        port if port < FOLDED => port + 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_and_in_order() {
        let numbers = [0, 1, 2, 80, 443, 65_534, 65_535].map(Value::Number);
        let values: Vec<Value> = [Value::Null, Value::Folded].into_iter().chain(numbers).collect();
        for some in [&values[..], &values[1..], &values[2..], &[Value::Null, Value::Number(7)]] {
            let mut ports = Ports::default();
            assert_eq!(ports.ranks(), (0, 0));
            let codes: Vec<u32> = some.iter().map(|value| ports.code(value)).collect();
            assert_eq!(
                ports.part(codes.iter().copied()).iter().map(|value| value.into_owned()).collect::<Vec<_>>(),
                some
            );
            assert_eq!(codes.iter().copied().map(value).collect::<Vec<_>>(), some);
            assert!(codes.is_sorted_by_key(|code| rank(*code)));
            assert_eq!(ports.ranks(), (rank(codes[0]), rank(codes[codes.len() - 1])));
        }
    }
}
