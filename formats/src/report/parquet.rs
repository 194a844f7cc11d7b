//! A report as Parquet.
//!
//! In: rows. Out: a file that DuckDB, pyarrow, pandas, Polars and Spark read with types, UTC and nulls, compressed with
//! zstd, with the least and the greatest value of each column in each row group, and with what the columns mean
//! (PARQUET.md). The same report gives the same bytes. Never here: several files.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use netflow_core::tabular::Tabular;
use polars_core::prelude::{CompatLevel, SchemaExt as _};
use polars_io::parquet::write::{KeyValueMetadata, ParquetCompression, ParquetWriter, StatisticsOptions};

use super::frame::Frames;
use super::{ReportError, arrow, columns};

/// The most rows of a row group: what a reader skips, or gives to one of its threads, at once.
pub const ROW_GROUP: usize = 128 << 10;

/// A column of a row group is one page. Of several pages polars would compare the least and greatest values as numbers with
/// a sign, and readers would skip rows with counters above 2^63.
const PAGE_BYTES: usize = 1 << 30;

/// Writes the rows.
///
/// # Errors
/// When the output fails.
pub fn write_parquet<T: Tabular + ?Sized, W: Write>(table: &T, out: W) -> Result<(), ReportError> {
    let mut frames = Frames::new(table);
    let none = frames.get(0..0)?;
    let mut metadata = columns::metadata(table.columns());
    // Where Arrow's readers look first, and for pandas' types only there. What polars would put there has a type for texts that
    // only the newest of them know.
    let schema = arrow::schema(table, &none.schema().to_arrow(CompatLevel::oldest()))?;
    metadata.push(("ARROW:schema".to_owned(), STANDARD.encode(schema)));
    let mut writer = ParquetWriter::new(out)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .with_data_page_size(Some(PAGE_BYTES))
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
        .set_parallel(false)
        .batched(none.schema())?;
    for start in (0..table.height()).step_by(ROW_GROUP) {
        writer.write_batch(&frames.get(start..start + ROW_GROUP)?)?;
    }
    writer.finish()?;
    Ok(())
}
