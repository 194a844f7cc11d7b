//! The one pipeline: `Event → Delta → Report`.
//!
//! In: the header and the events of one or several captures, one after the other. Out: a [`Report`] on all of them at the
//! end, or one on each interval through [`crate::ticks::Ticks`]. Never here: where events come from, how a report is
//! written.

use std::sync::Arc;

use crate::again::Again;
use crate::aggregate::{Groups, Pending};
use crate::batch::{Batch, Block, Place};
use crate::brief::Briefs;
use crate::choice::Note;
use crate::column::{Column, Tag};
use crate::delta::{Deltas, Diagnostics, LINGER_NS, Step};
use crate::event::{Body, Event, Header, Loss, Nat, Totals};
use crate::filter::{BuiltIn, Filter, Having};
use crate::flow::{PortOptions, Surroundings};
use crate::grouped::Grouped;
use crate::k8s::Cluster;
use crate::measure::Measures;
use crate::report::{Order, Report, Rest, Window};
use crate::runs::{Run, Runs};
use crate::share::Share;

/// What to report.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// The tags by which rows are grouped, none twice; empty: by every tag that need not be asked for.
    pub by: Vec<Tag>,
    /// The tags whose different values are counted in each row: of ports the real ones, and what is unknown is none. This
    /// takes memory for each value of each row: 30 to 60 bytes, and the text of names once.
    pub distinct: Vec<Tag>,
    /// Length of the windows in nanoseconds, aligned to multiples of it since 1970 (UTC); `None` or 0: one window.
    pub every_ns: Option<u64>,
    /// The built-in filters.
    pub filter: BuiltIn,
    /// Only connections of which this holds, by all that is known of each when what it did is counted.
    pub only: Option<Filter>,
    /// Only rows of which this holds; it must have been read with these options' columns.
    pub having: Option<Having>,
    /// How ports are read.
    pub ports: PortOptions,
    /// How rows are sorted.
    pub order: Order,
    /// The columns that are shown, in this order, out of [`ReportOptions::columns`]; empty: all. Of sums that are neither shown
    /// nor needed to sort or to choose rows, rows have none.
    pub shown: Vec<Column>,
    /// Which of the groups to keep.
    pub share: Share,
}

impl ReportOptions {
    /// The tags by which rows are grouped.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        if self.by.is_empty() { Tag::defaults() } else { self.by.clone() }
    }

    /// The length of the windows; `None`: there is one.
    pub(crate) fn every(&self) -> Option<i64> {
        self.every_ns.map(|every| i64::try_from(every).unwrap_or(i64::MAX)).filter(|every| *every > 0)
    }

    pub(crate) fn has_windows(&self) -> bool {
        self.every().is_some()
    }

    /// The sums that somebody wants: those that are shown, and those by which rows are sorted or kept.
    #[must_use]
    pub fn measures(&self) -> Measures {
        if self.shown.is_empty() {
            return Measures::ALL;
        }
        let shown = self.shown.iter().fold(Measures::default(), |all, column| all.with_field(&column.name));
        let having = self.having.as_ref().map_or_else(Measures::default, Having::measures);
        shown.with(self.order.measures()).with(having)
    }

    /// The columns of a report with these options.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        Column::all(&self.tags(), &self.distinct)
    }
}

/// One capture while it is read.
#[derive(Debug)]
pub(crate) struct Section {
    /// How many there were before it that do not go on with each other.
    number: usize,
    pub(crate) ephemeral_port_min: u16,
    pub(crate) host: Option<Arc<str>>,
    /// UTC of the boot; a clock event changes it.
    boot_time_ns: i64,
    /// Where it says again what the capture before said, if it goes on with it.
    again: Again,
    /// When its last event was that it does not say again; in its beginning, what its header says of it.
    last_at: Option<u64>,
    /// When the interval that is not over yet began and how far it reaches, in nanoseconds since boot.
    interval: Option<(u64, u64)>,
    pub(crate) deltas: Deltas,
    pub(crate) surroundings: Surroundings,
    pub(crate) runs: Runs,
    /// By slot.
    pub(crate) pending: Vec<Pending>,
}

