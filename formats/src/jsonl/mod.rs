//! Events as JSON Lines: for people, fixtures and other tools.
//!
//! In: a header and events, or text. Out: one object a line, or the header and events. Never here: paths, tables of
//! reports (see [`report`](crate::report)).
//!
//! [`Exporter`] writes the canonical form: keys in a fixed order, everything that has its default left out. [`Importer`]
//! reads that and whatever people write: any order of keys, blank lines, a sample that says only part of what is known of
//! its connection. A header begins a section, as in a capture: the first line is one, and where another follows, another
//! capture's events follow, with connections and times of their own. What it does not understand is an error with line, key, what was expected and what was found.
//! Canonical text that is imported and exported again is the same text.

mod error;
mod line;
mod object;
mod read;
mod write;

pub use error::{ImportError, Problem};
pub(crate) use object::shown;
pub use read::{ImportOptions, Importer};
pub use write::Exporter;

/// The version of the text form, the `format` of its header.
pub const JSONL_FORMAT: u64 = 1;
/// Bytes that one line may have.
pub const MAX_LINE_BYTES: usize = 128 << 20;

const COUNTER_KEYS: [&str; 9] = [
    "sent_bytes",
    "recv_bytes",
    "sent_packets",
    "recv_packets",
    "retransmits",
    "rtt_us",
    "rtt_var_us",
    "unacked_bytes",
    "unread_bytes",
];
