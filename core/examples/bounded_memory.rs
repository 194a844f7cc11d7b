//! Ten million events with one hundred thousand connections alive at a time, and the most memory that the pipeline needed.
//!
//! In: another number of events, if wanted; they are made up as they are needed. Out: one line of figures. A run of
//! `cargo run --release -p netflow-core --example bounded_memory` is what this crate's README quotes.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a program that measures, not a part of core")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::column::Tag;
use netflow_core::event::{
    Body, Close, Direction, Dns, Event, Header, Identity, Nat, Open, Process, Sample, TcpStates, Tick, Totals,
    Transport,
};
use netflow_core::field::Field;
use netflow_core::pipeline::{Pipeline, ReportOptions};

const EVENTS: u64 = 10_000_000;
const LIVE: u32 = 100_000;
/// The time between two snapshots: 10 seconds.
const INTERVAL_NS: u64 = 10_000_000_000;
/// Each connection is seen in so many snapshots.
const SNAPSHOTS: u64 = 5;
const SERVICES: u32 = 500;

/// The stream, one event after the other.
struct Stream {
    pipeline: Pipeline,
    pushed: u64,
    at: u64,
    next_id: u64,
}

impl Stream {
    fn push(&mut self, body: Body) {
        self.at += INTERVAL_NS / 150_000;
        self.pushed += 1;
        self.pipeline.push(&Event { at: self.at, body });
    }

    /// A new connection in this place: its client's port and process are new, its service is one of few.
    fn open(&mut self, place: u32) -> (u64, Arc<Identity>) {
        let conn = self.next_id;
        self.next_id += 1;
        let service = place % SERVICES;
        let pid = u32::try_from(conn % (1 << 22)).unwrap_or_default();
        let client = Endpoint::new(Ipv4Addr::from(0x0a00_0000 + place / 20_000).into(), port(32768 + place % 20_000));
        let server = Endpoint::new(Ipv4Addr::from(0x0a60_0000 + service).into(), 443);
        let identity = Arc::new(Identity {
            direction: Some(Direction::Outgoing),
            pid: Some(place % 20),
            netns: Some(1),
            ..Identity::new(Transport::Tcp, client, server)
        });
        if conn.is_multiple_of(4) {
            let process = |exited| {
                let process = Arc::from(format!("worker{}", conn % 50));
                Body::Process(Process { exited, ..Process::new(pid, process) })
            };
            self.push(process(false));
            self.push(process(true));
            let name = Arc::from(format!("s{service}-{conn}.example"));
            self.push(Body::Dns(Dns { name, addr: server.ip(), ttl_s: 30, netns: Some(1), pid: None }));
            let dst = Endpoint::new(Ipv4Addr::from(0x0a2a_0000 + service % 100).into(), 8443);
            let (transport, netns) = (Transport::Tcp, Some(1));
            self.push(Body::Nat(Nat { transport, local: client, remote: server, dst, netns, end: false }));
        }
        self.push(Body::Open(Open { conn, identity: Arc::clone(&identity) }));
        (conn, identity)
    }
}

fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn totals(seen: u64) -> Totals {
    Totals { sent_bytes: seen * 100, recv_bytes: seen * 1000, rtt_us: 250, ..Totals::default() }
}

fn main() {
    let wanted = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(EVENTS);
    // The names of remote addresses would make as many groups as connections: what is bounded then is not the pipeline.
    let by = Field::default_tags()
        .filter(|field| field.name != "dst_domain")
        .filter_map(|field| Tag::parse(field.name).ok())
        .collect();
    let pipeline = Pipeline::new(ReportOptions { by, ..ReportOptions::default() });
    let mut stream = Stream { pipeline, pushed: 0, at: 0, next_id: 0 };
    stream.pipeline.begin(&Header::default());
    let mut live: Vec<u64> = (0..LIVE).map(|place| stream.open(place).0).collect();
    for round in 0_u64.. {
        for place in 0..LIVE {
            let index = place as usize;
            let age = (round + u64::from(place)) % SNAPSHOTS + 1;
            if age == SNAPSHOTS {
                let tcp_states = TcpStates::from_bits(1 << 1 | 1 << 7).unwrap_or_default();
                let (conn, totals) = (live[index], totals(age));
                stream.push(Body::Close(Close { conn, totals, identity: None, tcp_states, reason: None }));
                live[index] = stream.open(place).0;
            }
            stream.push(Body::Sample(Sample { conn: live[index], totals: totals(age % SNAPSHOTS), identity: None }));
        }
        stream.push(Body::Tick(Tick { complete: true }));
        if stream.pushed >= wanted {
            break;
        }
    }
    let (pushed, opened) = (stream.pushed, stream.next_id);
    let report = stream.pipeline.finish();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim();
    println!(
        "{pushed} events, {opened} connections, {LIVE} alive at a time, {} rows: peak {peak} (VmHWM)",
        report.rows.len()
    );
    assert_eq!(report.diagnostics.unclosed, u64::from(LIVE), "what was alive at the end");
    assert_eq!((report.diagnostics.lost_closes, report.diagnostics.counter_resets), (0, 0), "nothing strange");
}
