//! The law of a recording: whatever was opened has ended, visibly or not, or is still open.
//!
//! ```text
//! opened + preexisting = closed + lost closes + live at end
//! ```
//!
//! In: events in order of time. Out: an [`Account`] of each transport's connections, worked out from the events alone, and
//! whether the losses that the recorder states explain it. Never here: where the events come from, what to do about it.
//!
//! What counts as what:
//!
//! * **opened**: connections with an `open`, and those that a later event introduces because their `open` was lost
//!   ([`Account::without_open`]). **preexisting**: those of them that say that they are older than the recording.
//! * **closed**: connections with a `close`. The `close` of a TCP connection that nothing said to be open, whose states
//!   are known, and that never was `established`, is a failed connect: it never opened, so it is no part of the law and
//!   counted apart ([`Account::connect_failures`]).
//! * **lost closes**: connections without a `close` that a complete snapshot did not find any more.
//! * **live at end**: the rest.
//!
//! The events of each transport add up by themselves. What can be wrong is the recorder's word: it states how many opens
//! and closes it lost. A connection of which it lost both is not in the events at all ([`Account::unseen`]); the other
//! lost closes must be just those connections that vanished. If more vanish, something was lost without being counted.

use rustc_hash::FxHashMap;

use crate::again::Again;
use crate::event::{Body, Close, Event, Header, Identity, Loss, Transport};

/// What became of the connections of one transport. No field is the remainder of the others unless who made it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Came to be during the recording.
    pub opened: u64,
    /// Were open when it began.
    pub preexisting: u64,
    /// Ended, and the stream has their close.
    pub closed: u64,
    /// Ended, and the stream has no close of them.
    pub lost_closes: u64,
    /// Were open at the end.
    pub live_at_end: u64,
}

impl Tally {
    /// The law.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.began() == self.accounted()
    }

    /// How many were opened of which nobody knows how they ended.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.began().saturating_sub(self.accounted())
    }

    fn began(&self) -> u64 {
        self.opened.saturating_add(self.preexisting)
    }

    fn accounted(&self) -> u64 {
        self.closed.saturating_add(self.lost_closes).saturating_add(self.live_at_end)
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    /// At the end of its range a count stays there.
    fn add(self, other: Self) -> Self {
        Self {
            opened: self.opened.saturating_add(other.opened),
            preexisting: self.preexisting.saturating_add(other.preexisting),
            closed: self.closed.saturating_add(other.closed),
            lost_closes: self.lost_closes.saturating_add(other.lost_closes),
            live_at_end: self.live_at_end.saturating_add(other.live_at_end),
        }
    }
}

/// Whether the losses that a recorder states explain what its events show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They do.
    Holds,
    /// So many more connections are gone without a `close` than are stated as lost.
    Uncounted(u64),
    /// So many more closes are stated as lost than connections are without one.
    Overcounted(u64),
}

/// What the events of a recording say became of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// TCP connections.
    pub tcp: Tally,
    /// UDP flows.
    pub udp: Tally,
    /// Failed connects, no part of the tallies.
    pub connect_failures: u64,
    /// Connections that a sample or close introduces instead of an open.
    pub without_open: u64,
    /// Connections, by the recorder's word, of which the events have neither open nor close; no part of the tallies.
    pub unseen: u64,
    /// Events of connections that nothing introduced; they count nothing.
    pub strangers: u64,
    /// What the recorder states to have lost.
    pub losses: Loss,
    /// Whether that explains the rest.
    pub verdict: Verdict,
}

impl Account {
    /// TCP and UDP together, with those that left no trace: what a recorder that counted for itself should have counted.
    #[must_use]
    pub fn total(&self) -> Tally {
        let unseen = Tally { opened: self.unseen, lost_closes: self.unseen, ..Tally::default() };
        self.tcp + self.udp + unseen
    }
}

/// A connection that is open as far as the events say.
#[derive(Debug, Clone, Copy)]
struct Known {
    transport: Transport,
    /// The snapshot in which it was last seen.
    seen: u64,
    /// The file before may have stated its close as lost.
    carried: bool,
}

