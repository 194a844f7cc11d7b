//! Where a capture of a long time is divided into sections, so that a part of the time can be read without the rest.
//!
//! In: the snapshots of a stream, and how much is written. Out: behind which of them a section ends. Never here: what the
//! next one begins with ([`Continuation`](netflow_core::continuation::Continuation)), and bytes.
//!
//! A section ends behind the last complete snapshot before a whole multiple of [`EVERY`] in UTC: so what is asked for from
//! such a time on has no more than an interval before it in its section. It is at least so old as the first of a recording,
//! and half of it otherwise; and it has at least [`TIMES`] as much as was said again at its beginning, so that what many
//! idle connections cost each time stays small.

use std::time::Duration;

use netflow_core::event::{Body, Event};

/// How long a section is, unless something else is asked for.
pub const EVERY: Duration = Duration::from_secs(600);

/// A section is so many times as large as what is said again in it.
const TIMES: u64 = 10;

/// How many snapshots may go by before a section ends, when none is complete.
const PATIENCE: u32 = 3;

/// The end of the section that is being written.
#[derive(Debug)]
pub struct Seams {
    /// Nanoseconds, as are all times here.
    every: i128,
    /// Between two snapshots.
    interval: i128,
    /// When the section began, and the multiple of `every` before which it ends; `None` before its first snapshot.
    span: Option<(i128, i128)>,
    /// What is written, and how much of it was said again.
    weight: u64,
    said_again: u64,
    /// Incomplete snapshots that could have ended it.
    incomplete: u32,
}

impl Seams {
    /// A recording begins whose snapshots are so far from each other. `None`: it is never divided.
    #[must_use]
    pub fn new(every: Duration, interval_ms: u64) -> Option<Self> {
        let every = i128::try_from(every.as_nanos()).ok().filter(|every| *every > 0)?;
        let interval = i128::from(interval_ms) * 1_000_000;
        Some(Self { every, interval, span: None, weight: 0, said_again: 0, incomplete: 0 })
    }

    /// An event was written, at `utc` in nanoseconds since 1970. True when the section ends behind it.
    pub fn is_ended_by(&mut self, event: &Event, utc: i128) -> bool {
        self.weight = self.weight.saturating_add(weight(event));
        // A clock that is set back begins anew.
        let (_, end) = match self.span.filter(|(begin, _)| utc >= *begin) {
            Some(span) => span,
            None => *self.span.insert((utc, self.multiple_from(utc + self.every))),
        };
        let Body::Tick(tick) = &event.body else { return false };
        if utc + self.interval <= end || self.weight - self.said_again < TIMES.saturating_mul(self.said_again) {
            return false;
        }
        self.incomplete += u32::from(!tick.complete);
        tick.complete || self.incomplete >= PATIENCE
    }

    /// The multiple of the length before which the present section is to end, in nanoseconds since 1970.
    #[must_use]
    pub fn end(&self) -> Option<i128> {
        self.span.map(|(_, end)| end)
    }

    /// A section begins at `utc`.
    pub fn begin(&mut self, utc: i128) {
        self.span = Some((utc, self.multiple_from(utc + self.every / 2)));
        (self.weight, self.said_again, self.incomplete) = (0, 0, 0);
    }

    /// This was written of what is said again in the section.
    pub fn say_again(&mut self, event: &Event) {
        self.weight = self.weight.saturating_add(weight(event));
        self.said_again = self.weight;
    }

    fn multiple_from(&self, utc: i128) -> i128 {
        -(-utc).div_euclid(self.every) * self.every
    }
}

/// About what an event takes in memory, in bytes; in the file it is a fraction of it.
fn weight(event: &Event) -> u64 {
    64 + if let Body::K8s(k8s) = &event.body { k8s.state.len() as u64 } else { 0 }
}
