//! Parts of a text, made by several threads and written in turn.
//!
//! In: how many parts there are, what makes one of them, an output. Out: all parts in their order, whatever thread made which;
//! of what goes wrong, what comes first in that order. Never here: what the parts are.
//!
//! Who made a part writes it, since it is at hand there. In the meantime the others make those that follow.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::ReportError;

/// More threads would wait for their turn to write.
const MOST_THREADS: usize = 4;

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

/// Makes parts, and has them in its hands until they are written.
pub(super) trait Maker {
    /// The part of that number.
    fn make(&mut self, part: usize) -> Result<&[u8], ReportError>;
}

impl<W: Write + Send> Turns<W> {
    /// So many parts are to be written.
    pub(super) fn new(parts: usize, out: W) -> Self {
        let turn = Turn { part: 0, out, failed: None, is_stuck: false };
        Self { parts, next: AtomicUsize::new(0), turn: Mutex::new(turn), is_over: Condvar::new() }
    }

    /// Makes and writes all parts on as many threads as there is use for, each with a maker of its own.
    pub(super) fn run<M: Maker>(&self, maker: impl Fn() -> M + Sync) {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(self.parts);
        thread::scope(|scope| {
            for _ in 1..threads {
                // Without it the others have more to do.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.take_turns(maker()));
            }
            self.take_turns(maker());
        });
    }

    /// Makes parts that nobody else makes, and writes each when it is its turn.
    pub(super) fn take_turns(&self, mut maker: impl Maker) {
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
            match made.and_then(|bytes| Ok(turn.out.write_all(bytes)?)) {
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
struct Stuck<'a, W: Write + Send>(&'a Turns<W>);

impl<W: Write + Send> Drop for Stuck<'_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().is_stuck = true;
            self.0.is_over.notify_all();
        }
    }
}
