//! Start, poll, snapshot, stop.
//!
//! In: options. Out: events, when asked. Never here: a timer; who holds a [`Capture`] says when to look.

mod maps;
mod stop;
mod table;
mod walk;

use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use netflow_capture_abi::{
    FlowRecord, Head, Identity, KIND_FLOW_OPEN, KIND_TCP_CLOSE, KIND_TCP_OPEN, KIND_TCP_SAMPLE, KIND_UDP_RELEASE,
    Plain as _, TcpRecord, count,
};
use netflow_core::event::{Body, Event, Loss, Tick};
use rustc_hash::FxHashSet;

use crate::answers::{self, Answers};
use crate::attach::{self, Walk};
use crate::convert::{tcp_close, tcp_open, tcp_sample};
use crate::counts::Counts;
use crate::error::CaptureError;
use crate::flows::Flows;
use crate::nat::{self, Asker, Hindrance};
use crate::news::News;
use crate::order::Order;
use crate::presence::Presence;
use crate::wall_clock::WallClock;
use crate::{cgroup, host, object, privilege, sys};
use table::FlowTable;
use walk::{Closed, Seen, TcpSockets};

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
    /// Tell who the processes are that own connections, and when they end.
    pub processes: bool,
    /// Tell which sockets listen.
    pub listeners: bool,
    /// What the stream's header says of the wall clock (its `boot_time_ns`): tell when that is no longer so. `None`: do
    /// not tell.
    pub wall_clock: Option<i64>,
    /// Bytes of the ring buffer for what is told of processes and listening sockets; rounded up to a power of two of pages.
    /// What it cannot take is found again at a snapshot.
    pub news_bytes: u32,
    /// Record UDP. Without, no program runs where each packet passes, TCP's too.
    pub udp: bool,
    /// Record answers of the name service; they come by UDP.
    pub dns: bool,
    /// Record where connections really go whose destination is translated.
    pub nat: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ring_bytes: 8 << 20,
            udp_flows_max: 1 << 16,
            udp_idle: Duration::from_secs(120),
            owners_every: Duration::from_secs(5),
            processes: true,
            listeners: true,
            wall_clock: None,
            news_bytes: 256 << 10,
            udp: true,
            dns: true,
            nat: true,
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
    /// None when neither processes nor listening sockets are told.
    news: Option<News>,
    /// How often the ring of the news was full when that was last looked at.
    news_full: u64,
    wall_clock: Option<WallClock>,
    answers: Option<Answers>,
    nat: Option<Asker>,
    hindrances: Vec<String>,
    /// Events of the start, for the first who asks.
    pending: Vec<Event>,
    reported: Loss,
    snapshots_cut: u64,
    /// Connections without their open that were reported as such.
    without_open: u64,
    /// TCP connections that snapshots found gone, and whose end the programs did not count, so far.
    vanished: u64,
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
        privilege::check()?;
        let mut ebpf = object::load(options).map_err(host::too_old)?;
        attach::load_programs(&mut ebpf).map_err(host::too_old)?;
        // The kernel's types took some 20 MB, and nothing of that size is needed while recording.
        sys::give_back_memory();
        let tcp_samples = attach::walk(&ebpf, "tcp_samples")?;
        let overflow = attach::walk(&ebpf, "overflow_samples")?;
        let rows = attach::walk(&ebpf, "flow_samples")?;
        let owners = attach::walk(&ebpf, "task_file")?;
        let flows = maps::take(&mut ebpf, "FLOWS")?;
        let ring = maps::typed(&mut ebpf, "RING", RingBuf::try_from)?;
        let answers = maps::typed(&mut ebpf, "ANSWERS", RingBuf::try_from)?;
        let counts = maps::typed(&mut ebpf, "COUNTS", PerCpuArray::try_from)?;
        let control = maps::typed(&mut ebpf, "CONTROL", Array::try_from)?;
        let cgroup = cgroup::open_root()?.directory;
        let news = if options.processes || options.listeners {
            let sources = maps::news_sources(&mut ebpf, cgroup::Paths::of(&cgroup)?)?;
            Some(News::start(sources).map_err(|source| CaptureError::Thread { source })?)
        } else {
            None
        };
        attach::attach_hooks(&mut ebpf, options, &cgroup)?;

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
            news,
            news_full: 0,
            wall_clock: options.wall_clock.map(WallClock::new),
            answers: options.dns.then(|| Answers::new(answers)),
            nat: None,
            hindrances: Vec::new(),
            pending: Vec::new(),
            reported: Loss::default(),
            snapshots_cut: 0,
            without_open: 0,
            vanished: 0,
            owners_seen: Instant::now(),
            options: options.clone(),
            ebpf,
        };
        // The hooks are on, so nothing can fall between what they see and what is found now.
        capture.find_owners()?;
        let mut first = Vec::new();
        capture.snapshot(&mut first)?;
        if options.nat {
            capture.start_asking(&first)?;
        }
        capture.pending = first;
        Ok(capture)
    }

    fn start_asking(&mut self, first: &[Event]) -> Result<(), CaptureError> {
        match nat::hindrance() {
            Some(Hindrance::Whole(why)) => {
                self.hindrances.push(why);
                return Ok(());
            }
            Some(Hindrance::Part(why)) => self.hindrances.push(why),
            None => {}
        }
        let asker = Asker::start().map_err(|source| CaptureError::Thread { source })?;
        asker.ask_all(first);
        self.nat = Some(asker);
        Ok(())
    }

    /// What this recording will lack although it was asked for, each in one sentence.
    #[must_use]
    pub fn hindrances(&self) -> &[String] {
        &self.hindrances
    }

    /// Appends what has happened since the last call, in order of time.
    ///
    /// # Errors
    ///
    /// A map cannot be read.
    pub fn poll(&mut self, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        events.append(&mut self.pending);
        let first = events.len();
        let result = self.drain(events, &mut Closed::default());
        self.look_at_clock(events);
        self.name(first, events);
        self.order.settle(&mut events[first..]);
        // Samples are for snapshots to take.
        self.presence.learn(&events[first..], 0);
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
        // What is lost from now on belongs to the next snapshot: this one still finds those connections.
        let lost = self.read_counts();
        let since = host::now();
        let result = self.look_at_all(&mut seen, since, events);
        let complete = self.presence.end_snapshot(since) && seen.complete;
        self.snapshots_cut += u64::from(!complete);
        self.look_at_clock(events);
        let counted = lost.map(|counts| {
            if complete {
                // All that was counted is gone by these walks. Stated now, and not at the end, so that it stands in the file
                // in which it shows.
                self.vanished = self.vanished.max(counts.uncounted_of(self.presence.gone_tcp()));
            }
            self.report_loss(&counts, events);
        });
        self.name(first, events);
        self.order.settle(&mut events[first..]);
        self.tick(complete, events);
        result.and(counted)
    }

    /// Samples of everything that is open, and what happened until they were taken; the walks begin at `since`.
    fn look_at_all(&mut self, seen: &mut Seen, since: u64, events: &mut Vec<Event>) -> Result<(), CaptureError> {
        let first = events.len();
        let mut result = self.sample(seen, events);
        self.presence.learn(&events[first..], since);
        for _ in 0..WALKS {
            if result.is_err() || !self.presence.is_missing_some(since) {
                break;
            }
            let again = events.len();
            result = self.sample_tcp(seen, events);
            self.presence.learn(&events[again..], since);
        }
        result
    }

    /// Appends the end of a snapshot.
    fn tick(&mut self, complete: bool, events: &mut Vec<Event>) {
        let mut tick = Event { at: host::now(), body: Body::Tick(Tick { complete }) };
        self.order.settle(std::slice::from_mut(&mut tick));
        events.push(tick);
    }

    /// Appends what is in the ring, and adds to what was closed.
    fn drain(&mut self, events: &mut Vec<Event>, closed: &mut Closed) -> Result<(), CaptureError> {
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
                        closed.insert(head.id, head);
                        tcp_close(&record, events);
                    }
                }
                KIND_TCP_SAMPLE => {
                    if let Some(record) = TcpRecord::read(&item) {
                        tcp_sample(&record, events);
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
                        let ended = events[first..].iter().filter_map(|event| event.body.conn());
                        closed.extend(ended.map(|conn| (conn, record.head)));
                    }
                }
                _ => {}
            }
        }
        if let Some(news) = &mut self.news {
            news.take(events);
        }
        Ok(())
    }

    /// Appends that the wall clock was set, if it was.
    fn look_at_clock(&mut self, events: &mut Vec<Event>) {
        events.extend(self.wall_clock.as_mut().and_then(|clock| clock.look(host::read_wall_clock())));
    }

    /// Appends what became known beside the events from `first` on, which are all that was drained until now.
    fn name(&mut self, first: usize, events: &mut Vec<Event>) {
        if let Some(nat) = &self.nat {
            nat.see(&events[first..]);
            nat.take(events);
        }
        if let Some(answers) = &mut self.answers {
            answers.drain(answers::LONGEST, events);
        }
    }

    /// Appends the rest of that; how many connections could not be asked about.
    fn name_last(&mut self, first: usize, events: &mut Vec<Event>) -> u64 {
        if let Some(answers) = &mut self.answers {
            answers.drain(Duration::MAX, events);
        }
        let Some(nat) = self.nat.take() else { return 0 };
        nat.see(&events[first..]);
        nat.finish(events)
    }

    /// Appends what was lost since the last time, if anything was.
    fn report_loss(&mut self, counts: &Counts, events: &mut Vec<Event>) {
        let nat_dropped = self.nat.as_ref().map_or(0, Asker::dropped);
        self.report(counts.loss(self.own_loss(nat_dropped)), events);
        self.without_open = self.presence.without_open();
        let full = counts.get(count::NEWS_FULL);
        if full != self.news_full
            && let Some(news) = &mut self.news
        {
            self.news_full = full;
            news.look_at_tables();
        }
    }

    /// What is counted here, so far. The opens are those of the closes that went out: the programs would count them at
    /// another time than that of the close, and then a file that ends in between would have the one without the other.
    fn own_loss(&self, nat_dropped: u64) -> Loss {
        let lost_opens = self.presence.without_open();
        let lost_closes = self.vanished;
        Loss { snapshot_cut: self.snapshots_cut, nat_dropped, lost_opens, lost_closes, ..Loss::default() }
    }

    fn report(&mut self, now: Loss, events: &mut Vec<Event>) {
        let new = now.since(self.reported);
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
