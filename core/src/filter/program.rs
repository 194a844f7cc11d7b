//! An expression as it is evaluated: for every connection of a capture, so without search for names and without memory.
//!
//! In: an [`Expression`], once; then values. Out: whether it holds. Never here: types, which the parser has checked.
//!
//! Numbers, times and addresses are compared in one way: a sorted list of ranges that do not touch.

use std::net::IpAddr;

use regex::Regex;

use super::expression::{Comparison, Expression, Item, Literal, Subject, Test};
use crate::value::{Net, Value};

/// A compiled expression; `G` finds a field's value.
#[derive(Debug, Clone)]
pub(super) enum Program<G> {
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    Test(G, Check),
}

/// What a value is compared with. A missing value, a folded port and a value of another type are in nothing.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    Missing,
    Numbers(Box<[(u64, u64)]>),
    Ips(Box<[(IpAddr, IpAddr)]>),
    Net(Net),
    Times(Box<[(i64, i64)]>),
    /// Sorted.
    Texts(Box<[Box<str>]>),
    Contains(Box<str>),
    Matches(Regex),
}

impl<G> Program<G> {
    /// Compiles; `find` says how a value is found.
    pub(super) fn new(expression: &Expression, find: &impl Fn(Subject) -> G) -> Self {
        let parts = |parts: &[Expression]| parts.iter().map(|part| Self::new(part, find)).collect();
        match expression {
            Expression::All(all) => Self::All(parts(all)),
            Expression::Any(any) => Self::Any(parts(any)),
            Expression::Not(part) => Self::Not(Box::new(Self::new(part, find))),
            Expression::Test(subject, test) => Self::test(*subject, test, find),
        }
    }

    fn test(subject: Subject, test: &Test, find: &impl Fn(Subject) -> G) -> Self {
        let (check, is_negated) = match test {
            Test::Missing => (Check::Missing, false),
            Test::Present => (Check::Missing, true),
            Test::Compare(comparison, literal) => {
                (Check::comparison(*comparison, literal), *comparison == Comparison::Unequal)
            }
            Test::In(items) => (Check::set(items), false),
            Test::Contains(text) => (Check::Contains(text.as_str().into()), false),
            Test::Matches(pattern) => (Check::Matches(pattern.0.clone()), false),
        };
        let parts = subject.parts().into_iter().flatten();
        let mut tests: Vec<Self> = parts.map(|part| Self::Test(find(part), check.clone())).collect();
        let test = match (tests.len(), tests.pop()) {
            (1, Some(test)) => test,
            (_, last) => Self::Any(tests.into_iter().chain(last).collect()),
        };
        if is_negated { Self::Not(Box::new(test)) } else { test }
    }

    /// Whether it holds where `get` gives the values.
    pub(super) fn holds(&self, get: &impl Fn(&G) -> Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(get)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(get)),
            Self::Not(part) => !part.holds(get),
            Self::Test(field, check) => check.holds(&get(field)),
        }
    }

    /// Whether it holds whatever the missing values are; `None` where that depends on them.
    pub(super) fn decides(&self, get: &impl Fn(&G) -> Value) -> Option<bool> {
        self.decides_by(&mut |field, check| {
            let value = get(field);
            (value != Value::Null).then(|| check.holds(&value))
        })
    }

    /// The same for who knows better how a value is compared; `test` gives `None` where that is not known.
    pub(super) fn decides_by(&self, test: &mut impl FnMut(&G, &Check) -> Option<bool>) -> Option<bool> {
        // One part is enough to decide the one way, all of them are needed for the other.
        let mut decide = |parts: &[Self], enough: bool| {
            let mut decided = Some(!enough);
            for part in parts {
                match part.decides_by(test) {
                    Some(holds) if holds == enough => return Some(enough),
                    Some(_) => {}
                    None => decided = None,
                }
            }
            decided
        };
        match self {
            Self::All(parts) => decide(parts, false),
            Self::Any(parts) => decide(parts, true),
            Self::Not(part) => part.decides_by(test).map(|holds| !holds),
            Self::Test(field, check) => test(field, check),
        }
    }
}

impl<G> Program<Option<G>> {
    /// The same where every value can be found; otherwise `None`.
    pub(super) fn complete(self) -> Option<Program<G>> {
        let all = |parts: Box<[Self]>| parts.into_iter().map(Self::complete).collect::<Option<_>>();
        Some(match self {
            Self::All(parts) => Program::All(all(parts)?),
            Self::Any(parts) => Program::Any(all(parts)?),
            Self::Not(part) => Program::Not(Box::new(part.complete()?)),
            Self::Test(find, check) => Program::Test(find?, check),
        })
    }
}

