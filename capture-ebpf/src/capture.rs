//! Start, poll, snapshot, stop.
//!
//! In: options. Out: events, when asked. Never here: a thread or a timer; who holds a [`Capture`] says when to look.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray, RingBuf};
use netflow_capture_abi::{
    CONTROL_STOPPED, FlowKey, FlowRecord, Head, Identity, KIND_FLOW_OPEN, KIND_TCP_CLOSE, KIND_TCP_OPEN,
    KIND_TCP_SAMPLE, KIND_UDP_RELEASE, OPEN_SENT, OVERFLOW, Plain, TcpRecord, count,
};
use netflow_core::event::{Body, Event, Loss, Tick};
use rustc_hash::FxHashSet;

use crate::attach::{self, Walk};
use crate::convert::{tcp_close, tcp_open, tcp_sample};
use crate::counts::{self, Counts, Summary, Tally};
use crate::error::CaptureError;
use crate::flows::{Flows, Table};
use crate::order::Order;
use crate::presence::Presence;
use crate::{cgroup, host, object, sys};

/// How often a snapshot walks again over the TCP sockets when connections come and go so fast that it missed some.
const WALKS: u32 = 3;

/// How often the end of a recording does.
const LAST_WALKS: u32 = 100;

/// How to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the ring buffer between the kernel and us; rounded up to a power of two of pages.
    pub ring_bytes: u32,
    /// Rows in the kernel's table of UDP flows; what finds it full is counted per socket.
    pub udp_flows_max: u32,
    /// A UDP flow without a datagram for so long is closed.
    pub udp_idle: Duration,
    /// How often, at most, a snapshot looks through all descriptors for the owners of sockets.
    pub owners_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ring_bytes: 8 << 20,
            udp_flows_max: 1 << 16,
            udp_idle: Duration::from_secs(120),
            owners_every: Duration::from_secs(5),
        }
    }
}

/// A running recording. Dropping it detaches everything.
pub struct Capture {
    ring: RingBuf<MapData>,
    table: FlowTable,
    counts: PerCpuArray<MapData, u64>,
    control: Array<MapData, u64>,
    tcp_samples: Walk,
    owners: Walk,
    flows: Flows,
    order: Order,
    presence: Presence,
    /// Events of the start, for the first who asks.
    pending: Vec<Event>,
    reported: Loss,
    snapshots_cut: u64,
    owners_seen: Instant,
    buffer: Vec<u8>,
    options: Options,
    /// The links live in the programs; last, so that they outlive nothing that needs them.
    ebpf: Ebpf,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The kernel's table of UDP flows, and the rows for what found it full.
struct FlowTable {
    map: MapData,
    rows: Walk,
    overflow: Walk,
}

impl Table for FlowTable {
    fn take(&mut self, key: &FlowKey) -> Result<Option<FlowRecord>, CaptureError> {
        let mut bytes = [0; size_of::<FlowKey>()];
        bytes[..8].copy_from_slice(&key.socket.to_ne_bytes());
        bytes[8..24].copy_from_slice(&key.local);
        bytes[24..40].copy_from_slice(&key.remote);
        bytes[40..42].copy_from_slice(&key.local_port.to_ne_bytes());
        bytes[42..44].copy_from_slice(&key.remote_port.to_ne_bytes());
        let row = sys::take_element::<{ size_of::<FlowRecord>() }>(self.map.fd().as_fd(), &bytes)
            .map_err(|error| CaptureError::Map { map: "FLOWS", reason: error.to_string() })?;
        Ok(row.and_then(|row| FlowRecord::read(&row)))
    }

