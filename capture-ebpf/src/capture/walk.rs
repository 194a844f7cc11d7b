//! Walks over what exists: owners, samples of everything that is open.
//!
//! A walk that breaks off is no error: what it found counts, and the snapshot that it belongs to is not complete.

use std::time::Instant;

use netflow_capture_abi::{
    COUNTED_LIVE, FlowRecord, Head, Identity, KIND_TCP_CLOSE, KIND_TCP_KNOWN_SAMPLE, KIND_TCP_SAMPLE, OPEN_SENT,
    OVERFLOW, OWNER_CHANGED, PREEXISTING, Plain as _, TcpRecord, TcpSample,
};
use netflow_core::event::Event;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Capture;
use crate::attach::Walk;
use crate::convert::{tcp_close, tcp_open, tcp_sample};
use crate::error::CaptureError;
use crate::host;

/// The TCP sockets, as the last walk over them found them.
pub(super) struct TcpSockets {
    pub(super) walk: Walk,
    pub(super) found: Vec<u8>,
}

impl TcpSockets {
    /// What was found. A sample of a connection that is known has no identity but its direction.
    fn records(&self) -> impl Iterator<Item = TcpRecord> + '_ {
        let mut rest = &*self.found;
        std::iter::from_fn(move || {
            let (record, length) = match TcpSample::read(rest)? {
                TcpSample { head, counters, direction } if head.kind == KIND_TCP_KNOWN_SAMPLE => {
                    let direction = u8::try_from(direction).unwrap_or_default();
                    let identity = Identity { direction, ..Identity::default() };
                    let head = Head { kind: KIND_TCP_SAMPLE, ..head };
                    (TcpRecord { head, identity, counters }, size_of::<TcpSample>())
                }
                _ => (TcpRecord::read(rest)?, size_of::<TcpRecord>()),
            };
            rest = &rest[length..];
            Some(record)
        })
    }
}

/// What the ring says is closed, by id, with the head of the record that says so.
pub(super) type Closed = FxHashMap<u64, Head>;

/// What a snapshot has seen so far.
pub(super) struct Seen {
    /// Connections that have their sample.
    pub(super) conns: FxHashSet<u64>,
    /// No walk broke off.
    pub(super) complete: bool,
}

impl Capture {
    /// Looks through all descriptors for sockets without storage or owner.
    pub(super) fn find_owners(&mut self) -> Result<(), CaptureError> {
        self.owners_seen = Instant::now();
        self.owners.run(&mut Vec::new())
    }

    /// Walks over the TCP sockets; false when the walk broke off.
    pub(super) fn walk_tcp(&mut self) -> bool {
        self.tcp.found.clear();
        self.tcp.walk.run(&mut self.tcp.found).is_ok()
    }

    /// Samples of everything, and what happened until they were taken.
    pub(super) fn sample(&mut self, seen: &mut Seen, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        // The walks come first: whatever they saw was opened by a record that the drain after them finds.
        seen.complete &= self.walk_tcp();
        let (rows, whole) = self.table.walk();
        seen.complete &= whole;
        let at = host::now();
        let mut closed = Closed::default();
        self.drain(events, &mut closed)?;
        self.tell_tcp(&closed, seen, events);
        self.tell_flows(&rows, at, &closed, events)
    }

    /// Samples of the TCP connections alone, and what happened until they were taken.
    pub(super) fn sample_tcp(&mut self, seen: &mut Seen, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        seen.complete &= self.walk_tcp();
        let mut closed = Closed::default();
        self.drain(events, &mut closed)?;
        self.tell_tcp(&closed, seen, events);
        Ok(())
    }

    /// Walks over the TCP sockets once more after the recording was stopped, and appends what no earlier walk found.
    pub(super) fn straggle(&mut self, seen: &mut Seen, events: &mut Vec<Event>) {
        seen.complete &= self.walk_tcp();
        for record in self.tcp.records() {
            match record.head.kind {
                KIND_TCP_CLOSE => tcp_close(&record, events),
                // Counted as live just now.
                KIND_TCP_SAMPLE if record.head.flags & COUNTED_LIVE == 0 => tcp_sample(&record, events),
                _ => {}
            }
        }
    }

