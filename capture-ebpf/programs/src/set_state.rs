//! `tp_btf/inet_sock_set_state` → TCP opens, closes and failed connects.
//!
//! There are two of it. The kernel does not start a program on a processor that is running it already: when a softirq
//! comes in between, its changes of state would go unseen. Of two programs at most one is interrupted, so the other
//! runs; where both do, the second finds the change taken in.
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

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    look(context.as_ptr());
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_again(context: BtfTracePointContext) -> i32 {
    look(context.as_ptr());
    0
}

#[inline(always)]
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
    let tcp = socket.tcp()?;
    if let Some(record) = TCP_SOCKETS.get(socket.0)
        && Tcp(record).has_passed(from, to)
    {
        return None;
    }
    match (from, to) {
        (_, TCP_SYN_SENT) => {
            let record = Tcp(TCP_SOCKETS.get_or_create(socket.0)?);
            flush(record, tcp);
            record.own();
            record.begin(OUTGOING);
            // The local port may still be missing; the rest is remembered, should nobody see how the attempt ends.
            read_tuple(tcp, record.0);
            record.pass(from, to);
        }
        (_, TCP_LISTEN) => {
            let record = Tcp(TCP_SOCKETS.get_or_create(socket.0)?);
            flush(record, tcp);
            record.own();
            record.listen();
            record.pass(from, to);
            announce(record, tcp);
        }
        (TCP_LISTEN, TCP_SYN_RECV) => {
            let record = Tcp(TCP_SOCKETS.get_or_create(socket.0)?);
            record.inherit();
            record.begin(INCOMING);
            record.pass(from, to);
        }
        _ => {
            let record = if to == TCP_ESTABLISHED {
                // Without storage the attempt is older than the recording; the seeding will find the owner.
                let record = Tcp(TCP_SOCKETS.get_or_create(socket.0)?);
                if record.is_blank() {
                    record.begin(if from == TCP_SYN_SENT { OUTGOING } else { INCOMING });
                }
                record
            } else {
                Tcp(TCP_SOCKETS.get(socket.0)?)
            };
            if record.flags() & LISTENER != 0 {
                record.clear(LISTENER | LISTED);
                record.pass(from, to);
                withdraw(cookie(socket.0));
                return None;
            }
            if record.is_blank() {
                return None;
            }
            if record.flags() & OPENED == 0
                && (from == TCP_SYN_RECV || from == TCP_SYN_SENT)
                && to != TCP_CLOSE
                && to != TCP_SYN_RECV
            {
                // With fast open a child may be shut down before the handshake ends: it carried data all the same.
                record.pass(from, TCP_ESTABLISHED);
                record.open(tcp);
            }
            record.pass(from, to);
            if to == TCP_CLOSE && record.close(tcp) && record.is_final(tcp) {
                record.tell_close();
            }
        }
    }
    Some(())
}

/// A socket that is used again loses what its last connection left untold.
#[inline(always)]
fn flush(record: Tcp, tcp: Kernel) {
    record.end_unseen(tcp);
    if record.is_untold() {
        record.release();
        record.read_on(tcp);
        record.tell_or_lose_close();
    }
}
