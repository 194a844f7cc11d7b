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

use rustc_hash::FxHashMap;

use crate::aggregate::Groups;
use crate::batch::{Batch, Block, Lives};
use crate::delta::{Counts, LINGER_NS};
use crate::event::{Body, Close, Event, Open, TcpStates, Totals};
use crate::key::{Key, Known, Outcome, Plan};
use crate::lives::Life;
use crate::pipeline::{ReportOptions, Section};

/// Connections that are added together.
const TOGETHER: usize = 64;

/// The connections of one batch.
#[derive(Debug)]
struct Lot {
    block: Arc<dyn Block>,
    /// What becomes of each of its whole lives.
    outcomes: Vec<Outcome>,
    /// Until then any of them lingers.
    until: u64,
    /// The place of each that is brief, by id, when somebody asks.
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
    /// Memory for the outcomes of the next lots.
    spare: Vec<Vec<Outcome>>,
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
        let Some(lot) = self.lots.back() else { return };
        let batch = lot.block.batch();
        are_brief.resize(batch.definitions.conns.len(), false);
        for (life, _) in lot.brief(&batch) {
            if let Some(is_brief) = are_brief.get_mut(life.row as usize) {
                *is_brief = true;
            }
        }
    }

    /// Finds the brief connections of a block and what becomes of them; false when there is none.
    pub(crate) fn sort_out(&mut self, block: &Arc<dyn Block>, section: &Section, groups: &mut Groups) -> bool {
        let mut outcomes = self.spare.pop().unwrap_or_default();
        let until = self.find(&block.batch(), &mut outcomes, section, groups);
        match until {
            Some(until) => self.lots.push_back(Lot { block: Arc::clone(block), outcomes, until, places: None }),
            None => self.spare.push(outcomes),
        }
        until.is_some()
    }

    /// What becomes of each whole life of a batch, and until when those that are brief linger; `None` when there is none.
    fn find(
        &mut self,
        batch: &Batch<'_>,
        outcomes: &mut Vec<Outcome>,
        section: &Section,
        groups: &mut Groups,
    ) -> Option<u64> {
        let plan = self.plan.as_ref()?;
        let definitions = &batch.definitions;
        let lives = batch.lives.map_or(&[][..], Lives::all);
        self.before = self.greatest;
        self.greatest = self.greatest.max(batch.lives.and_then(Lives::greatest));
        if lives.is_empty() {
            return None;
        }
        let has_attributes = batch.others.iter().flatten().any(|body| !matches!(body, Body::Loss(_)));
        let is_alone = section.surroundings.is_empty() && !has_attributes;
        self.known.begin(plan, definitions, is_alone);
        self.relying |= self.known.some_rely();
        outcomes.clear();
        outcomes.resize(lives.len(), Outcome::Other);
        let mut last = None;
        for (place, life) in lives.iter().enumerate() {
            let Some(key) = Key::new(definitions, life.row as usize) else { continue };
            let [opened, closed] = life.at;
            if !self.known.is_possible(&key)
                || !groups.is_one_window(section, opened, closed)
                || self.before.is_some_and(|before| key.conn <= before) && {
                    let is_meant = self.lots.iter_mut().any(|lot| lot.find(key.conn).is_some());
                    is_meant || section.deltas.slot_of(key.conn).is_some()
                }
            {
                continue;
            }
            let is_active = || life.is_tcp || counts(&batch.totals(life.total as usize), 0).is_active();
            let Some(outcome) = self.known.outcome(plan, &key, section, groups, (place, life), is_active) else {
                continue;
            };
            if let Some(known) = outcomes.get_mut(place) {
                *known = outcome;
            }
            last = last.max(Some(closed));
            if self.known.is_full() {
                self.known.settle(plan, batch, groups, |place, group| settle(outcomes, place, group));
            }
        }
        self.known.settle(plan, batch, groups, |place, group| settle(outcomes, place, group));
        last.map(|last| last.saturating_add(LINGER_NS))
    }

    /// Adds to their groups those of blocks of which nothing can come any more at `now`; gives how many events they had.
    pub(crate) fn fold(&mut self, now: u64, groups: &mut Groups) -> u64 {
        let mut events = 0;
        while let Some(lot) = self.lots.pop_front_if(|lot| lot.until <= now) {
            events += lot.fold(groups);
            self.spare.push(lot.outcomes);
        }
        events
    }

    /// Of a connection that lingers, the events that are to go the other way, since somebody speaks of it at `at`.
    pub(crate) fn take(&mut self, conn: u64, at: u64) -> Option<[Event; 2]> {
        if self.before.is_none_or(|before| conn > before) {
            return None;
        }
        self.lots.iter_mut().find_map(|lot| {
            let place = lot.find(conn)?;
            lot.take(place, at)
        })
    }

    /// Likewise of all that linger at `at`.
    pub(crate) fn take_all(&mut self, at: u64) -> Vec<[Event; 2]> {
        self.lots.iter_mut().flat_map(|lot| lot.take_some(at, |_, _| true)).collect()
    }

    /// Likewise of those that rely on it that nothing is known beside the connections.
    pub(crate) fn take_relying(&mut self, at: u64) -> Vec<[Event; 2]> {
        let Some(plan) = self.plan.as_ref().filter(|_| std::mem::take(&mut self.relying)) else { return Vec::new() };
        let relies = |batch: &Batch<'_>, life: &Life| {
            Key::new(&batch.definitions, life.row as usize).is_some_and(|key| !plan.is_told_by(key.profile))
        };
        self.lots.iter_mut().flat_map(|lot| lot.take_some(at, relies)).collect()
    }
}

