//! What is said to the kernel's table of tracked connections, and what it says (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! In: the ends of a connection; the bytes of an answer. Out: the bytes of a question; the ends before and after
//! translation. Never here: a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netflow_core::address::Endpoint;
use netflow_core::event::Transport;

/// The subsystem and its messages.
const ENTRY: u16 = 0x100;
const GET: u16 = 0x101;
const GET_STATS: u16 = 0x105;
/// Of netlink itself.
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;

/// Attributes.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const STATS_GLOBAL_ENTRIES: u16 = 1;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The ends of one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) transport: Transport,
    pub(crate) src: Endpoint,
    pub(crate) dst: Endpoint,
}

/// What the kernel says of a connection that it tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first packet's ends, before any translation.
    pub(crate) original: Tuple,
    /// The ends of an answer to that packet, before any translation: who answers is where the packet really went.
    pub(crate) reply: Tuple,
}

/// One thing that the kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Entry(Entry),
    /// How many entries the table has.
    Entries(u32),
    /// An errno: `ENOENT` when no such connection is tracked.
    Error(i32),
}

/// Appends the question for the entry that has this tuple, in either direction.
pub(crate) fn ask(sequence: u32, tuple: &Tuple, out: &mut Vec<u8>) {
    let family = if tuple.src.ip().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    message(GET, sequence, family.to_le_bytes()[0], out, |out| {
        nest(TUPLE_ORIG | NESTED, out, |out| {
            nest(TUPLE_IP | NESTED, out, |out| {
                address(tuple.src.ip(), IP_V4_SRC, IP_V6_SRC, out);
                address(tuple.dst.ip(), IP_V4_DST, IP_V6_DST, out);
            });
            nest(TUPLE_PROTO | NESTED, out, |out| {
                let number = if tuple.transport == Transport::Tcp { TCP } else { UDP };
                nest(PROTO_NUM, out, |out| out.push(number));
                nest(PROTO_SRC_PORT, out, |out| out.extend(tuple.src.port().to_be_bytes()));
                nest(PROTO_DST_PORT, out, |out| out.extend(tuple.dst.port().to_be_bytes()));
            });
        });
    });
}

/// Appends the question how many entries the table has.
pub(crate) fn ask_entries(sequence: u32, out: &mut Vec<u8>) {
    message(GET_STATS, sequence, 0, out, |_| {});
}

