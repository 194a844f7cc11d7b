//! Whether a capture is sound: every block, the index, and the law.
//!
//! In: bytes. Out: for each section what is damaged, what its index says that is not so, and what became of its connections
//! by its events compared with what its recorder says to have lost. Never here: mending (that is
//! [`recover`](super::recover())'s part), words for people.

use std::fmt::Display;
use std::io::Read;

use netflow_core::event::{Event, Header};
use netflow_core::law::{Account, Law, Verdict};

use super::error::{Damage, Malformed, ReadError};
use super::index::{Index, KIND_NAMES, Totals};
use super::passed_over::PassedOver;
use super::reader::{CaptureReader, Closing, End};

/// Whether the index says what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexState {
    /// There is none: the section was not closed, or its index is damaged.
    Missing,
    /// It does, as far as damage lets it be compared.
    Agrees,
    /// It does not; expected is what was read, found what the index says.
    Differs(Vec<Malformed>),
}

/// What is known of a section once all of it was read.
#[derive(Debug, Clone)]
pub struct SectionCheck {
    /// How it came to be; empty when that is damaged.
    pub header: Header,
    /// Where it begins: bytes from the start of the input.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Intact blocks after the metadata, of all kinds.
    pub blocks: u64,
    /// What its events add up to; `losses` are those that the last intact block states.
    pub totals: Totals,
    /// What became of its connections.
    pub account: Account,
    /// How it ended.
    pub end: End,
    /// Whether its index agrees.
    pub index: IndexState,
    /// What is damaged, for as long as fewer than 10,000 places of the input are listed.
    pub damage: Vec<Damage>,
    /// How many places are damaged.
    pub damage_count: u64,
    /// Events known to be lost by damage, or by a torn end.
    pub events_lost: u64,
    /// 0 when nothing is lost by damage, a torn end or blocks that were passed over; otherwise at least 1, and at least `events_lost`.
    pub least_cost: u64,
    /// What a later version wrote; events of unknown kinds are part of `totals.events` only.
    pub passed_over: PassedOver,
}

impl SectionCheck {
    /// Nothing is damaged, cut off or contradicts itself.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.end == End::Clean && self.damage_count == 0 && self.index == IndexState::Agrees
    }

    /// The law can be checked: no event is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.least_cost == 0
    }

    /// The recorder states no loss, and there is none that it does not state.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        self.is_complete()
            && self.totals.losses.is_zero()
            && self.account.verdict == Verdict::Holds
            && self.account.strangers == 0
            && (self.account.tcp + self.account.udp).lost_closes == 0
    }
}

/// Reads a capture to check it, section by section.
pub struct Checker<R> {
    reader: CaptureReader<R>,
    began: bool,
}

impl<R: Read> Checker<R> {
    /// Begins. An input whose first bytes are damaged is searched for the first intact block.
    ///
    /// # Errors
    /// As for [`CaptureReader::salvage`].
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut reader = CaptureReader::salvage(input)?;
        reader.check_everything();
        Ok(Self { reader, began: false })
    }

    /// Checks the next section; `None` when there is none.
    ///
    /// # Errors
    /// As for [`CaptureReader::next_section`].
    pub fn next_section(&mut self) -> Result<Option<SectionCheck>, ReadError> {
        let Some(mut section) = Section::next(&mut self.reader, &mut self.began)? else { return Ok(None) };
        for event in self.reader.by_ref() {
            section.push(&event?);
        }
        Ok(Some(section.finish(&mut self.reader)))
    }
}

/// A section that is being read, by a reader that checks everything.
pub(super) struct Section {
    law: Law,
    /// What was damaged before it.
    before: Sums,
}

/// What a reader has found so far.
#[derive(Clone, Copy, Default)]
struct Sums {
    listed: usize,
    damage_count: u64,
    events_lost: u64,
    least_cost: u64,
    passed_over: PassedOver,
}

impl Sums {
    fn of<R: Read>(reader: &CaptureReader<R>) -> Self {
        Self {
            listed: reader.damage().len(),
            damage_count: reader.damage_count(),
            events_lost: reader.events_lost(),
            least_cost: reader.least_cost(),
            passed_over: reader.passed_over(),
        }
    }
}

