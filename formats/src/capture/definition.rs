//! The tables within a block that say what is known of its connections.
//!
//! In: columns. Out: one definition a row, checked, from which an identity is made when somebody needs it: most samples
//! are of connections that were introduced long ago. Never here: events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netflow_core::batch::{self, Profile};
use netflow_core::event::{Direction, Identity, Transport};

use super::MAX_TEXT_BYTES;
use super::column::{Column, ColumnReader, at_most};
use super::dictionary::Codes;
use super::encode::{
    FLAG_INCOMING, FLAG_NAME, FLAG_NETNS, FLAG_OPENED_AT, FLAG_OUTGOING, FLAG_PID, FLAG_PREEXISTING, FLAG_SHARED,
    FLAG_UDP, next_port, unzigzag,
};
use super::error::Malformed;
use super::stream::Unpacker;

/// What a block says of its connections: one row of [`conns`](Self::conns) and of the columns that follow it for each
/// connection and each change of what is known of it, and tables that these refer to by row.
#[derive(Debug, Default)]
pub struct Definitions {
    pub(super) conns: Vec<u64>,
    profile_rows: Vec<u32>,
    remotes: Vec<u32>,
    ports: Vec<u16>,
    opened_at: Vec<u64>,
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

/// What is wrong with the codes of profiles and remote addresses, or of the local addresses of profiles.
fn wrong_code(columns: &ColumnReader<'_>, [profiles, remotes, locals]: [&[u64]; 3]) -> Malformed {
    let mut address_rows = Codes::new("address", columns.rows.addresses);
    let mut profile_rows = Codes::new("profile", columns.rows.profiles);
    let mut seen = 0;
    let mut check = |profile: u64, remote: u64| {
        let row = profile_rows.row(profile)?;
        if row == seen {
            seen += 1;
            address_rows.row(locals.get(row as usize).copied().unwrap_or(0))?;
        }
        address_rows.row(remote)
    };
    let wrong = profiles.iter().zip(remotes).find_map(|(profile, remote)| check(*profile, *remote).err());
    wrong.unwrap_or_else(|| Malformed::new("code", "a row of its table", "another"))
}

fn port(value: u64) -> Result<u16, Malformed> {
    u16::try_from(value).map_err(|_| Malformed::new("port", "at most 65535", value))
}

fn known(value: u64, is_known: bool) -> Option<u32> {
    u32::try_from(value).ok().filter(|_| is_known)
}

impl Definitions {
    /// The id of each definition's connection.
    #[must_use]
    pub fn conns(&self) -> &[u64] {
        &self.conns
    }

    /// The row of [`profiles`](Self::profiles) of each definition. As all that follows, empty unless
    /// [`Field::Identity`](super::Field::Identity) was asked for.
    #[must_use]
    pub fn profile_rows(&self) -> &[u32] {
        &self.profile_rows
    }

    /// The remote address of each definition: a row of [`addresses`](Self::addresses).
    #[must_use]
    pub fn remotes(&self) -> &[u32] {
        &self.remotes
    }

    /// The port at the end that is not the server's, of each definition.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// When each came to be, in nanoseconds since boot, where [`Profile::has_opened_at`].
    #[must_use]
    pub fn opened_at(&self) -> &[u64] {
        &self.opened_at
    }

    /// What many connections have in common, each once.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Every address in the block, once.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Every name of a process in the block, once.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(super) fn clear(&mut self) {
        self.conns.clear();
        self.profile_rows.clear();
        self.remotes.clear();
        self.ports.clear();
        self.opened_at.clear();
        self.profiles.clear();
        self.addresses.clear();
        self.names.clear();
    }

