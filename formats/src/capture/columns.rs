//! A block as columns: of its events' fields, those that somebody asked for.
//!
//! In: the payload of an events block whose checksum fits. Out: numbers of one field one behind the other, after
//! everything was checked that they depend on, so that a block gives all that was asked for or nothing. Never here: what
//! is known across blocks.

use netflow_core::batch::{Batch, Block, Lives};
use netflow_core::event::{Body, Loss, Reason, TcpStates};

use super::MAX_ROWS;
use super::block::BlockHeader;
use super::column::{Column, ColumnReader, at_most};
use super::definition::Definitions;
use super::encode::{CLOSE, COUNTERS, GAUGES, OPEN, RTT_VAR_SHIFTS, SAMPLE, TICK, segments, unzigzag};
use super::error::Malformed;
use super::passed_over::PassedOver;
use super::record::{LOSS, decode_attribute};
use super::selection::{Field, Selection};
use super::stream::Unpacker;

/// Fields that are columns of numbers in samples and closes.
const TOTALS: [Field; 9] = [
    Field::SentBytes,
    Field::RecvBytes,
    Field::SentPackets,
    Field::RecvPackets,
    Field::Retransmits,
    Field::Rtt,
    Field::RttVar,
    Field::Unacked,
    Field::Unread,
];

/// Those of them from which no other is made.
const ALONE: [Field; 3] = [Field::Retransmits, Field::Unacked, Field::Unread];

/// What a column of totals holds that is all zero: no block has more events.
static ZEROS: [u64; MAX_ROWS as usize] = [0; MAX_ROWS as usize];

/// The columns of one block. Columns that were not asked for are empty.
///
/// The rows of different columns stand for different events: for all of them ([`kinds`](Self::kinds), [`at`](Self::at));
/// for opens, samples and closes ([`rows`](Self::rows)); for samples and closes ([`totals`](Self::totals)); for closes;
/// for ticks; for the others. Each goes through its events in the order of the block.
#[derive(Debug, Default)]
pub struct Columns {
    pub(super) kinds: Vec<u8>,
    pub(super) ats: Vec<u64>,
    pub(super) rows: Vec<u32>,
    total_rows: Vec<u32>,
    pub(super) definitions: Definitions,
    pub(super) carried: Vec<u8>,
    totals: [Vec<u64>; 9],
    /// Columns of totals that are all zero and take no memory.
    are_zero: [bool; 9],
    pub(super) tcp_states: Vec<u64>,
    pub(super) reasons: Vec<u8>,
    pub(super) incomplete: Vec<u8>,
    pub(super) others: Vec<Option<Body>>,
    lives: Lives,
    stored: Vec<(u16, usize)>,
    scratch: Vec<u64>,
    firsts: Vec<bool>,
    seen: Vec<bool>,
    are_all_first: bool,
    previous: Vec<u64>,
    pub(super) after_gap: bool,
    is_wider: bool,
}

impl Columns {
    /// The code of an open in [`kinds`](Self::kinds). A code is the place of the kind's name in
    /// [`KIND_NAMES`](super::KIND_NAMES); greater ones are kinds that a later version added.
    pub const OPEN: u8 = OPEN;
    /// The code of a sample.
    pub const SAMPLE: u8 = SAMPLE;
    /// The code of a close.
    pub const CLOSE: u8 = CLOSE;
    /// The code of a tick.
    pub const TICK: u8 = TICK;

    /// The kind of each event.
    #[must_use]
    pub fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    /// When each event happened, in nanoseconds since boot.
    #[must_use]
    pub fn at(&self) -> &[u64] {
        &self.ats
    }

    /// The row in [`definitions`](Self::definitions) of each open, sample and close. Read with any field that speaks of
    /// connections.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The same without opens: row for row beside [`totals`](Self::totals).
    #[must_use]
    pub fn total_rows(&self) -> &[u32] {
        &self.total_rows
    }

    /// What is known of the connections.
    #[must_use]
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// A number of each sample and close, from [`Field::SentBytes`] to [`Field::Unread`]; cumulative as in the event.
    /// Empty for any other field.
    #[must_use]
    pub fn totals(&self, field: Field) -> &[u64] {
        let place = TOTALS.iter().position(|known| *known == field);
        place.and_then(|place| self.all_totals().get(place).copied()).unwrap_or_default()
    }