    fn rows(&mut self) -> Result<Vec<FlowRecord>, CaptureError> {
        read_rows(&self.rows)
    }
}

fn read_rows(walk: &Walk) -> Result<Vec<FlowRecord>, CaptureError> {
    let mut bytes = Vec::new();
    walk.run(&mut bytes)?;
    Ok(bytes.chunks_exact(size_of::<FlowRecord>()).filter_map(FlowRecord::read).collect())
}

impl Capture {
    /// Loads and attaches the programs, finds the sockets that exist already and takes a first snapshot; its events
    /// come with the first [`Capture::poll`] or [`Capture::snapshot`].
    ///
    /// # Errors
    ///
    /// The process may not, the kernel cannot, or a program is refused; the error says what to do.
    pub fn start(options: &Options) -> Result<Self, CaptureError> {
        let mut ebpf = object::load(options)?;
        attach::load_programs(&mut ebpf)?;
        let tcp_sockets = take_map(&mut ebpf, "TCP_SOCKETS")?;
        let udp_sockets = take_map(&mut ebpf, "UDP_SOCKETS")?;
        let flows = take_map(&mut ebpf, "FLOWS")?;
        let map_error =
            |map| move |error: aya::maps::MapError| CaptureError::Map { map, reason: object::chain(&error) };
        let ring = RingBuf::try_from(wrap(&mut ebpf, "RING")?).map_err(map_error("RING"))?;
        let counts = PerCpuArray::try_from(wrap(&mut ebpf, "COUNTS")?).map_err(map_error("COUNTS"))?;
        let control = Array::try_from(wrap(&mut ebpf, "CONTROL")?).map_err(map_error("CONTROL"))?;
        let tcp_samples = attach::walk(&mut ebpf, "tcp_samples", Some(fd(&tcp_sockets)))?;
        let overflow = attach::walk(&mut ebpf, "overflow_samples", Some(fd(&udp_sockets)))?;
        let rows = attach::walk(&mut ebpf, "flow_samples", Some(fd(&flows)))?;
        let owners = attach::walk(&mut ebpf, "task_file", None)?;
        let cgroup: File = cgroup::open_root()?;
        attach::attach_hooks(&mut ebpf, &cgroup)?;

        let mut capture = Self {
            ring,
            table: FlowTable { map: flows, rows, overflow },
            counts,
            control,
            tcp_samples,
            owners,
            flows: Flows::default(),
            order: Order::default(),
            presence: Presence::default(),
            pending: Vec::new(),
            reported: Loss::default(),
            snapshots_cut: 0,
            owners_seen: Instant::now(),
            buffer: Vec::new(),
            options: options.clone(),
            ebpf,
        };
        // The hooks are on, so nothing can fall between what they see and what is found now.
        capture.find_owners()?;
        let mut first = Vec::new();
        capture.snapshot(&mut first)?;
        capture.pending = first;
        Ok(capture)
    }

    /// Appends what has happened since the last call, in order of time.
    ///
    /// # Errors
    ///
    /// A map cannot be read.
    pub fn poll(&mut self, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        events.append(&mut self.pending);
        let first = events.len();
        let result = self.drain(events, &mut FxHashSet::default());
        self.order.settle(&mut events[first..]);
        self.presence.learn(&events[first..]);
        result
    }

    /// Appends what has happened, a sample of everything that is open, losses if there are new ones, and a tick.
    ///
    /// # Errors
    ///
    /// A map cannot be read. A walk that breaks off is no error: it is counted, and the tick says so.
    pub fn snapshot(&mut self, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        events.append(&mut self.pending);
        let first = events.len();
        let mut complete = true;
        if self.owners_seen.elapsed() >= self.options.owners_every {
            complete &= self.find_owners().is_ok();
        }
        let mut seen = FxHashSet::default();
        let mut result = self.sample(events, &mut seen, &mut complete);
        self.presence.learn(&events[first..]);
        for _ in 0..WALKS {
            if result.is_err() || !self.presence.is_missing_some() {
                break;
            }
            let again = events.len();
            result = self.sample_tcp(events, &mut seen, &mut complete);
            self.presence.learn(&events[again..]);
        }
        complete &= self.presence.end_snapshot();
        self.snapshots_cut += u64::from(!complete);
        let counted = self.report_loss(events);
        self.order.settle(&mut events[first..]);
        events.push(Event { at: 0, body: Body::Tick(Tick { complete }) });
        if let Some(tick) = events.last_mut() {
            tick.at = host::now();
            self.order.settle(std::slice::from_mut(tick));
        }
        result.and(counted)
    }

