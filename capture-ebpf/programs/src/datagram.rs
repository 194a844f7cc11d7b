//! `cgroup_skb/ingress`, `cgroup_skb/egress` → UDP flows and their counters. Always lets the packet pass; leaves at
//! once when it is not UDP.
//!
//! A flow is keyed by the socket's own peer where it is connected, for on the way out the packet's addresses may have
//! been translated already; else by the packet's addresses.

use core::mem::MaybeUninit;
use core::ptr::null_mut;

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_skb_load_bytes};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use netflow_capture_abi::{
    FlowCounters, FlowKey, FlowRecord, Head, INCOMING, KIND_FLOW_OPEN, OPEN_SENT, OUTGOING, OVERFLOW, OWNER_CHANGED,
    OWNER_NONE, PREEXISTING, RELEASED, SHARED, UdpSocket, count,
};

use crate::answer::{self, NAME_SERVICE};
use crate::kernel::{AF_INET6, IPPROTO_TCP, IPPROTO_UDP, map_ipv4};
use crate::maps::{FLOWS, UDP_SOCKETS, add, clear_flags, increase, next_id, send, set_flags, stopped};
use crate::tcp::{blank_identity, now, now_coarse};

#[cgroup_skb(ingress)]
pub fn datagram_in(context: SkBuffContext) -> i32 {
    if !is_tcp(context.skb.skb) {
        pass(context.skb.skb, true);
    }
    1
}

#[cgroup_skb(egress)]
pub fn datagram_out(context: SkBuffContext) -> i32 {
    if !is_tcp(context.skb.skb) {
        pass(context.skb.skb, false);
    }
    1
}

const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
const UDP_HEADER: u32 = 8;
const EEXIST: i32 = -17;

/// Addresses and ports of a packet, and how long its headers are.
struct Packet {
    source: [u32; 4],
    destination: [u32; 4],
    source_port: u16,
    destination_port: u16,
    headers: u32,
}

/// Most packets are TCP's: they leave after a few instructions, which fit into a line or two of the processor's cache.
#[inline(always)]
fn is_tcp(skb: *mut __sk_buff) -> bool {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        // Of IPv4, and of IPv6 without options.
        let at = if (*skb).protocol == ETH_P_IP { 9 } else { 6 };
        let byte = (*skb).data as usize + at;
        byte + 1 <= (*skb).data_end as usize && u32::from((byte as *const u8).read_volatile()) == IPPROTO_TCP
    }
}

#[inline(never)]
fn pass(skb: *mut __sk_buff, incoming: bool) -> Option<()> {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let packet = read_packet(skb)?;
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        let socket = bpf_sk_fullsock(socket);
        if socket.is_null() || (*socket).protocol != IPPROTO_UDP || stopped() {
            return None;
        }
        let value = UDP_SOCKETS.get_or_create(socket.cast())?;
        if (*value).flags & RELEASED != 0 && incoming {
            return None;
        }
        if (*value).id == 0 {
            // Not seen being created: older than the recording, or the kernel's own.
            (*value).flags = PREEXISTING;
            (*value).id = next_id();
        }
        let bytes = u64::from((*skb).len.checked_sub(packet.headers)?);
        let datagrams = u64::from((*skb).gso_segs.max(1));
        let key = key_of(socket, value, &packet, incoming);
        let at = now_coarse();
        let flow = match FLOWS.get_ptr_mut(&key) {
            Some(flow) => flow,
            None => {
                let flow = open(socket, value, &key, incoming);
                if flow.is_null() {
                    return None;
                }
                flow
            }
        };
        if (*flow).identity.pid != (*value).pid || ((*value).flags & !(*flow).head.flags) & SHARED != 0 {
            copy_owner(value, flow);
            set_flags(&raw mut (*flow).head.flags, OWNER_CHANGED | (*value).flags & SHARED);
        }
        let counters = &raw mut (*flow).counters;
        if incoming {
            increase(&raw mut (*counters).recv_bytes, bytes);
            increase(&raw mut (*counters).recv_datagrams, datagrams);
        } else {
            increase(&raw mut (*counters).sent_bytes, bytes);
            increase(&raw mut (*counters).sent_datagrams, datagrams);
        }
        (*counters).last_at = at;
        tell_open(flow);
        if incoming && packet.source_port == NAME_SERVICE {
            answer::copy(skb, value, packet.headers, (*skb).len, now());
        }
    }
    Some(())
}

