//! Stage two: from the changes of connections to the sums of groups.
//!
//! In: [`Step`]s of one capture. Out: rows. Never here: how changes are computed, how rows are sorted or written.
//!
//! What depends on the connection alone (whether it is kept, in which group it belongs) is decided when what it did is
//! folded into its group: once, when all is known of it, so that an attribute that was learned late holds for the whole
//! connection; or, tick by tick, at the end of each interval with what is known by then. Nothing is counted twice.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::batch::Stretch;
use crate::choice::Note;
use crate::column::Tag;
use crate::delta::{Delta, Step};
use crate::direction;
use crate::event::{Direction, Identity, Transport};
use crate::filter::{Ends, LeftOut, LeftOutCounts};
use crate::flow::{Flow, Surroundings};
use crate::grouped::{Grouped, Numbers};
use crate::measure::Measures;
use crate::pipeline::{ReportOptions, Section, utc_ns};
use crate::report::Report;
use crate::rows::{ELSEWHERE, Rows};
use crate::sums::Sums;
use crate::value::Value;

/// What a connection did, window by window, until its group is known.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    windows: Vec<(i64, Sums)>,
    /// It did something in an interval that is over.
    was_active: bool,
    /// UTC of the boot when it was first heard of.
    boot_time_ns: Option<i64>,
}

impl Pending {
    /// Gives the sums that it was added to.
    fn add(&mut self, window: i64, is_tcp: impl FnOnce() -> bool, delta: &Delta) -> Option<&mut Sums> {
        let place = self.windows.iter().rposition(|(known, _)| *known == window);
        let place = place.unwrap_or_else(|| {
            // Often it is the only one.
            self.windows.reserve_exact(usize::from(self.windows.is_empty()));
            self.windows.push((window, Sums::of_one_connection(is_tcp())));
            self.windows.len() - 1
        });
        let (_, sums) = self.windows.get_mut(place)?;
        sums.add(delta);
        Some(sums)
    }
}

/// Of each tag whose values are counted, those that the connections of a group have.
type Seen = Box<[FxHashSet<Value>]>;

/// Bytes that a value in a set takes at most: a place for it and a byte beside, of which half may be free.
const SEEN: usize = 2 * (size_of::<Value>() + 1);

/// Bytes that sorting takes for each row: its number and what is compared, before and after.
const SORTING: usize = 24;

/// The groups, each with its sums.
#[derive(Debug)]
pub(crate) struct Groups {
    options: ReportOptions,
    tags: Vec<Tag>,
    pub(crate) rows: Rows,
    /// By row, where values are counted.
    seen: Vec<Seen>,
    /// How many values those are.
    seen_values: usize,
    /// What says of which group the connection is that is folded.
    key: Vec<u32>,
    pub(crate) left_out: LeftOutCounts,
    /// Connections without a close that the filter does not ask for, of those that ended since somebody set it to 0.
    pub(crate) unclosed_others: u64,
    pub(crate) note: Note,
}

impl Groups {
    pub(crate) fn new(options: ReportOptions) -> Self {
        let tags = options.tags();
        let rows = Self::no_rows(&options, &tags);
        let (left_out, note) = (LeftOutCounts::default(), Note::Nothing);
        Self {
            options,
            key: Vec::new(),
            tags,
            rows,
            seen: Vec::new(),
            seen_values: 0,
            left_out,
            unclosed_others: 0,
            note,
        }
    }

    /// Takes what one event brought about.
    pub(crate) fn apply(&mut self, section: &mut Section, steps: &mut Vec<Step>) {
        for step in steps.drain(..) {
            match step {
                Step::Delta(delta) => self.change(section, &delta),
                Step::Ended(slot) => {
                    self.settle(section, slot);
                    let pending = section.pending.get_mut(slot).map(std::mem::take).unwrap_or_default();
                    self.end(section, slot, pending);
                    if let Note::Released(choice, released) = &mut self.note
                        && !choice.has(section.number_of(slot))
                    {
                        released.extend(section.surroundings.translations_of(slot));
                    }
                    section.surroundings.forget(slot);
                }
            }
        }
    }

    /// Takes a change of a connection.
    pub(crate) fn change(&mut self, section: &mut Section, delta: &Delta) {
        let connection = section.deltas.connection(delta.slot);
        section.surroundings.see(delta.slot, delta.at, &connection.identity);
        self.count(section, delta);
    }

