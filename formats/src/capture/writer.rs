//! Writes a capture: events in, whole blocks out.
//!
//! In: a header and events in order of time. Out: one write for each block, and at the end an index. Never here: clocks
//! (the caller decides when a block has waited long enough), syncing to disk, renaming, opening.

use std::io::Write;
use std::sync::Arc;

use netflow_core::event::{Body, Event, Header, Identity, Loss};
use xxhash_rust::xxh3::xxh3_64;

use super::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind};
use super::column::{ColumnWriter, length};
use super::encode::{BlockBuilder, CLOSE, OPEN, SAMPLE};
use super::error::WriteError;
use super::index::{IndexBuilder, KIND_NAMES, Totals};
use super::live::LiveTable;
use super::magic::file_header;
use super::record;
use super::{MAX_METADATA_BYTES, MAX_RAW_BYTES, MAX_ROWS};

/// Rows are counted as 64 bytes and have 160 at worst, so that a block of this size stays below the format's limit
/// whatever its numbers are.
const MAX_GATHERED_BYTES: usize = 32 << 20;
const _: () = assert!(MAX_GATHERED_BYTES / 64 * 160 < MAX_RAW_BYTES as usize);

/// When a block is full, and how hard it is compressed.
///
/// Every block says again what is known of its connections, so larger blocks are smaller captures: a recorder seals each
/// second so that little is lost when it is killed; what rewrites a finished capture may take [`MAX_ROWS`] and any span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// Events of one block, 1 to [`MAX_ROWS`].
    pub max_rows: u32,
    /// Bytes gathered in memory before a block is sealed, 32 MiB at most; one event may exceed it.
    pub max_bytes: usize,
    /// Nanoseconds between the first and the last event of a block: an event that is this much later than the block's
    /// first begins a new block.
    pub max_span_ns: u64,
    /// Level of zstd, 1 to 22.
    pub level: i32,
}

impl WriterOptions {
    /// For rewriting a finished capture: large blocks, which are small captures. Takes less than 64 MiB.
    #[must_use]
    pub fn compact() -> Self {
        Self { max_rows: 3 << 17, max_bytes: MAX_GATHERED_BYTES, max_span_ns: u64::MAX, level: 3 }
    }
}

/// For recording: at most one second of events in a block.
impl Default for WriterOptions {
    fn default() -> Self {
        Self { max_rows: 1 << 16, max_bytes: 8 << 20, max_span_ns: 1_000_000_000, level: 1 }
    }
}

/// What is known of a connection that is open.
struct Live {
    /// What each block says of it that the event which says it is not in.
    identity: Arc<Identity>,
    /// The block that has a definition of it, and the row there.
    block: u32,
    row: u32,
}

/// What later blocks say of a connection: when it was opened is said once, for in each of them it would take as many bytes as
/// all the rest.
fn said_later(identity: &Arc<Identity>) -> Arc<Identity> {
    match identity.opened_at {
        None => Arc::clone(identity),
        Some(_) => Arc::new(Identity { opened_at: None, ..(**identity).clone() }),
    }
}

