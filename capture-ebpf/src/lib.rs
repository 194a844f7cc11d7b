//! The kernel side of netflow: loads the eBPF programs, attaches them, and turns what they say into events.
//!
//! In: the running kernel. Out: [`netflow_core::event::Event`]s, pulled by whoever holds a [`Capture`]. Never here:
//! files of our own, deltas, filters, or questions to a name service. One thread asks the kernel about translations;
//! everything else runs when it is called.
//!
//! | file | what it is about |
//! |---|---|
//! | [`capture`] | start, poll, snapshot, stop |
//! | `object` | the embedded eBPF object, loaded with the offsets of this kernel |
//! | `attach` | hooks and iterators |
//! | [`btf`] | where the members of kernel structs stand |
//! | `cgroup` | the root of the cgroup v2 hierarchy |
//! | [`tcp`] | from `tcp_sock` to what the application sent and received |
//! | `flows` | UDP flows: opened by datagrams, closed by release or silence |
//! | `convert` | records to identities and events |
//! | [`counts`] | what the programs count, the losses, and the law that they obey |
//! | `answers` | answers of the name service, as they came by, to events |
//! | [`dns`] | what such an answer says |
//! | `nat` | where connections really go whose destination is translated |
//! | `order` | events by time |
//! | `presence` | whether a snapshot reached every connection |
//! | [`host`] | facts about the host for a capture's header |
//! | `sys` | the system calls that no crate offers: the only unsafe code |

pub mod btf;
pub mod capture;
pub mod counts;
pub mod dns;
pub mod error;
pub mod host;
pub mod tcp;

mod answers;
mod attach;
mod cgroup;
mod convert;
mod flows;
mod nat;
mod object;
mod order;
mod presence;
mod sys;

pub use capture::{Capture, Options};
pub use counts::{Summary, Tally};
pub use error::CaptureError;
pub use host::host_header;
