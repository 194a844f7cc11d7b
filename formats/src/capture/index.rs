//! The index at the end of a capture that was closed cleanly: totals, and where each stretch of time is.
//!
//! In: the headers of the blocks as they are written; or a file that can seek. Out: an index. It only accelerates: a
//! capture without one gives the same events. Never here: events.

use std::io::{self, Read, Seek, SeekFrom};

use bincode::{Decode, Encode};
use netflow_core::event::{Body, Event, Header, Loss};
use xxhash_rust::xxh3::xxh3_64;

use super::MAX_METADATA_BYTES;
use super::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind};
use super::error::{Malformed, WriteError};
use super::magic::{FILE_HEADER_BYTES, FileHeader, parse_file_header};
use super::passed_over::PassedOver;
use super::record::{self, LossRecord};
use super::stream::Unpacker;

/// Names of the kinds of event, in the order of their codes in a capture.
pub const KIND_NAMES: [&str; 11] =
    ["open", "sample", "close", "tick", "process", "dns", "nat", "listen", "k8s", "clock", "loss"];

/// An index holds no more entries than this, however long the capture: then each stands for several blocks.
const MAX_ENTRIES: usize = 1 << 16;
/// The end block: its header and eight bytes.
const END_BYTES: u64 = BLOCK_HEADER_BYTES as u64 + 8;

/// Totals of a section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// All events.
    pub events: u64,
    /// Events of each kind, in the order of [`KIND_NAMES`].
    pub counts: [u64; 11],
    /// Those of `counts` with which a section that goes on with another says again what held at its end.
    pub said_again: [u64; 11],
    /// Connections that were open before the recording began, among the opens.
    pub preexisting: u64,
    /// Connections without a close at the end: they are still open, or their close is lost.
    pub live_at_end: u64,
    /// Blocks of events.
    pub blocks: u64,
    /// The time of the first event in nanoseconds since boot; `None` without events.
    pub first_at: Option<u64>,
    /// The time of the last event, likewise.
    pub last_at: Option<u64>,
    /// The sum of all `loss` events.
    pub losses: Loss,
}

impl Totals {
    /// Counts one more event.
    pub fn count(&mut self, event: &Event) {
        if let Some(count) = self.counts.get_mut(kind(&event.body)) {
            *count += 1;
        }
        match &event.body {
            Body::Open(open) if open.identity.preexisting => self.preexisting += 1,
            Body::Loss(loss) => self.losses += *loss,
            _ => {}
        }
        self.events += 1;
        self.first_at.get_or_insert(event.at);
        self.last_at = Some(event.at);
    }
}

/// The place of a kind of event in [`KIND_NAMES`].
fn kind(body: &Body) -> usize {
    match body {
        Body::Open(_) => 0,
        Body::Sample(_) => 1,
        Body::Close(_) => 2,
        Body::Tick(_) => 3,
        Body::Process(_) => 4,
        Body::Dns(_) => 5,
        Body::Nat(_) => 6,
        Body::Listen(_) => 7,
        Body::K8s(_) => 8,
        Body::Clock(_) => 9,
        Body::Loss(_) => 10,
    }
}

/// Counts what a section says again: up to its first tick, where all that is of one moment.
#[derive(Debug, Default)]
pub struct SaidAgain {
    /// The section goes on with another, and all its events so far were of this moment, if there was one.
    beginning: Option<Option<u64>>,
    counts: [u64; 11],
}

impl SaidAgain {
    /// Before the first event of the section with this header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self { beginning: header.continues_from.map(|_| None), counts: [0; 11] }
    }

    /// Takes the next event of the section, and tells its totals what was said again once that is known.
    pub fn count(&mut self, event: &Event, totals: &mut Totals) {
        let Some(moment) = &mut self.beginning else { return };
        if *moment.get_or_insert(event.at) != event.at {
            self.beginning = None;
            return;
        }
        if let Some(count) = self.counts.get_mut(kind(&event.body)) {
            *count += 1;
        }
        if matches!(event.body, Body::Tick(_)) {
            self.beginning = None;
            totals.said_again = self.counts;
        }
    }
}

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct IndexEntry {
    /// Where its first block begins: bytes from the start of the section.
    pub offset: u64,
    /// Blocks in it.
    pub blocks: u32,
    /// Events in it.
    pub events: u64,
    /// The time of its first event, in nanoseconds since boot.
    pub first_at: u64,
    /// The time of its last event.
    pub last_at: u64,
}

/// What the end of a cleanly closed section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Totals of the section.
    pub totals: Totals,
    /// Where each stretch of time is, in order.
    pub entries: Vec<IndexEntry>,
}

#[derive(Encode, Decode)]
struct IndexRecord {
    /// Where the index's block begins in the section: so the section's start is found from the file's end.
    offset: u64,
    counts: Vec<u64>,
    preexisting: u64,
    live_at_end: u64,
    blocks: u64,
    first_at: Option<u64>,
    last_at: Option<u64>,
    losses: LossRecord,
    entries: Vec<IndexEntry>,
}

