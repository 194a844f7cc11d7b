//! `cgroup/sock_create` → the owner of a UDP socket. Always lets the socket be created.

use core::ffi::c_void;

use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use netflow_capture_abi::{OWNER_CERTAIN, UdpSocket};

use crate::kernel::{AF_INET, AF_INET6, IPPROTO_UDP, Kernel};
use crate::maps::{UDP_SOCKETS, next_id, stopped};
use crate::owner::current;
use crate::process::note;

#[cgroup_sock(sock_create)]
pub fn sock_create(context: SockContext) -> i32 {
    // SAFETY: the verifier checks the access.
    let (family, protocol) = unsafe { ((*context.sock).family, (*context.sock).protocol) };
    if protocol == IPPROTO_UDP && (family == AF_INET || family == AF_INET6) && !stopped() {
        create(context.sock.cast());
    }
    1
}

#[inline(always)]
fn create(socket: *const c_void) -> Option<()> {
    let value = UDP_SOCKETS.get_or_create(socket)?;
    let task = current();
    own(value, task, OWNER_CERTAIN.into(), 0, task.task_netns());
    note(task);
    Some(())
}

/// Writes owner and namespace; the id comes last, for it says that the rest is there.
#[inline(always)]
pub fn own(value: *mut UdpSocket, task: Kernel, owner: u32, flags: u32, netns: u32) {
    // SAFETY: `value` is a map value; the verifier checks the accesses.
    unsafe {
        (*value).pid = task.process_id();
        task.process_name(&raw mut (*value).comm);
        (*value).owner = owner;
        (*value).netns = netns;
        if (*value).id == 0 {
            (*value).flags = flags;
            (*value).id = next_id();
        }
    }
}