/// The pipeline.
#[derive(Debug)]
pub struct Pipeline {
    groups: Groups,
    section: Option<Section>,
    /// How many there were.
    sections: usize,
    briefs: Briefs,
    headers: Vec<Header>,
    span: Option<Window>,
    order: Order,
    columns: Vec<Column>,
    /// These are not all.
    chosen: bool,
    diagnostics: Diagnostics,
    steps: Vec<Step>,
    /// By definition of the present block.
    are_brief: Vec<bool>,
}

impl Pipeline {
    /// A pipeline that has seen nothing yet.
    #[must_use]
    pub fn new(options: ReportOptions) -> Self {
        Self {
            order: options.order.clone(),
            columns: if options.shown.is_empty() { options.columns() } else { options.shown.clone() },
            chosen: !options.shown.is_empty(),
            briefs: Briefs::new(&options),
            groups: Groups::new(options),
            section: None,
            sections: 0,
            headers: Vec::new(),
            span: None,
            diagnostics: Diagnostics::default(),
            steps: Vec::new(),
            are_brief: Vec::new(),
        }
    }

    /// Bytes of memory that the groups take so far, and with them what it takes to sort them. What is kept of open connections
    /// is not among it.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.groups.memory()
    }

    /// The sums that its report is made of.
    #[must_use]
    pub fn measures(&self) -> Measures {
        self.groups.measures()
    }

    /// A pipeline that notes something beside the sums.
    pub(crate) fn noting(options: ReportOptions, note: Note) -> Self {
        let mut pipeline = Self::new(options);
        pipeline.groups.note = note;
        pipeline
    }

    /// Everything was pushed: what was noted.
    pub(crate) fn into_note(mut self) -> Note {
        self.end_section();
        self.groups.note
    }

    /// The translations of connections that are not chosen and that ended since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<Nat> {
        match &mut self.groups.note {
            Note::Released(_, released) => std::mem::take(released),
            Note::Nothing | Note::Chosen(_) => Vec::new(),
        }
    }

    /// The last event said what was known.
    pub(crate) fn is_said_again(&self) -> bool {
        self.section.as_ref().is_some_and(|section| !matches!(section.again, Again::Over))
    }

    /// The number of the section, and in it that of the connection that has this id now.
    pub(crate) fn number_of(&self, conn: u64) -> Option<(usize, usize)> {
        let section = self.section.as_ref()?;
        section.deltas.slot_of(conn).map(|slot| section.number_of(slot))
    }

    /// A capture begins. What is still pending of the one before it ends here, unless this one goes on with the same
    /// recording: then its connections go on too, and none is counted twice.
    pub fn begin(&mut self, header: &Header) {
        let continued = self.is_continued_by(header);
        self.headers.push(header.clone());
        if continued {
            self.push_halves();
            self.briefs
                .take_all(self.last_at(), &mut self.groups.rows)
                .iter()
                .for_each(|events| self.push_late(events));
        }
        if continued && let Some(section) = &mut self.section {
            self.groups.settle_all(section);
            section.boot_time_ns = header.boot_time_ns;
            section.again = Again::Beginning;
            return;
        }
        self.end_section();
        self.briefs.begin();
        self.section = Some(Section {
            number: self.sections,
            host: (!header.host.is_empty()).then(|| Arc::from(header.host.as_str())),
            boot_time_ns: header.boot_time_ns,
            ephemeral_port_min: header.ephemeral_port_min,
            again: Again::Over,
            last_at: header.continues_from,
            interval: None,
            deltas: Deltas::new(),
            surroundings: Surroundings::default(),
            runs: Runs::default(),
            pending: Vec::new(),
        });
        self.sections += 1;
    }

    /// The cluster that the host of the capture that began last belongs to. A `k8s` event carries text, which is not for
    /// here to read: whoever reads it calls this, and again when a later event says otherwise.
    pub fn set_cluster(&mut self, cluster: Arc<Cluster>) {
        self.push_halves();
        self.briefs
            .take_relying(self.last_at(), &mut self.groups.rows)
            .iter()
            .for_each(|events| self.push_late(events));
        if let Some(section) = &mut self.section {
            section.surroundings.cluster = Some(cluster);
        }
    }

    /// A capture with this header goes on where the one that began last ended.
    pub(crate) fn is_continued_by(&self, header: &Header) -> bool {
        let Some(section) = &self.section else { return false };
        self.headers.last().is_some_and(|before| header.continues(before, section.last_at))
    }

    /// Takes the next event of the capture that began last. Events before any capture began are ignored.
    pub fn push(&mut self, event: &Event) {
        self.take(event);
    }

    /// Takes the next events of the capture that began last, all of a block, which is kept for a while: the same as each of
    /// them one after the other. A `k8s` event in it says nothing here: see [`set_cluster`](Self::set_cluster).
    pub fn push_block(&mut self, block: &Arc<dyn Block>) {
        let Some(section) = &mut self.section else { return };
        let batch = block.batch();
        // Events of kinds that are not known happened at no time.
        let is_plain = matches!(section.again, Again::Over)
            && batch.others.iter().all(|body| body.as_ref().is_some_and(|body| !matches!(body, Body::Clock(_))));
        let (Some(first), Some(last)) = (batch.at.first(), batch.at.last()) else { return };
        if !is_plain {
            batch.events().for_each(|event| self.push(&event));
            self.briefs.end_batch();
            return;
        }
        let mut are_brief = std::mem::take(&mut self.are_brief);
        self.briefs.sort_out(block, section, &mut self.groups, &mut are_brief);
        self.push_halves();
        if let Some(section) = &mut self.section {
            section.see_time(*first, &mut self.span);
        }
        self.push_others(&batch, &are_brief);
        self.are_brief = are_brief;
        self.briefs.end_batch();
        // What is left of a long block is not worth keeping it.
        let is_long = last.saturating_sub(*first) > 4 * LINGER_NS;
        if is_long {
            self.briefs.take_all(*last, &mut self.groups.rows).iter().for_each(|events| self.push_late(events));
        }
        if let Some(section) = &mut self.section {
            section.see_time(*last, &mut self.span);
            let now = if is_long { u64::MAX } else { *last };
            section.deltas.pass_over(self.briefs.fold(now, &mut self.groups));
        }
    }

    /// Takes the events of a batch that are not those of brief connections.
    fn push_others(&mut self, batch: &Batch<'_>, are_brief: &[bool]) {
        let is_of_brief = |row: usize| are_brief.get(row) == Some(&true);
        let mut place = Place::default();
        loop {
            let next = if are_brief.is_empty() {
                batch.next(&mut place)
            } else {
                batch.next_where(&mut place, |row| !is_of_brief(row))
            };
            let Some(next) = next else { return };
            let taken = self.go_on(batch, next);
            if taken > 0 {
                place.pass_samples(taken - 1);
                continue;
            }
            let stretch = batch.stretch(next);
            match stretch.first() {
                Some((at, conn)) if self.is_for_nobody_else(conn) => self.take_sample(at, conn, &stretch.totals()),
                _ => {
                    if let Some(event) = batch.event(next) {
                        self.push(&event);
                    }
                }
            }
        }
    }

    /// No brief connection that lingers can be meant.
    fn is_for_nobody_else(&self, conn: u64) -> bool {
        self.briefs.is_empty() || self.section.as_ref().is_some_and(|section| section.deltas.slot_of(conn).is_some())
    }

    /// As [`take`](Self::take) of a sample in the midst of a capture, without the event; its time was seen. Those that follow
    /// may go on with it.
    fn take_sample(&mut self, at: u64, conn: u64, totals: &Totals) {
        self.briefs.note(conn);
        self.settle(conn);
        let Some(section) = &mut self.section else { return };
        let delta = section.deltas.push_sample(at, conn, totals, &mut self.steps);
        if !self.steps.is_empty() {
            self.groups.apply(section, &mut self.steps);
        }
        if let Some(delta) = delta {
            self.groups.change(section, &delta);
            if let Some(run) = Run::new(conn, at, totals, section.surroundings.learned()) {
                section.runs.begin(delta.slot, run);
            }
        }
    }

    /// Takes the samples of a batch from a place on that go on with runs of their connections; gives how many these are.
    fn go_on(&mut self, batch: &Batch<'_>, place: Place) -> usize {
        self.section.as_mut().map_or(0, |section| self.groups.go_on(section, batch.stretch(place)))
    }

    /// The run of samples of a connection is over, because something else is to be said of it.
    fn settle(&mut self, conn: u64) {
        let Some(section) = &mut self.section else { return };
        if !section.runs.is_empty()
            && let Some(slot) = section.deltas.slot_of(conn)
        {
            self.groups.settle(section, slot);
        }
    }

    /// Those of the brief connections that linger go the way of all others, because `event` speaks of them, or tells what
    /// they might want to know.
    fn let_go(&mut self, event: &Event) {
        if let Some(conn) = event.body.conn() {
            let is_known = self.section.as_ref().is_some_and(|section| section.deltas.slot_of(conn).is_some());
            if !is_known && let Some(events) = self.briefs.take(conn, event.at, &mut self.groups.rows) {
                self.push_late(&events);
            }
            return;
        }
        let those = match event.body {
            Body::Tick(_) | Body::Loss(_) => return,
            // They were in the windows of the clock before.
            Body::Clock(_) => self.briefs.take_all(event.at, &mut self.groups.rows),
            _ => self.briefs.take_relying(event.at, &mut self.groups.rows),
        };
        those.iter().for_each(|events| self.push_late(events));
    }

    /// When the last event of the section was.
    fn last_at(&self) -> u64 {
        self.section.as_ref().and_then(|section| section.last_at).unwrap_or(0)
    }

    /// The connections that began in the block before and of which this says nothing take the way of single events.
    fn push_halves(&mut self) {
        let Some(section) = &mut self.section else { return };
        for open in self.briefs.take_halves() {
            section.deltas.push(&open, &mut self.steps);
            self.groups.apply(section, &mut self.steps);
        }
    }

    fn push_late(&mut self, events: &[Event; 2]) {
        let Some(section) = &mut self.section else { return };
        section.deltas.push_late(events, &mut self.steps);
        self.groups.apply(section, &mut self.steps);
    }

    /// Takes the next event; true when it ends an interval.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        self.push_halves();
        if !self.briefs.is_empty() {
            self.let_go(event);
        }
        if let Some(conn) = event.body.conn() {
            self.briefs.note(conn);
            self.settle(conn);
        }
        let Some(section) = &mut self.section else { return false };
        if section.again.has(event, |conn| section.deltas.has_seen(conn)) {
            // What is known beside the connections is known.
            if event.body.conn().is_some() {
                section.deltas.push_again(event, &mut self.steps);
                self.groups.apply(section, &mut self.steps);
            }
            return false;
        }
        if let Body::Clock(clock) = &event.body {
            // What was in the windows of the clock before is in these.
            self.groups.settle_all(section);
            section.boot_time_ns = clock.boot_time_ns;
        }
        section.see_time(event.at, &mut self.span);
        section.deltas.push(event, &mut self.steps);
        self.groups.apply(section, &mut self.steps);
        // Only now: what is over by this time is not to learn from what comes after.
        section.surroundings.learn(event);
        matches!(event.body, Body::Tick(_))
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.section.as_ref().map_or(0, |section| section.deltas.open_connections())
    }

    /// What the recorder said up to now that it lost.
    #[must_use]
    pub fn losses(&self) -> Loss {
        let mut losses = self.diagnostics.loss;
        if let Some(section) = &self.section {
            losses += section.deltas.diagnostics().loss;
        }
        losses
    }

    /// The report on everything that was pushed.
    #[must_use]
    pub fn finish(self) -> Report {
        self.finish_groups().sort().report()
    }

    /// The groups of the report on everything that was pushed, without making rows of them.
    #[must_use]
    pub fn finish_groups(mut self) -> Grouped {
        self.end_section();
        self.grouped(self.span)
    }

    /// Ends the interval that began with the last call, or with the capture: the report on it.
    pub(crate) fn end_interval(&mut self) -> Report {
        let window = self.section.as_mut().and_then(|section| {
            let window = section.end_interval();
            self.groups.fold_all(section);
            window
        });
        self.grouped(window).sort().report()
    }

    /// What is in the groups, which are empty after it.
    fn grouped(&mut self, span: Option<Window>) -> Grouped {
        let mut diagnostics = self.diagnostics;
        if let Some(section) = &self.section {
            diagnostics.add(&section.deltas.diagnostics());
        }
        self.groups.take(Report {
            headers: self.headers.clone(),
            columns: self.columns.clone(),
            chosen: self.chosen,
            order: self.order.clone(),
            left_out: self.groups.left_out,
            rows: Vec::new(),
            rest: Rest::default(),
            span,
            diagnostics,
        })
    }

    /// Ends the capture that is being read: what is still open in it, and what was strange.
    pub(crate) fn end_section(&mut self) {
        self.push_halves();
        let Some(mut section) = self.section.take() else { return };
        section.deltas.pass_over(self.briefs.fold(u64::MAX, &mut self.groups));
        self.groups.unclosed_others = 0;
        section.deltas.finish(&mut self.steps);
        self.groups.apply(&mut section, &mut self.steps);
        let mut diagnostics = section.deltas.diagnostics();
        diagnostics.unclosed = diagnostics.unclosed.saturating_sub(self.groups.unclosed_others);
        self.diagnostics.add(&diagnostics);
    }
}

