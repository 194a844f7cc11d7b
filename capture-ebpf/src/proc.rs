//! What `/proc` says of a process.
//!
//! In: the id of a process, and when it started. Out: its executable and its cgroups, or nothing when it is gone: an id that
//! another process got meanwhile is told apart by its start. Never here: a wait.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

/// `/proc` counts time in hundredths of a second on every architecture that eBPF programs run on.
const NS_PER_TICK: u64 = 10_000_000;

/// The place of the start among the words that follow the name in `/proc/PID/stat` (it is word 22 of all).
const START: usize = 19;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The path of the executable; none for what the kernel runs by itself.
    pub(crate) exe: Option<String>,
    /// The text of `/proc/PID/cgroup`, where it was asked for.
    pub(crate) cgroups: Option<String>,
}

/// What is known of the process with that id that started then (in nanoseconds since boot); `None` when it is gone.
pub(crate) fn look(pid: u32, started_at: u64, with_cgroups: bool) -> Option<Found> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    let exe = fs::read_link(file("exe")).ok().map(|path| without_mark(path.as_os_str().as_bytes()));
    let cgroups = if with_cgroups { fs::read_to_string(file("cgroup")).ok() } else { None };
    // Last, so that it speaks for all that was read before.
    let stat = fs::read(file("stat")).ok()?;
    (start_ticks(&stat)? == started_at / NS_PER_TICK).then_some(Found { exe, cgroups })
}

/// The path from which the process was started. The kernel marks one whose file was removed or replaced since, as every
/// upgrade does; it is the same program all the same.
fn without_mark(path: &[u8]) -> String {
    String::from_utf8_lossy(path.strip_suffix(b" (deleted)").unwrap_or(path)).into_owned()
}

/// When the process started, in ticks since boot. Its name may hold anything, blanks and brackets among it.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(stat.get(after + 1..)?).ok()?.split_ascii_whitespace().nth(START)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";
        for name in ["(curl)", "(a b)", "(a) S 1 (b)", "()", "(\u{fffd}\n)"] {
            assert_eq!(start_ticks(format!("42 {name} {rest}").as_bytes()), Some(98765), "{name}");
        }
        assert_eq!(start_ticks(b"42 (curl) S 1"), None);
        assert_eq!(start_ticks(b""), None);
    }

    #[test]
    fn an_upgraded_program_keeps_its_path() {
        assert_eq!(without_mark(b"/usr/sbin/sshd"), "/usr/sbin/sshd");
        assert_eq!(without_mark(b"/usr/sbin/sshd (deleted)"), "/usr/sbin/sshd");
        assert_eq!(without_mark(b"/memfd:x (deleted)"), "/memfd:x");
        assert_eq!(without_mark(b"/a\xff"), "/a\u{fffd}");
    }

    #[test]
    fn this_process_is_found_and_its_successor_is_not() {
        let stat = fs::read("/proc/self/stat").unwrap();
        let started_at = start_ticks(&stat).unwrap() * NS_PER_TICK;
        let found = look(std::process::id(), started_at + NS_PER_TICK - 1, true).unwrap();
        assert_eq!(found.exe.unwrap(), std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(found.cgroups.unwrap(), fs::read_to_string("/proc/self/cgroup").unwrap());
        assert_eq!(look(std::process::id(), started_at + NS_PER_TICK, true), None, "another process had the id");
        assert_eq!(look(u32::MAX, started_at, true), None);
    }
}
