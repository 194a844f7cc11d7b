//! The groups of a report as numbers, before and after they are sorted.
//!
//! In: what the pipeline counted. Out: rows in their order, of all groups or of the first of them: one by one, as columns, or
//! as a [`Report`]. Never here: how they are compared.
//!
//! A row of a [`Report`] takes some 300 bytes, here it takes what it consists of. So whoever writes millions of rows takes
//! them from [`Sorted`], and a table of the first twenty sorts no more than these.

use std::borrow::Cow;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::column::{Cell, Column};
use crate::filter::Having;
use crate::picked::Picked;
use crate::report::{Report, Rest, Row, Window};
use crate::rows::Rows;
use crate::sorting::Sorting;
use crate::sums::Sums;
use crate::tabular::{Part, Tabular, Typed};
use crate::value::Value;

/// How a column is found in sums, and its cells.
type Measured<'a> = (fn(&Sums) -> Value, &'a mut Typed<u64>);

/// Rows that a cache holds.
const TOGETHER: usize = if cfg!(test) { 3 } else { 1024 };

/// Rows of numbers with what they mean.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) rows: Rows,
    /// How long a window is, in µs; `None`: there is one.
    pub(crate) every_us: Option<i64>,
    /// The window where there is only one.
    pub(crate) whole: Window,
    /// How many different values there are of each tag whose values are counted, row by row.
    pub(crate) distinct: Vec<u64>,
    /// How many such tags there are.
    pub(crate) counted: usize,
}

impl Numbers {
    pub(crate) fn window(&self, row: u32) -> Window {
        self.window_from(self.rows.window(row))
    }

    /// The window that begins then, in µs.
    pub(crate) fn window_from(&self, start_us: i64) -> Window {
        match self.every_us {
            Some(every) => Window { start_us, end_us: start_us.saturating_add(every) },
            None => self.whole,
        }
    }

    pub(crate) fn distinct(&self, row: u32) -> &[u64] {
        let start = row as usize * self.counted;
        self.distinct.get(start..start + self.counted).unwrap_or_default()
    }

    pub(crate) fn cell(&self, row: u32, cell: Cell) -> Value {
        match cell {
            Cell::Window(get) => get(&self.window(row)),
            Cell::Tag(place) => self.rows.value(row, place),
            Cell::Measure(get) => get(&self.rows.sums(row)),
            Cell::Distinct(place) => Value::number(self.distinct(row).get(place).copied()),
        }
    }

    fn row(&self, row: u32) -> Row {
        Row {
            window: self.window(row),
            key: (0..self.rows.tags()).map(|tag| self.rows.value(row, tag)).collect(),
            sums: self.rows.sums(row),
            distinct: self.distinct(row).into(),
        }
    }

    /// A part of each column. Rows are far apart in memory, so all columns are taken of some before the next.
    fn parts(&self, columns: &[Column], rows: &[u32]) -> Vec<Part<'_>> {
        let mut some = rows.chunks(TOGETHER);
        let mut parts = self.some_parts(columns, some.next().unwrap_or_default());
        // Growing step by step, they would be moved again and again.
        parts.iter_mut().for_each(|part| part.reserve(rows.len()));
        for rows in some {
            for (part, more) in parts.iter_mut().zip(self.some_parts(columns, rows)) {
                part.append(more);
            }
        }
        parts
    }

    fn some_parts(&self, columns: &[Column], rows: &[u32]) -> Vec<Part<'_>> {
        let words: Vec<&[u32]> = rows.iter().map(|row| self.rows.words(*row)).collect();
        let mut from_sums = vec![false; columns.len()];
        let part = |(column, is_from_sums): (&Column, &mut bool)| match column.cell {
            Cell::Tag(tag) => self.rows.part(tag, rows, &words),
            Cell::Measure(_) => Part::Numbers(self.rows.measure(&column.name, rows, &words).unwrap_or_else(|| {
                *is_from_sums = true;
                Typed::default()
            })),
            Cell::Window(get) => Part::Times(Typed::new(rows.iter().map(|row| match get(&self.window(*row)) {
                Value::Time(micros) => Some(micros),
                _ => None,
            }))),
            Cell::Distinct(_) => Part::Values(rows.iter().map(|row| self.cell(*row, column.cell)).collect()),
        };
        let mut parts: Vec<Part<'_>> = columns.iter().zip(&mut from_sums).map(part).collect();
        // Sums are taken apart once for all columns that are made of several.
        let columns = columns.iter().zip(&mut parts).zip(from_sums);
        let mut measures: Vec<Measured<'_>> = columns
            .filter_map(|((column, part), is_from_sums)| match (column.cell, part) {
                (Cell::Measure(get), Part::Numbers(numbers)) if is_from_sums => Some((get, numbers)),
                _ => None,
            })
            .collect();
        if !measures.is_empty() {
            for row in rows {
                let sums = self.rows.sums(*row);
                for (get, numbers) in &mut measures {
                    numbers.push(match get(&sums) {
                        Value::Number(number) => Some(number),
                        _ => None,
                    });
                }
            }
        }
        parts
    }
}

