//! The input of the reader: a window of bytes that moves forward and can look for the next block.
//!
//! In: any `Read`. Out: bytes at known offsets. Memory grows with the bytes that really arrive, never with a length that
//! the file merely states. Never here: what the bytes mean beyond the two markers.

use std::io::{self, Read};

use super::block::{BLOCK_HEADER_BYTES, BlockHeader, SYNC};
use super::error::ReadError;
use super::magic::{FILE_HEADER_BYTES, FileHeader, MAGIC, parse_file_header};

const CHUNK: usize = 1 << 20;

pub(super) struct Source<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    /// Where in the input `buffer[start]` is.
    offset: u64,
    /// Somebody looked ahead and met it; it is for who needs the bytes.
    failed: Option<ReadError>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, offset: 0, failed: None }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that are at hand.
    pub(super) fn window(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Makes `bytes` bytes available; false when the input ends before.
    pub(super) fn fill(&mut self, bytes: usize) -> Result<bool, ReadError> {
        while self.window().len() < bytes {
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let wanted = (bytes - self.buffer.len()).min(CHUNK);
            let read = (&mut self.input).take(wanted as u64).read_to_end(&mut self.buffer);
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(true)
    }

    /// Like [`fill`](Self::fill), but an error is kept for the next one who needs the bytes.
    pub(super) fn has(&mut self, bytes: usize) -> bool {
        if self.failed.is_some() {
            return self.window().len() >= bytes;
        }
        self.fill(bytes).unwrap_or_else(|failed| {
            self.failed = Some(failed);
            false
        })
    }

    fn failed(&self, source: io::Error) -> ReadError {
        ReadError::Io { offset: self.offset + self.window().len() as u64, source }
    }

    /// Moves on.
    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.window().len());
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Moves on by bytes that are at hand, and gives them in the memory of `spare`.
    pub(super) fn take(&mut self, bytes: usize, mut spare: Vec<u8>) -> Vec<u8> {
        if self.start == 0 && self.buffer.len() == bytes {
            std::mem::swap(&mut self.buffer, &mut spare);
            self.buffer.clear();
            self.offset += bytes as u64;
        } else {
            spare.clear();
            spare.extend_from_slice(self.window().get(..bytes).unwrap_or_default());
            self.consume(bytes);
        }
        spare
    }

    /// Moves back by these pieces, which are all that was before.
    pub(super) fn put_back<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut buffer = Vec::new();
        pieces.for_each(|piece| buffer.extend_from_slice(piece));
        self.offset -= buffer.len() as u64;
        buffer.extend_from_slice(self.window());
        (self.buffer, self.start) = (buffer, 0);
    }

    /// The next block's first bytes, when there are as many.
    pub(super) fn head<const N: usize>(&mut self) -> Result<Option<[u8; N]>, ReadError> {
        self.fill(N)?;
        Ok(self.window().first_chunk::<N>().copied())
    }

    /// Moves at least one byte forward, to the next intact block header or file header; false when the input ends first.
    pub(super) fn resync(&mut self) -> Result<bool, ReadError> {
        self.consume(1);
        loop {
            // Only a window that is used up is filled: moving it for each candidate would let a crafted file cost
            // the square of its length.
            if self.window().len() < BLOCK_HEADER_BYTES {
                self.fill(CHUNK)?;
            }
            let window = self.window();
            if window.is_empty() {
                return Ok(false);
            }
            let candidate = (0..window.len()).find(|place| {
                let rest = window.get(*place..).unwrap_or_default();
                (rest.first() == SYNC.first() && rest.starts_with(&SYNC[..rest.len().min(8)]))
                    || (rest.first() == MAGIC.first() && rest.starts_with(&MAGIC[..rest.len().min(12)]))
            });
            match candidate {
                None => {
                    let all = window.len();
                    self.consume(all);
                }
                Some(place) => {
                    self.consume(place);
                    if self.at_start_of_something()? {
                        return Ok(true);
                    }
                    self.consume(1);
                }
            }
        }
    }

    fn at_start_of_something(&mut self) -> Result<bool, ReadError> {
        self.fill(BLOCK_HEADER_BYTES)?;
        let window = self.window();
        let block = window.first_chunk::<BLOCK_HEADER_BYTES>().is_some_and(|head| BlockHeader::parse(head).is_ok());
        // A later version counts as a start: the reader then says so.
        let file = window
            .first_chunk::<FILE_HEADER_BYTES>()
            .is_some_and(|head| matches!(parse_file_header(head), Ok(FileHeader::Readable) | Err(_)));
        Ok(block || file)
    }

    /// The input, with what was read ahead of it lost.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// The input, after which the window is empty and stands at `offset`.
    pub(super) fn restart(&mut self, offset: u64) -> &mut R {
        self.buffer.clear();
        self.start = 0;
        self.offset = offset;
        self.failed = None;
        &mut self.input
    }
}
