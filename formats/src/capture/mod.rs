//! The capture file (`.nfcap`): a stream of events as compressed, checksummed blocks of columns.
//!
//! In: events and a [`Header`](netflow_core::event::Header), or bytes. Out: bytes, or the very same events. Never here:
//! paths, clocks, threads; everything works over `Read` and `Write`. The bytes are specified in `formats/FORMAT.md`.
//!
//! [`CaptureWriter`] writes, [`CaptureReader`] reads whatever is intact and lists what is not, as events or as the
//! [`Columns`] of whole blocks of which only a [`Selection`] is decoded, [`read_index`] finds the
//! totals of a file that was closed cleanly without reading its events. [`Seams`] says where a long capture is divided into
//! sections. [`Checker`] tells whether all of a file is sound,
//! [`recover`] writes what is intact of it into a new one.

mod block;
mod check;
mod column;
mod columns;
#[cfg(test)]
mod crafted;
mod damage;
mod decode;
mod define;
mod definition;
mod dictionary;
mod encode;
mod error;
mod index;
mod judge;
mod layout;
mod live;
mod magic;
mod number;
mod passed_over;
mod reader;
mod record;
mod recover;
mod rows;
mod seams;
mod selection;
mod source;
mod stream;
mod totals;
mod writer;

pub use block::{BlockHeader, BlockKind};
pub use check::{Checker, IndexState, SectionCheck};
pub use columns::Columns;
pub use definition::Definitions;
pub use error::{Damage, DamagedPart, Malformed, NotACapture, ReadError, WriteError};
pub use index::{Index, IndexEntry, KIND_NAMES, SaidAgain, SectionIndex, Totals, read_index};
pub use layout::{Layout, find_sections};
pub use magic::{FORMAT_MAJOR, FORMAT_MINOR};
pub use netflow_core::batch::Profile;
pub use passed_over::PassedOver;
pub use reader::{BlockDecoder, CaptureReader, End, RawBlock};
pub use recover::{RecoverError, Recovered, recover, recover_divided};
pub use seams::{EVERY as SECTION_EVERY, Seams};
pub use selection::{Field, Selection};
pub use writer::{CaptureWriter, WriterOptions};

/// Bytes that the payload of one block may have in the file.
pub const MAX_STORED_BYTES: u32 = 96 << 20;
/// Bytes that the payload of one block may have after decompression.
pub const MAX_RAW_BYTES: u32 = 96 << 20;
/// Events that one block may hold.
pub const MAX_ROWS: u32 = 1 << 19;
/// Bytes of one text in an event: a name, a path.
pub const MAX_TEXT_BYTES: usize = 0xffff;
/// Bytes of the state of one `k8s` event.
pub const MAX_STATE_BYTES: usize = 64 << 20;
/// Bytes of a metadata block, before compression.
pub const MAX_METADATA_BYTES: usize = 4 << 20;
