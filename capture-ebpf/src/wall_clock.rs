//! Whether the wall clock was set.
//!
//! In: readings of how far the wall clock is ahead of the time since boot. Out: a clock event when that is no longer what
//! the stream says. Never here: the clocks.
//!
//! The kernel steers both clocks alike, so a clock that is slewed, however far and for however long, stays where it is: what
//! changes the difference is a clock that was set, by hand, by a time daemon's step or by a leap second. Steps smaller than
//! [`STEP_NS`] add up until they are as large, so the stream's times are never wrong by more, but for the moment between
//! a step and the next look.

use netflow_core::event::{Body, Clock, Event};

/// What counts as a step, in nanoseconds.
const STEP_NS: u64 = 1_000_000;

/// How far the wall clock is ahead of the time since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// UTC of the boot, in nanoseconds since 1970.
    pub(crate) boot_time_ns: i64,
    /// How far off that may be, in nanoseconds: two clocks cannot be read at once.
    pub(crate) error_ns: u64,
    /// When it was read, in nanoseconds since boot.
    pub(crate) at: u64,
}

/// What the stream says of the wall clock.
#[derive(Debug)]
pub(crate) struct WallClock {
    told: i64,
}

impl WallClock {
    /// The stream begins with this UTC of the boot.
    pub(crate) fn new(boot_time_ns: i64) -> Self {
        Self { told: boot_time_ns }
    }

    /// The event to tell after a reading.
    pub(crate) fn look(&mut self, reading: Reading) -> Option<Event> {
        // One that the scheduler came in between of proves nothing small.
        if self.told.abs_diff(reading.boot_time_ns) < STEP_NS.saturating_add(reading.error_ns) {
            return None;
        }
        self.told = reading.boot_time_ns;
        Some(Event { at: reading.at, body: Body::Clock(Clock { boot_time_ns: self.told }) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    const BOOT: i64 = 1_700_000_000_000_000_000;

    /// The times told after readings of a wall clock that is that many microseconds ahead of the header's, each with its
    /// possible error.
    fn told(readings: &[(i64, u64)]) -> Vec<(u64, i64)> {
        let mut clock = WallClock::new(BOOT);
        let look = |(at, (ahead_us, error_us)): (u64, &(i64, u64))| {
            let boot_time_ns = BOOT + ahead_us * 1000;
            clock.look(Reading { boot_time_ns, error_ns: error_us * 1000, at })
        };
        let word = |event: Event| match event.body {
            Body::Clock(clock) => (event.at, (clock.boot_time_ns - BOOT) / 1000),
            other => panic!("{other:?}"),
        };
        (0..).zip(readings).filter_map(look).map(word).collect()
    }

    #[test]
    fn what_two_readings_differ_by_is_no_step() {
        assert_eq!(told(&[(0, 0), (1, 1), (-1, 1), (999, 0), (-999, 0), (0, 0)]), []);
        assert_eq!(told(&[(1500, 900), (1500, 900)]), [], "it may be no more than 600 µs");
    }

    #[test]
    fn a_step_is_told_once_whichever_way_it_goes() {
        let hour = 3_600_000_000;
        assert_eq!(told(&[(0, 0), (hour, 0), (hour, 0), (hour + 1, 0)]), [(1, hour)]);
        assert_eq!(told(&[(-hour, 0), (-hour, 0), (0, 0)]), [(0, -hour), (2, 0)]);
        assert_eq!(told(&[(1_000_000, 5)]), [(0, 1_000_000)], "a leap second");
        assert_eq!(told(&[(hour, 50_000)]), [(0, hour)], "an uncertain reading of a great step");
    }

    #[test]
    fn small_steps_add_up() {
        let readings: Vec<(i64, u64)> = (0..100).map(|n| (n * 100, 0)).collect();
        let told = told(&readings);
        assert_eq!(told.first(), Some(&(10, 1000)));
        assert_eq!(told.len(), 9, "every millisecond");
    }

    #[test]
    fn clocks_at_the_ends_of_time_do_not_overflow() {
        let mut clock = WallClock::new(i64::MIN);
        assert!(clock.look(Reading { boot_time_ns: 0, error_ns: u64::MAX, at: 0 }).is_none());
        assert!(clock.look(Reading { boot_time_ns: i64::MAX, error_ns: 0, at: 0 }).is_some());
    }
}
