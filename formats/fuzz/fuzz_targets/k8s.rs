//! Any text as what `kubectl get … -o json` prints: what is taken means the same when it was written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_fuzz::k8s(bytes));
