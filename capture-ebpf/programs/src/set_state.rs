//! `tp_btf/inet_sock_set_state` → TCP opens, closes and failed connects.
//!
//! There are two of it. The kernel does not start a program on a processor that is running it already: when a softirq
//! comes in between, its changes of state would go unseen. Of two programs at most one is interrupted, so the other
//! runs; where both do, the second finds that the first was there (`twice.rs`), or that the change is taken in.
//!
//! Runs before the state is stored. The running task means something only where a process connects or listens; every
//! other change may happen in a softirq on behalf of anybody.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use netflow_capture_abi::{INCOMING, LISTED, LISTENER, OPENED, OUTGOING, members};

use crate::kernel::{
    IPPROTO_TCP, Kernel, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, read_tuple,
};
use crate::listener::{announce, cookie, withdraw};
use crate::maps::{TCP_SOCKETS, stopped};
use crate::tcp::{Tcp, argument};
use crate::twice::{SET_STATE, again, first};

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    first(SET_STATE, context.as_ptr(), look);
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_again(context: BtfTracePointContext) -> i32 {
    again(SET_STATE, context.as_ptr(), look);
    0
}

/// Apart from the programs: the second seldom comes here.
#[inline(never)]
fn look(context: *const c_void) {
    let socket = Kernel(argument(context, 0) as *const _);
    change(socket, argument(context, 1) as u32, argument(context, 2) as u32);
}

#[inline(always)]
fn change(socket: Kernel, from: u32, to: u32) -> Option<()> {
    // The tracepoint is shared with other protocols.
    if u32::from(socket.get::<u16>(members::SK_PROTOCOL)) != IPPROTO_TCP || stopped() {
        return None;
    }
    let found = TCP_SOCKETS.get(socket.0);
    if let Some(record) = found
        && Tcp(record).has_passed(from, to)
    {
        return None;
    }
    let found_or_new = || found.or_else(|| TCP_SOCKETS.get_or_create(socket.0)).map(Tcp);
    match (from, to) {
        (_, TCP_SYN_SENT) => {
            let record = found_or_new()?;
            let tcp = socket.tcp()?;
            flush(record, tcp);
            record.own();
            record.begin(OUTGOING);
            // The local port may still be missing; the rest is remembered, should nobody see how the attempt ends.
            read_tuple(tcp, record.0);
            record.pass(from, to);
        }
        (_, TCP_LISTEN) => {
            let record = found_or_new()?;
            let tcp = socket.tcp()?;
            flush(record, tcp);
            record.own();
            record.listen();
            record.pass(from, to);
            announce(record, tcp);
        }
        (TCP_LISTEN, TCP_SYN_RECV) => {
            let record = found_or_new()?;
            record.inherit();
            record.begin(INCOMING);
            record.pass(from, to);
        }
        _ => {
            let record = if to == TCP_ESTABLISHED {
                // Without storage the attempt is older than the recording; the seeding will find the owner.
                let record = found_or_new()?;
                if record.is_blank() {
                    record.begin(if from == TCP_SYN_SENT { OUTGOING } else { INCOMING });
                }
                record
            } else {
                Tcp(found?)
            };
            let flags = record.flags();
            if flags & LISTENER != 0 {
                record.clear(LISTENER | LISTED);
                record.pass(from, to);
                withdraw(cookie(socket.0));
                return None;
            }
            if record.is_blank() {
                return None;
            }
            if flags & OPENED == 0
                && (from == TCP_SYN_RECV || from == TCP_SYN_SENT)
                && to != TCP_CLOSE
                && to != TCP_SYN_RECV
            {
                // With fast open a child may be shut down before the handshake ends: it carried data all the same.
                record.pass(from, TCP_ESTABLISHED);
                record.open(socket.tcp()?);
            }
            record.pass(from, to);
            if to == TCP_CLOSE {
                let tcp = socket.tcp()?;
                if record.close(tcp) && record.is_final(tcp) {
                    record.tell_close();
                }
            }
        }
    }
    Some(())
}

/// A socket that is used again loses what its last connection left untold.
#[inline(never)]
fn flush(record: Tcp, tcp: Kernel) {
    record.end_unseen(tcp);
    if record.is_untold() {
        record.release();
        record.read_on(tcp);
        record.tell_or_lose_close();
    }
}
