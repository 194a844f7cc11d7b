//! How small and how fast: writes and reads captures of stated mixes in memory, and prints bytes and rates.
//!
//! `cargo run --release -p netflow-formats --example capture_rates [CONNECTIONS] [LEVEL]`. The mixes are made from a
//! fixed seed, so that sizes are the same on every run and machine.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::event::{
    Body, Close, Direction, Event, Header, Identity, Open, Reason, Sample, TcpStates, Tick, Totals, Transport,
};
use netflow_formats::capture::{CaptureReader, CaptureWriter, WriterOptions};

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
fn one_shot(count: u64) -> Vec<Event> {
    let mut host = Host::new();
    let states = TcpStates::from_bits(1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7).unwrap();
    let mut at = 1_000_000_000_000_u64;
    let mut events = Vec::new();
    for conn in 0..count {
        at += (-200_000.0 * (1.0 - host.random.unit()).ln()) as u64;
        let (identity, rtt) = host.connection(300_000);
        let end = at + 1_000 * rtt + host.random.around(20_000_000.0, 2.0);
        let (sent, recv) = (host.random.around(600.0, 1.5), host.random.around(4_000.0, 3.0));
        let totals = host.totals(sent, recv, rtt);
        let is_tcp = identity.transport == Transport::Tcp;
        events.push(Event { at, body: Body::Open(Open { conn, identity }) });
        let close = Close {
            conn,
            totals,
            identity: None,
            tcp_states: if is_tcp { states } else { TcpStates::default() },
            reason: Some(if is_tcp { Reason::Fin } else { Reason::Idle }),
        };
        events.push(Event { at: end, body: Body::Close(close) });
    }
    events.sort_by_key(|event| event.at);
    events
}

/// Long connections, sampled again and again; `active` of a hundred carry traffic between two samples.
fn sampled(count: u64, samples: u64, interval_ns: u64, active: u64) -> Vec<Event> {
    let mut host = Host::new();
    let mut at = 1_000_000_000_000_u64;
    let mut events = Vec::new();
    let mut live = Vec::new();
    for conn in 0..count {
        at += 1_000;
        let (identity, rtt) = host.connection(300_000);
        events.push(Event { at, body: Body::Open(Open { conn, identity }) });
        live.push((rtt, Totals::default(), host.random.below(100) < active));
    }
    let begin = at + interval_ns;
    for round in 0..samples {
        at = begin + round * interval_ns;
        for (conn, (rtt, totals, is_active)) in live.iter_mut().enumerate() {
            at += 400 + host.random.below(100);
            if *is_active || round == 0 {
                let (sent, recv) = (host.random.around(3_000.0, 3.0), host.random.around(20_000.0, 4.0));
                *totals = host.totals(totals.sent_bytes + sent, totals.recv_bytes + recv, *rtt);
            }
            let sample = Sample { conn: conn as u64, totals: *totals, identity: None };
            events.push(Event { at, body: Body::Sample(sample) });
        }
        events.push(Event { at: at + 1, body: Body::Tick(Tick { complete: true }) });
    }
    events
}

/// Time that this process has had a processor: others on the machine do not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn measure(name: &str, events: &[Event], per: (&str, u64), options: WriterOptions) {
    let header = Header { tool: "capture_rates".into(), interval_ms: 10_000, ..Header::default() };
    let begin = cpu_seconds();
    let mut writer = CaptureWriter::new(Vec::new(), &header, options).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    let (bytes, totals) = writer.finish().unwrap();
    let encode = events.len() as f64 / (cpu_seconds() - begin);
    let begin = cpu_seconds();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let mut sum = 0_u64;
    for event in reader.by_ref() {
        sum = sum.wrapping_add(event.unwrap().at);
    }
    let decode = events.len() as f64 / (cpu_seconds() - begin);
    assert_eq!(sum, events.iter().fold(0, |sum, event| event.at.wrapping_add(sum)));
    assert!(reader.damage().is_empty());
    println!(
        "  {name}: {} events, {} blocks, {} bytes, {:.2} bytes per {}; encode {:.1} M, decode {:.1} M events per CPU second",
        events.len(),
        totals.blocks,
        bytes.len(),
        bytes.len() as f64 / per.1 as f64,
        per.0,
        encode / 1e6,
        decode / 1e6,
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap());
    let count = arguments.next().unwrap_or(500_000);
    let level = arguments.next().unwrap_or(1) as i32;
    for (name, options) in [("recorded", WriterOptions::default()), ("compact", WriterOptions::compact())] {
        println!("{name}");
        mixes(count, WriterOptions { level, ..options });
    }
}

fn mixes(count: u64, options: WriterOptions) {
    measure("one-shot connections", &one_shot(count), ("connection", count), options);
    let long = count / 20;
    for (name, active) in [("idle", 0), ("a tenth active", 10), ("all active", 100)] {
        let events = sampled(long, 20, 10_000_000_000, active);
        measure(&format!("samples, {name}"), &events, ("sample", long * 20), options);
    }
    let events = sampled(long / 20, 400, 10_000_000, 100);
    measure("samples, 100 in each block", &events, ("sample", long / 20 * 400), options);
}
