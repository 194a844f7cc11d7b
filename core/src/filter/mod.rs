//! What is left out of a report: by rules that are built in, and by expressions of the person who asks.
//!
//! In: a connection's attributes, or a finished row; the rules, or an expression as text. Out: keep or drop. Never here:
//! state. A filter looks at what was computed before it, so what it drops in one window does not distort the next.
//!
//! `FILTER.md` beside this crate describes the language. A [`Filter`] asks about connections, a [`Having`] about rows; an
//! expression that asks the one about the other is an error when it is read, and so is a value that does not fit its field.

mod built_in;
mod error;
pub mod expression;
mod literal;
mod parse;
mod program;
mod token;

use std::fmt;
use std::sync::Arc;

pub use built_in::{BuiltIn, LeftOut, LeftOutCounts};
pub(crate) use built_in::{Ends, Special};
pub use error::{FilterError, Wrong};
pub use expression::Expression;

use crate::column::{Cell, Column};
use crate::event::Identity;
use crate::field::Field;
use crate::flow::Flow;
use crate::measure::Measures;
use crate::report::Row;
use crate::value::Value;
use expression::Subject;
pub(crate) use program::Check;
use program::Program;

/// The longest expression that is read, in bytes.
pub const MAX_LENGTH: usize = 1 << 16;

/// How deep parentheses and `not` may stand within each other.
pub const MAX_DEPTH: usize = 64;

/// How many regular expressions an expression may hold.
pub const MAX_PATTERNS: usize = 32;

/// The most memory that one compiled regular expression may take, in bytes, and that it may use for its work.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Of what an expression speaks, which is to say which fields it may use.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Connections: all tags.
    Connections,
    /// Connections while they are recorded: the tags that are known then.
    Recorded,
    /// Rows with these columns.
    Rows(&'a [Column]),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// It cannot be understood, or asks what cannot be asked there.
    pub fn parse(text: &str, scope: Scope<'_>) -> Result<Self, FilterError> {
        parse::parse(text, scope)
    }
}

/// Which connections are kept. Ports are the real ones, also where rows have them folded.
#[derive(Clone)]
pub struct Filter(Arc<Compiled<OfFlow>>);

/// Which rows are kept. A folded port is a missing value.
#[derive(Clone)]
pub struct Having(Arc<Compiled<Cell>>);

struct Compiled<G> {
    expression: Expression,
    program: Program<G>,
}

/// Where a connection has a value.
type OfFlow = fn(&Flow) -> Value;

impl Filter {
    /// Reads a filter of connections.
    ///
    /// # Errors
    ///
    /// It cannot be understood, or asks for what rows have.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self::new(Expression::parse(text, Scope::Connections)?))
    }

    /// Reads a filter of connections that are being recorded, of which less is known.
    ///
    /// # Errors
    ///
    /// It cannot be understood, or asks for what is found out later.
    pub fn parse_recorded(text: &str) -> Result<Self, FilterError> {
        Ok(Self::new(Expression::parse(text, Scope::Recorded)?))
    }

    fn new(expression: Expression) -> Self {
        let program = Program::new(&expression, &|subject| match subject {
            Subject::Field(field) => field.of_connection(),
            // Only rows have these.
            _ => |_: &Flow| Value::Null,
        });
        Self(Arc::new(Compiled { expression, program }))
    }

    /// Whether it holds of a connection.
    #[must_use]
    pub fn admits(&self, flow: &Flow) -> bool {
        self.0.program.holds(&|get| get(flow))
    }

    /// Whether it holds of a connection of which only this is known.
    #[must_use]
    pub fn admits_identity(&self, identity: &Arc<Identity>) -> bool {
        self.admits(&Flow::of_identity(identity))
    }

    /// Whether it holds of a connection whatever becomes known of it; `None` while that depends on what is missing.
    #[must_use]
    pub fn decides(&self, identity: &Arc<Identity>) -> Option<bool> {
        let flow = Flow::of_identity(identity);
        self.0.program.decides(&|get| get(&flow))
    }

    /// The same filter of somebody who finds values in another way, by what `find` makes of each field.
    pub(crate) fn question<G>(&self, find: &impl Fn(&'static Field) -> Option<G>) -> Question<Option<G>> {
        Question(Program::new(&self.0.expression, &|subject| match subject {
            Subject::Field(field) => find(field),
            _ => None,
        }))
    }

    /// What it says.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.0.expression
    }

    /// The remark of a capture that has only the connections of which it holds.
    #[must_use]
    pub fn remark(&self, comment: &str) -> String {
        let separator = if comment.is_empty() { "" } else { "; " };
        format!("{comment}{separator}only connections with {}", self.expression())
    }
}

/// A filter of connections whose fields are found by a `G`.
#[derive(Debug)]
pub(crate) struct Question<G>(Program<G>);

impl<G> Question<Option<G>> {
    /// Where every field can be found.
    pub(crate) fn complete(self) -> Option<Question<G>> {
        self.0.complete().map(Question)
    }
}

impl<G> Question<G> {
    /// Whether it holds where `test` says how the value of a field is compared; `None` where that depends on what `test` does
    /// not know. Each test of the filter has a `G` of its own.
    pub(crate) fn decides_by(&self, test: &mut impl FnMut(&G, &Check) -> Option<bool>) -> Option<bool> {
        self.0.decides_by(test)
    }
}

impl Having {
    /// Reads a filter of rows with these columns.
    ///
    /// # Errors
    ///
    /// It cannot be understood, or asks for a column that the rows do not have.
    pub fn parse(text: &str, columns: &[Column]) -> Result<Self, FilterError> {
        let expression = Expression::parse(text, Scope::Rows(columns))?;
        let cell = |name: &str| columns.iter().find(|column| column.name == name).map(|column| column.cell);
        let program = Program::new(&expression, &|subject| cell(&subject.name()).unwrap_or(Cell::Tag(usize::MAX)));
        Ok(Self(Arc::new(Compiled { expression, program })))
    }

    /// Whether it holds of a row whose columns are those with which it was read.
    #[must_use]
    pub fn admits(&self, row: &Row) -> bool {
        self.holds(&|cell| row.cell(cell))
    }

    /// The sums that it asks about.
    pub(crate) fn measures(&self) -> Measures {
        let mut measures = Measures::default();
        self.0.expression.each_subject(&mut |subject| measures = measures.with_field(&subject.name()));
        measures
    }

    /// Whether it holds of a row that has these values.
    pub(crate) fn holds(&self, get: &impl Fn(Cell) -> Value) -> bool {
        self.0.program.holds(&|cell| get(*cell))
    }

    /// What it says.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.0.expression
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", self.0.expression)
    }
}

impl fmt::Debug for Having {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Having({})", self.0.expression)
    }
}
