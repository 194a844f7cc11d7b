//! `iter/task_file` → storage for the sockets that exist already, and owners that no hook has told. Writes nothing to
//! its reader: the samples that follow carry what was found.
//!
//! Sees every descriptor of every task, so in all network namespaces; not sockets that nobody has a descriptor of.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_sock_from_file;
use netflow_capture_abi::{
    CLOSE_SENT, CLOSED, INCOMING, LISTENER, OPENED, OUTGOING, OWNER_CERTAIN, OWNER_HOLDER, PREEXISTING, SHARED, count,
    members,
};

use crate::holders::{end_walk, meet};
use crate::kernel::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, Kernel, TCP_CLOSE, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, read_tuple,
};
use crate::listener::{announce, announce_udp};
use crate::maps::{TCP_SOCKETS, UDP_SOCKETS, add, next_id, set_flags, stopped};
use crate::process::note;
use crate::sock_create::own;
use crate::tcp::{Tcp, argument, blank};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn task_file(context: *const c_void) -> i32 {
    // The number of this walk: the second member of what the context begins with.
    let walk = argument(argument(context, 0) as *const c_void, 1);
    let task = Kernel(argument(context, 1) as *const c_void);
    let file = argument(context, 3) as *mut c_void;
    if task.is_null() || file.is_null() {
        // The kernel says so that there is no more.
        end_walk(walk);
    } else if !stopped() {
        // SAFETY: the helper checks what it is given.
        let socket = Kernel(unsafe { bpf_sock_from_file(file.cast()) }.cast());
        if !socket.is_null() {
            find(task, socket.follow(members::SOCKET_SK), walk);
        }
    }
    0
}

#[inline(always)]
fn find(task: Kernel, socket: Kernel, walk: u64) -> Option<()> {
    if socket.is_null() {
        return None;
    }
    let family = u32::from(socket.get::<u16>(members::SK_FAMILY));
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    match u32::from(socket.get::<u16>(members::SK_PROTOCOL)) {
        IPPROTO_TCP => find_tcp(task, socket, walk),
        IPPROTO_UDP => find_udp(task, socket, walk),
        _ => None,
    }
}

#[inline(always)]
fn find_udp(task: Kernel, socket: Kernel, walk: u64) -> Option<()> {
    let value = UDP_SOCKETS.get_or_create(socket.0)?;
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        if (*value).pid == 0 {
            let netns = socket.follow(members::SK_NET).get(members::NET_INUM);
            own(value, task, OWNER_HOLDER.into(), PREEXISTING, netns);
        }
        if meet(socket, walk, task, (*value).pid) {
            set_flags(&raw mut (*value).flags, SHARED);
        }
    }
    // SAFETY: as above.
    if unsafe { (*value).pid } == task.process_id() {
        note(task);
    }
    announce_udp(value, socket)
}

#[inline(always)]
fn find_tcp(task: Kernel, socket: Kernel, walk: u64) -> Option<()> {
    if let Some(record) = TCP_SOCKETS.get(socket.0) {
        Tcp(record).held_by(task);
        // SAFETY: a map value; the verifier checks the access.
        if meet(socket, walk, task, unsafe { (*record).identity.pid }) {
            Tcp(record).share();
        }
        return None;
    }
    let tcp = socket.tcp()?;
    let state = u32::from(tcp.get::<u8>(members::SK_STATE));
    if state == TCP_CLOSE {
        return None;
    }
    let mut record = blank();
    record.identity.pid = task.process_id();
    task.process_name(&raw mut record.identity.comm);
    record.identity.owner = OWNER_HOLDER;
    if state == TCP_LISTEN {
        record.head.flags = LISTENER;
        record.identity.owner = OWNER_CERTAIN;
    } else {
        record.head.id = next_id();
        record.counters.states = 1 << (state & 15);
        if state == TCP_SYN_SENT {
            record.identity.direction = OUTGOING;
        } else if state == TCP_SYN_RECV {
            record.identity.direction = INCOMING;
        } else {
            record.head.flags = PREEXISTING | OPENED;
            record.identity.direction = direction(tcp, state);
            read_tuple(tcp, &raw mut record);
        }
    }
    note(task);
    let id = record.head.id;
    let flags = record.head.flags;
    let stored = TCP_SOCKETS.get_or_insert(socket.0, &record)?;
    if state == TCP_LISTEN {
        announce(Tcp(stored), tcp);
        return None;
    }
    // Unless a hook was faster with storage of its own.
    // SAFETY: a map value; the verifier checks the access.
    if flags & OPENED == 0 || unsafe { (*stored).head.id } != id {
        return None;
    }
    // The connection may have ended, and its hooks have run, while it was looked at: then nobody tells its close any
    // more, and it is none of ours.
    let ended = u32::from(tcp.get::<u8>(members::SK_STATE)) == TCP_CLOSE;
    if ended && Tcp(stored).set(CLOSED | CLOSE_SENT) & CLOSED == 0 {
        return None;
    }
    add(count::TCP_PREEXISTING);
    meet(socket, walk, task, task.process_id());
    Some(())
}

/// Who began, from the sequence numbers: the SYN of the end that connected was counted as an acknowledged byte, and
/// the bytes sent were not. What is in flight counts on both sides, once the FIN is taken out.
#[inline(always)]
fn direction(tcp: Kernel, state: u32) -> u8 {
    let nxt: u32 = tcp.get(members::TCP_SND_NXT);
    let in_flight = nxt.wrapping_sub(tcp.get(members::TCP_SND_UNA));
    let sequence = tcp.get::<u64>(members::TCP_BYTES_ACKED) + u64::from(in_flight);
    let payload = tcp.get::<u64>(members::TCP_BYTES_SENT) - tcp.get::<u64>(members::TCP_BYTES_RETRANS);
    let fin = match state {
        TCP_FIN_WAIT1 | TCP_CLOSING | TCP_LAST_ACK if nxt != tcp.get::<u32>(members::TCP_WRITE_SEQ) => return 0,
        TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING | TCP_LAST_ACK => 1,
        _ => 0,
    };
    match sequence.wrapping_sub(payload).wrapping_sub(fin) {
        0 => INCOMING,
        1 => OUTGOING,
        _ => 0,
    }
}

const TCP_FIN_WAIT1: u32 = 4;
const TCP_FIN_WAIT2: u32 = 5;
const TCP_LAST_ACK: u32 = 9;
const TCP_CLOSING: u32 = 11;