impl Index {
    /// The entry to begin with in order to see every event from `at` on; `None` when all are earlier.
    #[must_use]
    pub fn entry_at(&self, at: u64) -> Option<&IndexEntry> {
        self.entries.get(self.entries.partition_point(|entry| entry.last_at < at))
    }

    /// Reads an index; also gives where it says that it is.
    pub(super) fn decode(payload: &[u8]) -> Result<(Self, u64), Malformed> {
        let (record, length) = record::decode::<IndexRecord>("index", payload)?;
        let rest = payload.get(length..).unwrap_or_default();
        let again = if rest.is_empty() { Vec::new() } else { record::decode::<Vec<u64>>("index", rest)?.0 };
        let (mut counts, mut said_again) = ([0; 11], [0; 11]);
        for (count, stored) in counts.iter_mut().zip(&record.counts).chain(said_again.iter_mut().zip(&again)) {
            *count = *stored;
        }
        let totals = Totals {
            // Kinds that a later version added count here though they have no name yet.
            events: record.counts.iter().fold(0, |sum, count| count.saturating_add(sum)),
            counts,
            said_again,
            preexisting: record.preexisting,
            live_at_end: record.live_at_end,
            blocks: record.blocks,
            first_at: record.first_at,
            last_at: record.last_at,
            losses: record.losses.into(),
        };
        Ok((Self { totals, entries: record.entries }, record.offset))
    }
}

/// Gathers the index while a capture is written.
#[derive(Default)]
pub(super) struct IndexBuilder {
    totals: Totals,
    said_again: SaidAgain,
    entries: Vec<IndexEntry>,
    /// Blocks that an entry stands for before the next one begins.
    run: u32,
}

impl IndexBuilder {
    /// Of the section with this header.
    pub(super) fn of(header: &Header) -> Self {
        Self { said_again: SaidAgain::of(header), ..Self::default() }
    }

    pub(super) fn count(&mut self, event: &Event) {
        self.totals.count(event);
        self.said_again.count(event, &mut self.totals);
    }

    pub(super) fn block(&mut self, offset: u64, header: &BlockHeader) {
        if header.kind != BlockKind::Events {
            return;
        }
        self.totals.blocks += 1;
        let run = self.run.max(1);
        match self.entries.last_mut() {
            Some(last) if last.blocks < run => {
                last.blocks += 1;
                last.events += u64::from(header.events);
                last.last_at = header.last_at;
            }
            _ => self.entries.push(IndexEntry {
                offset,
                blocks: 1,
                events: header.events.into(),
                first_at: header.first_at,
                last_at: header.last_at,
            }),
        }
        if self.entries.len() > MAX_ENTRIES {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.run = self.run.max(1).saturating_mul(2);
        self.entries = self
            .entries
            .chunks(2)
            .filter_map(|pair| {
                let (first, last) = (pair.first()?, pair.last()?);
                Some(IndexEntry {
                    blocks: pair.iter().map(|entry| entry.blocks).sum(),
                    events: pair.iter().map(|entry| entry.events).sum(),
                    last_at: last.last_at,
                    ..*first
                })
            })
            .collect();
    }

    /// The index of what was counted, which is nothing again after it.
    pub(super) fn take(&mut self, live_at_end: u64, losses: Loss) -> Index {
        let totals = Totals { live_at_end, losses, ..std::mem::take(&mut self.totals) };
        Index { totals, entries: std::mem::take(&mut self.entries) }
    }

    /// The index's payload; `offset` is where its block begins in the section.
    pub(super) fn finish(
        &mut self,
        offset: u64,
        live_at_end: u64,
        losses: Loss,
    ) -> Result<(Vec<u8>, Totals), WriteError> {
        let Index { totals, entries } = self.take(live_at_end, losses);
        let record = IndexRecord {
            offset,
            counts: totals.counts.to_vec(),
            preexisting: totals.preexisting,
            live_at_end,
            blocks: totals.blocks,
            first_at: totals.first_at,
            last_at: totals.last_at,
            losses: losses.into(),
            entries,
        };
        let mut payload = Vec::new();
        record::encode("the index", &record, &mut payload)?;
        if totals.said_again.iter().any(|count| *count > 0) {
            record::encode("the index", &totals.said_again.to_vec(), &mut payload)?;
        }
        Ok((payload, totals))
    }
}

/// A section of a capture, known without reading its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionIndex {
    /// How it came to be.
    pub header: Header,
    /// Where it begins: bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its index.
    pub index: Index,
    /// What of it a later version wrote, as the index tells; of columns it tells nothing.
    pub passed_over: PassedOver,
}