fn settle(outcomes: &mut [Outcome], place: usize, group: u32) {
    if let Some(outcome) = outcomes.get_mut(place) {
        *outcome = Outcome::Row(group);
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
    /// Its brief connections, and what becomes of them.
    fn brief<'a>(&'a self, batch: &Batch<'a>) -> impl Iterator<Item = (&'a Life, Outcome)> {
        let lives = batch.lives.map_or(&[][..], Lives::all).iter().zip(self.outcomes.iter().copied());
        lives.filter(|(_, outcome)| !matches!(outcome, Outcome::Other))
    }

    /// The place of a brief connection.
    fn find(&mut self, conn: u64) -> Option<usize> {
        let (block, outcomes) = (&self.block, &self.outcomes);
        let places = self.places.get_or_insert_with(|| {
            let batch = block.batch();
            let lives = batch.lives.map_or(&[][..], Lives::all).iter().zip(outcomes).enumerate();
            let brief = lives.filter(|(_, (_, outcome))| !matches!(outcome, Outcome::Other));
            let conns = brief.map(|(place, (life, _))| (batch.definitions.conns.get(life.row as usize), place));
            conns.filter_map(|(conn, place)| Some((*conn?, place))).collect()
        });
        places.get(&conn).copied()
    }

    /// Adds all to their groups; gives how many events they had.
    fn fold(&self, groups: &mut Groups) -> u64 {
        let batch = self.block.batch();
        let lives = batch.lives.map_or(&[][..], Lives::all);
        let mut events = 0;
        for (lives, outcomes) in lives.chunks(TOGETHER).zip(self.outcomes.chunks(TOGETHER)) {
            groups.rows.expect(outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Row(row) => Some(*row),
                _ => None,
            }));
            for (life, outcome) in lives.iter().zip(outcomes) {
                events += 2;
                match outcome {
                    Outcome::Row(row) => groups.rows.add_one(*row, life.is_tcp, &batch.totals, life.total as usize),
                    Outcome::LeftOut(cause) => groups.left_out.count(*cause),
                    Outcome::Other => events -= 2,
                    Outcome::Waits => {}
                }
            }
        }
        events
    }

    /// The open and the close of a connection, which is in no lot any longer.
    fn take(&mut self, place: usize, at: u64) -> Option<[Event; 2]> {
        let outcome = self.outcomes.get_mut(place).filter(|outcome| !matches!(outcome, Outcome::Other))?;
        let batch = self.block.batch();
        let life = batch.lives?.all().get(place).filter(|life| !is_over(life, at))?;
        let row = life.row as usize;
        let conn = *batch.definitions.conns.get(row)?;
        let identity = Arc::new(batch.definitions.identity(row)?);
        let totals = batch.totals(life.total as usize);
        *outcome = Outcome::Other;
        self.places = None;
        let [opened, closed] = life.at;
        // Whoever was established needs no states to tell that it was.
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        Some([
            Event { at: opened, body: Body::Open(Open { conn, identity }) },
            Event { at: closed, body: Body::Close(close) },
        ])
    }

    fn take_some(&mut self, at: u64, is_meant: impl Fn(&Batch<'_>, &Life) -> bool) -> Vec<[Event; 2]> {
        let block = Arc::clone(&self.block);
        let batch = block.batch();
        let lives = batch.lives.map_or(&[][..], Lives::all).iter().enumerate();
        lives.filter(|(_, life)| is_meant(&batch, life)).filter_map(|(place, _)| self.take(place, at)).collect()
    }
}

/// Nothing can come of it any more.
fn is_over(life: &Life, now: u64) -> bool {
    let [_, closed] = life.at;
    closed.saturating_add(LINGER_NS) <= now
}
