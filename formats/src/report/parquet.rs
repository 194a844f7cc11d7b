//! A report as Parquet.
//!
//! In: rows. Out: a file that DuckDB, pyarrow, pandas, Polars and Spark read with types, UTC and nulls, compressed with
//! zstd, with the least and the greatest value of each column in each row group, and with what the columns mean
//! (PARQUET.md). The same report gives the same bytes, on any number of threads. Never here: several files.
//!
//! A thread has one row group in the making, so as many are in memory as there are threads: each takes what its rows take as
//! columns, some 20 MiB of them all. A report of one row group starts no thread.

mod coded;
mod row_group;

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use netflow_core::tabular::Tabular;
use polars_core::prelude::{CompatLevel, SchemaExt as _};
use polars_parquet::write::{
    CompressionOptions, FileWriter, KeyValue, StatisticsOptions, Version, WriteOptions, ZstdLevel,
};

use self::row_group::{Form, RowGroups};
use super::frame::Frames;
use super::turns::{Turns, threads};
use super::{ReportError, arrow, columns};

/// The most rows of a row group: what a reader skips, or gives to one of its threads, at once.
pub const ROW_GROUP: usize = 128 << 10;

/// A column of a row group is one page. Of several pages polars would compare the least and greatest values as numbers with
/// a sign, and readers would skip rows with counters above 2^63.
const PAGE_BYTES: usize = 1 << 30;

/// What places of texts and numbers of few bits leave to compress is hardly smaller with more: by a hundredth with 3.
const LEVEL: i32 = 1;

/// Writes the rows.
///
/// # Errors
/// When the output fails.
pub fn write_parquet<T: Tabular + ?Sized, W: Write + Send>(table: &T, out: W) -> Result<(), ReportError> {
    write_on(threads(), table, out)
}

