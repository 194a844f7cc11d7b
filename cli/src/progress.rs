//! Progress on the terminal.
//!
//! In: bytes as they are read, counters of a recording. Out: bars on stderr, only when that is a terminal and the work takes
//! longer than a moment. Never here: anything that a script would want to read.

use std::io::{self, IsTerminal as _, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes less than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A reader that shows how much of its input is read.
pub(crate) struct Reading<R> {
    inner: R,
    length: u64,
    read: u64,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl<R: Read> Reading<R> {
    /// Reads an input of that length.
    pub(crate) fn new(inner: R, length: u64) -> Self {
        Self { inner, length, read: 0, began: Instant::now(), bar: None }
    }
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.read += bytes as u64;
        if self.bar.is_none()
            && self.began.elapsed() > PATIENCE
            && self.read < self.length
            && io::stderr().is_terminal()
        {
            let bar = ProgressBar::new(self.length);
            if let Ok(style) = ProgressStyle::with_template("reading {bar:30} {bytes}/{total_bytes}, {eta} left") {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.read);
            if bytes == 0 {
                bar.finish_and_clear();
            }
        }
        Ok(bytes)
    }
}

impl<R: Seek> Seek for Reading<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.read = self.inner.seek(to)?;
        Ok(self.read)
    }
}

impl<R> Drop for Reading<R> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The line that tells how a recording is going.
pub(crate) struct Recording {
    bar: ProgressBar,
}

impl Recording {
    /// Shows a line when stderr is a terminal.
    pub(crate) fn new(duration: Option<Duration>) -> Self {
        let bar = ProgressBar::with_draw_target(duration.map(|all| all.as_secs()), ProgressDrawTarget::stderr());
        let template = match duration {
            Some(_) => "{spinner} recording {elapsed} of {len}s: {msg}",
            None => "{spinner} recording {elapsed}, Ctrl-C ends it: {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Says how it is going.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
