//! From block to block: what each is, whether it is intact, and what is missing in between.
//!
//! In: the source, standing at a block. Out: the events of the next intact block, in the reader; damage. Never here: how a
//! section begins.

use std::io::Read;

use xxhash_rust::xxh3::xxh3_64;

use super::{CaptureReader, Closing, End, Phase};
use crate::capture::block::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind};
use crate::capture::damage::Place;
use crate::capture::error::{DamagedPart, Malformed, ReadError};
use crate::capture::index::{Index, unwrap_payload};
use crate::capture::magic::MAGIC;

impl<R: Read> CaptureReader<R> {
    /// The input is over.
    pub(super) fn finish(&mut self, end: End) {
        let rest = self.source.window().len();
        self.source.consume(rest);
        self.phase = Phase::Finished;
        self.end = Some(end);
    }

    fn end_section(&mut self) -> bool {
        self.settle(None);
        self.end = Some(if self.closed { End::Clean } else { End::NotClosed });
        self.phase = Phase::AtSection;
        false
    }

    /// The source's place, where something was to come of the section.
    fn place(&self, part: DamagedPart, header: Option<&BlockHeader>) -> Place {
        Place {
            offset: self.source.offset(),
            part,
            kind: header.map(|header| header.kind),
            sequence: header.map_or(self.sequence, |header| header.sequence),
            after: self.last_at,
        }
    }

    /// Lists the damage that went before; `next` is the intact block that follows, if one does.
    pub(super) fn settle(&mut self, next: Option<&BlockHeader>) {
        let before = self.damages.events_lost();
        let missing = next.map(|next| next.events_before.saturating_sub(self.events));
        if self.damages.settle(missing, next.map(|next| next.first_at)) {
            self.break_off();
        }
        if next.is_none() {
            // Accounted for: what follows is not to count it again.
            self.events = self.events.saturating_add(self.damages.events_lost() - before);
        }
    }

    /// Notes damage at the present place and looks for the next block.
    fn recover(&mut self, part: DamagedPart, what: Malformed, header: Option<&BlockHeader>) -> Result<bool, ReadError> {
        self.settle(None);
        let lost_metadata = self.sequence == 0 && part == DamagedPart::BlockHeader;
        let part = if lost_metadata { DamagedPart::Metadata } else { part };
        let events = header.map(|header| header.events.into());
        let times = header.filter(|header| header.events > 0).map(|header| (header.first_at, header.last_at));
        self.damages.suspect(&self.place(part, header), what, events, times);
        self.source.resync()?;
        Ok(true)
    }

