//! Brief connections: those whose whole life is in one batch of events.
//!
//! In: batches of columns. Out: the sums of these connections, added to their groups when nothing more can come of them.
//! Never here: any other connection, which takes the way of single events; a rule of its own about what counts.
//!
//! A brief connection is opened, closed and not heard of in between, so its only change are its last totals. What its group
//! depends on is found out once for each profile, address and port. For [`LINGER_NS`](crate::delta::LINGER_NS) after its
//! close somebody may still speak of it: then its open and close go the other way after all, before that event does.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::address::Endpoint;
use crate::aggregate::Groups;
use crate::batch::{Batch, Profile};
use crate::delta::{Counts, Delta, LINGER_NS};
use crate::event::{Body, Close, Event, Identity, Open, TcpStates, Totals, Transport};
use crate::filter::LeftOut;
use crate::key::{Key, Known, Plan};
use crate::pipeline::{ReportOptions, Section};
use crate::sums::Sums;

/// What becomes of a definition's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    #[default]
    Unseen,
    Open,
    Closed,
    Brief,
    Other,
}

/// The events of one definition in a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    fate: Fate,
    /// The row of totals of its close.
    total: u32,
    opened: u64,
    closed: u64,
}

/// A connection that is over, but not for so long that nothing can come of it.
#[derive(Debug, Clone)]
struct Brief {
    conn: u64,
    opened: u64,
    closed: u64,
    /// Of its lot's identities, the one that is like its own but for what follows.
    profile: u32,
    is_incoming: bool,
    is_tcp: bool,
    port: u16,
    remote: IpAddr,
    opened_at: Option<u64>,
    totals: Totals,
    outcome: Outcome,
    /// It is in its group because nothing is known beside the connections.
    relies: bool,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    LeftOut(LeftOut),
    Row(u32),
}

/// Those of one batch.
#[derive(Debug, Default)]
struct Lot {
    briefs: Vec<Brief>,
    identities: Vec<Identity>,
    /// The last close.
    until: u64,
    /// By id, when somebody asks.
    places: Option<FxHashMap<u64, usize>>,
}

/// The brief connections of a section.
#[derive(Debug)]
pub(crate) struct Briefs {
    plan: Option<Plan>,
    lots: VecDeque<Lot>,
    /// Some rely on it that nothing is known beside the connections.
    relying: bool,
    /// The greatest id of any connection, and of any before the present batch.
    greatest: Option<u64>,
    before: Option<u64>,
    lives: Vec<Life>,
    ids: FxHashSet<u64>,
    known: Known,
}

impl Briefs {
    /// None yet.
    pub(crate) fn new(options: &ReportOptions) -> Self {
        Self {
            plan: Plan::new(options),
            lots: VecDeque::new(),
            relying: false,
            greatest: None,
            before: None,
            lives: Vec::new(),
            ids: FxHashSet::default(),
            known: Known::default(),
        }
    }

    /// Another section begins, where everything is in other groups.
    pub(crate) fn begin(&mut self) {
        self.lots.clear();
        (self.relying, self.greatest, self.before) = (false, None, None);
        self.known = Known::default();
    }

