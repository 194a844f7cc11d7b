//! Rows of numbers in order.
//!
//! In: numbers, and by what they are sorted. Out: the rows in the order of [`Order`], the earlier one first where two are equal.
//! Never here: what the numbers mean.
//!
//! The different values of a tag are compared once, and then only their ranks. As many ranks and numbers of a row as 128 bits
//! hold, the row itself last, are compared as one number.

use std::cmp::Ordering;

use crate::column::Cell;
use crate::grouped::Numbers;
use crate::own::Own;
use crate::picked::Picked;
use crate::ports;
use crate::report::{Order, SortKey};
use crate::rows::Values;
use crate::value::Value;

/// What is compared of a row.
enum Source {
    /// The rank of its value of a tag, by code.
    Rank { tag: usize, ranks: Vec<u32> },
    /// A number or a time.
    Cell(Cell),
    /// Likewise, of the tag at a place: each connection has its own.
    Own(usize),
    /// Likewise, of a port.
    Port(usize),
    /// Bytes both ways.
    Bytes,
    /// The beginning of its window.
    Window,
}

/// Of all that is compared the first, the second and so on.
struct Key {
    source: Source,
    is_ascending: bool,
    /// Among the rows.
    least: u128,
    /// Likewise.
    most: u128,
    /// Each row has a greater one than the one before it.
    is_rising: bool,
}

impl Key {
    fn new(source: Source, is_ascending: bool, numbers: &Numbers, rows: &Picked) -> Self {
        let mut key = Self { source, is_ascending, least: u128::MAX, most: 0, is_rising: false };
        match key.range(numbers, rows) {
            Some((least, most, is_rising)) => {
                (key.least, key.most) = (least.into(), most.into());
                key.is_rising = is_rising;
            }
            None => {
                let (mut before, mut is_rising) = (None, true);
                for row in rows.iter() {
                    let number = key.raw(numbers, row);
                    (key.least, key.most) = (key.least.min(number), key.most.max(number));
                    is_rising &= before.replace(number).is_none_or(|before| before < number);
                }
                key.is_rising = is_rising;
            }
        }
        key
    }

    /// What is known without looking at the rows: the least and the most that there can be, and whether all rise.
    fn range(&self, numbers: &Numbers, rows: &Picked) -> Option<(u64, u64, bool)> {
        match &self.source {
            Source::Rank { ranks, .. } => Some((0, ranks.len().saturating_sub(1) as u64, false)),
            Source::Port(tag) => match numbers.rows.values(*tag) {
                Some(Values::Ports(ports)) => {
                    let (least, most) = ports.ranks();
                    Some((least.into(), most.into(), false))
                }
                _ => None,
            },
            Source::Own(tag) => numbers.rows.own(*tag).filter(|_| rows.are_all()).map(Own::range),
            Source::Cell(_) | Source::Bytes | Source::Window => None,
        }
    }

    /// Of the tag at a place.
    fn of_tag(tag: usize, is_ascending: bool, numbers: &Numbers, rows: &Picked) -> Self {
        let source = match numbers.rows.values(tag) {
            Some(Values::Different(dictionary)) => Source::Rank { tag, ranks: ranks(dictionary.values()) },
            Some(Values::Ports(_)) => Source::Port(tag),
            Some(Values::Own(_)) | None => Source::Own(tag),
        };
        Self::new(source, is_ascending, numbers, rows)
    }

    fn raw(&self, numbers: &Numbers, row: u32) -> u128 {
        match &self.source {
            Source::Rank { tag, ranks } => {
                ranks.get(numbers.rows.code(row, *tag) as usize).copied().unwrap_or(0).into()
            }
            Source::Cell(cell) => number(&numbers.cell(row, *cell)),
            Source::Own(tag) => numbers.rows.own(*tag).map_or(0, |own| own.rank_of(row)).into(),
            Source::Port(tag) => ports::rank(numbers.rows.code(row, *tag)).into(),
            Source::Bytes => numbers.rows.sums(row).bytes().into(),
            Source::Window => number(&Value::Time(numbers.rows.window(row))),
        }
    }

