//! Listening sockets: a row for each while it listens. TCP sockets say so themselves; a UDP socket counts as listening when
//! the walk over descriptors finds it bound to a port that the host does not give to clients, and not connected.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use netflow_capture_abi::{
    ENDED, Head, KIND_LISTEN, KIND_LISTEN_END, LISTED, ListenRecord, SETTING_CLIENT_PORT_MAX, SETTING_CLIENT_PORT_MIN,
    SETTING_LISTENERS, TOLD, UdpSocket, members,
};

use crate::kernel::{AF_INET6, IPPROTO_TCP, IPPROTO_UDP, Kernel, TCP_CLOSE, map_ipv4};
use crate::maps::{LISTENERS, clear_flags, set_flags, setting, stopped, tell};
use crate::tcp::{Tcp, now};

/// The number that names a socket as long as the machine runs.
#[inline(always)]
pub fn cookie(socket: *const c_void) -> u64 {
    // SAFETY: the helper checks what it is given.
    unsafe { bpf_get_socket_cookie(socket.cast_mut()) }
}

/// A TCP socket listens. One that was never bound gets its port a moment later: the next walk over the sockets announces
/// it.
#[inline(always)]
pub fn announce(record: Tcp, tcp: Kernel) -> Option<()> {
    // SAFETY: a map value; the verifier checks the accesses.
    let (pid, comm) = unsafe { ((*record.0).identity.pid, (*record.0).identity.comm) };
    list(tcp, IPPROTO_TCP, pid, comm)?;
    record.set(LISTED);
    Some(())
}

/// A UDP socket was found.
#[inline(always)]
pub fn announce_udp(value: *mut UdpSocket, socket: Kernel) -> Option<()> {
    // SAFETY: as above.
    unsafe {
        if (*value).flags & LISTED != 0
            || u32::from(socket.get::<u8>(members::SK_STATE)) != TCP_CLOSE
            || socket.get::<u16>(members::SK_DPORT) != 0
        {
            return None;
        }
        let port = u32::from(socket.get::<u16>(members::SK_NUM));
        if port >= setting(SETTING_CLIENT_PORT_MIN) && port <= setting(SETTING_CLIENT_PORT_MAX) {
            return None;
        }
        list(socket, IPPROTO_UDP, (*value).pid, (*value).comm)?;
        set_flags(&raw mut (*value).flags, LISTED);
    }
    Some(())
}

#[inline(never)]
fn list(socket: Kernel, protocol: u32, pid: u32, comm: [u8; 16]) -> Option<()> {
    let port = socket.get::<u16>(members::SK_NUM);
    if setting(SETTING_LISTENERS) == 0 || stopped() || port == 0 {
        return None;
    }
    let key = cookie(socket.0);
    let mut fresh = ListenRecord {
        head: Head { kind: KIND_LISTEN, flags: 0, id: key, at: now() },
        local: [0; 16],
        pid,
        netns: socket.follow(members::SK_NET).get(members::NET_INUM),
        local_port: port,
        protocol: protocol as u16,
        reserved: 0,
        comm,
    };
    if u32::from(socket.get::<u16>(members::SK_FAMILY)) == AF_INET6 {
        socket.copy16(members::SK_V6_RCV_SADDR, &raw mut fresh.local);
    } else {
        map_ipv4(socket.get(members::SK_RCV_SADDR), &raw mut fresh.local);
    }
    LISTENERS.insert(&key, &fresh, BPF_ANY.into()).ok()?;
    let row = LISTENERS.get_ptr_mut(&key)?;
    // SAFETY: a map value; the verifier checks the access.
    tell(row, unsafe { &raw mut (*row).head.flags }, false);
    Some(())
}

/// A socket no longer listens.
#[inline(never)]
pub fn withdraw(key: u64) -> Option<()> {
    let row = LISTENERS.get_ptr_mut(&key)?;
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        let flags = &raw mut (*row).head.flags;
        if set_flags(flags, ENDED) & ENDED != 0 {
            return None;
        }
        clear_flags(flags, TOLD);
        (*row).head.kind = KIND_LISTEN_END;
        (*row).head.at = now();
        tell(row, flags, false);
        if flags.read_volatile() & TOLD != 0 {
            let _ = LISTENERS.remove(&key);
        }
    }
    Some(())
}
