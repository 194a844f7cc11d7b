//! The event stream: all that a capture holds and all that the pipeline reads.
//!
//! In: what the kernel said, as cumulative totals. Out: typed events in order of time. Never here: deltas, filters,
//! names that somebody looked up, or anything that depends on when the stream is read.
//!
//! A live capture, a capture file and JSON Lines are three carriers of this one stream; the key of each JSON object
//! is the name of the field here.

use std::fmt;
use std::sync::Arc;

use crate::address::Endpoint;

/// How a capture came to be: the first thing in every stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The program that recorded, with its version: `netflow 0.1.0`.
    pub tool: String,
    /// The name of the recorded host; empty when unknown.
    pub host: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The kernel's boot id (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// UTC of the boot in nanoseconds since 1970: an event's UTC is `boot_time_ns + at`.
    pub boot_time_ns: i64,
    /// Milliseconds between two snapshots.
    pub interval_ms: u64,
    /// Lowest port that the host gives to clients (`net.ipv4.ip_local_port_range`); 0 when unknown.
    pub ephemeral_port_min: u16,
    /// Highest port that the host gives to clients; 0 when unknown.
    pub ephemeral_port_max: u16,
    /// The command line that recorded.
    pub command: Vec<String>,
    /// A remark of the person who recorded.
    pub comment: String,
    /// When the recording began, in nanoseconds since boot; 0 when unknown. With `boot_id` it names the recording: the
    /// files and sections of one recording all have the same.
    pub began_at: u64,
    /// Which part of the recording this is, the first being 0: parts are sections, of one file or of several. A connection
    /// that was alive at the end of one begins the next as `preexisting`, under the same id and with the totals that it had.
    pub part: u32,
    /// Where it begins in the middle of its recording: the time of the last event before, in nanoseconds since boot.
    pub continues_from: Option<u64>,
    /// It was cut out of a capture: more of the same part may have been before or behind it.
    pub excerpt: bool,
    /// Names and addresses in it stand for others: see [`anonymize`](crate::anonymize).
    pub anonymized: bool,
}

impl Header {
    /// The capture goes on where the one with the header `before` ended, the last event of which was at `last_at`. A whole
    /// part of a recording goes on with the part before it even if the end of that one is missing.
    #[must_use]
    pub fn continues(&self, before: &Self, last_at: Option<u64>) -> bool {
        let is_next_part = !self.excerpt && !before.excerpt && before.part.checked_add(1) == Some(self.part);
        let is_next_event = self.continues_from.is_some() && self.continues_from == last_at;
        self.is_of_same_recording(before) && (is_next_event || is_next_part)
    }

    /// Both captures are files of one recording, as far as their headers alone tell.
    #[must_use]
    pub fn is_of_same_recording(&self, other: &Self) -> bool {
        self.recording(None).is_some_and(|own| other.recording(None) == Some(own))
    }

    /// What tells the recording from others: host, boot, and when it began, in nanoseconds since boot. Where nobody wrote
    /// that down, its first event, at `first_at`, is its beginning, as what is cut out of it says. `None` where there is
    /// no event either, or neither host nor boot is known.
    #[must_use]
    pub fn recording(&self, first_at: Option<u64>) -> Option<(&str, &str, u64)> {
        let Self { host, boot_id, began_at, .. } = self;
        let is_named = !host.is_empty() || !boot_id.is_empty();
        let began_at = if *began_at == 0 { first_at.filter(|_| is_named) } else { Some(*began_at) };
        began_at.map(|began_at| (host.as_str(), boot_id.as_str(), began_at))
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When: nanoseconds since boot (`CLOCK_BOOTTIME`, it goes on while the machine sleeps). Never decreases within a
    /// capture.
    pub at: u64,
    /// What.
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A connection came to be, or was found open when the recording began.
    Open(Open),
    /// The totals of a connection that is open.
    Sample(Sample),
    /// A connection ended, or failed to come to be.
    Close(Close),
    /// One walk over all connections is over.
    Tick(Tick),
    /// What is known of a process.
    Process(Process),
    /// An answer of the name service was seen.
    Dns(Dns),
    /// A destination is translated.
    Nat(Nat),
    /// A socket listens, or no longer does.
    Listen(Listen),
    /// The state of a Kubernetes cluster.
    K8s(K8s),
    /// The wall clock was set.
    Clock(Clock),
    /// Something could not be recorded.
    Loss(Loss),
}

impl Body {
    /// The connection that the event speaks of, for the three kinds that speak of one.
    #[must_use]
    pub fn conn(&self) -> Option<u64> {
        match self {
            Self::Open(open) => Some(open.conn),
            Self::Sample(sample) => Some(sample.conn),
            Self::Close(close) => Some(close.conn),
            _ => None,
        }
    }
}

/// The layer above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// The word used in events and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Who began the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The remote end did: it connected, or its datagram came first. The local end is the server.
    Incoming,
    /// The local end did. The local end is the client.
    Outgoing,
}