/// Works out the account. Memory grows with the connections that are open at a time.
#[derive(Debug, Default)]
pub struct Law {
    open: FxHashMap<u64, Known>,
    tcp: Tally,
    udp: Tally,
    connect_failures: u64,
    without_open: u64,
    strangers: u64,
    losses: Loss,
    /// Connections of the file before, of those that vanished.
    vanished_carried: u64,
    /// It goes on where another file ended.
    is_continued: bool,
    /// Where it says again what it knows, if it does.
    again: Again,
    /// Events that did, since it last went on.
    said_again: u64,
    snapshot: u64,
    /// Nothing followed the last complete snapshot.
    settled: bool,
}

impl Law {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing seen yet of the capture with this header. Where one file or section of a recording ends and the next begins,
    /// the recorder may have stated in the one what shows in the other: as lost what the one still has as open, and without
    /// an open what closes in the other. So in one that begins in the middle, connections that are older than it need not be
    /// among the lost ones, nor need what left no trace.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self { is_continued: header.part > 0 || header.continues_from.is_some(), ..Self::default() }
    }

    /// The recording goes on in another capture, which says first what is known already.
    pub fn go_on(&mut self) {
        (self.again, self.said_again) = (Again::Beginning, 0);
    }

    /// Events that said nothing new, since it last went on.
    #[must_use]
    pub fn said_again(&self) -> u64 {
        self.said_again
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        if self.is_said_again(event) {
            return;
        }
        match &event.body {
            Body::Open(open) => self.see(open.conn, Some(&open.identity), true),
            Body::Sample(sample) => self.see(sample.conn, sample.identity.as_deref(), false),
            Body::Close(close) => self.close(close),
            Body::Tick(tick) => {
                if tick.complete {
                    self.forget_unseen();
                }
                self.snapshot += 1;
                self.settled = tick.complete;
                return;
            }
            Body::Loss(loss) => self.losses += *loss,
            Body::Process(_) | Body::Dns(_) | Body::Nat(_) | Body::Listen(_) | Body::K8s(_) | Body::Clock(_) => return,
        }
        self.settled = false;
    }

    /// The event says nothing that is not known.
    fn is_said_again(&mut self, event: &Event) -> bool {
        let (open, snapshot) = (&self.open, self.snapshot);
        let is_again = self.again.has(event, |conn| open.get(&conn).is_some_and(|known| known.seen == snapshot));
        self.said_again += u64::from(is_again);
        // A connection of which nothing is known was lost by damage.
        is_again && event.body.conn().is_none_or(|conn| self.open.contains_key(&conn))
    }

    /// Connections without a close so far, vanished ones not among them.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.open.len() as u64
    }

    /// The account of a stream that ends here, `losses` being all that its recorder states. A stream is `finished` when
    /// its recorder took a last snapshot and then nothing more: then the account must come out exactly. Otherwise what
    /// was lost since the last snapshot passes for alive.
    #[must_use]
    pub fn account(&self, losses: Loss, finished: bool) -> Account {
        let (mut tcp, mut udp) = (self.tcp, self.udp);
        for known in self.open.values() {
            match known.transport {
                Transport::Tcp => tcp.live_at_end += 1,
                Transport::Udp => udp.live_at_end += 1,
            }
        }
        let unseen = losses.lost_opens.saturating_sub(self.without_open);
        let vanished = tcp.lost_closes + udp.lost_closes;
        let exact = finished && self.settled;
        // Gone by the events; and what may be gone besides.
        let surely = if exact && !self.is_continued { unseen } else { 0 };
        let maybe = if exact { 0 } else { self.live() };
        let least = surely.saturating_add(vanished - self.vanished_carried);
        let most = unseen.saturating_add(vanished + maybe);
        let verdict = if losses.lost_closes < least {
            Verdict::Uncounted(least - losses.lost_closes)
        } else if losses.lost_closes > most {
            Verdict::Overcounted(losses.lost_closes - most)
        } else {
            Verdict::Holds
        };
        Account {
            tcp,
            udp,
            connect_failures: self.connect_failures,
            without_open: self.without_open,
            unseen,
            strangers: self.strangers,
            losses,
            verdict,
        }
    }

    /// The sum of all `loss` events so far.
    #[must_use]
    pub fn losses(&self) -> Loss {
        self.losses
    }

    fn tally(&mut self, transport: Transport) -> &mut Tally {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        }
    }

    fn see(&mut self, conn: u64, identity: Option<&Identity>, is_open: bool) {
        if let Some(known) = self.open.get_mut(&conn) {
            known.seen = self.snapshot;
        } else if let Some(identity) = identity {
            self.introduce(identity, is_open);
            let carried = self.is_continued && identity.preexisting;
            self.open.insert(conn, Known { transport: identity.transport, seen: self.snapshot, carried });
        } else {
            self.strangers += 1;
        }
    }

    fn introduce(&mut self, identity: &Identity, is_open: bool) {
        let tally = self.tally(identity.transport);
        if identity.preexisting {
            tally.preexisting += 1;
        } else {
            tally.opened += 1;
        }
        self.without_open += u64::from(!is_open);
    }

    fn close(&mut self, close: &Close) {
        if let Some(known) = self.open.remove(&close.conn) {
            self.tally(known.transport).closed += 1;
            return;
        }
        let Some(identity) = close.identity.as_deref() else {
            self.strangers += 1;
            return;
        };
        if is_connect_failure(close, identity) {
            self.connect_failures += 1;
            return;
        }
        self.introduce(identity, false);
        self.tally(identity.transport).closed += 1;
    }

    /// Who is open and was not seen in a complete snapshot has ended.
    fn forget_unseen(&mut self) {
        let (snapshot, mut tcp, mut udp, mut carried) = (self.snapshot, 0, 0, 0);
        self.open.retain(|_, known| {
            let seen = known.seen == snapshot;
            match known.transport {
                Transport::Tcp => tcp += u64::from(!seen),
                Transport::Udp => udp += u64::from(!seen),
            }
            carried += u64::from(!seen && known.carried);
            seen
        });
        self.vanished_carried += carried;
        self.tcp.lost_closes += tcp;
        self.udp.lost_closes += udp;
    }
}

