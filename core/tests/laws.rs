//! Laws that hold for every stream.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use netflow_core::column::Tag;
use netflow_core::delta::{Counts, Deltas, Step};
use netflow_core::event::{Body, Close, Event, Header, Identity, Open, Sample, TcpStates, Tick, Totals, Transport};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Report;
use netflow_core::sums::Sums;
use netflow_core::ticks::Ticks;
use proptest::prelude::*;

/// One connection: when it opens, what its totals grow by at each sight, whether it is older than the recording.
#[derive(Debug, Clone)]
struct Life {
    begins: u64,
    growth: Vec<[u64; 5]>,
    preexisting: bool,
    port: u16,
    is_tcp: bool,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let growth = prop::collection::vec(prop::array::uniform5(0..1_000_000_u64), 1..6);
    let life = (0..50_u64, growth, any::<bool>(), 1..4_u16, any::<bool>())
        .prop_map(|(begins, growth, preexisting, port, is_tcp)| Life { begins, growth, preexisting, port, is_tcp });
    prop::collection::vec(life, 1..12)
}

fn totals(growth: &[[u64; 5]]) -> Totals {
    let sum = |index: usize| growth.iter().map(|step| step[index]).sum::<u64>();
    Totals {
        sent_bytes: sum(0),
        recv_bytes: sum(1),
        sent_packets: sum(2),
        recv_packets: sum(3),
        retransmits: sum(4),
        rtt_us: u32::try_from(sum(0) % 5000).unwrap(),
        ..Totals::default()
    }
}