impl Direction {
    /// The word used in events and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}

/// What is known of a connection apart from its counters. None of it identifies the connection (its id does), so any
/// of it may become known or change during the connection's life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The layer above IP.
    pub transport: Transport,
    /// This host's end.
    pub local: Endpoint,
    /// The other end, as the socket sees it (before any translation of the destination).
    pub remote: Endpoint,
    /// Who began; `None` when the kernel's evidence does not tell.
    pub direction: Option<Direction>,
    /// The owner's process id (the kernel's tgid) in the recorder's PID namespace.
    pub pid: Option<u32>,
    /// The owner's name: the `comm` of the process, not of its thread.
    pub process: Option<Arc<str>>,
    /// The inode number of the network namespace.
    pub netns: Option<u32>,
    /// The connection was open before the recording began: its first totals are a baseline.
    pub preexisting: bool,
    /// When it came to be, in nanoseconds since boot, where that is not the time of its first event.
    pub opened_at: Option<u64>,
    /// Several processes were seen to hold the socket, time and again: `pid` is one of them.
    pub shared: bool,
}

impl Identity {
    /// Who talks to whom, and nothing else known.
    #[must_use]
    pub fn new(transport: Transport, local: Endpoint, remote: Endpoint) -> Self {
        Self {
            transport,
            local,
            remote,
            direction: None,
            pid: None,
            process: None,
            netns: None,
            preexisting: false,
            opened_at: None,
            shared: false,
        }
    }
}

/// A connection came to be. TCP: it reached ESTABLISHED. UDP: the first datagram of the flow passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Id of this incarnation: a tuple that closes and opens again gets a new one.
    pub conn: u64,
    /// What is known of it.
    pub identity: Arc<Identity>,
}

/// Cumulative counters since the connection came to be, and the kernel's latest measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Payload bytes that the application handed to the kernel (TCP), or that went out in datagrams (UDP).
    pub sent_bytes: u64,
    /// Payload bytes that reached the socket in order (TCP), or in datagrams that reached it (UDP).
    pub recv_bytes: u64,
    /// Segments sent, with handshake, pure acknowledgements and retransmissions (`tcp_info.tcpi_segs_out`); datagrams sent.
    pub sent_packets: u64,
    /// Segments received, likewise (`tcpi_segs_in`); datagrams received.
    pub recv_packets: u64,
    /// Segments retransmitted (`tcpi_total_retrans`); 0 for UDP.
    pub retransmits: u64,
    /// Smoothed round-trip time in microseconds (`tcpi_rtt`); 0 when never measured.
    pub rtt_us: u32,
    /// Its mean deviation in microseconds (`tcpi_rttvar`); 0 when never measured.
    pub rtt_var_us: u32,
    /// Part of `sent_bytes` that the peer's TCP has not acknowledged: what an abort may have lost.
    pub unacked_bytes: u64,
    /// Part of `recv_bytes` that the application has not read.
    pub unread_bytes: u64,
}

impl Totals {
    /// The counters are the same, whatever was measured.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        *self == Self { rtt_us: self.rtt_us, rtt_var_us: self.rtt_var_us, ..*other }
    }

    /// Those that only grow.
    #[inline]
    pub(crate) fn counters(&self) -> [u64; 5] {
        [self.sent_bytes, self.recv_bytes, self.sent_packets, self.recv_packets, self.retransmits]
    }

    /// All of them, in the order in which they stand above.
    #[must_use]
    pub fn numbers(&self) -> [u64; 9] {
        [
            self.sent_bytes,
            self.recv_bytes,
            self.sent_packets,
            self.recv_packets,
            self.retransmits,
            self.rtt_us.into(),
            self.rtt_var_us.into(),
            self.unacked_bytes,
            self.unread_bytes,
        ]
    }
}

