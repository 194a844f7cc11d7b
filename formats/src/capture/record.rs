//! The small structures of the file: metadata, directory, index, attribute events.
//!
//! In: core's types. Out: bytes, and back. This is the only module that knows bincode; FORMAT.md specifies the bytes,
//! so that another encoder can take its place. Fields may be appended in later minor versions: readers ignore bytes
//! after the last field they know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use bincode::{Decode, Encode};
use netflow_core::address::Endpoint;
use netflow_core::event::{self, Body, Loss, Transport};

use super::error::{Malformed, WriteError};
use super::{MAX_RAW_BYTES, MAX_STATE_BYTES, MAX_TEXT_BYTES};

const LARGE: usize = MAX_RAW_BYTES as usize;
/// What a directory or an attribute event may claim, apart from the state of a cluster.
const SMALL: usize = 1 << 20;

fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    standard().with_limit::<LIMIT>()
}

/// Appends a record to `out`.
pub(super) fn encode<T: Encode>(what: &'static str, record: &T, out: &mut Vec<u8>) -> Result<usize, WriteError> {
    bincode::encode_into_std_write(record, out, config::<LARGE>())
        .map_err(|error| WriteError::Encode { what, reason: error.to_string() })
}

fn read<T: Decode<()>, const LIMIT: usize>(what: &'static str, bytes: &[u8]) -> Result<(T, usize), Malformed> {
    bincode::decode_from_slice(bytes, config::<LIMIT>())
        .map_err(|error| Malformed::new(what, "a complete record", format!("{} bytes ({error})", bytes.len())))
}

/// Reads a record; also gives the number of bytes that it took.
pub(super) fn decode<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<(T, usize), Malformed> {
    read::<T, LARGE>(what, bytes)
}

/// Reads a record that is never large, so that a false length cannot claim much memory.
pub(super) fn decode_small<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<(T, usize), Malformed> {
    read::<T, SMALL>(what, bytes)
}

#[derive(Encode, Decode)]
struct Metadata {
    tool: String,
    host: String,
    kernel: String,
    boot_id: String,
    boot_time_ns: i64,
    interval_ms: u64,
    ephemeral_port_min: u16,
    ephemeral_port_max: u16,
    command: Vec<String>,
    comment: String,
    began_at: u64,
    part: u32,
}

/// What may follow the metadata.
#[derive(Encode, Decode)]
struct Continuation {
    continues_from: Option<u64>,
    excerpt: bool,
}

/// What may follow that.
#[derive(Encode, Decode)]
struct Origin {
    anonymized: bool,
}

/// Writes the payload of a metadata block.
pub(super) fn encode_header(header: &event::Header, bytes: &mut Vec<u8>) -> Result<(), WriteError> {
    encode("the header", &Metadata::from(header), bytes)?;
    let event::Header { continues_from, excerpt, anonymized, .. } = *header;
    if continues_from.is_some() || excerpt || anonymized {
        encode("the header", &Continuation { continues_from, excerpt }, bytes)?;
    }
    if anonymized {
        encode("the header", &Origin { anonymized }, bytes)?;
    }
    Ok(())
}

/// Reads the payload of a metadata block.
pub(super) fn decode_header(bytes: &[u8]) -> Result<event::Header, Malformed> {
    let (metadata, length) = decode::<Metadata>("metadata", bytes)?;
    let header = event::Header::from(metadata);
    let rest = bytes.get(length..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(header);
    }
    let (Continuation { continues_from, excerpt }, length) = decode("metadata", rest)?;
    let header = event::Header { continues_from, excerpt, ..header };
    let rest = rest.get(length..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(header);
    }
    let Origin { anonymized } = decode("metadata", rest)?.0;
    Ok(event::Header { anonymized, ..header })
}

impl From<&event::Header> for Metadata {
    fn from(header: &event::Header) -> Self {
        Self {
            tool: header.tool.clone(),
            host: header.host.clone(),
            kernel: header.kernel.clone(),
            boot_id: header.boot_id.clone(),
            boot_time_ns: header.boot_time_ns,
            interval_ms: header.interval_ms,
            ephemeral_port_min: header.ephemeral_port_min,
            ephemeral_port_max: header.ephemeral_port_max,
            command: header.command.clone(),
            comment: header.comment.clone(),
            began_at: header.began_at,
            part: header.part,
        }
    }
}

