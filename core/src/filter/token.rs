//! The words and signs of an expression.
//!
//! In: text. Out: tokens, each with its place. Never here: what a word means.

use std::ops::Range;

use super::error::{FilterError, Wrong};

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A name, a number, an address, a time, or text that needs no quotes.
    Word(&'a str),
    /// Text in quotes, without them.
    Text(String),
    /// A keyword, or a sign.
    Sign(Sign),
    End,
}

/// Keywords and signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    And,
    Or,
    Not,
    In,
    Contains,
    Matches,
    Null,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Open,
    Close,
    OpenSet,
    CloseSet,
    Comma,
    To,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Where it stands, in bytes.
    pub(super) place: Range<usize>,
}

/// Words that mean something by themselves: as text they need quotes.
const KEYWORDS: [(&str, Sign); 7] = [
    ("and", Sign::And),
    ("or", Sign::Or),
    ("not", Sign::Not),
    ("in", Sign::In),
    ("contains", Sign::Contains),
    ("matches", Sign::Matches),
    ("null", Sign::Null),
];

/// A sign comes before those that it begins with.
const SIGNS: [(&str, Sign); 12] = [
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<=", Sign::LessOrEqual),
    (">=", Sign::GreaterOrEqual),
    ("<", Sign::Less),
    (">", Sign::Greater),
    ("(", Sign::Open),
    (")", Sign::Close),
    ("{", Sign::OpenSet),
    ("}", Sign::CloseSet),
    (",", Sign::Comma),
    ("..", Sign::To),
];

/// What other languages write, and how it is written here.
const FOREIGN: [(&str, &str); 6] =
    [("=~", "matches"), ("=", "=="), ("&&", "and"), ("||", "or"), ("!", "not"), ("~", "matches")];

/// All tokens of a text; the last is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let token = next(text, at)?;
        at = token.place.end;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

fn next(text: &str, at: usize) -> Result<Token<'_>, FilterError> {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else { return Ok(Token { kind: Kind::End, place: at..at }) };
    if first == '"' || first == '\'' {
        return quoted(text, at, first);
    }
    if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok(Token { kind: Kind::Sign(*kind), place: at..at + sign.len() });
    }
    let length = word_length(rest);
    if length == 0 {
        let (length, wrong) = match FOREIGN.iter().find(|(foreign, _)| rest.starts_with(foreign)) {
            Some((foreign, here)) => (foreign.len(), Wrong::Foreign { found: foreign, here }),
            None => (first.len_utf8(), Wrong::Character(first)),
        };
        return Err(FilterError::new(text, at..at + length, wrong));
    }
    let word = &rest[..length];
    let keyword = KEYWORDS.iter().find(|(keyword, _)| *keyword == word);
    let kind = keyword.map_or(Kind::Word(word), |(_, sign)| Kind::Sign(*sign));
    Ok(Token { kind, place: at..at + length })
}

/// How many bytes of the text are one word: two points end it.
fn word_length(text: &str) -> usize {
    let is_end = |(at, char): (usize, char)| !is_of_word(char) || text[at..].starts_with("..");
    text.char_indices().find(|place| is_end(*place)).map_or(text.len(), |(at, _)| at)
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || "_.:/-+".contains(char)
}

/// Text in quotes: a backslash before a quote or before a backslash is left out, any other stays, so that regular
/// expressions can be written as they are.
fn quoted(text: &str, at: usize, quote: char) -> Result<Token<'_>, FilterError> {
    let mut content = String::new();
    let mut chars = text[at + 1..].char_indices().peekable();
    while let Some((index, char)) = chars.next() {
        if char == quote {
            return Ok(Token { kind: Kind::Text(content), place: at..at + 1 + index + 1 });
        }
        let escaped = chars.next_if(|(_, next)| char == '\\' && (*next == '\\' || *next == '"' || *next == '\''));
        content.push(escaped.map_or(char, |(_, escaped)| escaped));
    }
    Err(FilterError::new(text, at..text.len(), Wrong::OpenText(quote)))
}
