//! Columns as streams of bytes.
//!
//! In: numbers and bytes of one column. Out: the payload of an events block, and back. Every length is checked against
//! the number of rows before memory is taken. Never here: what a column means, how a stream is compressed.
//!
//! Numbers that are measured are a stream of symbols and one of bits. Numbers that repeat (identifiers, addresses) are
//! eight streams, one for each byte, least significant first. A stream of zeros is left out.

use super::MAX_RAW_BYTES;
use super::error::{Malformed, WriteError};
use super::number::{self, Split};
use super::record::{self, Directory, Stream};
use super::stream::{Packer, Unpacker};

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
    NextPort = 13,
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
    Predictions = 41,
    TcpStates = 48,
    Reason = 49,
    Incomplete = 50,
    RecordLength = 51,
    RecordBytes = 52,
}

impl Column {
    /// What FORMAT.md calls a column.
    pub(super) fn name(number: u16) -> &'static str {
        match number {
            0 => "kind",
            1 => "at",
            2 => "reference",
            3 => "carried",
            8 => "conn",
            9 => "profile",
            10 => "remote",
            11 => "incoming port",
            12 => "opened_at",
            13 => "next port",
            16 => "flags",
            17 => "local",
            18 => "service port",
            19 => "pid",
            20 => "name",
            21 => "netns",
            24 => "family",
            25 => "IPv4",
            26 => "IPv6, upper half",
            27 => "IPv6, lower half",
            28 => "name length",
            29 => "names",
            32 => "sent_bytes",
            33 => "recv_bytes",
            34 => "sent_packets",
            35 => "recv_packets",
            36 => "retransmits",
            37 => "rtt_us",
            38 => "rtt_var_us",
            39 => "unacked_bytes",
            40 => "unread_bytes",
            41 => "predictions",
            48 => "states",
            49 => "reason",
            50 => "incomplete",
            51 => "record length",
            52 => "records",
            _ => LATER,
        }
    }
}

/// The name of a column that this version does not know.
const LATER: &str = "of a later version";

/// Streams that this version knows; later ones have higher ids or fill gaps, and are skipped.
const STREAMS: usize = 53 * 8;

/// Gathers the streams of one block, in the order of their ids.
pub(super) struct ColumnWriter {
    packer: Packer,
    directory: Directory,
    data: Vec<u8>,
    last_id: u16,
    plane: Vec<u8>,
}

impl ColumnWriter {
    pub(super) fn new(level: i32) -> Result<Self, WriteError> {
        Ok(Self {
            packer: Packer::new(level)?,
            directory: Directory::default(),
            data: Vec::new(),
            last_id: 0,
            plane: Vec::new(),
        })
    }

    /// Adds numbers as symbols and bits.
    pub(super) fn numbers(&mut self, column: Column, values: &[u64]) -> Result<(), WriteError> {
        let mut split = Split::default();
        split.add(values);
        self.split(column, &mut split)
    }

    /// Adds numbers that are symbols and bits already.
    pub(super) fn split(&mut self, column: Column, split: &mut Split) -> Result<(), WriteError> {
        let (symbols, bits) = split.finish();
        if !symbols.is_empty() {
            self.stream(column as u16 * 8, symbols)?;
        }
        if !bits.is_empty() {
            self.stream(column as u16 * 8 + 1, bits)?;
        }
        Ok(())
    }

    /// Adds numbers as planes.
    pub(super) fn planes(&mut self, column: Column, values: &[u64]) -> Result<(), WriteError> {
        self.planes_of(column, values, |value| *value)
    }

    /// Adds the numbers that these values have as planes.
    pub(super) fn planes_of<T>(
        &mut self,
        column: Column,
        values: &[T],
        number: impl Fn(&T) -> u64,
    ) -> Result<(), WriteError> {
        let used = values.iter().fold(0, |bits, value| bits | number(value));
        let mut plane = std::mem::take(&mut self.plane);
        for index in 0..8_u16 {
            let shift = u32::from(index) * 8;
            if (used >> shift) & 0xff == 0 {
                continue;
            }
            plane.clear();
            #[expect(clippy::cast_possible_truncation, reason = "a plane is one byte of each number")]
            plane.extend(values.iter().map(|value| (number(value) >> shift) as u8));
            self.stream(column as u16 * 8 + index, &plane)?;
        }
        self.plane = plane;
        Ok(())
    }

