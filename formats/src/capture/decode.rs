//! The columns of a block back into events.
//!
//! In: the payload of an events block whose checksum fits. Out: its events one by one, after everything was checked, so
//! that a block gives all of its events or none. Never here: what is known across blocks, except which connections must
//! be introduced again after a gap (the reader says so).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::vec::IntoIter;

use netflow_core::address::Endpoint;
use netflow_core::event::{
    Body, Close, Direction, Event, Identity, Open, Reason, Sample, TcpStates, Tick, Totals, Transport,
};
use rustc_hash::FxHashSet;

use super::MAX_TEXT_BYTES;
use super::block::BlockHeader;
use super::column::{Column, ColumnReader, Unpacker};
use super::dictionary::Codes;
use super::encode::{
    CLOSE, COUNTERS, FLAG_INCOMING, FLAG_NAME, FLAG_NETNS, FLAG_OPENED_AT, FLAG_OUTGOING, FLAG_PID, FLAG_PREEXISTING,
    FLAG_UDP, GAUGES, OPEN, SAMPLE, TICK, unzigzag,
};
use super::error::Malformed;
use super::record::{LOSS, decode_attribute};

/// What is known of a connection, as the block states it.
struct Definition {
    conn: u64,
    identity: Arc<Identity>,
    previous: [u64; 5],
}

/// The events of one block.
pub(super) struct BlockEvents {
    kinds: IntoIter<u8>,
    ats: IntoIter<u64>,
    rows: IntoIter<u32>,
    carried: IntoIter<u8>,
    definitions: Vec<Definition>,
    counters: [IntoIter<u64>; 5],
    rtts: IntoIter<u32>,
    rtt_vars: IntoIter<u32>,
    unacked: IntoIter<u64>,
    unread: IntoIter<u64>,
    tcp_states: IntoIter<TcpStates>,
    reasons: IntoIter<Option<Reason>>,
    incomplete: IntoIter<u8>,
    others: IntoIter<Option<Body>>,
    at: u64,
    /// Events of kinds that a later version added.
    pub(super) skipped: u64,
}

fn narrow(what: &'static str, values: Vec<u64>) -> Result<Vec<u32>, Malformed> {
    values
        .into_iter()
        .map(|value| u32::try_from(value).map_err(|_| Malformed::new(what, format!("at most {}", u32::MAX), value)))
        .collect()
}

