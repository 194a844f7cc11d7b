//! Where the sections of a file are, also of one that is still written or whose recording was killed.
//!
//! In: a file that can seek. Out: the sections that were closed, with their indexes, and where a last one begins that was
//! not. Never here: events, and files in which anything else is wrong: those are read from front to back.

use std::io::{self, Read, Seek, SeekFrom};

use super::index::{SectionIndex, read_chain};
use super::magic::{FILE_HEADER_BYTES, FileHeader, MAGIC, parse_file_header};

/// Bytes that are looked through at a time.
const CHUNK: u64 = 1 << 20;

/// The sections of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Those that were closed, in order, as far as their indexes lead.
    pub closed: Vec<SectionIndex>,
    /// Where the first one begins that is to be read from its front, if there is one: bytes from the start of the file. It
    /// was not closed, or what follows it is less than the first 32 bytes of another.
    pub open: Option<u64>,
}

/// Finds the sections of a file. `None` when the first one was not closed, when the last one that was not closed is more
/// than a quarter of the file, or when anything between is not intact: then [`CaptureReader`](super::CaptureReader) tells
/// what there is. Leaves the input at its start.
///
/// # Errors
/// When the input cannot seek or read.
pub fn find_sections<R: Read + Seek>(mut input: R) -> io::Result<Option<Layout>> {
    let end = input.seek(SeekFrom::End(0))?;
    let mut layout = read_chain(&mut input, end)?.map(|closed| Layout { closed, open: None });
    if layout.is_none() {
        layout = find_open(&mut input, end)?;
    }
    input.seek(SeekFrom::Start(0))?;
    Ok(layout)
}

/// Looks for the last file header behind which no section was closed.
fn find_open<R: Read + Seek>(input: &mut R, end: u64) -> io::Result<Option<Layout>> {
    let least = end - end / 4;
    let mut upper = end;
    let mut bytes = Vec::new();
    while upper > least {
        let lower = upper.saturating_sub(CHUNK).max(least);
        input.seek(SeekFrom::Start(lower))?;
        // A header may reach over the chunk's end.
        let length = (upper - lower + FILE_HEADER_BYTES as u64 - 1).min(end - lower);
        bytes.clear();
        input.by_ref().take(length).read_to_end(&mut bytes)?;
        let places = bytes.windows(FILE_HEADER_BYTES).enumerate().rev().filter_map(|(place, window)| {
            let head = window.first_chunk().filter(|head| head.starts_with(&MAGIC))?;
            matches!(parse_file_header(head), Ok(FileHeader::Readable)).then_some(lower + place as u64)
        });
        for open in places {
            // A text in an event may look like one; in front of a real one another section ends.
            if let Some(closed) = read_chain(input, open)? {
                return Ok(Some(Layout { closed, open: Some(open) }));
            }
        }
        upper = lower;
    }
    Ok(None)
}
