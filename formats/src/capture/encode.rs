//! Events into the columns of a block.
//!
//! In: events in order, with what is known of their connections. Out: the payload of an events block. Never here:
//! block headers, outputs, what is known across blocks (the writer's part).

use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::event::{Body, Direction, Event, Identity, Reason, Transport};

use super::MAX_TEXT_BYTES;
use super::column::{Column, ColumnWriter, TableRows, length};
use super::dictionary::{Dictionary, code};
use super::error::WriteError;
use super::number::Split;
use super::record::encode_attribute;
use super::rows::Rows;
use super::totals::TotalsBuilder;
pub(super) use super::totals::{COUNTERS, GAUGES, RTT_VAR_SHIFTS, segments};

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
    (value << 1) ^ (value.cast_signed() >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// The way from one port to the next: the kernel gives clients the ports of one parity first, so the lowest bit, which
/// hardly changes, stands highest.
fn port_step(port: u16, before: u16) -> u16 {
    port.wrapping_sub(before).rotate_right(1)
}

pub(super) fn next_port(step: u16, before: u16) -> u16 {
    before.wrapping_add(step.rotate_left(1))
}

/// The part of an identity that many connections share: whose they are, and the end that stays the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Profile {
    local: u128,
    pid: u32,
    /// The row of the name, plus one.
    name: u32,
    netns: u32,
    flags: u16,
    service_port: u16,
}

/// An address as a number that is quickly compared.
fn number_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The events of one block, column by column.
#[derive(Default)]
pub(super) struct BlockBuilder {
    kinds: Vec<u8>,
    ats: Rows<1>,
    references: Rows<1>,
    carried: Vec<u8>,
    definitions: Rows<4>,
    ports: Rows<1>,
    next_ports: Rows<1>,
    profiles: Dictionary<Profile>,
    profile_columns: [Vec<u64>; 6],
    /// By family, since most are of the one that takes a quarter of the memory.
    ipv4: Dictionary<u32>,
    ipv6: Dictionary<u128>,
    families: Vec<u8>,
    ipv4_rows: Vec<u32>,
    ipv6_rows: Vec<u128>,
    names: Dictionary<Arc<str>>,
    /// Names that a profile of the table has.
    named: u32,
    name_lengths: Vec<u64>,
    name_bytes: Vec<u8>,
    totals: TotalsBuilder,
    tcp_states: Vec<u16>,
    reasons: Vec<u8>,
    incomplete: Vec<u8>,
    record_lengths: Vec<u64>,
    records: Vec<u8>,
    last_port: u16,
    first_at: u64,
    last_at: u64,
    last_conn: u64,
}

const PROFILE_COLUMNS: [Column; 6] =
    [Column::Flags, Column::Local, Column::ServicePort, Column::Pid, Column::Name, Column::Netns];

impl BlockBuilder {
    pub(super) fn events(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn first_at(&self) -> u64 {
        self.first_at
    }

    /// Bytes gathered so far, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.kinds.len() * ROW_BYTES + self.records.len() + self.name_bytes.len()
    }

