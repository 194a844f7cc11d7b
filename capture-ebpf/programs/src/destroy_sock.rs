//! `tp_btf/tcp_destroy_sock` → the closes that were not told before: the application still held the socket, or the ring was
//! full. The last moment at which a socket's storage can be read.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use netflow_capture_abi::{CLOSED, LISTED, OPENED};

use crate::kernel::Kernel;
use crate::listener::{cookie, withdraw};
use crate::maps::{TCP_SOCKETS, stopped};
use crate::tcp::{Tcp, argument};
use crate::twice::{DESTROY_SOCK, again, first};

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(context: BtfTracePointContext) -> i32 {
    first(DESTROY_SOCK, context.as_ptr(), look);
    0
}

/// See `set_state.rs` for why there are two; flags see to it that each socket is taken in once.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock_again(context: BtfTracePointContext) -> i32 {
    again(DESTROY_SOCK, context.as_ptr(), look);
    0
}

#[inline(never)]
fn look(context: *const c_void) {
    destroy(Kernel(argument(context, 0) as *const _));
}

#[inline(always)]
fn destroy(socket: Kernel) -> Option<()> {
    let record = Tcp(TCP_SOCKETS.get(socket.0)?);
    if record.flags() & LISTED != 0 {
        // Its last change of state went unseen.
        record.clear(LISTED);
        withdraw(cookie(socket.0));
    }
    if record.is_blank() {
        return None;
    }
    if record.flags() & (OPENED | CLOSED) == OPENED {
        if stopped() {
            record.tell_live(socket.tcp()?);
            return None;
        }
        record.close(socket.tcp()?);
    }
    if !stopped() {
        record.end_unseen(socket.tcp()?);
    }
    if record.is_untold() {
        record.read_on(socket.tcp()?);
        record.tell_or_lose_close();
    }
    Some(())
}
