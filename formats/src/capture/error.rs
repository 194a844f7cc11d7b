//! What can go wrong with a capture file, each with the place, what was expected and what was found.
//!
//! Three ranks: a [`WriteError`] is the writer's; a [`ReadError`] ends the reading; [`Damage`] costs one block, is
//! listed, and the reading goes on.

use std::fmt;
use std::io;

use super::block::BlockKind;

/// A capture cannot be written on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output refused bytes. What was written before is readable.
    #[error("cannot write the block at byte {offset}: {source}")]
    Io {
        /// Where in the output the block begins.
        offset: u64,
        /// What the output said.
        source: io::Error,
    },
    /// An earlier write failed, so the output ends in the middle of a block.
    #[error("nothing more can be written: the block at byte {offset} failed before")]
    Failed {
        /// Where that block begins.
        offset: u64,
    },
    /// Events must come in order of time.
    #[error("event {number}: expected a time of {previous} ns or later, found {at} ns")]
    Order {
        /// The event, counted from 0.
        number: u64,
        /// Its time in nanoseconds since boot.
        at: u64,
        /// The time of the event before it.
        previous: u64,
    },
    /// A sample or close of a connection of which nothing is known.
    #[error(
        "event {number}: connection {conn} was never introduced: expected an open before this {kind}, \
         or what is known of the connection in it"
    )]
    Unintroduced {
        /// The event, counted from 0.
        number: u64,
        /// The connection's id.
        conn: u64,
        /// `sample` or `close`.
        kind: &'static str,
    },
    /// A text is longer than the format allows.
    #[error("{what}: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
        /// Its length in bytes.
        found: usize,
    },
    /// The compressor failed.
    #[error("cannot compress a column: {0}")]
    Compress(io::Error),
    /// A small record could not be encoded.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// Which record.
        what: &'static str,
        /// What the encoder said.
        reason: String,
    },
}

/// A capture cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("cannot read at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the input said.
        source: io::Error,
    },
    /// The input is something else.
    #[error("not a capture: {0}")]
    NotACapture(NotACapture),
    /// The input is of a later format.
    #[error(
        "capture of format {major}.{minor}: expected format {expected}.x; a newer netflow can read it",
        expected = super::FORMAT_MAJOR
    )]
    Version {
        /// The major version found.
        major: u16,
        /// The minor version found.
        minor: u16,
    },
    /// The input needs something that this reader lacks.
    #[error("capture needs features that this netflow does not have (flags {unknown:#x}); a newer one can read it")]
    Features {
        /// The flags that are not understood.
        unknown: u32,
    },
}

/// What an input is that is no capture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACapture {
    /// No byte.
    #[error("the file is empty")]
    Empty,
    /// It ends within its first bytes.
    #[error("the file ends after {bytes} bytes, before its first block; the recording was cut off as it began")]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// It was a capture once.
    #[error(
        "the file was damaged by a transfer in text mode (line ends or high bits were changed); copy it again in binary mode"
    )]
    TextMode,
    /// Something compressed it.
    #[error("the file is compressed with {format}; try {command} first")]
    Compressed {
        /// By what.
        format: &'static str,
        /// What undoes it.
        command: &'static str,
    },
    /// Events as text.
    #[error("the file looks like JSON Lines; `netflow import` turns events into a capture")]
    JsonLines,
    /// A packet capture.
    #[error("the file is a packet capture (pcap); netflow reads captures made by `netflow record`")]
    Packets,
    /// Some text.
    #[error("the file is text, beginning with {start:?}")]
    Text {
        /// Its first characters.
        start: String,
    },
    /// Some bytes.
    #[error("expected the first bytes {expected}, found {found}", expected = super::block::hex(&super::magic::MAGIC), found = super::block::hex(start))]
    Binary {
        /// Its first bytes.
        start: Vec<u8>,
    },
}

/// Something within a block that the format does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Which part.
    pub what: &'static str,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Malformed {
    pub(super) fn new(what: &'static str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { what, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// The part of the file that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedPart {
    /// The first bytes of a section: version and flags. No event is lost.
    FileHeader,
    /// The section's metadata: host, clock anchor and interval are unknown.
    Metadata,
    /// The header of a block.
    BlockHeader,
    /// The payload of a block: its checksum does not fit.
    Payload,
    /// A block with fitting checksums whose content the format does not allow.
    Content,
    /// A length or count beyond the format's limits.
    Limit,
    /// Blocks are missing, or stand out of order.
    Sequence,
    /// The index or the end block. No event is lost.
    Index,
}

impl DamagedPart {
    /// The word used in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FileHeader => "file header",
            Self::Metadata => "metadata",
            Self::BlockHeader => "block header",
            Self::Payload => "block",
            Self::Content => "block content",
            Self::Limit => "block limits",
            Self::Sequence => "sequence of blocks",
            Self::Index => "index",
        }
    }
}

/// One damaged place and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins: bytes from the start of the input.
    pub offset: u64,
    /// Which part it hit.
    pub part: DamagedPart,
    /// The kind of the block, where its header can be read.
    pub kind: Option<BlockKind>,
    /// Blocks before this one in the section, by its own header or, where that is damaged, by the block before.
    pub sequence: u32,
    /// What is wrong.
    pub what: Malformed,
    /// How many events are lost by it; `None` when nothing that follows tells.
    pub events_lost: Option<u64>,
    /// The events that are lost are not earlier than this, in nanoseconds since boot.
    pub first_at: u64,
    /// They are not later than this; `None` when nothing that follows tells.
    pub last_at: Option<u64>,
}

impl Damage {
    /// How many events, or other things worth one, are lost for sure: where nobody knows, and for metadata, one.
    #[must_use]
    pub fn least_cost(&self) -> u64 {
        match (self.part, self.events_lost) {
            (_, Some(events)) if events > 0 => events,
            (DamagedPart::Metadata, _) | (_, None) => 1,
            _ => 0,
        }
    }
}

/// `damaged block at byte 160: checksum of payload: expected …, found …; 3 events lost`.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged {} at byte {}: {}; ", self.part.name(), self.offset, self.what)?;
        match self.events_lost {
            Some(0) if self.part == DamagedPart::Metadata => f.write_str("host, clock and interval are unknown"),
            Some(0) => f.write_str("no event lost"),
            Some(1) => f.write_str("1 event lost"),
            Some(events) => write!(f, "{events} events lost"),
            None => f.write_str("an unknown number of events lost"),
        }
    }
}
