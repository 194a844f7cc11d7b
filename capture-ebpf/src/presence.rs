//! Whether a snapshot reached every connection.
//!
//! In: the events that go out. Out: whether every connection that the stream holds for open was seen by the walks of a
//! snapshot, or came to be after they began; how many connections were told as open, how many by their close alone, and
//! how many of the former are gone without. Never here: the walk itself.
//!
//! A walk over sockets that come and go may miss some, and a tick that calls such a snapshot complete would tell readers
//! that the missed ones are gone. So a snapshot is complete only when nothing is missing; what is missing time and again
//! is gone indeed (its close was lost, and counted as that), and no longer waited for.

use netflow_core::event::{Body, Close, Event, Transport};
use netflow_core::law::is_connect_failure;
use rustc_hash::FxHashMap;

/// A connection that is missing from so many snapshots in a row is gone.
const GONE: u8 = 3;

/// When a connection was last seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: u64,
    /// Its open went out.
    opened: bool,
    is_tcp: bool,
    misses: u8,
}

/// The connections that the stream holds for open.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    open: FxHashMap<u64, Seen>,
    opened_tcp: u64,
    gone_tcp: u64,
    without_open: u64,
}

impl Presence {
    /// Learns from events that go out, in any order: an id is never used again after its close. Their samples are of walks
    /// that began at `walked_at`; a sample's own time may be that of an end before.
    pub(crate) fn learn(&mut self, events: &[Event], walked_at: u64) {
        for event in events {
            match &event.body {
                Body::Open(open) => {
                    let seen = self.see(open.conn, event.at);
                    let news = !std::mem::replace(&mut seen.opened, true);
                    seen.is_tcp = open.identity.transport == Transport::Tcp;
                    self.opened_tcp += u64::from(news && seen.is_tcp);
                }
                Body::Sample(sample) => _ = self.see(sample.conn, event.at.max(walked_at)),
                _ => {}
            }
        }
        for event in events {
            if let Body::Close(close) = &event.body {
                let known = self.open.remove(&close.conn);
                self.without_open += u64::from(known.is_none_or(|seen| !seen.opened) && is_introducing(close));
            }
        }
    }

    fn see(&mut self, conn: u64, at: u64) -> &mut Seen {
        let seen = self.open.entry(conn).or_insert(Seen { at, opened: false, is_tcp: false, misses: 0 });
        (seen.at, seen.misses) = (seen.at.max(at), 0);
        seen
    }

    /// TCP connections whose open went out.
    pub(crate) fn opened_tcp(&self) -> u64 {
        self.opened_tcp
    }

    /// TCP connections, of those, that are gone without a close.
    pub(crate) fn gone_tcp(&self) -> u64 {
        self.gone_tcp
    }

    /// Connections whose close went out, and brought along who they were, without their open.
    pub(crate) fn without_open(&self) -> u64 {
        self.without_open
    }

    /// Something was not seen since then.
    pub(crate) fn is_missing_some(&self, since: u64) -> bool {
        self.open.values().any(|seen| seen.at < since)
    }

    /// The snapshot whose walks began then is over: true when nothing is missing but what is gone.
    pub(crate) fn end_snapshot(&mut self, since: u64) -> bool {
        let mut complete = true;
        self.open.retain(|_, seen| {
            if seen.at >= since {
                return true;
            }
            seen.misses += 1;
            let is_gone = seen.misses >= GONE;
            complete &= is_gone;
            self.gone_tcp += u64::from(is_gone && seen.is_tcp);
            !is_gone
        });
        complete
    }
}

