//! A report as Parquet.
//!
//! In: rows. Out: a file that DuckDB, pyarrow, pandas, Polars and Spark read with types, UTC and nulls, compressed with
//! zstd, with the least and the greatest value of each column in each row group, and with what the columns mean
//! (PARQUET.md). The same report gives the same bytes, on any number of threads: each makes a row group, and at most
//! so many are in memory. Never here: several files.

mod coded;
mod row_group;

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use netflow_core::tabular::Tabular;
use polars_core::error::PolarsError;
use polars_core::prelude::{CompatLevel, SchemaExt as _};
use polars_parquet::write::{
    CompressionOptions, FileWriter, KeyValue, StatisticsOptions, Version, WriteOptions, ZstdLevel,
};

use self::row_group::RowGroups;
use super::frame::Frames;
use super::turns::Turns;
use super::{ReportError, arrow, columns};

/// The most rows of a row group: what a reader skips, or gives to one of its threads, at once.
pub const ROW_GROUP: usize = 128 << 10;

/// A column of a row group is one page. Of several pages polars would compare the least and greatest values as numbers with
/// a sign, and readers would skip rows with counters above 2^63.
const PAGE_BYTES: usize = 1 << 30;

/// Of what is packed by then hardly anything is gained by more.
const LEVEL: i32 = 1;

/// Writes the rows.
///
/// # Errors
/// When the output fails.
pub fn write_parquet<T: Tabular + ?Sized, W: Write + Send>(table: &T, out: W) -> Result<(), ReportError> {
    let frames = Frames::new(table);
    let (schema, texts) = (frames.get(0..0)?.schema().clone(), frames.texts());
    let mut metadata = columns::metadata(table.columns());
    // Where Arrow's readers look first, and for pandas' types only there. What polars would put there has a type for texts that
    // only the newest of them know.
    let arrow = arrow::schema(table, &schema.to_arrow(CompatLevel::oldest()))?;
    metadata.push(("ARROW:schema".to_owned(), STANDARD.encode(arrow)));
    let metadata = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::default(),
        version: Version::V1,
        compression: CompressionOptions::Zstd(Some(ZstdLevel::try_new(LEVEL).map_err(PolarsError::from)?)),
        data_page_size: Some(PAGE_BYTES),
    };
    let file = FileWriter::try_new(out, schema.to_arrow(CompatLevel::newest()), options)?;
    let types = file.parquet_schema().fields().to_vec();
    let turns = Turns::new(table.height().div_ceil(ROW_GROUP), file);
    match table.shared() {
        Some(table) => turns.run(|| RowGroups::new(table, texts, &types, options)),
        None => turns.take_turns(RowGroups::new(table, texts, &types, options)),
    }
    turns.finish()?.end(Some(metadata))?;
    Ok(())
}
