//! From text to an expression.
//!
//! In: text, and of what it speaks. Out: an [`Expression`] in which every field may be used and every value has its field's
//! type; or what is wrong, and where. Never here: values of connections or rows.

use std::ops::Range;

use super::error::{FilterError, Wrong, found};
use super::expression::{Comparison, Expression, Item, Literal, Pattern, Subject, Test};
use super::literal::{self, Found};
use super::token::{Kind, Sign, Token, tokens};
use super::{MAX_DEPTH, MAX_LENGTH, MAX_PATTERNS, Scope};
use crate::column::{Tag, TagError};
use crate::field::{FIELDS, Field, Source};
use crate::value::Type;

/// Names less alike than this are not meant.
const ALIKE: f64 = 0.8;

/// Reads an expression.
pub(super) fn parse(text: &str, scope: Scope<'_>) -> Result<Expression, FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::new("", 0..0, Wrong::TooLong(text.len())));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, scope, depth: 0, patterns: 0 };
    let expression = parser.any()?;
    if *parser.kind() == Kind::End { Ok(expression) } else { Err(parser.unexpected("`and`, `or` or the end")) }
}

struct Parser<'a> {
    text: &'a str,
    /// The last is the end.
    tokens: Vec<Token<'a>>,
    next: usize,
    scope: Scope<'a>,
    depth: usize,
    patterns: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all()?];
        while self.has(Sign::Or) {
            parts.push(self.all()?);
        }
        Ok(Expression::any(parts))
    }

    fn all(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.not()?];
        while self.has(Sign::And) {
            parts.push(self.not()?);
        }
        Ok(Expression::all(parts))
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        let place = self.place();
        if self.has(Sign::Not) {
            let part = self.within(place, Self::not)?;
            return Ok(Expression::Not(Box::new(part)));
        }
        if self.has(Sign::Open) {
            let part = self.within(place, Self::any)?;
            self.must(Sign::Close, "`and`, `or` or `)`")?;
            return Ok(part);
        }
        self.test()
    }

    fn within(
        &mut self,
        place: Range<usize>,
        read: fn(&mut Self) -> Result<Expression, FilterError>,
    ) -> Result<Expression, FilterError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.wrong(place, Wrong::TooDeep));
        }
        self.depth += 1;
        let part = read(self);
        self.depth -= 1;
        part
    }

    fn test(&mut self) -> Result<Expression, FilterError> {
        let Kind::Word(name) = *self.kind() else {
            return Err(self.unexpected("a field, `not` or `(`"));
        };
        let subject = self.subject(name)?;
        self.next += 1;
        let ty = literal::type_of(subject);
        let place = self.place();
        let Kind::Sign(sign) = *self.kind() else {
            return Err(self.unexpected(&format!("an operator ({})", literal::takes(ty))));
        };
        let comparison = match sign {
            Sign::Equal => Some(Comparison::Equal),
            Sign::Unequal => Some(Comparison::Unequal),
            Sign::Less => Some(Comparison::Less),
            Sign::LessOrEqual => Some(Comparison::LessOrEqual),
            Sign::Greater => Some(Comparison::Greater),
            Sign::GreaterOrEqual => Some(Comparison::GreaterOrEqual),
            Sign::In | Sign::Contains | Sign::Matches => None,
            Sign::Not => return Err(self.unexpected(&format!("an operator (`not` stands before {name})"))),
            _ => return Err(self.unexpected(&format!("an operator ({})", literal::takes(ty)))),
        };
        let is_equality = matches!(sign, Sign::Equal | Sign::Unequal);
        let fits = match ty {
            Type::U16 | Type::U32 | Type::U64 | Type::Time => comparison.is_some() || sign == Sign::In,
            Type::Ip | Type::Net => is_equality || sign == Sign::In,
            Type::Text => is_equality || comparison.is_none(),
        };
        if !fits {
            let (kind, takes) = (literal::kind(ty), literal::takes(ty));
            return Err(self.wrong(place, Wrong::Operator { name: subject.name(), kind, takes }));
        }
        self.next += 1;
        let test = match comparison {
            Some(comparison) if is_equality && self.has(Sign::Null) => {
                if comparison == Comparison::Equal {
                    Test::Missing
                } else {
                    Test::Present
                }
            }
            Some(comparison) => Test::Compare(comparison, self.value(subject, literal::literal)?),
            None if sign == Sign::In => Test::In(self.set(subject)?),
            None => self.text_test(sign)?,
        };
        Ok(Expression::Test(subject, test))
    }

    /// What is behind `contains` or `matches`.
    fn text_test(&mut self, sign: Sign) -> Result<Test, FilterError> {
        let expected = if sign == Sign::Contains { "text" } else { "a regular expression in quotes" };
        let text = match self.kind() {
            Kind::Text(text) => text.clone(),
            Kind::Word(word) => (*word).to_owned(),
            _ => return Err(self.unexpected(expected)),
        };
        let test = if sign == Sign::Contains { Test::Contains(text) } else { Test::Matches(self.pattern(&text)?) };
        self.next += 1;
        Ok(test)
    }

    fn pattern(&mut self, text: &str) -> Result<Pattern, FilterError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(self.wrong(self.place(), Wrong::TooManyPatterns));
        }
        Pattern::new(text).map_err(|message| self.wrong(self.place(), Wrong::Pattern(message)))
    }

    fn set(&mut self, subject: Subject) -> Result<Vec<Item>, FilterError> {
        let is_network = matches!(literal::type_of(subject), Type::Ip | Type::Net);
        if !self.has(Sign::OpenSet) {
            let expected = if is_network { "a network, like 10.0.0.0/8, or `{`" } else { "a set: `{`" };
            let network = match self.kind() {
                Kind::Word(text) if is_network => literal::network(text),
                _ => None,
            };
            let Some(network) = network else { return Err(self.unexpected(expected)) };
            self.next += 1;
            return Ok(vec![Item::Network(network)]);
        }
        let mut items = Vec::new();
        while !self.has(Sign::CloseSet) {
            items.push(self.item(subject)?);
            if !self.has(Sign::Comma) {
                self.must(Sign::CloseSet, "`,`, `}` or `..`")?;
                break;
            }
        }
        if items.is_empty() {
            self.next -= 1;
            return Err(self.unexpected(&literal::expected(subject)));
        }
        Ok(items)
    }

    fn item(&mut self, subject: Subject) -> Result<Item, FilterError> {
        let from = self.place();
        let first = self.value(subject, literal::item)?;
        if *self.kind() != Kind::Sign(Sign::To) {
            return Ok(first);
        }
        let ty = literal::type_of(subject);
        let first = match first {
            Item::One(first) if ty != Type::Text && ty != Type::Net => first,
            _ => return Err(self.unexpected("`,` or `}`")),
        };
        self.next += 1;
        let last = self.value(subject, literal::literal)?;
        let place = from.start..self.tokens[self.next - 1].place.end;
        let is_empty = match (&first, &last) {
            (Literal::Number(first), Literal::Number(last)) => first > last,
            (Literal::Ip(first), Literal::Ip(last)) => first > last || first.is_ipv4() != last.is_ipv4(),
            (Literal::Time(first), Literal::Time(last)) => first > last,
            _ => true,
        };
        if is_empty { Err(self.wrong(place, Wrong::EmptyRange)) } else { Ok(Item::Range(first, last)) }
    }

    fn value<T>(
        &mut self,
        subject: Subject,
        read: fn(Subject, Found<'_>) -> Result<T, Wrong>,
    ) -> Result<T, FilterError> {
        let found = match self.kind() {
            Kind::Word(word) => Found::Word(word),
            Kind::Text(text) => Found::Text(text),
            Kind::Sign(_) if literal::type_of(subject) == Type::Text && self.is_keyword() => {
                let found = format!("the keyword {}; as text it needs quotes", found(&self.text[self.place()]));
                return Err(self.wrong(self.place(), Wrong::Expected { expected: literal::expected(subject), found }));
            }
            _ => return Err(self.unexpected(&literal::expected(subject))),
        };
        let value = read(subject, found).map_err(|wrong| self.wrong(self.place(), wrong))?;
        self.next += 1;
        Ok(value)
    }

    /// The subject of that name, if it may be used here.
    fn subject(&self, name: &str) -> Result<Subject, FilterError> {
        let subject = match (name, Field::by_name(name)) {
            ("ip", _) => Subject::Ip,
            ("port", _) => Subject::Port,
            (_, Some(field)) => Subject::Field(field),
            (_, None) => made(name).map_err(|wrong| self.wrong(self.place(), wrong))?,
        };
        let wrong = subject.parts().into_iter().flatten().find_map(|part| self.scope.refuses(part));
        wrong.map_or(Ok(subject), |wrong| Err(self.wrong(self.place(), wrong)))
    }

    fn kind(&self) -> &Kind<'a> {
        const END: Kind<'_> = Kind::End;
        self.tokens.get(self.next).map_or(&END, |token| &token.kind)
    }

    fn is_keyword(&self) -> bool {
        self.text[self.place()].starts_with(char::is_alphabetic)
    }

    fn place(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.text.len()..self.text.len(), |token| token.place.clone())
    }

    /// Passes over the sign if it comes next.
    fn has(&mut self, sign: Sign) -> bool {
        let has = *self.kind() == Kind::Sign(sign);
        self.next += usize::from(has);
        has
    }

    fn must(&mut self, sign: Sign, expected: &str) -> Result<(), FilterError> {
        if self.has(sign) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &str) -> FilterError {
        let place = self.place();
        let found = found(&self.text[place.clone()]);
        self.wrong(place, Wrong::Expected { expected: expected.to_owned(), found })
    }

    fn wrong(&self, place: Range<usize>, wrong: Wrong) -> FilterError {
        FilterError::new(self.text, place, wrong)
    }
}

