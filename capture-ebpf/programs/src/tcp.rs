//! The life of a TCP connection, as it stands in its socket's storage.
//!
//! A record begins with a connection attempt or a child socket, is opened once, closed once, and its close is told
//! once; atomic flags see to the "once", because hooks for one socket run on several processors at a time. When the
//! ring has no room, the close stays in the storage for the next hook that may tell it.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns};
use netflow_capture_abi::{
    CLOSE_SENT, CLOSED, COUNTED_LIVE, Head, INCOMING, Identity, KIND_TCP_CLOSE, KIND_TCP_OPEN, KIND_TCP_SAMPLE,
    LISTENER, OPEN_SENT, OPENED, OUTGOING, OWNER_CERTAIN, OWNER_CHANGED, OWNER_HOLDER, OWNER_LISTENER, OWNER_NONE,
    PREEXISTING, SHARED, TcpCounters, TcpRecord, count, members,
};

use crate::kernel::{Kernel, TCP_CLOSE, TCP_SYN_SENT, read_counters, read_tuple};
use crate::maps::{add, clear_flags, next_id, send, set_flags};
use crate::owner::current;
use crate::process::note;

/// Nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Nanoseconds since boot without the time of sleep, a few milliseconds late at times, for a fraction of the price.
#[inline(always)]
pub fn now_coarse() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// A socket's record in its storage.
#[derive(Clone, Copy)]
pub struct Tcp(pub *mut TcpRecord);

// SAFETY of this block: the pointer comes from the storage helper, and the verifier checks every access to it.
impl Tcp {
    #[inline(always)]
    fn flags_field(self) -> *mut u32 {
        unsafe { &raw mut (*self.0).head.flags }
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        unsafe { self.flags_field().read_volatile() }
    }

    #[inline(always)]
    pub fn set(self, bits: u32) -> u32 {
        set_flags(self.flags_field(), bits)
    }

    #[inline(always)]
    pub fn clear(self, bits: u32) -> u32 {
        clear_flags(self.flags_field(), bits)
    }

    /// Nothing of a connection stands here.
    #[inline(always)]
    pub fn is_blank(self) -> bool {
        unsafe { (*self.0).head.id == 0 }
    }

    /// A new connection begins. The owner stays, for the caller to keep or change.
    #[inline(always)]
    pub fn begin(self, direction: u8) {
        unsafe {
            (*self.0).head.flags = 0;
            (*self.0).head.id = next_id();
            (*self.0).identity.opened_at = 0;
            (*self.0).identity.direction = direction;
            (*self.0).counters.states = 0;
        }
    }

    /// A socket begins to listen: the record is its owner's name for the children.
    #[inline(always)]
    pub fn listen(self) {
        unsafe {
            (*self.0).head.id = 0;
            (*self.0).head.flags = LISTENER;
        }
    }

    /// What a child inherits from its listener is an owner for the time being.
    #[inline(always)]
    pub fn inherit(self) {
        unsafe {
            if self.flags() & LISTENER != 0 {
                (*self.0).identity.owner = OWNER_LISTENER;
            } else {
                (*self.0).identity.owner = OWNER_NONE;
                (*self.0).identity.pid = 0;
            }
        }
    }

    /// The running process owns the socket; a thread of the kernel's own is nobody.
    #[inline(always)]
    pub fn own(self) {
        let task = current();
        if task.is_kernel_thread() {
            unsafe {
                (*self.0).identity.owner = OWNER_NONE;
                (*self.0).identity.pid = 0;
                (*self.0).identity.comm = [0; 16];
            }
        } else {
            self.own_as(task, OWNER_CERTAIN);
        }
    }

    /// A process owns the socket.
    #[inline(never)]
    fn own_as(self, task: Kernel, owner: u8) {
        unsafe {
            (*self.0).identity.owner = owner;
            (*self.0).identity.pid = task.process_id();
            task.process_name(&raw mut (*self.0).identity.comm);
        }
        note(task);
    }

    /// The running process releases the socket. Whoever connected it stays the owner; an accepted socket belongs to
    /// the process that held it last, which need not be the one that listened.
    #[inline(always)]
    pub fn release(self) {
        unsafe {
            if (*self.0).identity.direction == INCOMING || (*self.0).identity.owner != OWNER_CERTAIN {
                let task = current();
                if task.is_kernel_thread() {
                    return;
                }
                let before = (*self.0).identity.pid;
                self.own_as(task, OWNER_CERTAIN);
                if (*self.0).identity.pid != before {
                    self.set(OWNER_CHANGED);
                }
            }
        }
    }

