//! The group of a connection, found without looking at it alone.
//!
//! In: what a batch says of a connection, what is asked. Out: whether it is left out, else the row of its group. Never here:
//! connections of which more is known than the batch says.
//!
//! What depends on the profile is found out once for each profile, what depends on the remote address once for each address
//! of a batch. [`Flow`](crate::flow::Flow) says what the values are; here is only how
//! often it is asked.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::address::AddressType;
use crate::aggregate::Groups;
use crate::batch::{Batch, Definitions, Profile};
use crate::column::Tag;
use crate::event::{Direction, Transport};
use crate::filter::{Check, Ends, LeftOut, Question, Special};
use crate::pipeline::Section;
use crate::plan::{Asked, Part, Plan};
use crate::value::Value;

/// More profiles are not kept: short-lived processes make ever new ones.
const MOST: usize = 1 << 16;

/// No code.
const UNKNOWN: u32 = u32::MAX;

/// The code is asked for.
const ASKED: u32 = u32::MAX - 1;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Outcome {
    /// It goes the way of single events.
    #[default]
    Other,
    /// [`Known::settle`] tells.
    Waits,
    LeftOut(LeftOut),
    /// It is in the group of this row.
    Row(u32),
    /// Likewise, where it is counted already, and nobody else ever is.
    Counted(u32),
}

impl Outcome {
    /// It goes not the way of single events.
    pub(crate) fn is_brief(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// One definition of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    definitions: &'a Definitions<'a>,
    row: usize,
    pub(crate) conn: u64,
    profile_row: usize,
    pub(crate) profile: &'a Profile,
    remote_row: usize,
    remote: &'a IpAddr,
    local_port: u16,
    remote_port: u16,
}

/// What is known of a profile.
#[derive(Debug)]
struct Entry {
    /// What says of which group a connection is; of tags that depend on more than the profile, nothing.
    key: Box<[u32]>,
    /// Whether each test of the filter holds; of those that depend on more than the profile, nothing.
    tests: Box<[Tested]>,
    values: Box<[Value]>,
    special: Special,
    /// Whether the filter holds, whatever the rest of a connection is.
    verdict: Option<bool>,
    /// Its only group in the window that came last.
    row: Option<(i64, u32)>,
}

/// What tells profiles of different batches apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    transport: Transport,
    direction: Option<Direction>,
    local: IpAddr,
    service_port: u16,
    pid: Option<u32>,
    process: Option<Arc<str>>,
    netns: Option<u32>,
    shared: bool,
}

/// Whether a test holds, once somebody asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tested {
    #[default]
    Never,
    Not,
    Holds,
}

/// A connection that waits.
#[derive(Debug)]
struct Waiting {
    place: usize,
    /// The row of its remote address.
    remote: usize,
    /// Unless they are folded.
    ports: [Option<u16>; 2],
    conn: u64,
    began: i64,
    /// Both ends have IPv4 addresses, if somebody asks.
    is_ipv4: bool,
}

/// Connections whose groups are looked for together.
const TOGETHER: usize = 256;

/// A profile of the batch.
#[derive(Debug, Clone, Copy)]
struct Met {
    /// All can be found out here.
    is_possible: bool,
    /// That relies on it that nothing is known beside the connections.
    relies: bool,
    /// As of its entry, once that is known.
    verdict: Option<bool>,
    entry: u32,
}

/// What is known of the profiles, addresses and ports that were met.
#[derive(Debug, Default)]
pub(crate) struct Known {
    names: FxHashMap<Name, u32>,
    entries: Vec<Entry>,
    /// By row of the batch's profiles.
    met: Vec<Met>,
    /// By row of the batch's addresses.
    remotes: Vec<Option<Special>>,
    /// By tag and row of the batch's addresses.
    remote_codes: Vec<u32>,
    /// Whether the filter holds whatever the rest of a connection is, once somebody asked, by row of the batch's addresses.
    remote_verdicts: Vec<Option<Option<bool>>>,
    /// By test of the filter and row of the batch's addresses, and by test and port.
    remote_tests: Vec<Tested>,
    port_tests: Vec<Vec<Tested>>,
    key: Vec<u32>,
    /// The connections that wait, what their groups are, and where these were found.
    waiting: Vec<Waiting>,
    wanted: Vec<u32>,
    found: Vec<u32>,
    /// Rows of addresses that have no code yet, and their values.
    strange: Vec<usize>,
    values: Vec<Value>,
}

