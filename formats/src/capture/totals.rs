//! Totals of connections into columns.
//!
//! In: the totals of each sample and close, and of the one before it. Out: their columns, as differences and by what can be
//! predicted. Never here: whose totals they are.

use netflow_core::event::Totals;

use super::column::{Column, ColumnWriter};
use super::encode::zigzag;
use super::error::WriteError;
use super::number::estimate;
use super::rows::Rows;

/// The numbers of [`Totals`] in their order, counters and then gauges, with their columns; counters are stored as
/// differences.
pub(super) const COUNTERS: [Column; 5] =
    [Column::SentBytes, Column::RecvBytes, Column::SentPackets, Column::RecvPackets, Column::Retransmits];
pub(super) const GAUGES: [Column; 4] = [Column::Rtt, Column::RttVar, Column::Unacked, Column::Unread];

const TOTALS: usize = COUNTERS.len() + GAUGES.len();

/// Places in [`Totals::numbers`].
const SENT: usize = 0;
const RECV: usize = 1;
const SENT_PACKETS: usize = 2;
const RECV_PACKETS: usize = 3;
const RTT: usize = COUNTERS.len();
const RTT_VAR: usize = RTT + 1;

/// Packets that so many bytes take at least, and so many bytes the other way: full segments on an Ethernet, of which
/// every other is acknowledged.
pub(super) fn segments(bytes: u64, other: u64) -> u64 {
    bytes / 1448 + other / 2896
}

/// The most that `rtt_us` is halved before `rtt_var_us` is compared with it.
pub(super) const RTT_VAR_SHIFTS: u8 = 3;

/// How the first `rtt_var_us` of a definition is stored.
fn apart(rtt: u64, rtt_var: u64, shift: u8) -> u64 {
    if shift == 0 { rtt_var } else { zigzag(rtt_var.wrapping_sub(rtt >> shift)) }
}

/// Packets of a row, by how many more they are than the bytes take.
fn residue(row: &[u64; TOTALS], packets: usize, own: usize, other: usize) -> u64 {
    zigzag(row[packets].wrapping_sub(segments(row[own], row[other])))
}

fn sent_residue(row: &[u64; TOTALS]) -> u64 {
    residue(row, SENT_PACKETS, SENT, RECV)
}

fn recv_residue(row: &[u64; TOTALS]) -> u64 {
    residue(row, RECV_PACKETS, RECV, SENT)
}

/// No event referred to the definition before.
const NONE: u32 = u32::MAX;

/// What is predicted in a block.
#[derive(Clone, Copy)]
struct Predictions {
    /// The first `rtt_var_us` of a definition is compared with `rtt_us`, halved so often; 0 when it is not.
    shift: u8,
    /// Packets are compared with what the bytes take.
    by_segments: bool,
}

impl Predictions {
    /// What makes rows like these smallest.
    fn judged_by(rows: &[[u64; TOTALS]], firsts: &[bool]) -> Self {
        // The kernel begins with half of `rtt_us`, and lowers that while the path is quiet.
        let bits = |shift: u8| {
            let firsts = rows.iter().zip(firsts).filter(|(_, is_first)| **is_first);
            estimate(firsts.map(|(row, _)| apart(row[RTT], row[RTT_VAR], shift)))
        };
        let mut shifts = (0..=RTT_VAR_SHIFTS).map(|shift| (shift, bits(shift)));
        let plain = shifts.next().unwrap_or_default();
        let shift = shifts.fold(plain, |best, other| if other.1 < best.1 { other } else { best }).0;
        let bits = |number: fn(&[u64; TOTALS]) -> u64| estimate(rows.iter().map(number));
        let plain = bits(|row| row[SENT_PACKETS]) + bits(|row| row[RECV_PACKETS]);
        Self { shift, by_segments: bits(sent_residue) + bits(recv_residue) < plain }
    }

    fn apply(self, rows: &mut [[u64; TOTALS]], firsts: &[bool]) {
        if self.by_segments {
            for row in &mut *rows {
                let residues = (sent_residue(row), recv_residue(row));
                (row[SENT_PACKETS], row[RECV_PACKETS]) = residues;
            }
        }
        if self.shift > 0 {
            for (row, _) in rows.iter_mut().zip(firsts).filter(|(_, is_first)| **is_first) {
                row[RTT_VAR] = apart(row[RTT], row[RTT_VAR], self.shift);
            }
        }
    }
}

/// The totals of one block.
#[derive(Default)]
pub(super) struct TotalsBuilder {
    rows: Rows<TOTALS>,
    /// For each row that is kept as it is, whether it is the first of its definition.
    firsts: Vec<bool>,
    /// Judged by the first rows.
    predictions: Option<Predictions>,
    /// For each definition, where its last totals are.
    latest: Vec<u32>,
    totals: Vec<Totals>,
    /// Places of totals that nothing will be compared with.
    free: Vec<u32>,
}

impl TotalsBuilder {
    /// Adds a definition, which has no totals yet.
    pub(super) fn define(&mut self) {
        self.latest.push(NONE);
    }

    /// Adds totals of a definition: its last ones when it is closed.
    pub(super) fn push(&mut self, definition: u32, totals: &Totals, is_closed: bool) {
        let mut row = totals.numbers();
        let before = self.replace(definition, totals, is_closed);
        if let Some(before) = before {
            let (counters, gauges) = row.split_at_mut(RTT);
            let before = before.numbers();
            for (now, before) in counters.iter_mut().zip(before) {
                *now = now.wrapping_sub(before);
            }
            for (now, before) in gauges.iter_mut().zip(&before[RTT..]) {
                *now = zigzag(now.wrapping_sub(*before));
            }
        }
        self.firsts.push(before.is_none());
        self.rows.keep(row);
        if self.rows.is_full() {
            self.split();
        }
    }

    /// The totals before, in whose place these are from now on.
    fn replace(&mut self, definition: u32, totals: &Totals, is_closed: bool) -> Option<Totals> {
        let latest = self.latest.get_mut(definition as usize)?;
        if let Some(kept) = self.totals.get_mut(*latest as usize) {
            let before = std::mem::replace(kept, *totals);
            if is_closed {
                self.free.push(std::mem::replace(latest, NONE));
            }
            return Some(before);
        }
        if !is_closed {
            let end = u32::try_from(self.totals.len()).unwrap_or(NONE);
            *latest = self.free.pop().unwrap_or(end);
            match self.totals.get_mut(*latest as usize) {
                Some(kept) => *kept = *totals,
                None => self.totals.push(*totals),
            }
        }
        None
    }

    fn split(&mut self) {
        let rows = self.rows.kept();
        let predictions = *self.predictions.get_or_insert_with(|| Predictions::judged_by(rows, &self.firsts));
        predictions.apply(rows, &self.firsts);
        self.firsts.clear();
        self.rows.split();
    }

    /// Ends the block.
    pub(super) fn finish(&mut self, columns: &mut ColumnWriter) -> Result<(), WriteError> {
        self.split();
        for (column, split) in COUNTERS.into_iter().chain(GAUGES).zip(self.rows.columns()) {
            columns.split(column, split)?;
        }
        let Some(Predictions { shift, by_segments }) = self.predictions else { return Ok(()) };
        columns.bytes(Column::Predictions, &[shift, u8::from(by_segments)])
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.firsts.clear();
        self.predictions = None;
        self.latest.clear();
        self.totals.clear();
        self.free.clear();
    }
}