/// Writes a capture. The same header, events and options give the same bytes (unless the caller seals blocks itself).
pub struct CaptureWriter<W: Write> {
    output: W,
    options: WriterOptions,
    builder: BlockBuilder,
    columns: ColumnWriter,
    live: LiveTable<Live>,
    index: IndexBuilder,
    buffer: Vec<u8>,
    /// Bytes written, in all sections.
    offset: u64,
    /// Where the section begins.
    section_offset: u64,
    sequence: u32,
    /// Events of the section.
    events: u64,
    /// Those of the sections before.
    events_before: u64,
    last_at: u64,
    losses: Loss,
    failed: Option<u64>,
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a capture: writes what identifies it and the header.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] when the header is longer than [`MAX_METADATA_BYTES`], [`WriteError::Io`] when the output
    /// refuses it.
    pub fn new(output: W, header: &Header, options: WriterOptions) -> Result<Self, WriteError> {
        let options = WriterOptions {
            max_rows: options.max_rows.clamp(1, MAX_ROWS),
            max_bytes: options.max_bytes.min(MAX_GATHERED_BYTES),
            ..options
        };
        let mut writer = Self {
            output,
            options,
            builder: BlockBuilder::default(),
            columns: ColumnWriter::new(options.level)?,
            live: LiveTable::default(),
            index: IndexBuilder::of(header),
            buffer: Vec::new(),
            offset: 0,
            section_offset: 0,
            sequence: 0,
            events: 0,
            events_before: 0,
            last_at: 0,
            losses: Loss::default(),
            failed: None,
        };
        writer.begin_section(header)?;
        Ok(writer)
    }

    fn begin_section(&mut self, header: &Header) -> Result<(), WriteError> {
        let mut payload = Vec::new();
        record::encode_header(header, &mut payload)?;
        if payload.len() > MAX_METADATA_BYTES {
            return Err(WriteError::TooLong { what: "header", limit: MAX_METADATA_BYTES, found: payload.len() });
        }
        self.buffer.extend_from_slice(&file_header());
        self.write_block(BlockKind::Metadata, &payload).map_err(|error| match error {
            // Without its metadata there is no section, so all before it is what is whole.
            WriteError::Io { source, .. } => WriteError::Io { offset: self.section_offset, source },
            other => other,
        })
    }

    /// Ends the section and begins another behind it: nothing is known of any connection there. Gives the totals of the
    /// section that ended.
    ///
    /// # Errors
    /// As for [`new`](Self::new) and [`finish`](Self::finish).
    pub fn next_section(&mut self, header: &Header) -> Result<Totals, WriteError> {
        let totals = self.end_section()?;
        self.section_offset = self.offset;
        self.sequence = 0;
        self.events_before += std::mem::take(&mut self.events);
        self.last_at = 0;
        self.losses = Loss::default();
        self.live = LiveTable::default();
        self.index = IndexBuilder::of(header);
        // Without its beginning, what follows would be no section.
        self.begin_section(header).inspect_err(|_| _ = self.failed.get_or_insert(self.offset))?;
        Ok(totals)
    }

    /// Adds an event. It reaches the output when its block is full, or with [`seal`](Self::seal).
    ///
    /// # Errors
    /// When the event is earlier than the one before, speaks of a connection that was never introduced, or has a text
    /// beyond the format's limits: then it is left out and the writer goes on. When the output fails.
    pub fn push(&mut self, event: &Event) -> Result<(), WriteError> {
        self.check_usable()?;
        if event.at < self.last_at {
            return Err(WriteError::Order { number: self.events, at: event.at, previous: self.last_at });
        }
        if self.builder.events() > 0 && event.at - self.builder.first_at() >= self.options.max_span_ns {
            self.seal()?;
        }
        match &event.body {
            Body::Open(open) => {
                self.define(event.at, open.conn, Some(&open.identity), OPEN)?;
                self.builder.open(event.at);
            }
            Body::Sample(sample) => {
                let row = self.define(event.at, sample.conn, sample.identity.as_ref(), SAMPLE)?;
                self.builder.sample(event.at, row, sample);
            }
            Body::Close(close) => {
                let row = self.define(event.at, close.conn, close.identity.as_ref(), CLOSE)?;
                self.builder.close(event.at, row, close);
                self.live.remove(close.conn);
            }
            body => {
                // A large state has a block of its own: together with others it might be too large for one.
                if let Body::K8s(k8s) = body
                    && self.builder.bytes() + k8s.state.len() > self.options.max_bytes
                {
                    self.seal()?;
                }
                self.builder.push_other(event)?;
                if let Body::Loss(loss) = body {
                    self.losses += *loss;
                }
            }
        }
        self.events += 1;
        self.last_at = event.at;
        self.index.count(event);
        if self.builder.events() >= self.options.max_rows as usize || self.builder.bytes() >= self.options.max_bytes {
            self.seal()?;
        }
        Ok(())
    }

    /// The row of a connection's definition in this block. There is a new one for each open, and when more or other things
    /// are known.
    fn define(&mut self, at: u64, conn: u64, carried: Option<&Arc<Identity>>, kind: u8) -> Result<u32, WriteError> {
        let block = self.sequence;
        let Some(live) = self.live.get_mut(conn) else {
            let Some(identity) = carried else {
                let kind = KIND_NAMES[usize::from(kind)];
                return Err(WriteError::Unintroduced { number: self.events, conn, kind });
            };
            let row = self.builder.define(at, conn, identity)?;
            // What is closed at once is not looked for again.
            if kind != CLOSE {
                self.live.insert(conn, Live { identity: said_later(identity), block, row });
            }
            return Ok(row);
        };
        let changed =
            carried.filter(|identity| !Arc::ptr_eq(identity, &live.identity) && ***identity != *live.identity);
        if live.block != block || changed.is_some() || kind == OPEN {
            live.row = self.builder.define(at, conn, changed.unwrap_or(&live.identity))?;
            live.block = block;
            if let Some(identity) = changed {
                live.identity = said_later(identity);
            }
        }
        Ok(live.row)
    }

    /// Writes what was gathered as a block, in one write; nothing when nothing was gathered.
    ///
    /// # Errors
    /// [`WriteError::Io`] when the output fails; then every later call fails too.
    pub fn seal(&mut self) -> Result<(), WriteError> {
        self.check_usable()?;
        let events = self.builder.events();
        if events == 0 {
            return Ok(());
        }
        let first_at = self.builder.first_at();
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let begin = self.begin_block();
        let sealed = self
            .builder
            .finish(&mut self.columns, &mut self.buffer)
            .and_then(|()| self.end_block(BlockHeader { events, first_at, ..self.header(BlockKind::Events) }, begin));
        // The events of a block that could not be written are gone: nothing may follow that counts on them.
        if sealed.is_err() {
            self.failed.get_or_insert(self.offset);
        }
        sealed
    }

    fn check_usable(&self) -> Result<(), WriteError> {
        self.failed.map_or(Ok(()), |offset| Err(WriteError::Failed { offset }))
    }

    fn write_block(&mut self, kind: BlockKind, payload: &[u8]) -> Result<(), WriteError> {
        // A large index is compressed as a whole; events blocks compress each column.
        let packed;
        let (codec, stored) = match kind {
            BlockKind::Index => {
                packed = zstd::bulk::compress(payload, self.options.level).map_err(WriteError::Compress)?;
                if packed.len() < payload.len() { (1, packed.as_slice()) } else { (0, payload) }
            }
            _ => (0, payload),
        };
        let begin = self.begin_block();
        self.buffer.extend_from_slice(stored);
        let raw_bytes = length("a block", payload.len())?;
        self.end_block(BlockHeader { codec, raw_bytes, ..self.header(kind) }, begin)
    }

    /// Leaves room for the header of a block, whose payload is to follow, and gives its place.
    fn begin_block(&mut self) -> usize {
        let begin = self.buffer.len();
        self.buffer.resize(begin + BLOCK_HEADER_BYTES, 0);
        begin
    }

    /// The header of a block without events, as far as it is known before the payload.
    fn header(&self, kind: BlockKind) -> BlockHeader {
        BlockHeader {
            kind,
            codec: 0,
            sequence: self.sequence,
            stored_bytes: 0,
            raw_bytes: 0,
            events_before: self.events,
            events: 0,
            first_at: self.last_at,
            last_at: self.last_at,
            losses: self.losses,
            checksum: 0,
        }
    }

    /// Completes the header of the block that began at `begin`, and writes what was gathered.
    fn end_block(&mut self, header: BlockHeader, begin: usize) -> Result<(), WriteError> {
        let (_, payload) = self.buffer.split_at(begin + BLOCK_HEADER_BYTES);
        let stored_bytes = length("a block", payload.len())?;
        let header = BlockHeader {
            stored_bytes,
            raw_bytes: if header.codec == 0 { stored_bytes } else { header.raw_bytes },
            events_before: self.events - u64::from(header.events),
            checksum: xxh3_64(payload),
            ..header
        };
        self.buffer[begin..begin + BLOCK_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let offset = self.offset + begin as u64;
        if let Err(source) = self.output.write_all(&self.buffer) {
            self.failed = Some(offset);
            return Err(WriteError::Io { offset, source });
        }
        self.index.block(offset - self.section_offset, &header);
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// Seals the last block, writes index and end, flushes, and gives the output back with the totals of the (last) section.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> Result<(W, Totals), WriteError> {
        let totals = self.end_section()?;
        if let Err(source) = self.output.flush() {
            return Err(WriteError::Io { offset: self.offset, source });
        }
        Ok((self.output, totals))
    }

    fn end_section(&mut self) -> Result<Totals, WriteError> {
        self.seal()?;
        let index_offset = self.offset;
        let own_offset = index_offset - self.section_offset;
        let (payload, totals) = self.index.finish(own_offset, self.live.len(), self.losses)?;
        self.write_block(BlockKind::Index, &payload)?;
        let back = (self.offset - index_offset).to_le_bytes();
        self.write_block(BlockKind::End, &back)?;
        Ok(totals)
    }

    /// Bytes written so far, of all sections.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Events pushed so far, into all sections.
    pub fn events(&self) -> u64 {
        self.events_before + self.events
    }

    /// Events of the present section so far.
    pub fn section_events(&self) -> u64 {
        self.events
    }

    /// Events that wait for their block to be sealed.
    pub fn unsealed(&self) -> usize {
        self.builder.events()
    }

    /// The output, for syncing. Writing to it damages the capture.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.output
    }

    /// The output.
    pub fn get_ref(&self) -> &W {
        &self.output
    }
}
