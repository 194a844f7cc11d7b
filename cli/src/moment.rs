//! Times on the command line.
//!
//! In: `2026-11-23T09:00:00Z`, or `09:00` and `09:00:30`, which are times of a day in UTC. Out: moments, or a message that
//! says what was expected. Never here: what happens at that time.

use std::fmt;

use chrono::{DateTime, NaiveTime, SecondsFormat, Timelike as _};
use netflow_core::excerpt::Span;

use crate::args::WindowArgs;
use crate::outcome::Usage;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A time as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nanoseconds since 1970 (UTC).
    Utc(i64),
    /// Nanoseconds since the beginning of a day (UTC).
    OfDay(i64),
}

impl Moment {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            let nanos = time.timestamp_nanos_opt();
            return nanos.map(Self::Utc).ok_or_else(|| "expected a time between the years 1678 and 2262".to_owned());
        }
        let of_day = ["%H:%M:%S%.f", "%H:%M"].into_iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
        of_day
            .map(|time| {
                Self::OfDay(i64::from(time.num_seconds_from_midnight()) * SECOND + i64::from(time.nanosecond()))
            })
            .ok_or_else(|| "expected a time like 2026-11-23T09:00:00Z, 09:00 or 09:00:30".to_owned())
    }

    /// The moment on the day of `day`, which is in nanoseconds since 1970.
    fn on(self, day: i64) -> i64 {
        match self {
            Self::Utc(nanos) => nanos,
            Self::OfDay(nanos) => day.saturating_sub(day.rem_euclid(DAY)).saturating_add(nanos),
        }
    }
}

/// As it can be said again.
impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utc(nanos) => {
                write!(out, "{}", DateTime::from_timestamp_nanos(*nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            Self::OfDay(nanos) => write!(out, "{}", DateTime::from_timestamp_nanos(*nanos).format("%H:%M:%S%.f")),
        }
    }
}

impl WindowArgs {
    /// Everything is asked for.
    pub(crate) fn is_whole(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// What is asked for of captures that begin at `begin`, in nanoseconds since 1970.
    pub(crate) fn span(&self, begin: i64) -> Result<Span, Usage> {
        let since = self.since.map(|since| since.on(begin));
        let until = self.until.map(|until| match (until, since) {
            (Moment::OfDay(_), Some(since)) => {
                let until = until.on(since);
                if until > since { until } else { until.saturating_add(DAY) }
            }
            _ => until.on(begin),
        });
        if since.is_some_and(|since| until.is_some_and(|until| until <= since)) {
            return Err(Usage("there is no time between --since and --until: the latter must be later".to_owned()));
        }
        Ok(Span { since, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T23:30:00Z
    const BEGIN: i64 = 1_795_476_600 * SECOND;

    fn span(since: &str, until: &str) -> Result<(i64, i64), String> {
        let [since, until] = [since, until].map(|text| Some(Moment::parse(text).unwrap()));
        let span = WindowArgs { since, until }.span(BEGIN).map_err(|error| error.0)?;
        Ok((span.since.unwrap() - BEGIN, span.until.unwrap() - BEGIN))
    }

    #[test]
    fn times_of_day_are_on_the_day_of_the_beginning_or_after_the_other() {
        let minutes = |minutes: i64| minutes * 60 * SECOND;
        assert_eq!(span("23:40", "23:45:00"), Ok((minutes(10), minutes(15))));
        assert_eq!(span("23:40", "00:10"), Ok((minutes(10), minutes(40))));
        assert_eq!(span("2026-11-24T00:05:00Z", "00:10"), Ok((minutes(35), minutes(40))));
        assert_eq!(span("2026-11-24T01:05:00+01:00", "2026-11-24T00:10:00Z"), Ok((minutes(35), minutes(40))));
        assert_eq!(span("23:40", "23:40"), Ok((minutes(10), minutes(10 + 24 * 60))));
        assert_eq!(span("23:30:00.5", "23:31"), Ok((SECOND / 2, minutes(1))));
    }

    #[test]
    fn what_is_said_is_understood_again() {
        for text in ["00:00:00", "23:59:59.250", "2026-11-24T00:05:00Z", "2026-11-24T00:05:00.123456789Z"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in ["", "9", "25:00", "09:60", "yesterday", "2026-11-23", "2026-11-23T09:00:00", "5m"] {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
        assert!(span("2026-11-24T00:05:00Z", "2026-11-24T00:05:00Z").unwrap_err().contains("later"));
        assert!(span("23:40", "2026-11-23T00:05:00Z").is_err());
    }
}
