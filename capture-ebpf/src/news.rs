//! The thread that reads what the programs tell of processes and listening sockets.
//!
//! In: a ring of its own, and the tables behind it for what the ring could not take. Out: events, taken by the capture when
//! it drains. Never here: connections. What happens here may take its time, or fail, without any of them noticing.
//!
//! The programs wake it for a process that is new, because a process may be gone in a moment and its executable can be
//! looked up only while it lives.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{HashMap, MapData, RingBuf};
use netflow_capture_abi::{
    ENDED, Head, KIND_LISTEN, KIND_LISTEN_END, KIND_PROCESS, KIND_PROCESS_EXIT, ListenRecord, Plain, ProcessRecord,
};
use netflow_core::event::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attach::Walk;
use crate::cgroup::Paths;
use crate::containers::{container_id, most_telling};
use crate::listeners::Listeners;
use crate::privilege::{Feature, give_up_privileges};
use crate::processes::{Details, Processes};
use crate::{host, proc};

/// How often the ring is looked at when nobody wakes the thread.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Events that may wait to be taken. Beyond, the thread waits, then the ring fills, and the tables keep what it cannot take.
const MOST_EVENTS: usize = 1 << 14;
/// How long the row of a process that ended stays, in nanoseconds: it closes its sockets after its end.
const LINGER_NS: u64 = 1_000_000_000;

/// The programs' side of it.
pub(crate) struct Sources {
    pub(crate) ring: RingBuf<MapData>,
    pub(crate) processes: HashMap<MapData, u32, [u8; size_of::<ProcessRecord>()]>,
    pub(crate) listeners: HashMap<MapData, u64, [u8; size_of::<ListenRecord>()]>,
    pub(crate) process_rows: Walk,
    pub(crate) listener_rows: Walk,
    pub(crate) cgroups: Paths,
}

