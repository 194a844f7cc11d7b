//! Reads a capture: whatever is intact, in order, as a stream.
//!
//! In: bytes from anything that reads. Out: the header and events of each section, the list of what is damaged, and how
//! it ended. Never here: more than one block in memory, a panic, or an event of a block that is not wholly intact.
//!
//! ```text
//! let mut reader = CaptureReader::new(file)?;
//! loop {
//!     let header = reader.header().clone();
//!     for event in &mut reader { let event = event?; … }
//!     if !reader.next_section()? { break }
//! }
//! // then: reader.damage(), reader.end(), reader.losses()
//! ```

mod audit;
mod blocks;
mod raw;
mod start;

use std::io::{Read, Seek, SeekFrom};

use netflow_core::event::{Body, Event, Header, Loss};
use rustc_hash::FxHashSet;

pub(super) use audit::{Audit, Closing};
pub use raw::{BlockDecoder, RawBlock};

use super::columns::Columns;
use super::damage::Damages;
use super::decode::BlockEvents;
use super::error::{Damage, ReadError};
use super::index::Index;
use super::passed_over::PassedOver;
use super::selection::Selection;
use super::source::Source;
use super::stream::Unpacker;

/// How a section ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With its end block: the recording was closed.
    Clean,
    /// After a whole block: the recording was killed, or it still runs.
    NotClosed,
    /// Within a block: the recording was killed as it wrote, or the file was cut.
    Torn {
        /// Where the torn block begins: bytes from the start of the input.
        offset: u64,
        /// Blocks before it in the section.
        sequence: u32,
        /// Events of the torn block, where its header says so.
        events_lost: Option<u64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Within,
    /// The source stands at the start of another section.
    AtSection,
    Finished,
}

/// Reads a capture. The iterator gives the events of the current section;
/// [`next_section`](Self::next_section) goes on to the next one.
pub struct CaptureReader<R> {
    source: Source<R>,
    unpacker: Unpacker,
    header: Header,
    phase: Phase,
    block: BlockEvents,
    sequence: u32,
    events: u64,
    last_at: u64,
    losses: Loss,
    since: Option<u64>,
    until: Option<u64>,
    /// The columns to read where blocks are asked for, not events.
    selection: Option<Selection>,
    /// The blocks are to hold whole events, except for fields that nobody asked for.
    is_batch: bool,
    /// Present when everything is checked.
    audit: Option<Audit>,
    /// A damaged start is no reason to give up.
    salvages: bool,
    /// Connections introduced since the last gap; `None` while there was none.
    introduced: Option<FxHashSet<u64>>,
    /// Events are missing since the last tick.
    is_broken: bool,
    damages: Damages,
    passed_over: PassedOver,
    /// The source was moved: the next block need not follow the last one.
    jumped: bool,
    section_offset: u64,
    closed: bool,
    end: Option<End>,
}

impl<R: Read> CaptureReader<R> {
    /// Reads the header of the first section.
    ///
    /// # Errors
    /// [`ReadError::NotACapture`] says what the input is instead; [`ReadError::Version`] and [`ReadError::Features`] when
    /// it needs a newer reader; [`ReadError::Io`].
    pub fn new(input: R) -> Result<Self, ReadError> {
        Self::begin(input, false)
    }

    /// Like [`new`](Self::new), but an input whose beginning is damaged is searched for the first intact block.
    ///
    /// # Errors
    /// Likewise; [`ReadError::NotACapture`] when there is no such block.
    pub fn salvage(input: R) -> Result<Self, ReadError> {
        Self::begin(input, true)
    }

    fn begin(input: R, salvages: bool) -> Result<Self, ReadError> {
        let unpacker = Unpacker::new().map_err(|source| ReadError::Io { offset: 0, source })?;
        let mut reader = Self {
            source: Source::new(input),
            unpacker,
            header: Header::default(),
            phase: Phase::AtSection,
            block: BlockEvents::default(),
            sequence: 0,
            events: 0,
            last_at: 0,
            losses: Loss::default(),
            since: None,
            until: None,
            selection: None,
            is_batch: false,
            audit: None,
            salvages,
            introduced: None,
            is_broken: false,
            damages: Damages::default(),
            passed_over: PassedOver::default(),
            jumped: false,
            section_offset: 0,
            closed: false,
            end: None,
        };
        reader.begin_section()?;
        Ok(reader)
    }

