//! Reading whole captures, block by block, beside what is done with the blocks.
//!
//! In: a capture. Out: its sections one after the other, each as a header, batches of events and, where a batch cannot be
//! had, single events: the same in the same order on any number of processors. Never here: parts of captures, what the
//! events mean.
//!
//! Blocks are decoded on several threads, of which one is the caller's. Few are on the way, and their memory is used again.

mod ahead;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use netflow_core::batch::Block;
use netflow_core::event::{Event, Header};
use netflow_formats::capture::{Columns, ReadError, Selection};

use self::ahead::Ahead;
use crate::input::{self, Capture};

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

/// Reads all sections; of the measurements those that are selected.
pub(crate) fn read(
    capture: &mut Capture,
    path: &Path,
    measured: Selection,
    mut take: impl FnMut(Piece<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", input::name(path));
    let ahead = Ahead::new(capture, measured);
    std::thread::scope(|scope| {
        let _ends = ahead.start(scope);
        let (mut decoder, mut kept) = (None, VecDeque::new());
        loop {
            take(Piece::Begin(&ahead.ask(|capture| capture.header().clone())))?;
            while let Some(columns) = ahead.next_batch(&mut decoder).with_context(cannot)? {
                let columns: Arc<Columns> = Arc::new(columns);
                take(Piece::Block(&(Arc::clone(&columns) as Arc<dyn Block>)))?;
                kept.push_back(columns);
                // Who took them may look at the last ones for a while.
                while kept.front().is_some_and(|first| Arc::strong_count(first) == 1) {
                    kept.pop_front().and_then(Arc::into_inner).into_iter().for_each(|spare| ahead.give_back(spare));
                }
            }
            loop {
                let events =
                    ahead.ask(|capture| capture.by_ref().take(TOGETHER).collect::<Result<Vec<Event>, ReadError>>());
                let events = events.with_context(cannot)?;
                if events.is_empty() {
                    break;
                }
                events.iter().try_for_each(|event| take(Piece::Event(event)))?;
            }
            if !ahead.ask(Capture::next_section).with_context(cannot)? {
                return Ok(());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use netflow_core::event::{Body, Clock};
    use netflow_fixtures::forged::{self, Claim, EVENTS};
    use netflow_formats::capture::{CaptureReader, CaptureWriter, WriterOptions};

    use super::*;

    /// Forty blocks of two events.
    fn capture() -> Vec<u8> {
        let options = WriterOptions { max_rows: 2, ..WriterOptions::default() };
        let mut writer = CaptureWriter::new(Vec::new(), &Header::default(), options).unwrap();
        for at in 0..80 {
            writer.push(&Event { at, body: Body::Clock(Clock { boot_time_ns: 7 }) }).unwrap();
        }
        writer.finish().unwrap().0
    }

    /// When each block's events happened and each single event did, what was damaged, and how it ended.
    fn told(capture: &Capture, pieces: &[Vec<u64>]) -> String {
        let damage: Vec<String> = capture.damage().iter().map(ToString::to_string).collect();
        format!("{pieces:?} {damage:?} {:?} {:?} {}", capture.passed_over(), capture.end(), capture.least_cost())
    }

    fn open(bytes: &[u8]) -> Capture {
        CaptureReader::new(Box::new(Cursor::new(bytes.to_vec())) as _).unwrap()
    }

    fn on_threads(bytes: &[u8]) -> String {
        let (mut capture, mut pieces) = (open(bytes), Vec::new());
        let take = |piece: Piece<'_>| {
            pieces.push(match piece {
                Piece::Begin(_) => vec![],
                Piece::Block(block) => block.batch().at.to_vec(),
                Piece::Event(event) => vec![event.at],
            });
            Ok(())
        };
        read(&mut capture, Path::new("x"), Selection::default(), take).unwrap();
        told(&capture, &pieces)
    }

    fn in_turn(bytes: &[u8]) -> String {
        let (mut capture, mut pieces) = (open(bytes), Vec::new());
        loop {
            pieces.push(vec![]);
            while let Some(columns) = capture.next_batch(Selection::default(), Columns::default()).unwrap() {
                pieces.push(columns.at().to_vec());
            }
            pieces.extend(capture.by_ref().map(|event| vec![event.unwrap().at]));
            if !capture.next_section().unwrap() {
                return told(&capture, &pieces);
            }
        }
    }

    #[test]
    fn threads_give_what_one_gives() {
        let intact = capture();
        let blocks: Vec<usize> =
            (0..intact.len()).filter(|place| intact[*place..].starts_with(&forged::MARKER)).collect();
        assert_eq!(blocks.len(), 43, "with metadata, index and end");
        assert!(on_threads(&intact).contains("[78, 79]] [] "));
        for block in [1, 2, 9, 38, 40] {
            let (begin, end) = (blocks[block], blocks[block + 1]);
            // Its checksums fit, but it holds nothing that could be read.
            let before = u32::try_from(block - 1).unwrap() * 2;
            let claim = Claim {
                kind: EVENTS,
                sequence: before / 2 + 1,
                events: 2,
                events_before: before.into(),
                at: (before.into(), u64::from(before) + 1),
                ..Claim::default()
            };
            let malformed = [&intact[..begin], &forged::block(&claim, &[9; 90]), &intact[end..]].concat();
            let mut flipped = intact.clone();
            flipped[end - 1] ^= 1;
            let missing = [&intact[..begin], &intact[end..]].concat();
            for bytes in [malformed, flipped, missing, intact[..end - 1].to_vec(), intact[..end].to_vec()] {
                for bytes in [[&bytes[..], &intact].concat(), [&intact[..], &bytes].concat()] {
                    assert_eq!(on_threads(&bytes), in_turn(&bytes));
                }
                assert_ne!(on_threads(&bytes), on_threads(&intact));
            }
        }
    }

    #[test]
    fn who_takes_no_more_ends_it() {
        let (mut capture, mut taken) = (open(&capture()), 0);
        let take = |_: Piece<'_>| {
            taken += 1;
            if taken > 3 { Err(anyhow::anyhow!("enough")) } else { Ok(()) }
        };
        assert_eq!(read(&mut capture, Path::new("x"), Selection::default(), take).unwrap_err().to_string(), "enough");
        assert_eq!(taken, 4);
    }
}
