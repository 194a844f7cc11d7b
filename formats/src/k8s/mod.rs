//! The objects of a Kubernetes cluster as JSON, in the shape that `kubectl get … -o json` prints.
//!
//! In: such text, whole or reduced to what a capture keeps. Out: [`Objects`](netflow_core::k8s::Objects), and back. Never
//! here: which of them an address belongs to.
//!
//! There is one shape only. What [`write()`] makes is a `List` like any other, with all left out that is not read: so
//! one reader does for both, and events can be written by hand from what `kubectl` prints.

mod anonymize;
mod error;
mod kinds;
mod read;
mod value;
mod write;

pub use anonymize::anonymize;
pub use error::ReadError;
pub use read::read;
pub use write::write;

/// Bytes that the text may have.
pub const MAX_BYTES: usize = 512 << 20;
/// Bytes that the text of one object may have. A cluster keeps none above 1.5 MiB; printed with indentation it grows.
pub const MAX_OBJECT_BYTES: usize = 8 << 20;
/// Ports that all addresses may have, those of each counted by themselves.
pub const MAX_PAIRS: usize = 1 << 22;
/// Lists that may lie in each other.
const MAX_DEPTH: usize = 4;
