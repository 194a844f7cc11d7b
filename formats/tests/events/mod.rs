//! Arbitrary streams of events that a writer accepts, for properties; and what two streams are compared by.

#![allow(dead_code, reason = "each file of tests uses a part")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::event::{
    Body, Clock, Close, Direction, Dns, Event, Header, Identity, K8s, Listen, Loss, Nat, Open, Process, Reason, Sample,
    TcpStates, Tick, Totals, Transport,
};
use netflow_formats::capture::{CaptureWriter, WriteError, WriterOptions};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A capture of those events of which the writer knows whose they are.
pub(crate) fn write(header: &Header, events: &[Event], options: WriterOptions) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), header, options).unwrap();
    for event in events {
        match writer.push(event) {
            // What was carried over a cut may lack somebody who was lost before it.
            Ok(()) | Err(WriteError::Unintroduced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    writer.finish().unwrap().0
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..300_u64, 0..100_000_000_u64, any::<u64>(), Just(u64::MAX)]
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,8}",
        vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect()),
        Just("kworker/0:1\u{1f}\"\\\u{2028}".to_owned()),
    ]
    .prop_map(Arc::from)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u32).prop_map(|host| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host))),
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (address(), prop_oneof![Just(443), any::<u16>()]).prop_map(|(ip, port)| Endpoint::new(ip, port))
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)]
}

fn identity() -> impl Strategy<Value = Arc<Identity>> {
    (
        (transport(), endpoint(), endpoint()),
        option::of(prop_oneof![Just(Direction::Incoming), Just(Direction::Outgoing)]),
        option::of(any::<u32>()),
        option::of(text()),
        option::of(prop_oneof![Just(4_026_531_840), any::<u32>()]),
        any::<[bool; 2]>(),
        option::of(number()),
    )
        .prop_map(
            |((transport, local, remote), direction, pid, process, netns, [preexisting, shared], opened_at)| {
                Arc::new(Identity {
                    transport,
                    local,
                    remote,
                    direction,
                    pid,
                    process,
                    netns,
                    preexisting,
                    opened_at,
                    shared,
                })
            },
        )
}

fn totals() -> impl Strategy<Value = Totals> {
    (
        (number(), number(), number(), number(), number()),
        any::<u32>(),
        0..9000_u32,
        number(),
        prop_oneof![Just(0), number()],
    )
        .prop_map(|(counters, rtt_us, rtt_var_us, unacked_bytes, unread_bytes)| {
            let (sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits) = counters;
            Totals {
                sent_bytes,
                recv_bytes,
                sent_packets,
                recv_packets,
                retransmits,
                rtt_us,
                rtt_var_us,
                unacked_bytes,
                unread_bytes,
            }
        })
}

fn states() -> impl Strategy<Value = TcpStates> {
    (0..0x2000_u16).prop_map(|bits| TcpStates::from_bits(bits & 0x1ffe).unwrap_or_default())
}

