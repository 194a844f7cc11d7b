//! The brief connections of one batch while they linger.
//!
//! In: the batch, what becomes of its lives. Out: their sums, added to their groups; or their events, for who speaks of them
//! after all. Never here: which connections are brief.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::aggregate::Groups;
use crate::batch::{Batch, Block, Lives};
use crate::delta::LINGER_NS;
use crate::event::{Body, Close, Event, Open, TcpStates};
use crate::key::Outcome;
use crate::lives::Life;
use crate::rows::Rows;

/// Connections that are added together.
const TOGETHER: usize = 64;

/// The brief connections of one batch.
#[derive(Debug)]
pub(crate) struct Lot {
    pub(crate) block: Arc<dyn Block>,
    /// What becomes of each of its whole lives.
    pub(crate) outcomes: Vec<Outcome>,
    /// Those that began in the batch before, and that batch.
    pub(crate) crossing: Vec<Crossing>,
    pub(crate) before: Option<Arc<dyn Block>>,
    /// Until then any of them lingers.
    pub(crate) until: u64,
    /// The place of each by id, when somebody asks: among whole lives, and behind these among the others.
    places: Option<FxHashMap<u64, usize>>,
}

/// A connection that began in the batch before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crossing {
    /// Its id.
    pub(crate) conn: u64,
    /// As of a whole life, with the row of its definition in the batch before.
    pub(crate) life: Life,
    pub(crate) is_tcp: bool,
    pub(crate) outcome: Outcome,
    /// It relies on it that nothing is known beside the connections.
    pub(crate) relies: bool,
}

/// Tells of the whole life in a row whether it relies on it that nothing is known beside the connections.
pub(crate) type Relies<'a> = &'a dyn Fn(&Batch<'_>, u32) -> bool;

/// The rows of the whole lives of a batch.
fn whole<'a>(batch: &Batch<'a>) -> &'a [u32] {
    batch.lives.map_or(&[], Lives::whole)
}

/// The open of a connection.
pub(crate) fn open(batch: &Batch<'_>, life: &Life) -> Option<Event> {
    let conn = *batch.definitions.conns.get(life.row as usize)?;
    let identity = Arc::new(batch.definitions.identity(life.row as usize)?);
    let [opened, _] = life.at;
    Some(Event { at: opened, body: Body::Open(Open { conn, identity }) })
}

impl Lot {
    /// Those of a block that linger until then.
    pub(crate) fn new(
        block: Arc<dyn Block>,
        outcomes: Vec<Outcome>,
        crossing: Vec<Crossing>,
        before: Option<Arc<dyn Block>>,
        until: u64,
    ) -> Self {
        Self { block, outcomes, crossing, before, until, places: None }
    }

    /// The place of a connection.
    pub(crate) fn find(&mut self, conn: u64) -> Option<usize> {
        let (block, outcomes, crossing) = (&self.block, &self.outcomes, &self.crossing);
        let places = self.places.get_or_insert_with(|| {
            let batch = block.batch();
            let lives = whole(&batch).iter().zip(outcomes).map(|(row, outcome)| {
                let conn = batch.definitions.conns.get(*row as usize).copied();
                conn.filter(|_| outcome.is_brief())
            });
            let crossing = crossing.iter().map(|crossing| Some(crossing.conn).filter(|_| crossing.outcome.is_brief()));
            let conns = lives.chain(crossing).enumerate();
            conns.filter_map(|(place, conn)| Some((conn?, place))).collect()
        });
        places.get(&conn).copied()
    }

    /// Adds to their groups whoever is not counted yet; gives how many events all had.
    pub(crate) fn fold(&self, groups: &mut Groups) -> u64 {
        let batch = self.block.batch();
        let Some(lives) = batch.lives else { return 0 };
        let mut events = 0;
        let chunks = lives.whole().chunks(TOGETHER).zip(self.outcomes.chunks(TOGETHER));
        for (rows, outcomes) in chunks {
            groups.rows.expect(outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Row(row) => Some(*row),
                _ => None,
            }));
            events += rows
                .iter()
                .zip(outcomes)
                .map(|(row, outcome)| {
                    let is_tcp = || batch.is_tcp(*row as usize);
                    fold(&batch, &lives.life(*row), is_tcp, *outcome, groups)
                })
                .sum::<u64>();
        }
        let crossing = self.crossing.iter();
        events + crossing.map(|one| fold(&batch, &one.life, || one.is_tcp, one.outcome, groups)).sum::<u64>()
    }

    /// The open and the close of a connection, which is here no longer, nor in any row; nothing if nobody can speak of it any
    /// more at `at`.
    pub(crate) fn take(&mut self, place: usize, at: u64, rows: &mut Rows) -> Option<[Event; 2]> {
        let batch = self.block.batch();
        let lives = batch.lives?;
        let (life, outcome, before) = match lives.whole().get(place) {
            Some(row) => (lives.life(*row), self.outcomes.get_mut(place)?, None),
            None => {
                let crossing = self.crossing.get_mut(place.checked_sub(lives.whole().len())?)?;
                (crossing.life, &mut crossing.outcome, self.before.as_ref())
            }
        };
        let [_, closed] = life.at;
        if !outcome.is_brief() || closed.saturating_add(LINGER_NS) <= at {
            return None;
        }
        let open = open(&before.unwrap_or(&self.block).batch(), &life)?;
        if let Outcome::Counted(row) = std::mem::take(outcome) {
            rows.leave(row);
        }
        self.places = None;
        let conn = open.body.conn()?;
        let totals = batch.totals(life.total as usize);
        // Whoever was established needs no states to tell that it was.
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        Some([open, Event { at: closed, body: Body::Close(close) }])
    }

    /// Likewise of all, or of those that rely on it that nothing is known beside the connections.
    pub(crate) fn take_some(&mut self, at: u64, rows: &mut Rows, relies: Option<Relies<'_>>) -> Vec<[Event; 2]> {
        let block = Arc::clone(&self.block);
        let batch = block.batch();
        let lives = whole(&batch).iter().map(|row| relies.is_none_or(|relies| relies(&batch, *row)));
        let crossing = self.crossing.iter().map(|crossing| relies.is_none() || crossing.relies);
        let places: Vec<usize> =
            lives.chain(crossing).enumerate().filter(|(_, is_meant)| *is_meant).map(|(place, _)| place).collect();
        places.into_iter().filter_map(|place| self.take(place, at, rows)).collect()
    }
}

/// Adds a connection to its group; gives how many events it had.
#[inline]
fn fold(batch: &Batch<'_>, life: &Life, is_tcp: impl FnOnce() -> bool, outcome: Outcome, groups: &mut Groups) -> u64 {
    match outcome {
        Outcome::Row(row) => groups.rows.add_one(row, is_tcp(), &batch.totals, life.total as usize),
        Outcome::LeftOut(cause) => groups.left_out.count(cause),
        Outcome::Waits | Outcome::Counted(_) => {}
        Outcome::Other => return 0,
    }
    2
}