    /// The same of all fields.
    pub(super) fn all_totals(&self) -> [&[u64]; 9] {
        let zeros = ZEROS.get(..self.total_rows.len()).unwrap_or(&ZEROS);
        let mut all = self.totals.each_ref().map(Vec::as_slice);
        for (values, _) in all.iter_mut().zip(self.are_zero).filter(|(_, is_zero)| *is_zero) {
            *values = zeros;
        }
        all
    }

    /// For each sample and close, whether it itself says what is known of the connection.
    pub fn carried(&self) -> impl ExactSizeIterator<Item = bool> {
        self.carried.iter().map(|carried| *carried != 0)
    }

    /// The TCP states that each close's connection passed through.
    pub fn tcp_states(&self) -> impl ExactSizeIterator<Item = TcpStates> {
        self.tcp_states.iter().map(|bits| states(*bits).unwrap_or_default())
    }

    /// Why each close's connection ended.
    pub fn reasons(&self) -> impl ExactSizeIterator<Item = Option<Reason>> {
        self.reasons.iter().map(|code| reason(*code))
    }

    /// For each tick, whether its snapshot reached every connection.
    pub fn complete(&self) -> impl ExactSizeIterator<Item = bool> {
        self.incomplete.iter().map(|incomplete| *incomplete == 0)
    }

    /// The events that speak of no connection, without ticks; `None` for kinds that a later version added.
    #[must_use]
    pub fn others(&self) -> &[Option<Body>] {
        &self.others
    }

    /// Events before this block are missing, or were passed over: connections that were introduced there are known only
    /// from [`definitions`](Self::definitions).
    #[must_use]
    pub fn is_after_gap(&self) -> bool {
        self.after_gap
    }

