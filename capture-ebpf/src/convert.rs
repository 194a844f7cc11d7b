//! From the programs' records to identities and events.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use netflow_capture_abi as abi;
use netflow_core::address::Endpoint;
use netflow_core::event::{Body, Close, Direction, Event, Identity, Open, Sample, Totals, Transport};

use crate::tcp;

/// Who talks to whom. `opened_at` is left out where it is the time of the event that carries the identity.
pub(crate) fn identity(raw: &abi::Identity, transport: Transport, flags: u32, at: u64) -> Arc<Identity> {
    let end = |address: [u8; 16], port| Endpoint::new(IpAddr::V6(Ipv6Addr::from(address)), port);
    Arc::new(Identity {
        transport,
        local: end(raw.local, raw.local_port),
        remote: end(raw.remote, raw.remote_port),
        direction: match raw.direction {
            abi::INCOMING => Some(Direction::Incoming),
            abi::OUTGOING => Some(Direction::Outgoing),
            _ => None,
        },
        pid: (raw.pid != 0).then_some(raw.pid),
        process: name(&raw.comm),
        netns: (raw.netns != 0).then_some(raw.netns),
        preexisting: flags & abi::PREEXISTING != 0,
        opened_at: (raw.opened_at != 0 && raw.opened_at != at).then_some(raw.opened_at),
        shared: flags & abi::SHARED != 0,
    })
}

/// A process's name; a byte that is not UTF-8 (anybody may name a process) becomes the replacement character.
pub(crate) fn name(comm: &[u8; 16]) -> Option<Arc<str>> {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    (end > 0).then(|| String::from_utf8_lossy(&comm[..end]).into())
}

fn tcp_identity(head: &abi::Head, raw: &abi::Identity) -> Arc<Identity> {
    identity(raw, Transport::Tcp, head.flags, head.at)
}

/// The open of a TCP connection.
pub(crate) fn tcp_open(head: &abi::Head, raw: &abi::Identity) -> Event {
    Event { at: head.at, body: Body::Open(Open { conn: head.id, identity: tcp_identity(head, raw) }) }
}

/// The sample of a TCP connection, preceded by its open where that was not told.
pub(crate) fn tcp_sample(record: &abi::TcpRecord, out: &mut Vec<Event>) {
    let head = &record.head;
    let told = head.flags & abi::OPEN_SENT != 0;
    if !told {
        out.push(tcp_open(head, &record.identity));
    }
    let news = told && head.flags & abi::OWNER_CHANGED != 0;
    let identity = news.then(|| tcp_identity(head, &record.identity));
    let body = Body::Sample(Sample { conn: head.id, totals: tcp::totals(record), identity });
    out.push(Event { at: head.at, body });
}

/// The close of a TCP connection, with its identity where the stream does not have it as it is. One that is older than
/// the recording is preceded by its open, where that was not told: nothing of it is lost.
pub(crate) fn tcp_close(record: &abi::TcpRecord, out: &mut Vec<Event>) {
    let head = &record.head;
    let told = head.flags & abi::OPEN_SENT != 0;
    let older = head.flags & abi::PREEXISTING != 0;
    if !told && older {
        out.push(tcp_open(head, &record.identity));
    }
    let news = if told { head.flags & abi::OWNER_CHANGED != 0 } else { !older };
    let body = Body::Close(Close {
        conn: head.id,
        totals: tcp::totals(record),
        identity: news.then(|| tcp_identity(head, &record.identity)),
        tcp_states: tcp::states(record),
        reason: Some(tcp::reason(record)),
    });
    out.push(Event { at: head.at, body });
}

/// The totals of a UDP flow.
pub(crate) fn flow_totals(counters: &abi::FlowCounters) -> Totals {
    Totals {
        sent_bytes: counters.sent_bytes,
        recv_bytes: counters.recv_bytes,
        sent_packets: counters.sent_datagrams,
        recv_packets: counters.recv_datagrams,
        ..Totals::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn raw_identities_become_typed_ones() {
        let mut raw = abi::Identity {
            local: Ipv6Addr::from(0xffff_0a00_0001_u128).octets(),
            remote: Ipv6Addr::LOCALHOST.octets(),
            local_port: 80,
            remote_port: 40_000,
            direction: abi::INCOMING,
            opened_at: 7,
            ..abi::Identity::default()
        };
        raw.comm[..3].copy_from_slice(b"a\xffb");
        let known = identity(&raw, Transport::Tcp, abi::SHARED, 7);
        assert_eq!(known.local.to_string(), "10.0.0.1:80");
        assert_eq!(known.remote.to_string(), "[::1]:40000");
        assert_eq!(known.direction, Some(Direction::Incoming));
        assert_eq!(known.process.as_deref(), Some("a\u{fffd}b"));
        assert_eq!((known.pid, known.netns, known.opened_at), (None, None, None));
        assert_eq!((known.shared, known.preexisting), (true, false));
        let older = identity(&raw, Transport::Tcp, abi::PREEXISTING, 8);
        assert_eq!((older.opened_at, older.shared, older.preexisting), (Some(7), false, true));
    }
}
