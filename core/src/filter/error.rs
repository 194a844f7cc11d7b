//! What is wrong with an expression, and where.
//!
//! In: the text, a place in it, a cause. Out: a message that shows the place. Never here: how it was found.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::{MAX_DEPTH, MAX_LENGTH, MAX_PATTERNS};
use crate::column::TagError;

/// So many characters before and behind the place are shown.
const AROUND: usize = 60;

/// So many characters of what was found are shown.
const FOUND: usize = 40;

/// An expression that cannot be understood. Shown, it has three lines: what is wrong, the expression, and a caret under the
/// place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    place: Range<usize>,
    wrong: Wrong,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// Longer than [`MAX_LENGTH`].
    #[error("the expression has {0} bytes, and at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// Deeper than [`MAX_DEPTH`].
    #[error("nested too deep: at most {MAX_DEPTH} of ( and not within each other")]
    TooDeep,
    /// More than [`MAX_PATTERNS`].
    #[error("too many regular expressions: at most {MAX_PATTERNS}; one can hold several, \"a|b\"")]
    TooManyPatterns,
    /// A character that has no meaning.
    #[error("{0:?} has no meaning here; text with such characters needs quotes")]
    Character(char),
    /// A sign of another language.
    #[error("`{found}` is written `{here}`")]
    Foreign {
        /// What was found.
        found: &'static str,
        /// How it is written.
        here: &'static str,
    },
    /// Quotes that are not closed.
    #[error("the text that begins here has no end: {0} is missing")]
    OpenText(char),
    /// Something else was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A name that no field has.
    #[error("no field is named {name}{}; `netflow fields` lists them all", meant(.nearest))]
    NoField {
        /// The name.
        name: String,
        /// The name that is most like it.
        nearest: Option<&'static str>,
    },
    /// A field that connections do not have.
    #[error("{name} is a {source_name} of rows, which a filter of connections does not know: use --having")]
    OfRows {
        /// The field.
        name: Cow<'static, str>,
        /// What it is.
        source_name: &'static str,
    },
    /// A tag that the rows do not have.
    #[error("the rows have no {0}: add it to --by, or ask it of connections with --filter")]
    NoColumn(Cow<'static, str>),
    /// A count that the rows do not have.
    #[error("the rows have no distinct_{0}: add {0} to --distinct")]
    NoCount(Cow<'static, str>),
    /// A network, of connections.
    #[error("only rows have networks, by --by {0}: of connections ask `{1} in 10.0.0.0/8`")]
    NetworkOfRows(Cow<'static, str>, &'static str),
    /// A prefix that is none.
    #[error("{0}")]
    Tag(TagError),
    /// A field that is found out later than when events are recorded.
    #[error("{0} is not known for certain while recording: record it all, and use --filter with `report` or `cut`")]
    NotYet(&'static str),
    /// An operator that does not go with the type.
    #[error("{name} is {kind}, which goes with {takes}")]
    Operator {
        /// The field.
        name: Cow<'static, str>,
        /// What it is.
        kind: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// A network where one address is expected.
    #[error("a network has many addresses: write `in {0}`")]
    Network(String),
    /// A range that holds nothing.
    #[error("the range is empty: it ends before it begins")]
    EmptyRange,
    /// A number that the field cannot have.
    #[error("{name} is at most {most}")]
    TooGreat {
        /// The field.
        name: Cow<'static, str>,
        /// Its range's end.
        most: u64,
    },
    /// A fraction.
    #[error("{found} is not a whole number{}{unit}", if unit.is_empty() { "" } else { " of " })]
    Fraction {
        /// What was found.
        found: String,
        /// The field's unit; empty where it has none.
        unit: &'static str,
    },
    /// A unit that does not fit.
    #[error("{}", unit(.name, .units))]
    Unit {
        /// The field.
        name: Cow<'static, str>,
        /// The units that fit.
        units: String,
    },
    /// The regular expression cannot be used.
    #[error("the regular expression cannot be used: {0}")]
    Pattern(String),
}

impl FilterError {
    pub(super) fn new(text: &str, place: Range<usize>, wrong: Wrong) -> Self {
        Self { text: text.to_owned(), place, wrong }
    }

    /// What is wrong, without the expression.
    #[must_use]
    pub fn wrong(&self) -> &Wrong {
        &self.wrong
    }

    /// Where, in bytes of the expression.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }
}

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.wrong)?;
        let (before, rest) = self.text.split_at(self.place.start);
        let (found, behind) = rest.split_at(self.place.len());
        let hidden = before.chars().count().saturating_sub(AROUND);
        let before: String = before.chars().skip(hidden).collect();
        let before = if hidden > 0 { format!("…{before}") } else { before };
        // The signs under what was found end with what is shown of it.
        let width = found.chars().take(AROUND).count();
        let mut rest = found.chars().chain(behind.chars());
        let shown: String = rest.by_ref().take(width + AROUND).collect();
        let more = if rest.next().is_some() { "…" } else { "" };
        let line: String = before.chars().chain(shown.chars()).map(plain).collect();
        writeln!(f, "  {line}{more}")?;
        write!(f, "  {:indent$}{}", "", "^".repeat(width.max(1)), indent = before.chars().count())
    }
}

/// What takes one column of a line.
fn plain(char: char) -> char {
    if char.is_control() { ' ' } else { char }
}

fn meant(nearest: &Option<&'static str>) -> String {
    nearest.map(|nearest| format!("; {nearest} is the nearest")).unwrap_or_default()
}

fn unit(name: &str, units: &str) -> String {
    if units.is_empty() {
        format!("{name} is a plain number, without a unit")
    } else {
        format!("the units of {name} are {units}")
    }
}

/// What was found, in quotes and not too long.
pub(super) fn found(text: &str) -> String {
    if text.is_empty() {
        return "the end".to_owned();
    }
    let shown: String = text.chars().take(FOUND).collect();
    if shown.len() < text.len() { format!("{shown:?}…") } else { format!("{shown:?}") }
}