/// The close says who the connection was, and that it had been open.
fn is_introducing(close: &Close) -> bool {
    close.identity.as_deref().is_some_and(|identity| !is_connect_failure(close, identity))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use netflow_core::event::{Close, Identity, Open, Sample, TcpStates, Totals};

    fn open(conn: u64, at: u64) -> Event {
        let identity = Identity::new(Transport::Tcp, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        Event { at, body: Body::Open(Open { conn, identity: identity.into() }) }
    }

    fn sample(conn: u64, at: u64) -> Event {
        Event { at, body: Body::Sample(Sample { conn, totals: Totals::default(), identity: None }) }
    }

    fn close(conn: u64) -> Event {
        let body =
            Close { conn, totals: Totals::default(), identity: None, tcp_states: TcpStates::default(), reason: None };
        Event { at: 1, body: Body::Close(body) }
    }

    /// A close that says who the connection was, and this state.
    fn introducing(conn: u64, state: &str) -> Event {
        let (Body::Open(open), Body::Close(bare)) = (open(conn, 0).body, close(conn).body) else { unreachable!() };
        let tcp_states = TcpStates::default().with_name(state).unwrap();
        Event { at: 1, body: Body::Close(Close { identity: Some(open.identity), tcp_states, ..bare }) }
    }

    #[test]
    fn a_walk_sees_what_is_over_too() {
        let mut presence = Presence::default();
        presence.learn(&[open(1, 5)], 0);
        presence.learn(&[sample(1, 6)], 10);
        assert!(!presence.is_missing_some(10));
        assert!(presence.end_snapshot(10));
    }

    #[test]
    fn a_snapshot_is_complete_when_all_that_is_open_was_seen() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1, 11), sample(2, 11)], 0);
        assert!(presence.end_snapshot(10));
        presence.learn(&[sample(1, 21)], 0);
        assert!(presence.is_missing_some(20));
        assert!(!presence.end_snapshot(20), "2 is missing");
        presence.learn(&[sample(1, 31), sample(2, 30)], 0);
        assert!(!presence.is_missing_some(30));
        assert!(presence.end_snapshot(30), "2 was only missed");
        presence.learn(&[sample(1, 41), close(2)], 0);
        assert!(presence.end_snapshot(40), "2 is closed");
    }

    #[test]
    fn what_is_missing_time_and_again_is_gone() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1, 11)], 0);
        assert!(presence.end_snapshot(10));
        let complete: Vec<bool> = (2..6).map(|snapshot| presence.end_snapshot(10 * snapshot)).collect();
        assert_eq!(complete, [false, false, true, true]);
    }

    #[test]
    fn what_is_gone_is_counted_once_and_only_if_it_was_told_as_open() {
        let mut presence = Presence::default();
        presence.learn(&[open(1, 5), open(2, 5), open(3, 5), sample(4, 5)], 0);
        presence.learn(&[close(2)], 0);
        let gone: Vec<u64> = (1..6)
            .map(|snapshot| {
                presence.learn(&[sample(3, 10 * snapshot)], 0);
                presence.end_snapshot(10 * snapshot);
                presence.gone_tcp()
            })
            .collect();
        assert_eq!(gone, [0, 0, 1, 1, 1], "2 is closed, 3 is there, nobody told who 4 is");
    }

    #[test]
    fn a_close_that_introduces_its_connection_stands_for_a_lost_open() {
        let mut presence = Presence::default();
        presence.learn(&[introducing(1, "established"), introducing(2, "syn_sent"), close(3)], 0);
        assert_eq!(presence.without_open(), 1, "2 never opened, and of 3 nothing is known");
        presence.learn(&[introducing(4, "established"), open(4, 0)], 0);
        presence.learn(&[open(5, 0)], 0);
        presence.learn(&[introducing(5, "established")], 0);
        assert_eq!(presence.without_open(), 1, "the walk told the open of both");
    }

    #[test]
    fn what_opened_before_the_walks_must_have_been_seen_by_them() {
        let mut presence = Presence::default();
        presence.learn(&[sample(1, 21), open(1, 5), open(2, 19), open(3, 20), close(4)], 0);
        assert!(presence.is_missing_some(20) && !presence.end_snapshot(20), "2 may be gone");
        presence.learn(&[sample(2, 20)], 0);
        assert!(presence.end_snapshot(20));
        assert_eq!(presence.opened_tcp(), 3);
    }
}
