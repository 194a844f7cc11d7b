//! A report as a typed data frame.
//!
//! In: rows. Out: polars frames whose columns have the types of the field list; unknown values and folded ports are null.
//! Never here: text forms.

use std::ops::Range;

use netflow_core::column;
use netflow_core::tabular::{Part, Tabular};
use netflow_core::value::{Type, Value};
use polars_core::prelude::{
    ChunkTake as _, DataFrame, IdxCa, Int64Chunked, IntoColumn, IntoSeries, NamedFrom, NewChunkedArray as _,
    Series, StringChunked, TimeUnit, TimeZone, UInt64Chunked,
};

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
        (Type::U64, Part::Numbers(numbers)) => match numbers.all() {
            Ok(numbers) => UInt64Chunked::from_vec(name(), numbers).into_series(),
            Err(numbers) => Series::new(name(), numbers.iter().collect::<Vec<_>>()),
        },
        (Type::U16, part) => Series::new(name(), numbers::<u16>(&part)),
        (Type::U32, part) => Series::new(name(), numbers::<u32>(&part)),
        (Type::U64, part) => Series::new(name(), numbers::<u64>(&part)),
        (Type::Text | Type::Ip | Type::Net, part) => match (texts, part) {
            (Some(texts), Part::Coded { codes, .. }) => texts.take(&IdxCa::from_vec(name(), codes))?.into_series(),
            (_, part) => {
                StringChunked::from_iter_options(name(), part.iter().map(|value| text(&value))).into_series()
            }
        },
        (Type::Time, part) => {
            let times = match part {
                Part::Times(times) => match times.all() {
                    Ok(times) => Int64Chunked::from_vec(name(), times).into_series(),
                    Err(times) => Series::new(name(), times.iter().collect::<Vec<_>>()),
                },
                part => Series::new(name(), part.iter().map(|value| time(&value)).collect::<Vec<_>>()),
            };
            times.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        }
    })
}

/// Numbers of any width; what does not fit into the column's type is unknown rather than wrong.
fn numbers<N: TryFrom<u64> + Copy>(part: &Part<'_>) -> Vec<Option<N>> {
    match part {
        Part::Numbers(numbers) => numbers.iter().map(|number| N::try_from(number?).ok()).collect(),
        Part::Coded { values, codes } if values.len() <= codes.len() => {
            let different: Vec<Option<N>> = values.iter().map(number).collect();
            codes.iter().map(|code| different.get(*code as usize).copied().flatten()).collect()
        }
        part => part.iter().map(|value| number(&value)).collect(),
    }
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