/// The totals of a connection that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The connection.
    pub conn: u64,
    /// Its totals now.
    pub totals: Totals,
    /// What is known of the connection, where this event says so: it replaces what was known before.
    pub identity: Option<Arc<Identity>>,
}

/// A connection ended, or failed to come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The connection.
    pub conn: u64,
    /// Its last totals.
    pub totals: Totals,
    /// What is known of the connection, where this event says so: it replaces what was known before.
    pub identity: Option<Arc<Identity>>,
    /// The states that it passed through; empty when unknown, and for UDP.
    pub tcp_states: TcpStates,
    /// Why it ended.
    pub reason: Option<Reason>,
}

/// A set of TCP states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TcpStates(u16);

impl TcpStates {
    /// Every state that a set can hold: its name and the kernel's number (`include/net/tcp_states.h`), in the order of
    /// a connection's life.
    pub const NAMES: [(&'static str, u8); 12] = [
        ("listen", 10),
        ("syn_sent", 2),
        ("new_syn_recv", 12),
        ("syn_recv", 3),
        ("established", 1),
        ("fin_wait1", 4),
        ("fin_wait2", 5),
        ("close_wait", 8),
        ("closing", 11),
        ("last_ack", 9),
        ("time_wait", 6),
        ("close", 7),
    ];
    const ALL: u16 = 0x1ffe;
    const ESTABLISHED: u16 = 1 << 1;

    /// The set of the given bits, bit n being the kernel's state n. `None` when a bit names no state.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits & !Self::ALL == 0).then_some(Self(bits))
    }

    /// The bits, bit n being the kernel's state n.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set with one more state; `None` when no state has that name.
    #[must_use]
    pub fn with_name(self, name: &str) -> Option<Self> {
        let (_, number) = Self::NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Self(self.0 | 1 << number))
    }

    /// The names of the states in the set, in the order of a connection's life.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(_, number)| self.0 & (1 << number) != 0).map(|(name, _)| *name)
    }

    /// Nothing is known of the states.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The connection was established at some time.
    #[must_use]
    pub fn has_established(self) -> bool {
        self.0 & Self::ESTABLISHED != 0
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Both ends were done.
    Fin,
    /// One end broke it off.
    Rst,
    /// The peer did not answer, or no longer.
    Timeout,
    /// Nothing was heard for so long that the recorder gave it up (UDP).
    Idle,
    /// The kernel's evidence does not tell.
    Unknown,
    /// Nobody listens where the connect went (`ECONNREFUSED`).
    Refused,
    /// The network, a router or a firewall says that the peer cannot be reached (`EHOSTUNREACH`, `ENETUNREACH`, …).
    Unreachable,
}

impl Reason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 7] =
        [Self::Fin, Self::Rst, Self::Timeout, Self::Idle, Self::Unknown, Self::Refused, Self::Unreachable];

    /// The word used in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// End of one snapshot: every connection open at that moment has had its sample since the last tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// False when the walk was cut short, so that "not seen" proves nothing.
    pub complete: bool,
}

/// What is known of a process: said when it is first known to own a connection, again when something of it changed, and
/// at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name (`comm`), that of the process and not of a thread.
    pub process: Arc<str>,
    /// The path that its executable was started from, as it is in its own file system; the file may have been replaced
    /// or removed since. Unknown of a process that was gone before it could be looked at.
    pub exe: Option<Arc<str>>,
    /// Its cgroup's path in the unified hierarchy; on a host that does not use that, in the older one that says most.
    pub cgroup: Option<Arc<str>>,
    /// The container that it runs in: the 64 hexadecimal digits of its cgroup.
    pub container_id: Option<Arc<str>>,
    /// The process ended: its last thread did. Its connections end a moment later, those that others share later still.
    pub exited: bool,
    /// When it started, in nanoseconds since boot: with `pid` it tells processes apart for good.
    pub started_at: Option<u64>,
}