/// The groups of a report, in no order.
#[derive(Debug)]
pub struct Grouped {
    about: Report,
    numbers: Numbers,
    /// Those that are wanted.
    kept: Picked,
}

/// The groups of a report in their order.
#[derive(Debug)]
pub struct Sorted {
    pub(crate) about: Report,
    pub(crate) numbers: Numbers,
    pub(crate) order: Picked,
}

impl Grouped {
    /// The groups that have anybody and of which `having` holds. `about` is the report without its rows.
    pub(crate) fn new(about: Report, numbers: Numbers, having: Option<&Having>) -> Self {
        let is_kept = |row: u32| {
            !numbers.rows.is_empty(row) && having.is_none_or(|having| having.holds(&|cell| numbers.cell(row, cell)))
        };
        let kept = match having {
            None if numbers.rows.are_filled() => Picked::All(numbers.rows.count()),
            _ => Picked::new(numbers.rows.count(), is_kept),
        };
        Self { about, numbers, kept }
    }

    /// The report without its rows.
    #[must_use]
    pub fn about(&self) -> &Report {
        &self.about
    }

    /// There are rows of more than one window.
    #[must_use]
    pub fn has_windows(&self) -> bool {
        let first = self.kept.get(0).map(|row| self.numbers.rows.window(row));
        self.numbers.every_us.is_some()
            && self.kept.iter().any(|row| first.is_some_and(|first| first != self.numbers.rows.window(row)))
    }

    /// All rows, in the report's order.
    #[must_use]
    pub fn sort(self) -> Sorted {
        let Self { about, numbers, kept } = self;
        let order = Sorting::new(&numbers, &kept, &about.order).sorted(&kept);
        Sorted { about, numbers, order }
    }

    /// The first so many rows of each window, or of all when they are sorted across windows. No others are sorted; what the
    /// report says of them is their [`Rest`].
    #[must_use]
    pub fn first(self, rows: usize) -> Sorted {
        if rows >= self.kept.len() {
            return self.sort();
        }
        let has_windows = self.has_windows();
        let Self { mut about, numbers, kept } = self;
        let sorting = Sorting::new(&numbers, &kept, &about.order);
        let order = if about.order.is_across_windows() || !has_windows {
            sorting.first(kept.iter(), rows)
        } else {
            let mut windows: FxHashMap<i64, Vec<u32>> = FxHashMap::default();
            kept.iter().for_each(|row| windows.entry(numbers.rows.window(row)).or_default().push(row));
            let mut windows: Vec<_> = windows.into_iter().collect();
            windows.sort_unstable_by_key(|(start, _)| *start);
            windows.iter().flat_map(|(_, kept)| sorting.first(kept.iter().copied(), rows)).collect()
        };
        let mut is_shown = vec![false; numbers.rows.count() as usize];
        for row in &order {
            if let Some(is_shown) = is_shown.get_mut(*row as usize) {
                *is_shown = true;
            }
        }
        let mut rest = Rest { rows: kept.len() - order.len(), sums: Sums::default(), has_windows };
        for row in kept.iter().filter(|row| !is_shown.get(*row as usize).copied().unwrap_or(true)) {
            rest.sums.merge(&numbers.rows.sums(row));
        }
        let order = Picked::These(order);
        about.rest = rest;
        Sorted { about, numbers, order }
    }
}