    /// There are connections that linger.
    pub(crate) fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }

    /// Notes the id of a connection that is heard of outside of batches.
    pub(crate) fn note(&mut self, conn: u64) {
        self.greatest = self.greatest.max(Some(conn));
    }

    /// The batch is over.
    pub(crate) fn end_batch(&mut self) {
        self.before = self.greatest;
    }

    /// The event at a place of the batch that was sorted out last is of a brief connection.
    pub(crate) fn is_brief(&self, row: usize) -> bool {
        self.lives.get(row).is_some_and(|life| life.fate == Fate::Brief)
    }

    /// Finds the brief connections of a batch and what becomes of them; false when there is none.
    pub(crate) fn sort_out(&mut self, batch: &Batch<'_>, section: &Section, groups: &mut Groups) -> bool {
        let Some(plan) = &self.plan else { return false };
        let has_attributes = batch.others.iter().flatten().any(|body| !matches!(body, Body::Loss(_)));
        let is_alone = section.surroundings.is_empty() && !has_attributes;
        self.before = self.greatest;
        self.greatest = self.greatest.max(batch.definitions.conns.iter().max().copied());
        if !follow(&mut self.lives, batch, section, groups) {
            return false;
        }
        let definitions = &batch.definitions;
        let is_ascending = definitions.conns.is_sorted_by(|a, b| a < b);
        self.ids.clear();
        let mut lot = Lot { briefs: Vec::with_capacity(self.lives.len()), ..Lot::default() };
        self.known.begin(definitions.profiles.len(), definitions.addresses.len());
        for (row, life) in self.lives.iter_mut().enumerate() {
            let Some(conn) = definitions.conns.get(row).copied() else { continue };
            let is_new = if is_ascending { true } else { self.ids.insert(conn) };
            let is_known = self.before.is_some_and(|before| conn <= before)
                && (section.deltas.slot_of(conn).is_some() || self.lots.iter_mut().any(|lot| lot.find(conn).is_some()));
            if life.fate != Fate::Closed || !is_new || is_known {
                life.fate = Fate::Other;
                continue;
            }
            let key = Key { batch, row };
            let Some(profile) = key.profile() else { continue };
            let relies = !plan.is_told_by(profile);
            if !plan.is_possible(profile) || (relies && !is_alone) {
                life.fate = Fate::Other;
                continue;
            }
            let totals = batch.totals(life.total as usize);
            let outcome = self.known.outcome(plan, key, section, groups, life.opened, is_active(profile, &totals));
            let Some(outcome) = outcome else { continue };
            life.fate = Fate::Brief;
            let identity = self.known.identity(key, &mut lot.identities);
            let (Some(remote), Some(port)) = (key.remote(), key.port()) else { continue };
            lot.briefs.push(Brief {
                conn,
                opened: life.opened,
                closed: life.closed,
                profile: identity,
                is_incoming: profile.is_incoming(),
                is_tcp: profile.transport == Transport::Tcp,
                port,
                remote,
                opened_at: key.opened_at(),
                totals,
                outcome: outcome.map_or_else(Outcome::LeftOut, Outcome::Row),
                relies,
            });
        }
        // The same id twice in a batch: each of them is heard of again.
        if !is_ascending && self.ids.len() < self.lives.len() {
            let mut times: FxHashMap<u64, u32> = FxHashMap::default();
            definitions.conns.iter().for_each(|conn| *times.entry(*conn).or_default() += 1);
            let is_twice = |conn: &u64| times.get(conn).is_some_and(|times| *times > 1);
            for (life, _) in self.lives.iter_mut().zip(definitions.conns).filter(|(_, conn)| is_twice(conn)) {
                life.fate = Fate::Other;
            }
            lot.briefs.retain(|brief| !is_twice(&brief.conn));
        }
        self.relying |= lot.briefs.iter().any(|brief| brief.relies);
        lot.until = lot.briefs.iter().map(|brief| brief.closed).max().unwrap_or(0).saturating_add(LINGER_NS);
        let found = !lot.briefs.is_empty();
        if found {
            self.lots.push_back(lot);
        }
        found
    }

    /// Adds to their groups those of which nothing can come any more at `now`.
    pub(crate) fn fold(&mut self, now: u64, groups: &mut Groups, events: &mut u64) {
        while let Some(lot) = self.lots.front_mut() {
            if lot.until > now {
                // Batches are seldom as long as this: what is left is few.
                if lot.briefs.first().is_some_and(|brief| brief.is_over(now.saturating_sub(LINGER_NS))) {
                    lot.places = None;
                    lot.briefs.retain(|brief| !brief.is_over(now) || brief.fold(groups, events));
                }
                return;
            }
            for brief in &lot.briefs {
                brief.fold(groups, events);
            }
            self.lots.pop_front();
        }
    }

    /// Of a connection that lingers, the events that are to go the other way, since somebody speaks of it at `at`.
    pub(crate) fn take(&mut self, conn: u64, at: u64) -> Option<[Event; 2]> {
        if self.before.is_none_or(|before| conn > before) {
            return None;
        }
        for lot in &mut self.lots {
            if let Some(place) = lot.find(conn)
                && let Some(brief) = lot.briefs.get(place).filter(|brief| !brief.is_over(at))
            {
                let events = brief.events(&lot.identities);
                lot.briefs.swap_remove(place);
                lot.places = None;
                return events;
            }
        }
        None
    }

    /// Likewise of all that linger at `at`.
    pub(crate) fn take_all(&mut self, at: u64) -> Vec<[Event; 2]> {
        self.take_some(at, |_| true)
    }

    /// Likewise of those that rely on it that nothing is known beside the connections.
    pub(crate) fn take_relying(&mut self, at: u64) -> Vec<[Event; 2]> {
        if std::mem::take(&mut self.relying) { self.take_some(at, |brief| brief.relies) } else { Vec::new() }
    }

    fn take_some(&mut self, at: u64, is_meant: impl Fn(&Brief) -> bool) -> Vec<[Event; 2]> {
        let mut events = Vec::new();
        for lot in &mut self.lots {
            lot.places = None;
            let taken = lot.briefs.extract_if(.., |brief| is_meant(brief) && !brief.is_over(at));
            events.extend(taken.filter_map(|brief| brief.events(&lot.identities)));
        }
        events
    }
}

