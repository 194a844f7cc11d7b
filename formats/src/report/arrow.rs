//! A report as Arrow: the columns as they lie in memory.
//!
//! In: a report. Out: Arrow's IPC file, which is read in any order, or its stream, for pipes; types as in Parquet, texts in
//! the form that every version of Arrow knows, nothing compressed, and what the columns mean in the schema's metadata. Never
//! here: which of the two is asked for.

use std::io::Write;
use std::sync::Arc;

use netflow_core::report::Report;
use polars_core::prelude::{CompatLevel, DataFrame};
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
    stream(report, &mut frame(report)?, out)
}

/// The columns as the first message of a stream, which is also how a Parquet file keeps them.
///
/// # Errors
/// When polars refuses the columns.
pub(super) fn schema(report: &Report) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    stream(report, &mut frame(report)?.clear(), &mut bytes)?;
    // Four bytes that begin a message, the length of what follows, and that.
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
    bytes.truncate(8_usize.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)));
    Ok(bytes)
}

fn stream<W: Write>(report: &Report, frame: &mut DataFrame, out: W) -> Result<(), ReportError> {
    let mut writer = IpcStreamWriter::new(out).with_compat_level(CompatLevel::oldest());
    writer.set_custom_schema_metadata(Arc::new(metadata(report)));
    Ok(writer.finish(frame)?)
}

fn metadata<K, V>(report: &Report) -> std::collections::BTreeMap<K, V>
where
    K: Ord + From<String>,
    V: From<String>,
{
    columns::metadata(report).into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
