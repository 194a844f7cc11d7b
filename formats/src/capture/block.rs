//! The frame of a block: 144 bytes that say what follows, how long it is and how to tell whether it is intact.
//!
//! In: 144 bytes. Out: a [`BlockHeader`] whose lengths are within the limits. Never here: payloads.

use netflow_core::event::Loss;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{DamagedPart, Malformed};
use super::{MAX_RAW_BYTES, MAX_ROWS, MAX_STORED_BYTES};

/// Where a reader that lost its way finds the next block. The bytes are arbitrary; they occur in no text encoding.
pub(super) const SYNC: [u8; 8] = [0xf1, 0x0e, 0xb1, 0x0c, 0xa7, 0x95, 0xe3, 0xdc];
pub(super) const BLOCK_HEADER_BYTES: usize = 144;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// How the capture came to be; first in each section.
    Metadata,
    /// Events.
    Events,
    /// Where the blocks are, and totals.
    Index,
    /// The last block of a section that was closed cleanly: how far back the index is.
    End,
    /// A kind that a later version added; skipped.
    Unknown(u8),
}

impl BlockKind {
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Metadata,
            2 => Self::Events,
            3 => Self::Index,
            4 => Self::End,
            other => Self::Unknown(other),
        }
    }

    /// The word used in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Events => "events",
            Self::Index => "index",
            Self::End => "end",
            Self::Unknown(_) => "unknown",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Metadata => 1,
            Self::Events => 2,
            Self::Index => 3,
            Self::End => 4,
            Self::Unknown(code) => code,
        }
    }
}

/// What the first 144 bytes of a block say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockKind,
    /// How the payload as a whole is compressed: 0 not, 1 zstd.
    pub codec: u8,
    /// Blocks before this one in the section.
    pub sequence: u32,
    /// Bytes of the payload in the file.
    pub stored_bytes: u32,
    /// Bytes of the payload after decompression.
    pub raw_bytes: u32,
    /// Events in the section before this block.
    pub events_before: u64,
    /// Events in the block.
    pub events: u32,
    /// The time of the first event, or of the last one before the block: nanoseconds since boot.
    pub first_at: u64,
    /// The time of the last event, likewise.
    pub last_at: u64,
    /// Sum of all `loss` events from the section's start to the end of this block.
    pub losses: Loss,
    /// XXH3-64 of the payload as stored.
    pub checksum: u64,
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk::<N>() {
        Some((first, rest)) => {
            *bytes = rest;
            *first
        }
        None => [0; N],
    }
}

impl BlockHeader {
    pub(super) fn to_bytes(self) -> [u8; BLOCK_HEADER_BYTES] {
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES);
        out.extend_from_slice(&SYNC);
        out.extend_from_slice(&[self.kind.code(), self.codec, 0, 0]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.stored_bytes.to_le_bytes());
        out.extend_from_slice(&self.raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.events_before.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.first_at.to_le_bytes());
        out.extend_from_slice(&self.last_at.to_le_bytes());
        for (_, count) in self.losses.counts() {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&self.checksum.to_le_bytes());
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Reads a header and checks marker, checksum and limits.
    pub(super) fn parse(bytes: &[u8; BLOCK_HEADER_BYTES]) -> Result<Self, (DamagedPart, Malformed)> {
        let mut rest: &[u8] = bytes;
        let sync = take::<8>(&mut rest);
        if sync != SYNC {
            return Err((DamagedPart::BlockHeader, Malformed::new("block's marker", hex(&SYNC), hex(&sync))));
        }
        let (covered, stated) = bytes.split_at(BLOCK_HEADER_BYTES - 8);
        let actual = xxh3_64(covered).to_le_bytes();
        if stated != actual {
            return Err((
                DamagedPart::BlockHeader,
                Malformed::new("checksum of block header", hex(stated), hex(&actual)),
            ));
        }
        let [kind, codec, _, _] = take::<4>(&mut rest);
        let sequence = u32::from_le_bytes(take(&mut rest));
        let stored_bytes = u32::from_le_bytes(take(&mut rest));
        let raw_bytes = u32::from_le_bytes(take(&mut rest));
        let events_before = u64::from_le_bytes(take(&mut rest));
        let events = u32::from_le_bytes(take(&mut rest));
        let _reserved = take::<4>(&mut rest);
        let first_at = u64::from_le_bytes(take(&mut rest));
        let last_at = u64::from_le_bytes(take(&mut rest));
        let losses = Loss {
            ring_full: u64::from_le_bytes(take(&mut rest)),
            map_full: u64::from_le_bytes(take(&mut rest)),
            storage_failed: u64::from_le_bytes(take(&mut rest)),
            queue_full: u64::from_le_bytes(take(&mut rest)),
            snapshot_cut: u64::from_le_bytes(take(&mut rest)),
            dns_dropped: u64::from_le_bytes(take(&mut rest)),
            nat_dropped: u64::from_le_bytes(take(&mut rest)),
            lost_opens: u64::from_le_bytes(take(&mut rest)),
            lost_closes: u64::from_le_bytes(take(&mut rest)),
        };
        let checksum = u64::from_le_bytes(take(&mut rest));
        for (what, value, limit) in [
            ("stored length of a block", stored_bytes, MAX_STORED_BYTES),
            ("raw length of a block", raw_bytes, MAX_RAW_BYTES),
            ("events of a block", events, MAX_ROWS),
        ] {
            if value > limit {
                return Err((DamagedPart::Limit, Malformed::new(what, format!("at most {limit}"), value)));
            }
        }
        Ok(Self {
            kind: BlockKind::from_code(kind),
            codec,
            sequence,
            stored_bytes,
            raw_bytes,
            events_before,
            events,
            first_at,
            last_at,
            losses,
            checksum,
        })
    }
}

/// Bytes as people compare them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
