//! A report as a typed data frame.
//!
//! In: a report. Out: a polars frame whose columns have the types of the field list; unknown values and folded ports are
//! null. Never here: text forms.

use netflow_core::column;
use netflow_core::report::Report;
use netflow_core::value::{Type, Value};
use polars_core::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series, TimeUnit, TimeZone};

use super::ReportError;

/// The report as a frame: ports `u16`, ids `u32`, counters `u64`, times in microseconds with UTC, the rest text.
///
/// # Errors
/// When polars refuses the columns.
pub fn frame(report: &Report) -> Result<DataFrame, ReportError> {
    let columns = columns(report).into_iter().map(|(field, cells)| typed(&field.name, field.ty, &cells)).collect();
    Ok(DataFrame::new(report.rows.len(), columns)?)
}

/// The cells column by column.
pub(super) fn columns(report: &Report) -> Vec<(&column::Column, Vec<Value>)> {
    let mut columns: Vec<_> =
        report.columns.iter().map(|field| (field, Vec::with_capacity(report.rows.len()))).collect();
    for row in &report.rows {
        for ((_, cells), cell) in columns.iter_mut().zip(report.cells(row)) {
            cells.push(cell);
        }
    }
    columns
}

/// Numbers of any width; what does not fit into the column's type is unknown rather than wrong.
fn numbers<N: TryFrom<u64>>(cells: &[Value]) -> Vec<Option<N>> {
    cells
        .iter()
        .map(|cell| match cell {
            Value::Number(number) => N::try_from(*number).ok(),
            _ => None,
        })
        .collect()
}

fn typed(name: &str, ty: Type, cells: &[Value]) -> Column {
    let series = match ty {
        Type::U16 => Series::new(name.into(), numbers::<u16>(cells)),
        Type::U32 => Series::new(name.into(), numbers::<u32>(cells)),
        Type::U64 => Series::new(name.into(), numbers::<u64>(cells)),
        Type::Text | Type::Ip | Type::Net => {
            let texts: Vec<Option<String>> = cells
                .iter()
                .map(|cell| match cell {
                    Value::Text(text) => Some(text.to_string()),
                    Value::Word(word) => Some((*word).to_owned()),
                    Value::Ip(ip) => Some(ip.to_string()),
                    Value::Net(net) => Some(net.to_string()),
                    _ => None,
                })
                .collect();
            Series::new(name.into(), texts)
        }
        Type::Time => {
            let times: Vec<Option<i64>> = cells
                .iter()
                .map(|cell| match cell {
                    Value::Time(micros) => Some(*micros),
                    _ => None,
                })
                .collect();
            Series::new(name.into(), times).into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        }
    };
    series.into_column()
}
