//! The records and map values.

use crate::plain::plain;

/// A TCP connection came to be: [`Head`] and [`Identity`].
pub const KIND_TCP_OPEN: u32 = 1;
/// A TCP connection is alive: a whole [`TcpRecord`].
pub const KIND_TCP_SAMPLE: u32 = 2;
/// A TCP connection ended: a whole [`TcpRecord`].
pub const KIND_TCP_CLOSE: u32 = 3;
/// A UDP flow came to be: a [`FlowRecord`].
pub const KIND_FLOW_OPEN: u32 = 4;
/// A UDP flow is alive: a [`FlowRecord`].
pub const KIND_FLOW_SAMPLE: u32 = 5;
/// A UDP socket was released: a [`FlowRecord`] whose flow is the socket's overflow row (id 0 when it never had one).
pub const KIND_UDP_RELEASE: u32 = 6;
/// A TCP connection is alive, and user space knows who it is: a [`TcpSample`].
pub const KIND_TCP_KNOWN_SAMPLE: u32 = 7;
/// A process owns a socket, or it does and goes by another name, program or cgroup now: a [`ProcessRecord`].
pub const KIND_PROCESS: u32 = 20;
/// A process that owned a socket ended: a [`ProcessRecord`].
pub const KIND_PROCESS_EXIT: u32 = 21;
/// A socket listens: a [`ListenRecord`].
pub const KIND_LISTEN: u32 = 22;
/// A socket no longer listens: a [`ListenRecord`].
pub const KIND_LISTEN_END: u32 = 23;

/// The connection reached ESTABLISHED (or was found open).
pub const OPENED: u32 = 1 << 0;
/// The connection's open has reached user space.
pub const OPEN_SENT: u32 = 1 << 1;
/// The connection is over and its last counters stand in the record.
pub const CLOSED: u32 = 1 << 2;
/// The connection's close has reached user space, or is counted as lost.
pub const CLOSE_SENT: u32 = 1 << 3;
/// The connection was open before the recording began.
pub const PREEXISTING: u32 = 1 << 4;
/// The socket listens; what stands in the record is its owner alone.
pub const LISTENER: u32 = 1 << 5;
/// The owner became known, or changed, since user space last heard of it.
pub const OWNER_CHANGED: u32 = 1 << 6;
/// The connection is counted as live at the end of the recording.
pub const COUNTED_LIVE: u32 = 1 << 7;
/// The UDP socket was released: what still arrives is ignored.
pub const RELEASED: u32 = 1 << 8;
/// Datagrams of several flows share this row, because the table of flows was full.
pub const OVERFLOW: u32 = 1 << 9;
/// Several processes were seen to hold the socket.
pub const SHARED: u32 = 1 << 10;
/// The socket has a row in the table of listening sockets.
pub const LISTED: u32 = 1 << 16;
/// What the row of a process or of a listening socket says has reached user space.
pub const TOLD: u32 = 1 << 17;
/// The process ended, or the socket no longer listens.
pub const ENDED: u32 = 1 << 18;

/// The remote end began.
pub const INCOMING: u8 = 1;
/// The local end began.
pub const OUTGOING: u8 = 2;

/// Nobody is known to own the socket.
pub const OWNER_NONE: u8 = 0;
/// The owner of the listening socket: it may yet hand the connection to another process.
pub const OWNER_LISTENER: u8 = 1;
/// A process that was found to hold the socket.
pub const OWNER_HOLDER: u8 = 2;
/// The process that created or connected the socket, or that released it.
pub const OWNER_CERTAIN: u8 = 3;

plain! {
    /// What every record begins with.
    Head, 24 {
        /// One of the `KIND_` constants.
        kind: u32,
        /// Flags of the connection.
        flags: u32,
        /// The connection (or, for a UDP release, the socket).
        id: u64,
        /// Nanoseconds since boot.
        at: u64,
    }
}

plain! {
    /// Who talks to whom.
    Identity, 72 {
        /// Local address; an IPv4 address is mapped into IPv6.
        local: [u8; 16],
        /// Remote address, likewise.
        remote: [u8; 16],
        /// When the connection came to be, in nanoseconds since boot; 0 when unknown.
        opened_at: u64,
        /// The owner's process id; 0 when unknown.
        pid: u32,
        /// Inode number of the network namespace; 0 when unknown.
        netns: u32,
        /// Local port, host order.
        local_port: u16,
        /// Remote port, host order.
        remote_port: u16,
        /// `INCOMING`, `OUTGOING` or 0.
        direction: u8,
        /// How the owner is known, one of the `OWNER_` constants.
        owner: u8,
        /// Zero.
        reserved: u16,
        /// The owner's name, padded with zeros.
        comm: [u8; 16],
    }
}