impl<'a> Key<'a> {
    /// The definition in a row; `None` when the batch does not say who it is.
    #[inline]
    pub(crate) fn new(definitions: &'a Definitions<'a>, row: usize) -> Option<Self> {
        let profile_row = *definitions.profile_rows.get(row)? as usize;
        let profile = definitions.profiles.get(profile_row)?;
        let remote_row = *definitions.remotes.get(row)? as usize;
        let port = *definitions.ports.get(row)?;
        let is_incoming = profile.is_incoming();
        Some(Self {
            definitions,
            row,
            conn: *definitions.conns.get(row)?,
            profile_row,
            profile,
            remote_row,
            remote: definitions.addresses.get(remote_row)?,
            local_port: if is_incoming { profile.service_port } else { port },
            remote_port: if is_incoming { port } else { profile.service_port },
        })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.profile.transport == Transport::Tcp
    }

    fn local(&self) -> Option<IpAddr> {
        self.definitions.addresses.get(self.profile.local as usize).copied()
    }

    /// When it came to be, if that is known apart from its first event.
    fn opened_at(&self) -> Option<u64> {
        let opened_at = self.definitions.opened_at.get(self.row).copied();
        opened_at.filter(|_| self.profile.has_opened_at)
    }

    /// Both ends have IPv4 addresses.
    fn is_ipv4(&self) -> bool {
        self.remote.is_ipv4() && self.local().is_some_and(|local| local.is_ipv4())
    }
}

fn family(is_ipv4: bool) -> Value {
    Value::Word(if is_ipv4 { "IPv4" } else { "IPv6" })
}

impl Known {
    /// A batch with these definitions follows. Its connections are alone when nothing is known beside them.
    pub(crate) fn begin(&mut self, plan: &Plan, definitions: &Definitions<'_>, are_alone: bool) {
        let addresses = definitions.addresses.len();
        self.met.clear();
        self.met.extend(definitions.profiles.iter().map(|profile| {
            let relies = !plan.is_told_by(profile);
            let is_possible = plan.is_possible(profile) && (are_alone || !relies);
            Met { is_possible, relies, verdict: None, entry: UNKNOWN }
        }));
        self.remote_codes.clear();
        self.remote_codes.resize(addresses * plan.tags.len(), UNKNOWN);
        self.remote_verdicts.clear();
        self.remote_verdicts.resize(addresses, None);
        self.remote_tests.clear();
        self.remote_tests.resize(addresses * plan.asked.len(), Tested::Never);
        self.port_tests.resize_with(plan.asked.len(), Vec::new);
        self.remotes.clear();
        self.remotes.resize(addresses, None);
        if self.entries.len() > MOST {
            self.entries.clear();
            self.names.clear();
        }
    }

    /// The group of a connection of the batch can be found here.
    #[inline]
    pub(crate) fn is_possible(&self, key: &Key<'_>) -> bool {
        self.met.get(key.profile_row).is_some_and(|met| met.is_possible)
    }

    /// The filter leaves the connection of a definition out, which was found out with others; and whether that relies on it that
    /// nothing is known beside the connections.
    #[inline]
    pub(crate) fn leaves_out(&self, definitions: &Definitions<'_>, row: usize) -> Option<bool> {
        let met = self.met.get(*definitions.profile_rows.get(row)? as usize).filter(|met| met.is_possible)?;
        let by_remote = || {
            let verdict = self.remote_verdicts.get(*definitions.remotes.get(row)? as usize)?;
            verdict.flatten()
        };
        (met.verdict.or_else(by_remote) == Some(false)).then_some(met.relies)
    }

    /// It relies on it that nothing is known beside the connections.
    #[inline]
    pub(crate) fn relies(&self, key: &Key<'_>) -> bool {
        self.met.get(key.profile_row).is_none_or(|met| met.relies)
    }

