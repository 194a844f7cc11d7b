//! Decoding blocks on several threads, ahead of who takes them.
//!
//! In: a capture. Out: what [`CaptureReader::next_batch`](netflow_formats::capture::CaptureReader::next_batch) gives, the same
//! in the same order. Never here: what blocks hold; damage, which the reader meets when it reads block by block: whatever is
//! not as it should be is left to it, or put back.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Scope};

use netflow_formats::capture::{BlockDecoder, Columns, RawBlock, ReadError, Selection};

use crate::input::Capture;

/// More decode faster than anybody takes, and each needs memory.
const MOST_DECODERS: usize = 4;

/// Blocks that a decoder may have.
const EACH: usize = 2;

/// The threads that decode, by turns: so blocks come back in their order.
pub(super) struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    measured: Selection,
    /// As many as there were blocks for.
    decoders: Vec<Decoder>,
    most: usize,
    /// Blocks that were given to decoders, and how many of them came back.
    given: usize,
    taken: usize,
    spares: Vec<Vec<u8>>,
}

/// One thread.
struct Decoder {
    jobs: SyncSender<(RawBlock, Columns)>,
    done: Receiver<Done>,
}

/// A block, and what it holds unless that is malformed.
struct Done {
    block: RawBlock,
    columns: Option<Columns>,
}

/// What ends the reading early: an error, or nobody who goes on with it.
pub(super) type Failed = Option<ReadError>;

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// Of the measurements those that are selected.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, measured: Selection) -> Self {
        let most = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_DECODERS);
        Self { scope, measured, decoders: Vec::new(), most, given: 0, taken: 0, spares: Vec::new() }
    }

    /// The next block of the section; `None` when what is left of it is to be read event by event.
    pub(super) fn next_batch(
        &mut self,
        capture: &mut Capture,
        mut spare: impl FnMut() -> Columns,
    ) -> Result<Option<Columns>, Failed> {
        loop {
            if self.given > self.taken
                && let Some(done) = self.done(false)?
            {
                return self.take(capture, done, spare);
            }
            if self.given - self.taken < self.most * EACH
                && let Some(block) = capture.next_raw(self.spares.pop().unwrap_or_default())
            {
                self.give(block, spare())?;
            } else if self.given == self.taken {
                return Ok(capture.next_batch(self.measured, spare())?);
            } else if let Some(done) = self.done(true)? {
                return self.take(capture, done, spare);
            }
        }
    }

    fn take(
        &mut self,
        capture: &mut Capture,
        done: Done,
        mut spare: impl FnMut() -> Columns,
    ) -> Result<Option<Columns>, Failed> {
        if let Some(columns) = done.columns {
            capture.accept(&columns);
            self.spares.push(done.block.into_bytes());
            return Ok(Some(columns));
        }
        let mut blocks = vec![done.block];
        while self.given > self.taken {
            blocks.extend(self.done(true)?.map(|done| done.block));
        }
        capture.put_back(&blocks);
        Ok(capture.next_batch(self.measured, spare())?)
    }

    /// Gives a block to the one whose turn it is.
    fn give(&mut self, block: RawBlock, spare: Columns) -> Result<(), Failed> {
        let turn = self.given % self.most;
        if self.decoders.len() <= turn {
            self.decoders.push(start(self.scope, self.measured)?);
        }
        let decoder = self.decoders.get(turn).ok_or(None)?;
        decoder.jobs.send((block, spare)).map_err(|_| None)?;
        self.given += 1;
        Ok(())
    }

    /// The first block that did not come back yet; `None` when it is not done and nobody is to wait.
    fn done(&mut self, waits: bool) -> Result<Option<Done>, Failed> {
        let decoder = self.decoders.get(self.taken % self.most).ok_or(None)?;
        let done = if waits {
            decoder.done.recv().map_err(|_| None)?
        } else {
            match decoder.done.try_recv() {
                Ok(done) => done,
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(None),
            }
        };
        self.taken += 1;
        Ok(Some(done))
    }
}

/// A thread that decodes until nobody gives it blocks.
fn start<'scope>(scope: &'scope Scope<'scope, '_>, measured: Selection) -> Result<Decoder, ReadError> {
    let mut decoder = BlockDecoder::new()?;
    let ((jobs, blocks), (results, done)) = (sync_channel::<(RawBlock, Columns)>(EACH), sync_channel(EACH));
    scope.spawn(move || {
        for (block, spare) in blocks {
            let columns = decoder.decode(&block, measured, spare).ok();
            if results.send(Done { block, columns }).is_err() {
                break;
            }
        }
    });
    Ok(Decoder { jobs, done })
}
