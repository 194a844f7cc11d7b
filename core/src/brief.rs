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
use crate::delta::{Counts, LINGER_NS};
use crate::event::{Body, Close, Event, Open, TcpStates, Totals, Transport};
use crate::key::{Key, Known, Outcome, Plan};
use crate::pipeline::{ReportOptions, Section};

/// Connections that are added together.
const TOGETHER: usize = 64;

/// What becomes of a definition's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    #[default]
    Unseen,
    Open,
    Closed,
    /// It goes the way of single events.
    Other,
    /// Its whole life is in the batch; it lingers, or is in its group.
    Brief,
}

/// What becomes of it when it is opened, spoken of, and closed without another word.
const NEXT: [[Fate; 3]; 5] = {
    use Fate::{Closed, Open, Other};
    [[Open, Other, Other], [Other, Other, Closed], [Other; 3], [Other; 3], [Other; 3]]
};

/// The events of one definition in a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    /// When it was opened, and closed.
    at: [u64; 2],
    outcome: Outcome,
    /// The row of totals of its close.
    total: u32,
    is_tcp: bool,
    /// It is in its group because nothing is known beside the connections.
    relies: bool,
}

/// The events of all definitions in a batch, by row.
#[derive(Debug, Default)]
struct Lives {
    fates: Vec<Fate>,
    /// Of those that were closed.
    lives: Vec<Life>,
}