impl Check {
    fn comparison(comparison: Comparison, literal: &Literal) -> Self {
        match literal {
            Literal::Number(number) => {
                let next = (number.checked_sub(1), number.checked_add(1));
                Self::Numbers(compared(comparison, *number, (u64::MIN, u64::MAX), next))
            }
            Literal::Time(time) => {
                let next = (time.checked_sub(1), time.checked_add(1));
                Self::Times(compared(comparison, *time, (i64::MIN, i64::MAX), next))
            }
            // Neither is less or greater than another.
            Literal::Ip(ip) => Self::Ips([(*ip, *ip)].into()),
            Literal::Net(net) => Self::Net(*net),
            Literal::Text(text) => Self::Texts([text.as_str().into()].into()),
        }
    }

    fn set(items: &[Item]) -> Self {
        let (mut numbers, mut ips, mut times, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for item in items {
            let (first, last) = match item {
                Item::One(literal) => (literal, literal),
                Item::Range(first, last) => (first, last),
                Item::Network(network) => {
                    ips.push((network.network(), network.broadcast()));
                    continue;
                }
            };
            match (first, last) {
                (Literal::Number(first), Literal::Number(last)) => numbers.push((*first, *last)),
                (Literal::Ip(first), Literal::Ip(last)) => ips.push((*first, *last)),
                (Literal::Net(net), Literal::Net(_)) => ips.push(net.range()),
                (Literal::Time(first), Literal::Time(last)) => times.push((*first, *last)),
                (Literal::Text(text), Literal::Text(_)) => texts.push(Box::from(text.as_str())),
                _ => {}
            }
        }
        if !numbers.is_empty() {
            Self::Numbers(joined(numbers))
        } else if !ips.is_empty() {
            Self::Ips(joined(ips))
        } else if !times.is_empty() {
            Self::Times(joined(times))
        } else {
            texts.sort_unstable();
            Self::Texts(texts.into())
        }
    }

    pub(crate) fn holds(&self, value: &Value) -> bool {
        let text = match value {
            Value::Text(text) => Some(&**text),
            Value::Word(word) => Some(*word),
            _ => None,
        };
        match (self, value) {
            (Self::Missing, Value::Null | Value::Folded) => true,
            (Self::Numbers(ranges), Value::Number(number)) => is_in(ranges, number),
            (Self::Ips(ranges), Value::Ip(ip)) => is_in(ranges, ip),
            (Self::Ips(ranges), Value::Net(net)) => {
                let (first, last) = net.range();
                ranges.iter().any(|range| range.0 <= first && last <= range.1)
            }
            (Self::Net(asked), Value::Net(net)) => asked == net,
            (Self::Times(ranges), Value::Time(time)) => is_in(ranges, time),
            (Self::Texts(texts), _) => {
                text.is_some_and(|text| texts.binary_search_by(|known| (**known).cmp(text)).is_ok())
            }
            (Self::Contains(part), _) => text.is_some_and(|text| text.contains(&**part)),
            (Self::Matches(regex), _) => text.is_some_and(|text| regex.is_match(text)),
            _ => false,
        }
    }
}

/// The values for which the comparison holds; of `!=`, those for which it does not. Next to it are `before` and `after`.
fn compared<T: Copy>(
    comparison: Comparison,
    value: T,
    (least, most): (T, T),
    (before, after): (Option<T>, Option<T>),
) -> Box<[(T, T)]> {
    let range = match comparison {
        Comparison::Equal | Comparison::Unequal => Some((value, value)),
        Comparison::Less => before.map(|before| (least, before)),
        Comparison::LessOrEqual => Some((least, value)),
        Comparison::Greater => after.map(|after| (after, most)),
        Comparison::GreaterOrEqual => Some((value, most)),
    };
    range.into_iter().collect()
}

/// The same ranges, sorted, and none within reach of another.
fn joined<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

fn is_in<T: Ord>(ranges: &[(T, T)], value: &T) -> bool {
    let behind = ranges.partition_point(|(first, _)| first <= value);
    behind.checked_sub(1).is_some_and(|index| *value <= ranges[index].1)
}
