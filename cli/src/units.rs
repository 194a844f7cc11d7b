//! Durations and sizes on the command line.
//!
//! In: text such as `1h30m` or `100MB`. Out: values, or a message that says what was expected.

use std::time::Duration;

/// `500ms`, `60s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("expected a duration like 500ms, 60s, 5m or 1h30m ({error})"))?;
    if duration < Duration::from_millis(1) {
        return Err("expected at least 1ms".to_owned());
    }
    Ok(duration)
}

/// A duration, or `0s` for none.
pub(crate) fn duration_or_none(text: &str) -> Result<Duration, String> {
    if humantime::parse_duration(text) == Ok(Duration::ZERO) { Ok(Duration::ZERO) } else { duration(text) }
}

/// `100MB` (powers of ten), `1GiB` (powers of two), plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|error| format!("expected a size like 100MB or 1GiB ({error})"))
}

/// `1 connection`, `2 connections`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", indicatif::HumanCount(number), if number == 1 { "" } else { "s" })
}

/// Bytes for people.
pub(crate) fn bytes(number: u64) -> String {
    humansize::format_size(number, humansize::BINARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(
            (duration_or_none("0s"), duration_or_none("10m")),
            (Ok(Duration::ZERO), Ok(Duration::from_secs(600)))
        );
        for wrong in ["", "0s", "10", "ten", "-1s", "1us"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("100MB"), Ok(100_000_000));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("lots").is_err());
        assert_eq!((count(1, "event"), count(12_345, "event")), ("1 event".to_owned(), "12,345 events".to_owned()));
    }
}
