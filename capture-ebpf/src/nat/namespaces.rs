//! Network namespaces, by the number that events carry, and their tables of tracked connections.
//!
//! In: the number of a namespace, and a process that is in it. Out: its table. Never here: what is looked up.
//!
//! To open something in another namespace a thread must enter it: only the thread that owns this does, and it comes back at
//! once. An open table keeps its namespace alive, with its devices, after its last process is gone. So a table that was
//! not used for [`KEPT`] is closed.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::table::Table;

/// A table is kept open for so long after it was used.
const KEPT: Duration = Duration::from_secs(2);

/// So many tables are open at the same time.
const MOST_TABLES: usize = 128;

/// All processes are looked through for an unknown namespace this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The namespace of this thread.
const OURS: &str = "/proc/thread-self/ns/net";

/// The namespace of the host, as far as this process's `/proc` reaches.
const HOST: &str = "/proc/1/ns/net";

/// Where namespaces without a process are kept.
const KEPT_IN: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Enters the namespace that this thread is in already: what the kernel says to that, it says to any other.
pub(crate) fn may_enter() -> io::Result<()> {
    enter(&File::open(OURS)?)
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// The number of the namespace that a path leads to.
fn number(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().and_then(|metadata| u32::try_from(metadata.ino()).ok())
}

#[derive(Debug)]
struct Open {
    table: Table,
    used: Instant,
}

/// The namespaces that can be reached.
#[derive(Debug)]
pub(crate) struct Namespaces {
    ours: File,
    /// The recorder's own and the host's, mostly the same one. Their tables stay open.
    near: Vec<u32>,
    tables: FxHashMap<u32, Open>,
    /// Where namespaces were found when they were looked for.
    places: FxHashMap<u32, PathBuf>,
    looked: Option<Instant>,
    /// No other namespace may be entered.
    confined: bool,
}

impl Namespaces {
    /// Begins in the namespace of this thread.
    pub(crate) fn new(now: Instant) -> io::Result<Self> {
        let ours = File::open(OURS)?;
        let mut near = vec![u32::try_from(ours.metadata()?.ino()).map_err(io::Error::other)?];
        let table = Table::open()?;
        let tables = near.iter().copied().zip([Open { table, used: now }]).collect();
        near.extend(number(Path::new(HOST)).filter(|host| *host != near[0]));
        Ok(Self { ours, near, tables, places: FxHashMap::default(), looked: None, confined: may_enter().is_err() })
    }

    /// The recorder's own namespace, and the host's where that is another one.
    pub(crate) fn near(&self) -> Vec<u32> {
        self.near.clone()
    }

    /// The table of a namespace, which these processes may be in; `None` when there is no way to it.
    pub(crate) fn table(&mut self, netns: u32, pids: &[u32], now: Instant) -> Option<&mut Table> {
        if !self.tables.contains_key(&netns) {
            let table = self.open(netns, pids, now)?;
            self.make_room();
            self.tables.insert(netns, Open { table, used: now });
        }
        let open = self.tables.get_mut(&netns)?;
        open.used = now;
        Some(&mut open.table)
    }

    /// Closes what was not used for long.
    pub(crate) fn close_unused(&mut self, now: Instant) {
        let near = &self.near;
        self.tables.retain(|netns, open| near.contains(netns) || now.saturating_duration_since(open.used) < KEPT);
    }

    fn make_room(&mut self) {
        if self.tables.len() < MOST_TABLES {
            return;
        }
        let others = self.tables.iter().filter(|(netns, _)| !self.near.contains(netns));
        if let Some(oldest) = others.min_by_key(|(_, open)| open.used).map(|(netns, _)| *netns) {
            self.tables.remove(&oldest);
        }
    }

    fn open(&mut self, netns: u32, pids: &[u32], now: Instant) -> Option<Table> {
        if self.confined {
            return None;
        }
        let mut known: Vec<PathBuf> = pids.iter().map(|pid| format!("/proc/{pid}/ns/net").into()).collect();
        known.push(HOST.into());
        known.extend(self.places.remove(&netns));
        if let Some(table) = known.iter().find_map(|path| self.open_at(path, netns)) {
            return Some(table);
        }
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY) {
            return None;
        }
        self.looked = Some(now);
        self.places = places();
        let path = self.places.get(&netns)?.clone();
        self.open_at(&path, netns)
    }

    /// Opens the table of the namespace at a path, if it is the one that is looked for.
    fn open_at(&mut self, path: &Path, netns: u32) -> Option<Table> {
        let namespace = File::open(path).ok()?;
        if namespace.metadata().ok()?.ino() != u64::from(netns) {
            return None;
        }
        enter(&namespace).ok()?;
        let table = Table::open();
        // A thread that cannot come back does not go anywhere again.
        self.confined = enter(&self.ours).is_err();
        table.ok()
    }
}

/// Every namespace that a process is in or that has a name.
fn places() -> FxHashMap<u32, PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_process = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let of_processes = entries(Path::new("/proc")).filter(is_process).map(|process| process.join("ns/net"));
    let named = KEPT_IN.iter().flat_map(|folder| entries(Path::new(folder)));
    named.chain(of_processes).filter_map(|path| Some((number(&path)?, path))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_namespace_is_among_those_found() {
        let ours = number(Path::new(OURS)).unwrap();
        let path = &places()[&ours];
        assert_eq!(number(path), Some(ours), "{}", path.display());
    }

    #[test]
    fn only_near_tables_stay_open() {
        let now = Instant::now();
        let mut namespaces = Namespaces::new(now).unwrap();
        let ours = number(Path::new(OURS)).unwrap();
        assert_eq!(namespaces.near()[0], ours);
        // Opened here, called by other numbers.
        for netns in 1..=200 {
            let used = now + Duration::from_millis(netns.into());
            namespaces.make_room();
            namespaces.tables.insert(netns, Open { table: Table::open().unwrap(), used });
        }
        assert_eq!(namespaces.tables.len(), MOST_TABLES);
        assert!(namespaces.tables.contains_key(&200) && !namespaces.tables.contains_key(&1));
        namespaces.close_unused(now + Duration::from_millis(2199));
        let mut left: Vec<u32> = namespaces.tables.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [200, ours]);
        assert!(namespaces.table(u32::MAX, &[], now).is_none());
    }
}
