//! Whether a snapshot reached every connection.
//!
//! In: the events that go out. Out: whether every connection that the stream holds for open was seen since the last
//! tick. Never here: the walk itself.
//!
//! A walk over sockets that come and go may miss some, and a tick that calls such a snapshot complete would tell readers
//! that the missed ones are gone. So a snapshot is complete only when nothing is missing; what is missing time and again
//! is gone indeed (its close was lost, and counted as that), and no longer waited for.

use netflow_core::event::{Body, Event, Transport};
use rustc_hash::FxHashMap;

/// A connection that is missing from so many snapshots in a row is gone.
const GONE: u8 = 3;

/// When a connection was last seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    snapshot: u64,
    /// It has a sample in this snapshot.
    sampled: bool,
    misses: u8,
}

/// The connections that the stream holds for open.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    open: FxHashMap<u64, Seen>,
    snapshot: u64,
    opened_tcp: u64,
}

impl Presence {
    /// Learns from events that go out, in any order: an id is never used again after its close.
    pub(crate) fn learn(&mut self, events: &[Event]) {
        for event in events {
            match &event.body {
                Body::Open(open) => {
                    let news = self.see(open.conn, false);
                    self.opened_tcp += u64::from(news && open.identity.transport == Transport::Tcp);
                }
                Body::Sample(sample) => _ = self.see(sample.conn, true),
                _ => {}
            }
        }
        for event in events {
            if let Body::Close(close) = &event.body {
                self.open.remove(&close.conn);
            }
        }
    }

    /// True when it was not known.
    fn see(&mut self, conn: u64, sampled: bool) -> bool {
        let before = self.open.get(&conn).copied();
        let sampled = sampled || before.is_some_and(|seen| seen.sampled);
        self.open.insert(conn, Seen { snapshot: self.snapshot, sampled, misses: 0 });
        before.is_none()
    }

    /// TCP connections whose open went out.
    pub(crate) fn opened_tcp(&self) -> u64 {
        self.opened_tcp
    }

    /// Something was not seen since the last snapshot ended.
    pub(crate) fn is_missing_some(&self) -> bool {
        self.open.values().any(|seen| seen.snapshot != self.snapshot)
    }

    /// Something that is open has no sample since the last snapshot ended.
    pub(crate) fn lacks_samples(&self) -> bool {
        self.open.values().any(|seen| !seen.sampled)
    }

    /// The snapshot is over: true when nothing is missing but what is gone.
    pub(crate) fn end_snapshot(&mut self) -> bool {
        let mut complete = true;
        self.open.retain(|_, seen| {
            seen.sampled = false;
            if seen.snapshot == self.snapshot {
                return true;
            }
            seen.misses += 1;
            complete &= seen.misses >= GONE;
            seen.misses < GONE
        });
        self.snapshot += 1;
        complete
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    use netflow_core::event::{Close, Identity, Open, Sample, TcpStates, Totals};

    fn open(conn: u64) -> Event {
        let identity = Identity::new(Transport::Tcp, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        Event { at: 1, body: Body::Open(Open { conn, identity: Arc::new(identity) }) }
    }

    fn sample(conn: u64) -> Event {
        Event { at: 1, body: Body::Sample(Sample { conn, totals: Totals::default(), identity: None }) }
    }

    fn close(conn: u64) -> Event {
        let body =
            Close { conn, totals: Totals::default(), identity: None, tcp_states: TcpStates::default(), reason: None };
        Event { at: 1, body: Body::Close(body) }
    }

    #[test]
    fn a_snapshot_is_complete_when_all_that_is_open_was_seen() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1), sample(2)]);
        assert!(presence.end_snapshot());
        presence.learn(&[sample(1)]);
        assert!(presence.is_missing_some());
        assert!(!presence.end_snapshot(), "2 is missing");
        presence.learn(&[sample(1), sample(2)]);
        assert!(!presence.is_missing_some());
        assert!(presence.end_snapshot(), "2 was only missed");
        presence.learn(&[sample(1), close(2)]);
        assert!(presence.end_snapshot(), "2 is closed");
    }

    #[test]
    fn an_open_is_no_sample() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1)]);
        assert!(!presence.lacks_samples() && presence.end_snapshot());
        assert!(presence.lacks_samples(), "of the last snapshot");
        presence.learn(&[sample(1), open(2), open(3)]);
        assert!(!presence.is_missing_some() && presence.lacks_samples());
        presence.learn(&[sample(2), close(3), open(2)]);
        assert!(!presence.lacks_samples());
        assert_eq!(presence.opened_tcp(), 2);
    }

    #[test]
    fn what_is_missing_time_and_again_is_gone() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1)]);
        assert!(presence.end_snapshot());
        let complete: Vec<bool> = (0..4).map(|_| presence.end_snapshot()).collect();
        assert_eq!(complete, [false, false, true, true]);
    }
}