/// Tells the flow's open, unless that is done; when the ring is full, the next datagram tries again.
#[inline(always)]
fn tell_open(flow: *mut FlowRecord) {
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        let flags = &raw mut (*flow).head.flags;
        if flags.read_volatile() & OPEN_SENT == 0
            && set_flags(flags, OPEN_SENT) & OPEN_SENT == 0
            && !send(flow, size_of::<FlowRecord>())
        {
            clear_flags(flags, OPEN_SENT);
        }
    }
}

/// A row for a new flow, or the socket's overflow row when the table is full. Null, because a function of its own has
/// room for no more than a pointer; and a function of its own, so that it is out of the way.
#[inline(never)]
unsafe fn open(socket: *mut bpf_sock, value: *mut UdpSocket, key: *const FlowKey, incoming: bool) -> *mut FlowRecord {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let key = &*key;
        let at = now();
        let mut flow = FlowRecord {
            head: Head { kind: KIND_FLOW_OPEN, flags: (*value).flags & SHARED, id: next_id(), at },
            identity: blank_identity(),
            counters: FlowCounters {
                last_at: now_coarse(),
                sent_bytes: 0,
                recv_bytes: 0,
                sent_datagrams: 0,
                recv_datagrams: 0,
                reserved: 0,
            },
            socket: key.socket,
        };
        flow.identity.local = key.local;
        flow.identity.remote = key.remote;
        flow.identity.local_port = key.local_port;
        flow.identity.remote_port = key.remote_port;
        flow.identity.opened_at = at;
        if (*value).flags & PREEXISTING == 0 {
            flow.identity.direction = if incoming { INCOMING } else { OUTGOING };
        }
        copy_owner(value, &raw mut flow);
        match FLOWS.insert(key, &flow, BPF_NOEXIST.into()) {
            Ok(()) => {
                add(count::UDP_OPENED);
                increase(&raw mut (*value).flows, 1);
                FLOWS.get_ptr_mut(key).unwrap_or(null_mut())
            }
            // Another processor was faster.
            Err(EEXIST) => FLOWS.get_ptr_mut(key).unwrap_or(null_mut()),
            Err(_) => {
                let overflow = &raw mut (*value).overflow;
                if set_flags(&raw mut (*overflow).head.flags, OVERFLOW | flow.head.flags) & OVERFLOW == 0 {
                    add(count::UDP_OPENED);
                    add(count::MAP_FULL);
                    (*overflow).head.kind = KIND_FLOW_OPEN;
                    (*overflow).head.at = at;
                    (*overflow).socket = key.socket;
                    (*overflow).identity.opened_at = at;
                    (*overflow).identity.local_port = key.local_port;
                    if (*socket).family == AF_INET6 {
                        copy_ipv6(&raw const (*socket).src_ip6, &raw mut (*overflow).identity.local);
                    } else {
                        map_ipv4((*socket).src_ip4, &raw mut (*overflow).identity.local);
                        map_ipv4(0, &raw mut (*overflow).identity.remote);
                    }
                    copy_owner(value, overflow);
                    (*overflow).head.id = flow.head.id;
                }
                overflow
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_owner(value: *const UdpSocket, flow: *mut FlowRecord) {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        (*flow).identity.netns = (*value).netns;
        (*flow).identity.owner = if (*value).pid == 0 { OWNER_NONE } else { (*value).owner as u8 };
        (*flow).identity.pid = (*value).pid;
        (*flow).identity.comm = (*value).comm;
    }
}

#[inline(always)]
unsafe fn copy_ipv6(from: *const [u32; 4], to: *mut [u8; 16]) {
    for word in 0..4 {
        // The verifier rewrites each of these loads, so they must stay as they are.
        // SAFETY: the verifier checks the accesses.
        unsafe {
            let value = from.cast::<u32>().add(word).read_volatile();
            to.cast::<u32>().add(word).write_unaligned(value);
        }
    }
}

#[inline(always)]
unsafe fn key_of(socket: *mut bpf_sock, value: *const UdpSocket, packet: &Packet, incoming: bool) -> FlowKey {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let mut key = FlowKey {
            socket: (*value).id,
            local: [0; 16],
            remote: [0; 16],
            local_port: (*socket).src_port as u16,
            remote_port: 0,
            reserved: 0,
        };
        let peer_port = (&raw const (*socket).dst_port).read_volatile();
        if peer_port != 0 {
            key.remote_port = u16::from_be(peer_port);
            if (*socket).family == AF_INET6 {
                copy_ipv6(&raw const (*socket).src_ip6, &raw mut key.local);
                copy_ipv6(&raw const (*socket).dst_ip6, &raw mut key.remote);
            } else {
                map_ipv4((*socket).src_ip4, &raw mut key.local);
                map_ipv4((*socket).dst_ip4, &raw mut key.remote);
            }
        } else if incoming {
            key.local = bytes_of(packet.destination);
            key.remote = bytes_of(packet.source);
            key.remote_port = packet.source_port;
        } else {
            key.local = bytes_of(packet.source);
            key.remote = bytes_of(packet.destination);
            key.remote_port = packet.destination_port;
        }
        key
    }
}

/// Words of a packet, as they lie there. Without a call where the kernel has them in one piece, as it has headers.
#[inline(always)]
unsafe fn load<const WORDS: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u32; WORDS]> {
    // SAFETY: the verifier checks pointers and sizes.
    unsafe {
        let from = (*skb).data as usize + offset as usize;
        if from + 4 * WORDS <= (*skb).data_end as usize {
            return Some(core::array::from_fn(|at| (from as *const u32).add(at).read_volatile()));
        }
        // Zeros would be written byte by byte, on the way that does not need them too.
        let mut words = MaybeUninit::<[u32; WORDS]>::uninit();
        let result = bpf_skb_load_bytes(skb.cast(), offset, words.as_mut_ptr().cast(), 4 * WORDS as u32);
        if result == 0 { Some(words.assume_init()) } else { None }
    }
}

