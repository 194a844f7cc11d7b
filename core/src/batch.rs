//! Many events at once, as columns.
//!
//! In: the columns of a block, of whatever carries events so. Out: events, and what they say of connections without making
//! events of them. Never here: what follows from events.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Endpoint;
use crate::event::{Body, Close, Direction, Event, Identity, Open, Reason, Sample, TcpStates, Tick, Totals, Transport};
pub use crate::lives::Lives;

/// Numbers of a column that nobody asked for.
const NONE: [u64; Stretch::MOST] = [0; Stretch::MOST];

/// What many connections have in common: whose they are, and the end that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The layer above IP.
    pub transport: Transport,
    /// Who began; `None` when unknown.
    pub direction: Option<Direction>,
    /// The local address: a row of [`Definitions::addresses`].
    pub local: u32,
    /// The port at the server's end: the local one when the remote end began, otherwise the remote one.
    pub service_port: u16,
    /// The owner's process id.
    pub pid: Option<u32>,
    /// The owner's name: a row of [`Definitions::names`].
    pub name: Option<u32>,
    /// The inode number of the network namespace.
    pub netns: Option<u32>,
    /// The connections were open before the recording began.
    pub preexisting: bool,
    /// Several processes hold their sockets.
    pub shared: bool,
    /// When each came to be is known, apart from its first event.
    pub has_opened_at: bool,
}

impl Profile {
    /// The remote end began.
    #[must_use]
    pub fn is_incoming(&self) -> bool {
        self.direction == Some(Direction::Incoming)
    }
}

/// What a block says of its connections: one row of each column for each connection and each change of what is known of it,
/// and tables that these refer to by row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Definitions<'a> {
    /// The id of each one's connection.
    pub conns: &'a [u64],
    /// Rows of `profiles`. As all that follows, empty where identities were not read.
    pub profile_rows: &'a [u32],
    /// The remote address: rows of `addresses`.
    pub remotes: &'a [u32],
    /// The port at the end that is not the server's.
    pub ports: &'a [u16],
    /// When each came to be, in nanoseconds since boot, where [`Profile::has_opened_at`].
    pub opened_at: &'a [u64],
    /// What many connections have in common, each once.
    pub profiles: &'a [Profile],
    /// Every address, once.
    pub addresses: &'a [IpAddr],
    /// Every name of a process, once.
    pub names: &'a [Arc<str>],
}

impl Definitions<'_> {
    /// What a row says; `None` when there is no such row, or identities were not read.
    #[must_use]
    pub fn identity(&self, row: usize) -> Option<Identity> {
        let profile = self.profiles.get(*self.profile_rows.get(row)? as usize)?;
        let local = *self.addresses.get(profile.local as usize)?;
        let remote = *self.addresses.get(*self.remotes.get(row)? as usize)?;
        let port = *self.ports.get(row)?;
        let (local_port, remote_port) =
            if profile.is_incoming() { (profile.service_port, port) } else { (port, profile.service_port) };
        Some(Identity {
            transport: profile.transport,
            local: Endpoint::new(local, local_port),
            remote: Endpoint::new(remote, remote_port),
            direction: profile.direction,
            pid: profile.pid,
            process: profile.name.and_then(|name| self.names.get(name as usize)).cloned(),
            netns: profile.netns,
            preexisting: profile.preexisting,
            opened_at: if profile.has_opened_at { Some(*self.opened_at.get(row)?) } else { None },
            shared: profile.shared,
        })
    }
}

/// Whoever owns the columns of a batch, for as long as somebody may want to look at them.
pub trait Block: std::fmt::Debug + Send + Sync {
    /// The events.
    fn batch(&self) -> Batch<'_>;
}

/// Events as columns, in order of time. The rows of different columns stand for different events; each goes through its
/// events in their order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// The kind of each event.
    pub kinds: &'a [u8],
    /// When each event happened, in nanoseconds since boot.
    pub at: &'a [u64],
    /// The row in `definitions` of each open, sample and close.
    pub rows: &'a [u32],
    /// What is known of the connections.
    pub definitions: Definitions<'a>,
    /// For each sample and close, whether it itself says what is known of the connection (not 0).
    pub carried: &'a [u8],
    /// The numbers of each sample and close in the order of [`Totals::numbers`]; empty where nobody asked: then 0.
    pub totals: [&'a [u64]; 9],
    /// The TCP states of each close, as bits.
    pub tcp_states: &'a [u64],
    /// Why each close's connection ended: 0 unknown, otherwise a place in [`Reason::ALL`] and one.
    pub reasons: &'a [u8],
    /// For each tick, whether its snapshot missed connections (not 0).
    pub incomplete: &'a [u8],
    /// The other events; `None` for kinds that are not known.
    pub others: &'a [Option<Body>],
    /// Its whole lives; `None` when nobody looked for them, which is as if there were none.
    pub lives: Option<&'a Lives>,
}