/// Follows the events of each definition; false when none can be brief.
fn follow(lives: &mut Vec<Life>, batch: &Batch<'_>, section: &Section, groups: &Groups) -> bool {
    lives.clear();
    lives.resize(batch.definitions.conns.len(), Life::default());
    let (mut row, mut total, mut ticks) = (0, 0_u32, 0);
    let mut rows = batch.rows.iter();
    let mut any = false;
    for (kind, at) in batch.kinds.iter().zip(batch.at) {
        match *kind {
            Batch::OPEN => {
                let life = rows.next().and_then(|row| lives.get_mut(*row as usize));
                let Some(life) = life else { return false };
                let fate = if life.fate == Fate::Unseen { Fate::Open } else { Fate::Other };
                *life = Life { fate, opened: *at, ..*life };
            }
            Batch::SAMPLE | Batch::CLOSE => {
                let life = rows.next().and_then(|row| lives.get_mut(*row as usize));
                let Some(life) = life else { return false };
                let is_plain = *kind == Batch::CLOSE
                    && life.fate == Fate::Open
                    && batch.carried.get(row) == Some(&0)
                    && groups.is_one_window(section, life.opened, *at);
                let fate = if is_plain { Fate::Closed } else { Fate::Other };
                any |= is_plain;
                *life = Life { fate, total, closed: *at, ..*life };
                (row, total) = (row + 1, total + 1);
            }
            // Whoever misses one of two snapshots is taken for lost.
            Batch::TICK => ticks += 1,
            _ => {}
        }
    }
    any && ticks < 2
}

fn is_active(profile: &Profile, totals: &Totals) -> bool {
    profile.transport == Transport::Tcp || counts(totals, 0).is_active()
}

/// What happened in a connection; `tcp`: 1 when it was established and closed.
fn counts(totals: &Totals, tcp: u64) -> Counts {
    Counts {
        sent_bytes: totals.sent_bytes,
        recv_bytes: totals.recv_bytes,
        sent_packets: totals.sent_packets,
        recv_packets: totals.recv_packets,
        retransmits: totals.retransmits,
        established: tcp,
        closed: tcp,
        connect_failures: 0,
    }
}

impl Lot {
    fn find(&mut self, conn: u64) -> Option<usize> {
        let briefs = &self.briefs;
        let places = self
            .places
            .get_or_insert_with(|| briefs.iter().enumerate().map(|(place, brief)| (brief.conn, place)).collect());
        places.get(&conn).copied()
    }
}

impl Brief {
    fn is_over(&self, now: u64) -> bool {
        self.closed.saturating_add(LINGER_NS) <= now
    }

    /// Adds it to its group; false, for it is done.
    fn fold(&self, groups: &mut Groups, events: &mut u64) -> bool {
        *events += 2;
        match self.outcome {
            Outcome::LeftOut(cause) => groups.left_out.count(cause),
            Outcome::Row(row) => {
                let tcp = u64::from(self.is_tcp);
                let mut sums = Sums::of_one_connection(tcp > 0);
                let Totals { rtt_us, rtt_var_us, .. } = self.totals;
                sums.add(&Delta { slot: 0, at: self.closed, counts: counts(&self.totals, tcp), rtt_us, rtt_var_us });
                groups.rows.add(row, &sums);
            }
        }
        false
    }

    /// Its open and its close.
    fn events(&self, identities: &[Identity]) -> Option<[Event; 2]> {
        let like = identities.get(self.profile as usize)?;
        let service_port = if self.is_incoming { like.local.port() } else { like.remote.port() };
        let (local_port, remote_port) =
            if self.is_incoming { (service_port, self.port) } else { (self.port, service_port) };
        let identity = Identity {
            local: Endpoint::new(like.local.ip(), local_port),
            remote: Endpoint::new(self.remote, remote_port),
            opened_at: self.opened_at,
            ..like.clone()
        };
        let (conn, totals) = (self.conn, self.totals);
        // Whoever was established needs no states to tell that it was.
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        Some([
            Event { at: self.opened, body: Body::Open(Open { conn, identity: Arc::new(identity) }) },
            Event { at: self.closed, body: Body::Close(close) },
        ])
    }
}