fn state() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just(Arc::from(r#"{"pods":[{"name":"a","ip":"10.0.0.1"}], "nodes": [ ]}"#)),
        Just(Arc::from("[1, 2.50, \"\\u00e9\"]")),
        text(),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let conn = || prop_oneof![8 => 0..6_u64, 1 => any::<u64>()];
    prop_oneof![
        4 => (conn(), identity()).prop_map(|(conn, identity)| Body::Open(Open { conn, identity })),
        6 => (conn(), totals(), option::weighted(0.2, identity()))
            .prop_map(|(conn, totals, identity)| Body::Sample(Sample { conn, totals, identity })),
        4 => (conn(), totals(), option::weighted(0.2, identity()), states(), option::of(0..Reason::ALL.len())).prop_map(
            |(conn, totals, identity, tcp_states, reason)| {
                let reason = reason.map(|place| Reason::ALL[place]);
                Body::Close(Close { conn, totals, identity, tcp_states, reason })
            }
        ),
        1 => any::<bool>().prop_map(|complete| Body::Tick(Tick { complete })),
        1 => (any::<u32>(), text(), (option::of(text()), option::of(text()), option::of(text())), any::<bool>(), option::of(number())).prop_map(
            |(pid, process, (exe, cgroup, container_id), exited, started_at)| {
                Body::Process(Process { pid, process, exe, cgroup, container_id, exited, started_at })
            }
        ),
        1 => (text(), address(), any::<u32>(), option::of(any::<u32>()), option::of(any::<u32>()))
            .prop_map(|(name, addr, ttl_s, netns, pid)| Body::Dns(Dns { name, addr, ttl_s, netns, pid })),
        1 => (transport(), endpoint(), endpoint(), endpoint(), option::of(any::<u32>()), any::<bool>())
            .prop_map(|(transport, local, remote, dst, netns, end)| Body::Nat(Nat { transport, local, remote, dst, netns, end })),
        1 => (transport(), endpoint(), option::of(any::<u32>()), option::of(any::<u32>()), option::of(text()), any::<bool>())
            .prop_map(|(transport, local, netns, pid, process, end)| {
                Body::Listen(Listen { transport, local, netns, pid, process, end })
            }),
        1 => state().prop_map(|state| Body::K8s(K8s { state })),
        1 => any::<i64>().prop_map(|boot_time_ns| Body::Clock(Clock { boot_time_ns })),
        1 => (number(), number(), 0..9_u64, 0..9_u64).prop_map(|(ring_full, dns_dropped, nat_dropped, lost_opens)| {
            Body::Loss(Loss { ring_full, dns_dropped, nat_dropped, lost_opens, ..Loss::default() })
        }),
    ]
}

/// Events in order of time in which each sample and close is of a connection that was introduced.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![Just(0), 0..2_000_u64, 0..2_000_000_000_u64];
    (number().prop_map(|at| at >> 2), vec((step, body(), identity()), 0..60)).prop_map(|(mut at, steps)| {
        let mut live = HashMap::new();
        let mut events = Vec::new();
        for (step, mut body, fallback) in steps {
            at += step;
            match &mut body {
                Body::Open(open) => {
                    live.insert(open.conn, ());
                }
                Body::Sample(sample) => {
                    let known = live.insert(sample.conn, ()).is_some();
                    sample.identity = sample.identity.take().or((!known).then_some(fallback));
                }
                Body::Close(close) => {
                    let known = live.remove(&close.conn).is_some();
                    close.identity = close.identity.take().or((!known).then_some(fallback));
                }
                _ => {}
            }
            events.push(Event { at, body });
        }
        events
    })
}

/// Any header.
pub(crate) fn header() -> impl Strategy<Value = Header> {
    let texts = (text(), text(), text(), text(), text());
    let place = (option::of(number()), any::<bool>(), any::<bool>());
    (texts, any::<i64>(), any::<u64>(), any::<(u16, u16, u32)>(), vec(text(), 0..4), place).prop_map(
        |((tool, host, kernel, boot_id, comment), boot_time_ns, interval_ms, ports, command, place)| Header {
            tool: tool.to_string(),
            host: host.to_string(),
            kernel: kernel.to_string(),
            boot_id: boot_id.to_string(),
            boot_time_ns,
            interval_ms,
            ephemeral_port_min: ports.0,
            ephemeral_port_max: ports.1,
            command: command.iter().map(ToString::to_string).collect(),
            comment: comment.to_string(),
            began_at: interval_ms / 2,
            part: ports.2,
            continues_from: place.0,
            excerpt: place.1,
            anonymized: place.2,
        },
    )
}

/// An event without what a reader adds after a gap, or takes back.
pub(crate) fn bare(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event.body {
        Body::Tick(tick) => tick.complete = true,
        Body::Sample(sample) => sample.identity = None,
        Body::Close(close) => close.identity = None,
        _ => {}
    }
    event
}
