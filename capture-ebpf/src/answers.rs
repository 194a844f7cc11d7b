//! Answers of the name service, as they came by.
//!
//! In: a ring buffer of datagrams. Out: dns events. Never here: what a datagram says; that is for [`crate::dns`].
//!
//! Most answers say what is known already, for programs ask again and again. An answer is left out when the last one of the
//! same address gave it the same name, and the last one to this process holds as long. Anything in between is told anew,
//! because it is the latest answer that names a connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use netflow_capture_abi::{AnswerHead, Plain};
use netflow_core::domains::SHORTEST_NS;
use netflow_core::event::{Body, Dns, Event};

use crate::dns;

/// While the recording goes on, one call reads answers for no longer than this: everything else waits for it. What it leaves
/// is read by the next.
pub(crate) const LONGEST: Duration = Duration::from_millis(10);

/// An answer that holds so much longer than the last is none the less the same: servers round the time that is left.
const SLACK_NS: u64 = 1_000_000_000;

/// So many addresses are remembered.
const MOST_KNOWN: usize = 1 << 13;

/// And of each, so many processes that asked.
const MOST_PROCESSES: usize = 16;

/// What comes from the kernel.
pub(crate) struct Answers {
    ring: RingBuf<MapData>,
    known: Known,
}

impl Answers {
    pub(crate) fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring, known: Known::default() }
    }

    /// Appends what has come. Must be called after everything else was read: who asks a name connects only when it has the
    /// answer, so whatever was read before has its answer here at the latest.
    pub(crate) fn drain(&mut self, longest: Duration, events: &mut Vec<Event>) {
        let began = Instant::now();
        while let Some(item) = self.ring.next() {
            tell(&item, &mut self.known, events);
            drop(item);
            if began.elapsed() >= longest {
                break;
            }
        }
    }
}

fn tell(item: &[u8], known: &mut Known, events: &mut Vec<Event>) -> Option<()> {
    let head = AnswerHead::read(item)?;
    let copied = usize::try_from(head.copied).ok()?;
    let answer = dns::read(item.get(size_of::<AnswerHead>()..)?.get(..copied)?)?;
    let name: Arc<str> = answer.name.into();
    for (addr, ttl_s) in answer.addresses {
        let dns = Dns {
            name: Arc::clone(&name),
            addr,
            ttl_s,
            netns: (head.netns != 0).then_some(head.netns),
            pid: (head.pid != 0).then_some(head.pid),
        };
        if known.is_news(head.at, &dns) {
            events.push(Event { at: head.at, body: Body::Dns(dns) });
        }
    }
    Some(())
}

/// Answers that were told: the last of each address in each namespace.
#[derive(Default)]
struct Known {
    /// Names and addresses are chosen by others: this needs a hash that they cannot foresee.
    last: HashMap<(IpAddr, Option<u32>), Told>,
}

struct Told {
    name: Arc<str>,
    /// Who was told, and until when it holds; the last told is the last.
    processes: Vec<(Option<u32>, u64)>,
}

impl Known {
    /// The answer says more than what was told before.
    fn is_news(&mut self, at: u64, dns: &Dns) -> bool {
        let until = at.saturating_add(u64::from(dns.ttl_s).saturating_mul(1_000_000_000).max(SHORTEST_NS));
        let key = (dns.addr, dns.netns);
        if self.last.len() >= MOST_KNOWN && !self.last.contains_key(&key) {
            self.last.clear();
        }
        let told = self.last.entry(key).or_insert_with(|| Told { name: Arc::clone(&dns.name), processes: Vec::new() });
        if told.name != dns.name {
            told.name = Arc::clone(&dns.name);
            told.processes.clear();
        }
        let known = |(pid, known): &(Option<u32>, u64)| *pid == dns.pid && until <= known.saturating_add(SLACK_NS);
        if told.processes.iter().any(known) {
            return false;
        }
        told.processes.retain(|(pid, until)| *pid != dns.pid && *until > at);
        if told.processes.len() >= MOST_PROCESSES {
            told.processes.remove(0);
        }
        told.processes.push((dns.pid, until));
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const S: u64 = 1_000_000_000;

    fn dns(name: &str, ttl_s: u32, pid: u32) -> Dns {
        Dns { name: name.into(), addr: [192, 0, 2, 1].into(), ttl_s, netns: Some(1), pid: Some(pid) }
    }

    #[test]
    fn an_answer_is_told_again_only_when_it_holds_longer() {
        let mut known = Known::default();
        let table = [
            (0, dns("a", 300, 7), true),
            // From a cache that counts down, rounded up.
            (10, dns("a", 291, 7), false),
            (10, dns("a", 292, 7), true),
            (20, dns("a", 5, 7), false),
            (20, dns("a", 5, 8), true),
            // Any answer holds for a minute at least.
            (21, dns("a", 60, 8), false),
            (20, dns("a", 50, 7), false),
            // Another name of the same address, and the first again.
            (21, dns("b", 5, 8), true),
            (22, dns("b", 0, 8), false),
            (23, dns("b", 0, 8), true),
            (24, dns("a", 5, 7), true),
        ];
        for (at_s, dns, expected) in table {
            assert_eq!(known.is_news(at_s * S, &dns), expected, "{at_s} {dns:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = Known::default();
        for number in 0..3 * u32::try_from(MOST_KNOWN).unwrap() {
            let addr = std::net::Ipv4Addr::from(number).into();
            assert!(known.is_news(0, &Dns { addr, ..dns("a", 300, 7) }));
            assert!(known.is_news(0, &dns("a", 300, number)));
        }
        assert!(known.last.len() <= MOST_KNOWN);
        assert!(known.last.values().all(|told| told.processes.len() <= MOST_PROCESSES));
    }

    #[test]
    fn records_are_taken_apart() {
        let answer =
            b"\0\x01\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
        let record = |copied: usize, rest: &[u8]| {
            let mut record = Vec::new();
            record.extend(9_u64.to_ne_bytes());
            record.extend(77_u64.to_ne_bytes());
            for word in [5, 6, 500, u32::try_from(copied).unwrap()] {
                record.extend(word.to_ne_bytes());
            }
            record.extend(rest);
            record
        };
        let events = |record: &[u8]| {
            let mut events = Vec::new();
            tell(record, &mut Known::default(), &mut events);
            events
        };
        let expected = Dns { netns: Some(6), pid: Some(5), ..dns("a", 60, 0) };
        let whole = record(answer.len(), &[&answer[..], &[0xff; 20]].concat());
        assert_eq!(events(&whole), [Event { at: 77, body: Body::Dns(expected) }]);
        assert_eq!(events(&record(answer.len() + 1, answer)), [], "more is said to be there than there is");
        assert_eq!(events(&whole[..31]), []);
    }
}
