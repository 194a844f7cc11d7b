//! A datagram from the port of the name service → its bytes, into a ring buffer of their own, with the socket's owner.
//!
//! Called for such a datagram alone, after it was counted: for all others this is one comparison.

use core::hint::black_box;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_ringbuf_discard, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes};
use netflow_capture_abi::{ANSWER_MOST, AnswerHead, UdpSocket, count};

use crate::maps::{ANSWERS, add};

/// The port that name servers answer from.
pub const NAME_SERVICE: u16 = 53;

/// A message has at least its header.
const SHORTEST: u32 = 12;

/// Written by the loader: not 0 when answers are wanted.
#[unsafe(no_mangle)]
static NAMES: u32 = 0;

/// Most answers are short, and room in a ring can only be had in sizes that are known beforehand.
const SHORT: usize = 224;
const MIDDLE: usize = 480;

#[repr(C)]
struct Answer<const N: usize> {
    head: AnswerHead,
    bytes: [u8; N],
}

#[inline(always)]
pub fn copy(skb: *mut __sk_buff, socket: *const UdpSocket, offset: u32, end: u32, at: u64) {
    // Volatile, or the compiler would use the zero above.
    // SAFETY: a word of read-only data.
    if unsafe { (&raw const NAMES).read_volatile() } == 0 {
        return;
    }
    let length = end.wrapping_sub(offset);
    if length < SHORTEST || length > 0xffff {
        return;
    }
    // SAFETY: a map value; the verifier checks the accesses.
    let head = unsafe {
        AnswerHead { socket: (*socket).id, at, pid: (*socket).pid, netns: (*socket).netns, length, copied: 0 }
    };
    if length <= SHORT as u32 {
        put::<SHORT>(skb, offset, head);
    } else if length <= MIDDLE as u32 {
        put::<MIDDLE>(skb, offset, head);
    } else {
        put::<ANSWER_MOST>(skb, offset, head);
    }
}

#[inline(always)]
fn put<const N: usize>(skb: *mut __sk_buff, offset: u32, head: AnswerHead) {
    // SAFETY: the verifier checks the accesses, and that what was reserved is given back.
    unsafe {
        let ring = core::ptr::from_ref(&ANSWERS).cast_mut().cast();
        let answer = bpf_ringbuf_reserve(ring, size_of::<Answer<N>>() as u64, 0).cast::<Answer<N>>();
        if answer.is_null() {
            add(count::DNS_DROPPED);
            return;
        }
        // The compiler knows what the length is; the verifier must see it bounded again.
        let copied = black_box(head.length).min(N as u32).max(1);
        (*answer).head = AnswerHead { copied, ..head };
        if bpf_skb_load_bytes(skb.cast(), offset, (&raw mut (*answer).bytes).cast(), copied) == 0 {
            bpf_ringbuf_submit(answer.cast(), BPF_RB_NO_WAKEUP.into());
        } else {
            bpf_ringbuf_discard(answer.cast(), BPF_RB_NO_WAKEUP.into());
        }
    }
}
