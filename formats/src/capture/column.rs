//! Columns as streams of bytes: integers split into planes, each stream compressed or not as pays.
//!
//! In: numbers and bytes of one column. Out: the payload of an events block, and back. Every length is checked against
//! the number of rows before memory is taken. Never here: what a column means.
//!
//! An integer column is eight streams, one for each byte of its numbers, least significant first; a stream of zeros is
//! left out. Low planes are near random and are stored as they are, high planes are near constant and vanish.

use zstd::bulk::{Compressor, Decompressor};

use super::MAX_RAW_BYTES;
use super::error::{Malformed, WriteError};
use super::record::{self, Directory, Stream};

const STORED: u8 = 0;
const ZSTD: u8 = 1;
const REPEATED: u8 = 2;
/// Below this a zstd frame's own bytes cost more than they save.
const WORTH_COMPRESSING: usize = 48;

/// The columns of an events block. The number times 8, plus the plane, is the id of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Column {
    Kind = 0,
    At = 1,
    Reference = 2,
    Carried = 3,
    Conn = 8,
    Profile = 9,
    Remote = 10,
    Port = 11,
    OpenedAt = 12,
    Flags = 16,
    Local = 17,
    ServicePort = 18,
    Pid = 19,
    Name = 20,
    Netns = 21,
    Family = 24,
    Ipv4 = 25,
    Ipv6High = 26,
    Ipv6Low = 27,
    NameLength = 28,
    NameBytes = 29,
    SentBytes = 32,
    RecvBytes = 33,
    SentPackets = 34,
    RecvPackets = 35,
    Retransmits = 36,
    Rtt = 37,
    RttVar = 38,
    Unacked = 39,
    Unread = 40,
    TcpStates = 48,
    Reason = 49,
    Incomplete = 50,
    RecordLength = 51,
    RecordBytes = 52,
}

/// Streams that this version knows; later ones have higher ids or fill gaps, and are skipped.
const STREAMS: usize = 53 * 8;

/// Gathers the streams of one block.
pub(super) struct ColumnWriter {
    compressor: Compressor<'static>,
    directory: Directory,
    data: Vec<u8>,
    raw_bytes: usize,
    plane: Vec<u8>,
    packed: Vec<u8>,
}