impl Section {
    /// An event was at this time.
    fn see_time(&mut self, at: u64, span: &mut Option<Window>) {
        self.last_at = Some(at);
        let moment = self.utc_ns(at).div_euclid(1000);
        let span = span.get_or_insert(Window { start_us: moment, end_us: moment });
        span.start_us = span.start_us.min(moment);
        span.end_us = span.end_us.max(moment);
        let (_, until) = self.interval.get_or_insert((at, at));
        *until = at.max(*until);
    }

    /// The window of the interval that ends now; `None` before the first event.
    fn end_interval(&mut self) -> Option<Window> {
        let (from, until) = self.interval?;
        // No two intervals end in the same microsecond, or the points of one would replace those of the other.
        let until = until.max(from.saturating_add(1000));
        self.interval = Some((until, until));
        Some(Window { start_us: self.utc_ns(from).div_euclid(1000), end_us: self.utc_ns(until).div_euclid(1000) })
    }

    /// Its own number, and that of the connection in a slot.
    pub(crate) fn number_of(&self, slot: usize) -> (usize, usize) {
        (self.number, self.deltas.connection(slot).number)
    }

    pub(crate) fn utc_us(&self, at: u64) -> i64 {
        self.utc_ns(at).div_euclid(1000)
    }

    pub(crate) fn utc_ns(&self, at: u64) -> i64 {
        utc_ns(self.boot_time_ns, at)
    }
}

/// UTC of a time since boot.
pub(crate) fn utc_ns(boot_time_ns: i64, at: u64) -> i64 {
    boot_time_ns.saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
}
