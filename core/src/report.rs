//! The last stage: rows of tags and measures.
//!
//! In: groups and their sums. Out: a [`Report`] whose rows are sorted and the same on every run. Never here: text forms.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use crate::column::{Cell, Column, TagError};
use crate::delta::Diagnostics;
use crate::event::Header;
use crate::filter::LeftOutCounts;
use crate::measure::Measures;
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
    /// How many different values the tags have whose values are counted, in their order.
    pub distinct: Box<[u64]>,
}

impl Row {
    /// Its value in a column.
    #[must_use]
    pub fn cell(&self, cell: Cell) -> Value {
        match cell {
            Cell::Window(get) => get(&self.window),
            Cell::Tag(place) => self.key.get(place).cloned().unwrap_or(Value::Null),
            Cell::Measure(get) => get(&self.sums),
            Cell::Distinct(place) => Value::number(self.distinct.get(place).copied()),
        }
    }
}

/// By what rows are sorted. Ties, and everything not said, go by window and then by the tags from left to right.
#[derive(Debug, Clone, Default)]
pub enum Order {
    /// By window and tags.
    #[default]
    Key,
    /// Windows in order, in each the rows with the most bytes first.
    Traffic,
    /// By columns.
    By {
        /// The first that tells two rows apart decides. At least one.
        keys: Vec<SortKey>,
        /// All rows together; otherwise windows in order, and in each its rows.
        across_windows: bool,
    },
}

/// A column by which rows are sorted.
#[derive(Debug, Clone)]
pub struct SortKey {
    /// The column.
    pub column: Column,
    /// The smallest first; otherwise the greatest.
    pub ascending: bool,
}

impl Order {
    /// The order that `COLUMN`, `COLUMN:asc` or several of these with commas between them ask for.
    ///
    /// # Errors
    /// When no field has such a name, or the report has no such column.
    pub fn parse(text: &str, columns: &[Column], across_windows: bool) -> Result<Self, TagError> {
        let key = |text: &str| {
            let (name, ascending) = text.strip_suffix(":asc").map_or((text, false), |name| (name, true));
            let column = Column::get(columns, name)?.clone();
            Ok(SortKey { column, ascending })
        };
        let keys = text.split(',').map(key).collect::<Result<_, _>>()?;
        Ok(Self::By { keys, across_windows })
    }

    /// A column decides by this order, so whoever reads the rows wants to see it.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        matches!(self, Self::By { keys, .. } if keys.iter().any(|key| key.column.name == column))
    }

    /// The sums that are compared.
    pub(crate) fn measures(&self) -> Measures {
        match self {
            Self::Key => Measures::default(),
            Self::Traffic => Measures::default().with_field("bytes_read").with_field("bytes_written"),
            Self::By { keys, .. } => keys.iter().fold(Measures::default(), |all, key| all.with_field(&key.column.name)),
        }
    }

    pub(crate) fn is_across_windows(&self) -> bool {
        matches!(self, Self::By { across_windows: true, .. })
    }

    /// Which of two rows comes first.
    #[must_use]
    pub fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let decided = match self {
            Self::Key => Ordering::Equal,
            Self::Traffic => b.sums.bytes().cmp(&a.sums.bytes()),
            Self::By { keys, .. } => keys
                .iter()
                .map(|SortKey { column, ascending }| {
                    let order = a.cell(column.cell).cmp(&b.cell(column.cell));
                    if *ascending { order } else { order.reverse() }
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        };
        let by_window = a.window.cmp(&b.window);
        let first = if self.is_across_windows() { decided.then(by_window) } else { by_window.then(decided) };
        first.then_with(|| a.key.cmp(&b.key))
    }
}

/// What a report that has only the first rows says of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rest {
    /// How many there are.
    pub rows: usize,
    /// Sums over them.
    pub sums: Sums,
    /// These rows and the others are of more than one window.
    pub has_windows: bool,
}

/// A report.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who recorded what the report is about, one for each capture.
    pub headers: Vec<Header>,
    /// The columns: windows, the tags by which rows were grouped, all measures, and the counts that were asked for; or those
    /// that were chosen of these.
    pub columns: Vec<Column>,
    /// The columns were chosen: a table leaves none of them out.
    pub chosen: bool,
    /// From the first to the last event; `None` when there was none.
    pub span: Option<Window>,
    /// The rows.
    pub rows: Vec<Row>,
    /// The rows that are not here, but in the totals.
    pub rest: Rest,
    /// How they are sorted.
    pub order: Order,
    /// Connections that the built-in filters left out.
    pub left_out: LeftOutCounts,
    /// What was strange or lost.
    pub diagnostics: Diagnostics,
}

impl Report {
    /// The cells of one row, in the order of the columns.
    pub fn cells<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = Value> + 'a {
        self.columns.iter().map(|column| row.cell(column.cell))
    }

    /// Sorts the rows.
    pub fn sort(&mut self, order: Order) {
        self.rows.sort_by(|a, b| order.compare(a, b));
        self.order = order;
    }

    /// The first so many rows of each window, or of all when they are sorted across windows.
    #[must_use]
    pub fn first(&self, rows: usize) -> Vec<&Row> {
        let mut taken: FxHashMap<Window, usize> = FxHashMap::default();
        let is_across = self.order.is_across_windows();
        let mut is_first = |row: &&Row| {
            let taken = taken.entry(if is_across { Window::default() } else { row.window }).or_default();
            *taken += 1;
            *taken <= rows
        };
        self.rows.iter().filter(|row| is_first(row)).collect()
    }

    /// The same report on these rows alone.
    #[must_use]
    pub fn keep_first(&self, rows: usize) -> Self {
        let first = self.first(rows).into_iter().cloned().collect();
        Self {
            rows: first,
            rest: Rest::default(),
            headers: self.headers.clone(),
            columns: self.columns.clone(),
            order: self.order.clone(),
            ..*self
        }
    }

    /// How many rows there are, with those that are not here.
    #[must_use]
    pub fn all_rows(&self) -> usize {
        self.rows.len().saturating_add(self.rest.rows)
    }

    /// There are rows of more than one window.
    #[must_use]
    pub fn has_windows(&self) -> bool {
        self.rest.has_windows
            || self.rows.iter().any(|row| self.rows.first().is_some_and(|first| first.window != row.window))
    }

    /// Sums over all rows. A connection that is in several rows is counted in each.
    #[must_use]
    pub fn totals(&self) -> Sums {
        self.rows.iter().fold(self.rest.sums, |mut all, row| {
            all.merge(&row.sums);
            all
        })
    }
}
