//! The columns of a block back into events.
//!
//! In: the payload of an events block whose checksum fits. Out: its events one by one, after everything was checked, so
//! that a block gives all of its events or none. Never here: what is known across blocks, except which connections must
//! be introduced again after a gap (the reader says so).

use netflow_core::event::{Body, Close, Event, Loss, Open, Reason, Sample, TcpStates, Tick, Totals};
use rustc_hash::FxHashSet;

use super::block::BlockHeader;
use super::column::{Column, ColumnReader, Unpacker, at_most, value};
use super::definition::Definitions;
use super::encode::{CLOSE, COUNTERS, GAUGES, OPEN, SAMPLE, TICK};
use super::error::Malformed;
use super::record::{LOSS, decode_attribute};

/// The events of a block, and memory that the next block uses again.
#[derive(Default)]
pub(super) struct BlockEvents {
    kinds: Vec<u8>,
    ats: Vec<u64>,
    /// The definition of each open, sample and close.
    rows: Vec<u32>,
    definitions: Definitions,
    carried: Vec<u8>,
    counters: [Vec<u64>; 5],
    gauges: [Vec<u64>; 4],
    tcp_states: Vec<u64>,
    reasons: Vec<u8>,
    incomplete: Vec<u8>,
    others: Vec<Option<Body>>,
    lengths: Vec<u64>,
    at: u64,
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
    /// Checks a block and stands before its first event. On an error it is empty. Gives the number of events that are
    /// skipped because a later version added their kind. Without `identities` the tables that say what is known of
    /// connections are read only if an event of the block says it.
    pub(super) fn load(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<u64, Malformed> {
        let checked = self.fill(header, payload, identities, unpacker);
        if checked.is_err() {
            self.clear();
        }
        checked
    }

    /// The sum of its `loss` events, of which none was taken yet.
    pub(super) fn losses(&self) -> Loss {
        self.others.iter().flatten().fold(Loss::default(), |mut sum, body| {
            if let Body::Loss(loss) = body {
                sum += *loss;
            }
            sum
        })
    }

    /// No more events.
    pub(super) fn clear(&mut self) {
        self.kinds.clear();
        self.next = Next::default();
    }

    fn fill(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<u64, Malformed> {
        self.clear();
        let columns = ColumnReader::new(payload, header.raw_bytes)?;
        let events = header.events as usize;
        columns.bytes(Column::Kind, events, unpacker, &mut self.kinds)?;
        // All of a plane's zeros may be left out, and an open is a zero.
        self.kinds.resize(events, OPEN);
        let count = |wanted: u8| self.kinds.iter().filter(|kind| **kind == wanted).count();
        let (opens, samples, closes, ticks) = (count(OPEN), count(SAMPLE), count(CLOSE), count(TICK));
        let totals = samples + closes;

        columns.integers(Column::At, events, unpacker, &mut self.ats)?;
        let end = self.ats.iter().try_fold(header.first_at, |at, step| at.checked_add(*step));
        if end != Some(header.last_at) || value(&self.ats, 0) != 0 {
            let found = end.map_or_else(|| "a time beyond the range".to_owned(), |end| end.to_string());
            return Err(Malformed::new("time of the last event", header.last_at, found));
        }
        self.at = header.first_at;

        columns.bytes(Column::Carried, totals, unpacker, &mut self.carried)?;
        if identities || opens > 0 || self.carried.iter().any(|carried| *carried != 0) {
            self.definitions.read(&columns, header.first_at, opens + totals, unpacker)?;
        } else {
            self.definitions.read_conns(&columns, opens + totals, unpacker)?;
        }
        columns.integers(Column::Reference, totals, unpacker, &mut self.lengths)?;
        self.resolve()?;
        for (values, column) in self.counters.iter_mut().zip(COUNTERS).chain(self.gauges.iter_mut().zip(GAUGES)) {
            columns.integers(column, totals, unpacker, values)?;
        }
        let [rtts, rtt_vars, ..] = &self.gauges;
        at_most("rtt_us", rtts, u32::MAX.into())?;
        at_most("rtt_var_us", rtt_vars, u32::MAX.into())?;
        columns.integers(Column::TcpStates, closes, unpacker, &mut self.tcp_states)?;
        let all = self.tcp_states.iter().fold(0, |all, bits| all | bits);
        if u16::try_from(all).ok().and_then(TcpStates::from_bits).is_none() {
            return Err(Malformed::new("tcp_states", "bits 1 to 12", format!("{all:#x}")));
        }
        columns.bytes(Column::Reason, closes, unpacker, &mut self.reasons)?;
        if let Some(code) = self.reasons.iter().find(|code| usize::from(**code) > Reason::ALL.len()) {
            return Err(Malformed::new("reason", format!("0 to {}", Reason::ALL.len()), code));
        }
        columns.bytes(Column::Incomplete, ticks, unpacker, &mut self.incomplete)?;
        self.read_others(&columns, events - opens - totals - ticks, unpacker)
    }

    /// Turns references (in `lengths`) into rows of the table of definitions.
    fn resolve(&mut self) -> Result<(), Malformed> {
        let (mut next, mut place) = (0_u32, 0);
        self.rows.clear();
        self.rows.reserve(self.kinds.len());
        for kind in &self.kinds {
            let back = match *kind {
                OPEN => 0,
                SAMPLE | CLOSE => {
                    place += 1;
                    value(&self.lengths, place - 1)
                }
                _ => continue,
            };
            if back == 0 {
                self.rows.push(next);
                next += 1;
            } else {
                match u32::try_from(back).ok().and_then(|back| next.checked_sub(back)) {
                    Some(row) => self.rows.push(row),
                    None => {
                        return Err(Malformed::new("reference to a definition", format!("at most {next} back"), back));
                    }
                }
            }
        }
        let stated = self.definitions.rows.len();
        if next as usize == stated {
            Ok(())
        } else {
            Err(Malformed::new("definitions", format!("{stated} used"), next))
        }
    }

    /// The events that have no columns of their own.
    fn read_others(
        &mut self,
        columns: &ColumnReader<'_>,
        count: usize,
        unpacker: &mut Unpacker,
    ) -> Result<u64, Malformed> {
        self.others.clear();
        columns.integers(Column::RecordLength, count, unpacker, &mut self.lengths)?;
        let sum = self.lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
        let mut rest = columns.blob(Column::RecordBytes, sum, unpacker)?;
        let mut skipped = 0;
        for (place, kind) in self.kinds.iter().filter(|kind| **kind > TICK).enumerate() {
            let length = usize::try_from(value(&self.lengths, place)).unwrap_or(usize::MAX);
            let Some((record, after)) = rest.split_at_checked(length) else {
                return Err(Malformed::new("length of a record", format!("at most {}", rest.len()), length));
            };
            rest = after;
            let body = if *kind > LOSS { None } else { decode_attribute(*kind, record)? };
            skipped += u64::from(body.is_none());
            self.others.push(body);
        }
        Ok(skipped)
    }

    /// The next event. After a gap, `introduced` holds the connections that were introduced since: the others get what
    /// is known of them with their first event.
    pub(super) fn next(&mut self, introduced: Option<&mut FxHashSet<u64>>) -> Option<Event> {
        loop {
            let kind = *self.kinds.get(self.next.event)?;
            self.at = self.at.saturating_add(value(&self.ats, self.next.event));
            self.next.event += 1;
            let body = match kind {
                OPEN => {
                    let row = *self.rows.get(self.next.row)?;
                    self.next.row += 1;
                    let definition = self.definitions.rows.get(row as usize)?;
                    if let Some(introduced) = introduced {
                        introduced.insert(definition.conn);
                    }
                    Body::Open(Open { conn: definition.conn, identity: self.definitions.identity(definition)? })
                }
                SAMPLE | CLOSE => self.totals(kind == CLOSE, introduced)?,
                TICK => {
                    self.next.tick += 1;
                    let incomplete = self.incomplete.get(self.next.tick - 1).copied().unwrap_or(0);
                    Body::Tick(Tick { complete: incomplete == 0 })
                }
                _ => {
                    self.next.other += 1;
                    match self.others.get_mut(self.next.other - 1)?.take() {
                        Some(body) => body,
                        None => continue,
                    }
                }
            };
            return Some(Event { at: self.at, body });
        }
    }

    fn totals(&mut self, is_close: bool, introduced: Option<&mut FxHashSet<u64>>) -> Option<Body> {
        let place = self.next.total;
        self.next.total += 1;
        let row = *self.rows.get(self.next.row)?;
        self.next.row += 1;
        let definition = self.definitions.rows.get_mut(row as usize)?;
        for (total, steps) in definition.previous.iter_mut().zip(&self.counters) {
            *total = total.wrapping_add(value(steps, place));
        }
        let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits] = definition.previous;
        let [rtts, rtt_vars, unacked, unread] = &self.gauges;
        let totals = Totals {
            sent_bytes,
            recv_bytes,
            sent_packets,
            recv_packets,
            retransmits,
            rtt_us: u32::try_from(value(rtts, place)).unwrap_or(u32::MAX),
            rtt_var_us: u32::try_from(value(rtt_vars, place)).unwrap_or(u32::MAX),
            unacked_bytes: value(unacked, place),
            unread_bytes: value(unread, place),
        };
        let conn = definition.conn;
        let mut carried = self.carried.get(place).is_some_and(|carried| *carried != 0);
        if let Some(introduced) = introduced {
            carried |= introduced.insert(conn);
            if is_close {
                introduced.remove(&conn);
            }
        }
        let identity = if carried {
            let definition = self.definitions.rows.get(row as usize)?;
            Some(self.definitions.identity(definition)?)
        } else {
            None
        };
        if !is_close {
            return Some(Body::Sample(Sample { conn, totals, identity }));
        }
        let place = self.next.close;
        self.next.close += 1;
        let bits = u16::try_from(value(&self.tcp_states, place)).unwrap_or(0);
        let tcp_states = TcpStates::from_bits(bits).unwrap_or_default();
        let code = self.reasons.get(place).copied().unwrap_or(0);
        let reason = usize::from(code).checked_sub(1).and_then(|place| Reason::ALL.get(place)).copied();
        Some(Body::Close(Close { conn, totals, identity, tcp_states, reason }))
    }
}
