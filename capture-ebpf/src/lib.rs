//! The kernel side of netflow: loads the eBPF programs, attaches them, and turns what they say into events.
//!
//! In: the running kernel. Out: [`netflow_core::event::Event`]s, pulled by whoever holds a [`Capture`]. Never here: files
//! of our own, deltas or filters; and no thread but the one that looks at processes, since `/proc` may let it wait.
//!
//! What the numbers mean where a socket is not an ordinary one (why a connect failed, sockets of several processes, in the
//! queue of a listener, of an io_uring, multipath, with TLS in the kernel) stands in this crate's README, line by line as the
//! live tests try it.
//!
//! | file | what it is about |
//! |---|---|
//! | [`capture`] | start, poll, snapshot, stop; below it: the walks, the table of UDP flows, the end |
//! | `object` | the embedded eBPF object, loaded with the offsets of this kernel |
//! | `attach` | hooks and iterators |
//! | [`btf`] | where the members of kernel structs stand |
//! | `cgroup` | the root of the cgroup v2 hierarchy, and paths below it |
//! | [`tcp`] | from `tcp_sock` to what the application sent and received |
//! | `flows` | UDP flows: opened by datagrams, closed by release or silence |
//! | `convert` | records to identities and events |
//! | [`counts`] | what the programs count, the losses, and the law that they obey |
//! | `news` | the thread that reads what is told of processes and listening sockets |
//! | `processes` | from records to process events |
//! | `proc` | what `/proc` says of a process |
//! | `containers` | which container a cgroup belongs to |
//! | `listeners` | from records to listen events |
//! | `wall_clock` | whether the wall clock was set |
//! | [`privilege`] | which capabilities are needed and what for; giving up the others |
//! | `order` | events by time |
//! | `presence` | whether a snapshot reached every connection |
//! | [`host`] | facts about the host for a capture's header |
//! | [`probe`] | whether this host can be recorded, and what a recording would lack |
//! | `sys` | the system calls that no crate offers: the only unsafe code |

pub mod btf;
pub mod capture;
pub mod counts;
pub mod error;
pub mod host;
pub mod privilege;
pub mod probe;
pub mod tcp;

mod attach;
mod cgroup;
mod containers;
mod convert;
mod flows;
mod listeners;
mod news;
mod object;
mod order;
mod presence;
mod proc;
mod processes;
mod sys;
mod wall_clock;

pub use capture::{Capture, Options};
pub use counts::Summary;
pub use error::CaptureError;
pub use host::host_header;
pub use privilege::{Feature, give_up_privileges};
