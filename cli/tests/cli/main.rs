//! The program as a user runs it: exit codes, messages, files. What needs the kernel is in `live`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod anonymize;
mod cut;
mod dataset;
mod economy;
mod events;
mod files;
mod filter;
mod fixture;
mod grouping;
mod hostile;
mod html;
mod k8s;
mod later;
mod manual;
mod memory;
mod merge;
mod parquet;
mod python;
mod readme;
mod replay;
mod reports;
mod reproducible;
mod run;
mod sections;
mod verify;
mod wild;
