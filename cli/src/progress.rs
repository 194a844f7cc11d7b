//! Progress on the terminal.
//!
//! In: bytes as they are read, counters of a recording. Out: bars on stderr, only when that is a terminal and the work takes
//! longer than a moment. Never here: anything that a script would want to read.

use std::fs::Metadata;
use std::io::{self, IsTerminal as _, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use netflow_core::event::Loss;

use crate::units;

/// Work that takes less than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much there is to read, of all files of a command together, and how much of it is read.
struct Work {
    began: Option<Instant>,
    /// It was said beforehand; otherwise it grows with each file.
    is_known: bool,
    bytes: u64,
    done: u64,
}

static WORK: Mutex<Work> = Mutex::new(Work { began: None, is_known: false, bytes: 0, done: 0 });

/// Says which files will be read, one after the other: their bar is one.
pub(crate) fn expect(paths: &[PathBuf]) {
    let lengths = paths.iter().filter_map(|path| path.metadata().ok()).filter(Metadata::is_file).map(|file| file.len());
    if let Ok(mut work) = WORK.lock() {
        (work.is_known, work.bytes, work.done) = (true, lengths.sum(), 0);
    }
}

/// A reader that shows how much of its input is read.
pub(crate) struct Reading<R> {
    inner: R,
    length: u64,
    read: u64,
    bar: Option<ProgressBar>,
}

impl<R: Read> Reading<R> {
    /// Reads an input of that length.
    pub(crate) fn new(inner: R, length: u64) -> Self {
        if let Ok(mut work) = WORK.lock() {
            work.began.get_or_insert_with(Instant::now);
            if !work.is_known {
                work.bytes += length;
            }
        }
        Self { inner, length, read: 0, bar: None }
    }

    fn show(&mut self) {
        let Ok(work) = WORK.lock() else { return };
        let (done, all) = (work.done + self.read, work.bytes);
        let is_long = work.began.is_some_and(|began| began.elapsed() > PATIENCE);
        if self.bar.is_none() && is_long && done < all && io::stderr().is_terminal() {
            let bar = ProgressBar::new(all).with_elapsed(work.began.map(|began| began.elapsed()).unwrap_or_default());
            if let Ok(style) = ProgressStyle::with_template("reading {bar:30} {bytes}/{total_bytes}, {eta} left") {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Nothing is to stand in the way of what is said next.
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.read += bytes as u64;
        if bytes == 0 {
            self.clear();
        } else {
            self.show();
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
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        // What was passed over is done as well.
        if let Ok(mut work) = WORK.lock() {
            work.done += self.length;
        }
    }
}

/// How a recording is going.
pub(crate) struct Counters {
    pub(crate) events: u64,
    pub(crate) open: u64,
    pub(crate) losses: Loss,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

/// The line that tells how a recording is going.
pub(crate) struct Recording {
    bar: ProgressBar,
    duration: Option<Duration>,
}

impl Recording {
    /// Shows a line when stderr is a terminal.
    pub(crate) fn new(duration: Option<Duration>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, duration }
    }

    /// Says how it is going.
    pub(crate) fn say(&self, counters: &Counters) {
        self.bar.set_message(line(counters, self.duration));
    }
}

/// `recording 0:12, 0:48 left: 1,234 events, 56 open, lost: none, 1.21 MiB`
fn line(counters: &Counters, duration: Option<Duration>) -> String {
    let Counters { events, open, losses, bytes, elapsed } = counters;
    let left = match duration {
        // Up, so that what is left does not seem to be nothing while it records.
        Some(all) => format!("{} left", clock(all.saturating_sub(*elapsed).as_millis().div_ceil(1000))),
        None => "Ctrl-C ends it".to_owned(),
    };
    let (elapsed, events, open) =
        (clock(elapsed.as_millis() / 1000), units::count(*events, "event"), indicatif::HumanCount(*open));
    format!("recording {elapsed}, {left}: {events}, {open} open, lost: {losses}, {}", units::bytes(*bytes))
}

/// `0:07`, `59:59`, `1:00:00`.
fn clock(seconds: u128) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_recording() {
        let counters = |millis: u64, losses| Counters {
            events: 1234,
            open: 5678,
            losses,
            bytes: 2048,
            elapsed: Duration::from_millis(millis),
        };
        assert_eq!(
            line(&counters(11_900, Loss::default()), Some(Duration::from_secs(60))),
            "recording 0:11, 0:49 left: 1,234 events, 5,678 open, lost: none, 2 KiB"
        );
        assert_eq!(
            line(&counters(3_661_000, Loss { ring_full: 3, ..Loss::default() }), None),
            "recording 1:01:01, Ctrl-C ends it: 1,234 events, 5,678 open, lost: ring_full 3, 2 KiB"
        );
        // The last snapshot takes its time.
        assert!(line(&counters(61_000, Loss::default()), Some(Duration::from_secs(60))).contains(", 0:00 left: "));
    }
}