    /// Ends the recording: a last snapshot, then everything is detached and drained.
    ///
    /// # Errors
    ///
    /// A map cannot be read or written.
    pub fn stop(mut self, events: &mut Vec<Event>) -> Result<Summary, CaptureError> {
        self.find_owners()?;
        self.control
            .set(CONTROL_STOPPED, 1, 0)
            .map_err(|error| CaptureError::Map { map: "CONTROL", reason: object::chain(&error) })?;
        // Programs that run now may still believe that the recording goes on.
        sys::wait_for_programs();
        self.snapshot(events)?;
        // A walk over sockets that come and go may miss some: walk until everything is accounted for.
        for _ in 0..LAST_WALKS {
            if self.read_counts()?.tcp().holds() {
                break;
            }
            let first = events.len();
            self.straggle(events);
            self.order.settle(&mut events[first..]);
        }
        // Programs unloaded: their links go with them.
        let Self { ebpf, .. } = &mut self;
        detach(ebpf);
        let mut empty = 0;
        while empty < 2 {
            let first = events.len();
            self.drain(events, &mut FxHashSet::default())?;
            self.order.settle(&mut events[first..]);
            if events.len() == first { empty += 1 } else { empty = 0 }
        }
        let counts = self.read_counts()?;
        let vanished = counts.vanished();
        let mut loss = counts.loss(self.snapshots_cut);
        loss.lost_closes += vanished;
        let first = events.len();
        self.report(loss, events);
        self.order.settle(&mut events[first..]);
        let mut tcp = counts.tcp();
        tcp.lost_closes += vanished;
        Ok(Summary {
            tcp,
            udp: Tally {
                opened: counts.get(count::UDP_OPENED),
                preexisting: 0,
                closed: self.flows.closed(),
                lost_closes: counts.get(count::UDP_LOST_CLOSES),
                live_at_end: self.flows.live(),
            },
            connect_failures: counts.get(count::TCP_FAILURES),
            lost_failures: counts.get(count::TCP_LOST_FAILURES),
            vanished,
            loss,
        })
    }

    /// Looks through all descriptors for sockets without storage or owner.
    fn find_owners(&mut self) -> Result<(), CaptureError> {
        self.owners_seen = Instant::now();
        self.buffer.clear();
        self.owners.run(&mut self.buffer)
    }

    /// Walks over the TCP sockets once more, and appends what no earlier walk or record told.
    fn straggle(&mut self, events: &mut Vec<Event>) {
        self.buffer.clear();
        if self.tcp_samples.run(&mut self.buffer).is_err() {
            self.snapshots_cut += 1;
        }
        for record in self.buffer.chunks_exact(size_of::<TcpRecord>()).filter_map(TcpRecord::read) {
            match record.head.kind {
                KIND_TCP_CLOSE => events.push(tcp_close(&record)),
                KIND_TCP_SAMPLE if record.head.flags & OPEN_SENT == 0 => tcp_sample(&record, events),
                _ => {}
            }
        }
    }

    /// Samples of the TCP connections alone, and what happened until they were taken.
    fn sample_tcp(
        &mut self,
        events: &mut Vec<Event>,
        seen: &mut FxHashSet<u64>,
        complete: &mut bool,
    ) -> Result<(), CaptureError> {
        self.buffer.clear();
        *complete &= self.tcp_samples.run(&mut self.buffer).is_ok();
        let mut closed = FxHashSet::default();
        self.drain(events, &mut closed)?;
        self.tell_tcp(&closed, seen, events);
        Ok(())
    }

    /// Samples, and what happened until they were taken.
    fn sample(
        &mut self,
        events: &mut Vec<Event>,
        seen: &mut FxHashSet<u64>,
        complete: &mut bool,
    ) -> Result<(), CaptureError> {
        // The walks come first: whatever they saw was opened by a record that the drain after them finds.
        self.buffer.clear();
        *complete &= self.tcp_samples.run(&mut self.buffer).is_ok();
        let mut rows = self.table.rows().unwrap_or_else(|_| {
            *complete = false;
            Vec::new()
        });
        rows.extend(read_rows(&self.table.overflow).unwrap_or_else(|_| {
            *complete = false;
            Vec::new()
        }));
        let at = host::now();
        let mut closed = FxHashSet::default();
        self.drain(events, &mut closed)?;
        self.tell_tcp(&closed, seen, events);
        let idle = u64::try_from(self.options.udp_idle.as_nanos()).unwrap_or(u64::MAX);
        let now = host::now_coarse();
        for row in &rows {
            if closed.contains(&row.head.id) {
                continue;
            }
            self.flows.open(row, events);
            if row.head.flags & OVERFLOW == 0 && now.saturating_sub(row.counters.last_at) >= idle {
                self.flows.expire(row, at, &mut self.table, events)?;
            } else {
                self.flows.sample(row, at, events);
            }
        }
        Ok(())
    }

