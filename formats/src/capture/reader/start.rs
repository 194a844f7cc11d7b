//! How a section begins: its first bytes and its metadata.
//!
//! In: the source, standing where a section should be. Out: the section's header, as far as it is intact, and the source
//! behind it. Never here: events.

use std::io::Read;

use netflow_core::event::{Header, Loss};
use xxhash_rust::xxh3::xxh3_64;

use super::{Audit, CaptureReader, End, Phase};
use crate::capture::MAX_METADATA_BYTES;
use crate::capture::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind, hex};
use crate::capture::damage::Place;
use crate::capture::error::{DamagedPart, Malformed, NotACapture, ReadError};
use crate::capture::index::unwrap_payload;
use crate::capture::magic::{FILE_HEADER_BYTES, FileHeader, MAGIC, diagnose, file_header, parse_file_header};
use crate::capture::record;

impl<R: Read> CaptureReader<R> {
    /// False when the input ends before the section's header is complete.
    pub(super) fn begin_section(&mut self) -> Result<bool, ReadError> {
        self.section_offset = self.source.offset();
        self.header = Header::default();
        self.phase = Phase::Within;
        self.block.clear();
        self.sequence = 0;
        self.events = 0;
        self.last_at = 0;
        self.losses = Loss::default();
        self.introduced = None;
        self.is_broken = false;
        self.closed = false;
        self.end = None;
        let complete = self.read_file_header()? && self.read_metadata()?;
        if let Some(audit) = &mut self.audit {
            *audit = Audit::of(&self.header);
        }
        if !complete {
            // What follows a capture is damage, not another kind of file.
            if self.section_offset == 0 {
                let bytes = usize::try_from(self.source.offset()).unwrap_or(0);
                return Err(ReadError::NotACapture(match bytes {
                    0 => diagnose(self.source.window()),
                    _ => NotACapture::TooShort { bytes: bytes + self.source.window().len() },
                }));
            }
            self.finish(End::Torn { offset: self.section_offset, sequence: 0, events_lost: None });
        }
        Ok(complete)
    }

    fn start(&self, part: DamagedPart, kind: Option<BlockKind>) -> Place {
        Place { offset: self.source.offset(), part, kind, sequence: 0, after: 0 }
    }

    fn read_file_header(&mut self) -> Result<bool, ReadError> {
        self.source.fill(FILE_HEADER_BYTES + BLOCK_HEADER_BYTES)?;
        let window = self.source.window();
        let block_at = |place: usize| {
            let head = window.get(place..).and_then(<[u8]>::first_chunk);
            head.is_some_and(|head| BlockHeader::parse(head).is_ok())
        };
        let (block_here, block_follows) = (block_at(0), block_at(FILE_HEADER_BYTES));
        let Some(head) = window.first_chunk::<FILE_HEADER_BYTES>().copied() else { return Ok(false) };
        let place = self.start(DamagedPart::FileHeader, None);
        match parse_file_header(&head)? {
            FileHeader::Readable => {}
            FileHeader::Damaged => {
                let expected = file_header();
                let what = Malformed::new("version and flags", hex(&expected[12..]), hex(&head[12..]));
                self.damages.report(&place, what, 0);
            }
            FileHeader::Foreign if block_here => {
                self.damages.report(&place, Malformed::new("start of a section", hex(&MAGIC), "a block"), 0);
                return Ok(true);
            }
            FileHeader::Foreign if block_follows => {
                self.damages.report(&place, Malformed::new("magic", hex(&MAGIC), hex(&head[..12])), 0);
            }
            FileHeader::Foreign => return self.search_start(&place, &head),
        }
        self.source.consume(FILE_HEADER_BYTES);
        Ok(true)
    }

    /// The start of the section is not there: looks for anything intact, where that is wanted.
    fn search_start(&mut self, place: &Place, head: &[u8; FILE_HEADER_BYTES]) -> Result<bool, ReadError> {
        let what = diagnose(self.source.window());
        if !self.salvages || !self.source.resync()? {
            return Err(ReadError::NotACapture(what));
        }
        let found = Malformed::new("magic", hex(&MAGIC), hex(&head[..12]));
        if self.source.window().starts_with(&MAGIC) {
            // What stood before is no part of the capture.
            self.damages.report(place, found, 0);
            self.section_offset = self.source.offset();
            return self.read_file_header();
        }
        let head = self.source.window().first_chunk().map(BlockHeader::parse);
        let has_metadata = matches!(head, Some(Ok(header)) if header.kind == BlockKind::Metadata);
        let part = if has_metadata { DamagedPart::FileHeader } else { DamagedPart::Metadata };
        self.damages.suspect(&Place { part, ..*place }, found, None, None);
        Ok(true)
    }

    /// The metadata block; when it is not intact, that is damage and the events that follow are read all the same. False
    /// when the input ends within it.
    fn read_metadata(&mut self) -> Result<bool, ReadError> {
        let Some(head) = self.source.head::<BLOCK_HEADER_BYTES>()? else { return Ok(false) };
        // What is wrong with it is found again, and listed, by the first step.
        let Ok(header) = BlockHeader::parse(&head) else { return Ok(true) };
        let place = self.start(DamagedPart::Metadata, Some(header.kind));
        if header.kind != BlockKind::Metadata {
            if self.damages.is_pending() {
                return Ok(true);
            }
            let found = format!("{:?}", header.kind);
            self.damages.report(&place, Malformed::new("kind of block", "Metadata", found), 0);
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
        let metadata = if header.raw_bytes as usize > MAX_METADATA_BYTES {
            let expected = format!("at most {MAX_METADATA_BYTES}");
            Err(Malformed::new("raw length of metadata", expected, header.raw_bytes))
        } else {
            unwrap_payload(&header, stored, &mut self.unpacker)
                .ok_or_else(|| Malformed::new("metadata", "a payload of the stated length", "another"))
                .and_then(record::decode_header)
        };
        match metadata {
            Ok(header) => self.header = header,
            Err(what) => self.damages.report(&place, what, 0),
        }
        self.damages.settle(Some(0), None);
        self.source.consume(whole);
        self.sequence = 1;
        Ok(true)
    }
}
