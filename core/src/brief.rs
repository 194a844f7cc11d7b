//! Brief connections: those whose whole life is in one batch of events, or in two that follow each other.
//!
//! In: batches of columns. Out: the sums of these connections, added to their groups when nothing more can come of them.
//! Never here: any other connection, which takes the way of single events; a rule of its own about what counts.
//!
//! A brief connection is opened, closed and not heard of in between, so its only change are its last totals. What its group
//! depends on is found out once for each profile, address and port. For [`LINGER_NS`] after its
//! close somebody may still speak of it: then its open and close go the other way after all, before that event does.
//!
//! One that is opened in a batch and not heard of again in it is a half. In the next batch it is closed without another word,
//! or its open goes the other way, before anything else does that is in the batch.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::aggregate::Groups;
use crate::batch::{Batch, Block, Lives};
use crate::delta::{Counts, LINGER_NS};
use crate::event::{Body, Event, Totals};
use crate::filter::LeftOut;
use crate::key::{Key, Known, Outcome};
use crate::lives::Life;
use crate::lot::{Crossing, Lot, open};
use crate::pipeline::{ReportOptions, Section};
use crate::plan::Plan;
use crate::rows::Rows;

/// Connections that began in a batch, of which nothing else is known yet.
#[derive(Debug)]
struct Halves {
    block: Arc<dyn Block>,
    /// By id.
    lives: FxHashMap<u64, Crossing>,
}