impl Section {
    /// The next section, of which nothing but its start is read; the first one when it has not yet `began`.
    pub(super) fn next<R: Read>(reader: &mut CaptureReader<R>, began: &mut bool) -> Result<Option<Self>, ReadError> {
        let mut before = Sums::default();
        if std::mem::replace(began, true) {
            before = Sums::of(reader);
            let offset = reader.section_offset();
            // A section that ends within its start is one all the same.
            if !reader.next_section()? && reader.section_offset() == offset {
                return Ok(None);
            }
        }
        Ok(Some(Self { law: Law::of_part(reader.header().part), before }))
    }

    pub(super) fn push(&mut self, event: &Event) {
        self.law.push(event);
    }

    /// What damage has cost of it so far, at least.
    pub(super) fn cost<R: Read>(&self, reader: &CaptureReader<R>) -> u64 {
        reader.least_cost() - self.before.least_cost
    }

    /// All of it was read.
    pub(super) fn finish<R: Read>(self, reader: &mut CaptureReader<R>) -> SectionCheck {
        let now = Sums::of(reader);
        let mut audit = reader.take_audit();
        let end = reader.end().unwrap_or(End::NotClosed);
        let (torn_events, torn_cost) = match end {
            End::Torn { events_lost: Some(events), .. } => (events, events),
            End::Torn { events_lost: None, .. } => (0, 1),
            End::Clean | End::NotClosed => (0, 0),
        };
        let losses = reader.losses();
        let made = audit.made.take(audit.live_at_end(), losses);
        let mut check = SectionCheck {
            header: reader.header().clone(),
            offset: reader.section_offset(),
            bytes: reader.offset() - reader.section_offset(),
            blocks: audit.blocks,
            totals: made.totals.clone(),
            account: self.law.account(losses, end == End::Clean),
            end,
            index: IndexState::Missing,
            damage: reader.damage()[self.before.listed..].to_vec(),
            damage_count: now.damage_count - self.before.damage_count,
            events_lost: (now.events_lost - self.before.events_lost).saturating_add(torn_events),
            least_cost: (now.least_cost - self.before.least_cost).saturating_add(torn_cost),
            passed_over: now.passed_over.since(self.before.passed_over),
        };
        // Sums that a forged header drove to the end of their range differ no more.
        check.least_cost = check.least_cost.max(check.events_lost);
        check.totals.events = check.totals.events.saturating_add(check.passed_over.events);
        if let Some(found) = &audit.found {
            check.index = compare(&check, &Index { totals: check.totals.clone(), ..made }, found);
        }
        check
    }
}

/// Holds the index against what was read.
fn compare(check: &SectionCheck, made: &Index, found: &Closing) -> IndexState {
    let mut differences = Vec::new();
    let mut same = |what: &'static str, made: &dyn Display, found: &dyn Display| {
        let (made, found) = (made.to_string(), found.to_string());
        if made != found {
            differences.push(Malformed::new(what, made, found));
        }
    };
    let (read, index) = (&made.totals, &found.index.totals);
    if !check.is_complete() {
        // All that can be told is how much should be there, and not even that when the cost of some damage is unknown.
        if check.least_cost == check.events_lost {
            same("events", &read.events.saturating_add(check.events_lost), &index.events);
        }
    } else {
        same("place of the index", &found.offset, &found.stated);
        same("events", &read.events, &index.events);
        for (name, (read, index)) in KIND_NAMES.iter().zip(read.counts.iter().zip(&index.counts)) {
            same(name, read, index);
        }
        same("preexisting connections", &read.preexisting, &index.preexisting);
        same("connections without a close", &read.live_at_end, &index.live_at_end);
        same("blocks of events", &read.blocks, &index.blocks);
        same("losses", &read.losses, &index.losses);
        // An event of a later version has a time that was not looked at.
        if check.passed_over.events == 0 {
            let at = |at: Option<u64>| at.map_or("none".to_owned(), |at| at.to_string());
            same("time of the first event", &at(read.first_at), &at(index.first_at));
            same("time of the last event", &at(read.last_at), &at(index.last_at));
        }
        same("entries", &made.entries.len(), &found.index.entries.len());
        let unlike = made.entries.iter().zip(&found.index.entries).find(|(made, found)| made != found);
        if let Some((made, found)) = unlike {
            same("entry", &format!("{made:?}"), &format!("{found:?}"));
        }
    }
    if differences.is_empty() { IndexState::Agrees } else { IndexState::Differs(differences) }
}
