//! Any bytes as a capture: whatever reads one ends, without a panic, and all ways of reading it say the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_fuzz::capture(bytes));