    /// Bytes that each column of the block takes in the file, by the number and name that FORMAT.md gives it, whether or
    /// not it was asked for.
    pub fn stored_bytes(&self) -> impl Iterator<Item = (u16, &'static str, usize)> {
        self.stored.iter().map(|(column, bytes)| (*column, Column::name(*column), *bytes))
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

    /// What a later version added, and is skipped.
    pub(super) fn passed_over(&self) -> PassedOver {
        let events = count(&self.kinds, |kind| kind > LOSS) as u64;
        PassedOver { events, wider_blocks: self.is_wider.into(), ..PassedOver::default() }
    }

    /// Finds the connections whose whole life is in the block.
    pub(super) fn find_lives(&mut self) {
        let mut lives = std::mem::take(&mut self.lives);
        lives.find(&self.batch());
        self.lives = lives;
    }

    pub(super) fn clear(&mut self) {
        self.kinds.clear();
        self.ats.clear();
        self.rows.clear();
        self.total_rows.clear();
        self.definitions.clear();
        self.carried.clear();
        self.totals.iter_mut().for_each(Vec::clear);
        self.are_zero = [false; 9];
        self.tcp_states.clear();
        self.reasons.clear();
        self.incomplete.clear();
        self.others.clear();
        self.lives.clear();
        self.after_gap = false;
        self.is_wider = false;
    }

    /// Reads what is selected. On an error all is empty. `carried_identities` reads identities also where only an event
    /// of the block says them.
    pub(super) fn load(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        selection: Selection,
        carried_identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        self.clear();
        let checked = self.fill(header, payload, selection, carried_identities, unpacker);
        if checked.is_err() {
            self.clear();
        }
        checked
    }

    fn fill(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        selection: Selection,
        carried_identities: bool,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let columns = ColumnReader::new(payload)?;
        self.is_wider = columns.is_wider;
        self.stored.clear();
        self.stored.extend(columns.sizes());
        let events = header.events as usize;
        columns.bytes(Column::Kind, events, unpacker, &mut self.kinds)?;
        let [opens, samples, closes, ticks] =
            [OPEN, SAMPLE, CLOSE, TICK].map(|wanted| count(&self.kinds, |kind| kind == wanted));
        let totals = samples + closes;

        if selection.has(Field::At) {
            self.read_times(header, &columns, unpacker)?;
        }
        if selection.has(Field::Carried) || carried_identities {
            columns.bytes(Column::Carried, totals, unpacker, &mut self.carried)?;
        }
        let is_said = carried_identities && (opens > 0 || self.carried.iter().any(|carried| *carried != 0));
        let has_identities = selection.has(Field::Identity) || is_said;
        if has_identities || selection.has(Field::Conn) {
            self.definitions.read_conns(&columns, opens + totals, unpacker)?;
        }
        if has_identities {
            self.definitions.read(&columns, header.first_at, opens + totals, unpacker)?;
        }
        let has_totals = TOTALS.iter().any(|field| selection.has(*field));
        if has_totals || has_identities || selection.has(Field::Conn) {
            self.are_all_first = columns.is_zero(Column::Reference);
            if self.are_all_first && opens == 0 {
                self.number(columns.rows.definitions, totals)?;
            } else {
                columns.numbers(Column::Reference, totals, unpacker, &mut self.scratch)?;
                self.resolve(columns.rows.definitions, opens + totals, totals)?;
            }
        }
        if has_totals {
            self.read_totals(&columns, selection, totals, unpacker)?;
        }
        if selection.has(Field::Ending) {
            self.read_endings(&columns, closes, unpacker)?;
        }
        if selection.has(Field::Complete) {
            columns.bytes(Column::Incomplete, ticks, unpacker, &mut self.incomplete)?;
        }
        if selection.has(Field::Others) {
            self.read_others(&columns, events - opens - totals - ticks, unpacker)?;
        }
        Ok(())
    }

    fn read_times(
        &mut self,
        header: &BlockHeader,
        columns: &ColumnReader<'_>,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        columns.numbers(Column::At, header.events as usize, unpacker, &mut self.ats)?;
        let starts_right = self.ats.first().is_none_or(|step| *step == 0);
        let (mut at, mut is_beyond) = (header.first_at, false);
        for step in &mut self.ats {
            let (next, wraps) = at.overflowing_add(*step);
            is_beyond |= wraps;
            *step = next;
            at = next;
        }
        if !starts_right || is_beyond || at != header.last_at {
            let found = if is_beyond { "a time beyond the range".to_owned() } else { at.to_string() };
            return Err(Malformed::new("time of the last event", header.last_at, found));
        }
        Ok(())
    }

    /// Each event has a definition of its own, as samples of one snapshot have.
    fn number(&mut self, definitions: u32, totals: usize) -> Result<(), Malformed> {
        if totals != definitions as usize {
            return Err(Malformed::new("definitions", format!("{definitions} used"), totals));
        }
        self.rows.extend(0..definitions);
        self.total_rows.extend_from_slice(&self.rows);
        Ok(())
    }

    /// Turns references into rows of the table of definitions.
    fn resolve(&mut self, definitions: u32, conns: usize, totals: usize) -> Result<(), Malformed> {
        self.rows.resize(conns, 0);
        // One more is written than is kept.
        self.total_rows.resize(totals + 1, 0);
        let found = follow(&self.kinds, &self.scratch, &mut self.rows, &mut self.total_rows);
        self.total_rows.truncate(totals);
        match found {
            None => Err(self.reference_beyond()),
            Some(found) if found == definitions => Ok(()),
            Some(found) => Err(Malformed::new("definitions", format!("{definitions} used"), found)),
        }
    }

    /// The first reference that is beyond the definitions before it.
    fn reference_beyond(&self) -> Malformed {
        let (mut next, mut references) = (0_u64, self.scratch.iter());
        for kind in self.kinds.iter().filter(|kind| **kind <= CLOSE) {
            let back = if *kind == OPEN { 0 } else { references.next().copied().unwrap_or(0) };
            if back > next {
                return Malformed::new("reference to a definition", format!("at most {next} back"), back);
            }
            next += u64::from(back == 0);
        }
        Malformed::new("reference to a definition", "a definition", "none")
    }

    fn read_totals(
        &mut self,
        columns: &ColumnReader<'_>,
        selection: Selection,
        rows: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        columns.bytes(Column::Predictions, 2, unpacker, &mut self.reasons)?;
        let predictions = match *self.reasons {
            [shift @ 0..=RTT_VAR_SHIFTS, segments @ 0..=1] => (shift, segments == 1),
            _ => return Err(Malformed::new("predictions", "0 to 3 and 0 to 1", format!("{:?}", self.reasons))),
        };
        self.reasons.clear();
        if !self.are_all_first {
            let definitions = columns.rows.definitions as usize;
            self.find_firsts(definitions);
            self.previous.clear();
            self.previous.resize(definitions, 0);
        }
        let mut selection = selection;
        let fields = TOTALS.into_iter().zip(COUNTERS.into_iter().chain(GAUGES));
        for (is_zero, (field, column)) in self.are_zero.iter_mut().zip(fields) {
            *is_zero = ALONE.contains(&field) && selection.has(field) && columns.is_zero(column);
            if *is_zero {
                selection = selection.without(field);
            }
        }
        self.read_counters(columns, selection, rows, predictions.1, unpacker)?;
        self.read_gauges(columns, selection, rows, predictions.0, unpacker)
    }

    /// Finds the rows of totals that are the first of their definition: often that is all of them.
    fn find_firsts(&mut self, definitions: usize) {
        self.seen.clear();
        self.seen.resize(definitions, false);
        self.firsts.clear();
        self.firsts.resize(self.total_rows.len(), true);
        let (mut are_all_first, seen) = (true, self.seen.as_mut_slice());
        for (row, first) in self.total_rows.iter().zip(&mut self.firsts) {
            if let Some(seen) = seen.get_mut(*row as usize) {
                *first = !std::mem::replace(seen, true);
                are_all_first &= *first;
            }
        }
        self.are_all_first = are_all_first;
    }

    fn read_counters(
        &mut self,
        columns: &ColumnReader<'_>,
        selection: Selection,
        rows: usize,
        by_segments: bool,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let needs_bytes = by_segments && (selection.has(Field::SentPackets) || selection.has(Field::RecvPackets));
        for ((values, column), field) in self.totals.iter_mut().zip(COUNTERS).zip(TOTALS) {
            let is_bytes = matches!(field, Field::SentBytes | Field::RecvBytes);
            if selection.has(field) || (is_bytes && needs_bytes) {
                columns.numbers(column, rows, unpacker, values)?;
            }
        }
        let [sent, recv, sent_packets, recv_packets, ..] = &mut self.totals;
        if by_segments {
            for (packets, own, other) in [(sent_packets, &*sent, &*recv), (recv_packets, &*recv, &*sent)] {
                for ((packets, own), other) in packets.iter_mut().zip(own).zip(other) {
                    *packets = segments(*own, *other).wrapping_add(unzigzag(*packets));
                }
            }
        }
        for (values, field) in self.totals.iter_mut().zip(TOTALS).take(COUNTERS.len()) {
            if !selection.has(field) {
                values.clear();
                continue;
            }
            if self.are_all_first {
                continue;
            }
            self.previous.fill(0);
            for (value, row) in values.iter_mut().zip(&self.total_rows) {
                if let Some(previous) = self.previous.get_mut(*row as usize) {
                    *previous = previous.wrapping_add(*value);
                    *value = *previous;
                }
            }
        }
        Ok(())
    }

    fn read_gauges(
        &mut self,
        columns: &ColumnReader<'_>,
        selection: Selection,
        rows: usize,
        shift: u8,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        let [.., rtts, rtt_vars, unacked, unread] = &mut self.totals;
        let [rtt, rtt_var, unacked_bytes, unread_bytes] = GAUGES;
        let mut walk = Walk {
            rows: &self.total_rows,
            firsts: &self.firsts,
            are_all_first: self.are_all_first,
            previous: &mut self.previous,
        };
        if selection.has(Field::Rtt) || selection.has(Field::RttVar) {
            columns.numbers(rtt, rows, unpacker, rtts)?;
            walk.undo(rtts, None);
            at_most("rtt_us", rtts, u32::MAX.into())?;
        }
        if selection.has(Field::RttVar) {
            columns.numbers(rtt_var, rows, unpacker, rtt_vars)?;
            walk.undo(rtt_vars, (shift > 0).then_some((&*rtts, shift)));
            at_most("rtt_var_us", rtt_vars, u32::MAX.into())?;
            if !selection.has(Field::Rtt) {
                rtts.clear();
            }
        }
        if selection.has(Field::Unacked) {
            columns.numbers(unacked_bytes, rows, unpacker, unacked)?;
            walk.undo(unacked, None);
        }
        if selection.has(Field::Unread) {
            columns.numbers(unread_bytes, rows, unpacker, unread)?;
            walk.undo(unread, None);
        }
        Ok(())
    }

    fn read_endings(
        &mut self,
        columns: &ColumnReader<'_>,
        closes: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        columns.planes(Column::TcpStates, closes, unpacker, &mut self.tcp_states)?;
        let all = self.tcp_states.iter().fold(0, |all, bits| all | bits);
        if states(all).is_none() {
            return Err(Malformed::new("tcp_states", "bits 1 to 12", format!("{all:#x}")));
        }
        columns.bytes(Column::Reason, closes, unpacker, &mut self.reasons)?;
        match self.reasons.iter().find(|code| usize::from(**code) > Reason::ALL.len()) {
            Some(code) => Err(Malformed::new("reason", format!("0 to {}", Reason::ALL.len()), code)),
            None => Ok(()),
        }
    }

    /// The events that have no columns of their own.
    fn read_others(
        &mut self,
        columns: &ColumnReader<'_>,
        count: usize,
        unpacker: &mut Unpacker,
    ) -> Result<(), Malformed> {
        columns.numbers(Column::RecordLength, count, unpacker, &mut self.scratch)?;
        let sum = self.scratch.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
        let mut rest = columns.blob(Column::RecordBytes, sum, unpacker)?;
        for (length, kind) in self.scratch.iter().zip(self.kinds.iter().filter(|kind| **kind > TICK)) {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let Some((record, after)) = rest.split_at_checked(length) else {
                return Err(Malformed::new("length of a record", format!("at most {}", rest.len()), length));
            };
            rest = after;
            self.others.push(if *kind > LOSS { None } else { decode_attribute(*kind, record)? });
        }
        Ok(())
    }
}

/// The events as the pipeline takes them.
impl Block for Columns {
    fn batch(&self) -> Batch<'_> {
        Batch {
            kinds: &self.kinds,
            at: &self.ats,
            rows: &self.rows,
            definitions: self.definitions.view(),
            carried: &self.carried,
            totals: self.totals.each_ref().map(Vec::as_slice),
            tcp_states: &self.tcp_states,
            reasons: &self.reasons,
            incomplete: &self.incomplete,
            others: &self.others,
            lives: Some(&self.lives),
        }
    }
}