    fn stamp(&mut self, at: u64, kind: u8) {
        if self.kinds.is_empty() {
            self.first_at = at;
            self.last_at = at;
        }
        self.kinds.push(kind);
        self.ats.push([at.wrapping_sub(self.last_at)]);
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
        let next = u32::try_from(self.definitions.len()).unwrap_or(u32::MAX);
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
            self.references.push([u64::from(next - row)]);
            self.carried.push(u8::from(carried));
        }
        if let Some(totals) = totals {
            self.totals.push(row, totals, kind == CLOSE);
        }
        if let Body::Close(close) = &event.body {
            self.tcp_states.push(close.tcp_states.bits());
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
            local: number_of(local.ip()),
            pid: identity.pid.unwrap_or(0),
            name: identity.process.as_ref().map_or(0, |name| self.name_row(name) + 1),
            netns: identity.netns.unwrap_or(0),
            flags,
            service_port,
        };
        let found = self.profiles.row(profile);
        if found.1 {
            self.add_profile(&profile, local.ip());
        }
        let row = [
            zigzag(conn.wrapping_sub(self.last_conn)),
            code(found),
            self.address_code(remote.ip()),
            identity.opened_at.map_or(0, |opened_at| zigzag(opened_at.wrapping_sub(self.first_at))),
        ];
        self.definitions.push(row);
        self.last_conn = conn;
        if is_server {
            self.ports.push([port.into()]);
        } else {
            self.next_ports.push([port_step(port, self.last_port).into()]);
            self.last_port = port;
        }
        self.totals.define();
        Ok(())
    }

    fn name_row(&mut self, name: &Arc<str>) -> u32 {
        if let Some(row) = self.names.find(&**name) {
            return row;
        }
        self.name_lengths.push(name.len() as u64);
        self.name_bytes.extend_from_slice(name.as_bytes());
        self.names.row(Arc::clone(name)).0
    }

    fn address_code(&mut self, ip: IpAddr) -> u64 {
        let next = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        let found = match ip {
            IpAddr::V4(ip) => {
                let found = self.ipv4.row_or(ip.to_bits(), next);
                if found.1 {
                    self.ipv4_rows.push(ip.to_bits());
                }
                found
            }
            IpAddr::V6(ip) => {
                let found = self.ipv6.row_or(ip.to_bits(), next);
                if found.1 {
                    self.ipv6_rows.push(ip.to_bits());
                }
                found
            }
        };
        if found.1 {
            self.families.push(u8::from(ip.is_ipv6()));
        }
        code(found)
    }

    fn add_profile(&mut self, profile: &Profile, local: IpAddr) {
        // A new name is that of a new profile, and the last one.
        let name = match profile.name.checked_sub(1) {
            None => 0,
            Some(row) if row == self.named => {
                self.named += 1;
                0
            }
            Some(row) => u64::from(row) + 1,
        };
        let row = [
            profile.flags.into(),
            self.address_code(local),
            profile.service_port.into(),
            profile.pid.into(),
            name,
            profile.netns.into(),
        ];
        for (column, value) in self.profile_columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Ends the block: appends its payload to `payload`. The builder is empty again.
    pub(super) fn finish(&mut self, columns: &mut ColumnWriter, payload: &mut Vec<u8>) -> Result<(), WriteError> {
        columns.bytes(Column::Kind, &self.kinds)?;
        columns.split(Column::At, only(&mut self.ats))?;
        columns.split(Column::Reference, only(&mut self.references))?;
        columns.bytes(Column::Carried, &self.carried)?;
        let [conns, profiles, remotes, opened_at] = self.definitions.columns();
        columns.split(Column::Conn, conns)?;
        columns.split(Column::Profile, profiles)?;
        columns.split(Column::Remote, remotes)?;
        columns.split(Column::Port, only(&mut self.ports))?;
        columns.split(Column::OpenedAt, opened_at)?;
        columns.split(Column::NextPort, only(&mut self.next_ports))?;
        for (column, values) in PROFILE_COLUMNS.into_iter().zip(&self.profile_columns) {
            columns.planes(column, values)?;
        }
        columns.bytes(Column::Family, &self.families)?;
        columns.planes_of(Column::Ipv4, &self.ipv4_rows, |ip| u64::from(*ip))?;
        columns.planes_of(Column::Ipv6High, &self.ipv6_rows, |ip| halves(*ip)[0])?;
        columns.planes_of(Column::Ipv6Low, &self.ipv6_rows, |ip| halves(*ip)[1])?;
        columns.numbers(Column::NameLength, &self.name_lengths)?;
        columns.blob(Column::NameBytes, &self.name_bytes)?;
        self.totals.finish(columns)?;
        columns.planes_of(Column::TcpStates, &self.tcp_states, |states| u64::from(*states))?;
        columns.bytes(Column::Reason, &self.reasons)?;
        columns.bytes(Column::Incomplete, &self.incomplete)?;
        columns.numbers(Column::RecordLength, &self.record_lengths)?;
        columns.blob(Column::RecordBytes, &self.records)?;
        let rows = TableRows {
            definitions: length("a table", self.definitions.len())?,
            profiles: length("a table", self.profiles.len() as usize)?,
            addresses: length("a table", self.families.len())?,
            ipv6_addresses: length("a table", self.ipv6_rows.len())?,
            names: length("a table", self.name_lengths.len())?,
        };
        let finished = columns.finish(rows, payload);
        self.clear();
        finished
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.ats.clear();
        self.references.clear();
        self.carried.clear();
        self.definitions.clear();
        self.ports.clear();
        self.next_ports.clear();
        self.profiles.clear();
        self.profile_columns.iter_mut().for_each(Vec::clear);
        self.ipv4.clear();
        self.ipv6.clear();
        self.families.clear();
        self.ipv4_rows.clear();
        self.ipv6_rows.clear();
        self.names.clear();
        self.named = 0;
        self.name_lengths.clear();
        self.name_bytes.clear();
        self.totals.clear();
        self.tcp_states.clear();
        self.reasons.clear();
        self.incomplete.clear();
        self.record_lengths.clear();
        self.records.clear();
        self.last_conn = 0;
        self.last_port = 0;
    }
}

fn only(rows: &mut Rows<1>) -> &mut Split {
    let [column] = rows.columns();
    column
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