/// Every second sight falls on a later time; the last is the close.
fn stream(lives: &[Life]) -> Vec<Event> {
    let mut events = Vec::new();
    for (conn, life) in lives.iter().enumerate() {
        let conn = conn as u64;
        let identity = Arc::new(Identity {
            preexisting: life.preexisting,
            ..Identity::new(
                if life.is_tcp { Transport::Tcp } else { Transport::Udp },
                "10.0.0.1:40000".parse().unwrap(),
                format!("10.0.0.2:{}", life.port).parse().unwrap(),
            )
        });
        let at = |step: usize| (life.begins + step as u64) * 1_000_000_000;
        events.push(Event { at: at(0), body: Body::Open(Open { conn, identity }) });
        for seen in 1..=life.growth.len() {
            let totals = totals(&life.growth[..seen]);
            let body = if seen == life.growth.len() {
                Body::Close(Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None })
            } else {
                Body::Sample(Sample { conn, totals, identity: None })
            };
            events.push(Event { at: at(seen), body });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn report(events: &[Event], options: ReportOptions) -> Report {
    let mut pipeline = Pipeline::new(options);
    pipeline.begin(&Header::default());
    events.iter().for_each(|event| pipeline.push(event));
    pipeline.finish()
}

proptest! {
    /// What a connection did is its last totals less its first, or all of them when it began in the recording.
    #[test]
    fn deltas_add_up_to_last_less_first(lives in lives()) {
        let mut deltas = Deltas::new();
        let mut sums = vec![Counts::default(); lives.len()];
        let mut steps = Vec::new();
        for event in stream(&lives) {
            deltas.push(&event, &mut steps);
            for step in steps.drain(..) {
                if let Step::Delta(delta) = step {
                    let conn = usize::try_from(deltas.connection(delta.slot).id).unwrap();
                    sums[conn].sent_bytes += delta.counts.sent_bytes;
                    sums[conn].recv_bytes += delta.counts.recv_bytes;
                    sums[conn].sent_packets += delta.counts.sent_packets;
                    sums[conn].recv_packets += delta.counts.recv_packets;
                    sums[conn].retransmits += delta.counts.retransmits;
                    sums[conn].established += delta.counts.established;
                    sums[conn].closed += delta.counts.closed;
                }
            }
        }
        for (life, sum) in lives.iter().zip(sums) {
            let last = totals(&life.growth);
            let first = if life.preexisting { totals(&life.growth[..1]) } else { Totals::default() };
            prop_assert_eq!(sum, Counts {
                sent_bytes: last.sent_bytes - first.sent_bytes,
                recv_bytes: last.recv_bytes - first.recv_bytes,
                sent_packets: last.sent_packets - first.sent_packets,
                recv_packets: last.recv_packets - first.recv_packets,
                retransmits: last.retransmits - first.retransmits,
                established: u64::from(life.is_tcp && !life.preexisting),
                closed: u64::from(life.is_tcp),
                connect_failures: 0,
            });
        }
        prop_assert_eq!(deltas.diagnostics().counter_resets, 0);
    }

    /// Windows and groups split the whole and lose nothing, wherever they are cut.
    #[test]
    fn windows_and_groups_add_up_to_the_whole(lives in lives(), every_s in 1..20_u64) {
        let events = stream(&lives);
        let by = Tag::parse_all(&["transport"]).unwrap();
        let whole = report(&events, ReportOptions { by, ..ReportOptions::default() }).totals();
        let split = report(&events, ReportOptions { every_ns: Some(every_s * 1_000_000_000), ..ReportOptions::default() }).totals();
        prop_assert_eq!(split.bytes_read, whole.bytes_read);
        prop_assert_eq!(split.bytes_written, whole.bytes_written);
        prop_assert_eq!(split.packets_read, whole.packets_read);
        prop_assert_eq!(split.packets_written, whole.packets_written);
        prop_assert_eq!(split.tcp, whole.tcp);
        prop_assert!(split.connections >= whole.connections);
    }

    /// The points of all intervals are the whole report, wherever the ticks are and whatever a tick makes of what it
    /// does not see.
    #[test]
    fn ticks_add_up_to_the_whole(lives in lives(), places in prop::collection::vec((0..200_usize, any::<bool>()), 0..20)) {
        let mut events = stream(&lives);
        for (place, complete) in places {
            let place = place % events.len();
            let at = events[place].at;
            events.insert(place + 1, Event { at, body: Body::Tick(Tick { complete }) });
        }
        let by = Tag::parse_all(&["transport", "dst_port"]).unwrap();
        let options = ReportOptions { by, ..ReportOptions::default() };
        let whole = report(&events, options.clone());
        let mut ticks = Ticks::new(options);
        ticks.begin(&Header::default());
        let mut parts: Vec<Report> = events.iter().filter_map(|event| ticks.push(event)).collect();
        parts.push(ticks.finish());
        let last = parts.last().unwrap();
        prop_assert_eq!((last.left_out, last.diagnostics), (whole.left_out, whole.diagnostics));
        let mut ends = Vec::new();
        for row in &whole.rows {
            let mut sum = Sums::default();
            for part in parts.iter().flat_map(|part| &part.rows).filter(|part| part.key == row.key) {
                sum.merge(&part.sums);
            }
            prop_assert!(sum.connections >= row.sums.connections);
            prop_assert_eq!(Sums { connections: row.sums.connections, ..sum }, row.sums);
        }
        for part in parts.iter().filter(|part| !part.rows.is_empty()) {
            prop_assert!(part.rows.iter().all(|row| whole.rows.iter().any(|known| known.key == row.key)));
            prop_assert!(part.rows.iter().all(|row| Some(row.window) == part.span));
            ends.extend(part.span.map(|window| window.end_us));
        }
        prop_assert!(ends.is_sorted_by(|one, next| one < next), "{:?}", ends);
    }

    /// Snapshots in between change when something is counted, never how much.
    #[test]
    fn dropping_samples_changes_no_sum(lives in lives()) {
        let events = stream(&lives);
        let fewer: Vec<Event> = events.iter().filter(|event| match &event.body {
            Body::Sample(sample) => lives[usize::try_from(sample.conn).unwrap()].preexisting,
            _ => true,
        }).cloned().collect();
        let (all, few) = (report(&events, ReportOptions::default()).totals(), report(&fewer, ReportOptions::default()).totals());
        prop_assert_eq!((all.bytes_read, all.bytes_written, all.connections), (few.bytes_read, few.bytes_written, few.connections));
    }

    /// The order of rows does not depend on the run.
    #[test]
    fn two_runs_give_the_same_report(lives in lives()) {
        let mut events = stream(&lives);
        events.push(Event { at: u64::MAX, body: Body::Tick(Tick { complete: true }) });
        prop_assert_eq!(report(&events, ReportOptions::default()).rows, report(&events, ReportOptions::default()).rows);
    }
}
