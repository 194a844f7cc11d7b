//! Addresses and names under a key: published vectors, and the laws of the mapping.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_macros)]
#![allow(clippy::cast_possible_truncation, reason = "any bits will do")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use netflow_core::address::AddressType;
use netflow_core::anonymize::{Addresses, Anonymizer, CryptoPan, Key, Options, Ranges, Shift};
use netflow_core::event::{Body, Clock, Dns, Event, Header, Process};
use proptest::prelude::*;

/// The key of the reference implementation's sample trace.
const KEY: &str = "1522178d33a4cf80130a5b1649907d10d8988f837979652762574c2d2a842202";

/// Some of that trace, and IPv6 addresses as other implementations of it map them.
const PUBLISHED: [(&str, &str); 16] = [
    ("128.11.68.132", "135.242.180.132"),
    ("129.118.74.4", "134.136.186.123"),
    ("130.132.252.244", "133.68.164.234"),
    ("141.223.7.43", "141.167.8.160"),
    ("141.233.145.108", "141.129.237.235"),
    ("152.163.225.39", "151.140.114.167"),
    ("156.29.3.236", "147.225.12.42"),
    ("165.247.96.84", "162.9.99.234"),
    ("166.107.77.190", "160.132.178.185"),
    ("192.102.249.13", "252.138.62.131"),
    ("192.215.32.125", "252.43.47.189"),
    ("192.233.80.103", "252.25.108.8"),
    ("192.41.57.43", "252.222.221.184"),
    ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
    ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
    ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn plain(pan: &CryptoPan, ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ pan.flips_v4(ip.to_bits())).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ pan.flips_v6(ip.to_bits())).into(),
    }
}

fn check(key: &str, original: &str, mapped: &str) {
    let key = Key::parse(key.as_bytes()).unwrap();
    assert_eq!(plain(&CryptoPan::new(&key), ip(original)), ip(mapped), "{original}");
    assert_eq!(Addresses::new(&key, Ranges::Mapped).map(ip(original)), ip(mapped), "{original}");
}

#[test]
fn published_vectors() {
    for (original, mapped) in PUBLISHED {
        check(KEY, original, mapped);
    }
}

#[test]
fn vectors_of_other_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cryptopan/vectors.csv");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return;
    };
    let mut families = [0, 0];
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.splitn(5, ',').collect();
        let [key, family, original, mapped, _] = columns.as_slice() else { panic!("{line}") };
        check(key, original, mapped);
        families[usize::from(*family == "6")] += 1;
    }
    assert!(families.iter().all(|count| *count > 10), "{families:?}");
}

fn common(left: IpAddr, right: IpAddr) -> u32 {
    match (left, right) {
        (IpAddr::V4(left), IpAddr::V4(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros(),
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros(),
        _ => panic!("{left} and {right} are of different families"),
    }
}

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

fn v6(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
}

/// Two addresses that have about so many bits in common.
fn neighbours() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        (any::<u32>(), any::<u32>(), 0..32_u32).prop_map(|(one, other, n)| (v4(one), v4(one ^ other >> n))),
        (any::<u128>(), any::<u128>(), 0..128_u32).prop_map(|(one, other, n)| (v6(one), v6(one ^ other >> n))),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::new)
}

/// What of an address must not change: its range, and that there is one.
fn range(ip: IpAddr) -> (AddressType, &'static str) {
    let range = match ip {
        IpAddr::V4(ip) if ip.is_private() => ["10/8", "172.16/12", "192.168/16"]
            [[10, 172, 192].iter().position(|first| *first == ip.octets()[0]).unwrap()],
        IpAddr::V4(ip) if ip.is_link_local() => "link local",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => "link local",
        _ if ip.is_unspecified() => "unspecified",
        _ => "",
    };
    (AddressType::of(ip), range)
}

