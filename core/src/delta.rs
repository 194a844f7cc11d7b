//! Stage one: from cumulative totals to what happened since last time.
//!
//! In: [`Event`]s in order of time. Out: [`Step`]s, each the change of one connection or the end of what is known of it.
//! Never here: filters, names, windows. Memory is bounded by the connections that live, plus those that ended within
//! [`LINGER_NS`]: these stay known for a moment because some attributes (a translated destination, the owner's name)
//! arrive just after the end.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::event::{Body, Close, Event, Identity, Loss, Totals, Transport};

/// How long an ended connection stays known, in nanoseconds of the capture's own time.
pub const LINGER_NS: u64 = 2_000_000_000;

/// What changed within one event. All counts are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub recv_bytes: u64,
    /// Segments or datagrams sent.
    pub sent_packets: u64,
    /// Segments or datagrams received.
    pub recv_packets: u64,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// 1 when the TCP connection was established here.
    pub established: u64,
    /// 1 when an established TCP connection ended here.
    pub closed: u64,
    /// 1 when a connect failed here.
    pub connect_failures: u64,
}

impl Counts {
    /// Something happened: any count that is not zero is activity, retransmissions among them.
    #[must_use]
    pub fn is_active(&self) -> bool {
        *self != Self::default()
    }
}

/// The change of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// The connection: an index for [`Deltas::connection`].
    pub slot: usize,
    /// When it was seen: nanoseconds since boot.
    pub at: u64,
    /// What changed.
    pub counts: Counts,
    /// The round-trip time in µs as measured now; 0 when not measured.
    pub rtt_us: u32,
    /// Its mean deviation in µs; 0 when not measured.
    pub rtt_var_us: u32,
}

/// What [`Deltas::push`] has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A connection changed.
    Delta(Delta),
    /// All that will ever be known of the connection in this slot is known. The slot stays readable until the next
    /// push, then it serves another connection.
    Ended(usize),
}

/// What was strange in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// Events read.
    pub events: u64,
    /// Counters that went backwards within a connection (each counts its new value, the others are untouched).
    pub counter_resets: u64,
    /// Connections that vanished from a complete snapshot without a close.
    pub lost_closes: u64,
    /// Events of connections that nothing introduced; they count nothing.
    pub strangers: u64,
    /// Connections still open at the end; in a report with a filter, of those that it asks for.
    pub unclosed: u64,
    /// What the recorder itself says it lost.
    pub loss: Loss,
}

impl Diagnostics {
    /// Takes what was strange in another stream.
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.counter_resets += other.counter_resets;
        self.lost_closes += other.lost_closes;
        self.strangers += other.strangers;
        self.unclosed += other.unclosed;
        self.loss += other.loss;
    }

    /// Numbers in the report may be too low.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        !self.loss.is_zero() || self.lost_closes > 0 || self.strangers > 0
    }
}

/// One incarnation of a connection, as far as it is known.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its id in the capture.
    pub id: u64,
    /// How many connections were introduced before it.
    pub(crate) number: usize,
    /// The last known attributes.
    pub identity: Arc<Identity>,
    /// When it was first heard of.
    began: u64,
    /// `None` until the baseline of a connection that is older than the recording is known.
    last: Option<Totals>,
    /// It was established, here or before the recording.
    established: bool,
    closed: bool,
    /// Nothing is known of it any longer.
    is_gone: bool,
}

impl Connection {
    /// Its close was told.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What a capture that begins here says of it: it is older than that capture.
    pub(crate) fn as_preexisting(&self) -> Arc<Identity> {
        if self.identity.preexisting {
            return Arc::clone(&self.identity);
        }
        let opened_at = self.identity.opened_at.or(Some(self.began));
        Arc::new(Identity { preexisting: true, opened_at, ..Identity::clone(&self.identity) })
    }

    /// When it was first heard of, in nanoseconds since boot.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// Its totals when it was last seen; `None` while those of a connection older than the recording are not known.
    pub(crate) fn totals(&self) -> Option<&Totals> {
        self.last.as_ref()
    }
}