impl Process {
    /// A process that runs under a name, and nothing else known.
    #[must_use]
    pub fn new(pid: u32, process: impl Into<Arc<str>>) -> Self {
        Self {
            pid,
            process: process.into(),
            exe: None,
            cgroup: None,
            container_id: None,
            exited: false,
            started_at: None,
        }
    }
}

/// An answer of the name service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The name that was asked for (not the canonical name behind it).
    pub name: Arc<str>,
    /// The address in the answer, canonical.
    pub addr: std::net::IpAddr,
    /// How long the answer holds, in seconds.
    pub ttl_s: u32,
    /// The network namespace of the asking socket.
    pub netns: Option<u32>,
    /// The process that asked.
    pub pid: Option<u32>,
}

/// A destination is translated (DNAT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nat {
    /// The layer above IP.
    pub transport: Transport,
    /// The local end, as the socket sees it.
    pub local: Endpoint,
    /// The remote end, as the socket sees it.
    pub remote: Endpoint,
    /// Where packets to `remote` really go.
    pub dst: Endpoint,
    /// The network namespace of the socket.
    pub netns: Option<u32>,
    /// The translation ended.
    pub end: bool,
}

/// A socket listens, or no longer does. Several sockets of a process on one address are one, which ends with the last. A
/// UDP socket listens when it is bound to a port that is no client's, and not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The layer above IP.
    pub transport: Transport,
    /// Where it listens; the address may be unspecified.
    pub local: Endpoint,
    /// Its network namespace.
    pub netns: Option<u32>,
    /// The process that made it listen, or was found to hold it. Its children may hold it longer.
    pub pid: Option<u32>,
    /// The name of that process.
    pub process: Option<Arc<str>>,
    /// It no longer listens.
    pub end: bool,
}

/// The state of a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K8s {
    /// The state as JSON text, kept as it was given.
    pub state: Arc<str>,
}

/// The wall clock was set, by at least a millisecond; applies from here on. A clock that is merely steered keeps its
/// distance from the time since boot, for the kernel steers both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// UTC of the boot in nanoseconds since 1970.
    pub boot_time_ns: i64,
}

/// What could not be recorded since the last such event. Each field is a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// Records for which the kernel's ring buffer had no room.
    pub ring_full: u64,
    /// Sockets that had flows without a row of their own, because the table was full: these share one row of the socket,
    /// so their bytes are counted, but not to whom they went.
    pub map_full: u64,
    /// How often the kernel could not allocate the recorder's state of a socket: the connection, or the datagram, that
    /// needed it is not known.
    pub storage_failed: u64,
    /// Events that were seen and are not in the capture: the recorder dropped them because its writer could not keep up,
    /// or, in a recovered capture, their block was damaged.
    pub queue_full: u64,
    /// Snapshots that did not reach every connection.
    pub snapshot_cut: u64,
    /// Answers of the name service that were seen and not taken in.
    pub dns_dropped: u64,
    /// Connections whose translation could not be asked for.
    pub nat_dropped: u64,
    /// Connections that came to be without an `open` in the capture (also counted by its cause above).
    pub lost_opens: u64,
    /// Connections that ended without a `close` in the capture (also counted by its cause above).
    pub lost_closes: u64,
}

impl Loss {
    /// How many counts there are.
    pub const COUNTS: usize = 9;

    /// What each count counts, in few words and in the order of [`Loss::counts`].
    pub const MEANINGS: [&'static str; Self::COUNTS] = [
        "records for which the kernel's buffer had no room",
        "sockets whose UDP flows share a row, because the table of flows was full",
        "times that the kernel had no memory for the state of a socket",
        "events that did not get into the file: it was too slow, or a block of it was damaged",
        "snapshots that did not reach every connection",
        "answers of the name service that were not taken in",
        "connections whose translation could not be asked for",
        "connections without an open (counted by its cause, too)",
        "connections that ended without a close (counted by its cause, too)",
    ];

