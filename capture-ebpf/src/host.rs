//! Facts about the host for a capture's header.
//!
//! In: `/proc` and the clocks. Out: a header. What cannot be read stays empty: none of it is worth failing for.

use std::fs;

use netflow_core::event::Header;

use crate::sys;

/// A header with all that the host knows; `command`, `comment` and `interval_ms` are the caller's words.
#[must_use]
pub fn host_header(tool: &str, interval_ms: u64, command: Vec<String>, comment: String) -> Header {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let range = text("/proc/sys/net/ipv4/ip_local_port_range");
    let mut ports = range.split_whitespace().map(|port| port.parse().unwrap_or_default());
    Header {
        tool: tool.to_owned(),
        host: text("/proc/sys/kernel/hostname"),
        kernel: text("/proc/sys/kernel/osrelease"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        boot_time_ns: boot_time_ns(),
        interval_ms,
        ephemeral_port_min: ports.next().unwrap_or_default(),
        ephemeral_port_max: ports.next().unwrap_or_default(),
        command,
        comment,
    }
}

/// UTC of the boot: how far the wall clock is ahead of the time since boot. Two clocks cannot be read at once, so the
/// closest of several attempts counts.
#[must_use]
pub fn boot_time_ns() -> i64 {
    let attempt = |_| {
        let before = sys::clock(libc::CLOCK_BOOTTIME);
        let wall = sys::clock(libc::CLOCK_REALTIME);
        let after = sys::clock(libc::CLOCK_BOOTTIME);
        (after - before, wall - (before + (after - before) / 2))
    };
    (0..16).map(attempt).min_by_key(|(width, _)| *width).map_or(0, |(_, offset)| offset)
}

/// Nanoseconds since boot, on the clock that the programs use.
pub(crate) fn now() -> u64 {
    sys::clock(libc::CLOCK_BOOTTIME).unsigned_abs()
}

/// Nanoseconds on the clock by which the programs tell how long a UDP flow was silent: since boot without the time of
/// sleep, a few milliseconds late at times.
pub(crate) fn now_coarse() -> u64 {
    sys::clock(libc::CLOCK_MONOTONIC_COARSE).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_knows_the_host() {
        let header = host_header("netflow 1", 1000, vec!["netflow".to_owned()], String::new());
        assert!(!header.kernel.is_empty());
        assert_eq!(header.boot_id.len(), 36);
        assert!(header.ephemeral_port_min < header.ephemeral_port_max);
        // Two readings agree within a millisecond.
        assert!((header.boot_time_ns - boot_time_ns()).abs() < 1_000_000);
        assert!(now() > 0);
    }
}
