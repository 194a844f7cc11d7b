//! An expression as it was understood.
//!
//! In: what the parser found. Out: a tree that can be compared, and shown as text that means the same. Never here: values
//! of connections or rows.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::{MAX_DEPTH, MAX_PATTERN_BYTES};
use crate::column::Tag;
use crate::field::Field;
use crate::value::Net;

/// An expression. Every literal has the type of its field; `All` and `Any` have at least two parts, none of which is of
/// the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// `and`: every part holds.
    All(Vec<Self>),
    /// `or`: some part holds.
    Any(Vec<Self>),
    /// `not`: it does not hold.
    Not(Box<Self>),
    /// One question about one field.
    Test(Subject, Test),
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    /// A field.
    Field(&'static Field),
    /// A column of networks, by which rows are grouped.
    Prefix(Tag),
    /// A column that counts the different values of a tag.
    Distinct(Tag),
    /// `src_ip` or `dst_ip`: the test holds of either.
    Ip,
    /// `src_port` or `dst_port`: the test holds of either.
    Port,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Whether the value is missing: `== null`.
    Missing,
    /// Whether it is there: `!= null`.
    Present,
    /// How it compares with another.
    Compare(Comparison, Literal),
    /// Whether it is among others.
    In(Vec<Item>),
    /// Whether the text is in it.
    Contains(String),
    /// Whether the regular expression is found in it.
    Matches(Pattern),
}

/// How two values compare. Only numbers and times are less or greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`: everything of which `==` does not hold, missing values too.
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// In the field's own unit.
    Number(u64),
    /// Canonical.
    Ip(IpAddr),
    /// A network, or an address that is one by itself. Canonical.
    Net(Net),
    /// Text.
    Text(String),
    /// Microseconds since 1970 in UTC.
    Time(i64),
}

/// What a set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// One value.
    One(Literal),
    /// All from the first to the last, both included.
    Range(Literal, Literal),
    /// All addresses of a network, whose own address is canonical.
    Network(IpNet),
}

/// A regular expression; equal to another with the same text.
#[derive(Debug, Clone)]
pub struct Pattern(pub(super) Regex);

impl Expression {
    /// All parts hold.
    #[must_use]
    pub fn all(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::All(parts) => parts,
            other => vec![other],
        });
        Self::of(flat.collect(), Self::All)
    }

    /// Some part holds.
    #[must_use]
    pub fn any(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::Any(parts) => parts,
            other => vec![other],
        });
        Self::of(flat.collect(), Self::Any)
    }

    /// Everything that is asked about.
    pub(super) fn each_subject(&self, see: &mut impl FnMut(&Subject)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each_subject(see)),
            Self::Not(part) => part.each_subject(see),
            Self::Test(subject, _) => see(subject),
        }
    }

    /// It holds an address, or a text that is not one of a field's own words: from it somebody could learn who is meant.
    #[must_use]
    pub fn names_somebody(&self) -> bool {
        let (subject, test) = match self {
            Self::All(parts) | Self::Any(parts) => return parts.iter().any(Self::names_somebody),
            Self::Not(part) => return part.names_somebody(),
            Self::Test(subject, test) => (subject, test),
        };
        let has_words = matches!(subject, Subject::Field(field) if !field.words.is_empty());
        let names = |literal: &Literal| match literal {
            Literal::Number(_) | Literal::Time(_) => false,
            Literal::Ip(_) | Literal::Net(_) => true,
            Literal::Text(_) => !has_words,
        };
        match test {
            Test::Missing | Test::Present => false,
            Test::Compare(_, literal) => names(literal),
            Test::In(items) => items.iter().any(|item| match item {
                Item::One(one) => names(one),
                Item::Range(from, to) => names(from) || names(to),
                Item::Network(_) => true,
            }),
            Test::Contains(_) | Test::Matches(_) => !has_words,
        }
    }

    fn of(mut parts: Vec<Self>, make: fn(Vec<Self>) -> Self) -> Self {
        match (parts.len(), parts.pop()) {
            (1, Some(part)) => part,
            (_, last) => {
                parts.extend(last);
                make(parts)
            }
        }
    }
}

impl Subject {
    /// Its name.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Field(field) => field.name.into(),
            Self::Prefix(tag) => tag.name(),
            Self::Distinct(tag) => tag.distinct_name(),
            Self::Ip => "ip".into(),
            Self::Port => "port".into(),
        }
    }

    /// What it is, or both of which it may be either.
    pub(super) fn parts(self) -> [Option<Self>; 2] {
        let fields = |names: [&str; 2]| names.map(|name| Field::by_name(name).map(Self::Field));
        match self {
            Self::Field(_) | Self::Prefix(_) | Self::Distinct(_) => [Some(self), None],
            Self::Ip => fields(["src_ip", "dst_ip"]),
            Self::Port => fields(["src_port", "dst_port"]),
        }
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Subject {}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// A regular expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES)
            .nest_limit(u32::try_from(MAX_DEPTH).unwrap_or(u32::MAX))
            .build();
        regex.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(most) => format!("it takes more than {most} bytes of memory"),
            // Of the lines that show the place in the pattern, only the last says what is wrong.
            error => error.to_string().rsplit("error: ").next().unwrap_or_default().to_owned(),
        })
    }

    /// It is found in the text.
    #[must_use]
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Text that is read as the same expression.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => list(f, parts, " and ", |part, f| match part {
                Self::Any(_) => write!(f, "({part})"),
                _ => part.fmt(f),
            }),
            Self::Any(parts) => list(f, parts, " or ", Self::fmt),
            Self::Not(part) => match **part {
                Self::All(_) | Self::Any(_) => write!(f, "not ({part})"),
                _ => write!(f, "not {part}"),
            },
            Self::Test(subject, test) => write!(f, "{} {test}", subject.name()),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("== null"),
            Self::Present => f.write_str("!= null"),
            Self::Compare(comparison, literal) => write!(f, "{} {literal}", comparison.name()),
            Self::In(items) => match items.as_slice() {
                [Item::Network(network)] => write!(f, "in {network}"),
                items => {
                    f.write_str("in {")?;
                    list(f, items, ", ", Item::fmt)?;
                    f.write_str("}")
                }
            },
            Self::Contains(text) => {
                f.write_str("contains ")?;
                quoted(f, text)
            }
            Self::Matches(pattern) => {
                f.write_str("matches ")?;
                quoted(f, pattern.0.as_str())
            }
        }
    }
}

impl Comparison {
    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(literal) => literal.fmt(f),
            Self::Range(first, last) => write!(f, "{first}..{last}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Text(text) => quoted(f, text),
            Self::Time(us) => {
                let time = DateTime::from_timestamp_micros(*us).unwrap_or_default();
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
    show: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        show(item, f)?;
    }
    Ok(())
}
