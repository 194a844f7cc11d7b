//! What a stream says of each connection, and how that compares with what the applications counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use netflow_capture::Summary;
use netflow_core::address::Endpoint;
use netflow_core::event::{Body, Event, Identity, Reason, TcpStates, Totals, Transport};
use netflow_core::law::{Law, Verdict};
use netflow_fixtures::traffic::End;

/// All that a stream says of one connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) first_sample: Option<Totals>,
    pub(crate) last: Option<Totals>,
    pub(crate) states: TcpStates,
    pub(crate) reason: Option<Reason>,
    pub(crate) opens: u32,
    pub(crate) closes: u32,
}

/// The connections of a stream.
pub(crate) struct Seen(BTreeMap<u64, Conn>);

impl Seen {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut conns: BTreeMap<u64, Conn> = BTreeMap::new();
        for event in events {
            match &event.body {
                Body::Open(open) => {
                    let conn = conns.entry(open.conn).or_default();
                    conn.opens += 1;
                    conn.identity = Some(Arc::clone(&open.identity));
                }
                Body::Sample(sample) => {
                    let conn = conns.entry(sample.conn).or_default();
                    conn.first_sample.get_or_insert(sample.totals);
                    assert_eq!((conn.opens, conn.closes), (1, 0), "a sample stands between open and close: {event:?}");
                    if let Some(identity) = &sample.identity {
                        conn.identity = Some(Arc::clone(identity));
                    }
                }
                Body::Close(close) => {
                    let conn = conns.entry(close.conn).or_default();
                    conn.closes += 1;
                    conn.last = Some(close.totals);
                    conn.states = close.tcp_states;
                    conn.reason = close.reason;
                    if let Some(identity) = &close.identity {
                        conn.identity = Some(Arc::clone(identity));
                    }
                }
                _ => {}
            }
        }
        Self(conns)
    }

    pub(crate) fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.0.values()
    }

    pub(crate) fn all(&self, transport: Transport, local: Endpoint, remote: Endpoint) -> Vec<&Conn> {
        let is_it = |identity: &Arc<Identity>| {
            identity.transport == transport && identity.local == local && identity.remote == remote
        };
        self.conns().filter(|conn| conn.identity.as_ref().is_some_and(is_it)).collect()
    }

    pub(crate) fn find(&self, transport: Transport, local: Endpoint, remote: Endpoint) -> Option<&Conn> {
        match self.all(transport, local, remote)[..] {
            [one] => Some(one),
            _ => None,
        }
    }
}

pub(crate) fn transport_of(conn: &Conn) -> Option<Transport> {
    conn.identity.as_ref().map(|identity| identity.transport)
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(address.ip(), address.port())
}

/// Time never goes back.
pub(crate) fn in_order(events: &[Event]) -> Result<(), String> {
    match events.windows(2).find(|pair| pair[0].at > pair[1].at) {
        Some(pair) => Err(format!("out of order: {pair:?}")),
        None => Ok(()),
    }
}

/// The law, as the programs counted and as the events say; and both say the same.
pub(crate) fn law(events: &[Event], summary: &Summary) -> Result<(), String> {
    let mut law = Law::new();
    events.iter().for_each(|event| law.push(event));
    let account = law.account(law.losses(), true);
    let (counted, told) = (summary.total(), account.total());
    // What left no trace in the events has no transport there, and was not found open.
    let began = |tally: netflow_core::law::Tally| tally.opened + tally.preexisting;
    let agree = began(counted) == began(told)
        && (counted.closed, counted.lost_closes, counted.live_at_end)
            == (told.closed, told.lost_closes, told.live_at_end)
        && summary.connect_failures == account.connect_failures
        && summary.loss == law.losses();
    let each = account.unseen > 0 || (summary.tcp, summary.udp) == (account.tcp, account.udp);
    let holds = account.verdict == Verdict::Holds && summary.tcp.holds() && summary.udp.holds();
    if !holds || account.strangers > 0 || !agree || !each {
        return Err(format!("the law: {account:?} {summary:?}"));
    }
    Ok(())
}

/// How many ticks there are, and how many of them are complete: behind each of them the law holds.
pub(crate) fn law_so_far(events: &[Event]) -> Result<(u64, u64), String> {
    let (mut law, mut snapshots, mut complete) = (Law::new(), 0, 0);
    for event in events {
        law.push(event);
        let Body::Tick(tick) = &event.body else { continue };
        snapshots += 1;
        complete += u64::from(tick.complete);
        let account = law.account(law.losses(), true);
        if account.verdict != Verdict::Holds {
            return Err(format!("the law behind snapshot {snapshots}, {tick:?}: {account:?}"));
        }
    }
    Ok((snapshots, complete))
}

/// What differs, in words; empty when everything is as the applications counted.
///
/// Compared are: `sent_bytes` with what the application's writes returned (also where the peer never got it:
/// `unacked_bytes` is part of it), and `recv_bytes - unread_bytes` with what its reads returned. Where nothing was
/// broken off, nothing may be unacknowledged or unread either.
pub(crate) fn mismatches(ends: &[End], seen: &Seen) -> Vec<String> {
    ends.iter()
        .filter_map(|end| {
            compare(end, seen).err().map(|why| format!("{} {}: {why}\n  {end:?}", end.scenario, end.side))
        })
        .collect()
}

fn compare(end: &End, seen: &Seen) -> Result<(), String> {
    let found = seen.all(end.transport, end.local, end.remote);
    if !end.recorded && found.is_empty() {
        return Ok(());
    }
    let [conn] = found[..] else { return Err(format!("{} connections seen: {found:?}", found.len())) };
    let identity = conn.identity.as_ref().ok_or("no identity")?;
    let totals = conn.last.ok_or_else(|| format!("no close: {conn:?}"))?;
    let tcp = end.transport == Transport::Tcp;
    let mut wrong = Vec::new();
    let mut check = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what} is {is}, should be {should}"));
        }
    };
    check("opens", conn.opens.to_string(), u32::from(end.opened).to_string());
    check("closes", conn.closes.to_string(), "1".to_owned());
    check("pid", format!("{:?}", identity.pid), format!("{:?}", Some(end.pid)));
    check("direction", format!("{:?}", identity.direction), format!("{:?}", Some(end.direction())));
    check("sent", totals.sent_bytes.to_string(), end.sent_bytes.to_string());
    check("read", (totals.recv_bytes - totals.unread_bytes).to_string(), end.recv_bytes.to_string());
    check("preexisting", identity.preexisting.to_string(), "false".to_owned());
    if tcp {
        check("established", conn.states.has_established().to_string(), end.opened.to_string());
    } else {
        check("datagrams sent", totals.sent_packets.to_string(), end.sent_datagrams.to_string());
        check("datagrams received", totals.recv_packets.to_string(), end.recv_datagrams.to_string());
    }
    if end.clean {
        check("unacked", totals.unacked_bytes.to_string(), "0".to_owned());
        check("unread", totals.unread_bytes.to_string(), "0".to_owned());
    }
    if end.reason.is_some() {
        check("reason", format!("{:?}", conn.reason), format!("{:?}", end.reason));
    }
    if let Some(shared) = end.shared {
        check("shared", identity.shared.to_string(), shared.to_string());
    }
    if let Some(unread) = end.unread_bytes {
        check("unread", totals.unread_bytes.to_string(), unread.to_string());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n  {conn:?}", wrong.join(", "))) }
}
