//! Writes the connections of a capture as plain records, for comparisons: read from its events, not from a report.
//!
//! `cargo run --release -p netflow-formats --example records CAPTURE.nfcap OUT.records`. A record is 88 bytes, numbers in
//! little endian: first and last event (u64 each, nanoseconds since 1970), local and remote address (16 bytes each, in
//! network order, IPv4 as `::ffff:a.b.c.d`), local and remote port (u16 each), protocol (u16, 6 or 17), nothing (u16), bytes
//! sent and received, packets sent and received (u64 each). Records are in the order of the connections' ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a program for measurements")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::event::{Body, Close, Identity, Transport};
use netflow_formats::capture::CaptureReader;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [capture, out] = arguments.as_slice() else {
        eprintln!("usage: records CAPTURE.nfcap OUT.records");
        std::process::exit(2);
    };
    let mut reader = CaptureReader::new(BufReader::new(File::open(capture).unwrap())).unwrap();
    let boot = u64::try_from(reader.header().boot_time_ns).unwrap();
    let mut out_file = BufWriter::new(File::create(out).unwrap());
    let mut alive: HashMap<u64, (u64, Arc<Identity>)> = HashMap::new();
    let mut records = 0_u64;
    for event in reader.by_ref() {
        let event = event.unwrap();
        match event.body {
            Body::Open(open) => {
                assert!(!open.identity.preexisting, "connection {} has a baseline", open.conn);
                let begin = open.identity.opened_at.unwrap_or(event.at);
                assert!(alive.insert(open.conn, (begin, open.identity)).is_none(), "{} opens twice", open.conn);
            }
            Body::Close(close) => {
                let (begin, identity) = alive.remove(&close.conn).unwrap();
                let identity = close.identity.clone().unwrap_or(identity);
                out_file.write_all(&record(boot + begin, boot + event.at, &identity, &close)).unwrap();
                records += 1;
            }
            other => panic!("neither the beginning nor the end of a connection: {other:?}"),
        }
    }
    assert!(reader.damage().is_empty(), "the capture is damaged");
    assert!(alive.is_empty(), "{} connections have no end", alive.len());
    out_file.flush().unwrap();
    println!("{out}: {records} records");
}

fn record(first: u64, last: u64, identity: &Identity, close: &Close) -> Vec<u8> {
    let mut record = Vec::with_capacity(88);
    record.extend(first.to_le_bytes());
    record.extend(last.to_le_bytes());
    for end in [identity.local, identity.remote] {
        record.extend(match end.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        });
    }
    let protocol: u16 = match identity.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    for number in [identity.local.port(), identity.remote.port(), protocol, 0] {
        record.extend(number.to_le_bytes());
    }
    let totals = &close.totals;
    for number in [totals.sent_bytes, totals.recv_bytes, totals.sent_packets, totals.recv_packets] {
        record.extend(number.to_le_bytes());
    }
    record
}
