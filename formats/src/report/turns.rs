//! Parts of a file, made by several threads and written in turn.
//!
//! In: how many parts there are, what makes and writes one of them, an output. Out: all parts in their order, whatever thread
//! made which; of what goes wrong, what comes first in that order. Never here: what the parts are.
//!
//! Who made a part writes it, since it is at hand there. In the meantime the others make those that follow: at any time there
//! are as many parts as threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::ReportError;

/// More threads would wait for their turn to write.
const MOST_THREADS: usize = 4;

/// As many threads as there is use for.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

/// Parts that are written in turn.
pub(super) struct Turns<W> {
    parts: usize,
    /// Nobody makes this one yet.
    next: AtomicUsize,
    turn: Mutex<Turn<W>>,
    is_over: Condvar,
}

/// Whose turn it is to write.
struct Turn<W> {
    part: usize,
    out: W,
    failed: Option<ReportError>,
    /// Somebody panicked, whose turn is never over.
    is_stuck: bool,
}

/// Makes parts, and has each in its hands until it is written.
pub(super) trait Maker<W> {
    /// Makes the part of that number.
    fn make(&mut self, part: usize) -> Result<(), ReportError>;

    /// Writes what it made last.
    fn write(&mut self, out: &mut W) -> Result<(), ReportError>;
}

impl<W: Send> Turns<W> {
    /// So many parts are to be written.
    pub(super) fn new(parts: usize, out: W) -> Self {
        let turn = Turn { part: 0, out, failed: None, is_stuck: false };
        Self { parts, next: AtomicUsize::new(0), turn: Mutex::new(turn), is_over: Condvar::new() }
    }

    /// Makes and writes all parts on so many threads, unless there are fewer parts, each with a maker of its own.
    pub(super) fn run<M: Maker<W>>(&self, threads: usize, maker: impl Fn() -> M + Sync) {
        thread::scope(|scope| {
            for _ in 1..threads.min(self.parts) {
                // Without it the others have more to do.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.take_turns(maker()));
            }
            self.take_turns(maker());
        });
    }

    /// Makes parts that nobody else makes, and writes each when it is its turn.
    pub(super) fn take_turns(&self, mut maker: impl Maker<W>) {
        let _stuck = Stuck(self);
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                break;
            }
            let made = maker.make(part);
            let turn = self.lock();
            let waits = |turn: &mut Turn<W>| turn.part != part && turn.failed.is_none() && !turn.is_stuck;
            let mut turn = self.is_over.wait_while(turn, waits).unwrap_or_else(PoisonError::into_inner);
            if turn.part != part {
                break;
            }
            match made.and_then(|()| maker.write(&mut turn.out)) {
                Ok(()) => turn.part += 1,
                Err(error) => turn.failed = Some(error),
            }
            let has_failed = turn.failed.is_some();
            drop(turn);
            self.is_over.notify_all();
            if has_failed {
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turn<W>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output, when all was written.
    ///
    /// # Errors
    /// When a part could not be made, or not be written: the first of them, and nothing behind it was written.
    pub(super) fn finish(self) -> Result<W, ReportError> {
        let turn = self.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
        turn.failed.map_or(Ok(turn.out), Err)
    }
}

/// Tells the others not to wait for whoever panics.
struct Stuck<'a, W: Send>(&'a Turns<W>);

impl<W: Send> Drop for Stuck<'_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().is_stuck = true;
            self.0.is_over.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use proptest::prelude::*;

    use super::*;

    /// Makes each part that is given, the failing one not.
    struct Given<'a> {
        parts: &'a [Vec<u8>],
        fails: usize,
        made: usize,
    }

    impl<W: Write> Maker<W> for Given<'_> {
        fn make(&mut self, part: usize) -> Result<(), ReportError> {
            // The others come in between.
            (0..part % 3).for_each(|_| thread::yield_now());
            self.made = part;
            if part == self.fails { Err(ReportError::Time { micros: 7 }) } else { Ok(()) }
        }

        fn write(&mut self, out: &mut W) -> Result<(), ReportError> {
            Ok(out.write_all(&self.parts[self.made])?)
        }
    }

    /// Takes so many bytes.
    struct Disk<'a> {
        room: usize,
        written: &'a mut Vec<u8>,
    }

    impl Write for Disk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room - self.written.len());
            self.written.extend_from_slice(&bytes[..taken]);
            if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn any_number_of_threads_writes_the_same_up_to_the_first_thing_that_goes_wrong(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..60),
            threads in 1..9_usize,
            room in prop_oneof![Just(1000), 0..300_usize],
            fails in prop_oneof![Just(1000), 0..60_usize],
        ) {
            let mut written = Vec::new();
            let turns = Turns::new(parts.len(), Disk { room, written: &mut written });
            turns.run(threads, || Given { parts: &parts, fails, made: usize::MAX });
            let error = turns.finish().err().map(|error| error.to_string());
            let good = parts.get(..fails).unwrap_or(&parts).concat();
            let expected = match (good.len() > room, fails < parts.len()) {
                (true, _) => Some(ReportError::Write(io::ErrorKind::StorageFull.into()).to_string()),
                (false, true) => Some(ReportError::Time { micros: 7 }.to_string()),
                (false, false) => None,
            };
            prop_assert_eq!(error, expected);
            prop_assert_eq!(&written, &good[..good.len().min(room)]);
        }
    }
}