/// Finds the index of each section, from the last to the first by seeking, and gives them in the file's order. `None`
/// when any of them has none that is intact (a recording that was killed or still runs, damage, no capture at all):
/// then [`CaptureReader`](super::CaptureReader) tells what there is. Leaves the input at its start.
///
/// # Errors
/// When the input cannot seek or read.
pub fn read_index<R: Read + Seek>(mut input: R) -> io::Result<Option<Vec<SectionIndex>>> {
    let end = input.seek(SeekFrom::End(0))?;
    let sections = read_chain(&mut input, end)?;
    input.seek(SeekFrom::Start(0))?;
    Ok(sections)
}

/// The sections before `end`, where one ends; `None` when any has no intact index, or there is none.
pub(super) fn read_chain<R: Read + Seek>(input: &mut R, mut end: u64) -> io::Result<Option<Vec<SectionIndex>>> {
    let mut sections = Vec::new();
    while end > 0 {
        match read_section(input, end) {
            Ok(Some(section)) if section.offset < end => {
                end = section.offset;
                sections.push(section);
            }
            Ok(_) => return Ok(None),
            // A length that points outside of the file is no failure of the input.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    sections.reverse();
    Ok((!sections.is_empty()).then_some(sections))
}

/// The section that ends at `end`.
fn read_section<R: Read + Seek>(input: &mut R, end: u64) -> io::Result<Option<SectionIndex>> {
    let Some(end_offset) = end.checked_sub(END_BYTES) else { return Ok(None) };
    let Some((header, payload)) = read_block(input, end_offset)? else { return Ok(None) };
    let (BlockKind::End, Ok(back)) = (header.kind, <[u8; 8]>::try_from(payload.as_slice())) else { return Ok(None) };
    let Some(index_offset) = end_offset.checked_sub(u64::from_le_bytes(back)) else { return Ok(None) };
    let Some((header, payload)) = read_block(input, index_offset)? else { return Ok(None) };
    if header.kind != BlockKind::Index {
        return Ok(None);
    }
    let Ok(mut unpacker) = Unpacker::new() else { return Ok(None) };
    let Some(payload) = unwrap_payload(&header, &payload, &mut unpacker) else { return Ok(None) };
    let Ok((index, own_offset)) = Index::decode(payload) else { return Ok(None) };
    let passed_over = passed_over(&header, &index);
    let Some(offset) = index_offset.checked_sub(own_offset) else { return Ok(None) };
    input.seek(SeekFrom::Start(offset))?;
    let mut start = [0; FILE_HEADER_BYTES];
    input.read_exact(&mut start)?;
    let Ok(FileHeader::Readable) = parse_file_header(&start) else { return Ok(None) };
    let Some((header, payload)) = read_block(input, offset + FILE_HEADER_BYTES as u64)? else { return Ok(None) };
    if header.kind != BlockKind::Metadata || header.raw_bytes as usize > MAX_METADATA_BYTES {
        return Ok(None);
    }
    let Some(payload) = unwrap_payload(&header, &payload, &mut unpacker) else { return Ok(None) };
    let Ok(header) = record::decode_header(payload) else { return Ok(None) };
    Ok(Some(SectionIndex { header, offset, bytes: end - offset, index, passed_over }))
}

/// What stands before the index's block and is none of its own: blocks beside metadata and events, and their events; and
/// events in blocks of events that are of no known kind.
fn passed_over(header: &BlockHeader, index: &Index) -> PassedOver {
    let in_blocks = index.entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.events));
    let known = index.totals.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    PassedOver {
        blocks: u64::from(header.sequence).saturating_sub(index.totals.blocks.saturating_add(1)),
        block_events: header.events_before.saturating_sub(in_blocks),
        events: in_blocks.saturating_sub(known),
        wider_blocks: 0,
    }
}

/// The block at `offset`; `None` when it is not intact.
fn read_block<R: Read + Seek>(input: &mut R, offset: u64) -> io::Result<Option<(BlockHeader, Vec<u8>)>> {
    input.seek(SeekFrom::Start(offset))?;
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    input.read_exact(&mut bytes)?;
    let Ok(header) = BlockHeader::parse(&bytes) else { return Ok(None) };
    let mut payload = Vec::new();
    input.take(header.stored_bytes.into()).read_to_end(&mut payload)?;
    let intact = payload.len() == header.stored_bytes as usize && xxh3_64(&payload) == header.checksum;
    Ok(intact.then_some((header, payload)))
}

/// The payload of a block that is compressed as a whole, or not at all.
pub(super) fn unwrap_payload<'a>(
    header: &BlockHeader,
    stored: &'a [u8],
    unpacker: &'a mut Unpacker,
) -> Option<&'a [u8]> {
    match header.codec {
        0 if stored.len() == header.raw_bytes as usize => Some(stored),
        1 => unpacker.inflate(stored, header.raw_bytes as usize).ok(),
        _ => None,
    }
}