    /// A process was found to hold the socket: it is the owner when none is known. Whether it takes the place of another
    /// one shows when all holders are known.
    #[inline(always)]
    pub fn held_by(self, task: Kernel) {
        if unsafe { (*self.0).identity.owner } == OWNER_NONE {
            self.own_as(task, OWNER_HOLDER);
            self.set(OWNER_CHANGED);
        } else if unsafe { (*self.0).identity.pid } == task.process_id() {
            note(task);
        }
    }

    /// The owner holds the socket no longer, and this process does.
    #[inline(always)]
    pub fn move_to(self, pid: u32, comm: *const [u8; 16]) {
        unsafe {
            (*self.0).identity.pid = pid;
            (*self.0).identity.comm = *comm;
            (*self.0).identity.owner = OWNER_HOLDER;
        }
        self.set(OWNER_CHANGED);
    }

    /// Several processes hold the socket.
    #[inline(always)]
    pub fn share(self) {
        if self.set(SHARED) & SHARED == 0 {
            self.set(OWNER_CHANGED);
        }
    }

    /// The connection went from one state to another.
    #[inline(always)]
    pub fn pass(self, from: u32, to: u32) {
        unsafe {
            (*self.0).counters.states |= 1_u16 << (to & 15);
            (*self.0).counters.previous_state = from as u8;
            (*self.0).counters.state = to;
        }
    }

    /// The change was taken in already, by the other of the two programs that see it.
    #[inline(always)]
    pub fn has_passed(self, from: u32, to: u32) -> bool {
        unsafe { (*self.0).counters.state == to && u32::from((*self.0).counters.previous_state) == from }
    }

    /// The connection is established.
    #[inline(never)]
    pub fn open(self, tcp: Kernel) {
        read_tuple(tcp, self.0);
        add(count::TCP_OPENED);
        let at = now();
        unsafe {
            (*self.0).identity.opened_at = at;
            (*self.0).head.at = at;
            (*self.0).head.kind = KIND_TCP_OPEN;
        }
        // The flags come last: an iterator that sees OPENED without OPEN_SENT claims the open and tells it itself.
        let sent = send(self.0, size_of::<Head>() + size_of::<Identity>());
        self.set(if sent { OPENED | OPEN_SENT } else { OPENED });
    }

    /// The connection is over: its last counters are kept. False when nothing of it is to be told: it is counted as
    /// live at the end, or it never was one.
    #[inline(never)]
    pub fn close(self, tcp: Kernel) -> bool {
        if self.flags() & OPENED == 0 {
            read_tuple(tcp, self.0);
        }
        unsafe {
            read_counters(tcp, &raw mut (*self.0).counters);
            if self.flags() & OPENED == 0
                && (*self.0).identity.direction == INCOMING
                && (*self.0).counters.bytes_received == 0
            {
                // When two segments of one handshake are taken in at once, each makes a child and one is thrown away.
                // A child that fast open gave data to is another matter.
                (*self.0).head.id = 0;
                return false;
            }
            (*self.0).head.at = now();
            (*self.0).head.kind = KIND_TCP_CLOSE;
        }
        self.set(CLOSED) & COUNTED_LIVE == 0
    }

    /// An attempt to connect that is over, though no program saw its end. The error went to the application, and the
    /// counters were set back by then: all that is left to tell is that it failed.
    #[inline(always)]
    pub fn end_unseen(self, tcp: Kernel) {
        unsafe {
            if self.is_blank()
                || self.flags() & (OPENED | CLOSED) != 0
                || (*self.0).identity.direction != OUTGOING
                || (*self.0).identity.remote_port == 0
            {
                return;
            }
            (*self.0).identity.local_port = u16::from_be(tcp.get(members::INET_SPORT));
            let states = (*self.0).counters.states;
            (*self.0).counters = blank_counters();
            (*self.0).counters.states = states;
            self.pass(TCP_SYN_SENT, TCP_CLOSE);
            (*self.0).head.at = now();
            (*self.0).head.kind = KIND_TCP_CLOSE;
        }
        if self.set(CLOSED) & CLOSED == 0 {
            add(count::TCP_UNSEEN_FAILURES);
        }
    }

    /// What a close record would say is final: the owner, and how much the application has read. A socket without a
    /// file has nobody who might still change either.
    #[inline(always)]
    pub fn is_final(self, tcp: Kernel) -> bool {
        unsafe {
            let counters = &(*self.0).counters;
            let unread = counters.rcv_nxt.wrapping_sub(counters.copied_seq);
            tcp.follow(members::SK_SOCKET).is_null()
                || ((*self.0).identity.owner >= OWNER_HOLDER && unread <= u32::from(counters.fin_received))
        }
    }

