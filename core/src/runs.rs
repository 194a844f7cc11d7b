//! Runs of samples: what connections say of themselves time and again, while nobody says anything else of them.
//!
//! In: samples, each of which says nothing but totals that did not go backwards. Out: of each connection one change for
//! all of them, which is the difference between the last and the first, as soon as something else is to be said of it. So a
//! sample costs a look at one place. Never here: what a change brings about, samples of any other kind.

use std::ops::Range;

use crate::batch::{Stretch, leading};
use crate::event::Totals;
use crate::sums::Measurements;

/// What was known when somebody looked last, in a run that is over.
const OVER: u64 = u64::MAX;

/// The samples of one connection since its last change was told. Whoever goes through many of them waits for their memory, so
/// there is little in it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The connection's id.
    id: u64,
    /// When the last of them was.
    pub(crate) at: u64,
    /// What was known beside the connections when somebody last looked, as a count of what was learned.
    pub(crate) learned: u64,
    /// The counters of its totals now; the other totals are 0.
    counters: [u64; 5],
    pub(crate) rtt: Measurements,
    pub(crate) rtt_var: Measurements,
}

impl Run {
    /// A run that goes on behind a sample that was told, if that was one for a run.
    pub(crate) fn new(id: u64, at: u64, totals: &Totals, learned: u64) -> Option<Self> {
        let (rtt, rtt_var) = Default::default();
        // No sum is made of what is under way, and who reads blocks does not ask for it.
        let is_for_run = totals.unacked_bytes | totals.unread_bytes == 0;
        is_for_run.then(|| Self { id, at, learned, counters: totals.counters(), rtt, rtt_var })
    }

    /// It goes on, and is of this connection.
    #[inline]
    fn is_of(&self, id: u64) -> bool {
        self.id == id && self.learned != OVER
    }

    /// The run of the samples from this time on, when those before are told.
    pub(crate) fn next(&self, at: u64) -> Self {
        let (rtt, rtt_var) = Default::default();
        Self { at, rtt, rtt_var, ..*self }
    }

    /// The totals now, without what was measured.
    pub(crate) fn totals(&self) -> Totals {
        let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits] = self.counters;
        Totals { sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits, ..Totals::default() }
    }
}

impl Default for Run {
    /// One that is over.
    fn default() -> Self {
        let (rtt, rtt_var) = Default::default();
        Self { id: 0, at: 0, learned: OVER, counters: [0; 5], rtt, rtt_var }
    }
}

/// The runs of all connections, by slot.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    open: usize,
}

impl Runs {
    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// There is a run in a slot, and it is of this connection.
    #[inline]
    pub(crate) fn is_of(&self, slot: usize, id: u64) -> bool {
        self.runs.get(slot).is_some_and(|run| run.is_of(id))
    }

    /// The run in a slot, if there is one, and it is of this connection.
    #[inline]
    pub(crate) fn of(&mut self, slot: usize, id: u64) -> Option<&mut Run> {
        self.runs.get_mut(slot).filter(|run| run.is_of(id))
    }

    /// Takes the first samples of a stretch, of the connections in this slot and those behind it, as long as each goes on with a
    /// run that is in the same window and for which as much was learned; gives how many. Measurements are kept of a sample in
    /// which nothing happened if `keeps_idle`. None is taken that tells what is under way, or whose counters went backwards.
    pub(crate) fn take(
        &mut self,
        slot: usize,
        stretch: &Stretch<'_>,
        window: &Range<u64>,
        learned: u64,
        keeps_idle: bool,
    ) -> usize {
        let [a, b, c, d, e, rtt, rtt_var, unacked, unread] = stretch.numbers;
        let count = leading(unacked.iter().zip(unread), |(unacked, unread)| unacked | unread == 0);
        let count = count.min(stretch.plain());
        let runs = self.runs.get_mut(slot..).unwrap_or_default().iter_mut();
        let samples = runs.zip(stretch.rows).zip(stretch.at).zip(a).zip(b).zip(c).zip(d).zip(e).zip(rtt).zip(rtt_var);
        let mut taken = 0;
        for (((((((((run, row), at), a), b), c), d), e), rtt), rtt_var) in samples.take(count) {
            let is_next = stretch.conn(*row) == Some(run.id)
                && run.learned == learned
                && window.contains(&run.at)
                && window.contains(at);
            let [sent, received, sent_packets, received_packets, retransmits] = &mut run.counters;
            let is_backwards =
                (a < sent) | (b < received) | (c < sent_packets) | (d < received_packets) | (e < retransmits);
            if !is_next || is_backwards {
                break;
            }
            let is_kept = keeps_idle
                || (a != sent) | (b != received) | (c != sent_packets) | (d != received_packets) | (e != retransmits);
            (*sent, *received, *sent_packets, *received_packets, *retransmits) = (*a, *b, *c, *d, *e);
            if is_kept {
                run.rtt.add(u32::try_from(*rtt).unwrap_or(u32::MAX));
                run.rtt_var.add(u32::try_from(*rtt_var).unwrap_or(u32::MAX));
            }
            run.at = *at;
            taken += 1;
        }
        taken
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, slot: usize, run: Run) {
        if self.runs.len() <= slot {
            self.runs.resize(slot + 1, Run::default());
        }
        if let Some(place) = self.runs.get_mut(slot) {
            self.open += usize::from(place.learned == OVER);
            *place = run;
        }
    }

    /// The run in a slot is over.
    pub(crate) fn end(&mut self, slot: usize) -> Option<Run> {
        let run = self.runs.get_mut(slot).filter(|run| run.learned != OVER)?;
        self.open -= 1;
        Some(std::mem::take(run))
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }
}
