//! When a recording goes on in a new file.
//!
//! In: what the command line asks for, the time, the size of the file, the snapshots that reach it. Out: that a snapshot is
//! to be taken now, and behind which snapshot the file ends. Never here: files, clocks.

use std::time::Duration;

use crate::units;

/// How many snapshots may go by before a file ends, when none is complete.
const PATIENCE: u32 = 3;

/// How long a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// So long, aligned to the clock in UTC; a second at least.
    Every(Duration),
    /// About so many bytes.
    Size(u64),
}

impl Rotation {
    /// `1h`, `100MB`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected a duration of 1s at least like 1h, or a size like 100MB";
        if text.ends_with(['b', 'B']) {
            let size = units::size(text)?;
            return if size > 0 { Ok(Self::Size(size)) } else { Err(expected.to_owned()) };
        }
        // `10M` may be meant as ten minutes or ten megabytes, and would be ten months.
        let duration = units::duration(text).ok().filter(|every| *every >= Duration::from_secs(1));
        duration.filter(|_| !text.contains('M')).map(Self::Every).ok_or_else(|| expected.to_owned())
    }
}

/// What is left of the files of a recording that rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So many files.
    Files(u64),
    /// Files of so many bytes together.
    Bytes(u64),
}

impl Keep {
    /// `24`, `10GB`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let keep = match text.parse() {
            Ok(files) => Some(Self::Files(files)),
            Err(_) => units::size(text).ok().map(Self::Bytes),
        };
        let keep = keep.filter(|keep| !matches!(keep, Self::Files(0) | Self::Bytes(0)));
        keep.ok_or_else(|| "expected a number of files from 1 on like 24, or a size like 10GB".to_owned())
    }
}

/// The end of the file that is being written.
#[derive(Debug)]
pub(super) struct Schedule {
    rotation: Rotation,
    /// The period in which the file began, in periods since 1970.
    period: i128,
    /// The size at which the file ends.
    most: u64,
    due: Option<Due>,
}

/// The file is to end.
#[derive(Debug)]
struct Due {
    /// The first snapshot that may end it, in nanoseconds of UTC.
    from: i128,
    /// Snapshots since.
    seen: u32,
    /// A snapshot was asked for.
    is_asked: bool,
}

impl Schedule {
    /// The first file begins, at `now` in nanoseconds of UTC.
    pub(super) fn new(rotation: Rotation, now: i128) -> Self {
        let most = if let Rotation::Size(most) = rotation { most } else { 0 };
        Self { rotation, period: period(rotation, now), most, due: None }
    }

    /// When a file that begins at `now` should have begun, in nanoseconds of UTC.
    pub(super) fn beginning(&self, now: i128) -> i128 {
        match self.rotation {
            Rotation::Every(every) => period(self.rotation, now) * nanoseconds(every),
            Rotation::Size(_) => now,
        }
    }

    /// True when a snapshot is to be taken so that the file can end. `bytes`: its size.
    pub(super) fn asks(&mut self, now: i128, bytes: u64) -> bool {
        let is_over = match self.rotation {
            Rotation::Every(_) => self.is_over(now),
            Rotation::Size(_) => bytes >= self.most,
        };
        if is_over && self.due.is_none() {
            self.due = Some(Due { from: now, seen: 0, is_asked: false });
        }
        self.due.as_mut().is_some_and(|due| !std::mem::replace(&mut due.is_asked, true))
    }

    /// Its time is over at `now`, if it has one.
    pub(super) fn is_over(&self, now: i128) -> bool {
        // A clock that is set back begins a new file too.
        period(self.rotation, now) != self.period
    }

    /// The file does not end any more, unless it is asked again.
    pub(super) fn stay(&mut self) {
        self.due = None;
    }

    /// A snapshot was taken, at `at` in nanoseconds of UTC; true when it ends the file.
    pub(super) fn is_ended_by(&mut self, at: i128, is_complete: bool) -> bool {
        let Some(due) = &mut self.due else { return false };
        due.seen += 1;
        due.is_asked = false;
        (is_complete && at >= due.from) || due.seen >= PATIENCE
    }

    /// The next file began at `now`, with so many bytes that say again what holds.
    pub(super) fn begin(&mut self, now: i128, bytes: u64) {
        self.period = period(self.rotation, now);
        if let Rotation::Size(most) = self.rotation {
            // When little fits beside what is said again, files that hold nothing else would follow each other.
            self.most = most.max(bytes.saturating_mul(2));
        }
        self.due = None;
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX).max(1)
}

/// The number of the period that the time is in; there is one period only where the size decides.
fn period(rotation: Rotation, now: i128) -> i128 {
    match rotation {
        Rotation::Every(every) => now.div_euclid(nanoseconds(every)),
        Rotation::Size(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i128 = 1_000_000_000;

    #[test]
    fn what_the_command_line_says() {
        assert_eq!(Rotation::parse("1h"), Ok(Rotation::Every(Duration::from_secs(3600))));
        assert_eq!(Rotation::parse("100MB"), Ok(Rotation::Size(100_000_000)));
        assert_eq!(Rotation::parse("1GiB"), Ok(Rotation::Size(1 << 30)));
        for wrong in ["", "10M", "500ms", "0s", "100", "0B", "lots", "1G"] {
            assert!(Rotation::parse(wrong).unwrap_err().contains("expected a"), "{wrong}");
        }
        assert_eq!(Keep::parse("24"), Ok(Keep::Files(24)));
        assert_eq!(Keep::parse("10GB"), Ok(Keep::Bytes(10_000_000_000)));
        for wrong in ["", "0", "0B", "-1", "many"] {
            assert!(Keep::parse(wrong).unwrap_err().contains("expected a"), "{wrong}");
        }
    }

    #[test]
    fn by_time_a_file_ends_behind_the_first_complete_snapshot_of_the_next_period() {
        let mut schedule = Schedule::new(Rotation::Every(Duration::from_secs(10)), 1007 * S);
        assert!(!schedule.asks(1009 * S, u64::MAX));
        assert!(!schedule.is_ended_by(1009 * S, true), "nobody asked");
        assert!(schedule.asks(1010 * S, 0));
        assert!(!schedule.asks(1010 * S, 0), "once is enough");
        assert!(!schedule.is_ended_by(1009 * S, true), "it was on its way");
        assert!(schedule.asks(1010 * S, 0));
        assert!(schedule.is_ended_by(1011 * S, true));
        assert_eq!(schedule.beginning(1011 * S), 1010 * S);
        schedule.begin(1011 * S, 0);
        assert!(!schedule.asks(1019 * S, 0));
        assert!(schedule.asks(900 * S, 0), "the clock was set back");
        assert!(!schedule.is_ended_by(901 * S, false));
        assert!(!schedule.is_ended_by(902 * S, false));
        assert!(schedule.is_ended_by(903 * S, false), "no snapshot is complete");
    }

    #[test]
    fn by_size_what_is_said_again_does_not_fill_a_file() {
        let mut schedule = Schedule::new(Rotation::Size(1000), 5 * S);
        assert!(!schedule.asks(100 * S, 999));
        assert!(schedule.asks(100 * S, 1000) && schedule.is_ended_by(101 * S, true));
        assert_eq!(schedule.beginning(101 * S), 101 * S);
        schedule.begin(101 * S, 900);
        assert!(!schedule.asks(102 * S, 1799));
        assert!(schedule.asks(102 * S, 1800));
        schedule.stay();
        assert!(!schedule.is_ended_by(103 * S, true), "the recording ends instead");
    }
}
