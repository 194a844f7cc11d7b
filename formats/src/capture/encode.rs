//! Events into the columns of a block.
//!
//! In: events in order, with what is known of their connections. Out: the payload of an events block. Never here:
//! block headers, outputs, what is known across blocks (the writer's part).

use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::event::{Body, Direction, Event, Identity, Reason, Totals, Transport};

use super::MAX_TEXT_BYTES;
use super::column::{Column, ColumnWriter, TableRows, length};
use super::dictionary::Dictionary;
use super::error::WriteError;
use super::record::encode_attribute;

pub(super) const OPEN: u8 = 0;
pub(super) const SAMPLE: u8 = 1;
pub(super) const CLOSE: u8 = 2;
pub(super) const TICK: u8 = 3;

pub(super) const FLAG_UDP: u16 = 1;
pub(super) const FLAG_INCOMING: u16 = 2;
pub(super) const FLAG_OUTGOING: u16 = 4;
pub(super) const FLAG_PREEXISTING: u16 = 8;
pub(super) const FLAG_PID: u16 = 16;
pub(super) const FLAG_NAME: u16 = 32;
pub(super) const FLAG_NETNS: u16 = 64;
pub(super) const FLAG_OPENED_AT: u16 = 128;
pub(super) const FLAG_SHARED: u16 = 256;

/// Bytes that one event takes in the builder's columns, roughly: what sealing by size counts with.
const ROW_BYTES: usize = 64;

/// A number near zero, of either sign, as a small number.
pub(super) fn zigzag(value: u64) -> u64 {
    let sign = if value >> 63 == 1 { u64::MAX } else { 0 };
    (value << 1) ^ sign
}

pub(super) fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Every field of [`Totals`] with its column; counters are stored as differences.
pub(super) const COUNTERS: [Column; 5] =
    [Column::SentBytes, Column::RecvBytes, Column::SentPackets, Column::RecvPackets, Column::Retransmits];
pub(super) const GAUGES: [Column; 4] = [Column::Rtt, Column::RttVar, Column::Unacked, Column::Unread];

pub(super) fn counters(totals: &Totals) -> [u64; 5] {
    [totals.sent_bytes, totals.recv_bytes, totals.sent_packets, totals.recv_packets, totals.retransmits]
}

fn gauges(totals: &Totals) -> [u64; 4] {
    [totals.rtt_us.into(), totals.rtt_var_us.into(), totals.unacked_bytes, totals.unread_bytes]
}

/// The part of an identity that many connections share: whose they are, and the end that stays the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Profile {
    flags: u16,
    local: IpAddr,
    service_port: u16,
    pid: u32,
    name: Option<Arc<str>>,
    netns: u32,
}

/// The events of one block, column by column.
pub(super) struct BlockBuilder {
    kinds: Vec<u8>,
    ats: Vec<u64>,
    references: Vec<u64>,
    carried: Vec<u8>,
    conns: Vec<u64>,
    definitions: [Vec<u64>; 4],
    profiles: Dictionary<Profile>,
    profile_columns: [Vec<u64>; 6],
    addresses: Dictionary<IpAddr>,
    names: Dictionary<Arc<str>>,
    counters: [Vec<u64>; 5],
    gauges: [Vec<u64>; 4],
    tcp_states: Vec<u64>,
    reasons: Vec<u8>,
    incomplete: Vec<u8>,
    record_lengths: Vec<u64>,
    records: Vec<u8>,
    /// The counters that each definition's next event is compared with.
    previous: Vec<[u64; 5]>,
    first_at: u64,
    last_at: u64,
    last_conn: u64,
    text_bytes: usize,
}

const DEFINITION_COLUMNS: [Column; 4] = [Column::Profile, Column::Remote, Column::Port, Column::OpenedAt];
const PROFILE_COLUMNS: [Column; 6] =
    [Column::Flags, Column::Local, Column::ServicePort, Column::Pid, Column::Name, Column::Netns];

impl BlockBuilder {
    pub(super) fn new() -> Self {
        Self {
            kinds: Vec::new(),
            ats: Vec::new(),
            references: Vec::new(),
            carried: Vec::new(),
            conns: Vec::new(),
            definitions: Default::default(),
            profiles: Dictionary::default(),
            profile_columns: Default::default(),
            addresses: Dictionary::default(),
            names: Dictionary::default(),
            counters: Default::default(),
            gauges: Default::default(),
            tcp_states: Vec::new(),
            reasons: Vec::new(),
            incomplete: Vec::new(),
            record_lengths: Vec::new(),
            records: Vec::new(),
            previous: Vec::new(),
            first_at: 0,
            last_at: 0,
            last_conn: 0,
            text_bytes: 0,
        }
    }

