//! Decoding blocks on several threads, one of which is that of who takes them.
//!
//! In: a capture. Out: what [`CaptureReader::next_batch`](netflow_formats::capture::CaptureReader::next_batch) gives, the same
//! in the same order. Never here: what blocks hold; damage, which the reader meets when it reads block by block: whatever is
//! not as it should be is left to it, or put back.
//!
//! Whoever has nothing to do decodes the next block, also who waits for one before it: so there are no more threads than
//! processors, and none hands over what it could do itself.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use netflow_formats::capture::{BlockDecoder, Columns, RawBlock, ReadError, Selection};

use crate::input::Capture;

/// More decode faster than anybody takes, and each needs memory.
const MOST_THREADS: usize = 4;

/// Blocks on their way, for each thread.
const EACH: usize = 2;

/// With so many events on their way, no further block is begun.
const EVENTS: usize = 1 << 17;

/// A capture whose blocks are decoded ahead.
pub(super) struct Ahead<'a> {
    measured: Selection,
    threads: usize,
    state: Mutex<State<'a>>,
    /// The first block is decoded, or all are.
    ready: Condvar,
    /// There may be another block to decode, or none any more.
    more: Condvar,
}

struct State<'a> {
    capture: &'a mut Capture,
    /// Blocks on their way, in their order: decoded, or not yet.
    blocks: VecDeque<Option<Done>>,
    /// The number of the first of them, and how many events are in all.
    first: usize,
    events: usize,
    /// What follows is for the reader.
    is_in_turn: bool,
    is_over: bool,
    spare_bytes: Vec<Vec<u8>>,
    spare_columns: Vec<Columns>,
}

/// A block to be decoded, and memory for what it holds.
struct Job {
    number: usize,
    block: RawBlock,
    spare: Columns,
}

/// A block, and what it holds unless that is malformed.
struct Done {
    block: RawBlock,
    columns: Option<Columns>,
}

/// Ends the other threads with the one that has it.
pub(super) struct Ends<'a, 'b>(&'a Ahead<'b>);

impl Drop for Ends<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.more.notify_all();
        self.0.ready.notify_all();
    }
}

impl<'a> Ahead<'a> {
    /// Of the measurements those that are selected.
    pub(super) fn new(capture: &'a mut Capture, measured: Selection) -> Self {
        let state = State {
            capture,
            blocks: VecDeque::new(),
            first: 0,
            events: 0,
            is_in_turn: false,
            is_over: false,
            spare_bytes: Vec::new(),
            spare_columns: Vec::new(),
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        Self { measured, threads, state: Mutex::new(state), ready: Condvar::new(), more: Condvar::new() }
    }

    /// Starts the other threads. They end when what this gives is dropped.
    pub(super) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Ends<'scope, 'a> {
        for _ in 1..self.threads {
            scope.spawn(|| self.help());
        }
        Ends(self)
    }

    /// Asks the capture for what is not in blocks. To be called when there is no further batch.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&mut Capture) -> T) -> T {
        let answer = question(self.lock().capture);
        self.more.notify_all();
        answer
    }

    /// Memory for further blocks.
    pub(super) fn give_back(&self, spare: Columns) {
        self.lock().spare_columns.push(spare);
    }

    /// The next block of the section; `None` when what is left of it is to be read event by event.
    pub(super) fn next_batch(&self, decoder: &mut Option<BlockDecoder>) -> Result<Option<Columns>, ReadError> {
        let mut state = self.lock();
        loop {
            let is_first_done = state.blocks.front().is_some_and(Option::is_some);
            if state.is_in_turn {
                if state.blocks.iter().all(Option::is_some) {
                    state.put_back();
                    return self.read_in_turn(state);
                }
            } else if is_first_done {
                if let Some(columns) = state.accept() {
                    drop(state);
                    self.more.notify_one();
                    return Ok(Some(columns));
                }
                continue;
            } else if let Some(job) = state.begin(self.threads * EACH) {
                drop(state);
                self.decode(job, decoder);
                state = self.lock();
                continue;
            } else if state.blocks.is_empty() {
                return self.read_in_turn(state);
            }
            if state.is_over {
                // Another thread failed, which is told when all end.
                return Ok(None);
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read_in_turn(&self, mut state: MutexGuard<'_, State<'a>>) -> Result<Option<Columns>, ReadError> {
        let spare = state.spare_columns.pop().unwrap_or_default();
        let batch = state.capture.next_batch(self.measured, spare);
        drop(state);
        self.more.notify_all();
        batch
    }

    /// Decodes what there is until all is over.
    fn help(&self) {
        let _ends = Ends(self);
        let mut decoder = None;
        let mut state = self.lock();
        while !state.is_over {
            match state.begin(self.threads * EACH) {
                Some(job) => {
                    drop(state);
                    self.decode(job, &mut decoder);
                    state = self.lock();
                }
                None => state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Each thread has a decoder once it needs one. Where there is none, the block is for the reader.
    fn decode(&self, Job { number, block, spare }: Job, decoder: &mut Option<BlockDecoder>) {
        if decoder.is_none() {
            *decoder = BlockDecoder::new().ok();
        }
        let columns = decoder.as_mut().and_then(|decoder| decoder.decode(&block, self.measured, spare).ok());
        let mut state = self.lock();
        let place = number - state.first;
        if let Some(slot) = state.blocks.get_mut(place) {
            *slot = Some(Done { block, columns });
        }
        if place == 0 || state.is_in_turn {
            self.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<'_> {
    /// What the first block holds, which is decoded; `None` when that is malformed.
    fn accept(&mut self) -> Option<Columns> {
        let Done { block, columns } = self.blocks.pop_front()??;
        let Some(columns) = columns else {
            self.blocks.push_front(Some(Done { block, columns }));
            self.is_in_turn = true;
            return None;
        };
        self.first += 1;
        self.events -= block.events();
        self.capture.accept(&columns);
        self.spare_bytes.push(block.into_bytes());
        Some(columns)
    }

    /// All blocks are for the reader.
    fn put_back(&mut self) {
        let blocks: Vec<RawBlock> = self.blocks.drain(..).flatten().map(|done| done.block).collect();
        self.first += blocks.len();
        self.events = 0;
        self.is_in_turn = false;
        self.capture.put_back(&blocks);
    }

    /// The next block, if there is room for it and it is not for the reader.
    fn begin(&mut self, most: usize) -> Option<Job> {
        if self.is_in_turn || self.blocks.len() >= most || self.events >= EVENTS {
            return None;
        }
        let block = self.capture.next_raw(self.spare_bytes.pop().unwrap_or_default())?;
        let number = self.first + self.blocks.len();
        self.blocks.push_back(None);
        self.events += block.events();
        Some(Job { number, block, spare: self.spare_columns.pop().unwrap_or_default() })
    }
}
