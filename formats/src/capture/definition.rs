//! The tables within a block that say what is known of its connections.
//!
//! In: columns. Out: one definition a row, checked, from which an identity is made when somebody needs it: most samples
//! are of connections that were introduced long ago. Never here: events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::event::{Direction, Identity, Transport};

use super::MAX_TEXT_BYTES;
use super::column::{Column, ColumnReader, Unpacker, at_most, value};
use super::dictionary::Codes;
use super::encode::{
    FLAG_INCOMING, FLAG_NAME, FLAG_NETNS, FLAG_OPENED_AT, FLAG_OUTGOING, FLAG_PID, FLAG_PREEXISTING, FLAG_SHARED,
    FLAG_UDP, unzigzag,
};
use super::error::Malformed;

/// The part of an identity that many connections share.
struct Profile {
    flags: u16,
    direction: Option<Direction>,
    local: IpAddr,
    service_port: u16,
    pid: Option<u32>,
    process: Option<Arc<str>>,
    netns: Option<u32>,
}

/// What a block says of one connection.
pub(super) struct Definition {
    pub(super) conn: u64,
    /// The counters of the last event that referred to it.
    pub(super) previous: [u64; 5],
    profile: u32,
    remote: u32,
    port: u16,
    opened_at: u64,
}

/// The tables of a block, and memory that the next block uses again.
#[derive(Default)]
pub(super) struct Definitions {
    pub(super) rows: Vec<Definition>,
    profiles: Vec<Profile>,
    addresses: Vec<IpAddr>,
    names: Vec<Arc<str>>,
    columns: [Vec<u64>; 6],
    small: Vec<u8>,
}

fn limited(what: &'static str, rows: u32, limit: usize) -> Result<usize, Malformed> {
    let rows = rows as usize;
    if rows <= limit { Ok(rows) } else { Err(Malformed::new(what, format!("at most {limit}"), rows)) }
}

fn port(value: u64) -> Result<u16, Malformed> {
    u16::try_from(value).map_err(|_| Malformed::new("port", "at most 65535", value))
}

fn known(value: u64, is_known: bool) -> Option<u32> {
    u32::try_from(value).ok().filter(|_| is_known)
}

impl Definitions {
    /// Reads only the connections' ids: enough where no identity will be asked for. There is at most one definition for
    /// each of the `limit` events that speak of a connection.
    pub(super) fn read_conns(
        &mut self,
        columns: &ColumnReader<'_>,
        limit: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let rows = limited("definitions", columns.rows.definitions, limit)?;
        let [conns, ..] = &mut self.columns;
        columns.integers(Column::Conn, rows, unpacker, conns)?;
        self.profiles.clear();
        self.rows.clear();
        let mut conn = 0_u64;
        self.rows.extend((0..rows).map(|row| {
            conn = conn.wrapping_add(unzigzag(value(conns, row)));
            Definition { conn, previous: [0; 5], profile: 0, remote: 0, port: 0, opened_at: 0 }
        }));
        Ok(())
    }

    /// Reads the tables, likewise.
    pub(super) fn read(
        &mut self,
        columns: &ColumnReader<'_>,
        first_at: u64,
        limit: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let rows = limited("definitions", columns.rows.definitions, limit)?;
        limited("profiles", columns.rows.profiles, rows)?;
        self.read_addresses(columns, rows * 2, unpacker)?;
        self.read_names(columns, rows, unpacker)?;
        let mut address_rows = Codes::new("address", columns.rows.addresses);
        let locals = self.read_profiles(columns, unpacker)?;
        let mut profile_rows = Codes::new("profile", columns.rows.profiles);

        let [conns, profiles, remotes, ports, opened, _] = &mut self.columns;
        columns.integers(Column::Conn, rows, unpacker, conns)?;
        columns.integers(Column::Profile, rows, unpacker, profiles)?;
        columns.integers(Column::Remote, rows, unpacker, remotes)?;
        columns.integers(Column::Port, rows, unpacker, ports)?;
        columns.integers(Column::OpenedAt, rows, unpacker, opened)?;
        self.rows.clear();
        self.rows.reserve(rows);
        let (mut conn, mut seen) = (0_u64, 0);
        for row in 0..rows {
            conn = conn.wrapping_add(unzigzag(value(conns, row)));
            let profile = profile_rows.row(value(profiles, row))?;
            // The address of a new profile was numbered before the remote one.
            if profile == seen {
                seen += 1;
                let address = address_rows.row(value(&locals, profile as usize))? as usize;
                let ip = self.addresses.get(address).copied();
                if let (Some(profile), Some(ip)) = (self.profiles.get_mut(profile as usize), ip) {
                    profile.local = ip;
                }
            }
            self.rows.push(Definition {
                conn,
                previous: [0; 5],
                profile,
                remote: address_rows.row(value(remotes, row))?,
                port: port(value(ports, row))?,
                opened_at: first_at.wrapping_add(unzigzag(value(opened, row))),
            });
        }
        address_rows.finish()?;
        profile_rows.finish()
    }

