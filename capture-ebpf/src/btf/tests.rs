#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

/// Builds a description type by type.
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        u32::try_from(at).unwrap()
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
    }

    fn compound(&mut self, name: &str, kind: u32, flag: u32, members: &[(&str, u32, u32)]) {
        let name = self.name(name);
        self.words(&[name, flag << 31 | kind << 24 | u32::try_from(members.len()).unwrap(), 64]);
        for (member, target, bits) in members {
            let member = self.name(member);
            self.words(&[member, *target, *bits]);
        }
    }

    fn finish(&self) -> Vec<u8> {
        let types = u32::try_from(self.types.len()).unwrap();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0]);
        for word in [24, 0, types, types, u32::try_from(self.strings.len()).unwrap()] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// An integer (1), a union of it (2), a struct of all that can stand in the way (3), a typedef (4), a struct that
/// leads back to itself (5).
fn sample() -> Vec<u8> {
    let mut build = Builder::new();
    let int = build.name("int");
    build.words(&[int, 1 << 24, 4, 32]);
    build.compound("", KIND_UNION, 0, &[("low", 1, 0), ("high", 1, 0)]);
    build.compound(
        "outer",
        KIND_STRUCT,
        1,
        &[("first", 1, 0), ("bits", 1, 3 << 24 | 32), ("", 2, 64), ("inner", 4, 128), ("odd", 1, 3)],
    );
    let name = build.name("alias");
    build.words(&[name, 8 << 24, 2]);
    build.compound("loop", KIND_STRUCT, 0, &[("", 5, 0), ("end", 1, 8)]);
    build.finish()
}

#[test]
fn members_are_found_through_anonymous_ones_and_typedefs() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("outer", "first"), Ok(0));
    assert_eq!(btf.offset("outer", "low"), Ok(8));
    assert_eq!(btf.offset("outer", "inner"), Ok(16));
    assert_eq!(btf.offset("outer", "inner.low"), Ok(16));
}

#[test]
fn what_is_not_there_is_named() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("nothing", "first"), Err(BtfError::NoStruct));
    assert_eq!(btf.offset("outer", "bits"), Err(BtfError::BitField { name: "bits".to_owned() }));
    assert_eq!(btf.offset("outer", "odd"), Err(BtfError::BitField { name: "odd".to_owned() }));
    assert_eq!(btf.offset("outer", "first.low"), Err(BtfError::NoMember { name: "first".to_owned() }));
    assert_eq!(btf.offset("loop", "end"), Err(BtfError::TooDeep));
    assert_eq!(btf.offset("outer", "nothing"), Err(BtfError::NoMember { name: "nothing".to_owned() }));
}

#[test]
fn a_path_asks_for_no_more_than_a_bounded_effort() {
    // Each level has two ways into the next: 2^31 of them without a bound.
    let mut build = Builder::new();
    let int = build.name("int");
    build.words(&[int, 1 << 24, 4, 32]);
    for level in 0..31 {
        let next = if level == 30 { 1 } else { level + 3 };
        let name = if level == 0 { "wide" } else { "" };
        build.compound(name, KIND_STRUCT, 0, &[("", next, 0), ("", next, 64)]);
    }
    let bytes = build.finish();
    assert_eq!(Btf::parse(&bytes).unwrap().offset("wide", "end"), Err(BtfError::TooDeep));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let good = sample();
    assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::Truncated { at: 0 });
    assert_eq!(Btf::parse(&[0; 64]).unwrap_err(), BtfError::NotBtf);
    for length in 0..good.len() {
        assert!(Btf::parse(&good[..length]).is_err(), "{length}");
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(btf) = Btf::parse(&bytes) {
                for path in ["first", "inner.low", "nothing"] {
                    let _ = btf.offset("outer", path);
                }
            }
        }
    }
}

#[test]
fn this_kernel_has_every_member() {
    let Ok(bytes) = std::fs::read(crate::object::BTF) else {
        eprintln!("skipped: this kernel has no {}", crate::object::BTF);
        return;
    };
    let btf = Btf::parse(&bytes).unwrap();
    for (structure, member) in netflow_capture_abi::members::MEMBERS {
        btf.offset(structure, member).unwrap_or_else(|error| panic!("{structure}.{member}: {error}"));
    }
    assert_eq!(btf.offset("sock", "__sk_common"), Ok(0));
}
