//! A report as Arrow: the columns as they lie in memory.
//!
//! In: rows. Out: Arrow's IPC file, which is read in any order, or its stream, for pipes; types as in Parquet, texts in the
//! form that every version of Arrow knows, nothing compressed, and what the columns mean in the schema's metadata. Never
//! here: which of the two is asked for.

use std::io::Write;
use std::sync::Arc;

use netflow_core::tabular::Tabular;
use polars_core::prelude::{ArrowSchema, CompatLevel, SchemaExt as _};
use polars_core::utils::arrow::io::ipc::write::{FileWriter, StreamWriter, WriteOptions};

use super::frame::Frames;
use super::parquet::ROW_GROUP;
use super::{ReportError, columns};

/// The form that every version of Arrow knows.
const FORM: CompatLevel = CompatLevel::oldest();
const PLAIN: WriteOptions = WriteOptions { compression: None };

/// Writes the rows as a file, in batches of [`ROW_GROUP`].
///
/// # Errors
/// When the output fails.
pub fn write_arrow<T: Tabular + ?Sized, W: Write>(table: &T, out: W) -> Result<(), ReportError> {
    let frames = Frames::new(table);
    let schema = Arc::new(frames.get(0..0)?.schema().to_arrow(FORM));
    let mut writer = FileWriter::try_new(out, schema, None, PLAIN)?;
    writer.set_custom_schema_metadata(Arc::new(metadata(table)));
    for start in starts(table) {
        for batch in frames.get(start..start + ROW_GROUP)?.iter_chunks(FORM, true) {
            writer.write(&batch, None)?;
        }
    }
    Ok(writer.finish()?)
}

/// Writes the rows as a stream, in batches of [`ROW_GROUP`].
///
/// # Errors
/// As [`write_arrow`].
pub fn write_arrow_stream<T: Tabular + ?Sized, W: Write>(table: &T, mut out: W) -> Result<(), ReportError> {
    let frames = Frames::new(table);
    let schema = frames.get(0..0)?.schema().to_arrow(FORM);
    let mut writer = begin(table, &schema, &mut out)?;
    for start in starts(table) {
        for batch in frames.get(start..start + ROW_GROUP)?.iter_chunks(FORM, true) {
            writer.write(&batch, None)?;
        }
    }
    Ok(writer.finish()?)
}

/// Where batches begin. There is one of no rows, too.
fn starts<T: Tabular + ?Sized>(table: &T) -> impl Iterator<Item = usize> + use<T> {
    (0..table.height().max(1)).step_by(ROW_GROUP)
}

/// The columns as the first message of a stream, which is also how a Parquet file keeps them.
///
/// # Errors
/// When polars refuses the columns.
pub(super) fn schema<T: Tabular + ?Sized>(table: &T, schema: &ArrowSchema) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    begin(table, schema, &mut bytes)?;
    Ok(bytes)
}

fn begin<T: Tabular + ?Sized, W: Write>(
    table: &T,
    schema: &ArrowSchema,
    out: W,
) -> Result<StreamWriter<W>, ReportError> {
    let mut writer = StreamWriter::new(out, PLAIN);
    writer.set_custom_schema_metadata(Arc::new(metadata(table)));
    writer.start(schema, None)?;
    Ok(writer)
}

fn metadata<T: Tabular + ?Sized, K, V>(table: &T) -> std::collections::BTreeMap<K, V>
where
    K: Ord + From<String>,
    V: From<String>,
{
    columns::metadata(table.columns()).into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