impl ColumnWriter {
    pub(super) fn new(level: i32) -> Result<Self, WriteError> {
        Ok(Self {
            compressor: Compressor::new(level).map_err(WriteError::Compress)?,
            directory: Directory::default(),
            data: Vec::new(),
            raw_bytes: 0,
            plane: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// Adds numbers as planes.
    pub(super) fn integers(&mut self, column: Column, values: &[u64]) -> Result<(), WriteError> {
        let used = values.iter().fold(0, |bits, value| bits | value);
        let mut plane = std::mem::take(&mut self.plane);
        for index in 0..8_u16 {
            let shift = u32::from(index) * 8;
            if (used >> shift) & 0xff == 0 {
                continue;
            }
            plane.clear();
            #[expect(clippy::cast_possible_truncation, reason = "a plane is one byte of each number")]
            plane.extend(values.iter().map(|value| (value >> shift) as u8));
            self.stream(column as u16 * 8 + index, &plane)?;
        }
        self.plane = plane;
        Ok(())
    }

    /// Adds small numbers as one plane.
    pub(super) fn bytes(&mut self, column: Column, values: &[u8]) -> Result<(), WriteError> {
        if values.iter().all(|value| *value == 0) { Ok(()) } else { self.stream(column as u16 * 8, values) }
    }

    /// Adds bytes without structure.
    pub(super) fn blob(&mut self, column: Column, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.is_empty() { Ok(()) } else { self.stream(column as u16 * 8, bytes) }
    }

    pub(super) fn stream(&mut self, id: u16, raw: &[u8]) -> Result<(), WriteError> {
        let (codec, stored) = match raw.first() {
            Some(first) if raw.iter().all(|byte| byte == first) => (REPEATED, std::slice::from_ref(first)),
            Some(_) if raw.len() >= WORTH_COMPRESSING => {
                self.packed.clear();
                self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
                self.compressor.compress_to_buffer(raw, &mut self.packed).map_err(WriteError::Compress)?;
                // A stream that hardly shrinks is stored: it reads much faster.
                if self.packed.len() < raw.len() - raw.len() / 32 { (ZSTD, &*self.packed) } else { (STORED, raw) }
            }
            _ => (STORED, raw),
        };
        self.data.extend_from_slice(stored);
        self.raw_bytes += raw.len();
        self.directory.streams.push(Stream {
            id,
            codec,
            raw_bytes: length("a stream", raw.len())?,
            stored_bytes: length("a stream", stored.len())?,
        });
        Ok(())
    }

    /// Ends the block: the stored payload into `payload`, and its raw length. The writer is empty again.
    pub(super) fn finish(&mut self, rows: TableRows, payload: &mut Vec<u8>) -> Result<u32, WriteError> {
        self.directory.definitions = rows.definitions;
        self.directory.profiles = rows.profiles;
        self.directory.addresses = rows.addresses;
        self.directory.ipv6_addresses = rows.ipv6_addresses;
        self.directory.names = rows.names;
        let directory = record::encode("a directory", &self.directory, payload)?;
        payload.extend_from_slice(&self.data);
        let raw = length("a block", self.raw_bytes + directory)?;
        self.directory.streams.clear();
        self.data.clear();
        self.raw_bytes = 0;
        Ok(raw)
    }
}

/// Rows of the tables within a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableRows {
    pub(super) definitions: u32,
    pub(super) profiles: u32,
    pub(super) addresses: u32,
    pub(super) ipv6_addresses: u32,
    pub(super) names: u32,
}

/// A length as the format stores it.
pub(super) fn length(what: &'static str, bytes: usize) -> Result<u32, WriteError> {
    match u32::try_from(bytes) {
        Ok(length) if length <= MAX_RAW_BYTES => Ok(length),
        _ => Err(WriteError::TooLong { what, limit: MAX_RAW_BYTES as usize, found: bytes }),
    }
}

/// Gives the columns of one block, each decoded only when it is asked for.
pub(super) struct ColumnReader<'a> {
    streams: Vec<Option<(Stream, &'a [u8])>>,
    pub(super) rows: TableRows,
}

impl<'a> ColumnReader<'a> {
    /// Reads the directory; `raw_bytes` is what the block's header states.
    pub(super) fn new(payload: &'a [u8], raw_bytes: u32) -> Result<Self, Malformed> {
        let (directory, taken) = record::decode_small::<Directory>("directory of columns", payload)?;
        let mut data = payload.get(taken..).unwrap_or_default();
        let mut streams = vec![None; STREAMS];
        let mut raw = u64::try_from(taken).unwrap_or(u64::MAX);
        for stream in &directory.streams {
            let stored = stream.stored_bytes as usize;
            let Some((bytes, rest)) = data.split_at_checked(stored) else {
                return Err(Malformed::new("stored length of a stream", format!("at most {}", data.len()), stored));
            };
            data = rest;
            raw += u64::from(stream.raw_bytes);
            // A stream beyond those known is a later version's: it is skipped by its length.
            if let Some(slot) = streams.get_mut(usize::from(stream.id)) {
                if slot.is_some() {
                    return Err(Malformed::new("stream", "each id once", format!("id {} twice", stream.id)));
                }
                *slot = Some((*stream, bytes));
            }
        }
        if !data.is_empty() {
            return Err(Malformed::new(
                "payload",
                "its end after the last stream",
                format!("{} more bytes", data.len()),
            ));
        }
        if raw != u64::from(raw_bytes) {
            return Err(Malformed::new("raw length of the block", raw_bytes, raw));
        }
        let rows = TableRows {
            definitions: directory.definitions,
            profiles: directory.profiles,
            addresses: directory.addresses,
            ipv6_addresses: directory.ipv6_addresses,
            names: directory.names,
        };
        Ok(Self { streams, rows })
    }

    fn stream(&self, id: u16) -> Option<(Stream, &'a [u8])> {
        self.streams.get(usize::from(id)).copied().flatten()
    }

    /// Numbers of a column into `values`, one for each of the table's `rows`, which the caller has checked; nothing at
    /// all when every number is 0.
    pub(super) fn integers(
        &self,
        column: Column,
        rows: usize,
        unpacker: &mut Unpacker,
        values: &mut Vec<u64>,
    ) -> Result<(), Malformed> {
        values.clear();
        for index in 0..8_u16 {
            let Some((stream, stored)) = self.plane(column as u16 * 8 + index, rows)? else { continue };
            let shift = u32::from(index) * 8;
            let plane = unpacker.unpack(stream, stored)?;
            if values.is_empty() {
                values.extend(plane.iter().map(|byte| u64::from(*byte) << shift));
            } else {
                for (value, byte) in values.iter_mut().zip(plane) {
                    *value |= u64::from(*byte) << shift;
                }
            }
        }
        Ok(())
    }

    /// Small numbers of a column of one plane, likewise. Higher planes are an error, not ignored: they would change the
    /// numbers.
    pub(super) fn bytes(
        &self,
        column: Column,
        rows: usize,
        unpacker: &mut Unpacker,
        values: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        values.clear();
        for index in 1..8_u16 {
            if self.stream(column as u16 * 8 + index).is_some() {
                return Err(Malformed::new("plane of a byte column", "only plane 0", index));
            }
        }
        if let Some((stream, stored)) = self.plane(column as u16 * 8, rows)? {
            values.extend_from_slice(unpacker.unpack(stream, stored)?);
        }
        Ok(())
    }

    /// A stream that must have one byte for each row.
    fn plane(&self, id: u16, rows: usize) -> Result<Option<(Stream, &'a [u8])>, Malformed> {
        match self.stream(id) {
            Some((stream, _)) if stream.raw_bytes as usize != rows => {
                Err(Malformed::new("raw length of a plane", rows, stream.raw_bytes))
            }
            found => Ok(found),
        }
    }

    /// Bytes of a column without structure; their number must be `expected`.
    pub(super) fn blob<'b>(
        &self,
        column: Column,
        expected: u64,
        unpacker: &'b mut Unpacker,
    ) -> Result<&'b [u8], Malformed>
    where
        'a: 'b,
    {
        let Some((stream, stored)) = self.stream(column as u16 * 8) else {
            return if expected == 0 { Ok(&[]) } else { Err(Malformed::new("length of a blob", expected, 0)) };
        };
        if u64::from(stream.raw_bytes) != expected {
            return Err(Malformed::new("length of a blob", expected, stream.raw_bytes));
        }
        unpacker.unpack(stream, stored)
    }
}

/// A number of a column: those of a column that was left out are 0.
pub(super) fn value(values: &[u64], row: usize) -> u64 {
    values.get(row).copied().unwrap_or(0)
}

/// No number of a column may be greater.
pub(super) fn at_most(what: &'static str, values: &[u64], limit: u64) -> Result<(), Malformed> {
    match values.iter().max() {
        Some(greatest) if *greatest > limit => Err(Malformed::new(what, format!("at most {limit}"), greatest)),
        _ => Ok(()),
    }
}

/// Undoes the compression of streams, and keeps the memory for the next one.
pub(super) struct Unpacker {
    decompressor: Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, buffer: Vec::new() })
    }

    fn unpack<'b>(&'b mut self, stream: Stream, stored: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let raw = stream.raw_bytes;
        if raw > MAX_RAW_BYTES {
            return Err(Malformed::new("raw length of a stream", format!("at most {MAX_RAW_BYTES}"), raw));
        }
        match (stream.codec, stored) {
            (STORED, _) if stored.len() == raw as usize => Ok(stored),
            (STORED, _) => Err(Malformed::new("length of a stored stream", raw, stored.len())),
            (REPEATED, [byte]) => {
                self.buffer.clear();
                self.buffer.resize(raw as usize, *byte);
                Ok(&self.buffer)
            }
            (REPEATED, _) => Err(Malformed::new("length of a repeated stream", 1, stored.len())),
            (ZSTD, _) => self.inflate(stored, raw),
            (codec, _) => Err(Malformed::new("codec of a stream", "0, 1 or 2", codec)),
        }
    }

    /// Decompresses one zstd frame that must give exactly `raw` bytes; no more than that is ever allocated.
    pub(super) fn inflate(&mut self, stored: &[u8], raw: u32) -> Result<&[u8], Malformed> {
        let raw = raw as usize;
        self.buffer.clear();
        self.buffer.reserve_exact(raw);
        match self.decompressor.decompress_to_buffer(stored, &mut self.buffer) {
            Ok(found) if found == raw => Ok(&self.buffer),
            Ok(found) => Err(Malformed::new("length of a compressed stream", raw, found)),
            Err(error) => Err(Malformed::new("compressed stream", format!("{raw} bytes in one zstd frame"), error)),
        }
    }
}
