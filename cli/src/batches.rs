//! Reading whole captures, block by block, beside what is done with the blocks.
//!
//! In: a capture. Out: its sections one after the other, each as a header, batches of events and, where a batch cannot be
//! had, single events: the same in the same order on any number of processors. Never here: parts of captures, what the
//! events mean.
//!
//! One thread reads and decodes, the other is the caller's. Few blocks are on the way between them, and their memory goes
//! back to be used again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context;
use netflow_core::batch::Block;
use netflow_core::event::{Event, Header};
use netflow_formats::capture::{Columns, ReadError, Selection};

use crate::input::{self, Capture};

/// Blocks that are read ahead.
const AHEAD: usize = 2;

/// Single events that go together.
const TOGETHER: usize = 1 << 10;

/// What a capture consists of.
pub(crate) enum Piece<'a> {
    /// A section begins.
    Begin(&'a Header),
    /// Events.
    Block(&'a Arc<dyn Block>),
    /// An event.
    Event(&'a Event),
}

/// The same on its way.
enum Parcel {
    Begin(Box<Header>),
    Batch(Box<Columns>),
    Events(Vec<Event>),
    Failed(ReadError),
}

/// Reads all sections; of the measurements those that are selected.
pub(crate) fn read(
    capture: &mut Capture,
    path: &Path,
    measured: Selection,
    mut take: impl FnMut(Piece<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (parcels, arrivals) = sync_channel(AHEAD);
    let (used, spares) = sync_channel(AHEAD + 2);
    let mut kept: VecDeque<Arc<Columns>> = VecDeque::new();
    std::thread::scope(|scope| {
        scope.spawn(move || decode(capture, measured, &parcels, &spares));
        for parcel in arrivals {
            match parcel {
                Parcel::Begin(header) => take(Piece::Begin(&header))?,
                Parcel::Batch(columns) => {
                    let columns: Arc<Columns> = Arc::from(columns);
                    take(Piece::Block(&(Arc::clone(&columns) as Arc<dyn Block>)))?;
                    kept.push_back(columns);
                    // Who took them may look at the last ones for a while.
                    while kept.front().is_some_and(|first| Arc::strong_count(first) == 1) {
                        if let Some(columns) = kept.pop_front().and_then(Arc::into_inner) {
                            // Nobody takes it back at the end.
                            let _ = used.try_send(columns);
                        }
                    }
                }
                Parcel::Events(events) => events.iter().try_for_each(|event| take(Piece::Event(event)))?,
                Parcel::Failed(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", input::name(path)));
                }
            }
        }
        Ok(())
    })
}

/// Sends all there is, until nobody takes it any more.
fn decode(capture: &mut Capture, measured: Selection, parcels: &SyncSender<Parcel>, spares: &Receiver<Columns>) {
    let failed = match decode_sections(capture, measured, parcels, spares) {
        Ok(()) => return,
        Err(failed) => failed,
    };
    if let Some(error) = failed {
        let _ = parcels.send(Parcel::Failed(error));
    }
}

/// What ends the reading early: an error, or nobody who takes what was read.
type Failed = Option<ReadError>;

fn decode_sections(
    capture: &mut Capture,
    measured: Selection,
    parcels: &SyncSender<Parcel>,
    spares: &Receiver<Columns>,
) -> Result<(), Failed> {
    let send = |parcel: Parcel| parcels.send(parcel).map_err(|_| None);
    loop {
        send(Parcel::Begin(Box::new(capture.header().clone())))?;
        while let Some(columns) = capture.next_batch(measured, spares.try_recv().unwrap_or_default())? {
            send(Parcel::Batch(Box::new(columns)))?;
        }
        loop {
            let events = capture.by_ref().take(TOGETHER).collect::<Result<Vec<Event>, _>>()?;
            if events.is_empty() {
                break;
            }
            send(Parcel::Events(events))?;
        }
        if !capture.next_section()? {
            return Ok(());
        }
    }
}