    /// So many connections wait that their groups are worth to be looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= TOGETHER
    }

    /// What becomes of those of the batch that wait: tells each one's place, and the row of its group.
    pub(crate) fn settle(
        &mut self,
        plan: &Plan,
        batch: &Batch<'_>,
        groups: &mut Groups,
        mut tell: impl FnMut(&mut Groups, usize, u32),
    ) {
        for (place, (tag, part)) in plan.tags.iter().enumerate() {
            let (keys, waiting, rows) = (&mut self.wanted, self.waiting.iter(), &mut groups.rows);
            let port = |port: Option<u16>| port.map_or(Value::Folded, |port| Value::Number(port.into()));
            match part {
                Part::Profile(_) => {}
                Part::RemoteIp | Part::RemoteType => self.settle_remotes(batch, groups, place, *tag, *part),
                Part::LocalPort => rows.set_all(keys, place, waiting.map(|waiting| port(waiting.ports[0]))),
                Part::RemotePort => rows.set_all(keys, place, waiting.map(|waiting| port(waiting.ports[1]))),
                Part::Family => rows.set_all(keys, place, waiting.map(|waiting| family(waiting.is_ipv4))),
                Part::Connection => rows.set_all(keys, place, waiting.map(|waiting| Value::Number(waiting.conn))),
                Part::Began => rows.set_all(keys, place, waiting.map(|waiting| Value::Time(waiting.began))),
            }
        }
        groups.rows.rows(&self.wanted, &mut self.found);
        for (waiting, found) in self.waiting.iter().zip(&self.found) {
            tell(groups, waiting.place, *found);
        }
        self.waiting.clear();
        self.wanted.clear();
    }

    /// Fills the codes in that depend on remote addresses: each address of a batch is looked for once.
    fn settle_remotes(&mut self, batch: &Batch<'_>, groups: &mut Groups, place: usize, tag: Tag, part: Part) {
        let addresses = self.remotes.len();
        let Some(codes) = self.remote_codes.get_mut(place * addresses..(place + 1) * addresses) else { return };
        self.strange.clear();
        for Waiting { remote, .. } in &self.waiting {
            if let (Some(code), Some(ip)) = (codes.get_mut(*remote), batch.definitions.addresses.get(*remote))
                && *code == UNKNOWN
            {
                *code = ASKED;
                self.strange.push(*remote);
                self.values.push(match part {
                    Part::RemoteType => Value::Word(AddressType::of(*ip).name()),
                    _ => tag.cut(Value::Ip(*ip)),
                });
            }
        }
        groups.rows.encode_all(place, &mut self.values, &mut self.found);
        for (remote, found) in self.strange.iter().zip(&self.found) {
            if let Some(code) = codes.get_mut(*remote) {
                *code = *found;
            }
        }
        let (words, at) = (groups.rows.key_words(), groups.rows.place(place));
        for (key, Waiting { remote, .. }) in self.wanted.chunks_exact_mut(words.max(1)).zip(&self.waiting) {
            if let (Some(word), Some(code)) = (key.get_mut(at), codes.get(*remote)) {
                *word = *code;
            }
        }
    }

    /// What becomes of a life at a place, which began then; `None` when the batch does not say whose it is.
    #[inline]
    pub(crate) fn outcome(
        &mut self,
        plan: &Plan,
        key: &Key<'_>,
        section: &Section,
        groups: &mut Groups,
        (place, opened): (usize, u64),
        is_active: impl FnOnce() -> bool,
    ) -> Option<Outcome> {
        let entry = self.entry(plan, key, section, groups)?;
        let began = || Value::Time(section.utc_us(key.opened_at().unwrap_or(opened)));
        if let Some(filter) = &plan.filter {
            let decided = self.entries[entry].verdict.or_else(|| self.remote_verdict(filter, key));
            let holds = decided
                .or_else(|| filter.decides_by(&mut |asked, check| Some(self.holds(*asked, check, key, entry, began))));
            if holds != Some(true) {
                return Some(Outcome::LeftOut(LeftOut::Filter));
            }
        }
        if groups.asks_about_ends() {
            let special = *self.remotes.get_mut(key.remote_row)?.get_or_insert_with(|| Special::of(*key.remote));
            let ends = Ends {
                special: [self.entries[entry].special, special],
                ports: [key.local_port, key.remote_port],
                is_same_ip: groups.asks_about_same_ip() && key.local()? == *key.remote,
            };
            if let Some(cause) = groups.left_out_by_ends(&ends) {
                return Some(Outcome::LeftOut(cause));
            }
        }
        if !groups.keeps_idle() && !is_active() {
            return Some(Outcome::LeftOut(LeftOut::Idle));
        }
        let window = groups.window_of(section, opened);
        if let Some((known, row)) = self.entries[entry].row
            && known == window
        {
            return Some(Outcome::Row(row));
        }
        let entry = &mut self.entries[entry];
        if plan.is_by_profile {
            self.key.clear();
            self.key.extend_from_slice(&entry.key);
            groups.rows.set_window(&mut self.key, window);
            let row = groups.rows.row(&self.key);
            entry.row = Some((window, row));
            return Some(Outcome::Row(row));
        }
        let start = self.wanted.len();
        self.wanted.extend_from_slice(&entry.key);
        let wanted = self.wanted.get_mut(start..).unwrap_or_default();
        groups.rows.set_window(wanted, window);
        self.waiting.push(Waiting {
            place,
            remote: key.remote_row,
            ports: groups.ports(section, key.profile.direction, [key.local_port, key.remote_port]),
            conn: key.conn,
            began: section.utc_us(key.opened_at().unwrap_or(opened)),
            is_ipv4: plan.needs_family && key.is_ipv4(),
        });
        Some(Outcome::Waits)
    }

    /// Whether the filter holds by the remote address alone.
    #[inline]
    fn remote_verdict(&mut self, filter: &Question<Asked>, key: &Key<'_>) -> Option<bool> {
        let verdict = self.remote_verdicts.get_mut(key.remote_row)?;
        *verdict.get_or_insert_with(|| {
            filter.decides_by(&mut |asked, check| match asked.part {
                Part::RemoteIp => Some(check.holds(&Value::Ip(*key.remote))),
                Part::RemoteType => Some(check.holds(&Value::Word(AddressType::of(*key.remote).name()))),
                _ => None,
            })
        })
    }

    /// Whether a test of the filter holds. What many connections share is tested once.
    #[inline]
    fn holds(
        &mut self,
        Asked { place, part }: Asked,
        check: &Check,
        key: &Key<'_>,
        entry: usize,
        began: impl Fn() -> Value,
    ) -> bool {
        let entry = &mut self.entries[entry];
        let port = if part == Part::LocalPort { key.local_port } else { key.remote_port };
        let tested = match part {
            Part::Profile(_) => entry.tests.get_mut(place),
            Part::RemoteIp | Part::RemoteType => self.remote_tests.get_mut(place * self.remotes.len() + key.remote_row),
            Part::LocalPort | Part::RemotePort => self.port_tests.get_mut(place).and_then(|tests| {
                if tests.is_empty() {
                    tests.resize(1 << 16, Tested::Never);
                }
                tests.get_mut(usize::from(port))
            }),
            Part::Family | Part::Connection | Part::Began => None,
        };
        if let Some(Tested::Not | Tested::Holds) = tested {
            return tested.is_some_and(|tested| *tested == Tested::Holds);
        }
        let value = match part {
            Part::Profile(_) => entry.values.get(place).cloned().unwrap_or(Value::Null),
            Part::RemoteIp => Value::Ip(*key.remote),
            Part::RemoteType => Value::Word(AddressType::of(*key.remote).name()),
            Part::LocalPort | Part::RemotePort => Value::Number(port.into()),
            Part::Family => family(key.is_ipv4()),
            Part::Connection => Value::Number(key.conn),
            Part::Began => began(),
        };
        let holds = check.holds(&value);
        if let Some(tested) = tested {
            *tested = if holds { Tested::Holds } else { Tested::Not };
        }
        holds
    }

    /// The entry of a connection's profile.
    #[inline]
    fn entry(&mut self, plan: &Plan, key: &Key<'_>, section: &Section, groups: &mut Groups) -> Option<usize> {
        match self.met.get(key.profile_row)?.entry {
            UNKNOWN => self.find_entry(plan, key, section, groups),
            entry => Some(entry as usize),
        }
    }

    fn find_entry(&mut self, plan: &Plan, key: &Key<'_>, section: &Section, groups: &mut Groups) -> Option<usize> {
        let Key { definitions, profile, .. } = key;
        let name = Name {
            transport: profile.transport,
            direction: profile.direction,
            local: key.local()?,
            service_port: profile.service_port,
            pid: profile.pid,
            process: profile.name.and_then(|name| definitions.names.get(name as usize)).cloned(),
            netns: profile.netns,
            shared: profile.shared,
        };
        let next = u32::try_from(self.entries.len()).unwrap_or(UNKNOWN);
        let found = *self.names.entry(name).or_insert(next);
        if found == next {
            let flow = groups.flow_of(section, &Arc::new(definitions.identity(key.row)?));
            let mut key = vec![UNKNOWN; groups.rows.key_words()];
            for (place, (tag, _)) in
                plan.tags.iter().enumerate().filter(|(_, (_, part))| matches!(part, Part::Profile(_)))
            {
                groups.rows.set(&mut key, place, tag.in_row(&flow));
            }
            let values: Box<[Value]> = plan.asked.iter().map(|field| field.of_connection()(&flow)).collect();
            let verdict = plan.filter.as_ref().and_then(|filter| {
                filter.decides_by(&mut |asked, check| match (asked.part, profile.is_incoming()) {
                    (Part::Profile(_), _) | (Part::LocalPort, true) | (Part::RemotePort, false) => {
                        values.get(asked.place).map(|value| check.holds(value))
                    }
                    _ => None,
                })
            });
            self.entries.push(Entry {
                key: key.into(),
                tests: vec![Tested::Never; plan.asked.len()].into(),
                values,
                verdict,
                special: Special::of(flow.identity.local.ip()),
                row: None,
            });
        }
        let met = self.met.get_mut(key.profile_row)?;
        (met.entry, met.verdict) = (found, self.entries.get(found as usize)?.verdict);
        Some(found as usize)
    }
}
