//! Addresses to addresses.
//!
//! In: any address. Out: another one, never the same for two. Never here: ports, names.
//!
//! An unspecified address stays, for it is nobody's; an IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`) stays one. Beyond
//! that, [`Ranges`] tells what happens.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustc_hash::FxHashMap;

use super::crypto_pan::CryptoPan;
use super::key::Key;

/// Addresses of each family that are remembered, in 36 MB together. When there are more, all of the family are forgotten and
/// found anew: this takes time and changes nothing.
const MOST_V4: usize = 1 << 20;
const MOST_V6: usize = 1 << 18;

/// What becomes of loopback, private, link-local and multicast addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ranges {
    /// Each stays in its range, and no other address comes into one.
    ///
    /// Within a range the bits that make it are kept and the rest is Crypto-PAn, which preserves prefixes. Every other
    /// address is mapped by Crypto-PAn; where that leads into a range it is mapped again, until it is outside. This is a
    /// permutation. What is mapped again are whole blocks, those that Crypto-PAn leads to a range: each has the size of that
    /// range, all together a fourteenth of the IPv4 addresses and an eightieth of IPv6. Prefixes are preserved within
    /// each block and among all addresses outside of blocks, but not between a block and what was beside it. (A part of a
    /// block that is led to a range once more is a block of its own.)
    #[default]
    Kept,
    /// They are mapped like all others: plain Crypto-PAn, as other tools do it, which preserves every prefix. Other
    /// addresses may come to be loopback or multicast ones. The one address that would become the unspecified one, or, of
    /// IPv6, an IPv4 address, is mapped again.
    Mapped,
}

/// The mapping of all addresses under one key.
pub struct Addresses {
    mapping: Mapping,
    known_v4: Known<u32>,
    known_v6: Known<u128>,
}

/// What finds out what an address is mapped to.
struct Mapping {
    pan: CryptoPan,
    ranges: Ranges,
}

/// What addresses of one family are mapped to, as far as it is remembered.
struct Known<T> {
    most: usize,
    mapped: FxHashMap<T, T>,
}

impl<T: Copy + Eq + Hash> Known<T> {
    fn new(most: usize) -> Self {
        Self { most, mapped: FxHashMap::default() }
    }

    fn or_find(&mut self, bits: T, find: impl FnOnce(T) -> T) -> T {
        if let Some(mapped) = self.mapped.get(&bits) {
            return *mapped;
        }
        let mapped = find(bits);
        if self.mapped.len() == self.most {
            self.mapped.clear();
        }
        self.mapped.insert(bits, mapped);
        mapped
    }
}

/// The first bits of the addresses of a range, the rest being zero, and their number.
type Range<T> = (T, u32);

const fn v4(a: u8, b: u8, bits: u32) -> Range<u32> {
    (u32::from_be_bytes([a, b, 0, 0]), bits)
}

/// Loopback, private (RFC 1918), link-local, multicast.
const RANGES_V4: [Range<u32>; 6] =
    [v4(127, 0, 8), v4(10, 0, 8), v4(172, 16, 12), v4(192, 168, 16), v4(169, 254, 16), v4(224, 0, 4)];

/// Loopback, private (RFC 4193), link-local, multicast.
const RANGES_V6: [Range<u128>; 4] = [(1, 128), (0xfc << 120, 7), (0xfe80 << 112, 10), (0xff << 120, 8)];

fn range_v4(bits: u32) -> Option<u32> {
    // No range is longer than 16 bits.
    RANGES_V4.iter().find(|(first, length)| (bits ^ first) >> (32 - length) == 0).map(|(_, length)| *length)
}

fn range_v6(bits: u128) -> Option<u32> {
    // None is empty.
    RANGES_V6.iter().find(|(first, length)| (bits ^ first) >> (128 - length) == 0).map(|(_, length)| *length)
}

