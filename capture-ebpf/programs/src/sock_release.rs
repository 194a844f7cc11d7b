//! `cgroup/sock_release` → the last owner of a TCP socket (an accepted one learns its real owner here), and the end of a
//! UDP socket. Always in the context of the process that closes.

use core::ffi::c_void;

use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use netflow_capture_abi::{COUNTED_LIVE, FlowRecord, KIND_UDP_RELEASE, LISTED, LISTENER, OPEN_SENT, RELEASED, count};

use crate::kernel::{IPPROTO_TCP, IPPROTO_UDP};
use crate::listener::{cookie, withdraw};
use crate::maps::{TCP_SOCKETS, UDP_SOCKETS, add, clear_flags, send, set_flags};
use crate::tcp::{Tcp, now};

#[cgroup_sock(sock_release)]
pub fn sock_release(context: SockContext) -> i32 {
    // SAFETY: the verifier checks the access.
    match unsafe { (*context.sock).protocol } {
        IPPROTO_TCP => release_tcp(context.sock.cast()),
        IPPROTO_UDP => release_udp(context.sock.cast()),
        _ => None,
    };
    1
}

#[inline(always)]
fn release_tcp(socket: *const c_void) -> Option<()> {
    let record = Tcp(TCP_SOCKETS.get(socket)?);
    if record.flags() & LISTENER != 0 || record.is_blank() {
        return None;
    }
    // A close that waited for this is told a moment later, when the socket is destroyed.
    record.release();
    Some(())
}

/// The loader ends the socket's flows when it reads this, and needs to know how many there should be.
#[inline(always)]
fn release_udp(socket: *const c_void) -> Option<()> {
    let value = UDP_SOCKETS.get(socket)?;
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        if set_flags(&raw mut (*value).flags, RELEASED) & RELEASED != 0 {
            return None;
        }
        if clear_flags(&raw mut (*value).flags, LISTED) & LISTED != 0 {
            withdraw(cookie(socket));
        }
        let record = &raw mut (*value).overflow;
        if (*value).flows == 0 && (*record).head.id == 0 {
            return None;
        }
        (*record).head.kind = KIND_UDP_RELEASE;
        (*record).head.at = now();
        (*record).socket = (*value).id;
        (*record).counters.reserved = (*value).flows;
        if !send(record, size_of::<FlowRecord>()) {
            add(count::RING_FULL);
            add(count::UDP_LOST_RELEASES);
            // What was found alive after the recording was stopped, was alive at its end.
            let flags = (&raw const (*record).head.flags).read_volatile();
            if (*record).head.id != 0 && flags & COUNTED_LIVE == 0 {
                // A walk may tell it at this moment.
                let is_known = set_flags(&raw mut (*record).head.flags, OPEN_SENT) & OPEN_SENT != 0;
                add(if is_known { count::UDP_LOST_CLOSES } else { count::UDP_UNSEEN });
            }
        }
    }
    Some(())
}
