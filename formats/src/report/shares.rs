//! A report whose groups are too many to be kept: shares of its rows on disk, put together in order.
//!
//! In: the sorted rows of each share, files to put them in. Out: the rows of all shares in the report's order, to be written
//! like any others. Never here: which groups are in a share, where the files are.
//!
//! The files are nobody else's: their form is that of this process, and they are read once or twice and then go.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::ops::Range;

use bincode::config::standard;
use bincode::error::DecodeError;
use netflow_core::column::Column;
use netflow_core::grouped::Sorted;
use netflow_core::report::{Report, Row};
use netflow_core::share::Legend;
use netflow_core::tabular::{Part, Tabular};

/// The rows of a share, in the report's order, as numbers in a file.
#[derive(Debug)]
pub struct Run {
    file: File,
    rows: usize,
}

impl Run {
    /// Puts the rows into an empty file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(rows: &Sorted, file: File) -> io::Result<Self> {
        let mut out = BufWriter::new(file);
        let mut numbers = Vec::new();
        for place in 0..rows.height() {
            numbers.clear();
            rows.numbers(place, &mut numbers);
            for number in &numbers {
                bincode::encode_into_std_write(number, &mut out, standard()).map_err(io::Error::other)?;
            }
        }
        out.flush()?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, rows: rows.height() })
    }
}

/// All rows of all shares.
#[derive(Debug)]
pub struct Shares {
    legend: Legend,
    runs: Vec<Run>,
    merge: RefCell<Merge>,
    failed: RefCell<Option<io::Error>>,
}

impl Shares {
    /// The shares of a report, each in a file; what their numbers mean is the same for all.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn new(legend: Legend, runs: Vec<Run>) -> io::Result<Self> {
        let merge = RefCell::new(Merge::new(&legend, &runs)?);
        Ok(Self { legend, runs, merge, failed: RefCell::new(None) })
    }

    /// The report without its rows.
    #[must_use]
    pub fn about(&self) -> &Report {
        self.legend.about()
    }

    /// What was written is whole: to be asked when that is done.
    ///
    /// # Errors
    ///
    /// A file could not be read, and rows are missing.
    pub fn check(&self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The row behind those that were taken, from the beginning when `place` says so.
    fn next(&self, place: usize) -> Option<Row> {
        let mut merge = self.merge.borrow_mut();
        let row =
            if place < merge.taken { Merge::new(&self.legend, &self.runs).map(|begun| *merge = begun) } else { Ok(()) };
        let row = row.and_then(|()| {
            while merge.taken < place {
                merge.take(&self.legend)?;
            }
            merge.take(&self.legend)
        });
        row.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            None
        })
    }
}

impl Tabular for Shares {
    fn columns(&self) -> &[Column] {
        &self.about().columns
    }

    fn height(&self) -> usize {
        self.runs.iter().map(|run| run.rows).sum()
    }

    fn rows(&self) -> Box<dyn Iterator<Item = Cow<'_, Row>> + '_> {
        Box::new((0..self.height()).map_while(|place| self.next(place).map(Cow::Owned)))
    }

    fn parts(&self, places: Range<usize>) -> Vec<Part<'_>> {
        let places = places.start..places.end.min(self.height());
        let rows: Vec<Row> = places.map_while(|place| self.next(place)).collect();
        let part = |column: &Column| Part::Values(rows.iter().map(|row| row.cell(column.cell)).collect());
        self.columns().iter().map(part).collect()
    }
}

/// The shares while they are read.
#[derive(Debug)]
struct Merge {
    sources: Vec<Source>,
    /// Of each source that has any more rows its next, with its number; what comes first is last.
    next: Vec<(Row, usize)>,
    taken: usize,
}

#[derive(Debug)]
struct Source {
    file: BufReader<File>,
    left: usize,
    numbers: Vec<u64>,
}

impl Merge {
    fn new(legend: &Legend, runs: &[Run]) -> io::Result<Self> {
        let mut merge = Self { sources: Vec::new(), next: Vec::new(), taken: 0 };
        for (source, run) in runs.iter().enumerate() {
            let mut file = run.file.try_clone()?;
            file.rewind()?;
            merge.sources.push(Source { file: BufReader::new(file), left: run.rows, numbers: Vec::new() });
            merge.fill(legend, source)?;
        }
        Ok(merge)
    }

    /// Puts the next row of a source among those that may come next.
    fn fill(&mut self, legend: &Legend, source: usize) -> io::Result<()> {
        let Some(from) = self.sources.get_mut(source).filter(|from| from.left > 0) else { return Ok(()) };
        from.left -= 1;
        from.numbers.clear();
        for _ in 0..legend.width() {
            let number = bincode::decode_from_std_read(&mut from.file, standard()).map_err(|error| match error {
                DecodeError::Io { inner, .. } => inner,
                other => io::Error::other(other),
            })?;
            from.numbers.push(number);
        }
        let row = legend.row(&from.numbers).ok_or_else(|| io::Error::other("a row has fewer numbers than tags"))?;
        let order = &legend.about().order;
        let place = self.next.partition_point(|(other, _)| order.compare(other, &row).is_gt());
        self.next.insert(place, (row, source));
        Ok(())
    }

    fn take(&mut self, legend: &Legend) -> io::Result<Option<Row>> {
        let Some((row, source)) = self.next.pop() else { return Ok(None) };
        self.taken += 1;
        self.fill(legend, source)?;
        Ok(Some(row))
    }
}
