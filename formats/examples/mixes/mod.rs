//! Streams of stated mixes, made from a fixed seed: the same on every run and machine.
//!
//! In: how many. Out: events, one by one, so that any number of them takes the memory of what is alive.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "numbers drawn by lot"
)]

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::event::{
    Body, Close, Direction, Event, Identity, Open, Reason, Sample, TcpStates, Tick, Totals, Transport,
};

/// When the first event happens, in nanoseconds since boot.
const BEGIN: u64 = 1_000_000_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around `mean`, with the given spread as a factor.
    fn around(&mut self, mean: f64, spread: f64) -> u64 {
        let normal = (0..6).map(|_| self.unit()).sum::<f64>() / 3.0 - 1.0;
        (mean * (normal * 1.7 * spread.ln()).exp()) as u64
    }

    /// The rank of one of `count` things of which the second is half as frequent as the first, and so on.
    fn zipf(&mut self, count: u64) -> u64 {
        ((count as f64).powf(self.unit()) as u64).min(count) - 1
    }
}

struct Host {
    random: Random,
    names: Vec<Arc<str>>,
    ports: u64,
}

impl Host {
    fn new() -> Self {
        let names =
            ["nginx", "postgres", "envoy", "curl", "java", "node", "redis-server", "python3", "sshd", "chronyd"];
        Self { random: Random(7), names: names.map(Arc::from).to_vec(), ports: 0 }
    }

    fn connection(&mut self, addresses: u64) -> (Arc<Identity>, u64) {
        let random = &mut self.random;
        let rank = random.zipf(addresses);
        let mut scramble = Random(rank);
        let bits = scramble.next();
        let is_ipv6 = bits % 100 < 15;
        let (local, remote) = if is_ipv6 {
            let subnet = u128::from(scramble.zipf(4000)) << 64;
            let host = u128::from(scramble.next());
            (
                IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_0001 << 80 | 1)),
                IpAddr::V6(Ipv6Addr::from_bits(0x2a00_1450 << 96 | subnet | host)),
            )
        } else {
            (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)), IpAddr::V4(Ipv4Addr::from_bits((bits >> 32) as u32)))
        };
        let program = random.zipf(200);
        let is_incoming = program.is_multiple_of(3);
        self.ports += 2 + 2 * random.zipf(200);
        let ephemeral = (32768 + self.ports % 28232) as u16;
        let service = [443, 443, 443, 80, 5432, 6379, 8080, 53][program as usize % 8];
        let (local_port, remote_port) =
            if is_incoming { (service, 32768 + random.below(28232) as u16) } else { (ephemeral, service) };
        let identity = Identity {
            direction: Some(if is_incoming { Direction::Incoming } else { Direction::Outgoing }),
            pid: Some(1000 + 7 * program as u32),
            process: self.names.get(program as usize % self.names.len()).cloned(),
            netns: Some(4_026_531_840 + (program % 4) as u32),
            ..Identity::new(
                if service == 53 { Transport::Udp } else { Transport::Tcp },
                Endpoint::new(local, local_port),
                Endpoint::new(remote, remote_port),
            )
        };
        (Arc::new(identity), 200 + scramble.zipf(80_000))
    }

    fn close(&mut self, conn: u64, rtt: u64, transport: Transport) -> Close {
        let (sent, recv) = (self.random.around(600.0, 1.5), self.random.around(4_000.0, 3.0));
        let totals = self.totals(sent, recv, rtt);
        let (tcp_states, reason) = match transport {
            Transport::Tcp => (TcpStates::from_bits(1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7), Reason::Fin),
            Transport::Udp => (None, Reason::Idle),
        };
        Close { conn, totals, identity: None, tcp_states: tcp_states.unwrap_or_default(), reason: Some(reason) }
    }

    fn totals(&mut self, sent: u64, recv: u64, rtt: u64) -> Totals {
        let random = &mut self.random;
        Totals {
            sent_bytes: sent,
            recv_bytes: recv,
            sent_packets: 4 + sent / 1448 + recv / 2896,
            recv_packets: 4 + recv / 1448 + sent / 2896,
            retransmits: u64::from(random.below(50) == 0),
            rtt_us: random.around(rtt as f64, 1.1) as u32,
            rtt_var_us: random.around(rtt as f64 / 4.0, 1.3) as u32,
            ..Totals::default()
        }
    }
}

/// Connections that open, carry one exchange and close: 5,000 a second, each 20 ms long or so.
pub(crate) fn one_shot(count: u64) -> impl Iterator<Item = Event> {
    let mut host = Host::new();
    let mut at = BEGIN;
    // The closes to come, the next one on top; an id is there once, so the order of events is always the same.
    let mut closes = BinaryHeap::new();
    let mut next = None;
    let mut conns = 0..count;
    std::iter::from_fn(move || {
        if next.is_none()
            && let Some(conn) = conns.next()
        {
            at += (-200_000.0 * (1.0 - host.random.unit()).ln()) as u64;
            let (identity, rtt) = host.connection(300_000);
            let end = at + 1_000 * rtt + host.random.around(20_000_000.0, 2.0);
            closes.push(Reverse(End { at: end, conn, close: host.close(conn, rtt, identity.transport) }));
            next = Some(Event { at, body: Body::Open(Open { conn, identity }) });
        }
        if next.is_some() && closes.peek().is_none_or(|Reverse(end)| end.at >= at) {
            return next.take();
        }
        closes.pop().map(|Reverse(end)| Event { at: end.at, body: Body::Close(end.close) })
    })
}

/// A close to come.
struct End {
    at: u64,
    conn: u64,
    close: Close,
}

impl Ord for End {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.conn).cmp(&(other.at, other.conn))
    }
}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for End {}

/// Long connections, sampled again and again; `active` of a hundred carry traffic between two samples.
pub(crate) fn sampled(count: u64, samples: u64, interval_ns: u64, active: u64) -> impl Iterator<Item = Event> {
    let mut host = Host::new();
    let mut at = BEGIN;
    let mut live = Vec::new();
    let mut opens = 0..count;
    let mut begin = 0;
    let (mut round, mut conn) = (0, 0);
    std::iter::from_fn(move || {
        if let Some(conn) = opens.next() {
            at += 1_000;
            let (identity, rtt) = host.connection(300_000);
            live.push((rtt, Totals::default(), host.random.below(100) < active));
            begin = at + interval_ns;
            return Some(Event { at, body: Body::Open(Open { conn, identity }) });
        }
        if round == samples {
            return None;
        }
        if conn == 0 {
            at = begin + round * interval_ns;
        }
        let Some((rtt, totals, is_active)) = live.get_mut(conn) else {
            (round, conn) = (round + 1, 0);
            return Some(Event { at: at + 1, body: Body::Tick(Tick { complete: true }) });
        };
        at += 400 + host.random.below(100);
        if *is_active || round == 0 {
            let (sent, recv) = (host.random.around(3_000.0, 3.0), host.random.around(20_000.0, 4.0));
            *totals = host.totals(totals.sent_bytes + sent, totals.recv_bytes + recv, *rtt);
        }
        conn += 1;
        let sample = Sample { conn: conn as u64 - 1, totals: *totals, identity: None };
        Some(Event { at, body: Body::Sample(sample) })
    })
}