    /// Name and value of every count, in the order of the fields.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); Self::COUNTS] {
        [
            ("ring_full", self.ring_full),
            ("map_full", self.map_full),
            ("storage_failed", self.storage_failed),
            ("queue_full", self.queue_full),
            ("snapshot_cut", self.snapshot_cut),
            ("dns_dropped", self.dns_dropped),
            ("nat_dropped", self.nat_dropped),
            ("lost_opens", self.lost_opens),
            ("lost_closes", self.lost_closes),
        ]
    }

    /// What was lost since the earlier sum.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            ring_full: self.ring_full.saturating_sub(before.ring_full),
            map_full: self.map_full.saturating_sub(before.map_full),
            storage_failed: self.storage_failed.saturating_sub(before.storage_failed),
            queue_full: self.queue_full.saturating_sub(before.queue_full),
            snapshot_cut: self.snapshot_cut.saturating_sub(before.snapshot_cut),
            dns_dropped: self.dns_dropped.saturating_sub(before.dns_dropped),
            nat_dropped: self.nat_dropped.saturating_sub(before.nat_dropped),
            lost_opens: self.lost_opens.saturating_sub(before.lost_opens),
            lost_closes: self.lost_closes.saturating_sub(before.lost_closes),
        }
    }

    /// Nothing was lost.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// `ring_full 3, lost_closes 2`, or `none`.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, count) in self.counts().into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{name} {count}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl std::ops::AddAssign for Loss {
    /// Every count adds up; at the end of its range it stays there.
    fn add_assign(&mut self, other: Self) {
        self.ring_full = self.ring_full.saturating_add(other.ring_full);
        self.map_full = self.map_full.saturating_add(other.map_full);
        self.storage_failed = self.storage_failed.saturating_add(other.storage_failed);
        self.queue_full = self.queue_full.saturating_add(other.queue_full);
        self.snapshot_cut = self.snapshot_cut.saturating_add(other.snapshot_cut);
        self.dns_dropped = self.dns_dropped.saturating_add(other.dns_dropped);
        self.nat_dropped = self.nat_dropped.saturating_add(other.nat_dropped);
        self.lost_opens = self.lost_opens.saturating_add(other.lost_opens);
        self.lost_closes = self.lost_closes.saturating_add(other.lost_closes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_names_and_bits() {
        let states = TcpStates::default().with_name("close").unwrap().with_name("syn_sent").unwrap();
        assert_eq!(states.bits(), 0x84);
        assert_eq!(states.names().collect::<Vec<_>>(), ["syn_sent", "close"]);
        assert!(!states.has_established());
        assert!(states.with_name("established").unwrap().has_established());
        assert_eq!(states.with_name("ESTABLISHED"), None);
        assert_eq!(TcpStates::from_bits(1), None);
        assert_eq!(TcpStates::from_bits(1 << 13), None);
        let all = TcpStates::NAMES.iter().fold(TcpStates::default(), |set, (name, _)| set.with_name(name).unwrap());
        assert_eq!(all.bits(), TcpStates::ALL);
    }

    #[test]
    fn a_recording_is_told_by_its_beginning_or_its_first_event() {
        let header = Header { host: "a".into(), boot_id: "b".into(), ..Header::default() };
        let known = Header { began_at: 7, ..header.clone() };
        assert_eq!(known.recording(Some(9)), Some(("a", "b", 7)));
        assert_eq!(known.recording(None), Some(("a", "b", 7)));
        // A part that was cut out says what the first event of the whole was.
        assert_eq!(header.recording(Some(7)), known.recording(Some(9)));
        assert_eq!(header.recording(None), None);
        assert!(known.is_of_same_recording(&known) && !header.is_of_same_recording(&header));
        // Two of which no host is known may be of two hosts.
        assert_eq!(Header::default().recording(Some(7)), None);
        assert_eq!(Header { began_at: 7, ..Header::default() }.recording(None), Some(("", "", 7)));
    }

    #[test]
    fn losses_say_what_was_lost() {
        let mut loss = Loss { ring_full: u64::MAX, ..Loss::default() };
        loss += Loss { ring_full: 1, lost_closes: 2, ..Loss::default() };
        assert_eq!(loss.to_string(), format!("ring_full {}, lost_closes 2", u64::MAX));
        assert_eq!(Loss::default().to_string(), "none");
    }
}
