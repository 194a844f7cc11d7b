//! The pace of a replay.
//!
//! In: the recorded times of events. Out: when they are due. Every wait is counted from the beginning of the replay, so
//! that what the work between takes is made up for and nothing drifts. Never here: what happens at those times.

use std::time::{Duration, Instant};

/// How many times as fast as recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times.
    Times(f64),
}

impl Speed {
    /// `max`, `1`, `0.5`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.parse().ok().filter(|times: &f64| times.is_finite() && *times > 0.0);
        times.map(Self::Times).ok_or_else(|| "expected a number above 0, such as 1, 10 or 0.5, or max".to_owned())
    }
}

/// One replay. Captures follow each other at once, whatever time lay between them.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: Speed,
    began: Instant,
    /// What the captures before this one took when they were recorded, in nanoseconds.
    before: u64,
    /// First and last event of this capture.
    span: Option<(u64, u64)>,
}

impl Pace {
    /// A replay begins.
    pub(crate) fn new(speed: Speed, now: Instant) -> Self {
        Self { speed, began: now, before: 0, span: None }
    }

    /// A capture begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.passed();
        self.span = None;
    }

    /// An event was recorded at that time.
    pub(crate) fn see(&mut self, at: u64) {
        let (_, last) = self.span.get_or_insert((at, at));
        *last = at.max(*last);
    }

    /// Waits until the last event is due.
    pub(crate) fn wait(&self) {
        let left = self.left(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }

    fn passed(&self) -> u64 {
        self.before + self.span.map_or(0, |(first, last)| last - first)
    }

    /// How long it is until the last event is due.
    fn left(&self, now: Instant) -> Duration {
        let Speed::Times(times) = self.speed else { return Duration::ZERO };
        let recorded = Duration::from_nanos(self.passed()).as_secs_f64();
        let due = Duration::try_from_secs_f64(recorded / times).unwrap_or(Duration::MAX);
        due.saturating_sub(now.saturating_duration_since(self.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn speeds() {
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        assert_eq!(Speed::parse("0.5"), Ok(Speed::Times(0.5)));
        for wrong in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(Speed::parse(wrong).unwrap_err().contains("such as 1"), "{wrong}");
        }
    }

    /// A minute of ticks, a second apart, each with work after it; gives the time at which each tick came.
    fn minute(speed: Speed, work: Duration) -> Vec<Duration> {
        let began = Instant::now();
        let mut now = began;
        let mut pace = Pace::new(speed, began);
        pace.begin();
        pace.see(100 * SECOND);
        let ticks = (1..=60).map(|second| {
            pace.see((100 + second) * SECOND);
            now += pace.left(now);
            let came = now - began;
            now += work;
            came
        });
        ticks.collect()
    }

    #[test]
    fn the_pace_is_the_recorded_one_and_does_not_drift() {
        for work in [0, 1, 300, 999].map(Duration::from_millis) {
            let ticks = minute(Speed::Times(1.0), work);
            let expected: Vec<Duration> = (1..=60).map(Duration::from_secs).collect();
            assert_eq!(ticks, expected, "{work:?}");
        }
        assert_eq!(minute(Speed::Times(2.0), Duration::from_millis(10))[59], Duration::from_secs(30));
        assert_eq!(minute(Speed::Times(0.5), Duration::ZERO)[59], Duration::from_secs(120));
        assert_eq!(minute(Speed::Max, Duration::ZERO)[59], Duration::ZERO);
        // Work that takes longer than an interval delays, and nothing is waited for.
        assert_eq!(minute(Speed::Times(1.0), Duration::from_secs(2))[59], Duration::from_secs(1 + 59 * 2));
    }

    #[test]
    fn captures_follow_each_other_at_once() {
        let began = Instant::now();
        let mut pace = Pace::new(Speed::Times(1.0), began);
        for first in [1_000 * SECOND, 5 * SECOND] {
            pace.begin();
            pace.see(first);
            pace.see(first + 3 * SECOND);
        }
        assert_eq!(pace.left(began), Duration::from_secs(6));
    }
}
