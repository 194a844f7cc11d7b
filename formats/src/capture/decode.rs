//! The columns of a block as events.
//!
//! In: the payload of an events block whose checksum fits. Out: its events one by one, after everything was checked, so
//! that a block gives all of its events or none. Never here: what is known across blocks, except which connections must
//! be introduced again after a gap (the reader says so).

use std::sync::Arc;

use netflow_core::event::{Body, Close, Event, Loss, Open, Sample, Tick, Totals};
use rustc_hash::FxHashSet;

use super::block::BlockHeader;
use super::columns::{Columns, reason, states};
use super::encode::{CLOSE, OPEN, SAMPLE, TICK};
use super::error::Malformed;
use super::passed_over::PassedOver;
use super::selection::{Field, Selection};
use super::stream::Unpacker;

/// The events of a block, and memory that the next block uses again.
#[derive(Default)]
pub(super) struct BlockEvents {
    columns: Columns,
    next: Next,
}

/// The next row of each group of columns.
#[derive(Default)]
struct Next {
    event: usize,
    row: usize,
    total: usize,
    close: usize,
    tick: usize,
    other: usize,
}

impl BlockEvents {
    /// Checks a block and stands before its first event. On an error it is empty. Gives what is skipped
    /// because a later version added it. Without `identities` the tables that say what is known of
    /// connections are read only if an event of the block says it.
    pub(super) fn load(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<PassedOver, Malformed> {
        self.next = Next::default();
        let selection = if identities { Selection::ALL } else { Selection::ALL.without(Field::Identity) };
        self.columns.load(header, payload, selection, true, unpacker)?;
        Ok(self.columns.passed_over())
    }

    /// Reads only some columns of a block, of which no event is given one by one. `carried_identities` is what it is for
    /// [`Columns::load`].
    pub(super) fn load_columns(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        selection: Selection,
        carried_identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<PassedOver, Malformed> {
        self.next = Next { event: usize::MAX, ..Next::default() };
        self.columns.load(header, payload, selection, carried_identities, unpacker)?;
        Ok(self.columns.passed_over())
    }

    pub(super) fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    /// The sum of its `loss` events, of which none was taken yet.
    pub(super) fn losses(&self) -> Loss {
        self.columns.losses()
    }

    /// No more events.
    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.next = Next::default();
    }

    /// The next event. After a gap, `introduced` holds the connections that were introduced since: the others get what
    /// is known of them with their first event.
    pub(super) fn next(&mut self, introduced: Option<&mut FxHashSet<u64>>) -> Option<Event> {
        loop {
            let kind = *self.columns.kinds.get(self.next.event)?;
            let at = *self.columns.ats.get(self.next.event)?;
            self.next.event += 1;
            let body = match kind {
                OPEN => {
                    let row = *self.columns.rows.get(self.next.row)? as usize;
                    self.next.row += 1;
                    let conn = *self.columns.definitions.conns().get(row)?;
                    if let Some(introduced) = introduced {
                        introduced.insert(conn);
                    }
                    Body::Open(Open { conn, identity: Arc::new(self.columns.definitions.identity(row)?) })
                }
                SAMPLE | CLOSE => self.totals(kind == CLOSE, introduced)?,
                TICK => {
                    self.next.tick += 1;
                    Body::Tick(Tick { complete: *self.columns.incomplete.get(self.next.tick - 1)? == 0 })
                }
                _ => {
                    self.next.other += 1;
                    match self.columns.others.get_mut(self.next.other - 1)?.take() {
                        Some(body) => body,
                        None => continue,
                    }
                }
            };
            return Some(Event { at, body });
        }
    }

    fn totals(&mut self, is_close: bool, introduced: Option<&mut FxHashSet<u64>>) -> Option<Body> {
        let place = self.next.total;
        self.next.total += 1;
        let columns = &self.columns;
        let row = *columns.rows.get(self.next.row)? as usize;
        self.next.row += 1;
        let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits, rtts, rtt_vars, unacked, unread] =
            columns.all_totals();
        let small = |values: &[u64]| values.get(place).and_then(|value| u32::try_from(*value).ok());
        let totals = Totals {
            sent_bytes: *sent_bytes.get(place)?,
            recv_bytes: *recv_bytes.get(place)?,
            sent_packets: *sent_packets.get(place)?,
            recv_packets: *recv_packets.get(place)?,
            retransmits: *retransmits.get(place)?,
            rtt_us: small(rtts)?,
            rtt_var_us: small(rtt_vars)?,
            unacked_bytes: *unacked.get(place)?,
            unread_bytes: *unread.get(place)?,
        };
        let conn = *columns.definitions.conns().get(row)?;
        let mut carried = *columns.carried.get(place)? != 0;
        if let Some(introduced) = introduced {
            carried |= introduced.insert(conn);
            if is_close {
                introduced.remove(&conn);
            }
        }
        let identity = if carried { Some(Arc::new(columns.definitions.identity(row)?)) } else { None };
        if !is_close {
            return Some(Body::Sample(Sample { conn, totals, identity }));
        }
        let place = self.next.close;
        self.next.close += 1;
        let tcp_states = states(*columns.tcp_states.get(place)?)?;
        let reason = reason(*columns.reasons.get(place)?);
        Some(Body::Close(Close { conn, totals, identity, tcp_states, reason }))
    }
}