/// Goes through the gauges of a block, each stored as the difference to the one before of the same definition.
struct Walk<'a> {
    rows: &'a [u32],
    firsts: &'a [bool],
    are_all_first: bool,
    previous: &'a mut [u64],
}

impl Walk<'_> {
    /// Turns what is stored into what was meant. The first of a definition is stored as it is, or as the signed
    /// difference to a part of another column.
    fn undo(&mut self, values: &mut [u64], near: Option<(&[u64], u8)>) {
        if let Some((others, shift)) = near {
            let meant = |value: u64, other: u64| (other >> shift).wrapping_add(unzigzag(value));
            let pairs = values.iter_mut().zip(others);
            if self.are_all_first {
                pairs.for_each(|(value, other)| *value = meant(*value, *other));
            } else {
                let firsts = pairs.zip(self.firsts).filter(|(_, is_first)| **is_first);
                firsts.for_each(|((value, other), _)| *value = meant(*value, *other));
            }
        }
        if self.are_all_first {
            return;
        }
        for ((value, row), is_first) in values.iter_mut().zip(self.rows).zip(self.firsts) {
            if let Some(previous) = self.previous.get_mut(*row as usize) {
                *value = if *is_first { *value } else { previous.wrapping_add(unzigzag(*value)) };
                *previous = *value;
            }
        }
    }
}