impl From<Metadata> for event::Header {
    fn from(metadata: Metadata) -> Self {
        Self {
            tool: metadata.tool,
            host: metadata.host,
            kernel: metadata.kernel,
            boot_id: metadata.boot_id,
            boot_time_ns: metadata.boot_time_ns,
            interval_ms: metadata.interval_ms,
            ephemeral_port_min: metadata.ephemeral_port_min,
            ephemeral_port_max: metadata.ephemeral_port_max,
            command: metadata.command,
            comment: metadata.comment,
            began_at: metadata.began_at,
            part: metadata.part,
            continues_from: None,
            excerpt: false,
            anonymized: false,
        }
    }
}

/// The start of an events block: how many rows its tables have and where its streams are.
#[derive(Encode, Decode, Default)]
pub(super) struct Directory {
    pub(super) definitions: u32,
    pub(super) profiles: u32,
    pub(super) addresses: u32,
    pub(super) ipv6_addresses: u32,
    pub(super) names: u32,
    pub(super) streams: Vec<Stream>,
}

#[derive(Encode, Decode, Clone, Copy)]
pub(super) struct Stream {
    /// Its id, less that of the stream before.
    pub(super) step: u16,
    pub(super) codec: u8,
    pub(super) stored_bytes: u32,
}

#[derive(Encode, Decode, Clone, Copy, Default)]
pub(super) struct LossRecord {
    ring_full: u64,
    map_full: u64,
    storage_failed: u64,
    queue_full: u64,
    snapshot_cut: u64,
    dns_dropped: u64,
    nat_dropped: u64,
    lost_opens: u64,
    lost_closes: u64,
}

impl From<Loss> for LossRecord {
    fn from(loss: Loss) -> Self {
        Self {
            ring_full: loss.ring_full,
            map_full: loss.map_full,
            storage_failed: loss.storage_failed,
            queue_full: loss.queue_full,
            snapshot_cut: loss.snapshot_cut,
            dns_dropped: loss.dns_dropped,
            nat_dropped: loss.nat_dropped,
            lost_opens: loss.lost_opens,
            lost_closes: loss.lost_closes,
        }
    }
}

impl From<LossRecord> for Loss {
    fn from(record: LossRecord) -> Self {
        Self {
            ring_full: record.ring_full,
            map_full: record.map_full,
            storage_failed: record.storage_failed,
            queue_full: record.queue_full,
            snapshot_cut: record.snapshot_cut,
            dns_dropped: record.dns_dropped,
            nat_dropped: record.nat_dropped,
            lost_opens: record.lost_opens,
            lost_closes: record.lost_closes,
        }
    }
}

#[derive(Encode, Decode)]
enum Address {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(ip.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(octets) => Self::V4(Ipv4Addr::from(octets)),
            Address::V6(octets) => Self::V6(Ipv6Addr::from(octets)),
        }
    }
}

#[derive(Encode, Decode)]
struct End {
    address: Address,
    port: u16,
}

impl From<Endpoint> for End {
    fn from(endpoint: Endpoint) -> Self {
        Self { address: endpoint.ip().into(), port: endpoint.port() }
    }
}

impl From<End> for Endpoint {
    fn from(end: End) -> Self {
        Self::new(end.address.into(), end.port)
    }
}

#[derive(Encode, Decode)]
struct Process {
    pid: u32,
    process: String,
    exe: Option<String>,
    cgroup: Option<String>,
    container_id: Option<String>,
    exited: bool,
    started_at: Option<u64>,
}

#[derive(Encode, Decode)]
struct Dns {
    name: String,
    addr: Address,
    ttl_s: u32,
    netns: Option<u32>,
    pid: Option<u32>,
}

#[derive(Encode, Decode)]
struct Nat {
    udp: bool,
    local: End,
    remote: End,
    dst: End,
    netns: Option<u32>,
    end: bool,
}

#[derive(Encode, Decode)]
struct Listen {
    udp: bool,
    local: End,
    netns: Option<u32>,
    pid: Option<u32>,
    process: Option<String>,
    end: bool,
}

#[derive(Encode, Decode)]
struct K8s {
    state: String,
}

#[derive(Encode, Decode)]
struct Clock {
    boot_time_ns: i64,
}

pub(super) const PROCESS: u8 = 4;
pub(super) const DNS: u8 = 5;
pub(super) const NAT: u8 = 6;
pub(super) const LISTEN: u8 = 7;
pub(super) const K8S: u8 = 8;
pub(super) const CLOCK: u8 = 9;
pub(super) const LOSS: u8 = 10;

fn text(what: &'static str, limit: usize, text: &Arc<str>) -> Result<String, WriteError> {
    if text.len() > limit {
        return Err(WriteError::TooLong { what, limit, found: text.len() });
    }
    Ok(text.to_string())
}

