//! The program as a user runs it: exit codes, messages, files. What needs the kernel is in `live`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cut;
mod events;
mod files;
mod hostile;
mod html;
mod k8s;
mod merge;
mod parquet;
mod readme;
mod replay;
mod reports;
mod reproducible;
mod run;
mod verify;