/// The rows of definitions that opens, samples and closes refer to, and those of samples and closes alone; gives how many
/// definitions there are, or `None` where a reference is beyond. There are as many opens as closes in no order, which no
/// processor guesses: so there is no choice between them. On its own, so that all of it is in registers.
#[inline(never)]
fn follow(kinds: &[u8], references: &[u64], rows: &mut [u32], total_rows: &mut [u32]) -> Option<u32> {
    let (mut next, mut place, mut is_beyond) = (0_u32, 0_usize, false);
    for (row, kind) in rows.iter_mut().zip(kinds.iter().filter(|kind| **kind <= CLOSE)) {
        let is_total = *kind != OPEN;
        let back = references.get(place).copied().unwrap_or(0) * u64::from(is_total);
        is_beyond |= back > u64::from(next);
        #[expect(clippy::cast_possible_truncation, reason = "at most next, or wrong")]
        let found = next.wrapping_sub(back as u32);
        next += u32::from(back == 0);
        *row = found;
        if let Some(row) = total_rows.get_mut(place) {
            *row = found;
        }
        place += usize::from(is_total);
    }
    (!is_beyond).then_some(next)
}

/// How many kinds are so. Small sums fit where the kinds themselves do, so that a processor counts many at once.
fn count(kinds: &[u8], is_so: impl Fn(u8) -> bool) -> usize {
    let few = |kinds: &[u8]| usize::from(kinds.iter().fold(0_u8, |sum, kind| sum + u8::from(is_so(*kind))));
    kinds.chunks(u8::MAX.into()).map(few).sum()
}

pub(super) fn states(bits: u64) -> Option<TcpStates> {
    u16::try_from(bits).ok().and_then(TcpStates::from_bits)
}

pub(super) fn reason(code: u8) -> Option<Reason> {
    usize::from(code).checked_sub(1).and_then(|place| Reason::ALL.get(place)).copied()
}
