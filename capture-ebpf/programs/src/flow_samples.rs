//! `iter/bpf_map_elem` over the table of UDP flows and `iter/bpf_sk_storage_map` over the UDP sockets → every flow's
//! row, and the overflow rows.

use core::ffi::c_void;

use aya_ebpf::bindings::seq_file;
use netflow_capture_abi::{COUNTED_LIVE, FlowRecord, OPEN_SENT, OWNER_HOLDER, RELEASED};

use crate::holders::heir;
use crate::kernel::Kernel;
use crate::maps::{UDP_SOCKETS, set_flags, stopped};
use crate::tcp::argument;
use crate::tcp_samples::{has_room, seq_of, write};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
extern "C" fn flow_samples(context: *const c_void) -> i32 {
    let value = argument(context, 3) as *const FlowRecord;
    if !value.is_null() {
        write(seq_of(context), value);
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn overflow_samples(context: *const c_void) -> i32 {
    let socket = Kernel(argument(context, 2) as *const c_void);
    if !socket.is_null() {
        overflow(seq_of(context), socket);
    }
    0
}

#[inline(always)]
fn overflow(seq: *mut seq_file, socket: Kernel) -> Option<()> {
    let value = UDP_SOCKETS.get(socket.0)?;
    // SAFETY: map values; the verifier checks the accesses.
    unsafe {
        // A socket stays for a moment after its release, which has told its row.
        if (&raw const (*value).flags).read_volatile() & RELEASED != 0 {
            return None;
        }
        // The flows take it over with their next datagram.
        if let Some(heir) = heir(socket, (*value).pid) {
            (*value).owner = OWNER_HOLDER.into();
            (*value).comm = (*heir).comm;
            (*value).pid = (*heir).first;
        }
        let row = &raw mut (*value).overflow;
        if (*row).head.id != 0 && has_room::<FlowRecord>(seq, row) {
            let live = if stopped() { COUNTED_LIVE } else { 0 };
            let before = set_flags(&raw mut (*row).head.flags, OPEN_SENT | live);
            // A release that comes in between may have counted the open as lost.
            if before & OPEN_SENT == 0 || (&raw const (*value).flags).read_volatile() & RELEASED == 0 {
                write(seq, row);
            }
        }
    }
    Some(())
}
