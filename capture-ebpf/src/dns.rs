//! What an answer of the name service says: the name that was asked for, and its addresses.
//!
//! In: the bytes of a datagram that came from a name server, or of its first part: anything that anybody may have sent.
//! Out: addresses, found through the chain of canonical names. Never here: which answer belongs to which question; the
//! socket saw to that, or did not.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::ParsedName;
use domain::base::{Message, ParsedRecord};
use domain::rdata::{A, Aaaa, Cname};

/// A chain of canonical names is followed so far; resolvers give up earlier.
const MOST_LINKS: usize = 16;

/// The records are gone through so many times. Once is enough where they are in order; whoever answers must not choose how
/// long this takes.
const MOST_PASSES: usize = 4;

/// A TTL above this has its sign set, which means 0 (RFC 2181, section 8).
const MOST_TTL: u32 = i32::MAX.unsigned_abs();

/// An answer that has addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for, in lower case and without the dot at its end.
    pub name: String,
    /// Its addresses, canonical, in the order of the answer; for how many seconds each holds: the least of all records
    /// that led there.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Reads an answer. `None` when it is none, says that there is no such name, or has no address of it. Of an answer that is
/// cut off, what is left of it counts.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Answer> {
    let message = Message::from_slice(bytes).ok()?;
    let header = message.header();
    if !header.qr() || header.opcode() != Opcode::QUERY || header.rcode() != Rcode::NOERROR {
        return None;
    }
    if message.header_counts().ancount() == 0 {
        return None;
    }
    let question = message.first_question()?;
    let asked = question.qname();
    if question.qclass() != Class::IN || asked.is_root() {
        return None;
    }
    let mut chain = Chain { name: *asked, ttl_s: MOST_TTL, links: 0, addresses: Vec::new() };
    for _ in 0..MOST_PASSES {
        let links = chain.links;
        // Behind a record that is cut off or damaged nothing can be found.
        message.answer().ok()?.map_while(Result::ok).for_each(|record| chain.follow(&record));
        if !chain.addresses.is_empty() || chain.links == links {
            break;
        }
    }
    if chain.addresses.is_empty() {
        return None;
    }
    let mut name = asked.to_string();
    name.make_ascii_lowercase();
    Some(Answer { name, addresses: chain.addresses })
}

/// What is known while the records are gone through.
struct Chain<'a> {
    /// The name whose addresses are looked for.
    name: ParsedName<&'a [u8]>,
    ttl_s: u32,
    links: usize,
    addresses: Vec<(IpAddr, u32)>,
}

