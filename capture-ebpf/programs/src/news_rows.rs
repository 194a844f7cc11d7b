//! `iter/bpf_map_elem` over the tables of processes and of listening sockets → the rows that found their ring full.

use core::ffi::c_void;

use netflow_capture_abi::{ListenRecord, ProcessRecord, TOLD};

use crate::maps::{LISTENERS, PROCESSES, set_flags};
use crate::tcp::argument;
use crate::tcp_samples::{seq_of, write};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
extern "C" fn process_rows(context: *const c_void) -> i32 {
    let value = argument(context, 3) as *const ProcessRecord;
    if !value.is_null() {
        // Through the table, for what the iterator gives cannot be marked.
        // SAFETY: the verifier checks the accesses.
        unsafe {
            let pid = (*value).pid;
            if let Some(row) = PROCESSES.get_ptr_mut(&pid) {
                rescue(context, row, &raw mut (*row).head.flags);
            }
        }
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
extern "C" fn listener_rows(context: *const c_void) -> i32 {
    let value = argument(context, 3) as *const ListenRecord;
    if !value.is_null() {
        // SAFETY: as above.
        unsafe {
            let key = (*value).head.id;
            if let Some(row) = LISTENERS.get_ptr_mut(&key) {
                rescue(context, row, &raw mut (*row).head.flags);
            }
        }
    }
    0
}

#[inline(always)]
fn rescue<T>(context: *const c_void, row: *const T, flags: *mut u32) {
    // SAFETY: a word of the row; the verifier checks the access.
    if unsafe { flags.read_volatile() } & TOLD == 0 && write(seq_of(context), row) {
        set_flags(flags, TOLD);
    }
}