/// The first stage of the pipeline.
#[derive(Debug, Default)]
pub struct Deltas {
    slots: Vec<Connection>,
    /// Those that were seen since the last tick, by slot.
    seen: Vec<bool>,
    by_id: FxHashMap<u64, usize>,
    /// The slot behind the one of the last event: snapshots go through connections in the order in which these were made.
    guess: usize,
    free: Vec<usize>,
    /// Ended connections with the time when they are to be forgotten, in that order.
    lingering: VecDeque<(u64, usize)>,
    /// Slots whose end was told in the last push.
    told: Vec<usize>,
    /// Connections that were ever introduced.
    introduced: usize,
    diagnostics: Diagnostics,
}

impl Deltas {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection in a slot that a [`Step`] named.
    #[must_use]
    pub fn connection(&self, slot: usize) -> &Connection {
        &self.slots[slot]
    }

    /// What was strange so far.
    #[must_use]
    pub fn diagnostics(&self) -> Diagnostics {
        self.diagnostics
    }

    /// The slots of the connections that are open, in the order of their ids.
    pub(crate) fn open_slots(&self) -> Vec<usize> {
        let mut slots: Vec<usize> = self.by_id.values().copied().filter(|slot| !self.slots[*slot].closed).collect();
        slots.sort_unstable_by_key(|slot| self.slots[*slot].id);
        slots
    }

    /// The connection in a slot was seen since the last tick.
    pub(crate) fn is_seen(&self, slot: usize) -> bool {
        self.seen[slot]
    }

    /// The slot of the connection that has this id now.
    pub(crate) fn slot_of(&self, id: u64) -> Option<usize> {
        let is_guessed = self.slots.get(self.guess).is_some_and(|guessed| guessed.id == id && !guessed.is_gone);
        if is_guessed { Some(self.guess) } else { self.by_id.get(&id).copied() }
    }

    /// A connection is known, and was seen since the last tick.
    pub(crate) fn has_seen(&self, id: u64) -> bool {
        self.by_id.get(&id).is_some_and(|slot| self.is_seen(*slot))
    }

    /// Takes an event that says again what may be known, as the beginning of a capture does that goes on with a recording:
    /// nothing follows from it unless something was missed.
    pub(crate) fn push_again(&mut self, event: &Event, steps: &mut Vec<Step>) {
        let connection = event.body.conn().and_then(|conn| self.by_id.get(&conn)).map(|slot| &self.slots[*slot]);
        let is_known = match (&event.body, connection) {
            (Body::Open(_), Some(_)) => true,
            (Body::Sample(sample), Some(known)) => known.last.is_some_and(|last| last.is_same(&sample.totals)),
            _ => false,
        };
        if !is_known {
            self.push(event, steps);
        }
    }

    /// Takes the next event and appends what follows from it to `steps`.
    pub fn push(&mut self, event: &Event, steps: &mut Vec<Step>) {
        self.reuse_told();
        self.diagnostics.events += 1;
        self.retire(event.at, steps);
        match &event.body {
            Body::Open(open) => self.open(event.at, open.conn, &open.identity, steps),
            Body::Sample(sample) => {
                let slot = self.see(event.at, sample.conn, sample.identity.as_ref());
                steps.extend(slot.map(|slot| Step::Delta(self.sample(slot, event.at, &sample.totals))));
            }
            Body::Close(close) => self.close(event.at, close, steps),
            Body::Tick(tick) => {
                if tick.complete {
                    self.forget_unseen(steps);
                }
                self.seen.fill(false);
            }
            Body::Loss(loss) => self.diagnostics.loss += *loss,
            Body::Process(_) | Body::Dns(_) | Body::Nat(_) | Body::Listen(_) | Body::K8s(_) | Body::Clock(_) => {}
        }
    }

    /// As [`push`](Self::push) of a sample that does not say whose it is; gives its change, which comes behind `steps`.
    pub(crate) fn push_sample(&mut self, at: u64, id: u64, totals: &Totals, steps: &mut Vec<Step>) -> Option<Delta> {
        self.reuse_told();
        self.diagnostics.events += 1;
        self.retire(at, steps);
        let slot = self.see(at, id, None)?;
        Some(self.sample(slot, at, totals))
    }

    /// The slot behind that of the last event, which is likely to be that of the next.
    pub(crate) fn guess(&self) -> usize {
        self.guess
    }

