//! Definitions of connections into columns: who talks to whom, and the tables of what many of them share.
//!
//! In: identities. Out: the columns of definitions, profiles, addresses and names. Never here: events.

use std::net::IpAddr;

use netflow_core::event::{Direction, Identity, Transport};

use super::MAX_TEXT_BYTES;
use super::column::{Column, ColumnWriter, TableRows, length};
use super::dictionary::{Dictionary, Names, code};
use super::encode::{
    FLAG_INCOMING, FLAG_NAME, FLAG_NETNS, FLAG_OPENED_AT, FLAG_OUTGOING, FLAG_PID, FLAG_PREEXISTING, FLAG_SHARED,
    FLAG_UDP, zigzag,
};
use super::error::WriteError;
use super::rows::Rows;

/// The way from one port to the next: the kernel gives clients the ports of one parity first, so the lowest bit, which
/// hardly changes, stands highest.
fn port_step(port: u16, before: u16) -> u16 {
    port.wrapping_sub(before).rotate_right(1)
}

/// The part of an identity that many connections share: whose they are, and the end that stays the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Profile {
    local: u128,
    pid: u32,
    /// The row of the name, plus one.
    name: u32,
    netns: u32,
    flags: u16,
    service_port: u16,
}

impl std::hash::Hash for Profile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [high, low] = halves(self.local);
        state.write_u64(high ^ low);
        state.write_u64(u64::from(self.pid) << 32 | u64::from(self.name));
        state.write_u64(u64::from(self.netns) << 32 | u64::from(self.flags) << 16 | u64::from(self.service_port));
    }
}

/// An address as a number that is quickly compared.
fn number_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits have 64 each")]
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// The addresses of a block; by family, since most are of the one that takes a quarter of the memory.
#[derive(Default)]
struct Addresses {
    ipv4: Dictionary<u32>,
    ipv6: Dictionary<u128>,
    /// For each of a family, its row in the table of both.
    ipv4_rows: Vec<u32>,
    ipv6_rows: Vec<u32>,
    families: Vec<u8>,
}

impl Addresses {
    fn code(&mut self, ip: IpAddr) -> u64 {
        let ((place, is_new), rows) = match ip {
            IpAddr::V4(ip) => (self.ipv4.row(ip.to_bits()), &mut self.ipv4_rows),
            IpAddr::V6(ip) => (self.ipv6.row(ip.to_bits()), &mut self.ipv6_rows),
        };
        if is_new {
            rows.push(u32::try_from(self.families.len()).unwrap_or(u32::MAX));
            self.families.push(u8::from(ip.is_ipv6()));
        }
        code((rows.get(place as usize).copied().unwrap_or(u32::MAX), is_new))
    }

    fn finish(&self, columns: &mut ColumnWriter) -> Result<(), WriteError> {
        columns.bytes(Column::Family, &self.families)?;
        columns.planes_of(Column::Ipv4, self.ipv4.values(), |ip| u64::from(*ip))?;
        columns.planes_of(Column::Ipv6High, self.ipv6.values(), |ip| halves(*ip)[0])?;
        columns.planes_of(Column::Ipv6Low, self.ipv6.values(), |ip| halves(*ip)[1])
    }

    fn clear(&mut self) {
        self.ipv4.clear();
        self.ipv6.clear();
        self.ipv4_rows.clear();
        self.ipv6_rows.clear();
        self.families.clear();
    }
}

const PROFILE_COLUMNS: [Column; 6] =
    [Column::Flags, Column::Local, Column::ServicePort, Column::Pid, Column::Name, Column::Netns];

/// The definitions of one block.
#[derive(Default)]
pub(super) struct DefinitionBuilder {
    rows: Rows<4>,
    ports: Rows<1>,
    next_ports: Rows<1>,
    profiles: Dictionary<Profile>,
    profile_columns: [Vec<u64>; 6],
    addresses: Addresses,
    names: Names,
    /// Names that a profile of the table has.
    named: u32,
    last_port: u16,
    last_conn: u64,
}

