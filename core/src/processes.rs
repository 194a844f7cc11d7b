//! Names and containers of processes, with the time during which each holds.
//!
//! In: process events. Out: what a connection's owner was called while the connection lived. Never here: names that events of
//! the connection itself carry.
//!
//! A process id names one process after another; the start tells them apart where it is known. A process lasts from its
//! start, or else from its first event, to its exit; a name lasts until the process's next one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::event::{Body, Process};
use crate::sweep::{Sweep, middle};

/// How long an exited process stays known, in nanoseconds: what the kernel still says of its connections comes later.
pub const EXITED_NS: u64 = 120_000_000_000;

/// So many names of one process are known, the latest.
const MOST_NAMES: usize = 16;

/// Processes, by id and time.
#[derive(Debug, Default)]
pub struct Processes {
    lives: FxHashMap<u32, Vec<Life>>,
    count: usize,
    /// Lives ever seen: the number of the next.
    numbers: u64,
    sweep: Sweep,
}

/// One process.
#[derive(Debug)]
struct Life {
    number: u64,
    from: u64,
    exited: Option<u64>,
    /// From when on each holds; never empty.
    names: Vec<(u64, Arc<str>)>,
    container_id: Option<Arc<str>>,
    exe: Option<Arc<str>>,
    cgroup: Option<Arc<str>>,
    started_at: Option<u64>,
}

/// A process as the owner of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process id.
    pub pid: u32,
    /// Which of the processes that had this id.
    pub(crate) life: u64,
    /// Its name.
    pub name: Arc<str>,
    /// Its container.
    pub container_id: Option<Arc<str>>,
}

impl Processes {
    /// Learns of a process. An event without a name says nothing.
    pub fn learn(&mut self, at: u64, process: &Process) {
        if process.process.is_empty() {
            return;
        }
        if self.sweep.is_due(self.count) {
            self.clear_out(at);
        }
        let lives = self.lives.entry(process.pid).or_default();
        if let Some(start) = process.started_at
            && let Some(life) = lives.last_mut()
        {
            let is_same = life.started_at == Some(start);
            if is_same && life.exited.is_some() {
                return;
            }
            if !is_same && life.started_at.is_some() && life.exited.is_none() {
                // Nobody saw the exit of who had the id before.
                life.exited = Some(start.max(life.from));
            }
        }
        if lives.last().is_none_or(|life| life.exited.is_some()) {
            // What is said only as the process ends held before, as far back as the id was not another's.
            let from = if process.exited { lives.last().and_then(|life| life.exited).unwrap_or(0) } else { at };
            let from = process.started_at.map_or(from, |start| start.min(at));
            lives.push(Life {
                number: self.numbers,
                from,
                exited: None,
                names: vec![(from, Arc::clone(&process.process))],
                container_id: None,
                exe: None,
                cgroup: None,
                started_at: None,
            });
            self.numbers += 1;
            self.count += 1;
        }
        let Some(life) = lives.last_mut() else { return };
        if life.names.last().is_none_or(|(_, name)| *name != process.process) {
            life.names.push((at, Arc::clone(&process.process)));
            if life.names.len() > MOST_NAMES {
                life.names.remove(0);
            }
        }
        for (known, news) in [
            (&mut life.container_id, &process.container_id),
            (&mut life.exe, &process.exe),
            (&mut life.cgroup, &process.cgroup),
        ] {
            if news.is_some() {
                known.clone_from(news);
            }
        }
        life.started_at = process.started_at.or(life.started_at);
        if process.exited {
            life.exited = Some(at);
        }
    }

    /// The process that had this id when a connection was first seen with it, at `seen`: the one alive then, else the last
    /// that had exited, else the first that came after; with its latest name until `until`. `known` is what was answered
    /// before: a process stays the owner, whoever gets its id later.
    #[must_use]
    pub fn owner(&self, pid: u32, seen: u64, until: u64, known: Option<&Owner>) -> Option<Owner> {
        let lives = self.lives.get(&pid)?;
        let was_there = |life: &&Life| {
            life.started_at.is_some() && life.from <= seen && life.exited.is_none_or(|exited| exited >= seen)
        };
        let life = match known {
            Some(known) => {
                lives.iter().rev().find(was_there).or_else(|| lives.iter().find(|life| life.number == known.life))
            }
            None => lives
                .iter()
                .rev()
                .find(|life| life.from <= seen && life.exited.is_none_or(|at| at.saturating_add(EXITED_NS) > seen))
                .or_else(|| lives.iter().find(|life| life.from > seen)),
        }?;
        let (_, name) = life.names.iter().rev().find(|(from, _)| *from <= until).or_else(|| life.names.first())?;
        Some(Owner { pid, life: life.number, name: Arc::clone(name), container_id: life.container_id.clone() })
    }

    /// The process is one of those that [`restate`](Self::restate) tells of.
    pub(crate) fn is_restated(&self, owner: &Owner) -> bool {
        let latest = self.lives.get(&owner.pid).and_then(|lives| lives.last());
        latest.is_some_and(|life| life.number == owner.life && life.exited.is_none())
    }

    /// Events that tell of every process that is alive.
    pub(crate) fn restate(&self) -> Vec<Body> {
        let mut alive: Vec<(u32, &Life)> =
            self.lives.iter().filter_map(|(pid, lives)| Some((*pid, lives.last()?))).collect();
        alive.retain(|(_, life)| life.exited.is_none());
        alive.sort_unstable_by_key(|(pid, _)| *pid);
        alive.into_iter().filter_map(|(pid, life)| Some(Body::Process(life.restate(pid)?))).collect()
    }

