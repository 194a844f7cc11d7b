//! Lives: the connections of a batch of which nothing is told but that they are opened, or closed, or both.
//!
//! In: the columns of a batch. Out: its lives: whole ones, and halves of such as begin in one batch and end in the next. This
//! depends on nothing but the batch, so whoever has the columns finds them beside what is done with other batches. Never here:
//! what becomes of these connections.

use rustc_hash::FxHashSet;

use crate::batch::Batch;

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
const NEXT: [[Fate; 4]; 5] = {
    use Fate::{Begun, Ended, Other, Whole};
    [[Begun, Other, Ended, Other], [Other, Other, Whole, Other], [Other; 4], [Other; 4], [Other; 4]]
};

/// A connection that was opened, or closed, or both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// Its row in the definitions.
    pub(crate) row: u32,
    /// The row of totals of its close, if that is here.
    pub(crate) total: u32,
    /// When it was opened, and closed. Of one that is not closed here, the second is the first; of one that is not opened here,
    /// the first says nothing.
    pub(crate) at: [u64; 2],
}

/// What is told of a definition's connection.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    at: [u64; 2],
    total: u32,
    fate: Fate,
}

/// The lives of a batch, and memory for those of the next: in the order of their definitions, whose rows stand for them. No
/// connection is there twice, or has another definition in the batch.
#[derive(Debug, Default)]
pub struct Lives {
    told: Vec<Told>,
    whole: Vec<u32>,
    begun: Vec<u32>,
    ended: Vec<u32>,
    greatest: Option<u64>,
}

impl Lives {
    /// Those that are opened and closed.
    pub(crate) fn whole(&self) -> &[u32] {
        &self.whole
    }

    /// Those that are opened, when there is no tick.
    pub(crate) fn begun(&self) -> &[u32] {
        &self.begun
    }

    /// Those that are closed.
    pub(crate) fn ended(&self) -> &[u32] {
        &self.ended
    }

    /// The life in a row.
    #[inline]
    pub(crate) fn life(&self, row: u32) -> Life {
        let Told { at, total, .. } = self.told.get(row as usize).copied().unwrap_or_default();
        Life { row, total, at }
    }

    /// The greatest id of any connection of the batch.
    pub(crate) fn greatest(&self) -> Option<u64> {
        self.greatest
    }

    /// Forgets the batch.
    pub fn clear(&mut self) {
        self.told.clear();
        self.whole.clear();
        self.begun.clear();
        self.ended.clear();
        self.greatest = None;
    }

    /// Finds those of a batch, of which `lives` says nothing yet.
    pub fn find(&mut self, batch: &Batch<'_>) {
        self.clear();
        let conns = batch.definitions.conns;
        let are_ascending = conns.is_sorted_by(|a, b| a < b);
        self.greatest = if are_ascending { conns.last() } else { conns.iter().max() }.copied();
        if !batch.kinds.contains(&Batch::OPEN) && !batch.kinds.contains(&Batch::CLOSE) {
            return;
        }
        let ticks = batch.kinds.iter().filter(|kind| **kind == Batch::TICK).count();
        // Whoever misses one of two snapshots is taken for lost.
        if ticks > 1 || !self.follow(batch) {
            return;
        }
        for (row, told) in (0..).zip(&self.told) {
            match told.fate {
                Fate::Whole => self.whole.push(row),
                Fate::Begun if ticks == 0 => self.begun.push(row),
                Fate::Ended => self.ended.push(row),
                Fate::Unseen | Fate::Begun | Fate::Other => {}
            }
        }
        // Each of these is heard of again.
        let twice = if are_ascending { FxHashSet::default() } else { twice(conns) };
        if !twice.is_empty() {
            let is_once = |row: &u32| conns.get(*row as usize).is_some_and(|conn| !twice.contains(conn));
            [&mut self.whole, &mut self.begun, &mut self.ended].into_iter().for_each(|rows| rows.retain(is_once));
        }
    }

    /// Follows the events of each definition; false when the columns do not fit each other. There are as many opens as closes
    /// in no order, which no processor guesses: so there is no choice between them.
    fn follow(&mut self, batch: &Batch<'_>) -> bool {
        self.told.resize(batch.definitions.conns.len(), Told::default());
        // Hardly any says what was said before: then none has to be asked.
        let are_carried = batch.carried.is_empty() || batch.carried.iter().fold(0, |all, carried| all | carried) != 0;
        if are_carried {
            self.follow_all(batch, |total| batch.carried.get(total as usize).is_none_or(|carried| *carried != 0))
        } else {
            self.follow_all(batch, |_| false)
        }
    }

    fn follow_all(&mut self, batch: &Batch<'_>, is_carried: impl Fn(u32) -> bool) -> bool {
        let mut total = 0_u32;
        let mut rows = batch.rows.iter();
        for (kind, at) in batch.kinds.iter().zip(batch.at) {
            if *kind > Batch::CLOSE {
                continue;
            }
            let Some(told) = rows.next().and_then(|row| self.told.get_mut(*row as usize)) else { return false };
            let is_total = u8::from(*kind != Batch::OPEN);
            let is_end = u8::from((*kind == Batch::CLOSE) & !is_carried(total));
            told.fate = NEXT[told.fate as usize][usize::from((is_total + is_end) & 3)];
            let [opened, _] = told.at;
            told.at = [if is_total == 0 { *at } else { opened }, *at];
            told.total = total;
            total += u32::from(is_total);
        }
        true
    }
}

/// The ids that stand there more than once. Most ids are greater than all before them.
fn twice(ids: &[u64]) -> FxHashSet<u64> {
    let (mut twice, mut others) = (FxHashSet::default(), FxHashSet::default());
    let mut peaks: Vec<u64> = Vec::new();
    for id in ids {
        if peaks.last().is_none_or(|peak| id > peak) {
            peaks.push(*id);
        } else if peaks.binary_search(id).is_ok() || !others.insert(*id) {
            twice.insert(*id);
        }
    }
    twice
}