    /// Adds small numbers as one plane.
    pub(super) fn bytes(&mut self, column: Column, values: &[u8]) -> Result<(), WriteError> {
        if values.iter().fold(0, |used, value| used | value) == 0 {
            return Ok(());
        }
        self.stream(column as u16 * 8, values)
    }

    /// Adds bytes without structure.
    pub(super) fn blob(&mut self, column: Column, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.is_empty() { Ok(()) } else { self.pack(column as u16 * 8, bytes, true) }
    }

    pub(super) fn stream(&mut self, id: u16, raw: &[u8]) -> Result<(), WriteError> {
        self.pack(id, raw, false)
    }

    fn pack(&mut self, id: u16, raw: &[u8], is_text: bool) -> Result<(), WriteError> {
        let before = self.data.len();
        let codec = self.packer.pack(raw, is_text, &mut self.data)?;
        self.directory.streams.push(Stream {
            step: id.wrapping_sub(self.last_id),
            codec,
            stored_bytes: length("a stream", self.data.len() - before)?,
        });
        self.last_id = id;
        Ok(())
    }

    /// Ends the block: appends what is to be stored to `payload`. The writer is empty again.
    pub(super) fn finish(&mut self, rows: TableRows, payload: &mut Vec<u8>) -> Result<(), WriteError> {
        self.directory.definitions = rows.definitions;
        self.directory.profiles = rows.profiles;
        self.directory.addresses = rows.addresses;
        self.directory.ipv6_addresses = rows.ipv6_addresses;
        self.directory.names = rows.names;
        record::encode("a directory", &self.directory, payload)?;
        payload.extend_from_slice(&self.data);
        self.directory.streams.clear();
        self.data.clear();
        self.last_id = 0;
        Ok(())
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
    streams: Vec<Option<(u8, &'a [u8])>>,
    pub(super) rows: TableRows,
    /// There are columns that this version does not know.
    pub(super) is_wider: bool,
}

impl<'a> ColumnReader<'a> {
    /// Reads the directory.
    pub(super) fn new(payload: &'a [u8]) -> Result<Self, Malformed> {
        let (directory, taken) = record::decode_small::<Directory>("directory of columns", payload)?;
        let mut data = payload.get(taken..).unwrap_or_default();
        let mut streams = vec![None; STREAMS];
        let (mut id, mut is_wider) = (0_u16, false);
        for (place, stream) in directory.streams.iter().enumerate() {
            id = match id.checked_add(stream.step) {
                Some(id) if place == 0 || stream.step > 0 => id,
                _ => return Err(Malformed::new("stream", format!("an id above {id}"), stream.step)),
            };
            let stored = stream.stored_bytes as usize;
            let Some((bytes, rest)) = data.split_at_checked(stored) else {
                return Err(Malformed::new("stored length of a stream", format!("at most {}", data.len()), stored));
            };
            data = rest;
            // A stream beyond those known is a later version's: it is skipped by its length.
            is_wider |= Column::name(id / 8) == LATER;
            if let Some(slot) = streams.get_mut(usize::from(id)) {
                *slot = Some((stream.codec, bytes));
            }
        }
        if !data.is_empty() {
            return Err(Malformed::new(
                "payload",
                "its end after the last stream",
                format!("{} more bytes", data.len()),
            ));
        }
        let rows = TableRows {
            definitions: directory.definitions,
            profiles: directory.profiles,
            addresses: directory.addresses,
            ipv6_addresses: directory.ipv6_addresses,
            names: directory.names,
        };
        Ok(Self { streams, rows, is_wider })
    }

    fn stream(&self, id: u16) -> Option<(u8, &'a [u8])> {
        self.streams.get(usize::from(id)).copied().flatten()
    }

    /// Bytes that each column takes in the file, by its number.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u16, usize)> {
        (0..).zip(self.streams.chunks(8)).filter_map(|(column, streams)| {
            let bytes = streams.iter().flatten().map(|(_, stored)| stored.len()).sum();
            (bytes > 0).then_some((column, bytes))
        })
    }

    /// Streams that a column does not have are an error, not ignored: they would change the numbers.
    fn only(&self, column: Column, streams: u16) -> Result<(), Malformed> {
        match (streams..8).find(|index| self.stream(column as u16 * 8 + index).is_some()) {
            Some(index) => Err(Malformed::new("streams of a column", format!("at most {streams}"), index + 1)),
            None => Ok(()),
        }
    }

    /// Measured numbers of a column into `values`, one for each of the `rows`, which the caller has checked.
    pub(super) fn numbers(
        &self,
        column: Column,
        rows: usize,
        unpacker: &mut Unpacker,
        values: &mut Vec<u64>,
    ) -> Result<(), Malformed> {
        self.only(column, 2)?;
        values.clear();
        let bits = self.stream(column as u16 * 8 + 1);
        let Some((codec, stored)) = self.stream(column as u16 * 8) else {
            if let Some((_, bits)) = bits {
                return Err(Malformed::new("bits of a column of zeros", 0, bits.len()));
            }
            values.resize(rows, 0);
            return Ok(());
        };
        let Unpacker { inflater, buffer, symbols } = unpacker;
        let symbols = inflater.unpack(codec, stored, rows, symbols)?;
        let length = number::bit_bytes(symbols);
        let bits = match bits {
            Some((codec, stored)) => inflater.unpack(codec, stored, length, buffer)?,
            None if length > 0 => return Err(Malformed::new("bits of a column", format!("{length} bytes"), 0)),
            None => &[],
        };
        number::join(symbols, bits, values)
    }

    /// All numbers of a column of measured numbers are zero.
    pub(super) fn is_zero(&self, column: Column) -> bool {
        (0..8).all(|index| self.stream(column as u16 * 8 + index).is_none())
    }

    /// Numbers of a column of planes, likewise.
    pub(super) fn planes(
        &self,
        column: Column,
        rows: usize,
        unpacker: &mut Unpacker,
        values: &mut Vec<u64>,
    ) -> Result<(), Malformed> {
        values.clear();
        values.resize(rows, 0);
        for index in 0..8_u16 {
            let Some((codec, stored)) = self.stream(column as u16 * 8 + index) else { continue };
            let shift = u32::from(index) * 8;
            for (value, byte) in values.iter_mut().zip(unpacker.unpack(codec, stored, rows)?) {
                *value |= u64::from(*byte) << shift;
            }
        }
        Ok(())
    }

    /// Small numbers of a column, likewise.
    pub(super) fn bytes(
        &self,
        column: Column,
        rows: usize,
        unpacker: &mut Unpacker,
        values: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.only(column, 1)?;
        values.clear();
        match self.stream(column as u16 * 8) {
            Some((codec, stored)) => values.extend_from_slice(unpacker.unpack(codec, stored, rows)?),
            None => values.resize(rows, 0),
        }
        Ok(())
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
        self.only(column, 1)?;
        let expected = match usize::try_from(expected) {
            Ok(expected) if expected <= MAX_RAW_BYTES as usize => expected,
            _ => return Err(Malformed::new("length of a blob", format!("at most {MAX_RAW_BYTES}"), expected)),
        };
        match self.stream(column as u16 * 8) {
            Some((codec, stored)) => unpacker.unpack(codec, stored, expected),
            None if expected == 0 => Ok(&[]),
            None => Err(Malformed::new("length of a blob", expected, 0)),
        }
    }
}

/// No number of a column may be greater.
pub(super) fn at_most(what: &'static str, values: &[u64], limit: u64) -> Result<(), Malformed> {
    // No bit beyond the limit's is in any: that is seen of several at once.
    if values.iter().fold(0, |all, value| all | value) <= limit {
        return Ok(());
    }
    match values.iter().max() {
        Some(greatest) if *greatest > limit => Err(Malformed::new(what, format!("at most {limit}"), greatest)),
        _ => Ok(()),
    }
}
