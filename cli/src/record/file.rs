//! The file that is recorded into.
//!
//! In: events. Out: a capture that is never more than a moment behind, on disk every [`SYNC_EVERY`]. A file that exists is
//! not touched unless that was asked for, and then only once the recording has begun.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use netflow_core::event::{Event, Header};
use netflow_formats::capture::{CaptureWriter, Totals, WriteError, WriterOptions};

use crate::input::is_std;
use crate::output;

/// An event reaches the file within this time.
const SEAL_EVERY: Duration = Duration::from_millis(500);
/// The file reaches the disk within this time.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// Where blocks go.
enum Sink {
    File(File),
    Stdout(io::Stdout),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

/// A path that is known to be writable. Dropped before the recording begins, it leaves nothing behind.
pub(super) struct Reserved {
    path: PathBuf,
    sink: Option<Sink>,
    /// The file was made here.
    is_new: bool,
}

/// Makes sure that the path can be written before anything else is done.
pub(super) fn reserve(path: &Path, force: bool) -> anyhow::Result<Reserved> {
    if is_std(path) {
        return Ok(Reserved { path: path.to_owned(), sink: Some(Sink::Stdout(io::stdout())), is_new: false });
    }
    if !force {
        output::refuse_existing(path)?;
    }
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .create_new(!force)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Reserved { path: path.to_owned(), sink: Some(Sink::File(file)), is_new })
}

/// Makes a file that did not exist.
pub(super) fn reserve_new(path: PathBuf) -> io::Result<Reserved> {
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok(Reserved { path, sink: Some(Sink::File(file)), is_new: true })
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.sink.is_some() && self.is_new {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A capture that is being written.
pub(super) struct CaptureFile {
    path: PathBuf,
    writer: CaptureWriter<Sink>,
    sealed: Instant,
    synced: Instant,
    refused: u64,
}

impl CaptureFile {
    /// Begins the capture in place of what the file held.
    pub(super) fn create(mut reserved: Reserved, header: &Header) -> anyhow::Result<Self> {
        let path = std::mem::take(&mut reserved.path);
        let cannot = || format!("cannot write {}", path.display());
        let Some(sink) = reserved.sink.take() else { anyhow::bail!("{} was given away", path.display()) };
        if let Sink::File(file) = &sink {
            file.set_len(0).with_context(cannot)?;
        }
        let writer = CaptureWriter::new(sink, header, WriterOptions::default()).with_context(cannot)?;
        let now = Instant::now();
        Ok(Self { path, writer, sealed: now, synced: now, refused: 0 })
    }

    /// Adds an event. One that makes no sense in the stream is left out and counted, and the answer is false: a recording
    /// does not end for it.
    pub(super) fn push(&mut self, event: &Event) -> anyhow::Result<bool> {
        match self.writer.push(event) {
            Err(error @ (WriteError::Unintroduced { .. } | WriteError::Order { .. } | WriteError::TooLong { .. })) => {
                if self.refused == 0 {
                    eprintln!("warning: an event was left out: {error}");
                }
                self.refused += 1;
                Ok(false)
            }
            pushed => self.check(pushed).map(|()| true),
        }
    }

    /// Events that were left out because they made no sense in the stream.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Writes what has waited for long enough.
    pub(super) fn keep_fresh(&mut self) -> anyhow::Result<()> {
        if self.sealed.elapsed() >= SEAL_EVERY {
            self.seal()?;
        }
        if self.synced.elapsed() >= SYNC_EVERY {
            self.synced = Instant::now();
            self.sync()?;
        }
        Ok(())
    }

    /// Writes what has waited.
    pub(super) fn seal(&mut self) -> anyhow::Result<()> {
        self.sealed = Instant::now();
        let sealed = self.writer.seal();
        self.check(sealed)
    }

    /// Events of the present section so far.
    pub(super) fn section_events(&self) -> u64 {
        self.writer.section_events()
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// Ends the section and begins the next one; the totals of the former.
    pub(super) fn next_section(&mut self, header: &Header) -> anyhow::Result<Totals> {
        self.sealed = Instant::now();
        let begun = self.writer.next_section(header);
        let totals = begun.as_ref().ok().cloned();
        self.check(begun.map(|_| ()))?;
        Ok(totals.unwrap_or_default())
    }

    /// Closes the capture; the totals of its last section.
    pub(super) fn finish(mut self) -> anyhow::Result<Totals> {
        self.seal()?;
        let path = self.path;
        let (sink, totals) = self.writer.finish().with_context(|| format!("cannot write {}", path.display()))?;
        if let Sink::File(file) = &sink {
            file.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(totals)
    }

    fn sync(&self) -> anyhow::Result<()> {
        if let Sink::File(file) = self.writer.get_ref() {
            file.sync_data().with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }

    /// When the output fails, the file is cut after its last whole block: all up to there can be read.
    fn check(&mut self, result: Result<(), WriteError>) -> anyhow::Result<()> {
        let Err(error) = result else { return Ok(()) };
        if let (WriteError::Io { offset, .. }, Sink::File(file)) = (&error, self.writer.get_ref()) {
            let _ = file.set_len(*offset);
        }
        let kept = format!("cannot write {}; what was recorded before is in it and can be read", self.path.display());
        Err(anyhow::Error::new(error).context(kept))
    }
}
