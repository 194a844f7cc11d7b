//! Blocks that are decoded elsewhere, some ahead, are what the reader gives block by block: whatever is damaged.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use std::collections::VecDeque;
use std::io::{self, Read};

use netflow_core::batch::Block;
use netflow_core::event::{Event, Header, Loss};
use netflow_formats::capture::{
    BlockDecoder, CaptureReader, Columns, End, Field, PassedOver, RawBlock, ReadError, Selection, WriterOptions,
};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// What a capture gives, up to an error.
#[derive(Debug, PartialEq)]
struct Outcome {
    pieces: Vec<Piece>,
    damage: Vec<String>,
    counts: [u64; 3],
    passed_over: PassedOver,
    losses: Loss,
    end: Option<End>,
    offset: u64,
    error: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Section(Header),
    /// The events of a block, and what is behind it.
    Block(Vec<Event>),
    Event(Event),
}

fn measured() -> Selection {
    Selection::of(&[Field::Rtt])
}

/// One block after the other.
fn in_turn<R: Read>(reader: &mut CaptureReader<R>) -> Result<Option<Columns>, ReadError> {
    reader.next_batch(measured(), Columns::default())
}

/// Some blocks ahead, the last of which is decoded first.
fn ahead<R: Read>(most: usize) -> impl FnMut(&mut CaptureReader<R>) -> Result<Option<Columns>, ReadError> {
    let mut decoder = BlockDecoder::new().unwrap();
    let mut blocks: VecDeque<(RawBlock, Option<Columns>)> = VecDeque::new();
    move |reader| {
        let missing = most - blocks.len();
        let raw: Vec<_> = std::iter::from_fn(|| reader.next_raw(vec![1, 2, 3])).take(missing).collect();
        let mut decoded: Vec<_> =
            raw.iter().rev().map(|block| decoder.decode(block, measured(), Columns::default()).ok()).collect();
        decoded.reverse();
        blocks.extend(raw.into_iter().zip(decoded));
        match blocks.pop_front() {
            None => {}
            Some((_, Some(columns))) => {
                reader.accept(&columns);
                return Ok(Some(columns));
            }
            Some((first, None)) => {
                let rest = blocks.drain(..).map(|(block, _)| block);
                reader.put_back(&[first].into_iter().chain(rest).collect::<Vec<_>>());
            }
        }
        reader.next_batch(measured(), Columns::default())
    }
}

fn read<R: Read>(
    input: R,
    mut next: impl FnMut(&mut CaptureReader<R>) -> Result<Option<Columns>, ReadError>,
) -> Option<Outcome> {
    let mut reader = CaptureReader::new(input).ok()?;
    let mut pieces = Vec::new();
    let mut read_all = || -> Result<(), ReadError> {
        loop {
            pieces.push(Piece::Section(reader.header().clone()));
            while let Some(columns) = next(&mut reader)? {
                pieces.push(Piece::Block(columns.batch().events().collect()));
            }
            for event in reader.by_ref() {
                pieces.push(Piece::Event(event?));
            }
            if !reader.next_section()? {
                return Ok(());
            }
        }
    };
    let error = read_all().err().map(|error| error.to_string());
    Some(Outcome {
        pieces,
        damage: reader.damage().iter().map(ToString::to_string).collect(),
        counts: [reader.damage_count(), reader.events_lost(), reader.least_cost()],
        passed_over: reader.passed_over(),
        losses: reader.losses(),
        end: reader.end(),
        offset: reader.offset(),
        error,
    })
}

/// How often blocks were given whole, and events one by one.
fn assert_same(bytes: &[u8]) -> (usize, usize) {
    let Some(expected) = read(bytes, in_turn) else { return (0, 0) };
    for most in [1, 4, 1000] {
        let found = read(bytes, ahead(most)).unwrap();
        assert!(found == expected, "{most} ahead: {:?}, in turn: {:?}", found.damage, expected.damage);
    }
    let blocks = expected.pieces.iter().filter(|piece| matches!(piece, Piece::Block(_))).count();
    (blocks, expected.pieces.len() - blocks - 1)
}

