//! `cgroup_skb/ingress`, `cgroup_skb/egress` → UDP flows and their counters. Always lets the packet pass; leaves at
//! once when it is not UDP.
//!
//! A flow is keyed by the socket's own peer where it is connected, for on the way out the packet's addresses may have
//! been translated already; else by the packet's addresses.

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_skb_load_bytes};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use netflow_capture_abi::{
    FlowCounters, FlowKey, FlowRecord, Head, INCOMING, KIND_FLOW_OPEN, OPEN_SENT, OUTGOING, OVERFLOW, OWNER_CHANGED,
    OWNER_NONE, PREEXISTING, RELEASED, SHARED, UdpSocket, count,
};

use crate::kernel::{AF_INET6, IPPROTO_UDP, map_ipv4};
use crate::maps::{FLOWS, UDP_SOCKETS, add, clear_flags, increase, next_id, send, set_flags, stopped};
use crate::tcp::{blank_identity, now};

#[cgroup_skb(ingress)]
pub fn datagram_in(context: SkBuffContext) -> i32 {
    pass(context.skb.skb, true);
    1
}

#[cgroup_skb(egress)]
pub fn datagram_out(context: SkBuffContext) -> i32 {
    pass(context.skb.skb, false);
    1
}

const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
const UDP_HEADER: u32 = 8;
const EEXIST: i32 = -17;

/// Addresses and ports of a packet, and how long its headers are.
struct Packet {
    source: [u8; 16],
    destination: [u8; 16],
    source_port: u16,
    destination_port: u16,
    headers: u32,
}

#[inline(always)]
fn pass(skb: *mut __sk_buff, incoming: bool) -> Option<()> {
    // SAFETY: the verifier checks the accesses.
    unsafe {
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
        let packet = read_packet(skb)?;
        let bytes = u64::from((*skb).len.checked_sub(packet.headers)?);
        let datagrams = u64::from((*skb).gso_segs.max(1));
        let key = key_of(socket, value, &packet, incoming);
        let at = now();
        let flow = match FLOWS.get_ptr_mut(&key) {
            Some(flow) => flow,
            None => open(socket, value, &key, at, incoming)?,
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

/// A row for a new flow, or the socket's overflow row when the table is full.
#[inline(always)]
unsafe fn open(
    socket: *mut bpf_sock,
    value: *mut UdpSocket,
    key: &FlowKey,
    at: u64,
    incoming: bool,
) -> Option<*mut FlowRecord> {
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let mut flow = FlowRecord {
            head: Head { kind: KIND_FLOW_OPEN, flags: (*value).flags & SHARED, id: next_id(), at },
            identity: blank_identity(),
            counters: FlowCounters {
                last_at: at,
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
                FLOWS.get_ptr_mut(key)
            }
            // Another processor was faster.
            Err(EEXIST) => FLOWS.get_ptr_mut(key),
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
                Some(overflow)
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
            key.local = packet.destination;
            key.remote = packet.source;
            key.remote_port = packet.source_port;
        } else {
            key.local = packet.source;
            key.remote = packet.destination;
            key.remote_port = packet.destination_port;
        }
        key
    }
}

#[inline(always)]
unsafe fn load<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: the verifier checks pointer and size.
    let result = unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    if result == 0 { Some(bytes) } else { None }
}

/// Takes the IP header and the ports from a packet that begins at its IP header; `None` when it is not UDP.
#[inline(always)]
unsafe fn read_packet(skb: *mut __sk_buff) -> Option<Packet> {
    let mut packet = Packet { source: [0; 16], destination: [0; 16], source_port: 0, destination_port: 0, headers: 0 };
    // SAFETY: the verifier checks the accesses.
    unsafe {
        let transport = match (*skb).protocol {
            ETH_P_IP => {
                let header: [u8; 20] = load(skb, 0)?;
                if u32::from(header[9]) != IPPROTO_UDP {
                    return None;
                }
                let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
                map_ipv4(word(12), &raw mut packet.source);
                map_ipv4(word(16), &raw mut packet.destination);
                u32::from(header[0] & 15) * 4
            }
            ETH_P_IPV6 => {
                packet.source = load(skb, 8)?;
                packet.destination = load(skb, 24)?;
                let [mut next] = load::<1>(skb, 6)?;
                let mut at = 40;
                // Hop-by-hop, routing and destination options may stand in between, each at most a few times.
                for _ in 0..6 {
                    if u32::from(next) == IPPROTO_UDP {
                        break;
                    }
                    if !matches!(next, 0 | 43 | 60) {
                        return None;
                    }
                    let [following, length] = load::<2>(skb, at)?;
                    next = following;
                    at += (u32::from(length) + 1) * 8;
                }
                if u32::from(next) != IPPROTO_UDP {
                    return None;
                }
                at
            }
            _ => return None,
        };
        let ports: [u8; 4] = load(skb, transport)?;
        packet.source_port = u16::from_be_bytes([ports[0], ports[1]]);
        packet.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
        packet.headers = transport + UDP_HEADER;
    }
    Some(packet)
}