impl<'a> Chain<'a> {
    fn follow(&mut self, record: &ParsedRecord<'a, [u8]>) {
        if record.class() != Class::IN || record.owner() != self.name {
            return;
        }
        let said = record.ttl().as_secs();
        let ttl_s = self.ttl_s.min(if said > MOST_TTL { 0 } else { said });
        match record.rtype() {
            Rtype::A => {
                if let Ok(Some(address)) = record.to_record::<A>() {
                    self.addresses.push((IpAddr::V4(address.data().addr()), ttl_s));
                }
            }
            Rtype::AAAA => {
                if let Ok(Some(address)) = record.to_record::<Aaaa>() {
                    self.addresses.push((IpAddr::V6(address.data().addr()).to_canonical(), ttl_s));
                }
            }
            Rtype::CNAME if self.links < MOST_LINKS => {
                if let Ok(Some(canonical)) = record.to_record::<Cname<ParsedName<&[u8]>>>() {
                    self.name = *canonical.data().cname();
                    self.ttl_s = ttl_s;
                    self.links += 1;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// What dnsmasq 2.90 answered to `dig www.example.test A`, with
    /// `cname=www.example.test,middle.example.test,600`, `cname=middle.example.test,end.example.test,20`,
    /// `host-record=end.example.test,192.0.2.10,2001:db8::10,300` and `host-record=end.example.test,192.0.2.11`.
    const CHAIN: &str = "12348580000100040000000103777777076578616d706c6504746573740000010001c00c000500010000025800150\
        66d6964646c65076578616d706c65047465737400c02e0005000100000014001203656e64076578616d706c65047465737400c04f0001000\
        10000012c0004c000020ac04f00010001000000000004c000020b00002904d0000000000000";
    /// The same server's answer to `dig WwW.Example.test AAAA +noedns`.
    const CHAIN_V6: &str = "12348580000100030000000003577757074578616d706c65047465737400001c0001c00c0005000100000258001506\
        6d6964646c65076578616d706c65047465737400c02e0005000100000014001203656e64076578616d706c65047465737400c04f001c0001\
        0000012c001020010db8000000000000000000000010";
    /// And to `dig nothing.example.test A +noedns`, a name that it does not know.
    const NOTHING: &str = "123481850001000000000000076e6f7468696e67076578616d706c6504746573740000010001";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn said(bytes: &[u8]) -> Option<(String, Vec<String>)> {
        let answer = read(bytes)?;
        Some((answer.name, answer.addresses.iter().map(|(addr, ttl_s)| format!("{addr} {ttl_s}")).collect()))
    }

    fn expect(name: &str, addresses: &[&str]) -> Option<(String, Vec<String>)> {
        Some((name.to_owned(), addresses.iter().map(ToString::to_string).collect()))
    }

    /// A message by hand: flags, one question for an address, and as many records as are given.
    fn message(flags: u16, asked: &[u8], records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend(flags.to_be_bytes());
        message.extend([0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
        message.extend(asked);
        message.extend([0, 1, 0, 1]);
        for (owner, kind, ttl_s, data) in records {
            message.extend(*owner);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1]);
            message.extend(ttl_s.to_be_bytes());
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(*data);
        }
        message
    }

    const ANSWER: u16 = 0x8180;

    #[test]
    fn names_are_those_that_were_asked_for_with_the_least_ttl() {
        assert_eq!(said(&bytes(CHAIN)), expect("www.example.test", &["192.0.2.10 20", "192.0.2.11 0"]));
        assert_eq!(said(&bytes(CHAIN_V6)), expect("www.example.test", &["2001:db8::10 20"]));
        assert_eq!(said(&bytes(NOTHING)), None);
    }

    #[test]
    fn what_is_left_of_an_answer_counts() {
        let whole = bytes(CHAIN);
        // The second address begins 16 bytes before the end of the answers, which is 11 bytes before the end.
        let table = [(whole.len() - 12, 1), (whole.len() - 27, 1), (whole.len() - 28, 0), (40, 0), (11, 0), (0, 0)];
        for (length, addresses) in table {
            let found = read(&whole[..length]).map_or(0, |answer| answer.addresses.len());
            assert_eq!(found, addresses, "{length}");
        }
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        let address: (&[u8], u16, u32, &[u8]) = (b"\x01a\x00", 1, 60, &[192, 0, 2, 1]);
        assert_eq!(said(&message(ANSWER, b"\x01a\x00", &[address])), expect("a", &["192.0.2.1 60"]));
        // A question, another kind of message, an error, the root.
        assert_eq!(said(&message(0x0100, b"\x01a\x00", &[address])), None);
        assert_eq!(said(&message(0xa800, b"\x01a\x00", &[address])), None);
        assert_eq!(said(&message(0x8183, b"\x01a\x00", &[address])), None);
        assert_eq!(said(&message(ANSWER, b"\x00", &[(b"\x00", 1, 60, &[192, 0, 2, 1])])), None);
        // Somebody else's address, and one of a wrong length.
        assert_eq!(said(&message(ANSWER, b"\x01b\x00", &[address])), None);
        assert_eq!(said(&message(ANSWER, b"\x01a\x00", &[(b"\x01a\x00", 1, 60, &[192, 0, 2])])), None);
    }

    #[test]
    fn chains_end() {
        let (to_b, to_a): (&[u8], &[u8]) = (b"\x01b\x00", b"\x01a\x00");
        assert_eq!(said(&message(ANSWER, to_a, &[(to_a, 5, 60, to_b), (to_b, 5, 60, to_a)])), None);
        // Out of order: the address comes before the name that leads to it.
        let backwards = message(ANSWER, to_a, &[(to_b, 1, 90, &[192, 0, 2, 1]), (to_a, 5, 60, to_b)]);
        assert_eq!(said(&backwards), expect("a", &["192.0.2.1 60"]));
        // A name that points to itself.
        assert_eq!(said(&message(ANSWER, b"\xc0\x0c", &[(b"\xc0\x0c", 1, 60, &[192, 0, 2, 1])])), None);
    }

    #[test]
    fn odd_values_are_told_as_they_are_meant() {
        let mapped = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        let odd = message(ANSWER, b"\x03A .\x00", &[(b"\xc0\x0c", 28, u32::MAX, &mapped)]);
        assert_eq!(said(&odd), expect("a\\ \\.", &["192.0.2.7 0"]));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..1300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_damage_is_too_odd(changes in prop::collection::vec((0..140_usize, any::<u8>()), 1..8), length in 0..=140_usize) {
            let mut damaged = bytes(CHAIN);
            for (at, byte) in changes {
                damaged[at] = byte;
            }
            if let Some(answer) = read(&damaged[..length]) {
                prop_assert!(answer.addresses.len() <= 4 && answer.name.len() <= 1020);
            }
        }
    }
}