    /// What is less comes first; 0 at least.
    fn get(&self, numbers: &Numbers, row: u32) -> u128 {
        let raw = self.raw(numbers, row);
        if self.is_ascending { raw.saturating_sub(self.least) } else { self.most.saturating_sub(raw) }
    }

    /// The order of the rows, where no two have the same number and the numbers lie close: each row has its place then.
    fn order(&self, numbers: &Numbers, rows: &Picked) -> Option<Done> {
        if self.is_rising && self.is_ascending {
            return Some(Done::AsTheyCome);
        }
        let places = usize::try_from(self.most.saturating_sub(self.least)).ok()?.checked_add(1)?;
        if places < rows.len() || places > rows.len().saturating_mul(2) {
            return None;
        }
        // 0 where there is none.
        let mut order = vec![0; places];
        let mut put = |row: u32, place: u64| {
            let place = order.get_mut(usize::try_from(place).ok()?).filter(|place| **place == 0)?;
            *place = row.checked_add(1)?;
            Some(())
        };
        match &self.source {
            Source::Own(tag) if rows.are_all() => {
                let (least, most) = (u64::try_from(self.least).ok()?, u64::try_from(self.most).ok()?);
                let place =
                    |rank: u64| if self.is_ascending { rank.saturating_sub(least) } else { most.saturating_sub(rank) };
                let ranks = numbers.rows.own(*tag)?.ranks();
                (0..).zip(ranks).try_for_each(|(row, rank)| put(row, place(rank)))?;
            }
            _ => rows.iter().try_for_each(|row| put(row, u64::try_from(self.get(numbers, row)).ok()?))?,
        }
        order.retain(|row| *row > 0);
        order.iter_mut().for_each(|row| *row -= 1);
        Some(Done::Placed(order))
    }

    /// How many bits its numbers take.
    fn bits(&self) -> u32 {
        bits(self.most.saturating_sub(self.least))
    }
}

fn bits(most: u128) -> u32 {
    u128::BITS - most.leading_zeros()
}

/// In the order of [`Value`], in 65 bits.
fn number(value: &Value) -> u128 {
    match value {
        Value::Number(number) => u128::from(*number) + 1,
        Value::Time(micros) => time(*micros),
        _ => 0,
    }
}

fn time(micros: i64) -> u128 {
    u128::from(micros.cast_unsigned() ^ 1 << 63) + 1
}

/// The place in order of each of these different values.
fn ranks(values: &[Value]) -> Vec<u32> {
    let mut codes: Vec<u32> = (0..u32::try_from(values.len()).unwrap_or(u32::MAX)).collect();
    codes.sort_unstable_by(|a, b| values.get(*a as usize).cmp(&values.get(*b as usize)));
    let mut ranks = vec![0; codes.len()];
    for (rank, code) in (0..).zip(codes) {
        if let Some(place) = ranks.get_mut(code as usize) {
            *place = rank;
        }
    }
    ranks
}

/// All that is compared, from first to last.
fn keys<'a>(numbers: &'a Numbers, rows: &'a Picked, order: &'a Order) -> impl Iterator<Item = Key> + 'a {
    let new = move |source, is_ascending| Key::new(source, is_ascending, numbers, rows);
    let of_tag = move |tag: usize, is_ascending| Key::of_tag(tag, is_ascending, numbers, rows);
    let decided: &[SortKey] = if let Order::By { keys, .. } = order { keys } else { &[] };
    let decided = decided.iter().map(move |SortKey { column, ascending }| match column.cell {
        Cell::Tag(tag) if tag < numbers.rows.tags() => of_tag(tag, *ascending),
        cell => new(Source::Cell(cell), *ascending),
    });
    let traffic = matches!(order, Order::Traffic).then_some(Source::Bytes).into_iter();
    let decided = decided.chain(traffic.map(move |source| new(source, false)));
    let window = |is_here: bool| (is_here && numbers.rows.has_windows()).then_some(Source::Window).into_iter();
    let window = |is_here: bool| window(is_here).map(move |source| new(source, true));
    let is_across = order.is_across_windows();
    let tags = (0..numbers.rows.tags()).map(move |tag| of_tag(tag, true));
    window(!is_across).chain(decided).chain(window(is_across)).chain(tags)
}