fn message(kind: u16, sequence: u32, family: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend([family, 0, 0, 0]);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or_default();
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// An attribute with what `body` writes, padded.
fn nest(kind: u16, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    body(out);
    let length = u16::try_from(out.len() - start).unwrap_or_default();
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

fn address(ip: IpAddr, v4: u16, v6: u16, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => nest(v4, out, |out| out.extend(ip.octets())),
        IpAddr::V6(ip) => nest(v6, out, |out| out.extend(ip.octets())),
    }
}

/// What the messages in one reading say, with the number of the question that each answers. What makes no sense is left
/// out.
pub(crate) fn said(mut bytes: &[u8]) -> Vec<(u32, Said)> {
    let mut all = Vec::new();
    while let Some((length, kind, sequence)) = header(bytes) {
        let Some(body) = bytes.get(HEADER..length) else { break };
        if let Some(said) = one(kind, body) {
            all.push((sequence, said));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn header(bytes: &[u8]) -> Option<(usize, u16, u32)> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let sequence = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    (length >= HEADER).then_some((length, kind, sequence))
}

fn one(kind: u16, body: &[u8]) -> Option<Said> {
    if kind == ERROR {
        return Some(Said::Error(i32::from_ne_bytes(*body.first_chunk()?).wrapping_neg()));
    }
    let attributes = body.get(FAMILY_HEADER..)?;
    match kind {
        ENTRY => Some(Said::Entry(Entry {
            original: tuple(find(attributes, TUPLE_ORIG)?)?,
            reply: tuple(find(attributes, TUPLE_REPLY)?)?,
        })),
        GET_STATS => Some(Said::Entries(u32::from_be_bytes(*find(attributes, STATS_GLOBAL_ENTRIES)?.first_chunk()?))),
        _ => None,
    }
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (find(bytes, TUPLE_IP)?, find(bytes, TUPLE_PROTO)?);
    let transport = match *find(proto, PROTO_NUM)?.first()? {
        TCP => Transport::Tcp,
        UDP => Transport::Udp,
        _ => return None,
    };
    let port = |kind| Some(u16::from_be_bytes(*find(proto, kind)?.first_chunk()?));
    let address = |v4, v6| -> Option<IpAddr> {
        if let Some(octets) = find(ip, v4) {
            return Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into());
        }
        Some(Ipv6Addr::from(*find(ip, v6)?.first_chunk::<16>()?).into())
    };
    Some(Tuple {
        transport,
        src: Endpoint::new(address(IP_V4_SRC, IP_V6_SRC)?, port(PROTO_SRC_PORT)?),
        dst: Endpoint::new(address(IP_V4_DST, IP_V6_DST)?, port(PROTO_DST_PORT)?),
    })
}

/// The body of the first attribute of this kind.
fn find(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & KIND;
        let body = bytes.get(4..length)?;
        if kind == wanted {
            return Some(body);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn tuple_of(src: &str, dst: &str) -> Tuple {
        Tuple { transport: Transport::Tcp, src: src.parse().unwrap(), dst: dst.parse().unwrap() }
    }

    // All of the following is what `strace` shows of conntrack 1.4.7 and Linux 6.18 on x86-64, with two nft rules:
    // `ip daddr 192.0.2.80 tcp dport 80 dnat to 127.0.0.1:8080` and `ip6 daddr 2001:db8::80 tcp dport 80 dnat to [::1]:8080`.

    /// The tuple in the question of `conntrack -G -p tcp --orig-src 10.9.9.9 --orig-dst 192.0.2.80 --sport 40001 --dport 80`.
    const QUESTION: &str = "34000180 14000180 08000100 0a090909 08000200 c0000250 1c000280 05000100 06000000 06000200 \
        9c410000 06000300 00500000";
    const ANSWER: &str = "d4000000 00010200 cf09046b 7a4c0000 02000000 34000180 14000180 08000100 0a090909 08000200 \
        c0000250 1c000280 05000100 06000000 06000200 9c410000 06000300 00500000 34000280 14000180 08000100 7f000001 \
        08000200 0a090909 1c000280 05000100 06000000 06000200 1f900000 06000300 9c410000 08000300 000001ae 08000800 \
        00000000 08000c00 02e49d97 08000b00 00000002 08000700 0006977f 30000480 2c000180 05000100 03000000 05000200 \
        0a000000 05000300 0a000000 06000400 23000000 06000500 23000000";
    /// The same for `--orig-src 2001:db8:9::9 --orig-dst 2001:db8::80 --sport 40002`.
    const QUESTION_V6: &str = "4c000180 2c000180 14000300 20010db8 00090000 00000000 00000009 14000400 20010db8 00000000 \
        00000000 00000080 1c000280 05000100 06000000 06000200 9c420000 06000300 00500000";
    const ANSWER_V6: &str = "04010000 00010200 f409046b 334f0000 0a000000 4c000180 2c000180 14000300 20010db8 00090000 \
        00000000 00000009 14000400 20010db8 00000000 00000000 00000080 1c000280 05000100 06000000 06000200 9c420000 \
        06000300 00500000 4c000280 2c000180 14000300 00000000 00000000 00000000 00000001 14000400 20010db8 00090000 \
        00000000 00000009 1c000280 05000100 06000000 06000200 1f900000 06000300 9c420000 08000300 000001ae 08000800 \
        00000000 08000c00 2ce48a9c 08000b00 00000002 08000700 0006977f 30000480 2c000180 05000100 03000000 05000200 \
        0a000000 05000300 0a000000 06000400 23000000 06000500 23000000";
    /// What is answered to the first for a connection that is not there.
    const NOTHING: &str = "74000000 02000000 e109046b c24d0000 feffffff 60000000 01010500 e109046b 00000000 02000000 \
        34000180 14000180 08000100 0a090909 08000200 c0000250 1c000280 05000100 06000000 06000200 9c450000 06000300 \
        00500000 18000480 14000180 06000400 0a0a0000 06000500 0a0a0000";
    /// The question and answer of `conntrack -C`, which printed 3.
    const COUNT_QUESTION: &str = "14000000 05010100 e109046b 00000000 00000000";
    const COUNT_ANSWER: &str = "24000000 05010200 e109046b c64d0000 00000000 08000100 00000003 08000200 00040000";

    #[test]
    fn questions_are_those_of_conntrack() {
        let question = |tuple: &Tuple| {
            let mut out = Vec::new();
            ask(7, tuple, &mut out);
            out
        };
        let v4 = question(&tuple_of("10.9.9.9:40001", "192.0.2.80:80"));
        assert_eq!(v4[..20], bytes("48000000 01010100 07000000 00000000 02000000"));
        assert_eq!(v4[20..], bytes(QUESTION));
        let v6 = question(&tuple_of("[2001:db8:9::9]:40002", "[2001:db8::80]:80"));
        assert_eq!(v6[..20], bytes("60000000 01010100 07000000 00000000 0a000000"));
        assert_eq!(v6[20..], bytes(QUESTION_V6));
        let mut count = Vec::new();
        ask_entries(0x6b04_09e1, &mut count);
        assert_eq!(count, bytes(COUNT_QUESTION));
    }

    #[test]
    fn answers_are_read() {
        let v4 = Entry {
            original: tuple_of("10.9.9.9:40001", "192.0.2.80:80"),
            reply: tuple_of("127.0.0.1:8080", "10.9.9.9:40001"),
        };
        let v6 = Entry {
            original: tuple_of("[2001:db8:9::9]:40002", "[2001:db8::80]:80"),
            reply: tuple_of("[::1]:8080", "[2001:db8:9::9]:40002"),
        };
        let table = [
            (ANSWER, 0x6b04_09cf, Said::Entry(v4)),
            (ANSWER_V6, 0x6b04_09f4, Said::Entry(v6)),
            (NOTHING, 0x6b04_09e1, Said::Error(libc::ENOENT)),
            (COUNT_ANSWER, 0x6b04_09e1, Said::Entries(3)),
        ];
        for (answer, sequence, expected) in table {
            assert_eq!(said(&bytes(answer)), [(sequence, expected)]);
        }
        let both = [bytes(ANSWER), bytes(NOTHING)].concat();
        assert_eq!(said(&both).len(), 2);
        assert_eq!(said(&both[..both.len() - 1]).len(), 1, "one that is cut off says nothing");
    }

    proptest! {
        #[test]
        fn damage_is_no_reason_to_fall(changes in prop::collection::vec((0..212_usize, any::<u8>()), 0..8), length in 0..=212_usize) {
            let mut damaged = bytes(ANSWER);
            for (at, byte) in changes {
                damaged[at] = byte;
            }
            prop_assert!(said(&damaged[..length]).len() <= 13);
        }
    }
}