    /// Reads only the connections' ids: enough where no identity will be asked for. There is at most one definition for
    /// each of the `limit` events that speak of a connection.
    pub(super) fn read_conns(
        &mut self,
        columns: &ColumnReader<'_>,
        limit: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let rows = limited("definitions", columns.rows.definitions, limit)?;
        columns.numbers(Column::Conn, rows, unpacker, &mut self.conns)?;
        let mut conn = 0_u64;
        for step in &mut self.conns {
            conn = conn.wrapping_add(unzigzag(*step));
            *step = conn;
        }
        Ok(())
    }

    /// Reads the tables that say more, likewise.
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
        self.read_profiles(columns, unpacker)?;

        let [profiles, remotes, opened, ports, next_ports, locals] = &mut self.columns;
        columns.numbers(Column::Profile, rows, unpacker, profiles)?;
        columns.numbers(Column::Remote, rows, unpacker, remotes)?;
        columns.numbers(Column::OpenedAt, rows, unpacker, opened)?;
        let mut address_rows = Codes::new("address", columns.rows.addresses);
        let mut profile_rows = Codes::new("profile", columns.rows.profiles);
        let are_incoming = &mut self.small;
        are_incoming.clear();
        are_incoming.extend(self.profiles.iter().map(|profile| u8::from(profile.is_incoming())));
        self.profile_rows.resize(rows, 0);
        profile_rows.quick_rows(profiles, &mut self.profile_rows);
        let is_incoming = |row: &u32| usize::from(are_incoming.get(*row as usize).copied().unwrap_or(0));
        let incoming: usize = self.profile_rows.iter().map(is_incoming).sum();
        self.remotes.resize(rows, 0);
        let mut seen = 0;
        for ((remote, code), row) in self.remotes.iter_mut().zip(&*remotes).zip(&self.profile_rows) {
            // The address of a new profile was numbered before the remote one.
            if *row == seen {
                seen += 1;
                let code = locals.get(*row as usize).copied().unwrap_or(0);
                let address = address_rows.quick_row(code);
                if let Some(profile) = self.profiles.get_mut(*row as usize) {
                    profile.local = address;
                }
            }
            *remote = address_rows.quick_row(*code);
        }
        if !profile_rows.is_sound() || !address_rows.is_sound() {
            return Err(wrong_code(columns, [&**profiles, &**remotes, &**locals]));
        }
        address_rows.finish()?;
        profile_rows.finish()?;
        self.opened_at.extend(opened.iter().map(|step| first_at.wrapping_add(unzigzag(*step))));