/// Checks a block and makes it ready to give its events.
pub(super) fn decode_block(
    header: &BlockHeader,
    payload: &[u8],
    unpacker: &mut Unpacker,
) -> Result<BlockEvents, Malformed> {
    let columns = ColumnReader::new(payload, header.raw_bytes)?;
    let events = header.events as usize;
    let kinds = columns.bytes(Column::Kind, events, unpacker)?;
    let count = |wanted: u8| kinds.iter().filter(|kind| **kind == wanted).count();
    let (opens, samples, closes, ticks) = (count(OPEN), count(SAMPLE), count(CLOSE), count(TICK));
    let totals = samples + closes;

    let ats = columns.integers(Column::At, events, unpacker)?;
    let end = ats.iter().try_fold(header.first_at, |at, step| at.checked_add(*step));
    if end != Some(header.last_at) || ats.first().is_some_and(|first| *first != 0) {
        let found = end.map_or_else(|| "a time beyond the range".to_owned(), |end| end.to_string());
        return Err(Malformed::new("time of the last event", header.last_at, found));
    }

    let definitions = definitions(&columns, header.first_at, opens + totals, unpacker)?;
    let references = columns.integers(Column::Reference, totals, unpacker)?;
    let rows = resolve(&kinds, &references, &definitions)?;
    let carried = columns.bytes(Column::Carried, totals, unpacker)?;

    let mut counters: [Vec<u64>; 5] = Default::default();
    for (values, column) in counters.iter_mut().zip(COUNTERS) {
        *values = columns.integers(column, totals, unpacker)?;
    }
    let [rtt, rtt_var, unacked, unread] = GAUGES;
    let rtts = narrow("rtt_us", columns.integers(rtt, totals, unpacker)?)?;
    let rtt_vars = narrow("rtt_var_us", columns.integers(rtt_var, totals, unpacker)?)?;
    let unacked = columns.integers(unacked, totals, unpacker)?;
    let unread = columns.integers(unread, totals, unpacker)?;

    let tcp_states = columns
        .integers(Column::TcpStates, closes, unpacker)?
        .into_iter()
        .map(|bits| {
            let states = u16::try_from(bits).ok().and_then(TcpStates::from_bits);
            states.ok_or_else(|| Malformed::new("tcp_states", "bits 1 to 12", format!("{bits:#x}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let reasons = columns
        .bytes(Column::Reason, closes, unpacker)?
        .into_iter()
        .map(|code| match usize::from(code).checked_sub(1) {
            None => Ok(None),
            Some(place) => match Reason::ALL.get(place) {
                Some(reason) => Ok(Some(*reason)),
                None => Err(Malformed::new("reason", format!("0 to {}", Reason::ALL.len()), code)),
            },
        })
        .collect::<Result<Vec<_>, _>>()?;
    let incomplete = columns.bytes(Column::Incomplete, ticks, unpacker)?;
    let (others, skipped) = others(&columns, &kinds, unpacker)?;

    Ok(BlockEvents {
        kinds: kinds.into_iter(),
        ats: ats.into_iter(),
        rows: rows.into_iter(),
        carried: carried.into_iter(),
        definitions,
        counters: counters.map(Vec::into_iter),
        rtts: rtts.into_iter(),
        rtt_vars: rtt_vars.into_iter(),
        unacked: unacked.into_iter(),
        unread: unread.into_iter(),
        tcp_states: tcp_states.into_iter(),
        reasons: reasons.into_iter(),
        incomplete: incomplete.into_iter(),
        others: others.into_iter(),
        at: header.first_at,
        skipped,
    })
}

/// The part of an identity that many connections share.
struct Profile {
    flags: u8,
    transport: Transport,
    direction: Option<Direction>,
    local: IpAddr,
    service_port: u16,
    pid: Option<u32>,
    process: Option<Arc<str>>,
    netns: Option<u32>,
}

/// Reads profiles in the order in which definitions first use them.
struct Profiles {
    flags: IntoIter<u8>,
    locals: IntoIter<u64>,
    service_ports: IntoIter<u64>,
    pids: IntoIter<u32>,
    names: IntoIter<u64>,
    netns: IntoIter<u32>,
    name_rows: Codes,
    texts: Vec<Arc<str>>,
}

fn port(value: Option<u64>) -> Result<u16, Malformed> {
    let value = value.unwrap_or_default();
    u16::try_from(value).map_err(|_| Malformed::new("port", "at most 65535", value))
}

impl Profiles {
    fn new(columns: &ColumnReader<'_>, limit: usize, unpacker: &mut Unpacker) -> Result<Self, Malformed> {
        let rows = columns.rows.profiles as usize;
        if rows > limit {
            return Err(Malformed::new("profiles", format!("at most {limit}"), rows));
        }
        Ok(Self {
            texts: names(columns, rows, unpacker)?,
            flags: columns.bytes(Column::Flags, rows, unpacker)?.into_iter(),
            locals: columns.integers(Column::Local, rows, unpacker)?.into_iter(),
            service_ports: columns.integers(Column::ServicePort, rows, unpacker)?.into_iter(),
            pids: narrow("pid", columns.integers(Column::Pid, rows, unpacker)?)?.into_iter(),
            names: columns.integers(Column::Name, rows, unpacker)?.into_iter(),
            netns: narrow("netns", columns.integers(Column::Netns, rows, unpacker)?)?.into_iter(),
            name_rows: Codes::new("name", columns.rows.names),
        })
    }

    fn read(&mut self, addresses: &mut Addresses) -> Result<Profile, Malformed> {
        let flags = self.flags.next().unwrap_or_default();
        let name = self.names.next().unwrap_or_default();
        let pid = self.pids.next();
        let netns = self.netns.next();
        Ok(Profile {
            flags,
            transport: if flags & FLAG_UDP == 0 { Transport::Tcp } else { Transport::Udp },
            direction: match (flags & FLAG_INCOMING != 0, flags & FLAG_OUTGOING != 0) {
                (false, false) => None,
                (true, false) => Some(Direction::Incoming),
                (false, true) => Some(Direction::Outgoing),
                (true, true) => return Err(Malformed::new("direction", "at most one of two bits", "both")),
            },
            local: addresses.get(self.locals.next())?,
            service_port: port(self.service_ports.next())?,
            pid: pid.filter(|_| flags & FLAG_PID != 0),
            process: if flags & FLAG_NAME == 0 {
                None
            } else {
                self.texts.get(self.name_rows.row(name)? as usize).cloned()
            },
            netns: netns.filter(|_| flags & FLAG_NETNS != 0),
        })
    }
}

struct Addresses {
    rows: Vec<IpAddr>,
    codes: Codes,
}

impl Addresses {
    fn get(&mut self, code: Option<u64>) -> Result<IpAddr, Malformed> {
        let row = self.codes.row(code.unwrap_or_default())?;
        Ok(self.rows.get(row as usize).copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

/// The table of definitions; at most one for each event that speaks of a connection.
fn definitions(
    columns: &ColumnReader<'_>,
    first_at: u64,
    limit: usize,
    unpacker: &mut Unpacker,
) -> Result<Vec<Definition>, Malformed> {
    let rows = columns.rows.definitions as usize;
    if rows > limit {
        return Err(Malformed::new("definitions", format!("at most {limit}"), rows));
    }
    let rows_of_addresses = addresses(columns, rows * 2, unpacker)?;
    let mut addresses = Addresses { rows: rows_of_addresses, codes: Codes::new("address", columns.rows.addresses) };
    let mut unread = Profiles::new(columns, rows, unpacker)?;
    let mut profile_rows = Codes::new("profile", columns.rows.profiles);
    let mut profiles: Vec<Profile> = Vec::with_capacity(columns.rows.profiles as usize);
    let conns = columns.integers(Column::Conn, rows, unpacker)?;
    let mut codes = columns.integers(Column::Profile, rows, unpacker)?.into_iter();
    let mut remotes = columns.integers(Column::Remote, rows, unpacker)?.into_iter();
    let mut ports = columns.integers(Column::Port, rows, unpacker)?.into_iter();
    let mut opened = columns.integers(Column::OpenedAt, rows, unpacker)?.into_iter();

    let mut conn = 0_u64;
    let mut definitions = Vec::with_capacity(rows);
    for step in conns {
        conn = conn.wrapping_add(unzigzag(step));
        let row = profile_rows.row(codes.next().unwrap_or_default())? as usize;
        if row == profiles.len() {
            profiles.push(unread.read(&mut addresses)?);
        }
        let Some(profile) = profiles.get(row) else {
            return Err(Malformed::new("profile", format!("a row below {}", profiles.len()), row));
        };
        let remote = addresses.get(remotes.next())?;
        let other_port = port(ports.next())?;
        let since = opened.next().unwrap_or_default();
        let (local_port, remote_port) = match profile.direction {
            Some(Direction::Incoming) => (profile.service_port, other_port),
            _ => (other_port, profile.service_port),
        };
        let identity = Identity {
            transport: profile.transport,
            local: Endpoint::new(profile.local, local_port),
            remote: Endpoint::new(remote, remote_port),
            direction: profile.direction,
            pid: profile.pid,
            process: profile.process.clone(),
            netns: profile.netns,
            preexisting: profile.flags & FLAG_PREEXISTING != 0,
            opened_at: (profile.flags & FLAG_OPENED_AT != 0).then(|| first_at.wrapping_add(unzigzag(since))),
        };
        definitions.push(Definition { conn, identity: Arc::new(identity), previous: [0; 5] });
    }
    addresses.codes.finish()?;
    profile_rows.finish()?;
    unread.name_rows.finish()?;
    Ok(definitions)
}

fn addresses(columns: &ColumnReader<'_>, limit: usize, unpacker: &mut Unpacker) -> Result<Vec<IpAddr>, Malformed> {
    let rows = columns.rows.addresses as usize;
    let ipv6 = columns.rows.ipv6_addresses as usize;
    if rows > limit || ipv6 > rows {
        return Err(Malformed::new("addresses", format!("at most {limit}, {ipv6} of them IPv6"), rows));
    }
    let families = columns.bytes(Column::Family, rows, unpacker)?;
    let stated = families.iter().filter(|family| **family == 1).count();
    if stated != ipv6 || families.iter().any(|family| *family > 1) {
        return Err(Malformed::new("families of addresses", format!("{ipv6} times 1, otherwise 0"), stated));
    }
    let mut ipv4 = narrow("IPv4 address", columns.integers(Column::Ipv4, rows - ipv6, unpacker)?)?.into_iter();
    let mut high = columns.integers(Column::Ipv6High, ipv6, unpacker)?.into_iter();
    let mut low = columns.integers(Column::Ipv6Low, ipv6, unpacker)?.into_iter();
    let half = |values: &mut IntoIter<u64>| u128::from(values.next().unwrap_or_default());
    Ok(families
        .into_iter()
        .map(|family| match family {
            0 => IpAddr::V4(Ipv4Addr::from_bits(ipv4.next().unwrap_or_default())),
            _ => IpAddr::V6(Ipv6Addr::from_bits(half(&mut high) << 64 | half(&mut low))),
        })
        .collect())
}

fn names(columns: &ColumnReader<'_>, limit: usize, unpacker: &mut Unpacker) -> Result<Vec<Arc<str>>, Malformed> {
    let rows = columns.rows.names as usize;
    if rows > limit {
        return Err(Malformed::new("names", format!("at most {limit}"), rows));
    }
    let lengths = columns.integers(Column::NameLength, rows, unpacker)?;
    let sum = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    let bytes = columns.blob(Column::NameBytes, sum, unpacker)?;
    let mut rest = bytes.as_slice();
    lengths
        .into_iter()
        .map(|length| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let found = rest.split_at_checked(length).filter(|_| length <= MAX_TEXT_BYTES);
            let Some((name, after)) = found else {
                return Err(Malformed::new("length of a name", format!("at most {MAX_TEXT_BYTES}"), length));
            };
            rest = after;
            let name = std::str::from_utf8(name);
            name.map(Arc::from).map_err(|error| Malformed::new("name", "UTF-8", error))
        })
        .collect()
}

/// The definition of each open, sample and close, in order.
fn resolve(kinds: &[u8], references: &[u64], definitions: &[Definition]) -> Result<Vec<u32>, Malformed> {
    let mut next = 0_u32;
    let mut references = references.iter();
    let mut rows = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let back = match *kind {
            OPEN => 0,
            SAMPLE | CLOSE => references.next().copied().unwrap_or_default(),
            _ => continue,
        };
        if back == 0 {
            rows.push(next);
            next += 1;
        } else {
            match u32::try_from(back).ok().and_then(|back| next.checked_sub(back)) {
                Some(row) => rows.push(row),
                None => return Err(Malformed::new("reference to a definition", format!("at most {next} back"), back)),
            }
        }
    }
    if next as usize == definitions.len() {
        Ok(rows)
    } else {
        Err(Malformed::new("definitions", format!("{} used", definitions.len()), next))
    }
}

/// The events that have no columns of their own.
fn others(
    columns: &ColumnReader<'_>,
    kinds: &[u8],
    unpacker: &mut Unpacker,
) -> Result<(Vec<Option<Body>>, u64), Malformed> {
    let kinds: Vec<u8> = kinds.iter().copied().filter(|kind| *kind > TICK).collect();
    let lengths = columns.integers(Column::RecordLength, kinds.len(), unpacker)?;
    let sum = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    let bytes = columns.blob(Column::RecordBytes, sum, unpacker)?;
    let mut rest = bytes.as_slice();
    let mut bodies = Vec::with_capacity(kinds.len());
    for (kind, length) in kinds.into_iter().zip(lengths) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((record, after)) = rest.split_at_checked(length) else {
            return Err(Malformed::new("length of a record", format!("at most {}", rest.len()), length));
        };
        rest = after;
        bodies.push(if kind > LOSS { None } else { decode_attribute(kind, record)? });
    }
    let skipped = bodies.iter().filter(|body| body.is_none()).count() as u64;
    Ok((bodies, skipped))
}

impl BlockEvents {
    /// The next event. After a gap, `introduced` holds the connections that were introduced since: the others get what
    /// is known of them with their first event.
    pub(super) fn next(&mut self, introduced: Option<&mut FxHashSet<u64>>) -> Option<Event> {
        loop {
            let kind = self.kinds.next()?;
            self.at = self.at.saturating_add(self.ats.next()?);
            let body = match kind {
                OPEN => {
                    let row = self.rows.next()?;
                    let definition = self.definitions.get(row as usize)?;
                    if let Some(introduced) = introduced {
                        introduced.insert(definition.conn);
                    }
                    Body::Open(Open { conn: definition.conn, identity: Arc::clone(&definition.identity) })
                }
                SAMPLE | CLOSE => self.totals(kind == CLOSE, introduced)?,
                TICK => Body::Tick(Tick { complete: self.incomplete.next()? == 0 }),
                _ => match self.others.next()? {
                    Some(body) => body,
                    None => continue,
                },
            };
            return Some(Event { at: self.at, body });
        }
    }

    fn totals(&mut self, is_close: bool, introduced: Option<&mut FxHashSet<u64>>) -> Option<Body> {
        let row = self.rows.next()?;
        let definition = self.definitions.get_mut(row as usize)?;
        for (total, step) in definition.previous.iter_mut().zip(&mut self.counters) {
            *total = total.wrapping_add(step.next()?);
        }
        let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits] = definition.previous;
        let totals = Totals {
            sent_bytes,
            recv_bytes,
            sent_packets,
            recv_packets,
            retransmits,
            rtt_us: self.rtts.next()?,
            rtt_var_us: self.rtt_vars.next()?,
            unacked_bytes: self.unacked.next()?,
            unread_bytes: self.unread.next()?,
        };
        let conn = definition.conn;
        let mut carried = self.carried.next()? != 0;
        if let Some(introduced) = introduced {
            carried |= introduced.insert(conn);
            if is_close {
                introduced.remove(&conn);
            }
        }
        let identity = carried.then(|| Arc::clone(&definition.identity));
        Some(if is_close {
            let (tcp_states, reason) = (self.tcp_states.next()?, self.reasons.next()?);
            Body::Close(Close { conn, totals, identity, tcp_states, reason })
        } else {
            Body::Sample(Sample { conn, totals, identity })
        })
    }
}