    /// Takes one or more samples of a connection after which its totals are these, and none of which went backwards; they were
    /// counted by [`pass_over`](Self::pass_over). Gives what they changed.
    pub(crate) fn catch_up(&mut self, slot: usize, at: u64, totals: &Totals) -> Delta {
        self.sample(slot, at, totals)
    }

    /// The connections in so many slots from this one on were seen, of which somebody else takes the samples; the next one is
    /// likely to be in the slot behind them.
    pub(crate) fn pass(&mut self, slot: usize, count: usize) {
        if let Some(seen) = self.seen.get_mut(slot..slot + count) {
            seen.fill(true);
        }
        self.guess = slot + count;
    }

    /// Until then no connection ends because it ended.
    pub(crate) fn lingers_until(&self) -> u64 {
        self.lingering.front().map_or(u64::MAX, |(until, _)| *until)
    }

    /// Takes the open and the close of a connection that was over before the last event, but lingers.
    pub(crate) fn push_late(&mut self, events: &[Event; 2], steps: &mut Vec<Step>) {
        events.iter().for_each(|event| self.push(event, steps));
        // It ended before others that linger.
        self.lingering.make_contiguous().sort_by_key(|(until, _)| *until);
    }

    /// Events that were taken by somebody else, who knows what follows from them.
    pub(crate) fn pass_over(&mut self, events: u64) {
        self.diagnostics.events += events;
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.by_id.len().saturating_sub(self.lingering.len()) as u64
    }

    /// The stream is over: every connection that is still known ends here.
    pub fn finish(&mut self, steps: &mut Vec<Step>) {
        self.reuse_told();
        let mut slots: Vec<usize> = self.by_id.values().copied().collect();
        slots.sort_unstable();
        self.diagnostics.unclosed += slots.iter().filter(|slot| !self.slots[**slot].closed).count() as u64;
        slots.iter().for_each(|slot| self.slots[*slot].is_gone = true);
        self.by_id.clear();
        self.lingering.clear();
        self.told.extend(&slots);
        steps.extend(slots.into_iter().map(Step::Ended));
    }

    fn sample(&mut self, slot: usize, at: u64, totals: &Totals) -> Delta {
        let established = self.establish(slot);
        let counts = Counts { established, ..self.advance(slot, totals) };
        change(slot, at, counts, totals)
    }

    fn open(&mut self, at: u64, id: u64, identity: &Arc<Identity>, steps: &mut Vec<Step>) {
        let known = self.by_id.contains_key(&id);
        let Some(slot) = self.see(at, id, Some(identity)) else { return };
        let established = self.establish(slot);
        if !known || established > 0 {
            let counts = Counts { established, ..Counts::default() };
            steps.push(delta(slot, at, counts, &Totals::default()));
        }
    }

    fn close(&mut self, at: u64, close: &Close, steps: &mut Vec<Step>) {
        let Some(slot) = self.see(at, close.conn, close.identity.as_ref()) else { return };
        let counts = self.advance(slot, &close.totals);
        let failed =
            !self.slots[slot].established && !close.tcp_states.is_empty() && !close.tcp_states.has_established();
        let counts = if self.slots[slot].closed {
            counts
        } else if failed {
            Counts { connect_failures: self.tcp(slot), ..counts }
        } else {
            Counts { established: self.establish(slot), closed: self.tcp(slot), ..counts }
        };
        steps.push(delta(slot, at, counts, &close.totals));
        let connection = &mut self.slots[slot];
        if !connection.closed {
            connection.closed = true;
            self.lingering.push_back((at.saturating_add(LINGER_NS), slot));
        }
    }

