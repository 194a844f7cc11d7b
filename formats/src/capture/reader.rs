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

use std::io::{Read, Seek, SeekFrom};

use netflow_core::event::{Event, Header, Loss};
use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::xxh3_64;

use super::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind, hex};
use super::column::Unpacker;
use super::decode::BlockEvents;
use super::error::{Damage, DamagedPart, Malformed, NotACapture, ReadError};
use super::index::{Index, unwrap_payload};
use super::magic::{FILE_HEADER_BYTES, FileHeader, MAGIC, diagnose, file_header, parse_file_header};
use super::record::{self, Metadata};
use super::source::Source;

/// Damage that is listed one by one; beyond it only the number grows.
const MAX_LISTED_DAMAGE: usize = 10_000;

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
        /// Events of the torn block, where its header says so.
        events_lost: Option<u64>,
    },
}

/// Damage whose cost is not known before the next intact block.
struct Pending {
    offset: u64,
    part: DamagedPart,
    what: Malformed,
    /// What the damaged block's own header says, where that is intact.
    events: Option<u64>,
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
    check_all: bool,
    /// Connections introduced since the last gap; `None` while there was none.
    introduced: Option<FxHashSet<u64>>,
    pending: Option<Pending>,
    damage: Vec<Damage>,
    damage_count: u64,
    events_lost: u64,
    skipped: u64,
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
            check_all: false,
            introduced: None,
            pending: None,
            damage: Vec::new(),
            damage_count: 0,
            events_lost: 0,
            skipped: 0,
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

    /// Checks also what reading events does not need: for who wants to know whether a file is sound. It is slower.
    pub fn check_everything(&mut self) {
        self.check_all = true;
    }

    /// What was damaged so far, in the order of the file, for all sections.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many places were damaged; [`damage`](Self::damage) lists at most the first 10,000.
    pub fn damage_count(&self) -> u64 {
        self.damage_count
    }