plain! {
    /// The kernel's own counters of a TCP socket, as they stand in `tcp_sock`.
    TcpCounters, 64 {
        /// `bytes_acked`.
        bytes_acked: u64,
        /// `bytes_received`.
        bytes_received: u64,
        /// `write_seq`.
        write_seq: u32,
        /// `snd_una`.
        snd_una: u32,
        /// `rcv_nxt`.
        rcv_nxt: u32,
        /// `copied_seq`.
        copied_seq: u32,
        /// `segs_out`.
        segs_out: u32,
        /// `segs_in`.
        segs_in: u32,
        /// `total_retrans`.
        total_retrans: u32,
        /// `srtt_us`, eight times the smoothed round-trip time.
        srtt_us: u32,
        /// `mdev_us`, four times its mean deviation.
        mdev_us: u32,
        /// `sk_err`: an errno, or 0.
        error: u32,
        /// The states that the connection passed through, bit n being state n.
        states: u16,
        /// The state before the last one.
        previous_state: u8,
        /// 1 when the peer's FIN was taken in (`SOCK_DONE`).
        fin_received: u8,
        /// The state after the last change; 0 when none was seen.
        state: u32,
    }
}

plain! {
    /// Everything about a TCP connection; also the value in the socket's own storage.
    TcpRecord, 160 {
        /// What it is.
        head: Head,
        /// Who talks to whom.
        identity: Identity,
        /// The counters: at the end when `CLOSED`, else of the moment.
        counters: TcpCounters,
    }
}

plain! {
    /// What changes of a TCP connection while it lives. Snapshots consist of these: the fewer bytes, the less often the
    /// kernel, which gives 32 KiB at a time, has to find again where it was.
    TcpSample, 96 {
        /// What it is.
        head: Head,
        /// The counters of the moment.
        counters: TcpCounters,
        /// `INCOMING`, `OUTGOING` or 0.
        direction: u64,
    }
}

plain! {
    /// What tells UDP flows apart.
    FlowKey, 48 {
        /// The socket's id.
        socket: u64,
        /// Local address; an IPv4 address is mapped into IPv6.
        local: [u8; 16],
        /// Remote address, likewise.
        remote: [u8; 16],
        /// Local port, host order.
        local_port: u16,
        /// Remote port, host order.
        remote_port: u16,
        /// Zero.
        reserved: u32,
    }
}

plain! {
    /// What is counted of a UDP flow.
    FlowCounters, 48 {
        /// When the last datagram passed, on the coarse monotonic clock: it tells silence and nothing else.
        last_at: u64,
        /// Payload bytes sent.
        sent_bytes: u64,
        /// Payload bytes received.
        recv_bytes: u64,
        /// Datagrams sent.
        sent_datagrams: u64,
        /// Datagrams received.
        recv_datagrams: u64,
        /// Zero.
        reserved: u64,
    }
}

plain! {
    /// Everything about a UDP flow; also the value in the table of flows.
    FlowRecord, 152 {
        /// What it is.
        head: Head,
        /// Who talks to whom.
        identity: Identity,
        /// The counters.
        counters: FlowCounters,
        /// The socket's id.
        socket: u64,
    }
}

plain! {
    /// What is known of a UDP socket: the value in the socket's own storage.
    UdpSocket, 200 {
        /// The socket's id; 0 when it has none yet.
        id: u64,
        /// Flows that this socket opened in the table.
        flows: u64,
        /// `PREEXISTING`, `RELEASED`, `SHARED`.
        flags: u32,
        /// The owner's process id; 0 when unknown.
        pid: u32,
        /// Inode number of the network namespace; 0 when unknown.
        netns: u32,
        /// How the owner is known, one of the `OWNER_` constants.
        owner: u32,
        /// Its name.
        comm: [u8; 16],
        /// The row for datagrams that found the table full.
        overflow: FlowRecord,
    }
}

plain! {
    /// Who was seen to hold a socket in a walk over all descriptors: the value in storage of the socket's own that only
    /// such walks make.
    Holders, 48 {
        /// The last walk that came upon the socket.
        walk: u64,
        /// The first process that this walk found to hold it.
        first: u32,
        /// The socket's owner as that walk began; 0 when unknown.
        owner: u32,
        /// 1 when that owner was among the holders.
        owner_holds: u32,
        /// The next process that this walk found; 0 when there is none.
        second: u32,
        /// The one that the walk before had found next.
        second_before: u32,
        /// Zero.
        reserved: u32,
        /// The name of the first.
        comm: [u8; 16],
    }
}

plain! {
    /// A process that owns a socket; also the row in the table of processes, whose key is `pid`.
    ProcessRecord, 64 {
        /// What it is; the id is 0.
        head: Head,
        /// When the process started, in nanoseconds since boot.
        started_at: u64,
        /// Its cgroup in the unified hierarchy: the inode number of the directory.
        cgroup: u64,
        /// Its id.
        pid: u32,
        /// Zero.
        reserved: u32,
        /// Its name, padded with zeros.
        comm: [u8; 16],
    }
}