    /// Reads the table of profiles and gives the codes of their local addresses.
    fn read_profiles(&mut self, columns: &ColumnReader<'_>, unpacker: &mut Unpacker) -> Result<Vec<u64>, Malformed> {
        let rows = columns.rows.profiles as usize;
        let mut locals = Vec::new();
        columns.integers(Column::Local, rows, unpacker, &mut locals)?;
        let [ports, pids, names, netns, flags, _] = &mut self.columns;
        columns.integers(Column::Flags, rows, unpacker, flags)?;
        at_most("flags", flags, u16::MAX.into())?;
        columns.integers(Column::ServicePort, rows, unpacker, ports)?;
        columns.integers(Column::Pid, rows, unpacker, pids)?;
        columns.integers(Column::Name, rows, unpacker, names)?;
        columns.integers(Column::Netns, rows, unpacker, netns)?;
        at_most("pid", pids, u32::MAX.into())?;
        at_most("netns", netns, u32::MAX.into())?;
        let mut name_rows = Codes::new("name", columns.rows.names);
        self.profiles.clear();
        self.profiles.reserve(rows);
        for row in 0..rows {
            let flags = u16::try_from(value(flags, row)).unwrap_or(0);
            let direction = match (flags & FLAG_INCOMING != 0, flags & FLAG_OUTGOING != 0) {
                (false, false) => None,
                (true, false) => Some(Direction::Incoming),
                (false, true) => Some(Direction::Outgoing),
                (true, true) => return Err(Malformed::new("direction", "at most one of two bits", "both")),
            };
            let process = match flags & FLAG_NAME {
                0 => None,
                _ => self.names.get(name_rows.row(value(names, row))? as usize).cloned(),
            };
            self.profiles.push(Profile {
                flags,
                direction,
                local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                service_port: port(value(ports, row))?,
                pid: known(value(pids, row), flags & FLAG_PID != 0),
                process,
                netns: known(value(netns, row), flags & FLAG_NETNS != 0),
            });
        }
        name_rows.finish()?;
        Ok(locals)
    }

    fn read_addresses(
        &mut self,
        columns: &ColumnReader<'_>,
        limit: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let rows = limited("addresses", columns.rows.addresses, limit)?;
        let ipv6 = limited("IPv6 addresses", columns.rows.ipv6_addresses, rows)?;
        let families = &mut self.small;
        columns.bytes(Column::Family, rows, unpacker, families)?;
        let stated = families.iter().filter(|family| **family == 1).count();
        if stated != ipv6 || families.iter().any(|family| *family > 1) {
            return Err(Malformed::new("families of addresses", format!("{ipv6} times 1, otherwise 0"), stated));
        }
        let [ipv4, high, low, ..] = &mut self.columns;
        columns.integers(Column::Ipv4, rows - ipv6, unpacker, ipv4)?;
        columns.integers(Column::Ipv6High, ipv6, unpacker, high)?;
        columns.integers(Column::Ipv6Low, ipv6, unpacker, low)?;
        at_most("IPv4 address", ipv4, u32::MAX.into())?;
        let (mut next4, mut next6) = (0, 0);
        self.addresses.clear();
        self.addresses.extend((0..rows).map(|row| {
            if families.get(row).copied().unwrap_or(0) == 0 {
                next4 += 1;
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value(ipv4, next4 - 1)).unwrap_or(0)))
            } else {
                next6 += 1;
                let [high, low] = [&*high, &*low].map(|half| u128::from(value(half, next6 - 1)));
                IpAddr::V6(Ipv6Addr::from_bits(high << 64 | low))
            }
        }));
        Ok(())
    }

    fn read_names(
        &mut self,
        columns: &ColumnReader<'_>,
        limit: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let rows = limited("names", columns.rows.names, limit)?;
        let [lengths, ..] = &mut self.columns;
        columns.integers(Column::NameLength, rows, unpacker, lengths)?;
        at_most("length of a name", lengths, MAX_TEXT_BYTES as u64)?;
        let mut rest = columns.blob(Column::NameBytes, lengths.iter().sum(), unpacker)?;
        self.names.clear();
        for row in 0..rows {
            let length = usize::try_from(value(lengths, row)).unwrap_or(usize::MAX);
            let Some((name, after)) = rest.split_at_checked(length) else {
                return Err(Malformed::new("length of a name", format!("at most {}", rest.len()), length));
            };
            rest = after;
            let name = std::str::from_utf8(name).map_err(|error| Malformed::new("name", "UTF-8", error))?;
            self.names.push(Arc::from(name));
        }
        Ok(())
    }

    /// What is known of a connection.
    pub(super) fn identity(&self, definition: &Definition) -> Option<Arc<Identity>> {
        let profile = self.profiles.get(definition.profile as usize)?;
        let remote = *self.addresses.get(definition.remote as usize)?;
        let (local_port, remote_port) = match profile.direction {
            Some(Direction::Incoming) => (profile.service_port, definition.port),
            _ => (definition.port, profile.service_port),
        };
        Some(Arc::new(Identity {
            transport: if profile.flags & FLAG_UDP == 0 { Transport::Tcp } else { Transport::Udp },
            local: Endpoint::new(profile.local, local_port),
            remote: Endpoint::new(remote, remote_port),
            direction: profile.direction,
            pid: profile.pid,
            process: profile.process.clone(),
            netns: profile.netns,
            preexisting: profile.flags & FLAG_PREEXISTING != 0,
            opened_at: (profile.flags & FLAG_OPENED_AT != 0).then_some(definition.opened_at),
            shared: profile.flags & FLAG_SHARED != 0,
        }))
    }
}