/// The next row of each group of columns.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) event: usize,
    row: usize,
    total: usize,
    close: usize,
    tick: usize,
    other: usize,
}

impl Place {
    /// Goes on behind opens, samples and closes.
    fn pass_all(&mut self, kinds: &[u8]) {
        let opens = kinds.iter().filter(|kind| **kind == Batch::OPEN).count();
        self.event += kinds.len();
        self.row += kinds.len();
        self.total += kinds.len() - opens;
        self.close += kinds.iter().filter(|kind| **kind == Batch::CLOSE).count();
    }

    /// Goes on behind samples.
    pub(crate) fn pass_samples(&mut self, count: usize) {
        self.event += count;
        self.row += count;
        self.total += count;
    }

    /// Goes on behind an event of this kind.
    #[inline]
    fn pass(&mut self, kind: u8) {
        let is_total = kind == Batch::SAMPLE || kind == Batch::CLOSE;
        self.event += 1;
        self.row += usize::from(kind <= Batch::CLOSE);
        self.total += usize::from(is_total);
        self.close += usize::from(kind == Batch::CLOSE);
        self.tick += usize::from(kind == Batch::TICK);
        self.other += usize::from(kind > Batch::TICK);
    }
}

impl<'a> Batch<'a> {
    /// The kind of an open.
    pub const OPEN: u8 = 0;
    /// The kind of a sample.
    pub const SAMPLE: u8 = 1;
    /// The kind of a close.
    pub const CLOSE: u8 = 2;
    /// The kind of a tick; greater ones are all others.
    pub const TICK: u8 = 3;

    /// One event after the other. It ends early where columns do not fit each other.
    pub fn events(self) -> impl Iterator<Item = Event> + 'a {
        let mut place = Place::default();
        std::iter::from_fn(move || {
            loop {
                let next = self.next(&mut place)?;
                if let Some(event) = self.event(next) {
                    return Some(event);
                }
            }
        })
    }

    /// Goes on behind the next event; gives its place.
    #[inline]
    pub(crate) fn next(&self, place: &mut Place) -> Option<Place> {
        let next = *place;
        place.pass(*self.kinds.get(next.event)?);
        Some(next)
    }

    /// Some of the events at a place and behind it, as whoever looks for samples needs them.
    #[inline]
    pub(crate) fn stretch(&self, place: Place) -> Stretch<'a> {
        let kinds = self.kinds.get(place.event..).unwrap_or_default();
        let at = self.at.get(place.event..).unwrap_or_default();
        let rows = self.rows.get(place.row..).unwrap_or_default();
        let carried = self.carried.get(place.total..).unwrap_or_default();
        let count = kinds.len().min(at.len()).min(rows.len()).min(carried.len()).min(Stretch::MOST);
        let rest = |values: &'a [u64]| values.get(place.total..).and_then(|rest| rest.get(..count));
        Stretch {
            kinds: kinds.get(..count).unwrap_or_default(),
            at: at.get(..count).unwrap_or_default(),
            rows: rows.get(..count).unwrap_or_default(),
            carried: carried.get(..count).unwrap_or_default(),
            conns: self.definitions.conns,
            numbers: self.totals.map(|values| rest(values).unwrap_or(NONE.get(..count).unwrap_or_default())),
        }
    }

    /// Goes on behind the next event that is about none of the definitions, or one of which `is_wanted`; gives its place.
    pub(crate) fn next_where(&self, place: &mut Place, is_wanted: impl Fn(usize) -> bool) -> Option<Place> {
        let mut rows = self.rows.get(place.row..).unwrap_or_default().iter();
        let kinds = self.kinds.get(place.event..).unwrap_or_default();
        let is_next = |kind: &u8| *kind > Self::CLOSE || rows.next().is_none_or(|row| is_wanted(*row as usize));
        let passed = kinds.iter().position(is_next)?;
        place.pass_all(kinds.get(..passed).unwrap_or_default());
        let next = *place;
        place.pass(*kinds.get(passed)?);
        Some(next)
    }

    /// The row in `definitions` of the open, sample or close at a place.
    pub(crate) fn row(&self, place: Place) -> Option<usize> {
        self.rows.get(place.row).map(|row| *row as usize)
    }

    /// The event at a place; `None` for kinds that are not known.
    pub(crate) fn event(&self, place: Place) -> Option<Event> {
        let at = *self.at.get(place.event)?;
        let row = || self.row(place);
        let body = match *self.kinds.get(place.event)? {
            Self::OPEN => {
                let row = row()?;
                let identity = Arc::new(self.definitions.identity(row)?);
                Body::Open(Open { conn: *self.definitions.conns.get(row)?, identity })
            }
            kind @ (Self::SAMPLE | Self::CLOSE) => {
                let row = row()?;
                let conn = *self.definitions.conns.get(row)?;
                let totals = self.totals(place.total);
                let is_carried = *self.carried.get(place.total)? != 0;
                let identity = if is_carried { Some(Arc::new(self.definitions.identity(row)?)) } else { None };
                if kind == Self::SAMPLE {
                    Body::Sample(Sample { conn, totals, identity })
                } else {
                    let tcp_states = u16::try_from(*self.tcp_states.get(place.close)?).ok()?;
                    let reason = usize::from(*self.reasons.get(place.close)?).checked_sub(1);
                    let reason = reason.and_then(|place| Reason::ALL.get(place)).copied();
                    Body::Close(Close { conn, totals, identity, tcp_states: TcpStates::from_bits(tcp_states)?, reason })
                }
            }
            Self::TICK => Body::Tick(Tick { complete: *self.incomplete.get(place.tick)? == 0 }),
            _ => self.others.get(place.other)?.clone()?,
        };
        Some(Event { at, body })
    }

    /// Whether a definition's connection is one of TCP.
    #[inline]
    pub(crate) fn is_tcp(&self, row: usize) -> bool {
        let profile =
            self.definitions.profile_rows.get(row).and_then(|row| self.definitions.profiles.get(*row as usize));
        profile.is_some_and(|profile| profile.transport == Transport::Tcp)
    }

    /// The numbers of a sample or close.
    #[inline]
    pub(crate) fn totals(&self, place: usize) -> Totals {
        totals_of(self.totals.map(|values| values.get(place).copied().unwrap_or(0)))
    }
}