/// The connections of one batch.
#[derive(Debug)]
struct Lot {
    block: Arc<dyn Block>,
    lives: Lives,
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
    spare: Vec<Lives>,
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
            known: Known::default(),
        }
    }

    /// Another section begins, where everything is in other groups.
    pub(crate) fn begin(&mut self) {
        self.lots.clear();
        (self.relying, self.greatest, self.before) = (false, None, None);
        self.known = Known::default();
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

    /// Which definitions of the batch that was sorted out last are those of brief connections.
    pub(crate) fn are_brief(&self, are_brief: &mut Vec<bool>) {
        are_brief.clear();
        let fates = self.lots.back().map(|lot| lot.lives.fates.iter());
        are_brief.extend(fates.into_iter().flatten().map(|fate| *fate == Fate::Brief));
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
    fn find(&mut self, batch: &Batch<'_>, found: &mut Lives, section: &Section, groups: &mut Groups) -> Option<u64> {
        let plan = self.plan.as_ref()?;
        let has_attributes = batch.others.iter().flatten().any(|body| !matches!(body, Body::Loss(_)));
        let is_alone = section.surroundings.is_empty() && !has_attributes;
        let definitions = &batch.definitions;
        self.before = self.greatest;
        self.greatest = self.greatest.max(definitions.conns.iter().max().copied());
        if !follow(found, batch) {
            return None;
        }
        // Each of these is heard of again.
        let twice = twice(definitions.conns);
        self.known.begin(plan, definitions.profiles.len(), definitions.addresses.len());
        let mut last = None;
        let Lives { fates, lives } = found;
        for (row, (fate, conn)) in fates.iter_mut().zip(definitions.conns).enumerate() {
            let is_closed = std::mem::replace(fate, Fate::Other) == Fate::Closed;
            if !is_closed
                || !twice.is_empty() && twice.contains(conn)
                || self.before.is_some_and(|before| *conn <= before) && {
                    section.deltas.slot_of(*conn).is_some() || self.lots.iter_mut().any(|lot| lot.find(*conn).is_some())
                }
            {
                continue;
            }
            let (Some(life), Some(key)) = (lives.get_mut(row), Key::new(definitions, row)) else { continue };
            let [opened, closed] = life.at;
            life.relies = !plan.is_told_by(key.profile);
            life.is_tcp = key.profile.transport == Transport::Tcp;
            if !plan.is_possible(key.profile)
                || (life.relies && !is_alone)
                || !groups.is_one_window(section, opened, closed)
            {
                continue;
            }
            let is_active = || life.is_tcp || counts(&batch.totals(life.total as usize), 0).is_active();
            let Some(outcome) = self.known.outcome(plan, &key, section, groups, opened, is_active) else {
                continue;
            };
            life.outcome = outcome;
            *fate = Fate::Brief;
            self.relying |= life.relies;
            last = last.max(Some(closed));
            if self.known.is_full() {
                self.known.settle(plan, batch, groups, |row, group| settle(lives, row, group));
            }
        }
        self.known.settle(plan, batch, groups, |row, group| settle(lives, row, group));
        last.map(|last| last.saturating_add(LINGER_NS))
    }

    /// Adds to their groups those of blocks of which nothing can come any more at `now`; gives how many events they had.
    pub(crate) fn fold(&mut self, now: u64, groups: &mut Groups) -> u64 {
        let mut events = 0;
        while let Some(lot) = self.lots.pop_front_if(|lot| lot.until <= now) {
            events += lot.fold(groups);
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
            for row in 0..lot.lives.fates.len() {
                if lot.lives.lives.get(row).is_some_and(&is_meant) {
                    events.extend(lot.take(row, at));
                }
            }
        }
        events
    }
}

/// Follows the events of each definition; false when none can be brief. There are as many opens as closes in no order, which
/// no processor guesses: so there is no choice between them.
fn follow(found: &mut Lives, batch: &Batch<'_>) -> bool {
    let Lives { fates, lives } = found;
    let count = batch.definitions.conns.len();
    fates.clear();
    fates.resize(count, Fate::Unseen);
    lives.resize(count, Life::default());
    let (mut total, mut ticks) = (0_u32, 0);
    let mut rows = batch.rows.iter();
    for (kind, at) in batch.kinds.iter().zip(batch.at) {
        if *kind > Batch::CLOSE {
            // Whoever misses one of two snapshots is taken for lost.
            ticks += u32::from(*kind == Batch::TICK);
            continue;
        }
        let Some(row) = rows.next().map(|row| *row as usize) else { return false };
        let (Some(fate), Some(life)) = (fates.get_mut(row), lives.get_mut(row)) else { return false };
        let is_total = usize::from(*kind != Batch::OPEN);
        let is_carried = batch.carried.get(total as usize).is_none_or(|carried| *carried != 0);
        *fate = NEXT[*fate as usize][is_total + usize::from((*kind == Batch::CLOSE) & !is_carried)];
        life.at[is_total] = *at;
        life.total = total;
        total += u32::from(*kind != Batch::OPEN);
    }
    ticks < 2 && fates.contains(&Fate::Closed)
}

/// The ids that stand there more than once. Most ids are greater than all before them.
fn twice(ids: &[u64]) -> FxHashSet<u64> {
    let (mut twice, mut others) = (FxHashSet::default(), FxHashSet::default());
    let mut peaks: Vec<u64> = Vec::new();
    if ids.is_sorted_by(|a, b| a < b) {
        return twice;
    }
    for id in ids {
        if peaks.last().is_none_or(|peak| id > peak) {
            peaks.push(*id);
        } else if peaks.binary_search(id).is_ok() || !others.insert(*id) {
            twice.insert(*id);
        }
    }
    twice
}

fn settle(lives: &mut [Life], row: usize, group: u32) {
    if let Some(life) = lives.get_mut(row) {
        life.outcome = Outcome::Row(group);
    }
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
        let (block, fates) = (&self.block, &self.lives.fates);
        let places = self.places.get_or_insert_with(|| {
            let conns = fates.iter().zip(block.batch().definitions.conns).enumerate();
            conns.filter(|(_, (fate, _))| **fate == Fate::Brief).map(|(row, (_, conn))| (*conn, row)).collect()
        });
        places.get(&conn).copied()
    }

    /// Adds all to their groups; gives how many events they had.
    fn fold(&self, groups: &mut Groups) -> u64 {
        let totals = self.block.batch().totals;
        let mut events = 0;
        for (fates, lives) in self.lives.fates.chunks(TOGETHER).zip(self.lives.lives.chunks(TOGETHER)) {
            let brief = || fates.iter().zip(lives).filter(|(fate, _)| **fate == Fate::Brief).map(|(_, life)| life);
            groups.rows.expect(brief().filter_map(|life| match life.outcome {
                Outcome::Row(row) => Some(row),
                _ => None,
            }));
            for life in brief() {
                events += 2;
                match life.outcome {
                    Outcome::Row(row) => groups.rows.add_one(row, life.is_tcp, &totals, life.total as usize),
                    Outcome::LeftOut(cause) => groups.left_out.count(cause),
                    Outcome::Waits => {}
                }
            }
        }
        events
    }

    /// The open and the close of a connection, which is in no lot any longer.
    fn take(&mut self, row: usize, at: u64) -> Option<[Event; 2]> {
        let fate = self.lives.fates.get_mut(row).filter(|fate| **fate == Fate::Brief)?;
        let life = self.lives.lives.get(row).filter(|life| !life.is_over(at))?;
        let batch = self.block.batch();
        let conn = *batch.definitions.conns.get(row)?;
        let identity = Arc::new(batch.definitions.identity(row)?);
        let totals = batch.totals(life.total as usize);
        *fate = Fate::Other;
        self.places = None;
        let [opened, closed] = life.at;
        // Whoever was established needs no states to tell that it was.
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        Some([
            Event { at: opened, body: Body::Open(Open { conn, identity }) },
            Event { at: closed, body: Body::Close(close) },
        ])
    }
}

impl Life {
    fn is_over(&self, now: u64) -> bool {
        let [_, closed] = self.at;
        closed.saturating_add(LINGER_NS) <= now
    }
}
