//! Odd turns in the life of one connection, tick by tick: what goes in, and exactly what must come out of the first stage.
//! The usual turns are in `timeline_vectors.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use netflow_core::delta::{Counts, Deltas, Diagnostics, Step};
use netflow_core::event::{Body, Close, Direction, Event, Identity, Open, Sample, TcpStates, Tick, Totals, Transport};

const ESTABLISHED_CLOSE: u16 = 1 << 1 | 1 << 7;

fn identity() -> Identity {
    Identity {
        direction: Some(Direction::Outgoing),
        pid: Some(7),
        netns: Some(1),
        ..Identity::new(Transport::Tcp, "10.0.0.1:40001".parse().unwrap(), "8.8.8.8:443".parse().unwrap())
    }
}

fn totals(sent: u64, recv: u64, retransmits: u64) -> Totals {
    Totals { sent_bytes: sent, recv_bytes: recv, retransmits, ..Totals::default() }
}

fn open(conn: u64) -> Body {
    Body::Open(Open { conn, identity: Arc::new(identity()) })
}

fn snap(conn: u64, totals: Totals) -> Body {
    Body::Sample(Sample { conn, totals, identity: None })
}

fn first_snap(conn: u64, totals: Totals, identity: Identity) -> Body {
    Body::Sample(Sample { conn, totals, identity: Some(Arc::new(identity)) })
}

fn close(conn: u64, totals: Totals, states: u16, identity: Option<Identity>) -> Body {
    let tcp_states = TcpStates::from_bits(states).unwrap();
    Body::Close(Close { conn, totals, identity: identity.map(Arc::new), tcp_states, reason: None })
}

const TICK: Body = Body::Tick(Tick { complete: true });
const CUT_TICK: Body = Body::Tick(Tick { complete: false });

/// The sums between two ticks as `sent/recv Rretransmits eestablished cclosed ffailures`, idle ones as `-`.
fn run(bodies: Vec<Body>) -> (Vec<String>, Diagnostics) {
    let mut deltas = Deltas::new();
    let mut lines = Vec::new();
    let mut sum = Counts::default();
    for (at, body) in bodies.into_iter().enumerate() {
        let is_tick = matches!(body, Body::Tick(_));
        let mut steps = Vec::new();
        deltas.push(&Event { at: at as u64, body }, &mut steps);
        for step in steps {
            if let Step::Delta(delta) = step {
                sum.sent_bytes += delta.counts.sent_bytes;
                sum.recv_bytes += delta.counts.recv_bytes;
                sum.retransmits += delta.counts.retransmits;
                sum.established += delta.counts.established;
                sum.closed += delta.counts.closed;
                sum.connect_failures += delta.counts.connect_failures;
            }
        }
        if is_tick {
            let Counts { sent_bytes, recv_bytes, retransmits, established, closed, connect_failures, .. } = sum;
            lines.push(if sum.is_active() {
                format!("{sent_bytes}/{recv_bytes} R{retransmits} e{established} c{closed} f{connect_failures}")
            } else {
                "-".to_owned()
            });
            sum = Counts::default();
        }
    }
    deltas.finish(&mut Vec::new());
    (lines, deltas.diagnostics())
}

fn lines(bodies: Vec<Body>) -> Vec<String> {
    run(bodies).0
}

#[test]
fn a_close_that_is_the_first_sight_counts_in_full() {
    let life = vec![close(1, totals(10, 20, 1), ESTABLISHED_CLOSE, Some(identity())), TICK];
    assert_eq!(lines(life), ["10/20 R1 e1 c1 f0"]);
    let unknown_states = vec![close(1, totals(10, 20, 1), 0, Some(identity())), TICK];
    assert_eq!(lines(unknown_states), ["10/20 R1 e1 c1 f0"]);
}

#[test]
fn a_lost_close_is_counted_and_the_next_life_is_whole() {
    let lives = vec![
        first_snap(1, totals(100, 200, 5), identity()),
        TICK,
        first_snap(2, totals(1100, 1200, 0), identity()),
        TICK,
        snap(2, totals(1110, 1200, 0)),
        TICK,
    ];
    let (lines, diagnostics) = run(lives);
    assert_eq!(lines, ["100/200 R5 e1 c0 f0", "1100/1200 R0 e1 c0 f0", "10/0 R0 e0 c0 f0"]);
    assert_eq!((diagnostics.lost_closes, diagnostics.unclosed), (1, 1));
}

#[test]
fn absence_from_a_cut_snapshot_proves_nothing() {
    let life = vec![open(1), snap(1, totals(1, 1, 0)), TICK, CUT_TICK, snap(1, totals(3, 3, 0)), TICK];
    let (lines, diagnostics) = run(life);
    assert_eq!(lines, ["1/1 R0 e1 c0 f0", "-", "2/2 R0 e0 c0 f0"]);
    assert_eq!(diagnostics.lost_closes, 0);
}

#[test]
fn a_counter_that_goes_back_counts_its_new_value_and_leaves_the_others_alone() {
    let life = vec![
        open(1),
        snap(1, totals(100, 200, 5)),
        TICK,
        snap(1, totals(10, 500, 2)),
        TICK,
        snap(1, totals(20, 600, 2)),
        TICK,
    ];
    let (lines, diagnostics) = run(life);
    assert_eq!(lines, ["100/200 R5 e1 c0 f0", "10/300 R2 e0 c0 f0", "10/100 R0 e0 c0 f0"]);
    assert_eq!(diagnostics.counter_resets, 2);
}

#[test]
fn a_connection_older_than_the_recording_begins_at_its_baseline() {
    let old = Identity { preexisting: true, ..identity() };
    let life = vec![
        Body::Open(Open { conn: 1, identity: Arc::new(old) }),
        snap(1, totals(5000, 6000, 9)),
        TICK,
        snap(1, totals(5001, 6000, 9)),
        TICK,
        close(1, totals(5001, 6002, 9), ESTABLISHED_CLOSE, None),
        TICK,
    ];
    assert_eq!(lines(life), ["-", "1/0 R0 e0 c0 f0", "0/2 R0 e0 c1 f0"]);
}

#[test]
fn strangers_count_nothing() {
    let (lines, diagnostics) = run(vec![snap(9, totals(1, 1, 1)), TICK]);
    assert_eq!(lines, ["-"]);
    assert_eq!(diagnostics.strangers, 1);
}

#[test]
fn memory_follows_the_connections_that_live() {
    let mut deltas = Deltas::new();
    let mut steps = Vec::new();
    let mut highest = 0;
    for conn in 0..10_000_u64 {
        let at = conn * 10_000_000;
        for body in [open(conn), close(conn, totals(1, 1, 0), ESTABLISHED_CLOSE, None)] {
            steps.clear();
            deltas.push(&Event { at, body }, &mut steps);
            highest = steps.iter().fold(highest, |highest, step| match step {
                Step::Delta(delta) => highest.max(delta.slot),
                Step::Ended(slot) => highest.max(*slot),
            });
        }
    }
    assert!(highest <= 202, "100 connections a second linger for two seconds, but slot {highest} was used");
}
