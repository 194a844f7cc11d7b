//! The first 32 bytes of a section: what tells a capture from anything else.
//!
//! In: the first bytes of a file. Out: version and feature flags, or a plain word about what the file is instead. Never
//! here: blocks.

use xxhash_rust::xxh3::xxh3_64;

use super::error::{NotACapture, ReadError};

/// The version that makes older readers refuse a file.
pub const FORMAT_MAJOR: u16 = 1;
/// The version that older readers of the same major version may ignore.
pub const FORMAT_MINOR: u16 = 0;

/// A byte with the high bit set, a word, CR LF, end-of-file of old systems, LF: each transfer that takes the file for
/// text damages at least one of them.
pub(super) const MAGIC: [u8; 12] = *b"\x89netflow\r\n\x1a\n";
pub(super) const FILE_HEADER_BYTES: usize = 32;
/// Feature flags that this reader understands; any other bit among the must-understand flags makes it refuse.
const UNDERSTOOD: u32 = 0;

pub(super) fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    bytes[..12].copy_from_slice(&MAGIC);
    bytes[12..14].copy_from_slice(&FORMAT_MAJOR.to_le_bytes());
    bytes[14..16].copy_from_slice(&FORMAT_MINOR.to_le_bytes());
    // Bytes 16 to 23: the feature flags, none so far.
    let checksum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What the first 32 bytes say.
pub(super) enum FileHeader {
    /// A capture that this reader can read.
    Readable,
    /// The magic is there, what follows it is damaged.
    Damaged,
    /// No magic.
    Foreign,
}

pub(super) fn parse_file_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<FileHeader, ReadError> {
    if !bytes.starts_with(&MAGIC) {
        return Ok(FileHeader::Foreign);
    }
    let [.., c0, c1, c2, c3, c4, c5, c6, c7] = *bytes;
    if xxh3_64(&bytes[..24]) != u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]) {
        return Ok(FileHeader::Damaged);
    }
    let major = u16::from_le_bytes([bytes[12], bytes[13]]);
    let minor = u16::from_le_bytes([bytes[14], bytes[15]]);
    if major != FORMAT_MAJOR {
        return Err(ReadError::Version { major, minor });
    }
    let must = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    if must & !UNDERSTOOD != 0 {
        return Err(ReadError::Features { unknown: must & !UNDERSTOOD });
    }
    Ok(FileHeader::Readable)
}

/// What a file is that does not begin with the magic.
pub(super) fn diagnose(start: &[u8]) -> NotACapture {
    let text = start.trim_ascii_start();
    if start.is_empty() {
        NotACapture::Empty
    } else if MAGIC.starts_with(start) || start.starts_with(&MAGIC) {
        NotACapture::TooShort { bytes: start.len() }
    } else if start.starts_with(&MAGIC[..8]) || start.starts_with(b"\x09netflow") || start.starts_with(b"netflow\r\n") {
        NotACapture::TextMode
    } else if start.starts_with(&[0x1f, 0x8b]) {
        NotACapture::Compressed { format: "gzip", command: "gunzip" }
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        NotACapture::Compressed { format: "zstd", command: "unzstd" }
    } else if start.starts_with(b"\xfd7zXZ") {
        NotACapture::Compressed { format: "xz", command: "unxz" }
    } else if text.starts_with(b"{") {
        NotACapture::JsonLines
    } else if start.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
        || start.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1])
        || start.starts_with(&[0xa1, 0xb2, 0xc3, 0xd4])
        || start.starts_with(&[0x4d, 0x3c, 0xb2, 0xa1])
    {
        NotACapture::Packets
    } else if start.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)) {
        NotACapture::Text { start: String::from_utf8_lossy(start.get(..24).unwrap_or(start)).into_owned() }
    } else {
        NotACapture::Binary { start: start.get(..12).unwrap_or(start).to_vec() }
    }
}