    /// Events known to be lost by damage so far; damage whose cost is unknown is not counted.
    pub fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// Events of kinds that a later version added, which were skipped.
    pub fn events_skipped(&self) -> u64 {
        self.skipped
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

    /// The input; what was read ahead of it is lost.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// False when the input ends before the section's header is complete.
    fn begin_section(&mut self) -> Result<bool, ReadError> {
        self.section_offset = self.source.offset();
        self.header = Header::default();
        self.phase = Phase::Within;
        self.block.clear();
        self.sequence = 0;
        self.events = 0;
        self.last_at = 0;
        self.losses = Loss::default();
        self.introduced = None;
        self.closed = false;
        self.end = None;
        let complete = self.read_file_header()? && self.read_metadata()?;
        if !complete {
            // What follows a capture is damage, not another kind of file.
            if self.section_offset == 0 {
                let bytes = usize::try_from(self.source.offset()).unwrap_or(0);
                return Err(ReadError::NotACapture(match bytes {
                    0 => diagnose(self.source.window()),
                    _ => NotACapture::TooShort { bytes: bytes + self.source.window().len() },
                }));
            }
            self.finish(End::Torn { offset: self.section_offset, events_lost: None });
        }
        Ok(complete)
    }

    fn read_file_header(&mut self) -> Result<bool, ReadError> {
        let offset = self.source.offset();
        self.source.fill(FILE_HEADER_BYTES + BLOCK_HEADER_BYTES)?;
        let window = self.source.window();
        let block_at = |place: usize| {
            let head = window.get(place..).and_then(<[u8]>::first_chunk);
            head.is_some_and(|head| BlockHeader::parse(head).is_ok())
        };
        let (block_here, block_follows) = (block_at(0), block_at(FILE_HEADER_BYTES));
        let Some(head) = window.first_chunk::<FILE_HEADER_BYTES>().copied() else { return Ok(false) };
        let part = DamagedPart::FileHeader;
        match parse_file_header(&head)? {
            FileHeader::Readable => {}
            FileHeader::Damaged => {
                let expected = file_header();
                let what = Malformed::new("version and flags", hex(&expected[12..]), hex(&head[12..]));
                self.report(offset, part, what, Some(0));
            }
            FileHeader::Foreign if block_here => {
                self.report(offset, part, Malformed::new("start of a section", hex(&MAGIC), "a block"), Some(0));
                return Ok(true);
            }
            FileHeader::Foreign if block_follows => {
                self.report(offset, part, Malformed::new("magic", hex(&MAGIC), hex(&head[..12])), Some(0));
            }
            FileHeader::Foreign => {
                let what = diagnose(self.source.window());
                return Err(ReadError::NotACapture(what));
            }
        }
        self.source.consume(FILE_HEADER_BYTES);
        Ok(true)
    }

    /// The metadata block; when it is not intact, that is damage and the events that follow are read all the same. False
    /// when the input ends within it.
    fn read_metadata(&mut self) -> Result<bool, ReadError> {
        let offset = self.source.offset();
        let Some(head) = self.source.head::<BLOCK_HEADER_BYTES>()? else { return Ok(false) };
        // What is wrong with it is found again, and listed, by the first step.
        let Ok(header) = BlockHeader::parse(&head) else { return Ok(true) };
        if header.kind != BlockKind::Metadata {
            let found = format!("{:?}", header.kind);
            self.report(offset, DamagedPart::Metadata, Malformed::new("kind of block", "Metadata", found), Some(0));
            return Ok(true);
        }
        let whole = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
        if !self.source.fill(whole)? {
            return Ok(false);
        }
        let stored = self.source.window().get(BLOCK_HEADER_BYTES..whole).unwrap_or_default();
        if xxh3_64(stored) != header.checksum {
            return Ok(true);
        }
        let metadata = unwrap_payload(&header, stored, &mut self.unpacker)
            .ok_or_else(|| Malformed::new("metadata", "a payload of the stated length", "another"))
            .and_then(|payload| record::decode::<Metadata>("metadata", payload));
        match metadata {
            Ok((metadata, _)) => self.header = metadata.into(),
            Err(what) => self.report(offset, DamagedPart::Metadata, what, Some(0)),
        }
        self.source.consume(whole);
        self.sequence = 1;
        Ok(true)
    }

    fn finish(&mut self, end: End) {
        self.phase = Phase::Finished;
        self.end = Some(end);
    }

    fn end_section(&mut self) -> bool {
        self.settle(None);
        self.end = Some(if self.closed { End::Clean } else { End::NotClosed });
        self.phase = Phase::AtSection;
        false
    }

    fn report(&mut self, offset: u64, part: DamagedPart, what: Malformed, events_lost: Option<u64>) {
        self.damage_count += 1;
        self.events_lost = self.events_lost.saturating_add(events_lost.unwrap_or(0));
        if self.damage.len() < MAX_LISTED_DAMAGE {
            self.damage.push(Damage { offset, part, what, events_lost });
        }
    }

    /// Lists the damage that went before, once it is known how many events are missing.
    fn settle(&mut self, missing: Option<u64>) {
        if let Some(pending) = self.pending.take() {
            self.report(pending.offset, pending.part, pending.what, missing.or(pending.events));
            self.introduced = Some(FxHashSet::default());
        }
    }

    /// Notes damage at the present place and looks for the next block.
    fn recover(&mut self, part: DamagedPart, what: Malformed, events: Option<u64>) -> Result<bool, ReadError> {
        let offset = self.source.offset();
        self.settle(None);
        let lost_metadata = self.sequence == 0 && part == DamagedPart::BlockHeader;
        let part = if lost_metadata { DamagedPart::Metadata } else { part };
        self.pending = Some(Pending { offset, part, what, events });
        self.source.resync()?;
        Ok(true)
    }

    /// One block further; false at the section's end.
    fn step(&mut self) -> Result<bool, ReadError> {
        let offset = self.source.offset();
        self.source.fill(BLOCK_HEADER_BYTES)?;
        let window = self.source.window();
        if window.is_empty() {
            self.settle(None);
            self.finish(if self.closed { End::Clean } else { End::NotClosed });
            return Ok(false);
        }
        if window.starts_with(&MAGIC) {
            return Ok(self.end_section());
        }
        let Some(head) = window.first_chunk::<BLOCK_HEADER_BYTES>() else {
            self.settle(None);
            self.finish(End::Torn { offset, events_lost: None });
            return Ok(false);
        };
        match BlockHeader::parse(head) {
            Ok(header) => self.take_block(&header),
            Err((part, what)) => self.recover(part, what, None),
        }
    }

    fn take_block(&mut self, header: &BlockHeader) -> Result<bool, ReadError> {
        let offset = self.source.offset();
        let is_metadata = header.kind == BlockKind::Metadata && header.sequence == 0;
        if is_metadata && self.sequence > 0 {
            // Another section whose file header is lost.
            return Ok(self.end_section());
        }
        let whole = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
        let complete = self.source.fill(whole)?;
        if std::mem::take(&mut self.jumped) {
            self.sequence = header.sequence;
            self.events = header.events_before;
        }
        if self.closed || header.sequence < self.sequence || header.events_before < self.events {
            let expected = match self.closed {
                true => "nothing after the end".to_owned(),
                false => format!("block {} after {} events", self.sequence, self.events),
            };
            let found = format!("block {} after {} events", header.sequence, header.events_before);
            self.settle(None);
            self.report(offset, DamagedPart::Sequence, Malformed::new("blocks", expected, found), Some(0));
            self.source.consume(whole);
            return Ok(true);
        }
        self.account(offset, header);
        let events = Some(u64::from(header.events));
        if !complete {
            // Either the file ends here, or bytes are missing and another block follows.
            let found = self.source.window().len() - BLOCK_HEADER_BYTES;
            if self.source.resync()? {
                let what = Malformed::new("payload of a block", format!("{} bytes", header.stored_bytes), found);
                self.pending = Some(Pending { offset, part: DamagedPart::Payload, what, events });
                return Ok(true);
            }
            self.finish(End::Torn { offset, events_lost: events });
            return Ok(false);
        }
        let stored = self.source.window().get(BLOCK_HEADER_BYTES..whole).unwrap_or_default();
        let checksum = xxh3_64(stored);
        if checksum != header.checksum {
            let part = match header.kind {
                BlockKind::Metadata => DamagedPart::Metadata,
                BlockKind::Index | BlockKind::End => DamagedPart::Index,
                BlockKind::Events | BlockKind::Unknown(_) => DamagedPart::Payload,
            };
            let [expected, found] = [header.checksum, checksum].map(|checksum| format!("{checksum:016x}"));
            return self.recover(part, Malformed::new("checksum of payload", expected, found), events);
        }
        self.events += u64::from(header.events);
        self.losses = header.losses;
        let step = match header.kind {
            BlockKind::Events => self.open_block(offset, header, whole),
            BlockKind::End => {
                self.closed = true;
                true
            }
            BlockKind::Metadata | BlockKind::Index | BlockKind::Unknown(_) => true,
        };
        self.source.consume(whole);
        Ok(step)
    }

    /// Compares an intact header with what was read before it.
    fn account(&mut self, offset: u64, header: &BlockHeader) {
        let missing = header.events_before - self.events;
        if self.pending.is_some() {
            self.settle(Some(missing));
        } else if missing > 0 || header.sequence > self.sequence {
            let expected = format!("block {} after {} events", self.sequence, self.events);
            let found = format!("block {} after {} events", header.sequence, header.events_before);
            self.report(offset, DamagedPart::Sequence, Malformed::new("blocks", expected, found), Some(missing));
            self.introduced = Some(FxHashSet::default());
        }
        self.events = header.events_before;
        self.sequence = header.sequence.saturating_add(1);
    }

    fn open_block(&mut self, offset: u64, header: &BlockHeader, whole: usize) -> bool {
        if self.since.is_some_and(|since| header.last_at < since) {
            self.introduced = Some(FxHashSet::default());
            return true;
        }
        let stored = self.source.window().get(BLOCK_HEADER_BYTES..whole).unwrap_or_default();
        let checked = if header.codec != 0 {
            Err(Malformed::new("codec of an events block", 0, header.codec))
        } else if header.first_at < self.last_at {
            Err(Malformed::new("time of a block", format!("{} ns or later", self.last_at), header.first_at))
        } else {
            let identities = self.check_all || self.introduced.is_some();
            self.block.load(header, stored, identities, &mut self.unpacker)
        };
        match checked {
            Ok(skipped) => {
                self.last_at = header.last_at;
                self.skipped += skipped;
                true
            }
            Err(what) => {
                self.report(offset, DamagedPart::Content, what, Some(header.events.into()));
                self.introduced = Some(FxHashSet::default());
                true
            }
        }
    }
}

impl<R: Read + Seek> CaptureReader<R> {
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
            if let Some(event) = self.block.next(self.introduced.as_mut()) {
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
