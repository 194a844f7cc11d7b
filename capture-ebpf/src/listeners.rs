//! Listening sockets, as those who look from outside see them: an address on which a process listens.
//!
//! In: the programs' records, one for each socket that listens, and one for its end. Out: listen events: several sockets of a
//! process on one address are one, and it ends with the last of them. Never here: which port is whose.

use std::net::{IpAddr, Ipv6Addr};

use netflow_capture_abi::{KIND_LISTEN_END, ListenRecord};
use netflow_core::address::Endpoint;
use netflow_core::event::{Body, Event, Listen, Transport};
use rustc_hash::FxHashMap;

use crate::convert::name;

/// 17 is UDP (`IPPROTO_UDP`), all else TCP.
const UDP: u16 = 17;

/// Where a process listens: what is told once, however many of its sockets do.
type Place = (Transport, Option<u32>, Endpoint, Option<u32>);

/// The sockets that listen.
#[derive(Default)]
pub(crate) struct Listeners {
    /// By cookie.
    sockets: FxHashMap<u64, Listen>,
    places: FxHashMap<Place, usize>,
}

fn place(listen: &Listen) -> Place {
    (listen.transport, listen.netns, listen.local, listen.pid)
}

impl Listeners {
    /// Takes in a record.
    pub(crate) fn learn(&mut self, record: &ListenRecord, out: &mut Vec<Event>) {
        let at = record.head.at;
        if record.head.kind == KIND_LISTEN_END {
            self.end(record.head.id, at, out);
            return;
        }
        let listen = Listen {
            transport: if record.protocol == UDP { Transport::Udp } else { Transport::Tcp },
            local: Endpoint::new(IpAddr::V6(Ipv6Addr::from(record.local)), record.local_port),
            netns: (record.netns != 0).then_some(record.netns),
            pid: (record.pid != 0).then_some(record.pid),
            process: name(&record.comm),
            end: false,
        };
        if self.sockets.get(&record.head.id).is_some_and(|known| place(known) == place(&listen)) {
            return;
        }
        // A socket may be used again elsewhere.
        self.end(record.head.id, at, out);
        let sockets = self.places.entry(place(&listen)).or_default();
        *sockets += 1;
        if *sockets == 1 {
            out.push(Event { at, body: Body::Listen(listen.clone()) });
        }
        self.sockets.insert(record.head.id, listen);
    }

    /// A socket no longer listens; one that was never told is nothing to tell of.
    fn end(&mut self, cookie: u64, at: u64, out: &mut Vec<Event>) {
        let Some(listen) = self.sockets.remove(&cookie) else { return };
        let Some(sockets) = self.places.get_mut(&place(&listen)) else { return };
        *sockets -= 1;
        if *sockets == 0 {
            self.places.remove(&place(&listen));
            out.push(Event { at, body: Body::Listen(Listen { end: true, ..listen }) });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use netflow_capture_abi::{Head, KIND_LISTEN};

    fn record(cookie: u64, port: u16, pid: u32) -> ListenRecord {
        ListenRecord {
            head: Head { kind: KIND_LISTEN, id: cookie, at: 1, ..Head::default() },
            local: Ipv6Addr::from(0xffff_0000_0000_u128).octets(),
            local_port: port,
            protocol: 6,
            pid,
            netns: 9,
            ..ListenRecord::default()
        }
    }

    fn end(cookie: u64) -> ListenRecord {
        ListenRecord {
            head: Head { kind: KIND_LISTEN_END, id: cookie, at: 2, ..Head::default() },
            ..record(cookie, 0, 0)
        }
    }

    fn told(records: &[ListenRecord]) -> (Vec<String>, Listeners) {
        let (mut listeners, mut out) = (Listeners::default(), Vec::new());
        for record in records {
            listeners.learn(record, &mut out);
        }
        let word = |event: &Event| match &event.body {
            Body::Listen(listen) => format!(
                "{}{} {} pid {} in {}",
                if listen.end { "end of " } else { "" },
                listen.transport.name(),
                listen.local,
                listen.pid.unwrap_or(0),
                listen.netns.unwrap_or(0)
            ),
            other => panic!("{other:?}"),
        };
        (out.iter().map(word).collect(), listeners)
    }

    #[test]
    fn several_sockets_of_a_process_on_one_address_end_with_the_last() {
        let (told, left) = told(&[record(1, 80, 7), record(2, 80, 7), record(1, 80, 7), end(1), end(2), end(3)]);
        assert_eq!(told, ["tcp 0.0.0.0:80 pid 7 in 9", "end of tcp 0.0.0.0:80 pid 7 in 9"]);
        assert!(left.sockets.is_empty() && left.places.is_empty(), "nothing stays of what is gone");
    }

    #[test]
    fn each_process_on_an_address_is_told() {
        let (told, _) = told(&[record(1, 80, 7), record(2, 80, 8), end(1)]);
        let expected = ["tcp 0.0.0.0:80 pid 7 in 9", "tcp 0.0.0.0:80 pid 8 in 9", "end of tcp 0.0.0.0:80 pid 7 in 9"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_socket_that_listens_elsewhere_left_its_first_address() {
        let udp = ListenRecord { protocol: UDP, ..record(1, 53, 7) };
        let (told, _) = told(&[record(1, 80, 7), udp]);
        assert_eq!(
            told,
            ["tcp 0.0.0.0:80 pid 7 in 9", "end of tcp 0.0.0.0:80 pid 7 in 9", "udp 0.0.0.0:53 pid 7 in 9"]
        );
    }
}