    pub(super) fn events(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn first_at(&self) -> u64 {
        self.first_at
    }

    /// Bytes gathered so far, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.kinds.len() * ROW_BYTES + self.records.len() + self.text_bytes
    }

    fn stamp(&mut self, at: u64, kind: u8) {
        if self.kinds.is_empty() {
            self.first_at = at;
            self.last_at = at;
        }
        self.kinds.push(kind);
        self.ats.push(at.wrapping_sub(self.last_at));
        self.last_at = at;
    }

    /// Adds an event that speaks of no connection. On an error nothing was added.
    pub(super) fn push_other(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Body::Tick(tick) = &event.body {
            self.stamp(event.at, TICK);
            self.incomplete.push(u8::from(!tick.complete));
            return Ok(());
        }
        let before = self.records.len();
        match encode_attribute(&event.body, &mut self.records) {
            Ok(Some(kind)) => {
                self.stamp(event.at, kind);
                self.record_lengths.push((self.records.len() - before) as u64);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.records.truncate(before);
                Err(error)
            }
        }
    }

    /// Adds an open, sample or close. `row` is the definition it refers to; without one a new definition is made of
    /// `identity`. Gives the definition's row. On an error nothing was added.
    pub(super) fn push_conn(
        &mut self,
        event: &Event,
        row: Option<u32>,
        identity: &Identity,
    ) -> Result<u32, WriteError> {
        let (kind, conn, totals, carried) = match &event.body {
            Body::Open(open) => (OPEN, open.conn, None, false),
            Body::Sample(sample) => (SAMPLE, sample.conn, Some(&sample.totals), sample.identity.is_some()),
            Body::Close(close) => (CLOSE, close.conn, Some(&close.totals), close.identity.is_some()),
            _ => return Ok(0),
        };
        let next = u32::try_from(self.conns.len()).unwrap_or(u32::MAX);
        // The definition first: it can fail, and the time of the block's first event must be known for it.
        if self.kinds.is_empty() {
            self.first_at = event.at;
        }
        if row.is_none() {
            self.define(conn, identity)?;
        }
        self.stamp(event.at, kind);
        let row = row.unwrap_or(next);
        if kind != OPEN {
            self.references.push(u64::from(next - row));
            self.carried.push(u8::from(carried));
        }
        if let Some(totals) = totals {
            let now = counters(totals);
            let before = self.previous.get_mut(row as usize);
            let before = before.map_or([0; 5], |before| std::mem::replace(before, now));
            for ((column, now), before) in self.counters.iter_mut().zip(now).zip(before) {
                column.push(now.wrapping_sub(before));
            }
            for (column, now) in self.gauges.iter_mut().zip(gauges(totals)) {
                column.push(now);
            }
        }
        if let Body::Close(close) = &event.body {
            self.tcp_states.push(close.tcp_states.bits().into());
            let reason = close.reason.and_then(|reason| Reason::ALL.iter().position(|known| *known == reason));
            self.reasons.push(reason.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0));
        }
        Ok(row)
    }

    fn define(&mut self, conn: u64, identity: &Identity) -> Result<(), WriteError> {
        if let Some(name) = &identity.process
            && name.len() > MAX_TEXT_BYTES
        {
            return Err(WriteError::TooLong { what: "process", limit: MAX_TEXT_BYTES, found: name.len() });
        }
        let mut flags = 0;
        let mut flag = |set: bool, bit: u16| flags |= if set { bit } else { 0 };
        flag(identity.transport == Transport::Udp, FLAG_UDP);
        flag(identity.direction == Some(Direction::Incoming), FLAG_INCOMING);
        flag(identity.direction == Some(Direction::Outgoing), FLAG_OUTGOING);
        flag(identity.preexisting, FLAG_PREEXISTING);
        flag(identity.pid.is_some(), FLAG_PID);
        flag(identity.process.is_some(), FLAG_NAME);
        flag(identity.netns.is_some(), FLAG_NETNS);
        flag(identity.opened_at.is_some(), FLAG_OPENED_AT);
        flag(identity.shared, FLAG_SHARED);
        let (local, remote) = (identity.local, identity.remote);
        let is_server = identity.direction == Some(Direction::Incoming);
        let (service_port, port) =
            if is_server { (local.port(), remote.port()) } else { (remote.port(), local.port()) };
        let profile = Profile {
            flags,
            local: local.ip(),
            service_port,
            pid: identity.pid.unwrap_or(0),
            name: identity.process.clone(),
            netns: identity.netns.unwrap_or(0),
        };
        let code = self.profiles.code(&profile);
        if code == 0 {
            self.add_profile(&profile);
        }
        let row = [
            code,
            self.addresses.code(&remote.ip()),
            port.into(),
            identity.opened_at.map_or(0, |opened_at| zigzag(opened_at.wrapping_sub(self.first_at))),
        ];
        for (column, value) in self.definitions.iter_mut().zip(row) {
            column.push(value);
        }
        self.conns.push(zigzag(conn.wrapping_sub(self.last_conn)));
        self.last_conn = conn;
        self.previous.push([0; 5]);
        Ok(())
    }

    fn add_profile(&mut self, profile: &Profile) {
        let name = profile.name.as_ref().map_or(0, |name| {
            let code = self.names.code(name);
            self.text_bytes += if code == 0 { name.len() } else { 0 };
            code
        });
        let row = [
            profile.flags.into(),
            self.addresses.code(&profile.local),
            profile.service_port.into(),
            profile.pid.into(),
            name,
            profile.netns.into(),
        ];
        for (column, value) in self.profile_columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Ends the block: its payload into `payload`, and its raw length. The builder is empty again.
    pub(super) fn finish(&mut self, columns: &mut ColumnWriter, payload: &mut Vec<u8>) -> Result<u32, WriteError> {
        columns.bytes(Column::Kind, &self.kinds)?;
        columns.integers(Column::At, &self.ats)?;
        columns.integers(Column::Reference, &self.references)?;
        columns.bytes(Column::Carried, &self.carried)?;
        columns.integers(Column::Conn, &self.conns)?;
        let definitions = DEFINITION_COLUMNS.into_iter().zip(&self.definitions);
        for (column, values) in definitions.chain(PROFILE_COLUMNS.into_iter().zip(&self.profile_columns)) {
            columns.integers(column, values)?;
        }
        let addresses = self.addresses.rows();
        let mut families = Vec::with_capacity(addresses.len());
        let (mut ipv4, mut high, mut low) = (Vec::new(), Vec::new(), Vec::new());
        for address in addresses {
            families.push(u8::from(address.is_ipv6()));
            match address {
                IpAddr::V4(ip) => ipv4.push(u64::from(ip.to_bits())),
                IpAddr::V6(ip) => {
                    let [h, l] = halves(ip.to_bits());
                    high.push(h);
                    low.push(l);
                }
            }
        }
        columns.bytes(Column::Family, &families)?;
        columns.integers(Column::Ipv4, &ipv4)?;
        columns.integers(Column::Ipv6High, &high)?;
        columns.integers(Column::Ipv6Low, &low)?;
        let lengths: Vec<u64> = self.names.rows().iter().map(|name| name.len() as u64).collect();
        columns.integers(Column::NameLength, &lengths)?;
        columns.blob(Column::NameBytes, &self.names.rows().iter().flat_map(|name| name.bytes()).collect::<Vec<_>>())?;
        for (column, values) in COUNTERS.into_iter().zip(&self.counters).chain(GAUGES.into_iter().zip(&self.gauges)) {
            columns.integers(column, values)?;
        }
        columns.integers(Column::TcpStates, &self.tcp_states)?;
        columns.bytes(Column::Reason, &self.reasons)?;
        columns.bytes(Column::Incomplete, &self.incomplete)?;
        columns.integers(Column::RecordLength, &self.record_lengths)?;
        columns.blob(Column::RecordBytes, &self.records)?;
        let rows = TableRows {
            definitions: length("a table", self.conns.len())?,
            profiles: length("a table", self.profiles.rows().len())?,
            addresses: length("a table", addresses.len())?,
            ipv6_addresses: length("a table", high.len())?,
            names: length("a table", lengths.len())?,
        };
        let raw = columns.finish(rows, payload);
        self.clear();
        raw
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.ats.clear();
        self.references.clear();
        self.carried.clear();
        self.conns.clear();
        self.definitions.iter_mut().for_each(Vec::clear);
        self.profiles.clear();
        self.profile_columns.iter_mut().for_each(Vec::clear);
        self.addresses.clear();
        self.names.clear();
        self.counters.iter_mut().for_each(Vec::clear);
        self.gauges.iter_mut().for_each(Vec::clear);
        self.tcp_states.clear();
        self.reasons.clear();
        self.incomplete.clear();
        self.record_lengths.clear();
        self.records.clear();
        self.previous.clear();
        self.last_conn = 0;
        self.text_bytes = 0;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits have 64 each")]
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_of_either_sign_are_small_numbers() {
        for (value, code) in
            [(0, 0), (u64::MAX, 1), (1, 2), (1 << 63, u64::MAX), (i64::MAX.cast_unsigned(), u64::MAX - 1)]
        {
            assert_eq!(zigzag(value), code);
            assert_eq!(unzigzag(code), value);
        }
    }
}
