//! A report as Parquet.
//!
//! In: a report. Out: a file that DuckDB, pyarrow and Polars read with types, UTC and nulls, compressed with zstd, with
//! statistics. The same report gives the same bytes. Never here: partitions.

use std::io::Write;

use netflow_core::report::Report;
use polars_io::parquet::write::{ParquetCompression, ParquetWriter, StatisticsOptions};

use super::{ReportError, frame};

/// Writes the report.
///
/// # Errors
/// When the output fails.
pub fn write_parquet<W: Write>(report: &Report, out: W) -> Result<(), ReportError> {
    let mut frame = frame(report)?;
    ParquetWriter::new(out)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .set_parallel(false)
        .finish(&mut frame)?;
    Ok(())
}