/// The thread, seen from outside. Dropping it ends it.
pub(crate) struct News {
    events: Option<Receiver<Event>>,
    /// What came while it ended.
    last: Vec<Event>,
    /// A byte asks for a look at the tables; closing it ends the thread.
    bell: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl News {
    /// Starts the thread.
    pub(crate) fn start(sources: Sources) -> io::Result<Self> {
        let (bell_end, bell) = io::pipe()?;
        let (sender, events) = sync_channel(MOST_EVENTS);
        let reader = Reader::new(sources, sender);
        let thread = std::thread::Builder::new().name("netflow-news".to_owned()).spawn(move || {
            // A refusal shows when the recording's own thread does the same.
            let _ = give_up_privileges(&[Feature::Recording, Feature::ProcessDetails]);
            reader.run(bell_end);
        })?;
        Ok(Self { events: Some(events), last: Vec::new(), bell: Some(bell), thread: Some(thread) })
    }

    /// Appends the events that are ready.
    pub(crate) fn take(&mut self, out: &mut Vec<Event>) {
        out.append(&mut self.last);
        if let Some(events) = &self.events {
            out.extend(events.try_iter());
        }
    }

    /// Has the thread look for what found the ring full.
    pub(crate) fn look_at_tables(&mut self) {
        if let Some(bell) = &mut self.bell {
            // A thread that is gone has nothing to say.
            let _ = bell.write(&[1]);
        }
    }

    /// Lets the thread read to the end, once the programs tell nothing more. What it read is there to be taken.
    pub(crate) fn finish(&mut self) {
        self.bell = None;
        if let Some(events) = self.events.take() {
            self.last.extend(events.iter());
        }
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It has no result: without it, the stream just has no such events.
            let _ = thread.join();
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.bell = None;
        // Nobody takes them any more, so that the thread need not wait for room.
        self.events = None;
        self.join();
    }
}

/// What ended a wait.
enum Heard {
    Ring,
    Asked,
    Over,
}

/// The thread itself.
struct Reader {
    sources: Sources,
    /// The older hierarchies stand beside the unified one: containers may be in those alone.
    is_hybrid: bool,
    processes: Processes,
    listeners: Listeners,
    /// Rows to be removed: when their processes ended, id, start.
    ended: VecDeque<(u64, u32, u64)>,
    out: SyncSender<Event>,
}

/// Nobody takes the events any more.
struct Gone;

impl Reader {
    fn new(sources: Sources, out: SyncSender<Event>) -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            is_hybrid: own.lines().any(|line| !line.starts_with("0:")),
            sources,
            processes: Processes::default(),
            listeners: Listeners::default(),
            ended: VecDeque::new(),
            out,
        }
    }

    fn run(mut self, mut bell: PipeReader) {
        loop {
            let heard = self.wait(&mut bell);
            let read = self.read_ring().and_then(|()| match heard {
                Heard::Ring => Ok(()),
                Heard::Asked | Heard::Over => self.look_at_tables(),
            });
            if read.is_err() || matches!(heard, Heard::Over) {
                return;
            }
            self.remove_ended(host::now());
        }
    }

    fn wait(&self, bell: &mut PipeReader) -> Heard {
        let mut both = [PollFd::new(&self.sources.ring, PollFlags::IN), PollFd::new(bell, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
        if poll(&mut both, Some(&timeout)).is_err() || both[1].revents().is_empty() {
            return Heard::Ring;
        }
        match bell.read(&mut [0; 64]) {
            Ok(1..) => Heard::Asked,
            _ => Heard::Over,
        }
    }

    fn read_ring(&mut self) -> Result<(), Gone> {
        while let Some(record) = self.sources.ring.next().map(|item| item.to_vec()) {
            self.learn(&record)?;
        }
        Ok(())
    }

    /// Reads the rows that found the ring full; what cannot be read now is there the next time.
    fn look_at_tables(&mut self) -> Result<(), Gone> {
        let (mut processes, mut listeners) = (Vec::new(), Vec::new());
        let _ = self.sources.process_rows.run(&mut processes);
        let _ = self.sources.listener_rows.run(&mut listeners);
        for record in processes.chunks_exact(size_of::<ProcessRecord>()) {
            self.learn(record)?;
        }
        for record in listeners.chunks_exact(size_of::<ListenRecord>()) {
            self.learn(record)?;
            // The programs remove a row when they have told its end.
            if let Some(row) = ListenRecord::read(record)
                && row.head.flags & ENDED != 0
            {
                let _ = self.sources.listeners.remove(&row.head.id);
            }
        }
        Ok(())
    }

    fn learn(&mut self, record: &[u8]) -> Result<(), Gone> {
        let mut events = Vec::new();
        match Head::read(record).map(|head| head.kind) {
            Some(KIND_PROCESS | KIND_PROCESS_EXIT) => {
                if let Some(record) = ProcessRecord::read(record) {
                    let (paths, is_hybrid) = (&mut self.sources.cgroups, self.is_hybrid);
                    self.processes.learn(&record, |record| details(record, paths, is_hybrid), &mut events);
                    if record.head.kind == KIND_PROCESS_EXIT {
                        self.ended.push_back((record.head.at, record.pid, record.started_at));
                    }
                }
            }
            Some(KIND_LISTEN | KIND_LISTEN_END) => {
                if let Some(record) = ListenRecord::read(record) {
                    self.listeners.learn(&record, &mut events);
                }
            }
            _ => {}
        }
        for event in events {
            self.out.send(event).map_err(|_| Gone)?;
        }
        Ok(())
    }

    fn remove_ended(&mut self, now: u64) {
        while let Some((at, pid, started_at)) = self.ended.front().copied()
            && at.saturating_add(LINGER_NS) <= now
        {
            self.ended.pop_front();
            let row = self.sources.processes.get(&pid, 0).ok().and_then(|row| ProcessRecord::read(&row));
            // The id may have been given again.
            if row.is_some_and(|row| row.started_at == started_at) {
                let _ = self.sources.processes.remove(&pid);
            }
        }
    }
}

/// Looks a process up. Its cgroup is also known when it is gone, from its number; where there are older hierarchies, only
/// `/proc` knows all of them.
fn details(record: &ProcessRecord, paths: &mut Paths, is_hybrid: bool) -> Details {
    let unified = paths.path(record.cgroup);
    let found = proc::look(record.pid, record.started_at, &record.comm, is_hybrid || unified.is_none());
    let (exe, cgroups) = found.map(|found| (found.exe, found.cgroups)).unwrap_or_default();
    let cgroup = cgroups.as_deref().and_then(most_telling).map(Arc::from).or(unified);
    Details { exe: exe.map(Arc::from), container_id: cgroup.as_deref().and_then(container_id).map(Arc::from), cgroup }
}
