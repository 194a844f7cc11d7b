//! Start, poll, snapshot, stop.
//!
//! In: options. Out: events, when asked. Never here: a thread or a timer; who holds a [`Capture`] says when to look.

mod stop;
mod table;
mod walk;

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray, RingBuf};
use netflow_capture_abi::{
    FlowRecord, Head, Identity, KIND_FLOW_OPEN, KIND_TCP_CLOSE, KIND_TCP_OPEN, KIND_UDP_RELEASE, Plain as _, TcpRecord,
};
use netflow_core::event::{Body, Event, Loss, Tick};
use rustc_hash::FxHashSet;

use crate::attach::{self, Walk};
use crate::convert::{tcp_close, tcp_open};
use crate::counts::{self, Counts};
use crate::error::CaptureError;
use crate::flows::Flows;
use crate::order::Order;
use crate::presence::Presence;
use crate::{cgroup, host, object};
use table::FlowTable;
use walk::{Seen, TcpSockets};

/// How often a snapshot walks again over the TCP sockets when connections come and go so fast that it missed some.
const WALKS: u32 = 3;

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
    tcp: TcpSockets,
    owners: Walk,
    flows: Flows,
    order: Order,
    presence: Presence,
    /// Events of the start, for the first who asks.
    pending: Vec<Event>,
    reported: Loss,
    snapshots_cut: u64,
    owners_seen: Instant,
    options: Options,
    /// The links live in the programs; last, so that they outlive nothing that needs them.
    ebpf: Ebpf,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("options", &self.options).finish_non_exhaustive()
    }
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
            tcp: TcpSockets { walk: tcp_samples, found: Vec::new() },
            owners,
            flows: Flows::default(),
            order: Order::default(),
            presence: Presence::default(),
            pending: Vec::new(),
            reported: Loss::default(),
            snapshots_cut: 0,
            owners_seen: Instant::now(),
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
        let mut seen = Seen { conns: FxHashSet::default(), complete: true };
        if self.owners_seen.elapsed() >= self.options.owners_every {
            seen.complete &= self.find_owners().is_ok();
        }
        let mut result = self.sample(&mut seen, events);
        self.presence.learn(&events[first..]);
        for _ in 0..WALKS {
            if result.is_err() || !self.presence.is_missing_some() {
                break;
            }
            let again = events.len();
            result = self.sample_tcp(&mut seen, events);
            self.presence.learn(&events[again..]);
        }
        let complete = self.presence.end_snapshot() && seen.complete;
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