fn write_on<T: Tabular + ?Sized, W: Write + Send>(threads: usize, table: &T, out: W) -> Result<(), ReportError> {
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
        compression: CompressionOptions::Zstd(Some(ZstdLevel::try_new(LEVEL)?)),
        data_page_size: Some(PAGE_BYTES),
    };
    let schema = schema.to_arrow(CompatLevel::newest());
    let file = FileWriter::try_new(out, schema.clone(), options)?;
    let form = Form::new(&file, &schema);
    let turns = Turns::new(table.height().div_ceil(ROW_GROUP), file);
    match table.shared() {
        Some(table) => turns.run(threads, || RowGroups::new(table, texts, &form)),
        None => turns.take_turns(RowGroups::new(table, texts, &form)),
    }
    turns.finish()?.end(Some(metadata))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::io;
    use std::net::Ipv4Addr;
    use std::ops::Range;

    use netflow_core::column::{Column, Tag};
    use netflow_core::report::Row;
    use netflow_core::tabular::{Part, Typed};
    use netflow_core::value::Value;
    use polars_io::parquet::write::{KeyValueMetadata, ParquetCompression, ParquetWriter};

    use super::*;

    /// Columns of every kind of part.
    struct Table {
        columns: Vec<Column>,
        height: usize,
        few: Vec<Value>,
        many: Vec<Value>,
        ports: Vec<Value>,
    }

    impl Table {
        fn new(height: usize) -> Self {
            let names = ["process_name", "src_ip", "dst_ip", "src_port", "container_id", "began", "netns"];
            let columns = Column::all(&Tag::parse_all(&names).unwrap(), &[]);
            let wanted = |column: &Column| names.contains(&column.name.as_ref()) || column.name == "bytes_read";
            Self {
                columns: columns.into_iter().filter(wanted).collect(),
                height,
                few: vec![
                    Value::Text("a".into()),
                    Value::Null,
                    Value::Text("".into()),
                    Value::Text("long ".repeat(9).into()),
                ],
                many: (0..u32::try_from(height).unwrap())
                    .map(|bits| Value::Ip(Ipv4Addr::from_bits(bits).into()))
                    .collect(),
                ports: vec![Value::Folded, Value::Number(0), Value::Number(65_535), Value::Number(443)],
            }
        }
    }

    impl Tabular for Table {
        fn columns(&self) -> &[Column] {
            &self.columns
        }

        fn height(&self) -> usize {
            self.height
        }

        fn rows(&self) -> Box<dyn Iterator<Item = Cow<'_, Row>> + '_> {
            Box::new(std::iter::empty())
        }

        fn parts(&self, places: Range<usize>) -> Vec<Part<'_>> {
            let places = places.start.min(self.height)..places.end.min(self.height);
            let codes =
                |of: &dyn Fn(usize) -> usize| places.clone().map(|row| u32::try_from(of(row)).unwrap()).collect();
            let part = |column: &Column| match column.name.as_ref() {
                // The second row group has none that is known.
                "process_name" => Part::Coded {
                    values: &self.few,
                    codes: codes(&|row| if row / ROW_GROUP == 1 { 1 } else { row * row % 7 % 4 }),
                },
                "src_ip" => Part::Coded { values: &self.many, codes: codes(&|row| row * 7919 % 1000 % self.height) },
                "dst_ip" => Part::Coded { values: &self.many, codes: codes(&|row| self.height - 1 - row) },
                "src_port" => Part::Coded { values: &self.ports, codes: codes(&|row| row % 4) },
                "began" => Part::Times(Typed::known(places.clone().map(|row| row as i64 - 9).collect())),
                "bytes_read" => Part::Numbers(Typed::new(
                    places.clone().map(|row| (row % 5 > 0).then(|| (row as u64).wrapping_mul(131_072_000_000_007))),
                )),
                _ => Part::Values(vec![Value::Null; places.len()]),
            };
            self.columns.iter().map(part).collect()
        }

        fn shared(&self) -> Option<&(dyn Tabular + Sync)> {
            Some(self)
        }
    }

    /// What polars makes of the rows, row group by row group.
    fn plain(table: &Table) -> Vec<u8> {
        let (mut bytes, frames) = (Vec::new(), Frames::new(table));
        let none = frames.get(0..0).unwrap();
        let arrow = arrow::schema(table, &none.schema().to_arrow(CompatLevel::oldest())).unwrap();
        let mut metadata = columns::metadata(table.columns());
        metadata.push(("ARROW:schema".to_owned(), STANDARD.encode(arrow)));
        let mut writer = ParquetWriter::new(&mut bytes)
            .with_compression(ParquetCompression::Zstd(Some(ZstdLevel::try_new(LEVEL).unwrap())))
            .with_data_page_size(Some(PAGE_BYTES))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
            .batched(none.schema())
            .unwrap();
        for start in (0..table.height()).step_by(ROW_GROUP) {
            writer.write_batch(&frames.get(start..start + ROW_GROUP).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn any_number_of_threads_writes_what_polars_writes() {
        for height in [0, 1, 1000, 2 * ROW_GROUP + 1000] {
            let table = Table::new(height);
            let expected = plain(&table);
            for threads in 1..=3 {
                let mut bytes = Vec::new();
                write_on(threads, &table, &mut bytes).unwrap();
                assert!(bytes == expected, "{height} rows on {threads} threads");
            }
        }
    }

    /// Takes so many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_wherever_it_happens() {
        let table = Table::new(2 * ROW_GROUP);
        let mut bytes = Vec::new();
        write_on(1, &table, &mut bytes).unwrap();
        for threads in 1..=3 {
            write_on(threads, &table, Disk(bytes.len())).unwrap();
            for room in [0, 3, 1000, bytes.len() / 2, bytes.len() - 1] {
                let error = write_on(threads, &table, Disk(room)).unwrap_err().to_string();
                assert!(error.contains("no storage space"), "{room}: {error}");
            }
        }
    }
}