/// The `n`th byte of a word, as it lies in the packet.
#[inline(always)]
fn byte(word: u32, n: usize) -> u8 {
    word.to_ne_bytes()[n]
}

/// Takes the IP header and the ports from a packet that begins at its IP header; `None` when it is not UDP.
#[inline(always)]
unsafe fn read_packet(skb: *mut __sk_buff) -> Option<Packet> {
    let mut packet = Packet { source: [0; 4], destination: [0; 4], source_port: 0, destination_port: 0, headers: 0 };
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let transport = match (*skb).protocol {
            ETH_P_IP => {
                let header: [u32; 5] = load(skb, 0)?;
                if u32::from(byte(header[2], 1)) != IPPROTO_UDP {
                    return None;
                }
                packet.source = mapped(header[3]);
                packet.destination = mapped(header[4]);
                u32::from(byte(header[0], 0) & 15) * 4
            }
            ETH_P_IPV6 => {
                let header: [u32; 10] = load(skb, 0)?;
                let mut next = byte(header[1], 2);
                let mut at = 40;
                // Hop-by-hop, routing and destination options may stand in between, each at most a few times.
                for _ in 0..6 {
                    if u32::from(next) == IPPROTO_UDP {
                        break;
                    }
                    if !matches!(next, 0 | 43 | 60) {
                        return None;
                    }
                    let [option] = load(skb, at)?;
                    next = byte(option, 0);
                    at += (u32::from(byte(option, 1)) + 1) * 8;
                }
                if u32::from(next) != IPPROTO_UDP {
                    return None;
                }
                packet.source = [header[2], header[3], header[4], header[5]];
                packet.destination = [header[6], header[7], header[8], header[9]];
                at
            }
            _ => return None,
        };
        let [ports] = load(skb, transport)?;
        packet.source_port = u16::from_be_bytes([byte(ports, 0), byte(ports, 1)]);
        packet.destination_port = u16::from_be_bytes([byte(ports, 2), byte(ports, 3)]);
        packet.headers = transport + UDP_HEADER;
    }
    Some(packet)
}

/// An IPv4 address as an IPv6 one.
#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_0000, address]
}

#[inline(always)]
fn bytes_of(address: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are sixteen bytes without meaning of their own.
    unsafe { core::mem::transmute(address) }
}
