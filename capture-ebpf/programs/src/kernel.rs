//! Reading members of kernel structs.
//!
//! Each read is a direct load from a pointer that the verifier trusts, at an offset that the loader took from the
//! running kernel's BTF: a wrong offset is refused when the program is loaded, it never reads garbage.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use netflow_capture_abi::members::{self, MEMBERS};
use netflow_capture_abi::{TcpCounters, TcpRecord};

pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_UDP: u32 = 17;
pub const AF_INET: u32 = 2;
pub const AF_INET6: u32 = 10;

pub const TCP_ESTABLISHED: u32 = 1;
pub const TCP_SYN_SENT: u32 = 2;
pub const TCP_SYN_RECV: u32 = 3;
pub const TCP_CLOSE: u32 = 7;
pub const TCP_LISTEN: u32 = 10;

/// Written by the loader.
#[unsafe(no_mangle)]
static OFFSETS: [u32; MEMBERS.len()] = [0; MEMBERS.len()];

/// The offset of a member, see [`members`].
#[inline(always)]
pub fn offset(member: usize) -> usize {
    // Volatile, or the compiler would use the zeros above.
    // SAFETY: `member` is an index into the list that the array is as long as.
    unsafe { (&raw const OFFSETS).cast::<u32>().add(member).read_volatile() as usize }
}

/// A pointer to a kernel struct.
#[derive(Clone, Copy)]
pub struct Kernel(pub *const c_void);

impl Kernel {
    /// The value of a member.
    #[inline(always)]
    pub fn get<T: Copy>(self, member: usize) -> T {
        // SAFETY: the verifier checks the access against the kernel's types.
        unsafe { self.0.byte_add(offset(member)).cast::<T>().read_volatile() }
    }

    /// The struct that a member points to.
    #[inline(always)]
    pub fn follow(self, member: usize) -> Self {
        Self(self.get::<*const c_void>(member))
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Sixteen bytes of a member, word by word, because the verifier knows addresses and names as arrays of no more
    /// than words.
    #[inline(always)]
    pub fn copy16(self, member: usize, to: *mut [u8; 16]) {
        let from = offset(member);
        let to = to.cast::<u32>();
        for word in 0..4 {
            // SAFETY: as above; `to` has sixteen bytes.
            unsafe {
                let value = self.0.byte_add(from + 4 * word).cast::<u32>().read_volatile();
                to.add(word).write_unaligned(value);
            }
        }
    }

    /// The same socket as a `tcp_sock`, if it is one.
    #[inline(always)]
    pub fn tcp(self) -> Option<Self> {
        // SAFETY: the helper checks what it is given.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut()) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast())) }
    }
}

/// Writes an IPv4 address as an IPv6 one; all words apart from the last are constants.
#[inline(always)]
pub fn map_ipv4(address: u32, to: *mut [u8; 16]) {
    let to = to.cast::<u32>();
    // SAFETY: `to` has sixteen bytes.
    unsafe {
        to.write_unaligned(0);
        to.add(1).write_unaligned(0);
        to.add(2).write_unaligned(0xffff_0000);
        to.add(3).write_unaligned(address);
    }
}

/// Addresses, ports and namespace of a TCP socket.
///
/// The local port is `inet_sport`: the number in the hash table (`skc_num`) is 0 once a socket is closed.
#[inline(always)]
pub fn read_tuple(tcp: Kernel, record: *mut TcpRecord) {
    // SAFETY: `record` is a map value or on the stack; the verifier checks the stores.
    unsafe {
        let identity = &raw mut (*record).identity;
        if u32::from(tcp.get::<u16>(members::SK_FAMILY)) == AF_INET6 {
            tcp.copy16(members::SK_V6_RCV_SADDR, &raw mut (*identity).local);
            tcp.copy16(members::SK_V6_DADDR, &raw mut (*identity).remote);
        } else {
            map_ipv4(tcp.get(members::SK_RCV_SADDR), &raw mut (*identity).local);
            map_ipv4(tcp.get(members::SK_DADDR), &raw mut (*identity).remote);
        }
        (*identity).local_port = u16::from_be(tcp.get(members::INET_SPORT));
        (*identity).remote_port = u16::from_be(tcp.get(members::SK_DPORT));
        (*identity).netns = tcp.follow(members::SK_NET).get(members::NET_INUM);
    }
}

/// The counters of a TCP socket, apart from the states, which the kernel does not keep.
#[inline(always)]
pub fn read_counters(tcp: Kernel, counters: *mut TcpCounters) {
    // SAFETY: as above.
    unsafe {
        // An acknowledgement may come in between: then what is written, `bytes_acked + (write_seq - snd_una)`, would
        // come out wrong. Two equal readings have no acknowledgement between them.
        for _ in 0..4 {
            let acked: u64 = tcp.get(members::TCP_BYTES_ACKED);
            let una: u32 = tcp.get(members::TCP_SND_UNA);
            (*counters).write_seq = tcp.get(members::TCP_WRITE_SEQ);
            (*counters).bytes_acked = acked;
            (*counters).snd_una = una;
            if tcp.get::<u32>(members::TCP_SND_UNA) == una && tcp.get::<u64>(members::TCP_BYTES_ACKED) == acked {
                break;
            }
        }
        (*counters).copied_seq = tcp.get(members::TCP_COPIED_SEQ);
        (*counters).bytes_received = tcp.get(members::TCP_BYTES_RECEIVED);
        (*counters).rcv_nxt = tcp.get(members::TCP_RCV_NXT);
        (*counters).fin_received = (tcp.get::<u64>(members::SK_FLAGS) >> SOCK_DONE & 1) as u8;
        (*counters).segs_out = tcp.get(members::TCP_SEGS_OUT);
        (*counters).segs_in = tcp.get(members::TCP_SEGS_IN);
        (*counters).total_retrans = tcp.get(members::TCP_TOTAL_RETRANS);
        (*counters).srtt_us = tcp.get(members::TCP_SRTT_US);
        (*counters).mdev_us = tcp.get(members::TCP_MDEV_US);
        (*counters).error = tcp.get(members::SK_ERR);
    }
}

/// The bit of `sk_flags` that says that the peer's FIN was taken in (`enum sock_flags`).
const SOCK_DONE: u64 = 1;
