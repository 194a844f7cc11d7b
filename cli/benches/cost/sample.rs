//! Medians, and how far they can be trusted.
//!
//! In: figures of equal standing. Out: their median and an interval that holds the true median in 95 of 100 cases. Never
//! here: an assumption about how they are distributed; the interval is that of the sign test.

#![cfg_attr(test, allow(dead_code))]

use serde_json::{Value, json};

/// A median with its interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Median {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) count: usize,
}

impl Median {
    /// `None` of nothing.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.retain(|figure| figure.is_finite());
        figures.sort_by(f64::total_cmp);
        let count = figures.len();
        let at = |rank: usize| figures.get(rank).copied();
        let value = (at(count.checked_sub(1)? / 2)? + at(count / 2)?) / 2.0;
        let outside = outside(count);
        Some(Self { value, low: at(outside)?, high: at(count - 1 - outside)?, count })
    }

    /// The same in another unit.
    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { value: change(self.value), low: change(self.low), high: change(self.high), count: self.count }
    }

    pub(crate) fn json(self) -> Value {
        json!({"median": self.value, "low": self.low, "high": self.high, "count": self.count})
    }
}

/// How many figures may be left out at either end so that the true median lies between the rest in 95 of 100 cases: the
/// number of figures below it is as that of heads in as many throws of a coin. With fewer than six figures, none.
fn outside(count: usize) -> usize {
    let throws = i32::try_from(count).unwrap_or(i32::MAX);
    let mut chance = 0.5_f64.powi(throws);
    let mut below = chance;
    let mut outside = 0;
    for heads in 1..count {
        if below > 0.025 {
            break;
        }
        outside = heads;
        chance *= (count - heads + 1) as f64 / heads as f64;
        below += chance;
    }
    outside.saturating_sub(1)
}

#[test]
fn the_interval_is_that_of_the_sign_test() {
    // Ranks from tables of the sign test: of 10 figures the 2nd to the 9th, of 20 the 6th to the 15th.
    for (count, low, high) in [(5, 1, 5), (6, 1, 6), (10, 2, 9), (20, 6, 15), (40, 14, 27)] {
        let median = Median::of((1..=count).rev().map(f64::from).collect()).unwrap();
        assert_eq!((median.low, median.high), (f64::from(low), f64::from(high)), "{count}");
        assert_eq!(median.value, f64::from(1 + count) / 2.0);
    }
    assert!(Median::of(Vec::new()).is_none());
}
