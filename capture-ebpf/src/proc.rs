//! What `/proc` says of a process.
//!
//! In: the id of a process, when it started and its name. Out: its executable and its cgroups, or nothing when it is gone: an
//! id that another process got meanwhile is told apart by its start. Never here: a wait.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

/// `/proc` counts time in hundredths of a second on every architecture that eBPF programs run on.
const NS_PER_TICK: u64 = 10_000_000;

/// The place of the start among the words that follow the name in `/proc/PID/stat` (it is word 22 of all).
const START: usize = 19;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The path of the executable; none for what the kernel runs by itself, and for who goes by another name already.
    pub(crate) exe: Option<String>,
    /// The text of `/proc/PID/cgroup`, where it was asked for.
    pub(crate) cgroups: Option<String>,
}

/// What is known of the process with that id and name (padded with zeros) that started then (in nanoseconds since boot);
/// `None` when it is gone.
pub(crate) fn look(pid: u32, started_at: u64, comm: &[u8; 16], with_cgroups: bool) -> Option<Found> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    let exe = fs::read_link(file("exe")).ok().map(|path| without_mark(path.as_os_str().as_bytes()));
    let cgroups = if with_cgroups { fs::read_to_string(file("cgroup")).ok() } else { None };
    // Last, so that it speaks for all that was read before.
    let stat = fs::read(file("stat")).ok()?;
    let (name, start) = name_and_start(&stat)?;
    let is_same = comm.strip_prefix(name).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    (start == started_at / NS_PER_TICK).then_some(Found { exe: exe.filter(|_| is_same), cgroups })
}

/// The path from which the process was started. The kernel marks one whose file was removed or replaced since, as every
/// upgrade does; it is the same program all the same.
fn without_mark(path: &[u8]) -> String {
    String::from_utf8_lossy(path.strip_suffix(b" (deleted)").unwrap_or(path)).into_owned()
}

/// The name of the process, and when it started, in ticks since boot. The name may hold anything, blanks and brackets
/// among it.
fn name_and_start(stat: &[u8]) -> Option<(&[u8], u64)> {
    let before = stat.iter().position(|byte| *byte == b'(')?;
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    Some((stat.get(before + 1..after)?, rest.split_ascii_whitespace().nth(START)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";
        for name in ["curl", "a b", "a) S 1 (b", "", "(", "\u{fffd}\n"] {
            let stat = format!("42 ({name}) {rest}");
            assert_eq!(name_and_start(stat.as_bytes()), Some((name.as_bytes(), 98765)), "{name}");
        }
        for damaged in ["42 (curl) S 1", ")(", ""] {
            assert_eq!(name_and_start(damaged.as_bytes()), None);
        }
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
        let (name, start) = name_and_start(&stat).unwrap();
        let (id, started_at, mut comm) = (std::process::id(), start * NS_PER_TICK, [0; 16]);
        comm[..name.len()].copy_from_slice(name);
        let found = look(id, started_at + NS_PER_TICK - 1, &comm, true).unwrap();
        assert_eq!(found.exe.unwrap(), std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(found.cgroups.unwrap(), fs::read_to_string("/proc/self/cgroup").unwrap());
        assert_eq!(look(id, started_at + NS_PER_TICK, &comm, true), None, "another process had the id");
        assert_eq!(look(u32::MAX, started_at, &comm, true), None);
        comm[0] ^= 1;
        let other = look(id, started_at, &comm, false).unwrap();
        assert_eq!(other, Found { exe: None, cgroups: None }, "it became another program since");
    }
}
