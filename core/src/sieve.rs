//! Of a stream that is being recorded, the connections of which a filter holds.
//!
//! In: events as they come, a filter that asks for nothing but what they say of connections. Out: what stands in the recorded
//! stream in place of each. Never here: what is found out in other ways ([`crate::choice`] chooses by that, from what was
//! recorded).
//!
//! A connection is decided about once, and is recorded as a whole or not at all, so the law
//! `opened + preexisting = closed + lost closes + live at end` holds of those that are recorded. It is decided about as soon
//! as what the filter asks for is known, and at its end at the latest. Until then it waits; then it is introduced anew, with
//! the time when it came to be, and its counts are what they would have been. Ticks, losses and what is known beside
//! connections pass as they are: losses are those of all connections, for nobody knows of whom they were.
//!
//! Memory is bounded by the connections that live.

use std::sync::Arc;

use crate::delta::{Connection, Deltas, Step};
use crate::event::{Body, Event, Identity, Open, Sample, Totals};
use crate::filter::Filter;

/// What lets some connections pass.
#[derive(Debug)]
pub struct Sieve {
    filter: Filter,
    deltas: Deltas,
    steps: Vec<Step>,
    /// By slot.
    verdicts: Vec<Verdict>,
    last_at: u64,
}

/// Whether a connection passes.
#[derive(Debug, Clone, Copy, Default)]
enum Verdict {
    /// It was not heard of.
    #[default]
    New,
    /// Something that is asked for is not known yet.
    Waits(Wait),
    Passes,
    Stays,
}

/// What was not given of a connection that waits.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    /// It was introduced by an `open`.
    opened: bool,
    /// Its first totals.
    first: Option<Totals>,
}

impl Sieve {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, deltas: Deltas::new(), steps: Vec::new(), verdicts: Vec::new(), last_at: 0 }
    }

    /// Takes the next event, and appends what stands in its place.
    pub fn push(&mut self, event: &Event, place: &mut Vec<Event>) {
        self.last_at = event.at;
        self.deltas.push(event, &mut self.steps);
        for step in std::mem::take(&mut self.steps) {
            if let Step::Ended(slot) = step {
                // Gone before anything was known: that it is gone is told by the next snapshot.
                self.settle(slot, event.at, place);
                self.set(slot, Verdict::New);
            }
        }
        let Some(conn) = event.body.conn() else { return place.push(event.clone()) };
        // Who was never introduced is nobody, and left to the recording to count.
        let Some(slot) = self.deltas.slot_of(conn) else { return place.push(event.clone()) };
        let identity = &self.deltas.connection(slot).identity;
        let is_end = matches!(event.body, Body::Close(_));
        let decide = || match self.filter.decides(identity) {
            None if is_end => Some(self.filter.admits_identity(identity)),
            decided => decided,
        };
        let verdict = self.verdicts.get(slot).copied().unwrap_or_default();
        let (verdict, waited) = match verdict {
            Verdict::New => (decide().map_or(Verdict::Waits(Wait::default()), Verdict::of), None),
            Verdict::Waits(wait) => (decide().map_or(verdict, Verdict::of), Some(wait)),
            decided => (decided, None),
        };
        match verdict {
            Verdict::Waits(mut wait) => {
                match &event.body {
                    Body::Open(_) => wait.opened = true,
                    Body::Sample(sample) => wait.first = wait.first.or(Some(sample.totals)),
                    _ => {}
                }
                self.set(slot, Verdict::Waits(wait));
                return;
            }
            Verdict::Passes => match waited {
                Some(wait) => introduce(self.deltas.connection(slot), wait, event, place),
                None => place.push(event.clone()),
            },
            Verdict::New | Verdict::Stays => {}
        }
        self.set(slot, verdict);
    }

    /// The recording is over: what stands at its end, of those that still wait.
    #[must_use]
    pub fn finish(mut self) -> Vec<Event> {
        let mut place = Vec::new();
        for slot in self.deltas.open_slots() {
            self.settle(slot, self.last_at, &mut place);
        }
        place
    }

    /// Decides about a connection that waits with what is known, and gives it if it passes.
    fn settle(&mut self, slot: usize, at: u64, place: &mut Vec<Event>) {
        let Some(Verdict::Waits(wait)) = self.verdicts.get(slot).copied() else { return };
        let connection = self.deltas.connection(slot);
        if !self.filter.admits_identity(&connection.identity) {
            return;
        }
        let conn = connection.id;
        let totals = connection.totals().copied().unwrap_or_default();
        let event = Event { at, body: Body::Sample(Sample { conn, totals, identity: None }) };
        introduce(connection, wait, &event, place);
    }

    fn set(&mut self, slot: usize, verdict: Verdict) {
        if self.verdicts.len() <= slot {
            self.verdicts.resize_with(slot + 1, Verdict::default);
        }
        self.verdicts[slot] = verdict;
    }
}

impl Verdict {
    fn of(passes: bool) -> Self {
        if passes { Self::Passes } else { Self::Stays }
    }
}

/// Gives the next event of a connection that waited, which is new to who reads it.
fn introduce(connection: &Connection, wait: Wait, event: &Event, place: &mut Vec<Event>) {
    let (at, conn) = (event.at, connection.id);
    let identity = Arc::new(Identity {
        opened_at: connection.identity.opened_at.or(Some(connection.began())),
        ..Identity::clone(&connection.identity)
    });
    let mut event = event.clone();
    // Only of one older than the recording does it matter from which totals it counts.
    let first = wait.first.filter(|_| identity.preexisting);
    let introduced = if wait.opened {
        Some(Body::Open(Open { conn, identity: Arc::clone(&identity) }))
    } else if let Some(totals) = first {
        Some(Body::Sample(Sample { conn, totals, identity: Some(Arc::clone(&identity)) }))
    } else {
        match &mut event.body {
            Body::Open(open) => open.identity = identity,
            Body::Sample(Sample { identity: told, .. }) => *told = Some(identity),
            Body::Close(close) => close.identity = Some(identity),
            _ => {}
        }
        None
    };
    let baseline = first.filter(|_| wait.opened).map(|totals| Body::Sample(Sample { conn, totals, identity: None }));
    place.extend(introduced.into_iter().chain(baseline).map(|body| Event { at, body }));
    place.push(event);
}
