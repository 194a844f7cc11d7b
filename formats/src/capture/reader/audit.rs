//! What is found besides events when a section is read in order to be checked.
//!
//! In: each block and event as it is read. Out: the index as it should be, and the one that was found. Never here: damage
//! (the reader lists it), the verdict.

use netflow_core::event::{Body, Event, Header, Loss};
use rustc_hash::FxHashSet;

use crate::capture::block::BlockHeader;
use crate::capture::error::Malformed;
use crate::capture::index::{Index, IndexBuilder};

/// An index that was found.
pub(in crate::capture) struct Closing {
    pub(in crate::capture) index: Index,
    /// Where it says that it is: bytes from the start of the section.
    pub(in crate::capture) stated: u64,
    /// Where it is.
    pub(in crate::capture) offset: u64,
}

#[derive(Default)]
pub(in crate::capture) struct Audit {
    /// All blocks that were intact.
    pub(in crate::capture) blocks: u64,
    /// The index that the events and blocks make.
    pub(in crate::capture) made: IndexBuilder,
    /// Connections without a close.
    open: FxHashSet<u64>,
    /// The sum of the losses up to the last block.
    losses: Loss,
    pub(in crate::capture) found: Option<Closing>,
}

impl Audit {
    /// Of the section with this header.
    pub(super) fn of(header: &Header) -> Self {
        Self { made: IndexBuilder::of(header), ..Self::default() }
    }

    pub(super) fn block(&mut self, offset: u64, header: &BlockHeader) {
        self.blocks += 1;
        self.made.block(offset, header);
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.made.count(event);
        if let Some(conn) = event.body.conn() {
            let ended = matches!(event.body, Body::Close(_));
            let _ = if ended { self.open.remove(&conn) } else { self.open.insert(conn) };
        }
    }

    pub(in crate::capture) fn live_at_end(&self) -> u64 {
        self.open.len() as u64
    }

    /// Compares the losses that a block's header states with those in its events. After a gap nobody knows the sum.
    pub(super) fn losses(&mut self, stated: Loss, within: Loss, after_gap: bool) -> Result<(), Malformed> {
        let mut sum = self.losses;
        sum += within;
        self.losses = stated;
        if after_gap || stated == sum {
            Ok(())
        } else {
            Err(Malformed::new("losses up to the end of a block", sum, stated))
        }
    }

    pub(super) fn index(&mut self, closing: Closing) {
        self.found = Some(closing);
    }

    /// The end block points back to the index.
    pub(super) fn end(&mut self, offset: u64, payload: &[u8]) -> Result<(), Malformed> {
        let stated = payload.try_into().map(u64::from_le_bytes).ok();
        let expected = self.found.as_ref().map(|found| offset - found.offset);
        match (expected, stated) {
            (Some(expected), Some(stated)) if expected != stated => {
                Err(Malformed::new("distance to the index", expected, stated))
            }
            (_, None) => Err(Malformed::new("payload of an end block", "8 bytes", payload.len())),
            _ => Ok(()),
        }
    }
}
