//! Whether a capture is sound: every block, the index, and the law.
//!
//! In: bytes. Out: for each section what is damaged, what its index says that is not so, and what became of its connections
//! by its events compared with what its recorder says to have lost. Never here: mending (that is
//! [`recover`](super::recover())'s part), words for people.

use std::fmt::Display;
use std::io::Read;

use netflow_core::event::{Event, Header, Loss};
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

/// What is known of a section once all of it was read; or of several that go on with each other.
#[derive(Debug, Clone)]
pub struct SectionCheck {
    /// How many sections.
    pub sections: u64,
    /// It goes on with the section before it.
    pub goes_on: bool,
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
    /// Events of `totals` that said again what the section before had said. Of several sections, `totals` has no such.
    pub said_again: u64,
    /// What became of its connections, and of those of the sections with which it goes on.
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

    /// Adds the section that goes on with it.
    fn join(&mut self, next: Self) {
        self.sections += next.sections;
        self.bytes = next.offset.saturating_sub(self.offset).saturating_add(next.bytes);
        self.blocks = self.blocks.saturating_add(next.blocks);
        let (totals, more) = (&mut self.totals, next.totals);
        totals.events = totals.events.saturating_add(more.events.saturating_sub(next.said_again));
        totals.blocks = totals.blocks.saturating_add(more.blocks);
        totals.live_at_end = more.live_at_end;
        totals.first_at = totals.first_at.or(more.first_at);
        totals.last_at = more.last_at.or(totals.last_at);
        totals.losses += more.losses;
        self.account = next.account;
        if self.end == End::Clean {
            self.end = next.end;
        }
        self.index = match (std::mem::replace(&mut self.index, IndexState::Missing), next.index) {
            (IndexState::Differs(mut all), IndexState::Differs(more)) => {
                all.extend(more);
                IndexState::Differs(all)
            }
            (differs @ IndexState::Differs(_), _) | (_, differs @ IndexState::Differs(_)) => differs,
            (IndexState::Agrees, IndexState::Agrees) => IndexState::Agrees,
            _ => IndexState::Missing,
        };
        self.damage.extend(next.damage);
        self.damage_count = self.damage_count.saturating_add(next.damage_count);
        self.events_lost = self.events_lost.saturating_add(next.events_lost);
        self.least_cost = self.least_cost.saturating_add(next.least_cost);
        self.passed_over = self.passed_over.and(next.passed_over);
    }
}

/// Reads a capture to check it.
pub struct Checker<R> {
    reader: CaptureReader<R>,
    began: bool,
    /// The section that was read last, without its events.
    last: Option<Last>,
    /// One that was read and belongs to another recording than those before it.
    ahead: Option<SectionCheck>,
}

/// What the next section may go on with.
struct Last {
    header: Header,
    last_at: Option<u64>,
    law: Law,
    losses: Loss,
}

impl<R: Read> Checker<R> {
    /// Begins. An input whose first bytes are damaged is searched for the first intact block.
    ///
    /// # Errors
    /// As for [`CaptureReader::salvage`].
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut reader = CaptureReader::salvage(input)?;
        reader.check_everything();
        Ok(Self { reader, began: false, last: None, ahead: None })
    }

    /// Checks the next recording: a section and all that go on with it; `None` when there is none.
    ///
    /// # Errors
    /// As for [`CaptureReader::next_section`].
    pub fn next_recording(&mut self) -> Result<Option<SectionCheck>, ReadError> {
        let first = match self.ahead.take() {
            Some(first) => Some(first),
            None => self.next_section()?,
        };
        let Some(mut check) = first else { return Ok(None) };
        while let Some(next) = self.next_section()? {
            if !next.goes_on {
                self.ahead = Some(next);
                break;
            }
            check.join(next);
        }
        Ok(Some(check))
    }

    /// Checks the next section; `None` when there is none.
    ///
    /// # Errors
    /// As for [`CaptureReader::next_section`].
    pub fn next_section(&mut self) -> Result<Option<SectionCheck>, ReadError> {
        let mut last = self.last.take();
        let (mut goes_on, mut losses) = (false, Loss::default());
        let law = |header: &Header| {
            let Some(mut last) = last.take().filter(|last| header.continues(&last.header, last.last_at)) else {
                return Law::of(header);
            };
            (goes_on, losses) = (true, last.losses);
            last.law.go_on();
            last.law
        };
        let Some(mut section) = Section::next(&mut self.reader, &mut self.began, law)? else { return Ok(None) };
        (section.goes_on, section.losses) = (goes_on, losses);
        for event in self.reader.by_ref() {
            section.push(&event?);
        }
        let (check, law) = section.finish(&mut self.reader);
        let (header, last_at) = (check.header.clone(), check.totals.last_at);
        self.last = Some(Last { header, last_at, law, losses: check.account.losses });
        Ok(Some(check))
    }
}

/// A section that is being read, by a reader that checks everything.
pub(super) struct Section {
    law: Law,
    goes_on: bool,
    /// What the recorder lost in the sections with which it goes on.
    losses: Loss,
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
    /// The next section, of which nothing but its start is read; the first one when it has not yet `began`. `law` gives the
    /// law for what has its header.
    pub(super) fn next<R: Read>(
        reader: &mut CaptureReader<R>,
        began: &mut bool,
        law: impl FnOnce(&Header) -> Law,
    ) -> Result<Option<Self>, ReadError> {
        let mut before = Sums::default();
        if std::mem::replace(began, true) {
            before = Sums::of(reader);
            let offset = reader.section_offset();
            // A section that ends within its start is one all the same.
            if !reader.next_section()? && reader.section_offset() == offset {
                return Ok(None);
            }
        }
        Ok(Some(Self { law: law(reader.header()), goes_on: false, losses: Loss::default(), before }))
    }

    pub(super) fn push(&mut self, event: &Event) {
        self.law.push(event);
    }

    /// What damage has cost of it so far, at least.
    pub(super) fn cost<R: Read>(&self, reader: &CaptureReader<R>) -> u64 {
        reader.least_cost() - self.before.least_cost
    }

    /// All of it was read.
    pub(super) fn finish<R: Read>(self, reader: &mut CaptureReader<R>) -> (SectionCheck, Law) {
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
        let mut all_losses = self.losses;
        all_losses += losses;
        let mut check = SectionCheck {
            sections: 1,
            goes_on: self.goes_on,
            header: reader.header().clone(),
            offset: reader.section_offset(),
            bytes: reader.offset() - reader.section_offset(),
            blocks: audit.blocks,
            totals: made.totals.clone(),
            said_again: self.law.said_again(),
            account: self.law.account(all_losses, end == End::Clean),
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
        (check, self.law)
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
        // Who wrote it need not have counted these.
        if index.said_again.iter().any(|count| *count > 0) {
            same("events said again", &format!("{:?}", read.said_again), &format!("{:?}", index.said_again));
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