    fn clear_out(&mut self, now: u64) {
        self.keep(|life| life.exited.is_none_or(|at| at.saturating_add(EXITED_NS) > now));
        if self.sweep.is_over(self.count) {
            let numbers = self.lives.values().flatten().map(|life| life.number).collect();
            let oldest = middle(numbers);
            self.keep(|life| life.number >= oldest);
        }
        self.sweep.done(self.count);
    }

    fn keep(&mut self, holds: impl Fn(&Life) -> bool) {
        self.lives.retain(|_, lives| {
            lives.retain(&holds);
            !lives.is_empty()
        });
        self.count = self.lives.values().map(Vec::len).sum();
    }
}

impl Life {
    fn restate(&self, pid: u32) -> Option<Process> {
        let (_, name) = self.names.last()?;
        Some(Process {
            exe: self.exe.clone(),
            cgroup: self.cgroup.clone(),
            container_id: self.container_id.clone(),
            started_at: self.started_at,
            ..Process::new(pid, Arc::clone(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::MOST;

    fn event(pid: u32, name: &str, exited: bool) -> Process {
        Process { exited, ..Process::new(pid, name) }
    }

    fn name(processes: &Processes, seen: u64, until: u64) -> Option<String> {
        processes.owner(7, seen, until, None).map(|owner| owner.name.to_string())
    }

    #[test]
    fn a_name_holds_from_its_event_to_the_next_or_the_exit() {
        let mut processes = Processes::default();
        for (at, name, exited) in [(10, "sh", false), (20, "curl", false), (30, "curl", true), (40, "sleep", false)] {
            processes.learn(at, &event(7, name, exited));
        }
        let table = [
            (10, 19, "sh", "before it became curl"),
            (10, 20, "curl", "the latest during the connection's life"),
            (35, 36, "curl", "a late record of an exited process"),
            (40, 50, "sleep", "another process with the same id"),
            (5, 6, "sh", "learned just after the connection"),
        ];
        for (seen, until, expected, why) in table {
            assert_eq!(name(&processes, seen, until).as_deref(), Some(expected), "{why}");
        }
        assert_eq!(processes.owner(8, 10, 20, None), None);
    }

    #[test]
    fn whoever_gets_the_id_later_does_not_get_the_connection() {
        let mut processes = Processes::default();
        processes.learn(10, &event(7, "nginx", false));
        let owner = processes.owner(7, 15, 15, None);
        processes.learn(20, &event(7, "nginx", true));
        processes.learn(30, &event(7, "sleep", false));
        assert_eq!(processes.owner(7, 15, 50, owner.as_ref()), owner);
    }

    #[test]
    fn the_start_tells_processes_apart() {
        let started = |at, name: &str, exited| Process { started_at: Some(at), ..event(7, name, exited) };
        let mut processes = Processes::default();
        processes.learn(10, &started(5, "cc", false));
        processes.learn(20, &started(5, "cc", true));
        processes.learn(21, &started(5, "cc", true));
        // Its connection is heard of before the process is.
        let wrong = processes.owner(7, 30, 30, None);
        assert_eq!(wrong.as_ref().unwrap().name.as_ref(), "cc");
        processes.learn(32, &started(25, "make", false));
        let right = processes.owner(7, 30, 40, wrong.as_ref()).unwrap();
        assert_eq!(right.name.as_ref(), "make", "cc had exited by then");
        assert_eq!(name(&processes, 6, 7).as_deref(), Some("cc"), "from its start, not from its first event");
        // Of this one, no exit was seen.
        processes.learn(60, &started(50, "sleep", false));
        assert_eq!(processes.owner(7, 30, 70, Some(&right)), Some(right));
        assert_eq!(name(&processes, 55, 70).as_deref(), Some("sleep"));
    }

    #[test]
    fn a_process_that_only_its_end_tells_of_was_there_before() {
        let mut processes = Processes::default();
        processes.learn(50, &event(7, "make", true));
        processes.learn(60, &event(7, "cc", true));
        assert_eq!(name(&processes, 10, 20).as_deref(), Some("make"));
        assert_eq!(name(&processes, 55, 56).as_deref(), Some("cc"));
        processes.learn(70, &event(9, "", false));
        assert_eq!(processes.owner(9, 70, 70, None), None, "an empty name is none");
    }

    #[test]
    fn a_container_stays_known_over_a_change_of_name() {
        let mut processes = Processes::default();
        processes.learn(1, &Process { container_id: Some("c0ffee".into()), ..event(7, "sh", false) });
        processes.learn(2, &event(7, "nginx", false));
        let owner = processes.owner(7, 3, 3, None).unwrap();
        assert_eq!((&*owner.name, owner.container_id.as_deref()), ("nginx", Some("c0ffee")));
    }

    #[test]
    fn memory_follows_the_processes_that_live() {
        let mut processes = Processes::default();
        for pid in 0..100_000_u32 {
            let at = u64::from(pid) * 1_000_000_000;
            processes.learn(at, &event(pid, "cc", false));
            processes.learn(at + 1, &event(pid, "cc", true));
            processes.learn(at, &event(1, if pid % 2 == 0 { "a" } else { "b" }, false));
        }
        assert!(processes.count <= 1024, "{}", processes.count);
        assert_eq!(processes.lives[&1][0].names.len(), MOST_NAMES);
        for pid in 0..=u32::try_from(MOST).unwrap() {
            processes.learn(u64::MAX, &event(pid, "x", false));
        }
        assert!(processes.count <= MOST);
        assert_eq!(processes.count, processes.lives.values().map(Vec::len).sum::<usize>());
    }
}
