//! Row groups of a Parquet file.
//!
//! In: rows, the types of their columns in the file. Out: a page of each column, and one of its different values where it
//! has few, compressed. Never here: what stands before and behind row groups.

use std::io::Write;

use netflow_core::tabular::{Part, Tabular};
use polars_core::error::PolarsError;
use polars_core::prelude::{CompatLevel, StringChunked};
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

/// Makes row groups.
pub(super) struct RowGroups<'a, T: ?Sized> {
    table: &'a T,
    texts: &'a [Option<StringChunked>],
    types: &'a [ParquetType],
    options: WriteOptions,
    coded: Coded,
    rows: usize,
    /// Those of each column.
    pages: Vec<Vec<CompressedPage>>,
}

impl<'a, T: Tabular + ?Sized> RowGroups<'a, T> {
    pub(super) fn new(
        table: &'a T,
        texts: &'a [Option<StringChunked>],
        types: &'a [ParquetType],
        options: WriteOptions,
    ) -> Self {
        Self { table, texts, types, options, coded: Coded::default(), rows: 0, pages: Vec::new() }
    }
}

impl<T: Tabular + ?Sized, W: Write> Maker<FileWriter<W>> for RowGroups<'_, T> {
    fn make(&mut self, part: usize) -> Result<(), ReportError> {
        let start = part * ROW_GROUP;
        let end = (start + ROW_GROUP).min(self.table.height());
        self.rows = end.saturating_sub(start);
        let columns = self.table.columns().iter().zip(self.table.parts(start..end)).zip(self.texts).zip(self.types);
        self.pages.clear();
        for (((column, part), texts), ty) in columns {
            let array = match (&part, texts) {
                (Part::Coded { codes, .. }, Some(texts)) => self.coded.array(codes, texts)?,
                _ => None,
            };
            let array = match array {
                Some(array) => array,
                None => typed(column, part, texts.as_ref())?.to_arrow(0, CompatLevel::newest()),
            };
            let mut pages = Vec::new();
            for page in
                array_to_columns(array, ty.clone(), self.options, &[Encoding::RleDictionary])?.into_iter().flatten()
            {
                pages.push(compress(page?, Vec::new(), self.options.compression).map_err(PolarsError::from)?);
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
