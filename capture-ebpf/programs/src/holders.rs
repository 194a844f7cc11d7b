//! Who holds a socket, as a walk over all descriptors finds it: whether several processes do, and whether the owner still
//! does.
//!
//! A walk comes upon a socket once for each descriptor. A process that two walks in a row found beside another one shares
//! the socket with it: one walk is not enough, for between `fork` and `exec` every child holds all that its parent does. An
//! owner that a whole walk did not find among the holders has let go of the socket, and a holder takes its place. That shows
//! only after the walk, so the samples that follow it move the owner.

use netflow_capture_abi::{CONTROL_LAST_WALK, Holders};

use crate::kernel::Kernel;
use crate::maps::{CONTROL, HOLDERS};
use crate::process::note;

/// A process was found to hold a socket whose owner is `owner` (0 when unknown); true when it shares the socket.
#[inline(always)]
pub fn meet(socket: Kernel, walk: u64, task: Kernel, owner: u32) -> bool {
    let Some(holders) = HOLDERS.get_or_create(socket.0) else { return false };
    let pid = task.process_id();
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        if (*holders).walk != walk {
            task.process_name(&raw mut (*holders).comm);
            (*holders).first = pid;
            (*holders).owner = owner;
            (*holders).owner_holds = u32::from(pid == owner);
            (*holders).second_before = (*holders).second;
            (*holders).second = 0;
            (*holders).walk = walk;
            if pid != owner {
                // It may turn out to be the owner.
                note(task);
            }
            return false;
        }
        if pid == (*holders).owner {
            (*holders).owner_holds = 1;
        }
        if pid == (*holders).first {
            return false;
        }
        if (*holders).second == 0 {
            (*holders).second = pid;
        }
        pid == (*holders).second_before
    }
}

/// A walk came to its end.
#[inline(always)]
pub fn end_walk(walk: u64) {
    if let Some(last) = CONTROL.get_ptr_mut(CONTROL_LAST_WALK) {
        // SAFETY: an aligned word of a map value.
        unsafe { last.write_volatile(walk) };
    }
}

/// The process that holds a socket in the place of `owner`, which does not any more.
#[inline(always)]
pub fn heir(socket: Kernel, owner: u32) -> Option<*const Holders> {
    if owner == 0 {
        return None;
    }
    let last = CONTROL.get_ptr(CONTROL_LAST_WALK)?;
    let holders = HOLDERS.get(socket.0)?;
    // SAFETY: map values; the verifier checks the accesses.
    unsafe {
        let is_new = (*holders).walk == last.read_volatile() && (*holders).owner == owner;
        (is_new && (*holders).owner_holds == 0).then_some(holders.cast_const())
    }
}