    /// Counts a change of a connection; gives the sums that it went to, if it counts.
    fn count<'a>(&self, section: &'a mut Section, delta: &Delta) -> Option<&'a mut Sums> {
        let slot = delta.slot;
        let boot_time_ns = section.utc_ns(0);
        let window = self.window_of(section, delta.at);
        let connection = section.deltas.connection(slot);
        let is_tcp = || connection.identity.transport == Transport::Tcp;
        if section.pending.len() <= slot {
            section.pending.resize_with(slot + 1, Pending::default);
        }
        let pending = &mut section.pending[slot];
        pending.boot_time_ns.get_or_insert(boot_time_ns);
        if self.options.filter.keeps_change(&delta.counts) { pending.add(window, is_tcp, delta) } else { None }
    }

    /// Takes the next samples of connections, as long as each goes on with a run of its connection; gives how many it took.
    pub(crate) fn go_on(&self, section: &mut Section, mut stretch: Stretch<'_>) -> usize {
        let boot_time_ns = section.utc_ns(0);
        let (until, learned) = (section.deltas.lingers_until(), section.surroundings.learned());
        let (mut taken, mut window) = (0, 0..0);
        while let Some((at, conn)) = stretch.first() {
            let guess = section.deltas.guess();
            let slot = if section.runs.is_of(guess, conn) { Some(guess) } else { section.deltas.slot_of(conn) };
            let Some((slot, run)) = slot.and_then(|slot| Some((slot, section.runs.of(slot, conn)?))) else { break };
            if at >= until {
                break;
            }
            if !window.contains(&at) {
                window = self.window_around(utc_ns(boot_time_ns, at), at);
                window.end = window.end.min(until);
            }
            if !window.contains(&run.at) {
                // A run is within one window: this is another one.
                let next = run.next(at);
                self.settle(section, slot);
                section.runs.begin(slot, next);
            }
            let Some(run) = section.runs.of(slot, conn) else { break };
            if run.learned != learned {
                section.surroundings.see(slot, at, &section.deltas.connection(slot).identity);
                run.learned = learned;
            }
            let count = section.runs.take(slot, &stretch, &window, learned, self.options.filter.keep_idle);
            if count == 0 {
                break;
            }
            section.deltas.pass(slot, count);
            stretch = stretch.behind(count);
            taken += count;
        }
        section.deltas.pass_over(taken as u64);
        taken
    }

    /// The run of samples in a slot is over, if there is one: what they changed is counted.
    pub(crate) fn settle(&self, section: &mut Section, slot: usize) {
        let Some(run) = section.runs.end(slot) else { return };
        section.surroundings.hear(slot, run.at);
        let delta = section.deltas.catch_up(slot, run.at, &run.totals());
        if let Some(tcp) = self.count(section, &delta).and_then(|sums| sums.tcp.as_mut()) {
            tcp.rtt.merge(&run.rtt);
            tcp.rtt_var.merge(&run.rtt_var);
        }
    }

    /// Likewise in all slots.
    pub(crate) fn settle_all(&self, section: &mut Section) {
        for slot in 0..section.runs.len() {
            self.settle(section, slot);
        }
    }

    /// All is known of a connection. What it did goes to its group, or it is counted as left out.
    fn end(&mut self, section: &Section, slot: usize, pending: Pending) {
        let identity = &section.deltas.connection(slot).identity;
        // Who asked for some connections wants to know what is left out of these.
        let flow = self.options.only.is_some().then(|| self.flow(section, slot, &pending));
        let other = flow.as_ref().is_some_and(|flow| !self.admits(flow)).then_some(LeftOut::Filter);
        if let Note::Chosen(choice) = &mut self.note {
            choice.set(section.number_of(slot), other.is_none());
        }
        if other.is_some() && !section.deltas.connection(slot).is_closed() {
            self.unclosed_others += 1;
        }
        let idle = (pending.windows.is_empty() && !pending.was_active).then_some(LeftOut::Idle);
        match other.or_else(|| self.options.filter.leaves_out(identity)).or(idle) {
            Some(cause) => self.left_out.count(cause),
            None if pending.windows.is_empty() => {}
            None => {
                let flow = flow.unwrap_or_else(|| self.flow(section, slot, &pending));
                self.fold(&flow, pending.windows);
            }
        }
    }

    /// An interval is over: what every connection did in it goes to its group, by what is known of it now.
    pub(crate) fn fold_all(&mut self, section: &mut Section) {
        self.settle_all(section);
        for slot in 0..section.pending.len() {
            let windows = std::mem::take(&mut section.pending[slot].windows);
            if !windows.is_empty() {
                section.pending[slot].was_active = true;
                // Who is left out is counted once, at its end.
                if self.options.filter.leaves_out(&section.deltas.connection(slot).identity).is_none() {
                    let flow = self.flow(section, slot, &section.pending[slot]);
                    if self.admits(&flow) {
                        self.fold(&flow, windows);
                    }
                }
            }
        }
    }

    /// The groups so far that are wanted; they begin anew after it. `about` is the report without its rows.
    pub(crate) fn take(&mut self, about: Report) -> Grouped {
        let counted = self.options.distinct.len();
        let mut rows = std::mem::replace(&mut self.rows, Self::no_rows(&self.options, &self.tags));
        rows.seal();
        let mut distinct: Vec<u64> = Vec::with_capacity(rows.count() as usize * counted);
        self.seen_values = 0;
        for seen in std::mem::take(&mut self.seen) {
            distinct.extend(seen.iter().map(|values| values.len() as u64));
        }
        let every_us = self.every_ns().map(|every| every / 1000);
        let whole = about.span.unwrap_or_default();
        let numbers = Numbers { rows, every_us, whole, distinct, counted };
        Grouped::new(about, numbers, self.options.having.as_ref())
    }

    fn no_rows(options: &ReportOptions, tags: &[Tag]) -> Rows {
        Rows::new(tags, options.has_windows(), options.measures(), options.share)
    }

    /// Adds what a connection did to its group.
    fn fold(&mut self, flow: &Flow, windows: Vec<(i64, Sums)>) {
        self.key.resize(self.rows.key_words(), 0);
        for (place, tag) in self.tags.iter().enumerate() {
            self.rows.set(&mut self.key, place, tag.in_row(flow));
        }
        for (window, sums) in windows {
            self.rows.set_window(&mut self.key, window);
            let row = self.rows.row(&self.key);
            self.rows.add(row, &sums);
            if !self.options.distinct.is_empty() && row != ELSEWHERE {
                self.see(row as usize, flow);
            }
        }
    }

    /// A connection is in a row's group; what is unknown is no value.
    fn see(&mut self, row: usize, flow: &Flow) {
        let tags = &self.options.distinct;
        if self.seen.len() <= row {
            self.seen.resize_with(row + 1, || tags.iter().map(|_| FxHashSet::default()).collect());
        }
        for (seen, tag) in self.seen[row].iter_mut().zip(tags) {
            let value = tag.of_connection(flow);
            if value != Value::Null && seen.insert(value) {
                self.seen_values += 1;
            }
        }
    }

    /// Bytes of memory that the groups take, and with them what it takes to sort them.
    pub(crate) fn memory(&self) -> usize {
        let sets =
            self.seen.capacity() * (size_of::<Seen>() + self.options.distinct.len() * size_of::<FxHashSet<Value>>());
        self.rows.memory() + self.rows.count() as usize * SORTING + sets + self.seen_values * SEEN
    }

    pub(crate) fn measures(&self) -> Measures {
        self.options.measures()
    }

    /// Whether both times are in one window.
    pub(crate) fn is_one_window(&self, section: &Section, a: u64, b: u64) -> bool {
        self.every_ns().is_none() || self.window_of(section, a) == self.window_of(section, b)
    }

    /// The start of the window of a time since boot.
    pub(crate) fn window_of(&self, section: &Section, at: u64) -> i64 {
        self.window_start(section.utc_ns(at))
    }

    pub(crate) fn left_out_by_ends(&self, ends: &Ends) -> Option<LeftOut> {
        self.options.filter.leaves_out_ends(ends)
    }

    /// Somebody may be left out by their ends.
    pub(crate) fn asks_about_ends(&self) -> bool {
        let filter = &self.options.filter;
        !filter.keep_unspecified || !filter.keep_loopback || filter.drop_same_ip
    }

    /// Somebody may be left out because both ends are one address.
    pub(crate) fn asks_about_same_ip(&self) -> bool {
        self.options.filter.drop_same_ip
    }

    pub(crate) fn keeps_idle(&self) -> bool {
        self.options.filter.keep_idle
    }

    /// The ports of the local end and of the remote one, unless it is a client's and is folded.
    pub(crate) fn ports(&self, section: &Section, direction: Option<Direction>, ports: [u16; 2]) -> [Option<u16>; 2] {
        if self.options.ports.no_fold {
            return ports.map(Some);
        }
        direction::fold_ports(ports, direction, self.options.ports.min(section.ephemeral_port_min))
    }

    /// A connection of which only its own events tell, and which has no slot.
    pub(crate) fn flow_of(&self, section: &Section, identity: &Arc<Identity>) -> Flow {
        let ports = self.options.ports;
        let none = Surroundings::default();
        none.resolve(usize::MAX, section.host.as_ref(), identity, ports, section.ephemeral_port_min)
    }

    /// A connection with all that is known of it now.
    fn flow(&self, section: &Section, slot: usize, pending: &Pending) -> Flow {
        let identity = &section.deltas.connection(slot).identity;
        let ports = self.options.ports;
        let host = section.host.as_ref();
        let flow = section.surroundings.resolve(slot, host, identity, ports, section.ephemeral_port_min);
        let connection = section.deltas.connection(slot);
        let began = identity.opened_at.unwrap_or_else(|| connection.began());
        let began = pending.boot_time_ns.map(|boot| utc_ns(boot, began).div_euclid(1000));
        Flow { connection: Some(connection.id), began, ..flow }
    }

    fn admits(&self, flow: &Flow) -> bool {
        self.options.only.as_ref().is_none_or(|only| only.admits(flow))
    }

    /// Times since boot that are in the window of `at`, which is at `utc_ns`.
    fn window_around(&self, utc_ns: i64, at: u64) -> Range<u64> {
        let Some(every) = self.every_ns() else { return 0..u64::MAX };
        let past = utc_ns.rem_euclid(every);
        at.saturating_sub(past.unsigned_abs())..at.saturating_add((every - past).unsigned_abs())
    }

    /// The start of the window in µs; without windows, everything is in one that starts at 0.
    fn window_start(&self, utc_ns: i64) -> i64 {
        let Some(every) = self.every_ns() else { return 0 };
        utc_ns.div_euclid(every).saturating_mul(every).div_euclid(1000)
    }

    fn every_ns(&self) -> Option<i64> {
        self.options.every()
    }
}
