//! What the columns of a report mean, for files that carry such words.
//!
//! In: columns. Out: keys and values that Parquet and Arrow keep beside the columns: unit and meaning of each, and the types
//! with which pandas reads numbers that may be missing. Never here: how a file keeps them.

use netflow_core::column::{Cell, Column};
use netflow_core::value::Type;
use serde_json::{Value as Json, json};

/// The keys and values.
pub(super) fn metadata(columns: &[Column]) -> Vec<(String, String)> {
    let meanings: Vec<Json> = columns.iter().map(column).collect();
    vec![
        ("netflow.columns".to_owned(), Json::from(meanings).to_string()),
        ("pandas".to_owned(), pandas(columns).to_string()),
    ]
}

fn column(column: &Column) -> Json {
    let kind = match column.cell {
        Cell::Window(_) => "window",
        Cell::Tag(_) => "tag",
        Cell::Measure(_) | Cell::Distinct(_) => "measure",
    };
    json!({
        "name": column.name,
        "type": column.ty.name(),
        "unit": column.unit,
        "kind": kind,
        "help": column.help,
    })
}

/// Without this, pandas makes floating-point numbers of a column that lacks one value, and rounds what is above 2^53.
fn pandas(columns: &[Column]) -> Json {
    let numbers = columns.iter().filter_map(|column| {
        let (ty, nullable) = match column.ty {
            Type::U16 => ("uint16", "UInt16"),
            Type::U32 => ("uint32", "UInt32"),
            Type::U64 => ("uint64", "UInt64"),
            Type::Text | Type::Ip | Type::Net | Type::Time => return None,
        };
        Some(json!({
            "name": column.name,
            "field_name": column.name,
            "pandas_type": ty,
            "numpy_type": nullable,
            "metadata": null,
        }))
    });
    json!({
        "index_columns": [],
        "column_indexes": [],
        "columns": numbers.collect::<Vec<_>>(),
        "creator": { "library": "netflow", "version": env!("CARGO_PKG_VERSION") },
        "pandas_version": "2.0.0",
    })
}