/// How rows are compared.
pub(crate) struct Sorting<'a> {
    numbers: &'a Numbers,
    /// Those that are compared as one number.
    packed: Vec<Key>,
    /// Bits that they take.
    width: u32,
    /// Those that are compared where that number is the same.
    others: Vec<Key>,
    row_bits: u32,
    done: Option<Done>,
}

/// What the first key alone told.
enum Done {
    /// Rows are in order as they come.
    AsTheyCome,
    /// They are in this order.
    Placed(Vec<u32>),
}

impl<'a> Sorting<'a> {
    /// In that order, among these rows.
    pub(crate) fn new(numbers: &'a Numbers, rows: &Picked, order: &Order) -> Self {
        let row_bits = bits(rows.max().into());
        let mut sorting = Self { numbers, packed: Vec::new(), width: 0, others: Vec::new(), row_bits, done: None };
        for key in keys(numbers, rows, order) {
            let bits = key.bits();
            if bits == 0 {
                // All are the same.
            } else if sorting.others.is_empty() && bits + sorting.width + row_bits <= u128::BITS {
                if sorting.packed.is_empty() {
                    sorting.done = key.order(numbers, rows);
                }
                sorting.width += bits;
                sorting.packed.push(key);
                if sorting.done.is_some() {
                    // Nothing else tells rows apart that are different already.
                    break;
                }
            } else {
                sorting.others.push(key);
            }
        }
        sorting
    }

    /// All that fits into one number, and behind it the row.
    fn pack(&self, row: u32) -> u128 {
        let packed = self.packed.iter().fold(0, |all, key| all << key.bits() | key.get(self.numbers, row));
        packed << self.row_bits | u128::from(row)
    }

    fn row(&self, packed: u128) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the row is at the end")]
        let row = (packed & ((1 << self.row_bits) - 1)) as u32;
        row
    }

    fn compare(&self, a: u128, b: u128) -> Ordering {
        if self.others.is_empty() {
            return a.cmp(&b);
        }
        let (row_a, row_b) = (self.row(a), self.row(b));
        let others = || {
            let mut orders =
                self.others.iter().map(|key| key.get(self.numbers, row_a).cmp(&key.get(self.numbers, row_b)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        (a >> self.row_bits).cmp(&(b >> self.row_bits)).then_with(others).then(row_a.cmp(&row_b))
    }

    /// These rows in order.
    pub(crate) fn sorted(self, rows: &Picked) -> Picked {
        match self.done {
            Some(Done::AsTheyCome) => rows.clone(),
            Some(Done::Placed(order)) => Picked::These(order),
            None => Picked::These(self.compared(rows)),
        }
    }

    fn compared(&self, rows: &Picked) -> Vec<u32> {
        if self.others.is_empty() && self.width + self.row_bits <= u64::BITS {
            #[expect(clippy::cast_possible_truncation, reason = "it has no more bits")]
            let mut packed: Vec<u64> = rows.iter().map(|row| self.pack(row) as u64).collect();
            packed.sort_unstable();
            return packed.into_iter().map(|packed| self.row(packed.into())).collect();
        }
        let mut packed: Vec<u128> = rows.iter().map(|row| self.pack(row)).collect();
        if self.others.is_empty() {
            packed.sort_unstable();
        } else {
            packed.sort_unstable_by(|a, b| self.compare(*a, *b));
        }
        packed.into_iter().map(|packed| self.row(packed)).collect()
    }

    /// The first so many of these rows, in order.
    pub(crate) fn first(&self, rows: impl Iterator<Item = u32>, most: usize) -> Vec<u32> {
        let mut first: Vec<u128> = Vec::new();
        let mut last = None;
        for row in rows.filter(|_| most > 0) {
            let packed = self.pack(row);
            if last.is_some_and(|last| self.compare(last, packed).is_lt()) {
                continue;
            }
            first.push(packed);
            if first.len() >= most.saturating_mul(2) {
                last = Some(*first.select_nth_unstable_by(most - 1, |a, b| self.compare(*a, *b)).1);
                first.truncate(most);
            }
        }
        first.sort_unstable_by(|a, b| self.compare(*a, *b));
        first.truncate(most);
        first.into_iter().map(|packed| self.row(packed)).collect()
    }
}