fn optional(what: &'static str, value: Option<&Arc<str>>) -> Result<Option<String>, WriteError> {
    value.map(|value| text(what, MAX_TEXT_BYTES, value)).transpose()
}

fn is_udp(transport: Transport) -> bool {
    transport == Transport::Udp
}

fn transport(udp: bool) -> Transport {
    if udp { Transport::Udp } else { Transport::Tcp }
}

/// Appends an attribute event to `out` and gives its kind; `None` for the kinds that have columns of their own.
pub(super) fn encode_attribute(body: &Body, out: &mut Vec<u8>) -> Result<Option<u8>, WriteError> {
    let kind = match body {
        Body::Open(_) | Body::Sample(_) | Body::Close(_) | Body::Tick(_) => return Ok(None),
        Body::Process(process) => {
            let record = Process {
                pid: process.pid,
                process: text("process", MAX_TEXT_BYTES, &process.process)?,
                exe: optional("exe", process.exe.as_ref())?,
                cgroup: optional("cgroup", process.cgroup.as_ref())?,
                container_id: optional("container_id", process.container_id.as_ref())?,
                exited: process.exited,
                started_at: process.started_at,
            };
            encode("a process event", &record, out)?;
            PROCESS
        }
        Body::Dns(dns) => {
            let record = Dns {
                name: text("name", MAX_TEXT_BYTES, &dns.name)?,
                addr: dns.addr.into(),
                ttl_s: dns.ttl_s,
                netns: dns.netns,
                pid: dns.pid,
            };
            encode("a dns event", &record, out)?;
            DNS
        }
        Body::Nat(nat) => {
            let record = Nat {
                udp: is_udp(nat.transport),
                local: nat.local.into(),
                remote: nat.remote.into(),
                dst: nat.dst.into(),
                netns: nat.netns,
                end: nat.end,
            };
            encode("a nat event", &record, out)?;
            NAT
        }
        Body::Listen(listen) => {
            let record = Listen {
                udp: is_udp(listen.transport),
                local: listen.local.into(),
                netns: listen.netns,
                pid: listen.pid,
                process: optional("process", listen.process.as_ref())?,
                end: listen.end,
            };
            encode("a listen event", &record, out)?;
            LISTEN
        }
        Body::K8s(k8s) => {
            encode("a k8s event", &K8s { state: text("state", MAX_STATE_BYTES, &k8s.state)? }, out)?;
            K8S
        }
        Body::Clock(clock) => {
            encode("a clock event", &Clock { boot_time_ns: clock.boot_time_ns }, out)?;
            CLOCK
        }
        Body::Loss(loss) => {
            encode("a loss event", &LossRecord::from(*loss), out)?;
            LOSS
        }
    };
    Ok(Some(kind))
}

/// Reads an attribute event; `None` for a kind that a later version added.
pub(super) fn decode_attribute(kind: u8, bytes: &[u8]) -> Result<Option<Body>, Malformed> {
    let shared = |text: String| Arc::<str>::from(text);
    Ok(Some(match kind {
        PROCESS => {
            let record: Process = decode_small("process event", bytes)?.0;
            Body::Process(event::Process {
                pid: record.pid,
                process: record.process.into(),
                exe: record.exe.map(shared),
                cgroup: record.cgroup.map(shared),
                container_id: record.container_id.map(shared),
                exited: record.exited,
                started_at: record.started_at,
            })
        }
        DNS => {
            let record: Dns = decode_small("dns event", bytes)?.0;
            Body::Dns(event::Dns {
                name: record.name.into(),
                addr: record.addr.into(),
                ttl_s: record.ttl_s,
                netns: record.netns,
                pid: record.pid,
            })
        }
        NAT => {
            let record: Nat = decode_small("nat event", bytes)?.0;
            Body::Nat(event::Nat {
                transport: transport(record.udp),
                local: record.local.into(),
                remote: record.remote.into(),
                dst: record.dst.into(),
                netns: record.netns,
                end: record.end,
            })
        }
        LISTEN => {
            let record: Listen = decode_small("listen event", bytes)?.0;
            Body::Listen(event::Listen {
                transport: transport(record.udp),
                local: record.local.into(),
                netns: record.netns,
                pid: record.pid,
                process: record.process.map(shared),
                end: record.end,
            })
        }
        K8S => Body::K8s(event::K8s { state: decode::<K8s>("k8s event", bytes)?.0.state.into() }),
        CLOCK => {
            Body::Clock(event::Clock { boot_time_ns: decode_small::<Clock>("clock event", bytes)?.0.boot_time_ns })
        }
        LOSS => Body::Loss(decode_small::<LossRecord>("loss event", bytes)?.0.into()),
        _ => return Ok(None),
    }))
}
