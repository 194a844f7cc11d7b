//! What a capture says first that begins in the middle of a stream.
//!
//! In: the events before. Out: events that tell again what still holds: the connections that are open, older than the new
//! capture and with their last totals, and what is known beside them. So the new capture can be read alone, and nothing is
//! counted twice when it is read after the other. Never here: where the one capture ends and who writes the next.
//!
//! What is alive is what the reader of the stream takes for alive: this is [`Deltas`] and [`Surroundings`], told as events.
//! Memory is bounded by the connections that live and the attributes that hold.

use std::iter::once;

use crate::delta::{Deltas, Step};
use crate::event::{Body, Event, K8s, Open, Sample, Tick, Totals};
use crate::flow::{Kept, Surroundings};

/// What is known at a place in a stream.
///
/// Told again in this order, all at the time of the place:
/// 1. the Kubernetes cluster, listening sockets, translations;
/// 2. the connections whose owner exited: this owner, `open`, `sample`;
/// 3. processes;
/// 4. the connections that keep what holds for nobody else any longer, such as a name whose time is over: this, `open`,
///    `sample`;
/// 5. names;
/// 6. the other connections: `open`, `sample`;
/// 7. a complete `tick`: nobody but these is open;
/// 8. where the place is in the middle of a snapshot: a `sample` of what this snapshot has reached already, so that at its
///    end nobody is missed.
///
/// A connection older than the whole whose totals were not told yet has no `sample`: it still waits for its first.
#[derive(Debug, Default)]
pub struct Carry {
    deltas: Deltas,
    surroundings: Surroundings,
    cluster: Option<K8s>,
    steps: Vec<Step>,
}

impl Carry {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event before the place.
    pub fn learn(&mut self, event: &Event) {
        self.deltas.push(event, &mut self.steps);
        for step in self.steps.drain(..) {
            match step {
                Step::Delta(delta) => {
                    let identity = &self.deltas.connection(delta.slot).identity;
                    self.surroundings.see(delta.slot, delta.at, identity);
                }
                Step::Ended(slot) => self.surroundings.forget(slot),
            }
        }
        self.surroundings.learn(event);
        if let Body::K8s(cluster) = &event.body {
            self.cluster = Some(cluster.clone());
        }
    }

    /// Tells what is known, at `at`: not before the last event that was learned, and not after the first of the new capture.
    pub fn restate(&self, at: u64) -> impl Iterator<Item = Event> + '_ {
        let slots = self.deltas.open_slots();
        let in_snapshot: Vec<usize> = slots.iter().copied().filter(|slot| self.deltas.is_seen(*slot)).collect();
        // Of these there is nothing to be said behind the tick but that they are open.
        let (late, slots): (Vec<usize>, Vec<usize>) = slots
            .into_iter()
            .partition(|slot| self.deltas.is_seen(*slot) && self.deltas.connection(*slot).totals().is_none());
        let known: Vec<(usize, Kept)> = slots
            .into_iter()
            .map(|slot| (slot, self.surroundings.kept(slot, at, &self.deltas.connection(slot).identity)))
            .collect();
        let (orphans, known): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, kept)| kept.owner.is_some());
        let (keeping, others): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, kept)| !kept.is_empty());
        let introduced = |(slot, kept): (usize, Kept)| {
            let before = kept.owner.map(Body::Process).into_iter().chain(kept.before);
            before.chain(self.introduce(slot)).chain(kept.after)
        };
        let bodies = (self.cluster.clone().map(Body::K8s).into_iter())
            .chain(self.surroundings.restate_ends())
            .chain(orphans.into_iter().flat_map(introduced))
            .chain(self.surroundings.restate_processes())
            .chain(keeping.into_iter().flat_map(introduced))
            .chain(self.surroundings.restate_names(at))
            .chain(others.into_iter().flat_map(introduced))
            .chain(once(Body::Tick(Tick { complete: true })))
            .chain(late.into_iter().flat_map(|slot| self.introduce(slot)))
            .chain(in_snapshot.into_iter().filter_map(|slot| self.remind(slot)));
        bodies.map(move |body| Event { at, body })
    }

    fn introduce(&self, slot: usize) -> impl Iterator<Item = Body> + use<> {
        let connection = self.deltas.connection(slot);
        let conn = connection.id;
        let sample = connection.totals().map(|totals| Sample { conn, totals: *totals, identity: None });
        once(Body::Open(Open { conn, identity: connection.as_preexisting() })).chain(sample.map(Body::Sample))
    }

    /// The totals once more, without what was measured: it was measured once.
    fn remind(&self, slot: usize) -> Option<Body> {
        let connection = self.deltas.connection(slot);
        let totals = Totals { rtt_us: 0, rtt_var_us: 0, ..*connection.totals()? };
        Some(Body::Sample(Sample { conn: connection.id, totals, identity: None }))
    }
}
