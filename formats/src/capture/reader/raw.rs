//! Blocks that are decoded elsewhere, while the reader goes on.
//!
//! In: the source, standing at a block. Out: the block as it is stored, when nothing is to be said of it but what it holds;
//! and the reader before that block again, when what it holds turns out to be malformed. Never here: threads, damage: that
//! is for the reader, which meets the block again.

use std::io::Read;

use netflow_core::event::Loss;
use xxhash_rust::xxh3::xxh3_64;

use super::{CaptureReader, Phase};
use crate::capture::MAX_ROWS;
use crate::capture::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind};
use crate::capture::columns::Columns;
use crate::capture::error::{Malformed, ReadError};
use crate::capture::selection::Selection;
use crate::capture::stream::Unpacker;

/// Bytes of a block that is decoded elsewhere, at most: several at a time take no more memory than this is worth.
const MOST_BYTES: u32 = 8 << 20;

/// A block of events as it is stored, whose header fits what was before it.
pub struct RawBlock {
    /// With its header.
    bytes: Vec<u8>,
    header: BlockHeader,
    /// What the reader knew before it.
    last_at: u64,
    losses: Loss,
}

impl RawBlock {
    /// How many events are in it.
    #[must_use]
    pub fn events(&self) -> usize {
        self.header.events as usize
    }

    /// Its memory, for another block.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Decodes blocks; each thread has its own.
pub struct BlockDecoder {
    unpacker: Unpacker,
}

impl BlockDecoder {
    /// Takes the memory that it needs.
    ///
    /// # Errors
    /// [`ReadError::Io`] when there is not enough.
    pub fn new() -> Result<Self, ReadError> {
        let unpacker = Unpacker::new().map_err(|source| ReadError::Io { offset: 0, source })?;
        Ok(Self { unpacker })
    }

    /// What [`CaptureReader::next_batch`] gives for the block.
    ///
    /// # Errors
    /// What is wrong in it, which is to be [put back](CaptureReader::put_back) then: the reader says the same of it.
    pub fn decode(&mut self, block: &RawBlock, measured: Selection, mut spare: Columns) -> Result<Columns, Malformed> {
        let payload = block.bytes.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
        let checksum = xxh3_64(payload);
        if checksum != block.header.checksum {
            return Err(Malformed::new("checksum", block.header.checksum, checksum));
        }
        let selection = Selection::BATCH.and(measured);
        spare.load(&block.header, payload, selection, true, &mut self.unpacker)?;
        spare.find_lives();
        Ok(spare)
    }
}

impl<R: Read> CaptureReader<R> {
    /// The next block of the current section, to be decoded with a [`BlockDecoder`], in the memory of `spare`: what is
    /// decoded is [accepted](Self::accept) in the order of the blocks, or [put back](Self::put_back). `None` when all before
    /// is to be accepted first, and what follows then is for [`next_batch`](Self::next_batch): damage, the end, an error,
    /// a block of more than 8 MiB.
    pub fn next_raw(&mut self, spare: Vec<u8>) -> Option<RawBlock> {
        let is_plain = self.phase == Phase::Within
            && self.introduced.is_none()
            && !self.closed
            && !self.jumped
            && !self.damages.is_pending()
            && self.audit.is_none()
            && self.since.is_none()
            && self.until.is_none();
        if !is_plain || !self.source.has(BLOCK_HEADER_BYTES) {
            return None;
        }
        let header = BlockHeader::parse(self.source.window().first_chunk()?).ok()?;
        let follows = header.kind == BlockKind::Events
            && (1..=MAX_ROWS).contains(&header.events)
            && header.stored_bytes <= MOST_BYTES
            && header.codec == 0
            && header.raw_bytes == header.stored_bytes
            && header.sequence == self.sequence
            && header.events_before == self.events
            && header.first_at >= self.last_at;
        let whole = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
        if !follows || !self.source.has(whole) {
            return None;
        }
        self.block.clear();
        let block = RawBlock {
            bytes: self.source.take(whole, spare),
            header,
            last_at: std::mem::replace(&mut self.last_at, header.last_at),
            losses: std::mem::replace(&mut self.losses, header.losses),
        };
        self.sequence = header.sequence.saturating_add(1);
        self.events = self.events.saturating_add(header.events.into());
        Some(block)
    }

    /// What was decoded of the first of the blocks that are neither accepted nor put back.
    pub fn accept(&mut self, columns: &Columns) {
        self.passed_over = self.passed_over.and(columns.passed_over());
    }

    /// All blocks that were not accepted, in their order: the reader stands before them again.
    pub fn put_back(&mut self, blocks: &[RawBlock]) {
        let Some(first) = blocks.first() else { return };
        self.sequence = first.header.sequence;
        self.events = first.header.events_before;
        (self.last_at, self.losses) = (first.last_at, first.losses);
        self.source.put_back(blocks.iter().map(|block| &*block.bytes));
    }
}
