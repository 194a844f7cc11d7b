//! Brief connections: those whose whole life is in one batch of events.
//!
//! In: batches of columns. Out: the sums of these connections, added to their groups when nothing more can come of them.
//! Never here: any other connection, which takes the way of single events; a rule of its own about what counts.
//!
//! A brief connection is opened, closed and not heard of in between, so its only change are its last totals. What its group
//! depends on is found out once for each profile, address and port. For [`LINGER_NS`](crate::delta::LINGER_NS) after its
//! close somebody may still speak of it: then its open and close go the other way after all, before that event does.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::aggregate::Groups;
use crate::batch::{Batch, Block};
use crate::delta::{Counts, Delta, LINGER_NS};
use crate::event::{Body, Close, Event, Open, TcpStates, Totals, Transport};
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
    /// Its whole life is in the batch; it lingers.
    Brief,
    /// It was brief, and is in its group.
    Done,
    /// It goes the way of single events.
    Other,
}

/// The events of one definition in a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    opened: u64,
    closed: u64,
    outcome: Outcome,
    /// The row of totals of its close.
    total: u32,
    fate: Fate,
    is_tcp: bool,
    /// It is in its group because nothing is known beside the connections.
    relies: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Outcome {
    #[default]
    Unknown,
    LeftOut(LeftOut),
    Row(u32),
}

/// The connections of one batch.
#[derive(Debug)]
struct Lot {
    block: Arc<dyn Block>,
    /// By definition.
    lives: Vec<Life>,
    /// Until then any of them lingers.
    until: u64,
    /// The definition of each that is brief, by id, when somebody asks.
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
    /// Memory for the lives of the next lots.
    spare: Vec<Vec<Life>>,
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
            spare: Vec::new(),
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

    /// Nobody lingers any longer: everybody was taken.
    pub(crate) fn clear(&mut self) {
        self.spare.extend(self.lots.drain(..).map(|lot| lot.lives));
    }

    /// No connection lingers.
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

    /// The events of a definition of the batch that was sorted out last are those of a brief connection.
    pub(crate) fn is_brief(&self, row: usize) -> bool {
        let life = self.lots.back().and_then(|lot| lot.lives.get(row));
        life.is_some_and(|life| life.fate == Fate::Brief)
    }

    /// Finds the brief connections of a block and what becomes of them; false when there is none.
    pub(crate) fn sort_out(&mut self, block: &Arc<dyn Block>, section: &Section, groups: &mut Groups) -> bool {
        let mut lives = self.spare.pop().unwrap_or_default();
        let until = self.find(&block.batch(), &mut lives, section, groups);
        match until {
            Some(until) => self.lots.push_back(Lot { block: Arc::clone(block), lives, until, places: None }),
            None => self.spare.push(lives),
        }
        until.is_some()
    }

    /// The lives of a batch, and until when those that are brief linger; `None` when there is none.
    fn find(
        &mut self,
        batch: &Batch<'_>,
        lives: &mut Vec<Life>,
        section: &Section,
        groups: &mut Groups,
    ) -> Option<u64> {
        let plan = self.plan.as_ref()?;
        let has_attributes = batch.others.iter().flatten().any(|body| !matches!(body, Body::Loss(_)));
        let is_alone = section.surroundings.is_empty() && !has_attributes;
        let definitions = &batch.definitions;
        self.before = self.greatest;
        self.greatest = self.greatest.max(definitions.conns.iter().max().copied());
        if !follow(lives, batch, section, groups) {
            return None;
        }
        let is_ascending = definitions.conns.is_sorted_by(|a, b| a < b);
        self.ids.clear();
        self.known.begin(definitions.profiles.len(), definitions.addresses.len());
        let mut last = None;
        for (row, (life, conn)) in lives.iter_mut().zip(definitions.conns).enumerate() {
            let is_closed = std::mem::replace(&mut life.fate, Fate::Other) == Fate::Closed;
            let is_new = is_ascending || self.ids.insert(*conn);
            if !is_closed
                || !is_new
                || self.before.is_some_and(|before| *conn <= before) && {
                    section.deltas.slot_of(*conn).is_some() || self.lots.iter_mut().any(|lot| lot.find(*conn).is_some())
                }
            {
                continue;
            }
            let key = Key { batch, row };
            let Some(profile) = key.profile() else { continue };
            life.relies = !plan.is_told_by(profile);
            if !plan.is_possible(profile) || (life.relies && !is_alone) {
                continue;
            }
            life.is_tcp = profile.transport == Transport::Tcp;
            let is_active = life.is_tcp || counts(&batch.totals(life.total as usize), 0).is_active();
            let Some(outcome) = self.known.outcome(plan, key, section, groups, life.opened, is_active) else {
                continue;
            };
            life.outcome = outcome.map_or_else(Outcome::LeftOut, Outcome::Row);
            life.fate = Fate::Brief;
            self.relying |= life.relies;
            last = last.max(Some(life.closed));
        }
        // The same id twice in a batch: each of them is heard of again.
        if !is_ascending && self.ids.len() < lives.len() {
            let mut times: FxHashMap<u64, u32> = FxHashMap::default();
            definitions.conns.iter().for_each(|conn| *times.entry(*conn).or_default() += 1);
            let is_twice = |conn: &u64| times.get(conn).is_some_and(|times| *times > 1);
            for (life, _) in lives.iter_mut().zip(definitions.conns).filter(|(_, conn)| is_twice(conn)) {
                life.fate = Fate::Other;
            }
        }
        last.map(|last| last.saturating_add(LINGER_NS))
    }