/// Addresses of each range, at its edges and beyond.
fn ranged() -> impl Strategy<Value = IpAddr> {
    let first = prop_oneof![
        Just("127.0.0.0"),
        Just("10.0.0.0"),
        Just("172.16.0.0"),
        Just("192.168.0.0"),
        Just("169.254.0.0"),
        Just("224.0.0.0"),
        Just("0.0.0.0"),
        Just("::"),
        Just("::ffff:0:0"),
        Just("fc00::"),
        Just("fe80::"),
        Just("ff00::"),
    ];
    (first, any::<u128>(), 0..128_u32, any::<bool>()).prop_map(|(first, host, n, below)| match ip(first) {
        IpAddr::V4(ip) if below => v4(ip.to_bits().wrapping_sub(1)),
        IpAddr::V6(ip) if below => v6(ip.to_bits().wrapping_sub(1)),
        IpAddr::V4(ip) => v4(ip.to_bits() | (host >> 96) as u32 >> (n % 32)),
        IpAddr::V6(ip) => v6(ip.to_bits() | host >> n),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_length_of_a_common_prefix_is_preserved((one, other) in neighbours(), key in key()) {
        let pan = CryptoPan::new(&key);
        prop_assert_eq!(common(plain(&pan, one), plain(&pan, other)), common(one, other));
        let mut addresses = Addresses::new(&key, Ranges::Mapped);
        let is_apart = |ip: IpAddr| ip.is_unspecified() || matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        let ends = [one, other, plain(&pan, one), plain(&pan, other)];
        if !ends.into_iter().any(is_apart) {
            prop_assert_eq!(common(addresses.map(one), addresses.map(other)), common(one, other));
        }
    }

    #[test]
    fn prefixes_are_preserved_within_a_range(one in ranged(), host in any::<u128>(), n in 0..128_u32, key in key()) {
        let other = match one {
            IpAddr::V4(ip) => v4(ip.to_bits() ^ (host >> 96) as u32 >> (n % 32)),
            IpAddr::V6(ip) => v6(ip.to_bits() ^ host >> n),
        };
        let mut addresses = Addresses::new(&key, Ranges::Kept);
        let (mapped, mapped_other) = (addresses.map(one), addresses.map(other));
        prop_assert_eq!(range(mapped), range(one), "{} became {}", one, mapped);
        prop_assert_eq!(range(mapped_other), range(other), "{} became {}", other, mapped_other);
        prop_assert_eq!(mapped == mapped_other, one == other);
        let is_ordinary = range(one) == (AddressType::Other, "");
        if !is_ordinary && range(one) == range(other) {
            prop_assert_eq!(common(mapped, mapped_other), common(one, other));
        }
        // What is not led into a range is as other programs have it.
        let expected = plain(&CryptoPan::new(&key), one);
        if is_ordinary && range(expected) == range(one) && one.to_canonical() == one && expected.to_canonical() == expected {
            prop_assert_eq!(mapped, expected);
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_one_within_ipv6(bits in any::<u32>(), key in key()) {
        for ranges in [Ranges::Kept, Ranges::Mapped] {
            let mut addresses = Addresses::new(&key, ranges);
            let IpAddr::V4(mapped) = addresses.map(v4(bits)) else { panic!("another family") };
            let within = addresses.map(Ipv4Addr::from_bits(bits).to_ipv6_mapped().into());
            prop_assert_eq!(within, IpAddr::V6(mapped.to_ipv6_mapped()));
        }
    }

    #[test]
    fn no_two_addresses_become_one(seed in any::<u64>()) {
        // Around the places where ranges end.
        let bits = (0..8).flat_map(|n| [0x7f00_0000_u32, 0x8000_0000, 0xe000_0000, 0xf000_0000, 0, 0x0a00_0000, 0x0b00_0000, 0xc0a8_0000, 0xc0a9_0000, 0xa9fe_0000, 0xa9ff_0000].map(|first| first.wrapping_add(n).wrapping_sub(4)));
        let bits: BTreeSet<u32> = bits.collect();
        for ranges in [Ranges::Kept, Ranges::Mapped] {
            let mut addresses = Addresses::new(&Key::from_seed(seed), ranges);
            let mapped: BTreeSet<IpAddr> = bits.iter().map(|bits| addresses.map(v4(*bits))).collect();
            prop_assert_eq!(mapped.len(), bits.len());
            let mapped: BTreeSet<IpAddr> = bits.iter().map(|bits| addresses.map(v6(u128::from(*bits)))).collect();
            prop_assert_eq!(mapped.len(), bits.len());
        }
    }
}

#[test]
fn a_quarter_of_a_million_addresses_stay_as_many() {
    for ranges in [Ranges::Kept, Ranges::Mapped] {
        let mut addresses = Addresses::new(&Key::from_seed(7), ranges);
        // An odd factor: all are different.
        let mapped: BTreeSet<IpAddr> =
            (0..250_000_u32).map(|n| addresses.map(v4(n.wrapping_mul(0x9e37_79b1)))).collect();
        assert_eq!(mapped.len(), 250_000);
        assert_eq!(mapped.first(), Some(&ip("0.0.0.0")));
    }
}

/// The bits that Crypto-PAn leads to these: found from the first one on, for each depends on those before it alone.
fn led_to(pan: &CryptoPan, mapped: u32) -> u32 {
    (0..32).rev().fold(0, |bits, place| bits | (pan.flips_v4(bits) ^ mapped) & 1 << place)
}

#[test]
fn nothing_but_the_unspecified_address_becomes_it() {
    let key = Key::from_seed(3);
    let pan = CryptoPan::new(&key);
    let before = v4(led_to(&pan, 0));
    assert_eq!(plain(&pan, before), ip("0.0.0.0"));
    let mut addresses = Addresses::new(&key, Ranges::Mapped);
    assert_eq!(addresses.map(before), plain(&pan, ip("0.0.0.0")), "it has the place of the one that stays");
    assert_eq!(addresses.map(ip("0.0.0.0")), ip("0.0.0.0"));
    assert_eq!(addresses.map(ip("::")), ip("::"));
}

#[test]
fn no_ordinary_address_becomes_a_loopback_one() {
    let key = Key::from_seed(3);
    let pan = CryptoPan::new(&key);
    let mut addresses = Addresses::new(&key, Ranges::Kept);
    let mut moved = 0;
    for (first, range) in [("127.0.0.1", 8), ("224.0.0.1", 4), ("192.168.3.4", 16), ("169.254.7.7", 16)] {
        let IpAddr::V4(first) = ip(first) else { panic!("another family") };
        let before = led_to(&pan, first.to_bits());
        if AddressType::of(v4(before)) == AddressType::Other {
            let neighbour = before ^ 1;
            let (one, other) = (addresses.map(v4(before)), addresses.map(v4(neighbour)));
            assert_eq!(AddressType::of(one), AddressType::Other, "{} became {one}", v4(before));
            assert_eq!(common(one, other), 31, "it is moved with its block of /{range}");
            moved += 1;
        }
    }
    assert!(moved > 0, "the key leads only special addresses there");
    assert_eq!(addresses.map(ip("::1")), ip("::1"));
}

fn anonymizer(shift: Shift) -> Anonymizer {
    Anonymizer::new(&Key::parse(KEY.as_bytes()).unwrap(), Options { shift, ..Options::default() })
}

fn header() -> Header {
    Header {
        tool: "netflow 0.1.0".into(),
        host: "db1.example".into(),
        kernel: "6.18.5-acme2".into(),
        boot_id: "f0bb4a18-2c45-4e6a-9e0c-6c1ab2e3c9a1".into(),
        boot_time_ns: 1_790_000_000_000_000_000,
        interval_ms: 10_000,
        ephemeral_port_min: 32768,
        ephemeral_port_max: 60999,
        command: vec!["netflow".into(), "record".into(), "/home/ann/x".into()],
        comment: "for Ann".into(),
        began_at: 5,
        part: 3,
        continues_from: Some(4),
        excerpt: true,
        anonymized: false,
    }
}

#[test]
fn a_header_says_what_it_is_and_no_more() {
    let mapped = anonymizer(Shift::None).header(&header());
    // The digits as `openssl mac -cipher AES-128-CBC -macopt hexkey:… CMAC` has them.
    let expected = Header {
        host: "host-a34430fca891".into(),
        kernel: "6.18.5".into(),
        boot_id: "47fd8a60-bbdd-53a8-24a3-45c2d05346c2".into(),
        command: Vec::new(),
        comment: String::new(),
        anonymized: true,
        ..header()
    };
    assert_eq!(mapped, expected);
    for (tool, own) in [("netflow 1.20.3", true), ("netflow 1.2-ann", false), ("netflow ", false), ("ann 1", false)] {
        let mapped = anonymizer(Shift::None).header(&Header { tool: tool.into(), ..header() });
        assert_eq!(mapped.tool == tool, own, "{tool} became {}", mapped.tool);
    }
    assert_eq!(anonymizer(Shift::None).header(&Header::default()), Header { anonymized: true, ..Header::default() });
}

fn mapped(body: Body) -> Body {
    let event = Event { at: 7, body };
    anonymizer(Shift::None).event(&event, |_, _| panic!("no state")).body
}

#[test]
fn names_keep_their_form_and_what_they_have_in_common() {
    let process = Process {
        exe: Some("/usr/web".into()),
        cgroup: Some("/web.slice/".into()),
        container_id: Some("c0ffee".into()),
        ..Process::new(7, "web")
    };
    let Body::Process(process) = mapped(Body::Process(process)) else { panic!("another event") };
    assert_eq!(&*process.process, "process-f6d7d21693ab");
    assert_eq!(process.exe.as_deref(), Some("/nf7a679cce027/nf6d7d21693ab"));
    assert_eq!(process.cgroup.as_deref(), Some("/nfc4f3a258088/"));
    assert_eq!(
        process.container_id.as_deref(),
        Some("305e1aa3c2e25f71f13daafd85c279f4023384a9782a7440d1c131dfd41da7dc")
    );
    let dns = |name: &str| {
        let addr = ip("192.102.249.13");
        let Body::Dns(dns) = mapped(Body::Dns(Dns { name: name.into(), addr, ttl_s: 1, netns: None, pid: None }))
        else {
            panic!("another event")
        };
        assert_eq!(dns.addr, ip("252.138.62.131"));
        dns.name.to_string()
    };
    assert_eq!(dns("web.usr"), "nf6d7d21693ab.nf7a679cce027");
    assert_eq!(dns("web.usr."), "nf6d7d21693ab.nf7a679cce027.");
    assert_eq!(dns(""), "");
    // What has more labels than a domain can have is no domain; its token is not longer than it need be.
    assert_eq!(dns(&"a.".repeat(30_000)).len(), 13);
    assert_eq!(dns(&"a.".repeat(127)).len(), 127 * 14);
}

#[test]
fn all_times_of_the_wall_clock_move_alike() {
    let hour = 3_600_000_000_000;
    for shift in [Shift::None, Shift::By(-5), Shift::By(i64::MAX), Shift::FromKey] {
        let mut anonymizer = anonymizer(shift);
        let mapped = anonymizer.header(&header()).boot_time_ns;
        let moved = i128::from(mapped) - i128::from(header().boot_time_ns);
        match shift {
            Shift::None => assert_eq!(moved, 0),
            Shift::By(ns) if ns < 0 => assert_eq!(moved, i128::from(ns)),
            Shift::By(_) => assert_eq!(mapped, i64::MAX),
            Shift::FromKey => {
                assert_eq!(moved % hour, 0);
                assert!((-87_600 * hour..=-hour).contains(&moved), "{moved}");
            }
        }
        let clock = Event { at: 7, body: Body::Clock(Clock { boot_time_ns: header().boot_time_ns }) };
        let expected = Event { at: 7, body: Body::Clock(Clock { boot_time_ns: mapped }) };
        assert_eq!(anonymizer.event(&clock, |_, _| panic!("no state")), expected);
    }
}