    /// Finds or makes the connection and learns what the event says of it.
    fn see(&mut self, at: u64, id: u64, identity: Option<&Arc<Identity>>) -> Option<usize> {
        if let Some(slot) = self.slot_of(id) {
            self.guess = slot + 1;
            self.seen[slot] = true;
            if let Some(identity) = identity {
                learn(&mut self.slots[slot].identity, identity);
            }
            return Some(slot);
        }
        let Some(identity) = identity else {
            self.diagnostics.strangers += 1;
            return None;
        };
        let connection = Connection {
            id,
            number: self.introduced,
            identity: Arc::clone(identity),
            began: at,
            last: (!identity.preexisting).then(Totals::default),
            established: identity.preexisting,
            closed: false,
            is_gone: false,
        };
        self.introduced += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = connection;
                slot
            }
            None => {
                self.slots.push(connection);
                self.seen.push(true);
                self.slots.len() - 1
            }
        };
        self.seen[slot] = true;
        self.by_id.insert(id, slot);
        Some(slot)
    }

    /// 1 for a TCP connection, 0 for a UDP flow, which is neither established nor closed.
    fn tcp(&self, slot: usize) -> u64 {
        u64::from(self.slots[slot].identity.transport == Transport::Tcp)
    }

    /// Marks the connection as established; 1 when that is news about a TCP connection.
    fn establish(&mut self, slot: usize) -> u64 {
        let news = !std::mem::replace(&mut self.slots[slot].established, true);
        if news { self.tcp(slot) } else { 0 }
    }

    /// The change of the counters since last time, which is now.
    fn advance(&mut self, slot: usize, totals: &Totals) -> Counts {
        let Some(last) = self.slots[slot].last.replace(*totals) else { return Counts::default() };
        let mut resets = 0;
        let mut since = |now: u64, before: u64| {
            now.checked_sub(before).unwrap_or_else(|| {
                resets += 1;
                now
            })
        };
        let counts = Counts {
            sent_bytes: since(totals.sent_bytes, last.sent_bytes),
            recv_bytes: since(totals.recv_bytes, last.recv_bytes),
            sent_packets: since(totals.sent_packets, last.sent_packets),
            recv_packets: since(totals.recv_packets, last.recv_packets),
            retransmits: since(totals.retransmits, last.retransmits),
            ..Counts::default()
        };
        self.diagnostics.counter_resets += resets;
        counts
    }

    /// Who is open and was not seen in a complete snapshot has closed unseen.
    fn forget_unseen(&mut self, steps: &mut Vec<Step>) {
        let is_open = |slot: &usize| self.slots.get(*slot).is_some_and(|known| !known.is_gone && !known.closed);
        let unseen = self.seen.iter().enumerate().filter(|(_, seen)| !**seen).map(|(slot, _)| slot);
        let gone: Vec<usize> = unseen.filter(is_open).collect();
        self.diagnostics.lost_closes += gone.len() as u64;
        for slot in gone {
            self.end(slot, steps);
        }
    }

    fn retire(&mut self, now: u64, steps: &mut Vec<Step>) {
        while let Some(&(until, slot)) = self.lingering.front() {
            if until > now {
                break;
            }
            self.lingering.pop_front();
            self.end(slot, steps);
        }
    }

    fn end(&mut self, slot: usize, steps: &mut Vec<Step>) {
        let connection = &mut self.slots[slot];
        connection.is_gone = true;
        self.by_id.remove(&connection.id);
        self.told.push(slot);
        steps.push(Step::Ended(slot));
    }

    fn reuse_told(&mut self) {
        if !self.told.is_empty() {
            self.free.append(&mut self.told);
        }
    }
}

fn delta(slot: usize, at: u64, counts: Counts, totals: &Totals) -> Step {
    Step::Delta(change(slot, at, counts, totals))
}

fn change(slot: usize, at: u64, counts: Counts, totals: &Totals) -> Delta {
    Delta { slot, at, counts, rtt_us: totals.rtt_us, rtt_var_us: totals.rtt_var_us }
}

/// The last known value wins, and what is unknown now does not undo what was known. Two things never change: the
/// direction that the kernel saw first, and whether the connection is older than the recording.
fn learn(known: &mut Arc<Identity>, news: &Arc<Identity>) {
    if Arc::ptr_eq(known, news) || known == news {
        return;
    }
    let other_owner = news.pid.is_some() && news.pid != known.pid;
    *known = Arc::new(Identity {
        transport: news.transport,
        local: news.local,
        remote: news.remote,
        direction: known.direction.or(news.direction),
        pid: news.pid.or(known.pid),
        process: news.process.clone().or_else(|| known.process.clone().filter(|_| !other_owner)),
        netns: news.netns.or(known.netns),
        preexisting: known.preexisting,
        opened_at: known.opened_at.or(news.opened_at),
        shared: news.shared || known.shared,
    });
}