/// The brief connections of a section.
#[derive(Debug)]
pub(crate) struct Briefs {
    plan: Option<Plan>,
    lots: VecDeque<Lot>,
    /// Of the batch before, and of the present one.
    halves: Option<Halves>,
    next_halves: Option<Halves>,
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
            halves: None,
            next_halves: None,
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
        (self.halves, self.next_halves) = (None, None);
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
        self.halves = self.next_halves.take();
    }

    /// Finds the brief connections of a block and what becomes of them. By definition of the block, `are_brief` tells whose
    /// events do not go the way of single events; it is empty when that is so for none.
    pub(crate) fn sort_out(
        &mut self,
        block: &Arc<dyn Block>,
        section: &Section,
        groups: &mut Groups,
        are_brief: &mut Vec<bool>,
    ) {
        let batch = block.batch();
        are_brief.clear();
        self.before = self.greatest;
        self.greatest = self.greatest.max(batch.lives.and_then(Lives::greatest));
        let Some(lives) = batch.lives.filter(|_| self.plan.is_some()) else { return };
        if lives.whole().is_empty() && lives.begun().is_empty() && (lives.ended().is_empty() || self.halves.is_none()) {
            return;
        }
        let has_attributes = batch.others.iter().flatten().any(|body| !matches!(body, Body::Loss(_)));
        let is_alone = section.surroundings.is_empty() && !has_attributes;
        are_brief.resize(batch.definitions.conns.len(), false);
        let mut mark = |life: &Life| {
            if let Some(is_brief) = are_brief.get_mut(life.row as usize) {
                *is_brief = true;
            }
        };
        let is_whole = |at: [u64; 2]| groups.is_one_window(section, at[0], at[1]);
        let crossing = self.complete(&batch, lives, is_alone, is_whole, &mut mark);
        if let Some(plan) = &self.plan {
            self.known.begin(plan, &batch.definitions, is_alone);
        }
        let mut outcomes = self.spare.pop().unwrap_or_default();
        self.next_halves = self.begin_halves(block, lives, &mut outcomes, section, groups, &mut mark);
        let mut last = crossing.iter().map(|crossing| crossing.life.at[1]).max();
        self.find(&batch, lives, lives.whole(), &mut outcomes, section, groups, true, |life| {
            mark(life);
            last = last.max(Some(life.at[1]));
        });
        match last {
            Some(last) => {
                let before = self.halves.as_ref().filter(|_| !crossing.is_empty());
                let before = before.map(|halves| Arc::clone(&halves.block));
                let until = last.saturating_add(LINGER_NS);
                self.lots.push_back(Lot::new(Arc::clone(block), outcomes, crossing, before, until));
            }
            None => self.spare.push(outcomes),
        }
    }

    /// Those that are opened and may be closed in the next batch.
    fn begin_halves(
        &mut self,
        block: &Arc<dyn Block>,
        lives: &Lives,
        outcomes: &mut Vec<Outcome>,
        section: &Section,
        groups: &mut Groups,
        mut mark: impl FnMut(&Life),
    ) -> Option<Halves> {
        let batch = block.batch();
        self.find(&batch, lives, lives.begun(), outcomes, section, groups, false, |_| {});
        let mut begun = FxHashMap::default();
        for (row, outcome) in lives.begun().iter().zip(outcomes).filter(|(_, outcome)| outcome.is_brief()) {
            let (life, is_tcp) = (lives.life(*row), batch.is_tcp(*row as usize));
            // Of others it is not known yet whether anything happens in them.
            if (is_tcp || groups.keeps_idle())
                && let Some(key) = Key::new(&batch.definitions, *row as usize)
            {
                let relies = self.known.relies(&key);
                mark(&life);
                begun.insert(key.conn, Crossing { conn: key.conn, life, is_tcp, outcome: *outcome, relies });
            }
        }
        (!begun.is_empty()).then(|| Halves { block: Arc::clone(block), lives: begun })
    }

    /// Those of the halves that are closed here without another word.
    fn complete(
        &mut self,
        batch: &Batch<'_>,
        lives: &Lives,
        is_alone: bool,
        is_whole: impl Fn([u64; 2]) -> bool,
        mut mark: impl FnMut(&Life),
    ) -> Vec<Crossing> {
        let Some(halves) = self.halves.as_mut().filter(|_| !lives.ended().is_empty()) else { return Vec::new() };
        let mut crossing = Vec::new();
        for end in lives.ended().iter().map(|row| lives.life(*row)) {
            let Some(conn) = batch.definitions.conns.get(end.row as usize) else { continue };
            let Some(half) = halves.lives.get(conn) else { continue };
            let at = [half.life.at[0], end.at[1]];
            if is_whole(at) && (is_alone || !half.relies) {
                crossing.push(Crossing { life: Life { at, total: end.total, ..half.life }, ..*half });
                mark(&end);
                self.relying |= half.relies;
                halves.lives.remove(conn);
            }
        }
        crossing
    }

    /// What becomes of the lives in these rows; tells those that are brief. Those that are whole are counted at once where each has a
    /// row of its own.
    #[expect(clippy::too_many_arguments, reason = "what is asked, what is known, and who wants to know")]
    fn find(
        &mut self,
        batch: &Batch<'_>,
        lives: &Lives,
        rows: &[u32],
        outcomes: &mut Vec<Outcome>,
        section: &Section,
        groups: &mut Groups,
        are_whole: bool,
        mut tell: impl FnMut(&Life),
    ) {
        let Some(plan) = &self.plan else { return };
        let definitions = &batch.definitions;
        let counts_now = are_whole && groups.rows.are_by_connection();
        let settle = |outcomes: &mut [Outcome], groups: &mut Groups, place: usize, group: u32| {
            if let (Some(outcome), Some(row)) = (outcomes.get_mut(place), rows.get(place)) {
                *outcome = if counts_now { Outcome::Counted(group) } else { Outcome::Row(group) };
                if counts_now {
                    let total = lives.life(*row).total as usize;
                    groups.rows.add_one(group, batch.is_tcp(*row as usize), &batch.totals, total);
                }
            }
        };
        outcomes.clear();
        outcomes.resize(rows.len(), Outcome::Other);
        for (place, row) in rows.iter().enumerate() {
            let Some(conn) = definitions.conns.get(*row as usize) else { continue };
            let life = lives.life(*row);
            let [opened, closed] = life.at;
            if !groups.is_one_window(section, opened, closed)
                || self.before.is_some_and(|before| *conn <= before) && {
                    let is_meant = self.lots.iter_mut().any(|lot| lot.find(*conn).is_some());
                    let is_half = self.halves.as_ref().is_some_and(|halves| halves.lives.contains_key(conn));
                    is_meant || is_half || section.deltas.slot_of(*conn).is_some()
                }
            {
                continue;
            }
            if plan.filter.is_some()
                && let Some(relies) = self.known.leaves_out(definitions, *row as usize)
                && let Some(outcome) = outcomes.get_mut(place)
            {
                *outcome = Outcome::LeftOut(LeftOut::Filter);
                self.relying |= relies;
                tell(&life);
                continue;
            }
            let Some(key) = Key::new(definitions, *row as usize).filter(|key| self.known.is_possible(key)) else {
                continue;
            };
            let is_active = || key.is_tcp() || counts(&batch.totals(life.total as usize)).is_active();
            let Some(outcome) = self.known.outcome(plan, &key, section, groups, (place, opened), is_active) else {
                continue;
            };
            if let Some(known) = outcomes.get_mut(place) {
                *known = outcome;
                self.relying |= self.known.relies(&key);
                tell(&life);
            }
            if self.known.is_full() {
                self.known.settle(plan, batch, groups, |groups, place, group| settle(outcomes, groups, place, group));
            }
        }
        self.known.settle(plan, batch, groups, |groups, place, group| settle(outcomes, groups, place, group));
    }

    /// The opens of the halves of the batch before, which are none any longer, in order of time.
    pub(crate) fn take_halves(&mut self) -> Vec<Event> {
        let Some(halves) = self.halves.take() else { return Vec::new() };
        let batch = halves.block.batch();
        let mut lives: Vec<Life> = halves.lives.into_values().map(|half| half.life).collect();
        lives.sort_unstable_by_key(|life| (life.at[0], batch.definitions.conns.get(life.row as usize)));
        lives.iter().filter_map(|life| open(&batch, life)).collect()
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
    pub(crate) fn take(&mut self, conn: u64, at: u64, rows: &mut Rows) -> Option<[Event; 2]> {
        if self.before.is_none_or(|before| conn > before) {
            return None;
        }
        self.lots.iter_mut().find_map(|lot| {
            let place = lot.find(conn)?;
            lot.take(place, at, rows)
        })
    }

    /// Likewise of all that linger at `at`.
    pub(crate) fn take_all(&mut self, at: u64, rows: &mut Rows) -> Vec<[Event; 2]> {
        self.lots.iter_mut().flat_map(|lot| lot.take_some(at, rows, None)).collect()
    }

    /// Likewise of those that rely on it that nothing is known beside the connections.
    pub(crate) fn take_relying(&mut self, at: u64, rows: &mut Rows) -> Vec<[Event; 2]> {
        let Some(plan) = self.plan.as_ref().filter(|_| std::mem::take(&mut self.relying)) else { return Vec::new() };
        let relies = |batch: &Batch<'_>, row: u32| {
            Key::new(&batch.definitions, row as usize).is_some_and(|key| !plan.is_told_by(key.profile))
        };
        self.lots.iter_mut().flat_map(|lot| lot.take_some(at, rows, Some(&relies))).collect()
    }
}

/// What was counted in a connection.
fn counts(totals: &Totals) -> Counts {
    Counts {
        sent_bytes: totals.sent_bytes,
        recv_bytes: totals.recv_bytes,
        sent_packets: totals.sent_packets,
        recv_packets: totals.recv_packets,
        retransmits: totals.retransmits,
        ..Counts::default()
    }
}