/// The close of a connection that nothing said to be open is a failed connect.
#[must_use]
pub fn is_connect_failure(close: &Close, identity: &Identity) -> bool {
    identity.transport == Transport::Tcp
        && !identity.preexisting
        && !close.tcp_states.is_empty()
        && !close.tcp_states.has_established()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Open, Sample, TcpStates, Tick, Totals};

    fn identity(transport: Transport, preexisting: bool) -> Arc<Identity> {
        let known = Identity::new(transport, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        Arc::new(Identity { preexisting, ..known })
    }

    fn open(conn: u64, transport: Transport) -> Body {
        Body::Open(Open { conn, identity: identity(transport, false) })
    }

    fn older(conn: u64) -> Body {
        Body::Open(Open { conn, identity: identity(Transport::Tcp, true) })
    }

    fn sample(conn: u64) -> Body {
        Body::Sample(Sample { conn, totals: Totals::default(), identity: None })
    }

    fn close(conn: u64, states: &[&str], identity: Option<Arc<Identity>>) -> Body {
        let states = states.iter().fold(TcpStates::default(), |set, name| set.with_name(name).unwrap());
        Body::Close(Close { conn, totals: Totals::default(), identity, tcp_states: states, reason: None })
    }

    fn tick(complete: bool) -> Body {
        Body::Tick(Tick { complete })
    }

    fn lost(lost_opens: u64, lost_closes: u64) -> Loss {
        Loss { lost_opens, lost_closes, ..Loss::default() }
    }

    fn account(bodies: &[Body], losses: Loss) -> Account {
        let mut law = Law::new();
        for body in bodies {
            law.push(&Event { at: 1, body: body.clone() });
        }
        law.account(losses, true)
    }

    #[test]
    fn each_connection_ends_in_one_place() {
        use Transport::{Tcp, Udp};
        let bodies = [
            open(1, Tcp),
            open(2, Tcp),
            open(3, Udp),
            older(4),
            open(5, Udp),
            close(6, &["syn_sent", "close"], Some(identity(Tcp, false))),
            close(7, &["established", "close"], Some(identity(Tcp, false))),
            close(8, &["fin_wait2", "close"], Some(identity(Tcp, true))),
            tick(true),
            sample(2),
            sample(5),
            close(4, &[], None),
            tick(true),
        ];
        // 1 and 3 vanished; 6 never opened; 7 was introduced by its close, 8 too, but it is older.
        let found = account(&bodies, lost(2, 2));
        let tcp = Tally { opened: 3, preexisting: 2, closed: 3, lost_closes: 1, live_at_end: 1 };
        let udp = Tally { opened: 2, preexisting: 0, closed: 0, lost_closes: 1, live_at_end: 1 };
        assert_eq!((found.tcp, found.udp), (tcp, udp));
        assert!(tcp.holds() && udp.holds());
        assert_eq!((found.connect_failures, found.without_open, found.unseen), (1, 2, 0));
        assert_eq!(found.verdict, Verdict::Holds);
    }

    #[test]
    fn what_nobody_counted_is_noticed() {
        let bodies = [open(1, Transport::Tcp), open(2, Transport::Tcp), tick(true), sample(2), tick(true)];
        assert_eq!(account(&bodies, lost(0, 1)).verdict, Verdict::Holds);
        assert_eq!(account(&bodies, lost(0, 0)).verdict, Verdict::Uncounted(1));
        assert_eq!(account(&bodies, lost(0, 2)).verdict, Verdict::Overcounted(1));
        // Two more left no trace at all; a third lost its open and nobody knows its end.
        assert_eq!(account(&bodies, lost(2, 3)).verdict, Verdict::Holds);
        assert_eq!(account(&bodies, lost(2, 3)).total().opened, 4);
        assert!(account(&bodies, lost(2, 3)).total().holds());
        assert_eq!(account(&bodies, lost(2, 1)).verdict, Verdict::Uncounted(2));
        assert_eq!(account(&bodies[..4], lost(3, 2)).verdict, Verdict::Holds, "it may yet be told as alive");
        assert_eq!(account(&bodies, lost(3, 2)).verdict, Verdict::Uncounted(2));
        // Whatever a file states, it is only a number.
        let all = u64::MAX;
        assert_eq!(account(&bodies, lost(all, all)).total().opened, all);
    }

    #[test]
    fn what_the_file_before_stated_may_show_in_this_one() {
        let verdict = |part, losses| {
            let mut law = Law::of(&Header { part, ..Header::default() });
            for body in [older(1), open(2, Transport::Tcp), tick(true)] {
                law.push(&Event { at: 1, body });
            }
            law.push(&Event { at: 2, body: tick(true) });
            law.account(losses, true).verdict
        };
        assert_eq!(verdict(0, lost(0, 1)), Verdict::Uncounted(1));
        assert_eq!(verdict(1, lost(0, 1)), Verdict::Holds, "1 may be stated there");
        assert_eq!(verdict(1, lost(0, 2)), Verdict::Holds, "or here");
        assert_eq!(verdict(1, lost(0, 0)), Verdict::Uncounted(1));
        assert_eq!(verdict(1, lost(0, 3)), Verdict::Overcounted(1));
        assert_eq!(verdict(1, lost(1, 2)), Verdict::Holds, "its close may be there");
        assert_eq!(verdict(1, lost(1, 4)), Verdict::Overcounted(1));
    }

    #[test]
    fn an_incomplete_snapshot_proves_nothing() {
        let bodies = [open(1, Transport::Tcp), tick(true), tick(false)];
        let found = account(&bodies, Loss::default());
        assert_eq!((found.tcp.live_at_end, found.verdict), (1, Verdict::Holds));
        // Whether it ended may be unknown, but not that more ended than there are.
        assert_eq!(account(&bodies, lost(0, 1)).verdict, Verdict::Holds);
        assert_eq!(account(&bodies, lost(0, 3)).verdict, Verdict::Overcounted(2));
    }

    #[test]
    fn strangers_count_nothing() {
        let found = account(&[sample(9), close(9, &[], None)], Loss::default());
        assert_eq!((found.strangers, found.total()), (2, Tally::default()));
    }
}