    /// The application may have read on after the connection was over.
    #[inline(always)]
    pub fn read_on(self, tcp: Kernel) {
        unsafe {
            if tcp.get::<u32>(members::TCP_RCV_NXT) == (*self.0).counters.rcv_nxt {
                (*self.0).counters.copied_seq = tcp.get(members::TCP_COPIED_SEQ);
            }
        }
    }

    /// The record is of a connection that is over and not yet told.
    #[inline(always)]
    pub fn is_untold(self) -> bool {
        !self.is_blank() && self.flags() & (CLOSED | CLOSE_SENT | COUNTED_LIVE) == CLOSED
    }

    /// Tells the close through the ring, unless that is done or there is no room.
    #[inline(never)]
    pub fn tell_close(self) {
        if self.claim_close() {
            if send(self.0, size_of::<TcpRecord>()) {
                self.count_close();
            } else {
                self.clear(CLOSE_SENT);
            }
        }
    }

    /// The right to tell the close, for one claimant alone.
    #[inline(always)]
    pub fn claim_close(self) -> bool {
        self.set(CLOSE_SENT) & CLOSE_SENT == 0
    }

    /// The right to say what became of the open, told or lost, for one claimant alone: a walk may tell it on one processor
    /// while the connection ends on another.
    #[inline(always)]
    pub fn claim_open(self) -> bool {
        self.set(OPEN_SENT) & OPEN_SENT == 0
    }

    /// The close was told.
    #[inline(always)]
    pub fn count_close(self) {
        let flags = self.flags();
        if flags & OPENED == 0 {
            add(count::TCP_FAILURES);
            return;
        }
        add(count::TCP_CLOSED);
        // The loader makes an open of the close of a connection that is older than the recording, and counts the open of any
        // other as lost.
        if self.claim_open() && flags & PREEXISTING == 0 {
            add(count::RING_FULL);
        }
    }

    /// The storage is about to go: what is still untold is lost.
    #[inline(never)]
    pub fn tell_or_lose_close(self) {
        self.tell_close();
        if !self.claim_close() {
            return;
        }
        if self.flags() & OPENED == 0 {
            add(count::RING_FULL);
            add(count::TCP_LOST_FAILURES);
            return;
        }
        self.lose_close();
    }

    /// The connection ends, and there was no room to tell it.
    #[inline(always)]
    fn lose_close(self) {
        add(count::RING_FULL);
        if !self.claim_open() {
            add(count::TCP_LOST_CLOSES);
            return;
        }
        add(count::TCP_UNSEEN);
        if self.flags() & PREEXISTING == 0 {
            add(count::RING_FULL);
        }
    }

    /// The recording was stopped while the connection was open, and its socket goes before a walk has found it: its last
    /// sample, for without one nobody could tell it from a connection that was lost.
    #[inline(always)]
    pub fn tell_live(self, tcp: Kernel) {
        if self.set(COUNTED_LIVE) & COUNTED_LIVE != 0 {
            return;
        }
        unsafe {
            read_counters(tcp, &raw mut (*self.0).counters);
            (*self.0).head.at = now();
            (*self.0).head.kind = KIND_TCP_SAMPLE;
        }
        if send(self.0, size_of::<TcpRecord>()) {
            add(count::TCP_LIVE);
        } else {
            self.lose_close();
        }
    }
}

/// A blank record for the stack.
#[inline(always)]
pub fn blank() -> TcpRecord {
    TcpRecord { head: Head { kind: 0, flags: 0, id: 0, at: 0 }, identity: blank_identity(), counters: blank_counters() }
}

/// A blank identity for the stack.
#[inline(always)]
pub fn blank_identity() -> Identity {
    Identity {
        local: [0; 16],
        remote: [0; 16],
        opened_at: 0,
        pid: 0,
        netns: 0,
        local_port: 0,
        remote_port: 0,
        direction: 0,
        owner: OWNER_NONE,
        reserved: 0,
        comm: [0; 16],
    }
}

/// Blank counters for the stack.
#[inline(always)]
pub fn blank_counters() -> TcpCounters {
    TcpCounters {
        bytes_acked: 0,
        bytes_received: 0,
        write_seq: 0,
        snd_una: 0,
        rcv_nxt: 0,
        copied_seq: 0,
        segs_out: 0,
        segs_in: 0,
        total_retrans: 0,
        srtt_us: 0,
        mdev_us: 0,
        error: 0,
        states: 0,
        previous_state: 0,
        fin_received: 0,
        state: 0,
    }
}

/// The `n`th word of a program's context.
#[inline(always)]
pub fn argument(context: *const c_void, n: usize) -> u64 {
    // SAFETY: the verifier checks the access.
    unsafe { context.cast::<u64>().add(n).read_volatile() }
}
