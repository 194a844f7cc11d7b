//! Two programs at one tracepoint, of which the second has nothing to do when the first has run.
//!
//! The first leaves the socket's address in a word of its processor, and the second takes it away, whatever it is. The word
//! is empty while the first runs: what a softirq does on top of it, for which the kernel starts the second alone, finds no
//! trace of a first. Anything else that comes in between makes the second look for itself, which costs time and nothing
//! else.

use core::ffi::c_void;

use crate::maps::seen_word;
use crate::tcp::argument;

/// The word of `inet_sock_set_state`.
pub const SET_STATE: u32 = 0;
/// The word of `tcp_destroy_sock`.
pub const DESTROY_SOCK: u32 = 1;
/// How many there are.
pub const TRACEPOINTS: usize = 2;

/// The first program.
#[inline(always)]
pub fn first(tracepoint: u32, context: *const c_void, look: impl FnOnce(*const c_void)) {
    let Some(word) = seen_word(tracepoint) else { return };
    // SAFETY: the word is this processor's, aligned, and lives as long as the map.
    unsafe { word.write_volatile(0) };
    look(context);
    // SAFETY: as above.
    unsafe { word.write_volatile(argument(context, 0)) };
}

/// The second program.
#[inline(always)]
pub fn again(tracepoint: u32, context: *const c_void, look: impl FnOnce(*const c_void)) {
    let Some(word) = seen_word(tracepoint) else { return };
    // SAFETY: as above.
    if unsafe { word.read_volatile() } != argument(context, 0) {
        look(context);
    }
    // After that, because a softirq on top of it starts the first alone, and nobody would take its trace away.
    // SAFETY: as above.
    unsafe { word.write_volatile(0) };
}