    /// Appends what the walk over the TCP sockets found, apart from samples of what the ring says is closed.
    fn tell_tcp(&self, closed: &Closed, seen: &mut Seen, events: &mut Vec<Event>) {
        for record in self.tcp.records() {
            match (record.head.kind, closed.get(&record.head.id)) {
                (KIND_TCP_CLOSE, _) => tcp_close(&record, events),
                (KIND_TCP_SAMPLE, Some(close)) => events.extend(news_of_closed(&record, close)),
                // A walk over sockets that come and go may see one twice, and so may several walks.
                (KIND_TCP_SAMPLE, None) if seen.conns.insert(record.head.id) => tcp_sample(&record, events),
                _ => {}
            }
        }
    }

    /// Appends the rows of the UDP flows, as they were at `at`; what was silent for too long is closed.
    fn tell_flows(
        &mut self,
        rows: &[FlowRecord],
        at: u64,
        closed: &Closed,
        events: &mut Vec<Event>,
    ) -> Result<(), CaptureError> {
        self.flows.find(rows);
        let idle = u64::try_from(self.options.udp_idle.as_nanos()).unwrap_or(u64::MAX);
        let now = host::now_coarse();
        for row in rows {
            if closed.contains_key(&row.head.id) {
                continue;
            }
            self.flows.open(row, events);
            if row.head.flags & OVERFLOW == 0 && now.saturating_sub(row.counters.last_at) >= idle {
                self.flows.expire(row, at, &mut self.table, events)?;
            } else {
                self.flows.sample(row, at, events);
            }
        }
        Ok(())
    }
}

/// The open, or another owner, of a connection that ended while the walk was about to tell it. The walk has claimed it, so
/// nobody else tells or counts it; but the close of one that is older than the recording may bring its open along.
fn news_of_closed(record: &TcpRecord, close: &Head) -> Option<Event> {
    // The walk may have read the clock later than the other processor.
    let at = record.head.at.min(close.at.saturating_sub(1));
    let record = TcpRecord { head: Head { at, ..record.head }, ..*record };
    if record.head.flags & OPEN_SENT == 0 {
        let is_brought = close.flags & (OPEN_SENT | PREEXISTING) == PREEXISTING;
        return (!is_brought).then(|| tcp_open(&record.head, &record.identity));
    }
    let is_news = record.head.flags & OWNER_CHANGED != 0;
    let mut told = Vec::new();
    if is_news {
        tcp_sample(&record, &mut told);
    }
    told.pop()
}

#[cfg(test)]
mod tests {
    use netflow_capture_abi::OPENED;
    use netflow_core::event::Body;

    use super::*;

    #[test]
    fn news_of_what_ended_during_the_walk_come_before_its_close() {
        let record =
            |flags, at| TcpRecord { head: Head { flags, at, id: 7, ..Head::default() }, ..TcpRecord::default() };
        let told = |sampled: TcpRecord, close: Head| {
            news_of_closed(&sampled, &close).map(|event| (event.at, matches!(event.body, Body::Open(_))))
        };
        let close = |flags| record(flags, 100).head;
        assert_eq!(told(record(OPENED, 90), close(OPENED | OPEN_SENT)), Some((90, true)));
        assert_eq!(told(record(OPENED, 101), close(OPENED | OPEN_SENT)), Some((99, true)));
        assert_eq!(told(record(OPENED, 100), close(OPENED)), Some((99, true)), "the close was copied before the claim");
        assert_eq!(told(record(OPENED | OPEN_SENT, 90), close(OPENED | OPEN_SENT)), None, "told long ago");
        let older = OPENED | PREEXISTING;
        assert_eq!(told(record(older, 90), close(older)), None, "the close brings it along");
        assert_eq!(told(record(older, 90), close(older | OPEN_SENT)), Some((90, true)));
        let moved = OPENED | OPEN_SENT | OWNER_CHANGED;
        assert_eq!(told(record(moved, 101), close(OPENED | OPEN_SENT)), Some((99, false)), "the close relies on it");
    }
}
