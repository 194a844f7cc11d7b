//! `iter/bpf_sk_storage_map` over the TCP sockets → a sample of every open connection, and the closes that wait for
//! room in the ring or for an owner; and a row for the listening sockets that have none. The reader's buffer cannot overflow: what does not fit is asked for again.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::bpf_seq_write;
use netflow_capture_abi::{
    CLOSE_SENT, CLOSED, COUNTED_LIVE, Head, KIND_TCP_KNOWN_SAMPLE, KIND_TCP_SAMPLE, LISTED, LISTENER, OPEN_SENT,
    OPENED, OWNER_CHANGED, TcpRecord, TcpSample, count, members,
};

use crate::holders::heir;
use crate::kernel::{Kernel, TCP_LISTEN, read_counters};
use crate::listener::announce;
use crate::maps::{TCP_SOCKETS, add, stopped};
use crate::tcp::{Tcp, argument, now};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn tcp_samples(context: *const c_void) -> i32 {
    let socket = Kernel(argument(context, 2) as *const c_void);
    if !socket.is_null() {
        sample(seq_of(context), socket);
    }
    0
}

/// The output of an iterator: the first member of what its context begins with.
#[inline(always)]
pub fn seq_of(context: *const c_void) -> *mut seq_file {
    argument(argument(context, 0) as *const c_void, 0) as *mut seq_file
}

/// Writes to an iterator's reader; false when it does not fit, and then the kernel runs the program again.
#[inline(always)]
pub fn write<T>(seq: *mut seq_file, value: *const T) -> bool {
    // SAFETY: the verifier checks pointer and size.
    unsafe { bpf_seq_write(seq, value.cast(), size_of::<T>() as u32) == 0 }
}

/// Whether there is room for the value, so that writing it will not fail. If there is none, it is written in vain, so that
/// the kernel runs the program again.
#[inline(always)]
pub fn has_room<T>(seq: *mut seq_file, value: *const T) -> bool {
    let file = Kernel(seq.cast_const().cast());
    let (count, size) = (file.get::<u64>(members::SEQ_COUNT), file.get::<u64>(members::SEQ_SIZE));
    let fits = count + (size_of::<T>() as u64) < size;
    if !fits {
        write(seq, value);
    }
    fits
}

/// Whether neither open nor owner need telling, or both are this program's to tell, with a record that there is room for.
#[inline(always)]
fn may_sample(seq: *mut seq_file, record: Tcp, flags: u32) -> bool {
    if flags & (OPEN_SENT | OWNER_CHANGED) == OPEN_SENT {
        return true;
    }
    if !has_room::<TcpRecord>(seq, record.0) || (flags & OPEN_SENT == 0 && !record.claim_open()) {
        return false;
    }
    // Before the owner is copied: who becomes it from now on is told again.
    record.clear(OWNER_CHANGED);
    true
}

/// Nanoseconds for which a connection that is over is left to its application, which may still read what came, and to the
/// hooks that will then tell its close. Who holds it longer has a close that says what was read by then.
const PATIENCE: u64 = 5_000_000_000;

/// A connection that is over, and whose close is not told yet, goes on for the reader, with what stands in the record. Its
/// time is that of the end, so that it comes before the close.
#[inline(always)]
fn sample_over(seq: *mut seq_file, record: Tcp) -> Option<()> {
    let flags = record.flags();
    if flags & OPENED == 0 || !may_sample(seq, record, flags) {
        return None;
    }
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        let head = Head { kind: KIND_TCP_SAMPLE, flags, id: (*record.0).head.id, at: (*record.0).head.at };
        let _ = write(seq, &head)
            && write(seq, &raw const (*record.0).identity)
            && write(seq, &raw const (*record.0).counters);
    }
    None
}

#[inline(always)]
fn sample(seq: *mut seq_file, socket: Kernel) -> Option<()> {
    let record = Tcp(TCP_SOCKETS.get(socket.0)?);
    // SAFETY: map values; the verifier checks the accesses.
    unsafe {
        // Of a listening socket too: its children inherit the owner.
        if let Some(heir) = heir(socket, (*record.0).identity.pid) {
            record.move_to((*heir).first, &raw const (*heir).comm);
        }
    }
    if record.is_blank() {
        // A child may hold its listener's record for a moment.
        if record.flags() & (LISTENER | LISTED) == LISTENER
            && u32::from(socket.get::<u8>(members::SK_STATE)) == TCP_LISTEN
        {
            announce(record, socket.tcp()?);
        }
        return None;
    }
    if record.is_untold() {
        let tcp = socket.tcp()?;
        record.read_on(tcp);
        // SAFETY: a map value; the verifier checks the accesses.
        let since = unsafe { now().wrapping_sub((*record.0).head.at) };
        if since < PATIENCE && !stopped() && !record.is_final(tcp) {
            return sample_over(seq, record);
        }
        if has_room::<TcpRecord>(seq, record.0) && record.claim_close() {
            if write::<TcpRecord>(seq, record.0) {
                record.count_close();
            } else {
                record.clear(CLOSE_SENT);
            }
        }
        return None;
    }
    let flags = record.flags();
    if flags & (OPENED | CLOSED) != OPENED {
        return None;
    }
    let tcp = socket.tcp()?;
    if !may_sample(seq, record, flags) {
        return None;
    }
    // Zeros would be written byte by byte.
    let mut sample = MaybeUninit::<TcpSample>::uninit();
    let sample = sample.as_mut_ptr();
    // SAFETY: a map value; the verifier checks the accesses, and that nothing is read that was not written.
    unsafe {
        let known = flags & (OPEN_SENT | OWNER_CHANGED) == OPEN_SENT;
        (*sample).head = Head { kind: KIND_TCP_SAMPLE, flags, id: (*record.0).head.id, at: now() };
        let counters = &raw mut (*sample).counters;
        read_counters(tcp, counters);
        (*counters).states = (*record.0).counters.states;
        (*counters).previous_state = (*record.0).counters.previous_state;
        (*counters).state = 0;
        let written = if known {
            (*sample).head.kind = KIND_TCP_KNOWN_SAMPLE;
            (*sample).direction = (*record.0).identity.direction.into();
            write(seq, sample)
        } else {
            write(seq, &raw const (*sample).head)
                && write(seq, &raw const (*record.0).identity)
                && write(seq, counters.cast_const())
        };
        if !written {
            return None;
        }
    }
    if stopped() && record.set(COUNTED_LIVE) & COUNTED_LIVE == 0 {
        add(count::TCP_LIVE);
    }
    Some(())
}