/// Some events that follow each other. As far as they are samples that do not say of whom, each has its row in all columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    kinds: &'a [u8],
    pub(crate) at: &'a [u64],
    pub(crate) rows: &'a [u32],
    carried: &'a [u8],
    conns: &'a [u64],
    /// In the order of [`Totals::numbers`].
    pub(crate) numbers: [&'a [u64]; 9],
}

impl Stretch<'_> {
    /// Events at most: few enough for the nearest cache.
    pub(crate) const MOST: usize = 128;

    /// The time and connection of the first, if it is a sample that does not say of whom.
    #[inline]
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        let is_plain = *self.kinds.first()? == Batch::SAMPLE && *self.carried.first()? == 0;
        Some((*self.at.first()?, self.conn(*self.rows.first()?)?)).filter(|_| is_plain)
    }

    /// The totals of the first.
    pub(crate) fn totals(&self) -> Totals {
        totals_of(self.numbers.map(|values| values.first().copied().unwrap_or(0)))
    }

    /// The connection of one of the rows.
    #[inline]
    pub(crate) fn conn(&self, row: u32) -> Option<u64> {
        self.conns.get(row as usize).copied()
    }

    /// How many of the first of them are samples that do not say of whom.
    #[inline]
    pub(crate) fn plain(&self) -> usize {
        let is_plain = |(kind, carried): (&u8, &u8)| *kind == Batch::SAMPLE && *carried == 0;
        leading(self.kinds.iter().zip(self.carried), is_plain)
    }

    /// Those behind the first of them.
    #[inline]
    pub(crate) fn behind(&self, count: usize) -> Self {
        Self {
            kinds: self.kinds.get(count..).unwrap_or_default(),
            at: self.at.get(count..).unwrap_or_default(),
            rows: self.rows.get(count..).unwrap_or_default(),
            carried: self.carried.get(count..).unwrap_or_default(),
            conns: self.conns,
            numbers: self.numbers.map(|values| values.get(count..).unwrap_or_default()),
        }
    }
}

/// How many of the first are so. Mostly all are, and to find that out needs no choice for each.
#[inline]
pub(crate) fn leading<T>(all: impl ExactSizeIterator<Item = T> + Clone, is_so: impl Fn(T) -> bool) -> usize {
    let (count, mut each) = (all.len(), all.clone());
    if all.fold(true, |so_far, one| so_far & is_so(one)) {
        count
    } else {
        each.position(|one| !is_so(one)).unwrap_or(count)
    }
}

/// Totals of their numbers.
#[inline]
fn totals_of(numbers: [u64; 9]) -> Totals {
    let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits, rtt, rtt_var, unacked, unread] = numbers;
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Totals {
        sent_bytes,
        recv_bytes,
        sent_packets,
        recv_packets,
        retransmits,
        rtt_us: small(rtt),
        rtt_var_us: small(rtt_var),
        unacked_bytes: unacked,
        unread_bytes: unread,
    }
}
