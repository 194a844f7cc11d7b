//! A report as a typed data frame.
//!
//! In: rows. Out: polars frames whose columns have the types of the field list; unknown values and folded ports are null.
//! Never here: text forms.

use std::ops::Range;

use netflow_core::column;
use netflow_core::tabular::{Part, Tabular};
use netflow_core::value::{Type, Value};
use polars_core::prelude::{
    ChunkTake as _, ChunkedArray, DataFrame, IdxCa, Int64Type, IntoColumn, IntoSeries, NewChunkedArray as _,
    PlSmallStr, PolarsNumericType, Series, StringChunked, TimeUnit, TimeZone, UInt16Type, UInt32Type, UInt64Type,
};
use polars_core::utils::arrow::bitmap::Bitmap;

use super::ReportError;

/// The rows as a frame: ports `u16`, ids `u32`, counters `u64`, times in microseconds with UTC, the rest text.
///
/// # Errors
/// When polars refuses the columns.
pub fn frame<T: Tabular + ?Sized>(table: &T) -> Result<DataFrame, ReportError> {
    Frames::new(table).get(0..table.height())
}

/// Frames of some of the rows.
pub(super) struct Frames<'a, T: ?Sized> {
    table: &'a T,
    /// The different texts of each column by their codes, unless it has none or fewer rows than texts.
    texts: Vec<Option<StringChunked>>,
}

impl<'a, T: Tabular + ?Sized> Frames<'a, T> {
    pub(super) fn new(table: &'a T) -> Self {
        let columns = table.columns().iter().zip(table.parts(0..0));
        let texts = columns.map(|(column, part)| match (column.ty, part) {
            (Type::Text | Type::Ip | Type::Net, Part::Coded { values, .. }) if values.len() <= table.height() => {
                Some(StringChunked::from_iter_options(column.name.as_ref().into(), values.iter().map(text)))
            }
            _ => None,
        });
        Self { table, texts: texts.collect() }
    }

    pub(super) fn texts(&self) -> &[Option<StringChunked>] {
        &self.texts
    }

    /// The rows at these places.
    pub(super) fn get(&self, rows: Range<usize>) -> Result<DataFrame, ReportError> {
        let height = self.table.height();
        let rows = rows.start.min(height)..rows.end.min(height);
        let parts = self.table.parts(rows.clone());
        let columns = self.table.columns().iter().zip(parts).zip(&self.texts);
        let columns = columns.map(|((column, part), texts)| Ok(typed(column, part, texts.as_ref())?.into_column()));
        Ok(DataFrame::new(rows.len(), columns.collect::<Result<_, ReportError>>()?)?)
    }
}

/// Some rows of a column. `texts` are its different ones.
pub(super) fn typed(
    column: &column::Column,
    part: Part<'_>,
    texts: Option<&StringChunked>,
) -> Result<Series, ReportError> {
    let name = || column.name.as_ref().into();
    Ok(match (column.ty, part) {
        (Type::U16, part) => chunked::<UInt16Type>(name(), numbers(&part)).into_series(),
        (Type::U32, part) => chunked::<UInt32Type>(name(), numbers(&part)).into_series(),
        (Type::U64, Part::Numbers(numbers)) => chunked::<UInt64Type>(name(), numbers.split()).into_series(),
        (Type::U64, part) => chunked::<UInt64Type>(name(), numbers(&part)).into_series(),
        (Type::Text | Type::Ip | Type::Net, part) => match (texts, part) {
            (Some(texts), Part::Coded { codes, .. }) => texts.take(&IdxCa::from_vec(name(), codes))?.into_series(),
            (_, part) => StringChunked::from_iter_options(name(), part.iter().map(|value| text(&value))).into_series(),
        },
        (Type::Time, part) => {
            let times = match part {
                Part::Times(times) => times.split(),
                part => split(&part, time),
            };
            let times = chunked::<Int64Type>(name(), times).into_series();
            times.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        }
    })
}

/// Values, of which those are null that are not known.
fn chunked<N: PolarsNumericType>(name: PlSmallStr, (values, is_known): (Vec<N::Native>, Vec<bool>)) -> ChunkedArray<N> {
    let is_known = is_known.contains(&false).then(|| Bitmap::from(is_known));
    ChunkedArray::from_vec_validity(name, values, is_known)
}

/// Numbers of any width; what does not fit into the column's type is unknown rather than wrong.
fn numbers<N: TryFrom<u64> + Copy + Default>(part: &Part<'_>) -> (Vec<N>, Vec<bool>) {
    match part {
        Part::Numbers(numbers) => known(numbers.iter().map(|number| N::try_from(number?).ok())),
        part => split(part, number),
    }
}

/// What each value is, and whether that is known.
fn split<N: Copy + Default>(part: &Part<'_>, get: impl Fn(&Value) -> Option<N>) -> (Vec<N>, Vec<bool>) {
    match part {
        Part::Coded { values, codes } if values.len() <= codes.len() => {
            let different: Vec<Option<N>> = values.iter().map(get).collect();
            known(codes.iter().map(|code| different.get(*code as usize).copied().flatten()))
        }
        Part::Values(values) => known(values.iter().map(get)),
        part => known(part.iter().map(|value| get(&value))),
    }
}

fn known<N: Default>(values: impl Iterator<Item = Option<N>>) -> (Vec<N>, Vec<bool>) {
    let known = |value: Option<N>| {
        let is_known = value.is_some();
        (value.unwrap_or_default(), is_known)
    };
    values.map(known).unzip()
}

fn number<N: TryFrom<u64>>(value: &Value) -> Option<N> {
    match value {
        Value::Number(number) => N::try_from(*number).ok(),
        _ => None,
    }
}

fn time(value: &Value) -> Option<i64> {
    match value {
        Value::Time(micros) => Some(*micros),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Word(word) => Some((*word).to_owned()),
        Value::Ip(ip) => Some(ip.to_string()),
        Value::Net(net) => Some(net.to_string()),
        _ => None,
    }
}
