//! UDP flows: opened by a datagram, closed by the release of their socket or by silence.
//!
//! In: records of opens and releases, rows of the table. Out: events, one open and one close for each flow. Never here:
//! the kernel; rows are taken out of its table through [`Table`].

use netflow_capture_abi::{FlowKey, FlowRecord, OVERFLOW, SHARED};
use netflow_core::event::{Body, Close, Event, Identity, Open, Reason, Sample, TcpStates, Transport};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

use crate::convert::{flow_totals, identity};
use crate::error::CaptureError;

/// The kernel's table of flows.
pub(crate) trait Table {
    /// Takes a row out.
    fn take(&mut self, key: &FlowKey) -> Result<Option<FlowRecord>, CaptureError>;
    /// Reads all rows.
    fn rows(&mut self) -> Result<Vec<FlowRecord>, CaptureError>;
}

/// What a socket's rows are.
#[derive(Default)]
struct Socket {
    keys: FxHashSet<Key>,
    /// How many of its flows have ended.
    ended: u64,
}

/// What tells the flows of one socket apart.
type Key = ([u8; 16], [u8; 16], u16, u16);

/// The flows that the stream knows.
#[derive(Default)]
pub(crate) struct Flows {
    sockets: FxHashMap<u64, Socket>,
    /// Flows whose open was told and whose close was not, with the owner that was told.
    told: FxHashMap<u64, Owner>,
    /// Rows for overflow among them, with the walks in a row that did not find them: the release of their socket may get
    /// lost.
    overflow: FxHashMap<u64, u8>,
    closed: u64,
}

/// A row for overflow that so many walks in a row do not find is gone.
const GONE: u8 = 3;

/// What may change about a flow's owner: the process, and whether others hold the socket too.
type Owner = (u32, bool);

fn owner(record: &FlowRecord) -> Owner {
    (record.identity.pid, record.head.flags & SHARED != 0)
}

fn key(record: &FlowRecord) -> Key {
    let identity = &record.identity;
    (identity.local, identity.remote, identity.local_port, identity.remote_port)
}

fn table_key(socket: u64, (local, remote, local_port, remote_port): Key) -> FlowKey {
    FlowKey { socket, local, remote, local_port, remote_port, reserved: 0 }
}

fn flow_identity(record: &FlowRecord, at: u64) -> Arc<Identity> {
    identity(&record.identity, Transport::Udp, record.head.flags, at)
}

impl Flows {
    /// How many closes were told.
    pub(crate) fn closed(&self) -> u64 {
        self.closed
    }

    /// How many flows are open, by the last walk.
    pub(crate) fn live(&self) -> u64 {
        let missing = self.overflow.values().filter(|misses| **misses > 0).count();
        (self.told.len() - missing) as u64
    }

    /// A walk found these rows.
    pub(crate) fn find(&mut self, rows: &[FlowRecord]) {
        self.overflow.values_mut().for_each(|misses| *misses += 1);
        for row in rows {
            if let Some(misses) = self.overflow.get_mut(&row.head.id) {
                *misses = 0;
            }
        }
        let told = &mut self.told;
        self.overflow.retain(|id, misses| {
            let is_gone = *misses >= GONE;
            if is_gone {
                told.remove(id);
            }
            !is_gone
        });
    }

    /// A flow was opened, or was found in the table without having been told.
    pub(crate) fn open(&mut self, record: &FlowRecord, out: &mut Vec<Event>) {
        if self.told.contains_key(&record.head.id) {
            return;
        }
        self.told.insert(record.head.id, owner(record));
        if record.head.flags & OVERFLOW == 0 {
            self.sockets.entry(record.socket).or_default().keys.insert(key(record));
        } else {
            self.overflow.insert(record.head.id, 0);
        }
        let at = record.head.at;
        out.push(Event { at, body: Body::Open(Open { conn: record.head.id, identity: flow_identity(record, at) }) });
    }

    /// The totals of a flow, unless it was closed since they were read.
    pub(crate) fn sample(&mut self, record: &FlowRecord, at: u64, out: &mut Vec<Event>) {
        let Some(told) = self.told.get_mut(&record.head.id) else { return };
        let news = *told != owner(record);
        *told = owner(record);
        out.push(Event {
            at,
            body: Body::Sample(Sample {
                conn: record.head.id,
                totals: flow_totals(&record.counters),
                identity: news.then(|| flow_identity(record, at)),
            }),
        });
    }

    fn close(&mut self, record: &FlowRecord, at: u64, reason: Reason, out: &mut Vec<Event>) {
        self.open(record, out);
        let told = self.told.remove(&record.head.id);
        self.overflow.remove(&record.head.id);
        let news = told != Some(owner(record));
        self.closed += 1;
        out.push(Event {
            at,
            body: Body::Close(Close {
                conn: record.head.id,
                totals: flow_totals(&record.counters),
                identity: news.then(|| flow_identity(record, at)),
                tcp_states: TcpStates::default(),
                reason: Some(reason),
            }),
        });
    }

    /// A socket was released: all its flows end.
    ///
    /// `release` is the record that says so: its flow is the overflow row (if it has an id), its spare counter says how
    /// many flows the socket had.
    pub(crate) fn release(
        &mut self,
        release: &FlowRecord,
        table: &mut impl Table,
        out: &mut Vec<Event>,
    ) -> Result<(), CaptureError> {
        let at = release.head.at;
        let socket = self.sockets.remove(&release.socket).unwrap_or_default();
        let mut ended = socket.ended;
        for key in socket.keys {
            if let Some(record) = table.take(&table_key(release.socket, key))? {
                self.close(&record, at, Reason::Unknown, out);
            }
            ended += 1;
        }
        if ended < release.counters.reserved {
            // An open found no room in the ring: look for its row.
            for row in table.rows()? {
                if row.socket == release.socket
                    && let Some(record) = table.take(&table_key(row.socket, key(&row)))?
                {
                    self.close(&record, at, Reason::Unknown, out);
                }
            }
        }
        if release.head.id != 0 {
            self.close(release, at, Reason::Unknown, out);
        }
        // What `close` had to open anew belongs to a socket that is gone.
        self.sockets.remove(&release.socket);
        Ok(())
    }