impl Addresses {
    /// The mapping of a key.
    #[must_use]
    pub fn new(key: &Key, ranges: Ranges) -> Self {
        let mapping = Mapping { pan: CryptoPan::new(key), ranges };
        Self { mapping, known_v4: Known::new(MOST_V4), known_v6: Known::new(MOST_V6) }
    }

    /// What the address is mapped to.
    #[must_use]
    pub fn map(&mut self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => IpAddr::V4(self.map_v4(ip)),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => IpAddr::V6(self.map_v4(ip).to_ipv6_mapped()),
                None => IpAddr::V6(self.map_v6(ip)),
            },
        }
    }

    fn map_v4(&mut self, ip: Ipv4Addr) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.known_v4.or_find(ip.to_bits(), |bits| self.mapping.of_v4(bits)))
    }

    fn map_v6(&mut self, ip: Ipv6Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.known_v6.or_find(ip.to_bits(), |bits| self.mapping.of_v6(bits)))
    }
}

impl Mapping {
    fn of_v4(&self, bits: u32) -> u32 {
        let keeps = self.ranges == Ranges::Kept;
        if bits == 0 {
            return bits;
        }
        if let Some(length) = range_v4(bits).filter(|_| keeps) {
            return bits ^ self.pan.flips_v4(bits) & u32::MAX >> length;
        }
        let mut mapped = bits;
        loop {
            mapped ^= self.pan.flips_v4(mapped);
            let is_taken = mapped == 0 || keeps && range_v4(mapped).is_some();
            if !is_taken {
                return mapped;
            }
        }
    }

    fn of_v6(&self, bits: u128) -> u128 {
        let keeps = self.ranges == Ranges::Kept;
        if bits == 0 {
            return bits;
        }
        if let Some(length) = range_v6(bits).filter(|_| keeps) {
            let free = u128::MAX.checked_shr(length).unwrap_or(0);
            return bits ^ self.pan.flips_v6(bits) & free;
        }
        let mut mapped = bits;
        loop {
            mapped ^= self.pan.flips_v6(mapped);
            let is_taken = mapped == 0 || mapped >> 32 == 0xffff || keeps && range_v6(mapped).is_some();
            if !is_taken {
                return mapped;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_where_they_are() {
        let table = [
            ("126.255.255.255", None),
            ("127.0.0.0", Some(8)),
            ("127.255.255.255", Some(8)),
            ("10.1.2.3", Some(8)),
            ("172.16.0.0", Some(12)),
            ("172.31.255.255", Some(12)),
            ("172.32.0.0", None),
            ("192.168.255.255", Some(16)),
            ("192.169.0.0", None),
            ("169.254.1.1", Some(16)),
            ("223.255.255.255", None),
            ("224.0.0.0", Some(4)),
            ("239.255.255.255", Some(4)),
            ("240.0.0.0", None),
            ("::1", Some(128)),
            ("::2", None),
            ("fbff::1", None),
            ("fc00::", Some(7)),
            ("fdff::", Some(7)),
            ("fe80::1", Some(10)),
            ("febf::1", Some(10)),
            ("fec0::1", None),
            ("ff02::1", Some(8)),
            ("2001:db8::1", None),
        ];
        for (ip, expected) in table {
            let found = match ip.parse().unwrap() {
                IpAddr::V4(ip) => range_v4(ip.to_bits()),
                IpAddr::V6(ip) => range_v6(ip.to_bits()),
            };
            assert_eq!(found, expected, "{ip}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_changes_nothing() {
        let mut addresses = Addresses::new(&Key::from_seed(1), Ranges::Kept);
        let first = addresses.map("8.8.8.8".parse().unwrap());
        addresses.known_v4.mapped = (0..1 << 20).map(|bits| (bits, 0)).collect();
        assert_eq!(addresses.known_v4.mapped.len(), MOST_V4);
        assert_eq!(addresses.map("8.8.8.8".parse().unwrap()), first);
        assert_eq!(addresses.known_v4.mapped.len(), 1);
    }
}
