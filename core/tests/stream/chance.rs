//! Streams that chance makes: connections come, grow, change owners and go, with or without anybody telling.

use netflow_core::event::{Body, Event, Identity, Totals};
use proptest::prelude::*;

use super::{
    CUT_TICK, S, TICK, close, close_of, dns, exit, in_container, listen, nat, open, sample, sample_of, tcp, udp,
};

/// What happens next: how long after, what, to which connection, by how much its totals grow.
pub(crate) type Deed = (u8, u8, prop::sample::Index, [u64; 3]);

pub(crate) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let growth = prop::array::uniform3(prop_oneof![3 => Just(0), 5 => 1..1000_u64]);
    prop::collection::vec((0..4_u8, 0..20_u8, any::<prop::sample::Index>(), growth), 1..60)
}

/// A connection that is open.
#[derive(Clone)]
struct Live {
    conn: u64,
    totals: Totals,
    /// It ended, and nobody told.
    is_lost: bool,
}

impl Live {
    fn grow(&mut self, [sent, received, retransmits]: [u64; 3]) -> Totals {
        self.totals.sent_bytes += sent;
        self.totals.recv_bytes += received;
        self.totals.retransmits += retransmits;
        self.totals.rtt_us = u32::try_from(self.totals.sent_bytes % 7).unwrap();
        self.totals
    }
}

/// Its ends tell a connection from every other.
fn identity(conn: u64, which: usize) -> Identity {
    let remote = format!("10.0.0.{}:{}", 2 + which % 3, 80 + conn);
    let plain = if which.is_multiple_of(4) { udp("10.0.0.1:40000", &remote) } else { tcp("10.0.0.1:40000", &remote) };
    Identity {
        pid: Some(7 + u32::try_from(which % 2).unwrap()),
        netns: Some(1),
        preexisting: which.is_multiple_of(5),
        ..plain
    }
}

/// The stream of what happens.
pub(crate) fn events(deeds: &[Deed]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut live: Vec<Live> = Vec::new();
    let mut at = 1000 * S;
    for (conn, (wait, deed, which, growth)) in deeds.iter().enumerate() {
        at += u64::from(*wait) * S / 2;
        let conn = conn as u64;
        let number = which.index(60);
        let new = identity(conn, number);
        let chosen = (!live.is_empty()).then(|| which.index(live.len()));
        let mut bodies = Vec::new();
        match (deed, chosen) {
            (0..=3, _) => {
                bodies.push(open(conn, &new));
                live.push(Live { conn, totals: Totals::default(), is_lost: false });
            }
            // One whose beginning nobody told.
            (4, _) => {
                let mut one = Live { conn, totals: Totals::default(), is_lost: false };
                bodies.push(sample_of(conn, one.grow(*growth), &new));
                live.push(one);
            }
            (5, _) => bodies.push(close_of(conn, Totals::default(), Some(&new), &["syn_sent", "close"])),
            (6 | 7, Some(index)) if !live[index].is_lost => {
                bodies.push(sample(live[index].conn, live[index].grow(*growth)));
            }
            // A change of owner.
            (8, Some(index)) if !live[index].is_lost => {
                let one = &mut live[index];
                let known = events.iter().rev().find_map(|event| match &event.body {
                    Body::Open(open) if open.conn == one.conn => Some(open.identity.clone()),
                    Body::Sample(sample) if sample.conn == one.conn => sample.identity.clone(),
                    _ => None,
                });
                let owned =
                    Identity { pid: Some(9), process: Some("worker".into()), ..Identity::clone(&known.unwrap()) };
                bodies.push(sample_of(one.conn, one.grow(*growth), &owned));
            }
            (9 | 10, Some(index)) if !live[index].is_lost => {
                let mut one = live.remove(index);
                bodies.push(close(one.conn, one.grow(*growth)));
            }
            (11, Some(index)) => live[index].is_lost = true,
            (12..=14, _) => {
                for one in live.iter_mut().filter(|one| !one.is_lost) {
                    bodies.push(sample(one.conn, one.grow(*growth)));
                }
                live.retain(|one| !one.is_lost);
                bodies.push(TICK);
            }
            (15, _) => bodies.push(CUT_TICK),
            (16, _) if number % 2 == 0 => bodies.push(in_container(7, &format!("p{}", number % 3), "c0ffee")),
            (16, _) => bodies.push(exit(7, "p")),
            (17, _) => bodies.push(dns(&format!("n{}.example", number % 3), "10.0.0.2", 1, None)),
            (18, Some(index)) => {
                let remote = format!("10.0.0.2:{}", 80 + live[index].conn);
                bodies.push(nat(&Identity { netns: Some(1), ..tcp("10.0.0.1:40000", &remote) }, "10.42.0.1:1"));
            }
            _ => bodies.push(listen("0.0.0.0:40000", Some(1), 7, number % 2 == 0)),
        }
        events.extend(bodies.into_iter().map(|body| Event { at, body }));
    }
    events
}