plain! {
    /// A listening socket; also the row in the table of listening sockets, whose key is the id.
    ListenRecord, 72 {
        /// What it is; the id is the socket's cookie.
        head: Head,
        /// Local address; an IPv4 address is mapped into IPv6.
        local: [u8; 16],
        /// The owner's process id; 0 when unknown.
        pid: u32,
        /// Inode number of the network namespace; 0 when unknown.
        netns: u32,
        /// Local port, host order.
        local_port: u16,
        /// 6 for TCP, 17 for UDP.
        protocol: u16,
        /// Zero.
        reserved: u32,
        /// The owner's name, padded with zeros.
        comm: [u8; 16],
    }
}

/// An answer of the name service is copied up to this length: what resolvers ask servers to keep to.
pub const ANSWER_MOST: usize = 1232;

plain! {
    /// An answer of the name service; its bytes follow.
    AnswerHead, 32 {
        /// The id of the socket that it came to.
        socket: u64,
        /// Nanoseconds since boot.
        at: u64,
        /// The socket's owner; 0 when unknown.
        pid: u32,
        /// Inode number of the network namespace; 0 when unknown.
        netns: u32,
        /// How long the answer is, in bytes.
        length: u32,
        /// How many of its bytes follow.
        copied: u32,
    }
}

/// The index at which each count stands in the map of counts (one `u64` per processor).
pub mod count {
    macro_rules! counts {
        ($($(#[$meta:meta])* $name:ident),*) => {
            #[repr(u32)]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Order { $($name),* }
            $($(#[$meta])* pub const $name: u32 = Order::$name as u32;)*
            /// How many counts there are.
            pub const LEN: usize = [$(Order::$name),*].len();
        };
    }
    counts! {
        /// TCP connections that reached ESTABLISHED during the recording.
        TCP_OPENED,
        /// TCP connections that were found open at its beginning.
        TCP_PREEXISTING,
        /// TCP connections, of those two, whose close reached user space.
        TCP_CLOSED,
        /// TCP connections, of those two, that ended without, user space knowing them.
        TCP_LOST_CLOSES,
        /// TCP connections, of those two, that ended without user space ever hearing of them. A lost open and a lost close in
        /// one count: of two, a reader might find the one and not yet the other.
        TCP_UNSEEN,
        /// TCP connections, of those two, alive when the recording was stopped.
        TCP_LIVE,
        /// Attempts to connect that failed and were told to user space.
        TCP_FAILURES,
        /// Attempts to connect that failed and could not be told.
        TCP_LOST_FAILURES,
        /// UDP flows opened, rows for overflow among them.
        UDP_OPENED,
        /// Rows for overflow that user space knows and that ended without reaching it.
        UDP_LOST_CLOSES,
        /// Rows for overflow: sockets of which flows found the table full.
        MAP_FULL,
        /// Records that never found room in the ring buffer.
        RING_FULL,
        /// How often no storage could be allocated for a socket.
        STORAGE_FAILED,
        /// Sockets released without user space hearing of it: their flows end when they have been idle.
        UDP_LOST_RELEASES,
        /// Attempts to connect whose failure no program saw: found when their socket went or was used again.
        TCP_UNSEEN_FAILURES,
        /// Rows of processes and listening sockets that found the ring of news full. Nothing is lost: user space finds
        /// them in their tables.
        NEWS_FULL,
        /// Answers of the name service that found no room in their ring buffer.
        DNS_DROPPED,
        /// Rows for overflow that ended without user space ever hearing of them.
        UDP_UNSEEN
    }
}

/// The index in the control map of the word that is 0 while recording and 1 from the moment it stops.
pub const CONTROL_STOPPED: u32 = 0;
/// The index in the control map of the last id given away.
pub const CONTROL_LAST_ID: u32 = 1;
/// The index in the control map of the number of the last walk over all descriptors that came to its end.
pub const CONTROL_LAST_WALK: u32 = 2;
/// Words in the control map.
pub const CONTROL_LEN: u32 = 3;

/// The index in the read-only settings of the word that is 1 when processes are told.
pub const SETTING_PROCESSES: usize = 0;
/// The index of the word that is 1 when listening sockets are told.
pub const SETTING_LISTENERS: usize = 1;
/// The index of the lowest port that the host gives to clients.
pub const SETTING_CLIENT_PORT_MIN: usize = 2;
/// The index of the highest one.
pub const SETTING_CLIENT_PORT_MAX: usize = 3;
/// Words in the settings.
pub const SETTINGS_LEN: usize = 4;
