//! Lives: the connections of a batch of which nothing is told but that they are opened, or closed, or both.
//!
//! In: the columns of a batch. Out: its lives: whole ones, and halves of such as begin in one batch and end in the next. This
//! depends on nothing but the batch, so whoever has the columns finds them beside what is done with other batches. Never here:
//! what becomes of these connections.

use rustc_hash::FxHashSet;

use crate::batch::Batch;
use crate::event::Transport;

/// How far the life of a definition's connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    #[default]
    Unseen,
    /// It was opened.
    Begun,
    /// It was opened, and closed.
    Whole,
    /// It was closed.
    Ended,
    /// Something else was told.
    Other,
}

/// How it goes on when it is opened, spoken of, and closed without another word.
const NEXT: [[Fate; 3]; 5] = {
    use Fate::{Begun, Ended, Other, Whole};
    [[Begun, Other, Ended], [Other, Other, Whole], [Other; 3], [Other; 3], [Other; 3]]
};

/// A connection that was opened, or closed, or both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// Its row in the definitions.
    pub(crate) row: u32,
    /// The row of totals of its close, if that is here.
    pub(crate) total: u32,
    /// When it was opened, and closed. Where only one is here, the other says nothing.
    pub(crate) at: [u64; 2],
    pub(crate) is_tcp: bool,
}

/// What is told of a definition's connection.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    at: [u64; 2],
    total: u32,
    fate: Fate,
}

/// The lives of a batch, and memory for those of the next: in the order of their definitions. No connection is there twice, or
/// has another definition in the batch.
#[derive(Debug, Default)]
pub struct Lives {
    whole: Vec<Life>,
    begun: Vec<Life>,
    ended: Vec<Life>,
    greatest: Option<u64>,
    told: Vec<Told>,
}

impl Lives {
    /// Those that are opened and closed.
    pub(crate) fn whole(&self) -> &[Life] {
        &self.whole
    }

    /// Those that are opened, when there is no tick.
    pub(crate) fn begun(&self) -> &[Life] {
        &self.begun
    }

    /// Those that are closed.
    pub(crate) fn ended(&self) -> &[Life] {
        &self.ended
    }

    /// The greatest id of any connection of the batch.
    pub(crate) fn greatest(&self) -> Option<u64> {
        self.greatest
    }

    /// Forgets the batch.
    pub fn clear(&mut self) {
        self.whole.clear();
        self.begun.clear();
        self.ended.clear();
        self.greatest = None;
    }

    /// Finds those of a batch, of which `lives` says nothing yet.
    pub fn find(&mut self, batch: &Batch<'_>) {
        self.clear();
        let definitions = &batch.definitions;
        self.greatest = definitions.conns.iter().max().copied();
        if !batch.kinds.contains(&Batch::OPEN) && !batch.kinds.contains(&Batch::CLOSE) {
            return;
        }
        let ticks = batch.kinds.iter().filter(|kind| **kind == Batch::TICK).count();
        // Whoever misses one of two snapshots is taken for lost.
        if ticks > 1 || !self.follow(batch) {
            return;
        }
        // Each of these is heard of again.
        let twice = twice(definitions.conns);
        let told = self.told.iter().zip(definitions.conns).zip(definitions.profile_rows);
        for (row, ((told, conn), profile)) in (0..).zip(told) {
            let lives = match told.fate {
                Fate::Whole => &mut self.whole,
                Fate::Begun if ticks == 0 => &mut self.begun,
                Fate::Ended => &mut self.ended,
                Fate::Unseen | Fate::Begun | Fate::Other => continue,
            };
            if twice.is_empty() || !twice.contains(conn) {
                let profile = definitions.profiles.get(*profile as usize);
                let is_tcp = profile.is_some_and(|profile| profile.transport == Transport::Tcp);
                let [opened, _] = told.at;
                let at = if told.fate == Fate::Begun { [opened, opened] } else { told.at };
                lives.push(Life { row, total: told.total, at, is_tcp });
            }
        }
    }

    /// Follows the events of each definition; false when the columns do not fit each other. There are as many opens as closes
    /// in no order, which no processor guesses: so there is no choice between them.
    fn follow(&mut self, batch: &Batch<'_>) -> bool {
        self.told.clear();
        self.told.resize(batch.definitions.conns.len(), Told::default());
        let mut total = 0_u32;
        let mut rows = batch.rows.iter();
        for (kind, at) in batch.kinds.iter().zip(batch.at) {
            if *kind > Batch::CLOSE {
                continue;
            }
            let Some(told) = rows.next().and_then(|row| self.told.get_mut(*row as usize)) else { return false };
            let is_total = usize::from(*kind != Batch::OPEN);
            let is_carried = batch.carried.get(total as usize).is_none_or(|carried| *carried != 0);
            told.fate = NEXT[told.fate as usize][is_total + usize::from((*kind == Batch::CLOSE) & !is_carried)];
            told.at[is_total] = *at;
            told.total = total;
            total += u32::from(*kind != Batch::OPEN);
        }
        true
    }
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
