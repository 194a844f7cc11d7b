//! Events into the columns of a block.
//!
//! In: events in order, with what is known of their connections. Out: the payload of an events block. Never here:
//! block headers, outputs, what is known across blocks (the writer's part).

use netflow_core::event::{Body, Close, Event, Identity, Reason, Sample};

use super::column::{Column, ColumnWriter};
use super::define::DefinitionBuilder;
use super::error::WriteError;
use super::record::encode_attribute;
use super::rows::Rows;
use super::totals::TotalsBuilder;
pub(super) use super::totals::{COUNTERS, GAUGES, RTT_VAR_SHIFTS, segments};

pub(super) const OPEN: u8 = 0;
pub(super) const SAMPLE: u8 = 1;
pub(super) const CLOSE: u8 = 2;
pub(super) const TICK: u8 = 3;

pub(super) const FLAG_UDP: u16 = 1;
pub(super) const FLAG_INCOMING: u16 = 2;
pub(super) const FLAG_OUTGOING: u16 = 4;
pub(super) const FLAG_PREEXISTING: u16 = 8;
pub(super) const FLAG_PID: u16 = 16;
pub(super) const FLAG_NAME: u16 = 32;
pub(super) const FLAG_NETNS: u16 = 64;
pub(super) const FLAG_OPENED_AT: u16 = 128;
pub(super) const FLAG_SHARED: u16 = 256;

/// Bytes that one event takes in the builder's columns, roughly: what sealing by size counts with.
const ROW_BYTES: usize = 64;

/// A number near zero, of either sign, as a small number.
pub(super) fn zigzag(value: u64) -> u64 {
    (value << 1) ^ (value.cast_signed() >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

pub(super) fn next_port(step: u16, before: u16) -> u16 {
    before.wrapping_add(step.rotate_left(1))
}

/// The events of one block, column by column.
#[derive(Default)]
pub(super) struct BlockBuilder {
    kinds: Vec<u8>,
    ats: Rows<1>,
    references: Rows<1>,
    carried: Vec<u8>,
    definitions: DefinitionBuilder,
    /// Definitions that an event referred to.
    referred: u32,
    totals: TotalsBuilder,
    tcp_states: Vec<u16>,
    reasons: Vec<u8>,
    incomplete: Vec<u8>,
    record_lengths: Vec<u64>,
    records: Vec<u8>,
    first_at: u64,
    last_at: u64,
}

impl BlockBuilder {
    pub(super) fn events(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn first_at(&self) -> u64 {
        self.first_at
    }

    /// Bytes gathered so far, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.kinds.len() * ROW_BYTES + self.records.len() + self.definitions.text_bytes()
    }

    fn stamp(&mut self, at: u64, kind: u8) {
        if self.kinds.is_empty() {
            self.first_at = at;
            self.last_at = at;
        }
        self.kinds.push(kind);
        self.ats.push([at.wrapping_sub(self.last_at)]);
        self.last_at = at;
    }

    /// Adds an event that speaks of no connection. On an error nothing was added.
    pub(super) fn push_other(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Body::Tick(tick) = &event.body {
            self.stamp(event.at, TICK);
            self.incomplete.push(u8::from(!tick.complete));
            return Ok(());
        }
        let before = self.records.len();
        match encode_attribute(&event.body, &mut self.records) {
            Ok(Some(kind)) => {
                self.stamp(event.at, kind);
                self.record_lengths.push((self.records.len() - before) as u64);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.records.truncate(before);
                Err(error)
            }
        }
    }

    /// Adds what is known of a connection, for an event at `at` that refers to it and must follow at once. Gives the row. On
    /// an error nothing was added.
    pub(super) fn define(&mut self, at: u64, conn: u64, identity: &Identity) -> Result<u32, WriteError> {
        // The time of the block's first event must be known.
        if self.kinds.is_empty() {
            self.first_at = at;
        }
        self.definitions.push(conn, identity, self.first_at)?;
        self.totals.define();
        Ok(self.referred)
    }

    /// Adds an open, which refers to what was defined just now.
    pub(super) fn open(&mut self, at: u64) {
        self.stamp(at, OPEN);
        self.referred += 1;
    }

    /// Adds a sample of the connection that is defined in this row.
    pub(super) fn sample(&mut self, at: u64, row: u32, sample: &Sample) {
        self.stamp(at, SAMPLE);
        self.refer(row, sample.identity.is_some());
        self.totals.push(row, &sample.totals, false);
    }

    /// Adds a close of the connection that is defined in this row. Nothing may refer to the row again.
    pub(super) fn close(&mut self, at: u64, row: u32, close: &Close) {
        self.stamp(at, CLOSE);
        self.refer(row, close.identity.is_some());
        self.totals.push(row, &close.totals, true);
        self.tcp_states.push(close.tcp_states.bits());
        let reason = close.reason.and_then(|reason| Reason::ALL.iter().position(|known| *known == reason));
        self.reasons.push(reason.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0));
    }

    fn refer(&mut self, row: u32, carried: bool) {
        self.references.push([u64::from(self.referred.wrapping_sub(row))]);
        self.referred += u32::from(row == self.referred);
        self.carried.push(u8::from(carried));
    }

    /// Ends the block: appends its payload to `payload`. The builder is empty again.
    pub(super) fn finish(&mut self, columns: &mut ColumnWriter, payload: &mut Vec<u8>) -> Result<(), WriteError> {
        columns.bytes(Column::Kind, &self.kinds)?;
        columns.split(Column::At, self.ats.column())?;
        columns.split(Column::Reference, self.references.column())?;
        columns.bytes(Column::Carried, &self.carried)?;
        let rows = self.definitions.finish(columns)?;
        self.totals.finish(columns)?;
        columns.planes_of(Column::TcpStates, &self.tcp_states, |states| u64::from(*states))?;
        columns.bytes(Column::Reason, &self.reasons)?;
        columns.bytes(Column::Incomplete, &self.incomplete)?;
        columns.numbers(Column::RecordLength, &self.record_lengths)?;
        columns.blob(Column::RecordBytes, &self.records)?;
        let finished = columns.finish(rows, payload);
        self.clear();
        finished
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.ats.clear();
        self.references.clear();
        self.carried.clear();
        self.definitions.clear();
        self.referred = 0;
        self.totals.clear();
        self.tcp_states.clear();
        self.reasons.clear();
        self.incomplete.clear();
        self.record_lengths.clear();
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_of_either_sign_are_small_numbers() {
        for (value, code) in
            [(0, 0), (u64::MAX, 1), (1, 2), (1 << 63, u64::MAX), (i64::MAX.cast_unsigned(), u64::MAX - 1)]
        {
            assert_eq!(zigzag(value), code);
            assert_eq!(unzigzag(code), value);
        }
    }
}