impl Scope<'_> {
    /// Why a subject may not be used.
    fn refuses(self, subject: Subject) -> Option<Wrong> {
        let name = subject.name();
        match (self, subject) {
            (Self::Rows(columns), _) if columns.iter().any(|column| column.name == name) => None,
            (Self::Rows(_), Subject::Distinct(tag)) => Some(Wrong::NoCount(tag.name())),
            (Self::Rows(_), Subject::Prefix(tag)) => Some(Wrong::NetworkOfRows(name, tag.field().name)),
            (Self::Rows(_), _) => Some(Wrong::NoColumn(name)),
            (_, Subject::Field(field)) => match field.source {
                Source::Window(_) | Source::Measure(_) => {
                    Some(Wrong::OfRows { name, source_name: field.source.name() })
                }
                Source::Tag(_) => {
                    let is_late = matches!(self, Self::Recorded) && !field.is_recorded();
                    is_late.then_some(Wrong::NotYet(field.name))
                }
            },
            (_, Subject::Distinct(_)) => Some(Wrong::OfRows { name, source_name: "count" }),
            (_, Subject::Prefix(tag)) => Some(Wrong::NetworkOfRows(name, tag.field().name)),
            (_, Subject::Ip | Subject::Port) => None,
        }
    }
}

/// The subject of a name that is no field's: what is made of fields on request.
fn made(name: &str) -> Result<Subject, Wrong> {
    let (tag, make): (_, fn(Tag) -> Subject) = match name.strip_prefix("distinct_") {
        Some(counted) => (counted, Subject::Distinct),
        None => (name, Subject::Prefix),
    };
    match Tag::parse(tag) {
        Ok(tag) => Ok(make(tag)),
        Err(TagError::Unknown { .. }) => {
            Err(Wrong::NoField { name: name.chars().take(40).collect(), nearest: nearest(name) })
        }
        Err(error) => Err(Wrong::Tag(error)),
    }
}

/// The name that is most like this one, if any is.
fn nearest(name: &str) -> Option<&'static str> {
    let names = FIELDS.iter().map(|field| field.name).chain(["ip", "port"]);
    let likeness = names.map(|known| {
        let is_slip = name.len() > 2 && strsim::osa_distance(known, name) <= 1;
        (if is_slip { 1.0 } else { strsim::jaro_winkler(known, name) }, known)
    });
    let nearest = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| name)
}
