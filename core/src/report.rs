//! The last stage: rows of tags and measures.
//!
//! In: groups and their sums. Out: a [`Report`] whose rows are sorted and the same on every run. Never here: text forms.

use crate::delta::Diagnostics;
use crate::event::Header;
use crate::field::{FIELDS, Field, FieldError, Source};
use crate::filter::LeftOutCounts;
use crate::sums::Sums;
use crate::value::Value;

/// A span of time, in microseconds since 1970 (UTC). A moment belongs to the window that begins with it, not to the one
/// that ends with it; only the window of a whole capture, or of the time between two ticks, also holds its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Window {
    /// Its beginning.
    pub start_us: i64,
    /// Its end.
    pub end_us: i64,
}

/// One group of connections in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The window.
    pub window: Window,
    /// The values of the report's tags, in their order.
    pub key: Box<[Value]>,
    /// What happened.
    pub sums: Sums,
}

/// By what rows are sorted. Ties, and everything not said, go by window and then by the tags from left to right.
#[derive(Debug, Clone, Copy, Default)]
pub enum Order {
    /// By window and tags.
    #[default]
    Key,
    /// Windows in order, in each the rows with the most bytes first.
    Traffic,
    /// By one field.
    By {
        /// The field.
        field: &'static Field,
        /// The smallest first; otherwise the greatest.
        ascending: bool,
    },
}

impl Order {
    /// The order that `FIELD`, or `FIELD:asc`, asks for of a report that is grouped by these tags (none: by all that need
    /// not be asked for).
    ///
    /// # Errors
    /// When no field has that name, or the report has no such column.
    pub fn parse(text: &str, by: &[&'static Field]) -> Result<Self, FieldError> {
        let (name, ascending) = text.strip_suffix(":asc").map_or((text, false), |name| (name, true));
        let field = Field::by_name(name).ok_or_else(|| FieldError::Unknown { name: name.to_owned() })?;
        let is_column = if by.is_empty() { !field.on_request } else { by.contains(&field) };
        if matches!(field.source, Source::Tag(_)) && !is_column {
            let names: Vec<_> = by.iter().map(|tag| tag.name).collect();
            let among = if by.is_empty() {
                "the columns: ask for it with --by".to_owned()
            } else {
                format!("--by {}", names.join(","))
            };
            return Err(FieldError::NoColumn { field, among });
        }
        Ok(Self::By { field, ascending })
    }
}

/// A report.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who recorded what the report is about, one for each capture.
    pub headers: Vec<Header>,
    /// The columns: windows, the tags by which rows were grouped, and all measures.
    pub columns: Vec<&'static Field>,
    /// From the first to the last event; `None` when there was none.
    pub span: Option<Window>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Connections that the built-in filters left out.
    pub left_out: LeftOutCounts,
    /// What was strange or lost.
    pub diagnostics: Diagnostics,
}

impl Report {
    /// The columns of a report that is grouped by these tags.
    #[must_use]
    pub fn columns_for(tags: &[&'static Field]) -> Vec<&'static Field> {
        let is = |wanted: fn(&Source) -> bool| FIELDS.iter().filter(move |field| wanted(&field.source));
        is(|source| matches!(source, Source::Window(_)))
            .chain(tags.iter().copied())
            .chain(is(|source| matches!(source, Source::Measure(_))))
            .collect()
    }

    /// The cells of one row, in the order of the columns.
    pub fn cells<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = Value> + 'a {
        let mut tags = row.key.iter();
        self.columns.iter().map(move |column| match column.source {
            Source::Window(get) => get(&row.window),
            Source::Tag(_) => tags.next().cloned().unwrap_or(Value::Null),
            Source::Measure(get) => get(&row.sums),
        })
    }

    /// Sorts the rows.
    pub fn sort(&mut self, order: Order) {
        let by_key = |a: &Row, b: &Row| (a.window, &a.key).cmp(&(b.window, &b.key));
        match order {
            Order::Key => self.rows.sort_by(by_key),
            Order::Traffic => self.rows.sort_by(|a, b| {
                (a.window, std::cmp::Reverse(a.sums.bytes()))
                    .cmp(&(b.window, std::cmp::Reverse(b.sums.bytes())))
                    .then_with(|| by_key(a, b))
            }),
            Order::By { field, ascending } => {
                let tag = self
                    .columns
                    .iter()
                    .filter(|column| matches!(column.source, Source::Tag(_)))
                    .position(|column| std::ptr::eq(*column, field));
                let cell = |row: &Row| match field.source {
                    Source::Window(get) => get(&row.window),
                    Source::Measure(get) => get(&row.sums),
                    Source::Tag(_) => tag.and_then(|index| row.key.get(index).cloned()).unwrap_or(Value::Null),
                };
                self.rows.sort_by(|a, b| {
                    let (a_cell, b_cell) = (cell(a), cell(b));
                    let order = if ascending { a_cell.cmp(&b_cell) } else { b_cell.cmp(&a_cell) };
                    order.then_with(|| by_key(a, b))
                });
            }
        }
    }

    /// Sums over all rows. A connection that is in several rows is counted in each.
    #[must_use]
    pub fn totals(&self) -> Sums {
        self.rows.iter().fold(Sums::default(), |mut all, row| {
            all.merge(&row.sums);
            all
        })
    }
}