        columns.numbers(Column::Port, incoming, unpacker, ports)?;
        columns.numbers(Column::NextPort, rows - incoming, unpacker, next_ports)?;
        at_most("port", ports, u16::MAX.into())?;
        at_most("port", next_ports, u16::MAX.into())?;
        let mut last = 0_u16;
        for port in &mut *next_ports {
            last = next_port(u16::try_from(*port).unwrap_or(0), last);
            *port = last.into();
        }
        // Which end a port is of changes in no order, which no processor guesses: so there is no choice between them.
        let (mut place, mut next_place) = (0, 0);
        let at = |ports: &[u64], place: usize| ports.get(place).and_then(|port| u16::try_from(*port).ok()).unwrap_or(0);
        self.ports.extend(self.profile_rows.iter().map(|row| {
            let is_incoming = are_incoming.get(*row as usize).copied().unwrap_or(0);
            let (own, next) = (at(ports, place), at(next_ports, next_place));
            place += usize::from(is_incoming);
            next_place += usize::from(1 - is_incoming);
            if is_incoming == 1 { own } else { next }
        }));
        Ok(())
    }

    /// Reads the table of profiles; leaves the codes of their local addresses in the last column.
    fn read_profiles(&mut self, columns: &ColumnReader<'_>, unpacker: &mut Unpacker) -> Result<(), Malformed> {
        let rows = columns.rows.profiles as usize;
        let [ports, pids, names, netns, flags, locals] = &mut self.columns;
        columns.planes(Column::Local, rows, unpacker, locals)?;
        columns.planes(Column::Flags, rows, unpacker, flags)?;
        at_most("flags", flags, u16::MAX.into())?;
        columns.planes(Column::ServicePort, rows, unpacker, ports)?;
        columns.planes(Column::Pid, rows, unpacker, pids)?;
        columns.planes(Column::Name, rows, unpacker, names)?;
        columns.planes(Column::Netns, rows, unpacker, netns)?;
        at_most("pid", pids, u32::MAX.into())?;
        at_most("netns", netns, u32::MAX.into())?;
        let mut name_rows = Codes::new("name", columns.rows.names);
        self.profiles.reserve(rows);
        let values = flags.iter().zip(&*ports).zip(&*pids).zip(&*names).zip(&*netns);
        for ((((flags, service_port), pid), name), netns) in values {
            let flags = u16::try_from(*flags).unwrap_or(0);
            let direction = match (flags & FLAG_INCOMING != 0, flags & FLAG_OUTGOING != 0) {
                (false, false) => None,
                (true, false) => Some(Direction::Incoming),
                (false, true) => Some(Direction::Outgoing),
                (true, true) => return Err(Malformed::new("direction", "at most one of two bits", "both")),
            };
            self.profiles.push(Profile {
                transport: if flags & FLAG_UDP == 0 { Transport::Tcp } else { Transport::Udp },
                direction,
                local: 0,
                service_port: port(*service_port)?,
                pid: known(*pid, flags & FLAG_PID != 0),
                name: if flags & FLAG_NAME == 0 { None } else { Some(name_rows.row(*name)?) },
                netns: known(*netns, flags & FLAG_NETNS != 0),
                preexisting: flags & FLAG_PREEXISTING != 0,
                shared: flags & FLAG_SHARED != 0,
                has_opened_at: flags & FLAG_OPENED_AT != 0,
            });
        }
        name_rows.finish()
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
        columns.planes(Column::Ipv4, rows - ipv6, unpacker, ipv4)?;
        columns.planes(Column::Ipv6High, ipv6, unpacker, high)?;
        columns.planes(Column::Ipv6Low, ipv6, unpacker, low)?;
        at_most("IPv4 address", ipv4, u32::MAX.into())?;
        let mut ipv4 = ipv4.iter();
        let mut ipv6 = high.iter().zip(&*low);
        self.addresses.extend(families.iter().map(|family| {
            if *family == 0 {
                let bits = ipv4.next().and_then(|bits| u32::try_from(*bits).ok());
                IpAddr::V4(Ipv4Addr::from_bits(bits.unwrap_or(0)))
            } else {
                let (high, low) = ipv6.next().unwrap_or((&0, &0));
                IpAddr::V6(Ipv6Addr::from_bits(u128::from(*high) << 64 | u128::from(*low)))
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
        columns.numbers(Column::NameLength, rows, unpacker, lengths)?;
        at_most("length of a name", lengths, MAX_TEXT_BYTES as u64)?;
        let mut rest = columns.blob(Column::NameBytes, lengths.iter().sum(), unpacker)?;
        for length in lengths {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let Some((name, after)) = rest.split_at_checked(length) else {
                return Err(Malformed::new("length of a name", format!("at most {}", rest.len()), length));
            };
            rest = after;
            let name = std::str::from_utf8(name).map_err(|error| Malformed::new("name", "UTF-8", error))?;
            self.names.push(Arc::from(name));
        }
        Ok(())
    }

    /// What a definition says; `None` when there is no such row, or its tables were not read.
    #[must_use]
    pub fn identity(&self, row: usize) -> Option<Identity> {
        self.view().identity(row)
    }

    pub(super) fn view(&self) -> batch::Definitions<'_> {
        batch::Definitions {
            conns: &self.conns,
            profile_rows: &self.profile_rows,
            remotes: &self.remotes,
            ports: &self.ports,
            opened_at: &self.opened_at,
            profiles: &self.profiles,
            addresses: &self.addresses,
            names: &self.names,
        }
    }
}