fn write(header: &Header, events: &[Event], max_rows: u32) -> Vec<u8> {
    events::write(header, events, WriterOptions { max_rows, ..WriterOptions::default() })
}

/// Twelve events in blocks of three, and the same once more.
fn two_sections() -> Vec<u8> {
    let lines = include_bytes!("../src/capture/crafted.jsonl").as_slice();
    let stream = netflow_formats::jsonl::Importer::new(lines, Default::default()).unwrap();
    let events: Vec<Event> = stream.map(Result::unwrap).collect();
    let section = write(&Header::default(), &events, 3);
    [&section[..], &section].concat()
}

/// Where the blocks of events are.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let marker = [0xf1, 0x0e, 0xb1, 0x0c, 0xa7, 0x95, 0xe3, 0xdc, 2];
    (0..bytes.len()).filter(|place| bytes[*place..].starts_with(&marker)).collect()
}

/// Makes the checksums of a block fit whatever it says.
fn vouch(bytes: &mut [u8], block: usize) {
    let stored = u32::from_le_bytes(bytes[block + 16..block + 20].try_into().unwrap()) as usize;
    let Some(payload) = bytes.get(block + 144..block + 144 + stored) else { return };
    let checksum = xxh3_64(payload).to_le_bytes();
    bytes[block + 128..block + 136].copy_from_slice(&checksum);
    let checksum = xxh3_64(&bytes[block..block + 136]).to_le_bytes();
    bytes[block + 136..block + 144].copy_from_slice(&checksum);
}

#[test]
fn every_flipped_byte_and_every_truncation_is_the_same() {
    let intact = two_sections();
    let (whole, single) = assert_same(&intact);
    assert!(whole > 6 && single == 1, "{whole} {single}");
    for place in 0..intact.len() {
        assert_same(&intact[..place]);
        let mut bytes = intact.clone();
        bytes[place] ^= 1 << (place % 8);
        assert_same(&bytes);
    }
}

#[test]
fn every_lie_that_a_checksum_fits_is_the_same() {
    let intact = two_sections();
    let mut read_singly = 0;
    let starts = blocks(&intact);
    for block in &starts {
        let end = starts.iter().find(|next| *next > block).copied().unwrap_or(block + 300).min(intact.len());
        for place in block + 9..end {
            for value in [255, intact[place].wrapping_add(1)] {
                let mut bytes = intact.clone();
                bytes[place] = value;
                vouch(&mut bytes, *block);
                read_singly += usize::from(assert_same(&bytes).1 > 1);
            }
        }
    }
    assert!(read_singly > 1000, "{read_singly}");
}

/// Fails once at a place, and goes on.
struct Failing<'a> {
    bytes: &'a [u8],
    left: usize,
    has_failed: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !std::mem::replace(&mut self.has_failed, true) {
            return Err(io::Error::other("the disk is gone"));
        }
        let most = if self.has_failed { buffer.len() } else { buffer.len().min(self.left) };
        let read = self.bytes.read(&mut buffer[..most])?;
        self.left -= read.min(self.left);
        Ok(read)
    }
}

#[test]
fn an_error_comes_behind_the_blocks_before_it() {
    let intact = two_sections();
    let mut malformed = intact.clone();
    let third = blocks(&intact)[2];
    malformed[third + 144] ^= 1;
    vouch(&mut malformed, third);
    for bytes in [&intact, &malformed] {
        for left in (300..bytes.len()).step_by(5) {
            let input = || Failing { bytes, left, has_failed: false };
            let expected = read(input(), in_turn).unwrap();
            assert!(expected.error.is_some());
            assert!(read(input(), ahead(4)).unwrap() == expected, "{left}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn anything_damaged_is_the_same(
        (events, header) in (events::events(), events::header()),
        max_rows in 1..20_u32,
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let section = write(&header, &events, max_rows);
        let mut bytes = [&section[..], &section].concat();
        let blocks = blocks(&bytes);
        for (place, value, is_vouched) in hits {
            let place = place.index(bytes.len());
            bytes[place] = value;
            if let Some(block) = blocks.iter().rfind(|block| **block + 9 < place).filter(|_| is_vouched) {
                vouch(&mut bytes, *block);
            }
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        assert_same(&bytes);
    }
}