impl DefinitionBuilder {
    /// Bytes of the texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.names.bytes().len()
    }

    /// Adds a definition in a block that begins at `first_at`. On an error nothing was added.
    pub(super) fn push(&mut self, conn: u64, identity: &Identity, first_at: u64) -> Result<(), WriteError> {
        if let Some(name) = &identity.process
            && name.len() > MAX_TEXT_BYTES
        {
            return Err(WriteError::TooLong { what: "process", limit: MAX_TEXT_BYTES, found: name.len() });
        }
        let (local, remote) = (identity.local, identity.remote);
        let is_server = identity.direction == Some(Direction::Incoming);
        let (service_port, port) =
            if is_server { (local.port(), remote.port()) } else { (remote.port(), local.port()) };
        let profile = Profile {
            local: number_of(local.ip()),
            pid: identity.pid.unwrap_or(0),
            name: identity.process.as_ref().map_or(0, |name| self.names.row(name) + 1),
            netns: identity.netns.unwrap_or(0),
            flags: flags(identity),
            service_port,
        };
        let found = self.profiles.row(profile);
        if found.1 {
            self.add_profile(&profile, local.ip());
        }
        self.rows.push([
            zigzag(conn.wrapping_sub(self.last_conn)),
            code(found),
            self.addresses.code(remote.ip()),
            identity.opened_at.map_or(0, |opened_at| zigzag(opened_at.wrapping_sub(first_at))),
        ]);
        self.last_conn = conn;
        if is_server {
            self.ports.push([port.into()]);
        } else {
            self.next_ports.push([port_step(port, self.last_port).into()]);
            self.last_port = port;
        }
        Ok(())
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
            self.addresses.code(local),
            profile.service_port.into(),
            profile.pid.into(),
            name,
            profile.netns.into(),
        ];
        for (column, value) in self.profile_columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Ends the block, and tells how large its tables are.
    pub(super) fn finish(&mut self, columns: &mut ColumnWriter) -> Result<TableRows, WriteError> {
        let rows = TableRows {
            definitions: length("a table", self.rows.len())?,
            profiles: length("a table", self.profiles.values().len())?,
            addresses: length("a table", self.addresses.families.len())?,
            ipv6_addresses: length("a table", self.addresses.ipv6.values().len())?,
            names: length("a table", self.names.lengths().len())?,
        };
        let [conns, profiles, remotes, opened_at] = self.rows.columns();
        columns.split(Column::Conn, conns)?;
        columns.split(Column::Profile, profiles)?;
        columns.split(Column::Remote, remotes)?;
        columns.split(Column::Port, self.ports.column())?;
        columns.split(Column::OpenedAt, opened_at)?;
        columns.split(Column::NextPort, self.next_ports.column())?;
        for (column, values) in PROFILE_COLUMNS.into_iter().zip(&self.profile_columns) {
            columns.planes(column, values)?;
        }
        self.addresses.finish(columns)?;
        columns.numbers(Column::NameLength, self.names.lengths())?;
        columns.blob(Column::NameBytes, self.names.bytes())?;
        Ok(rows)
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.ports.clear();
        self.next_ports.clear();
        self.profiles.clear();
        self.profile_columns.iter_mut().for_each(Vec::clear);
        self.addresses.clear();
        self.names.clear();
        self.named = 0;
        self.last_port = 0;
        self.last_conn = 0;
    }
}

fn flags(identity: &Identity) -> u16 {
    let direction = match identity.direction {
        Some(Direction::Incoming) => FLAG_INCOMING,
        Some(Direction::Outgoing) => FLAG_OUTGOING,
        None => 0,
    };
    let others = [
        (identity.transport == Transport::Udp, FLAG_UDP),
        (identity.preexisting, FLAG_PREEXISTING),
        (identity.pid.is_some(), FLAG_PID),
        (identity.process.is_some(), FLAG_NAME),
        (identity.netns.is_some(), FLAG_NETNS),
        (identity.opened_at.is_some(), FLAG_OPENED_AT),
        (identity.shared, FLAG_SHARED),
    ];
    others.into_iter().fold(direction, |flags, (set, flag)| flags | (u16::from(set) * flag))
}
