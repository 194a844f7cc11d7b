//! What the eBPF programs and their loader say to each other: records, map values, flags and the list of kernel
//! members that the programs read.
//!
//! In: nothing. Out: `repr(C)` structs of integers and byte arrays without hidden padding, each with a reader that
//! takes bytes apart field by field, so that neither side needs unsafe code to decode. Never here: meaning. What the
//! numbers say about a connection is worked out in user space.
#![no_std]

pub mod members;
pub mod plain;
pub mod records;

pub use plain::Plain;
pub use records::*;