    /// Adds to their groups those of which nothing can come any more at `now`; gives how many events they had.
    pub(crate) fn fold(&mut self, now: u64, groups: &mut Groups) -> u64 {
        let mut events = 0;
        while let Some(mut lot) = self.lots.pop_front() {
            events += lot.fold(now, groups);
            if lot.until > now {
                self.lots.push_front(lot);
                break;
            }
            self.spare.push(lot.lives);
        }
        events
    }

    /// Of a connection that lingers, the events that are to go the other way, since somebody speaks of it at `at`.
    pub(crate) fn take(&mut self, conn: u64, at: u64) -> Option<[Event; 2]> {
        if self.before.is_none_or(|before| conn > before) {
            return None;
        }
        self.lots.iter_mut().find_map(|lot| {
            let row = lot.find(conn)?;
            lot.take(row, at)
        })
    }

    /// Likewise of all that linger at `at`.
    pub(crate) fn take_all(&mut self, at: u64) -> Vec<[Event; 2]> {
        self.take_some(at, |_| true)
    }

    /// Likewise of those that rely on it that nothing is known beside the connections.
    pub(crate) fn take_relying(&mut self, at: u64) -> Vec<[Event; 2]> {
        if std::mem::take(&mut self.relying) { self.take_some(at, |life| life.relies) } else { Vec::new() }
    }

    fn take_some(&mut self, at: u64, is_meant: impl Fn(&Life) -> bool) -> Vec<[Event; 2]> {
        let mut events = Vec::new();
        for lot in &mut self.lots {
            for row in 0..lot.lives.len() {
                if lot.lives.get(row).is_some_and(&is_meant) {
                    events.extend(lot.take(row, at));
                }
            }
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
    /// The definition of a brief connection.
    fn find(&mut self, conn: u64) -> Option<usize> {
        let (block, lives) = (&self.block, &self.lives);
        let places = self.places.get_or_insert_with(|| {
            let conns = lives.iter().zip(block.batch().definitions.conns).enumerate();
            conns.filter(|(_, (life, _))| life.fate == Fate::Brief).map(|(row, (_, conn))| (*conn, row)).collect()
        });
        places.get(&conn).copied()
    }

    /// Adds to their groups those of which nothing can come any more at `now`; gives how many events they had.
    fn fold(&mut self, now: u64, groups: &mut Groups) -> u64 {
        let batch = self.block.batch();
        let mut events = 0;
        for life in self.lives.iter_mut().filter(|life| life.fate == Fate::Brief && life.is_over(now)) {
            life.fate = Fate::Done;
            events += 2;
            match life.outcome {
                Outcome::Unknown => {}
                Outcome::LeftOut(cause) => groups.left_out.count(cause),
                Outcome::Row(row) => groups.rows.add(row, &life.sums(&batch)),
            }
        }
        events
    }

    /// The open and the close of a connection, which is in no lot any longer.
    fn take(&mut self, row: usize, at: u64) -> Option<[Event; 2]> {
        let life = self.lives.get_mut(row).filter(|life| life.fate == Fate::Brief && !life.is_over(at))?;
        let batch = self.block.batch();
        let conn = *batch.definitions.conns.get(row)?;
        let identity = Arc::new(batch.definitions.identity(row)?);
        let totals = batch.totals(life.total as usize);
        life.fate = Fate::Other;
        self.places = None;
        // Whoever was established needs no states to tell that it was.
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        Some([
            Event { at: life.opened, body: Body::Open(Open { conn, identity }) },
            Event { at: life.closed, body: Body::Close(close) },
        ])
    }
}

impl Life {
    fn is_over(&self, now: u64) -> bool {
        self.closed.saturating_add(LINGER_NS) <= now
    }

    fn sums(&self, batch: &Batch<'_>) -> Sums {
        let totals = batch.totals(self.total as usize);
        let mut sums = Sums::of_one_connection(self.is_tcp);
        let Totals { rtt_us, rtt_var_us, .. } = totals;
        let counts = counts(&totals, self.is_tcp.into());
        sums.add(&Delta { slot: 0, at: self.closed, counts, rtt_us, rtt_var_us });
        sums
    }
}