    /// A flow that was silent for long ends; what its socket does later is a new flow.
    pub(crate) fn expire(
        &mut self,
        row: &FlowRecord,
        at: u64,
        table: &mut impl Table,
        out: &mut Vec<Event>,
    ) -> Result<(), CaptureError> {
        if let Some(record) = table.take(&table_key(row.socket, key(row)))? {
            self.close(&record, at, Reason::Idle, out);
            let socket = self.sockets.entry(row.socket).or_default();
            socket.keys.remove(&key(row));
            socket.ended += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use netflow_capture_abi::{FlowCounters, Head};

    #[derive(Default)]
    struct Rows(Vec<FlowRecord>);

    impl Table for Rows {
        fn take(&mut self, wanted: &FlowKey) -> Result<Option<FlowRecord>, CaptureError> {
            let at = self.0.iter().position(|row| table_key(row.socket, key(row)) == *wanted);
            Ok(at.map(|at| self.0.remove(at)))
        }

        fn rows(&mut self) -> Result<Vec<FlowRecord>, CaptureError> {
            Ok(self.0.clone())
        }
    }

    fn row(id: u64, socket: u64, remote_port: u16, bytes: u64) -> FlowRecord {
        let mut row = FlowRecord { socket, ..FlowRecord::default() };
        row.head = Head { id, at: id, ..Head::default() };
        row.identity.remote_port = remote_port;
        row.counters.sent_bytes = bytes;
        row
    }

    fn release(socket: u64, flows: u64) -> FlowRecord {
        let counters = FlowCounters { reserved: flows, ..FlowCounters::default() };
        FlowRecord { socket, counters, head: Head { at: 90, ..Head::default() }, ..FlowRecord::default() }
    }

    fn words(events: &[Event]) -> Vec<String> {
        let word = |event: &Event| match &event.body {
            Body::Open(open) => format!("open {}", open.conn),
            Body::Sample(sample) => format!("sample {} {}", sample.conn, sample.totals.sent_bytes),
            Body::Close(close) => {
                format!("close {} {} {}", close.conn, close.totals.sent_bytes, close.reason.unwrap().name())
            }
            other => format!("{other:?}"),
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn a_release_ends_all_flows_of_its_socket_told_or_not() {
        let mut table = Rows(vec![row(1, 7, 10, 100), row(2, 7, 11, 200), row(3, 8, 10, 300)]);
        let (mut flows, mut out) = (Flows::default(), Vec::new());
        flows.open(&row(1, 7, 10, 0), &mut out);
        flows.open(&row(3, 8, 10, 0), &mut out);
        flows.release(&release(7, 2), &mut table, &mut out).unwrap();
        let expected = ["open 1", "open 3", "close 1 100 unknown", "open 2", "close 2 200 unknown"];
        assert_eq!(words(&out), expected);
        assert_eq!((flows.live(), flows.closed(), table.0.len()), (1, 2, 1));
    }

    #[test]
    fn a_flow_that_expired_opens_anew() {
        let mut table = Rows(vec![row(1, 7, 10, 100)]);
        let (mut flows, mut out) = (Flows::default(), Vec::new());
        flows.open(&row(1, 7, 10, 0), &mut out);
        flows.expire(&row(1, 7, 10, 90), 50, &mut table, &mut out).unwrap();
        flows.sample(&row(1, 7, 10, 90), 50, &mut out);
        table.0.push(row(2, 7, 10, 5));
        flows.open(&row(2, 7, 10, 0), &mut out);
        flows.release(&release(7, 2), &mut table, &mut out).unwrap();
        assert_eq!(words(&out), ["open 1", "close 1 100 idle", "open 2", "close 2 5 unknown"]);
    }

    #[test]
    fn an_overflow_row_that_no_walk_finds_is_not_alive() {
        let (mut flows, mut out) = (Flows::default(), Vec::new());
        let mut shared = row(9, 7, 0, 40);
        shared.head.flags = OVERFLOW;
        flows.open(&shared, &mut out);
        flows.open(&row(1, 8, 10, 0), &mut out);
        flows.find(&[shared]);
        assert_eq!(flows.live(), 2);
        flows.find(&[]);
        assert_eq!(flows.live(), 1, "its socket is gone, and the record that says so was lost");
        flows.find(&[shared]);
        assert_eq!(flows.live(), 2, "it was only missed");
        (0..3).for_each(|_| flows.find(&[]));
        assert_eq!((flows.live(), flows.told.len(), flows.overflow.len()), (1, 1, 0), "and forgotten");
    }

    #[test]
    fn an_overflow_row_ends_with_its_socket() {
        let mut table = Rows::default();
        let (mut flows, mut out) = (Flows::default(), Vec::new());
        let mut record = release(7, 0);
        record.head.id = 9;
        record.head.flags = OVERFLOW;
        record.counters.sent_bytes = 40;
        flows.release(&record, &mut table, &mut out).unwrap();
        assert_eq!(words(&out), ["open 9", "close 9 40 unknown"]);
        assert_eq!(flows.live(), 0);
    }
}
