//! A capture whose checksums are made to fit, so that what stands behind them is looked at.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_fuzz::sealed(bytes));