impl Sorted {
    /// The report without its rows.
    #[must_use]
    pub fn about(&self) -> &Report {
        &self.about
    }

    /// The report.
    #[must_use]
    pub fn report(&self) -> Report {
        let rows = self.order.iter().map(|row| self.numbers.row(row)).collect();
        Report { rows, ..self.about.clone() }
    }
}

impl Tabular for Sorted {
    fn columns(&self) -> &[Column] {
        &self.about.columns
    }

    fn height(&self) -> usize {
        self.order.len()
    }

    fn rows(&self) -> Box<dyn Iterator<Item = Cow<'_, Row>> + '_> {
        Box::new(self.order.iter().map(|row| Cow::Owned(self.numbers.row(row))))
    }

    fn parts(&self, places: Range<usize>) -> Vec<Part<'_>> {
        self.numbers.parts(&self.about.columns, &self.order.at(places))
    }

    fn shared(&self) -> Option<&(dyn Tabular + Sync)> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::column::Tag;
    use crate::measure::Measures;
    use crate::report::{Order, SortKey};
    use crate::share::Share;
    use crate::sums::TcpSums;

    /// A group: its window, its tags, its sums, how many different values.
    type Group = (i64, [Value; 3], Sums, u64);

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(Value::Folded),
            (0..4_u64).prop_map(Value::Number),
            prop::sample::select(vec!["", "a", "ab", "b"]).prop_map(|text| Value::Text(text.into())),
            any::<u16>().prop_map(|end| Value::Ip(std::net::Ipv4Addr::from_bits(end.into()).into())),
            (-2..2_i64).prop_map(Value::Time),
        ]
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..3_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
    }

    fn group() -> impl Strategy<Value = Group> {
        let window = prop_oneof![4 => -1..2_i64, 1 => any::<i64>()];
        let sums = (number(), number(), number(), prop::option::of(number()));
        let sums = sums.prop_map(|(bytes_read, bytes_written, connections, failures)| Sums {
            bytes_read,
            bytes_written,
            connections,
            tcp: failures.map(|connect_failures| TcpSums { connect_failures, ..TcpSums::default() }),
            ..Sums::default()
        });
        (window, [value(), value(), value()], sums, 0..3_u64)
    }

    fn grouped(groups: &[Group], has_windows: bool, order: Order, having: Option<&Having>) -> Grouped {
        let mut rows = Rows::new(&tags(), has_windows, Measures::ALL, Share::default());
        let mut distinct = Vec::new();
        for (window, key, sums, count) in groups {
            let row = rows.row_of_values(*window, key);
            rows.add(row, sums);
            distinct.resize(rows.count() as usize, *count);
        }
        let about = Report {
            headers: Vec::new(),
            columns: columns(),
            chosen: false,
            span: None,
            rows: Vec::new(),
            rest: Rest::default(),
            order,
            left_out: Default::default(),
            diagnostics: Default::default(),
        };
        let whole = Window { start_us: 3, end_us: 9 };
        let every_us = has_windows.then_some(5);
        Grouped::new(about, Numbers { rows, every_us, whole, distinct, counted: 1 }, having)
    }

    fn tags() -> Vec<Tag> {
        Tag::parse_all(&["host", "dst_ip", "pid"]).unwrap()
    }

    fn columns() -> Vec<Column> {
        Column::all(&tags(), &Tag::parse_all(&["netns"]).unwrap())
    }

    fn order() -> impl Strategy<Value = Order> {
        let key = (prop::sample::select(columns()), any::<bool>());
        let key = key.prop_map(|(column, ascending)| SortKey { column, ascending });
        let by = (prop::collection::vec(key, 1..5), any::<bool>())
            .prop_map(|(keys, across_windows)| Order::By { keys, across_windows });
        prop_oneof![1 => Just(Order::Key), 1 => Just(Order::Traffic), 4 => by]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whether their ids come in order, nearly in order, or more than once, as those of several captures may.
        #[test]
        fn connections_are_in_the_order_of_their_ids(
            ids in prop_oneof![
                Just((3..40_u64).collect::<Vec<_>>()),
                Just((3..40_u64).filter(|id| id % 3 > 0).collect()).prop_shuffle(),
                prop::collection::vec(0..20_u64, 0..9),
            ],
            ascending: bool,
        ) {
            let tags = Tag::parse_all(&["began", "connection", "pid"]).unwrap();
            let columns = Column::all(&tags, &[]);
            let mut rows = Rows::new(&tags, false, Measures::ALL, Share::default());
            let mut expected = Vec::new();
            for (pid, id) in (0_u64..).zip(&ids) {
                let key = [Value::Time(7 - i64::try_from(pid).unwrap()), Value::Number(*id), Value::Number(pid)];
                let row = rows.row_of_values(0, &key);
                rows.add(row, &Sums { connections: 1, ..Sums::default() });
                expected.push((if ascending { *id } else { u64::MAX - id }, key));
            }
            expected.sort();
            let by = if ascending { "connection:asc" } else { "connection" };
            let order = Order::parse(by, &columns, false).unwrap();
            let numbers = Numbers { rows, every_us: None, whole: Window::default(), distinct: Vec::new(), counted: 0 };
            let about = Report { columns, ..grouped(&[], false, order, None).about };
            let sorted = Grouped::new(about, numbers, None).sort();
            let found: Vec<Box<[Value]>> = sorted.rows().map(|row| row.into_owned().key).collect();
            prop_assert_eq!(found, expected.into_iter().map(|(_, key)| key.into()).collect::<Vec<_>>());
        }

        /// The reference is the order of whole rows.
        #[test]
        fn rows_of_numbers_are_sorted_as_rows_are(
            groups in prop::collection::vec(group(), 0..40),
            has_windows: bool,
            order in order(),
            has_having: bool,
            most in prop_oneof![8 => 0..12_usize, 1 => Just(usize::MAX)],
        ) {
            let having = Having::parse("connections > 1 or distinct_netns == 0", &columns()).unwrap();
            let having = has_having.then_some(&having);
            let made = || grouped(&groups, has_windows, order.clone(), having);
            let unsorted = made();
            let rows = unsorted.kept.iter().map(|row| unsorted.numbers.row(row)).collect();
            let mut reference = Report { rows, ..unsorted.about().clone() };
            reference.sort(order.clone());
            prop_assert_eq!(made().has_windows(), reference.has_windows());

            let sorted = made().sort();
            let mut by_columns = vec![Vec::new(); reference.columns.len()];
            for start in (0..=sorted.height()).step_by(7) {
                for (column, part) in by_columns.iter_mut().zip(sorted.parts(start..start + 7)) {
                    column.extend(part.iter().map(Cow::into_owned));
                }
            }
            for (column, values) in reference.columns.iter().zip(by_columns) {
                let expected: Vec<Value> = reference.rows.iter().map(|row| row.cell(column.cell)).collect();
                prop_assert_eq!(values, expected, "{}", &column.name);
            }
            prop_assert_eq!(sorted.rows().map(Cow::into_owned).collect::<Vec<_>>(), reference.rows.clone());
            prop_assert_eq!(sorted.report().rows, reference.rows.clone());

            let first = made().first(most).report();
            prop_assert_eq!(&first.rows, &reference.keep_first(most).rows);
            prop_assert_eq!(first.totals(), reference.totals());
            prop_assert_eq!(first.all_rows(), reference.rows.len());
            prop_assert_eq!(first.has_windows(), reference.has_windows());
        }
    }
}
