//! A report as Parquet.
//!
//! In: a report. Out: a file that DuckDB, pyarrow, pandas, Polars and Spark read with types, UTC and nulls, compressed with
//! zstd, with the least and the greatest value of each column in each row group, and with what the columns mean
//! (PARQUET.md). The same report gives the same bytes. Never here: several files.

use std::io::Write;

use netflow_core::report::Report;
use polars_io::parquet::write::{KeyValueMetadata, ParquetCompression, ParquetWriter, StatisticsOptions};

use super::{ReportError, columns, frame};

/// The most rows of a row group: what a reader skips, or gives to one of its threads, at once.
pub const ROW_GROUP: usize = 128 << 10;

/// Writes the report.
///
/// # Errors
/// When the output fails.
pub fn write_parquet<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    let mut frame = frame(report)?;
    ParquetWriter::new(out)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .with_row_group_size(Some(ROW_GROUP))
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(columns::metadata(report))))
        .set_parallel(false)
        .finish(&mut frame)?;
    Ok(())
}
