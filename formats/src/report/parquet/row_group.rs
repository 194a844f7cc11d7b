//! Row groups of a Parquet file.
//!
//! In: rows, how their columns are written. Out: of each column a page, and before it one of its different values where there
//! are few, compressed. Never here: what stands before and behind row groups.

use std::io::Write;

use netflow_core::tabular::{Part, Tabular};
use polars_core::error::PolarsError;
use polars_core::prelude::{ArrowSchema, CompatLevel, StringChunked};
use polars_io::parquet::write::get_encodings;
use polars_parquet::write::fallible_streaming_iterator::convert;
use polars_parquet::write::{
    CompressedPage, DynIter, DynStreamingIterator, Encoding, FileWriter, ParquetType, WriteOptions, array_to_columns,
    compress,
};

use super::super::ReportError;
use super::super::frame::typed;
use super::super::turns::Maker;
use super::ROW_GROUP;
use super::coded::Coded;

/// How columns are written.
pub(super) struct Form {
    columns: Vec<(ParquetType, Vec<Encoding>)>,
    options: WriteOptions,
}

impl Form {
    /// That of the file.
    pub(super) fn new<W: Write>(file: &FileWriter<W>, schema: &ArrowSchema) -> Self {
        let types = file.parquet_schema().fields().iter().cloned();
        Self { columns: types.zip(get_encodings(schema).iter().cloned()).collect(), options: file.options() }
    }
}

/// Makes row groups.
pub(super) struct RowGroups<'a, T: ?Sized> {
    table: &'a T,
    texts: &'a [Option<StringChunked>],
    form: &'a Form,
    coded: Coded,
    rows: usize,
    /// Those of each column.
    pages: Vec<Vec<CompressedPage>>,
}

impl<'a, T: Tabular + ?Sized> RowGroups<'a, T> {
    /// `texts` are the different ones of each column, by their codes.
    pub(super) fn new(table: &'a T, texts: &'a [Option<StringChunked>], form: &'a Form) -> Self {
        Self { table, texts, form, coded: Coded::default(), rows: 0, pages: Vec::new() }
    }
}

impl<T: Tabular + ?Sized, W: Write> Maker<FileWriter<W>> for RowGroups<'_, T> {
    fn make(&mut self, part: usize) -> Result<(), ReportError> {
        let start = part * ROW_GROUP;
        let end = (start + ROW_GROUP).min(self.table.height());
        self.rows = end.saturating_sub(start);
        self.pages.clear();
        let Form { columns, options } = self.form;
        let parts = self.table.columns().iter().zip(self.table.parts(start..end));
        for (((column, part), texts), (ty, encoding)) in parts.zip(self.texts).zip(columns) {
            let coded = match (&part, texts) {
                (Part::Coded { codes, .. }, Some(texts)) => self.coded.array(codes, texts)?,
                _ => None,
            };
            let array = match coded {
                Some(array) => array,
                None => typed(column, part, texts.as_ref())?.to_arrow(0, CompatLevel::newest()),
            };
            let mut pages = Vec::new();
            for page in array_to_columns(array, ty.clone(), *options, encoding)?.into_iter().flatten() {
                pages.push(compress(page?, Vec::new(), options.compression).map_err(PolarsError::from)?);
            }
            self.pages.push(pages);
        }
        Ok(())
    }

    fn write(&mut self, out: &mut FileWriter<W>) -> Result<(), ReportError> {
        let columns = self.pages.iter().map(|pages| Ok(DynStreamingIterator::new(convert(pages.iter().map(Ok)))));
        Ok(out.write(self.rows as u64, DynIter::new(columns))?)
    }
}