    /// The header of the current section. When its block is damaged (see [`damage`](Self::damage)) all is empty and 0.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Goes on to the next section of concatenated captures; events of the current one that were not read are skipped.
    /// False when there is none.
    ///
    /// # Errors
    /// As for [`new`](Self::new), except that everything that follows a capture is damage, not another kind of file.
    pub fn next_section(&mut self) -> Result<bool, ReadError> {
        self.until = None;
        while self.phase == Phase::Within {
            self.block.clear();
            self.step()?;
        }
        if self.phase == Phase::Finished {
            return Ok(false);
        }
        self.begin_section()
    }

    /// Leaves out blocks that end before `at` (nanoseconds since boot) without decoding them. Connections that were
    /// introduced there are introduced by their first event after; attribute events there are not seen.
    pub fn skip_before(&mut self, at: u64) {
        self.since = Some(at);
    }

    /// Ends the section before the first block that begins after `at` (nanoseconds since boot), without reading it: then
    /// there is no [`end`](Self::end), and [`next_section`](Self::next_section) passes over the rest. Events after `at` in
    /// the last block are given.
    pub fn stop_after(&mut self, at: u64) {
        self.until = Some(at);
    }

    /// The next intact block of the current section, of which only the selected fields are decoded; `None` at its end.
    /// Not to be mixed with reading events: what is left of a block is passed over. Checks that depend on fields that
    /// are not selected are not made, except those of the whole block's checksum.
    ///
    /// # Errors
    /// [`ReadError::Io`]; damage is listed and passed over.
    pub fn next_block(&mut self, selection: Selection) -> Result<Option<&Columns>, ReadError> {
        self.block.clear();
        self.selection = Some(selection);
        let found = self.find_block();
        self.selection = None;
        if !found? {
            return Ok(None);
        }
        let columns = self.block.columns();
        if let Some(incomplete) = columns.incomplete.first_mut() {
            // Some of its samples may be among what is missing: not to be seen in it proves nothing.
            *incomplete |= u8::from(self.is_broken);
        }
        if columns.kinds.contains(&Columns::TICK) {
            self.is_broken = false;
        }
        columns.after_gap = self.introduced.take().is_some();
        Ok(Some(columns))
    }

    /// The next intact block of the current section, of which the pipeline can take all events at once: a
    /// [`Block`](netflow_core::batch::Block). `measured` are those of the fields from [`Field::Rtt`](super::Field::Rtt) to
    /// [`Field::Unread`](super::Field::Unread) that are wanted; the others are 0. The memory of `spare` is used again. `None`
    /// when no more blocks can be taken so: what is left of the section, which is nothing unless something before it is
    /// missing, is to be read event by event.
    ///
    /// # Errors
    /// [`ReadError::Io`]; damage is listed and passed over.
    pub fn next_batch(&mut self, measured: Selection, mut spare: Columns) -> Result<Option<Columns>, ReadError> {
        if self.introduced.is_some() {
            return Ok(None);
        }
        self.block.clear();
        self.selection = Some(Selection::BATCH.and(measured));
        self.is_batch = true;
        let found = self.find_block();
        (self.selection, self.is_batch) = (None, false);
        if !found? || self.introduced.is_some() {
            return Ok(None);
        }
        std::mem::swap(self.block.columns(), &mut spare);
        spare.find_lives();
        Ok(Some(spare))
    }