    /// One block further; false at the section's end.
    pub(super) fn step(&mut self) -> Result<bool, ReadError> {
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
            self.finish(End::Torn { offset, sequence: self.sequence, events_lost: None });
            return Ok(false);
        };
        match BlockHeader::parse(head) {
            Ok(header) if self.is_beyond(&header) => Ok(false),
            Ok(header) => self.take_block(&header),
            Err((part, what)) => self.recover(part, what, None),
        }
    }

    /// The block begins after all that was asked for.
    fn is_beyond(&self, header: &BlockHeader) -> bool {
        header.kind == BlockKind::Events && self.until.is_some_and(|until| header.first_at > until)
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
            return self.leave_out(header, whole);
        }
        self.account(header);
        if !complete {
            // Either the file ends here, or bytes are missing and another block follows.
            let found = self.source.window().len() - BLOCK_HEADER_BYTES;
            let place = self.place(DamagedPart::Payload, Some(header));
            let events = u64::from(header.events);
            if self.source.resync()? {
                let what = Malformed::new("payload of a block", format!("{} bytes", header.stored_bytes), found);
                self.damages.suspect(&place, what, Some(events), Some((header.first_at, header.last_at)));
                return Ok(true);
            }
            self.finish(End::Torn { offset, sequence: header.sequence, events_lost: Some(events) });
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
            return self.recover(part, Malformed::new("checksum of payload", expected, found), Some(header));
        }
        self.events = self.events.saturating_add(header.events.into());
        self.losses = header.losses;
        if header.events > 0 && matches!(header.kind, BlockKind::Metadata | BlockKind::Index | BlockKind::End) {
            let place = self.place(DamagedPart::Content, Some(header));
            let what = Malformed::new("events of a block that has none", 0, header.events);
            self.damages.report_block(&place, what, header.events, (header.first_at, header.last_at));
            self.break_off();
        }
        match header.kind {
            BlockKind::Events => self.open_block(header, whole),
            BlockKind::Index => self.read_closing(header, whole),
            BlockKind::End => {
                self.closed = true;
                self.read_closing(header, whole);
            }
            BlockKind::Metadata => {}
            BlockKind::Unknown(_) => self.pass_over(header),
        }
        if let Some(audit) = &mut self.audit {
            audit.block(offset - self.section_offset, header);
        }
        self.source.consume(whole);
        Ok(true)
    }

    /// A block of a later version. Nobody knows what its events tell, so it is as if they were lost.
    fn pass_over(&mut self, header: &BlockHeader) {
        self.passed_over.blocks += 1;
        self.passed_over.block_events = self.passed_over.block_events.saturating_add(header.events.into());
        if header.events > 0 {
            self.break_off();
        }
    }

    /// A block that was there before, or that follows the end.
    fn leave_out(&mut self, header: &BlockHeader, whole: usize) -> Result<bool, ReadError> {
        let expected = match self.closed {
            true => "nothing after the end".to_owned(),
            false => format!("block {} after {} events", self.sequence, self.events),
        };
        let found = format!("block {} after {} events", header.sequence, header.events_before);
        self.settle(None);
        let place = self.place(DamagedPart::Sequence, Some(header));
        self.damages.report(&place, Malformed::new("blocks", expected, found), 0);
        let payload = self.source.window().get(BLOCK_HEADER_BYTES..whole);
        if payload.is_some_and(|payload| xxh3_64(payload) == header.checksum) {
            self.source.consume(whole);
        } else {
            // A piece of it, in which the next block may begin.
            self.source.resync()?;
        }
        Ok(true)
    }

    /// Compares an intact header with what was read before it.
    fn account(&mut self, header: &BlockHeader) {
        let missing = header.events_before - self.events;
        if self.damages.is_pending() {
            self.settle(Some(header));
        } else if missing > 0 || header.sequence > self.sequence {
            let expected = format!("block {} after {} events", self.sequence, self.events);
            let found = format!("block {} after {} events", header.sequence, header.events_before);
            let place = Place { sequence: self.sequence, ..self.place(DamagedPart::Sequence, None) };
            let what = Malformed::new("blocks", expected, found);
            self.damages.suspect(&place, what, None, None);
            self.settle(Some(header));
        }
        self.events = header.events_before;
        self.sequence = header.sequence.saturating_add(1);
    }

    fn open_block(&mut self, header: &BlockHeader, whole: usize) {
        if self.since.is_some_and(|since| header.last_at < since) {
            self.introduced = Some(Default::default());
            return;
        }
        let stored = self.source.window().get(BLOCK_HEADER_BYTES..whole).unwrap_or_default();
        let checked = if header.codec != 0 {
            Err(Malformed::new("codec of an events block", 0, header.codec))
        } else if header.raw_bytes != header.stored_bytes {
            Err(Malformed::new("raw length of an events block", header.stored_bytes, header.raw_bytes))
        } else if header.first_at < self.last_at {
            Err(Malformed::new("time of a block", format!("{} ns or later", self.last_at), header.first_at))
        } else {
            let identities = self.audit.is_some() || self.introduced.is_some();
            match self.selection {
                // Who is introduced again behind a gap is told event by event.
                Some(selection) if !(self.is_batch && self.introduced.is_some()) => {
                    self.block.load_columns(header, stored, selection, self.is_batch, &mut self.unpacker)
                }
                _ => self.block.load(header, stored, identities, &mut self.unpacker),
            }
        };
        let place = self.place(DamagedPart::Content, Some(header));
        match checked {
            Ok(skipped) => {
                self.last_at = header.last_at;
                self.passed_over.events += skipped.events;
                self.passed_over.wider_blocks += skipped.wider_blocks;
                if let Some(audit) = &mut self.audit
                    && let Err(what) = audit.losses(header.losses, self.block.losses(), self.is_broken)
                {
                    self.damages.report(&place, what, 0);
                }
            }
            Err(what) => {
                self.damages.report_block(&place, what, header.events, (header.first_at, header.last_at));
                self.break_off();
            }
        }
    }

    /// The index, or the end that says where it is; nobody needs them to read events.
    fn read_closing(&mut self, header: &BlockHeader, whole: usize) {
        let offset = self.source.offset() - self.section_offset;
        let place = self.place(DamagedPart::Index, Some(header));
        let Some(audit) = &mut self.audit else { return };
        let stored = self.source.window().get(BLOCK_HEADER_BYTES..whole).unwrap_or_default();
        let checked = unwrap_payload(header, stored, &mut self.unpacker)
            .ok_or_else(|| Malformed::new("payload", format!("{} bytes", header.raw_bytes), stored.len()))
            .and_then(|payload| match header.kind {
                BlockKind::End => audit.end(offset, payload),
                _ => Index::decode(payload).map(|(index, stated)| audit.index(Closing { index, stated, offset })),
            });
        if let Err(what) = checked {
            self.damages.report(&place, what, 0);
        }
    }
}
