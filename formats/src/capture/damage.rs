//! The list of what is damaged.
//!
//! In: each damaged place as it is met; what it costs, at once or when the next intact block tells. Out: the list, and sums
//! that hold also when the list is full. Never here: bytes.

use super::block::BlockKind;
use super::error::{Damage, DamagedPart, Malformed};

/// Damage that is listed one by one; beyond it only the sums grow.
const MOST_LISTED: usize = 10_000;

/// Where the reader met something that is wrong.
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) part: DamagedPart,
    pub(super) kind: Option<BlockKind>,
    pub(super) sequence: u32,
    /// The time of the last event before it.
    pub(super) after: u64,
}

#[derive(Default)]
pub(super) struct Damages {
    list: Vec<Damage>,
    /// Damage whose cost is not known before the next intact block.
    pending: Option<Damage>,
    count: u64,
    events_lost: u64,
    least_cost: u64,
}

impl Damages {
    /// Notes damage whose cost is known.
    pub(super) fn report(&mut self, place: &Place, what: Malformed, events_lost: u64) {
        self.take(Damage { events_lost: Some(events_lost), ..damage(place, what) });
    }

    /// Notes damage to the block with the header's counts and times.
    pub(super) fn report_block(&mut self, place: &Place, what: Malformed, events: u32, times: (u64, u64)) {
        let lost = damage(place, what);
        self.take(Damage { events_lost: Some(events.into()), first_at: times.0, last_at: Some(times.1), ..lost });
    }

    /// Notes damage whose cost the next intact block tells. `events` and `times` are what the damaged block's own header
    /// says, where that is intact.
    pub(super) fn suspect(&mut self, place: &Place, what: Malformed, events: Option<u64>, times: Option<(u64, u64)>) {
        let mut lost = Damage { events_lost: events, ..damage(place, what) };
        if let Some((first_at, last_at)) = times {
            (lost.first_at, lost.last_at) = (first_at, Some(last_at));
        }
        self.pending = Some(lost);
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// An intact block follows, or the end: true when events are, or may be, missing in between.
    pub(super) fn settle(&mut self, missing: Option<u64>, next_at: Option<u64>) -> bool {
        let Some(mut pending) = self.pending.take() else { return false };
        if missing.is_some() && missing != pending.events_lost {
            // More than the damaged block is missing.
            pending.last_at = next_at;
        }
        pending.events_lost = missing.or(pending.events_lost);
        pending.last_at = pending.last_at.or(next_at);
        let costs = pending.events_lost != Some(0);
        self.take(pending);
        costs
    }

    fn take(&mut self, damage: Damage) {
        self.count += 1;
        self.events_lost = self.events_lost.saturating_add(damage.events_lost.unwrap_or(0));
        self.least_cost = self.least_cost.saturating_add(damage.least_cost());
        if self.list.len() < MOST_LISTED {
            self.list.push(damage);
        }
    }

    pub(super) fn list(&self) -> &[Damage] {
        &self.list
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn events_lost(&self) -> u64 {
        self.events_lost
    }

    pub(super) fn least_cost(&self) -> u64 {
        self.least_cost
    }
}

fn damage(place: &Place, what: Malformed) -> Damage {
    Damage {
        offset: place.offset,
        part: place.part,
        kind: place.kind,
        sequence: place.sequence,
        what,
        events_lost: None,
        first_at: place.after,
        last_at: None,
    }
}
