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
        if self.span.is_none_or(|(begin, _)| utc < begin) {
            self.span = Some((utc, self.multiple_from(utc + self.every)));
        }
        let (Body::Tick(tick), Some((_, end))) = (&event.body, &mut self.span) else { return false };
        if utc + self.interval <= *end {
            return false;
        }
        if self.weight - self.said_again < TIMES.saturating_mul(self.said_again) {
            *end = (utc.div_euclid(self.every) + 1).max(*end / self.every + 1) * self.every;
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

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_core::event::{K8s, Tick};

    const S: i128 = 1_000_000_000;

    fn tick(complete: bool) -> Event {
        Event { at: 0, body: Body::Tick(Tick { complete }) }
    }

    /// The seconds of snapshots, one every ten seconds from `from` to `to`, that end a section.
    fn ends(seams: &mut Seams, from: i128, to: i128, complete: bool) -> Vec<i128> {
        let mut ends = Vec::new();
        for second in (from..to).step_by(10) {
            if seams.is_ended_by(&tick(complete), second * S) {
                ends.push(second);
                seams.begin(second * S);
            }
        }
        ends
    }

    fn ten_minutes() -> Seams {
        Seams::new(EVERY, 10_000).unwrap()
    }

    #[test]
    fn a_section_ends_behind_the_last_snapshot_before_ten_minutes_are_full() {
        assert_eq!(ends(&mut ten_minutes(), 5, 3000, true), [1195, 1795, 2395, 2995], "the first has ten minutes");
        assert_eq!(
            ends(&mut ten_minutes(), 0, 1801, true),
            [600, 1200, 1800],
            "the next one is on the dot, not before"
        );
        assert_eq!(ends(&mut ten_minutes(), 1003, 1700, true), [0; 0], "a short recording is one");
        assert!(Seams::new(Duration::ZERO, 10_000).is_none());
    }

    #[test]
    fn a_snapshot_that_is_late_costs_no_seam() {
        let mut seams = ten_minutes();
        assert_eq!(ends(&mut seams, 5, 1190, true), [0; 0]);
        assert_eq!(ends(&mut seams, 1333, 1340, true), [1333]);
        assert_eq!(ends(&mut seams, 1340, 1801, true), [1800]);
    }

    #[test]
    fn incomplete_snapshots_and_clocks_that_are_set_do_not_stop_it() {
        assert_eq!(ends(&mut ten_minutes(), 5, 1300, false), [1215], "the third one has to do");
        let mut seams = ten_minutes();
        assert_eq!(ends(&mut seams, 100_005, 100_300, true), [0; 0]);
        assert_eq!(ends(&mut seams, 5, 1300, true), [1195], "set back");
    }

    #[test]
    fn what_is_said_again_is_a_small_part() {
        let mut seams = ten_minutes();
        assert_eq!(ends(&mut seams, 5, 1200, true), [1195]);
        // As much as ten snapshots.
        (0..10).for_each(|_| seams.say_again(&tick(true)));
        assert_eq!(ends(&mut seams, 1205, 2400, true), [2395]);
        let state = Event { at: 0, body: Body::K8s(K8s { state: "x".repeat(6400 - 64).into() }) };
        seams.say_again(&state);
        assert_eq!(ends(&mut seams, 2405, 20_000, true)[0], 12_595, "a thousand snapshots, and full ten minutes");
    }
}
