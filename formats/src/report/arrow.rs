//! A report as Arrow: the columns as they lie in memory.
//!
//! In: a report. Out: Arrow's IPC file, which is read in any order, or its stream, for pipes; types as in Parquet, texts in
//! the form that every version of Arrow knows, nothing compressed, and what the columns mean in the schema's metadata. Never
//! here: which of the two is asked for.

use std::io::Write;
use std::sync::Arc;

use netflow_core::report::Report;
use polars_core::datatypes::CompatLevel;
use polars_io::SerWriter;
use polars_io::ipc::{IpcStreamWriter, IpcWriter};

use super::{ReportError, columns, frame};

/// Writes the report as a file.
///
/// # Errors
/// When the output fails.
pub fn write_arrow<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    let mut writer = IpcWriter::new(out).with_compat_level(CompatLevel::oldest()).with_parallel(false);
    writer.set_custom_schema_metadata(Arc::new(metadata(report)));
    Ok(writer.finish(&mut frame(report)?)?)
}

/// Writes the report as a stream.
///
/// # Errors
/// As [`write_arrow`].
pub fn write_arrow_stream<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    let mut writer = IpcStreamWriter::new(out).with_compat_level(CompatLevel::oldest());
    writer.set_custom_schema_metadata(Arc::new(metadata(report)));
    Ok(writer.finish(&mut frame(report)?)?)
}

fn metadata<K: Ord, V>(report: &Report) -> std::collections::BTreeMap<K, V>
where
    K: From<String>,
    V: From<String>,
{
    columns::metadata(report).into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
