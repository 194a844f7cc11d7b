//! Any bytes as an answer of a name server.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// A name has at most 255 bytes, and each may take four characters to be shown.
const MOST: usize = 255 * 4;

fuzz_target!(|bytes: &[u8]| {
    if let Some(answer) = netflow_capture::dns::read(bytes) {
        assert!(!answer.name.is_empty() && answer.name.len() <= MOST, "{}", answer.name);
        // An address is at least an owner of two bytes, ten of header and four of address.
        assert!(!answer.addresses.is_empty() && answer.addresses.len() <= bytes.len() / 16, "{answer:?}");
        assert!(answer.addresses.iter().all(|(addr, ttl_s)| addr.to_canonical() == *addr && *ttl_s <= 1 << 31));
        assert_eq!(answer.name, answer.name.to_ascii_lowercase());
    }
});