    fn find_block(&mut self) -> Result<bool, ReadError> {
        while self.block.columns().kinds.is_empty() {
            let goes_on = self.phase == Phase::Within && self.step().inspect_err(|_| self.phase = Phase::Finished)?;
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks also what reading events does not need: for who wants to know whether a file is sound. It is slower. To be
    /// called before the first event is read.
    pub fn check_everything(&mut self) {
        self.audit = Some(Audit::of(&self.header));
    }

    /// What was damaged so far, in the order of the file, for all sections: at most the first 10,000 places.
    pub fn damage(&self) -> &[Damage] {
        self.damages.list()
    }

    /// How many places were damaged.
    pub fn damage_count(&self) -> u64 {
        self.damages.count()
    }

    /// Events known to be lost by damage so far; damage whose cost is unknown is not counted.
    pub fn events_lost(&self) -> u64 {
        self.damages.events_lost()
    }

    /// The sum of the [least cost](Damage::least_cost) of all damage so far, and the events of blocks that were passed
    /// over: 0 only when nothing is lost by either.
    pub fn least_cost(&self) -> u64 {
        self.damages.least_cost().saturating_add(self.passed_over.block_events)
    }

    /// What a later version wrote that was passed over so far, in all sections.
    pub fn passed_over(&self) -> PassedOver {
        self.passed_over
    }

    /// What the recorder lost in the current section up to here, as the latest block states it: this holds even when the
    /// `loss` events themselves are damaged.
    pub fn losses(&self) -> Loss {
        self.losses
    }

    /// How the current section ended; `None` while it has not.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes of the input that were passed.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Where the current section begins: bytes from the start of the input.
    pub fn section_offset(&self) -> u64 {
        self.section_offset
    }

    /// The input; what was read ahead of it is lost.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// What the checks of the current section found besides damage; nothing is left of it here.
    pub(super) fn take_audit(&mut self) -> Audit {
        self.audit.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Events are missing from here on: connections must be introduced again, and the snapshot that is being read has
    /// lost what it saw.
    fn break_off(&mut self) {
        self.introduced = Some(FxHashSet::default());
        self.is_broken = true;
    }
}

impl<R: Read + Seek> CaptureReader<R> {
    /// Goes to the section that begins at `offset` (bytes from the start of the input), as its index tells, without reading
    /// what is before. False when the input ends within its start.
    ///
    /// # Errors
    /// [`ReadError::Io`] when the input cannot seek; as for [`next_section`](Self::next_section).
    pub fn seek_section(&mut self, offset: u64) -> Result<bool, ReadError> {
        self.until = None;
        self.settle(None);
        let input = self.source.restart(offset);
        input.seek(SeekFrom::Start(offset)).map_err(|source| ReadError::Io { offset, source })?;
        self.jumped = false;
        self.begin_section()
    }

    /// Goes to the first block that may hold events of `at` (nanoseconds since boot) or later, by the index of the
    /// current section, without reading what is before. What holds for [`skip_before`](Self::skip_before) holds here.
    ///
    /// # Errors
    /// [`ReadError::Io`] when the input cannot seek.
    pub fn seek_to(&mut self, at: u64, index: &Index) -> Result<(), ReadError> {
        self.since = Some(at);
        let Some(entry) = index.entry_at(at) else { return Ok(()) };
        let offset = self.section_offset.saturating_add(entry.offset);
        if offset > self.source.offset() && self.phase == Phase::Within {
            let input = self.source.restart(offset);
            input.seek(SeekFrom::Start(offset)).map_err(|source| ReadError::Io { offset, source })?;
            self.block.clear();
            self.jumped = true;
            self.introduced = Some(FxHashSet::default());
        }
        Ok(())
    }
}

/// The events of the current section.
impl<R: Read> Iterator for CaptureReader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut event) = self.block.next(self.introduced.as_mut()) {
                if let Body::Tick(tick) = &mut event.body {
                    // Some of its samples may be among what is missing: not to be seen in it proves nothing.
                    tick.complete &= !std::mem::take(&mut self.is_broken);
                }
                if let Some(audit) = &mut self.audit {
                    audit.event(&event);
                }
                return Some(Ok(event));
            }
            if self.phase != Phase::Within {
                return None;
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.phase = Phase::Finished;
                    return Some(Err(error));
                }
            }
        }
    }
}
