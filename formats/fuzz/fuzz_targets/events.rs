//! Any bytes as events in JSON Lines: what is taken comes back from a capture, and from JSON Lines again, as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_fuzz::events(bytes));