    /// Appends what the walk over the TCP sockets found, apart from samples of what the ring says is closed.
    fn tell_tcp(&mut self, closed: &FxHashSet<u64>, seen: &mut FxHashSet<u64>, events: &mut Vec<Event>) {
        for record in self.buffer.chunks_exact(size_of::<TcpRecord>()).filter_map(TcpRecord::read) {
            let is_closed = closed.contains(&record.head.id);
            match record.head.kind {
                KIND_TCP_CLOSE => events.push(tcp_close(&record)),
                // The walk was to tell the open, and the close relies on it.
                KIND_TCP_SAMPLE if is_closed && record.head.flags & OPEN_SENT == 0 => {
                    events.push(tcp_open(&record.head, &record.identity));
                }
                // A walk over sockets that come and go may see one twice, and so may several walks.
                KIND_TCP_SAMPLE if !is_closed && seen.insert(record.head.id) => tcp_sample(&record, events),
                _ => {}
            }
        }
    }

    /// Appends what is in the ring, and the ids of what was closed.
    fn drain(&mut self, events: &mut Vec<Event>, closed: &mut FxHashSet<u64>) -> Result<(), CaptureError> {
        while let Some(item) = self.ring.next() {
            let Some(head) = Head::read(&item) else { continue };
            match head.kind {
                KIND_TCP_OPEN => {
                    if let Some(identity) = item.get(size_of::<Head>()..).and_then(Identity::read) {
                        events.push(tcp_open(&head, &identity));
                    }
                }
                KIND_TCP_CLOSE => {
                    if let Some(record) = TcpRecord::read(&item) {
                        closed.insert(head.id);
                        events.push(tcp_close(&record));
                    }
                }
                KIND_FLOW_OPEN => {
                    if let Some(record) = FlowRecord::read(&item) {
                        self.flows.open(&record, events);
                    }
                }
                KIND_UDP_RELEASE => {
                    if let Some(record) = FlowRecord::read(&item) {
                        let first = events.len();
                        self.flows.release(&record, &mut self.table, events)?;
                        closed.extend(events[first..].iter().filter_map(|event| event.body.conn()));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends what was lost since the last time, if anything was.
    fn report_loss(&mut self, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        let now = self.read_counts()?.loss(self.snapshots_cut);
        self.report(now, events);
        Ok(())
    }

    fn report(&mut self, now: Loss, events: &mut Vec<Event>) {
        let new = counts::since(now, self.reported);
        if !new.is_zero() {
            events.push(Event { at: host::now(), body: Body::Loss(new) });
            self.reported = now;
        }
    }

    fn read_counts(&self) -> Result<Counts, CaptureError> {
        let mut counts = Counts::default();
        for (index, sum) in (0..).zip(counts.0.iter_mut()) {
            let values = self
                .counts
                .get(&index, 0)
                .map_err(|error| CaptureError::Map { map: "COUNTS", reason: object::chain(&error) })?;
            *sum = values.iter().sum();
        }
        Ok(counts)
    }
}

/// Takes every hook away. A failure here would show again when the programs are dropped, which cannot fail.
fn detach(ebpf: &mut Ebpf) {
    use aya::programs::Program;
    for (_, program) in ebpf.programs_mut() {
        let _ = match program {
            Program::BtfTracePoint(program) => program.unload(),
            Program::CgroupSock(program) => program.unload(),
            Program::CgroupSkb(program) => program.unload(),
            Program::Iter(program) => program.unload(),
            _ => Ok(()),
        };
    }
}

fn wrap(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, CaptureError> {
    ebpf.take_map(name).ok_or_else(|| CaptureError::Load { reason: format!("the eBPF object has no map {name}") })
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, CaptureError> {
    match wrap(ebpf, name)? {
        Map::HashMap(data) | Map::SkStorage(data) => Ok(data),
        _ => Err(CaptureError::Load { reason: format!("the map {name} of the eBPF object is of the wrong kind") }),
    }
}

fn fd(map: &MapData) -> BorrowedFd<'_> {
    map.fd().as_fd()
}
