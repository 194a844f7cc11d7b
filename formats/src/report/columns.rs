//! What the columns of a report mean, for files that carry such words.
//!
//! In: a report. Out: keys and values that Parquet and Arrow keep beside the columns: unit and meaning of each, and the types
//! with which pandas reads numbers that may be missing. Never here: how a file keeps them.

use netflow_core::field::Field;
use netflow_core::report::Report;
use netflow_core::value::Type;
use serde_json::{Value as Json, json};

/// The keys and values.
pub(super) fn metadata(report: &Report) -> Vec<(String, String)> {
    let columns: Vec<Json> = report.columns.iter().map(|field| column(field)).collect();
    vec![
        ("netflow.columns".to_owned(), Json::from(columns).to_string()),
        ("pandas".to_owned(), pandas(&report.columns).to_string()),
    ]
}

fn column(field: &Field) -> Json {
    json!({
        "name": field.name,
        "type": field.ty.name(),
        "unit": field.unit,
        "kind": field.source.name(),
        "help": field.help,
    })
}

/// Without this, pandas makes floating-point numbers of a column that lacks one value, and rounds what is above 2^53.
fn pandas(columns: &[&Field]) -> Json {
    let numbers = columns.iter().filter_map(|field| {
        let (ty, nullable) = match field.ty {
            Type::U16 => ("uint16", "UInt16"),
            Type::U32 => ("uint32", "UInt32"),
            Type::U64 => ("uint64", "UInt64"),
            Type::Text | Type::Ip | Type::Time => return None,
        };
        Some(json!({
            "name": field.name,
            "field_name": field.name,
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
