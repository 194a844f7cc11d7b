//! Runs of samples: what connections say of themselves time and again, while nobody says anything else of them.
//!
//! In: samples, each of which says nothing but totals that did not go backwards. Out: of each connection one change for
//! all of them, which is the difference between the last and the first, as soon as something else is to be said of it. So a
//! sample costs a look at one place. Never here: what a change brings about, samples of any other kind.

use crate::event::Totals;
use crate::sums::Measurements;

/// The samples of one connection since its last change was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// The connection's id.
    id: u64,
    /// Nobody said anything else of it since.
    is_open: bool,
    /// When the last of them was.
    pub(crate) at: u64,
    /// What was known beside the connections when somebody last looked, as a count of what was learned.
    pub(crate) learned: u64,
    /// Its totals now.
    pub(crate) totals: Totals,
    pub(crate) rtt: Measurements,
    pub(crate) rtt_var: Measurements,
}

impl Run {
    /// A run that goes on behind a sample that was told.
    pub(crate) fn new(id: u64, at: u64, totals: &Totals, learned: u64) -> Self {
        let none = Measurements::default();
        Self { id, is_open: true, at, learned, totals: *totals, rtt: none, rtt_var: none }
    }

    /// Takes the next sample, unless its counters went backwards; measurements are kept of one in which nothing happened if
    /// `keeps_idle`. False: it was not taken.
    #[inline]
    pub(crate) fn take(&mut self, at: u64, totals: &Totals, keeps_idle: bool) -> bool {
        let Totals { sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits, .. } = self.totals;
        let is_backwards = (totals.sent_bytes < sent_bytes)
            | (totals.recv_bytes < recv_bytes)
            | (totals.sent_packets < sent_packets)
            | (totals.recv_packets < recv_packets)
            | (totals.retransmits < retransmits);
        if is_backwards {
            return false;
        }
        if keeps_idle || totals.counters() != self.totals.counters() {
            self.rtt.add(totals.rtt_us);
            self.rtt_var.add(totals.rtt_var_us);
        }
        (self.at, self.totals) = (at, *totals);
        true
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
        self.runs.get(slot).is_some_and(|run| run.is_open && run.id == id)
    }

    /// The run in a slot, if there is one, and it is of this connection.
    #[inline]
    pub(crate) fn of(&mut self, slot: usize, id: u64) -> Option<&mut Run> {
        self.runs.get_mut(slot).filter(|run| run.is_open && run.id == id)
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, slot: usize, run: Run) {
        if self.runs.len() <= slot {
            self.runs.resize(slot + 1, Run::default());
        }
        if let Some(place) = self.runs.get_mut(slot) {
            self.open += usize::from(!place.is_open);
            *place = run;
        }
    }

    /// The run in a slot is over.
    pub(crate) fn end(&mut self, slot: usize) -> Option<Run> {
        let run = self.runs.get_mut(slot).filter(|run| run.is_open)?;
        self.open -= 1;
        run.is_open = false;
        Some(run.clone())
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }
}
