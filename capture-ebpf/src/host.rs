//! Facts about the host for a capture's header.
//!
//! In: `/proc` and the clocks. Out: a header. What cannot be read stays empty: none of it is worth failing for.

use std::fs;

use netflow_core::event::Header;

use crate::error::CaptureError;
use crate::sys;
use crate::wall_clock::Reading;

/// How often two clocks are read to get them nearly at once.
const ATTEMPTS: u32 = 16;

/// A header with all that the host knows; `command`, `comment` and `interval_ms` are the caller's words.
#[must_use]
pub fn host_header(tool: &str, interval_ms: u64, command: Vec<String>, comment: String) -> Header {
    let (ephemeral_port_min, ephemeral_port_max) = client_ports();
    Header {
        tool: tool.to_owned(),
        host: text("/proc/sys/kernel/hostname"),
        kernel: text("/proc/sys/kernel/osrelease"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        boot_time_ns: boot_time_ns(),
        interval_ms,
        ephemeral_port_min,
        ephemeral_port_max,
        command,
        comment,
        began_at: now(),
        ..Header::default()
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The lowest and the highest port that the host gives to clients; 0 when unknown.
pub(crate) fn client_ports() -> (u16, u16) {
    let range = text("/proc/sys/net/ipv4/ip_local_port_range");
    let mut ports = range.split_whitespace().map(|port| port.parse().unwrap_or_default());
    (ports.next().unwrap_or_default(), ports.next().unwrap_or_default())
}

/// UTC of the boot in nanoseconds since 1970: how far the wall clock is ahead of the time since boot.
#[must_use]
pub fn boot_time_ns() -> i64 {
    read_wall_clock().boot_time_ns
}

/// How far the wall clock is ahead of the time since boot. Two clocks cannot be read at once, so the closest of several
/// attempts counts.
pub(crate) fn read_wall_clock() -> Reading {
    let attempt = || {
        let before = sys::clock(libc::CLOCK_BOOTTIME);
        let wall = sys::clock(libc::CLOCK_REALTIME);
        let after = sys::clock(libc::CLOCK_BOOTTIME);
        let half = (after - before) / 2;
        Reading {
            boot_time_ns: wall - (before + half),
            error_ns: half.unsigned_abs().saturating_add(1),
            at: after.unsigned_abs(),
        }
    };
    let first = attempt();
    (1..ATTEMPTS).map(|_| attempt()).fold(first, |best, next| if next.error_ns < best.error_ns { next } else { best })
}

/// The first kernel on which everything is expected to work.
pub(crate) const BASELINE: (u32, u32) = (5, 15);

/// The age of the kernel, where it is old and has refused something: distributions carry newer eBPF back to older versions,
/// so that trying comes first.
pub(crate) fn too_old(error: CaptureError) -> CaptureError {
    let reason = match &error {
        CaptureError::NoMember { structure, member, .. } => format!("struct {structure} has no member {member}"),
        CaptureError::Load { reason } => format!("cannot create the eBPF maps: {reason}"),
        CaptureError::Refused { program, reason, .. } => format!("the program {program} is refused: {reason}"),
        _ => return error,
    };
    if kernel_version().is_none_or(|version| version >= BASELINE) {
        return error;
    }
    CaptureError::TooOld { kernel: text("/proc/sys/kernel/osrelease"), reason }
}

/// Major and minor version of the kernel; `None` when `/proc` does not say.
pub(crate) fn kernel_version() -> Option<(u32, u32)> {
    version(&fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

/// The first two numbers of a text like `6.18.44-cloud`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
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

    #[test]
    fn versions_of_kernels() {
        assert_eq!(version("6.18.44-cloud\n"), Some((6, 18)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!((version("six"), version("")), (None, None));
    }
}
