//! Lines of the input, numbered, none longer than the limit.

use std::io::{BufRead, Read};

use super::MAX_LINE_BYTES;
use super::error::{ImportError, Problem};

pub(super) struct Lines<R> {
    input: R,
    number: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, bytes: Vec::new() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn error(&self, problem: Problem) -> ImportError {
        ImportError { line: self.number, problem }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&str>, ImportError> {
        loop {
            self.bytes.clear();
            self.number += 1;
            let limit = MAX_LINE_BYTES as u64 + 1;
            if let Err(error) = (&mut self.input).take(limit).read_until(b'\n', &mut self.bytes) {
                return Err(self.error(Problem::Io(error)));
            }
            if self.bytes.is_empty() {
                return Ok(None);
            }
            if self.bytes.len() > MAX_LINE_BYTES {
                return Err(self.error(Problem::TooLong { limit: MAX_LINE_BYTES }));
            }
            if !self.bytes.trim_ascii().is_empty() {
                break;
            }
        }
        // A text editor of another system may have put a byte order mark in front.
        let bytes = match self.bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if self.number == 1 => rest,
            _ => &self.bytes,
        };
        let number = self.number;
        std::str::from_utf8(bytes.trim_ascii_end()).map(Some).map_err(|error| ImportError {
            line: number,
            problem: Problem::NotText { column: error.valid_up_to() + 1 },
        })
    }
}
