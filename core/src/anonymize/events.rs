//! Headers and events under other names and addresses.
//!
//! In: one after the other, in any order. Out: the same with everything replaced that tells who it was. Never here: the
//! text of a cluster's state, which the caller reads and writes.
//!
//! Every structure is taken apart by all its fields, so that a new one does not compile before it is decided what becomes
//! of it. `README.md` has the decisions.

use std::net::IpAddr;
use std::sync::Arc;

use super::addresses::{Addresses, Ranges};
use super::key::Key;
use super::tokens::{Tokens, Word};
use crate::address::Endpoint;
use crate::event::{
    Body, Clock, Close, Dns, Event, Header, Identity, K8s, Listen, Loss, Nat, Open, Process, Sample, Tick,
};

/// How all times move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shift {
    /// They stay.
    #[default]
    None,
    /// By so many nanoseconds; negative is back.
    By(i64),
    /// Back by whole hours, from one hour to ten years of 365 days, as the key tells.
    FromKey,
}

/// What else is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What becomes of addresses in ranges of their own.
    pub ranges: Ranges,
    /// By how much the wall clock's times move. Times since boot stay.
    pub shift: Shift,
}

const HOUR_NS: i64 = 3_600_000_000_000;
const MOST_HOURS: u64 = 10 * 365 * 24;

/// Replaces names and addresses under one key. It remembers what it has mapped, a bounded number of each, so that events
/// of the same names and addresses take no time; what it gives does not depend on that.
pub struct Anonymizer {
    addresses: Addresses,
    pub(super) tokens: Tokens,
    shift_ns: i64,
}

impl Anonymizer {
    /// What replaces under a key.
    #[must_use]
    pub fn new(key: &Key, options: Options) -> Self {
        let tokens = Tokens::new(key);
        let shift_ns = match options.shift {
            Shift::None => 0,
            Shift::By(ns) => ns,
            Shift::FromKey => {
                let hours = tokens.number("hours back") % MOST_HOURS + 1;
                // At most 3.2 × 10¹⁷.
                i64::try_from(hours).map_or(0, |hours| -hours * HOUR_NS)
            }
        };
        Self { addresses: Addresses::new(key, options.ranges), tokens, shift_ns }
    }

    /// What an address is mapped to.
    #[must_use]
    pub fn address(&mut self, ip: IpAddr) -> IpAddr {
        self.addresses.map(ip)
    }

    /// The header of the events.
    #[must_use]
    pub fn header(&mut self, header: &Header) -> Header {
        let Header {
            tool,
            host,
            kernel,
            boot_id,
            boot_time_ns,
            interval_ms,
            ephemeral_port_min,
            ephemeral_port_max,
            command: _,
            comment: _,
            began_at,
            part,
            continues_from,
            excerpt,
            anonymized: _,
        } = header;
        Header {
            tool: if is_own_name(tool) { tool.clone() } else { self.tokens.word(Word::Tool, tool).to_string() },
            host: self.tokens.word(Word::Host, host).to_string(),
            kernel: version(kernel).to_owned(),
            boot_id: self.tokens.uuid(boot_id),
            boot_time_ns: self.utc(*boot_time_ns),
            interval_ms: *interval_ms,
            ephemeral_port_min: *ephemeral_port_min,
            ephemeral_port_max: *ephemeral_port_max,
            command: Vec::new(),
            comment: String::new(),
            began_at: *began_at,
            part: *part,
            continues_from: *continues_from,
            excerpt: *excerpt,
            anonymized: true,
        }
    }

    /// An event. `state` makes the text of a cluster's state from the old one, with [`Anonymizer::objects`].
    #[must_use]
    pub fn event(&mut self, event: &Event, state: impl FnOnce(&mut Self, &str) -> Arc<str>) -> Event {
        let Event { at, body } = event;
        let body = match body {
            Body::Open(Open { conn, identity }) => Body::Open(Open { conn: *conn, identity: self.identity(identity) }),
            Body::Sample(Sample { conn, totals, identity }) => {
                let identity = identity.as_deref().map(|identity| self.identity(identity));
                Body::Sample(Sample { conn: *conn, totals: *totals, identity })
            }
            Body::Close(Close { conn, totals, identity, tcp_states, reason }) => {
                let identity = identity.as_deref().map(|identity| self.identity(identity));
                let (tcp_states, reason) = (*tcp_states, *reason);
                Body::Close(Close { conn: *conn, totals: *totals, identity, tcp_states, reason })
            }
            Body::Tick(Tick { complete }) => Body::Tick(Tick { complete: *complete }),
            Body::Process(process) => Body::Process(self.process(process)),
            Body::Dns(Dns { name, addr, ttl_s, netns, pid }) => Body::Dns(Dns {
                name: self.tokens.domain(name),
                addr: self.address(*addr),
                ttl_s: *ttl_s,
                netns: *netns,
                pid: *pid,
            }),
            Body::Nat(Nat { transport, local, remote, dst, netns, end }) => Body::Nat(Nat {
                transport: *transport,
                local: self.end(*local),
                remote: self.end(*remote),
                dst: self.end(*dst),
                netns: *netns,
                end: *end,
            }),
            Body::Listen(Listen { transport, local, netns, pid, process, end }) => Body::Listen(Listen {
                transport: *transport,
                local: self.end(*local),
                netns: *netns,
                pid: *pid,
                process: self.process_name(process.as_deref()),
                end: *end,
            }),
            Body::K8s(K8s { state: text }) => Body::K8s(K8s { state: state(self, text) }),
            Body::Clock(Clock { boot_time_ns }) => Body::Clock(Clock { boot_time_ns: self.utc(*boot_time_ns) }),
            Body::Loss(loss) => Body::Loss(Loss { ..*loss }),
        };
        Event { at: *at, body }
    }

    fn identity(&mut self, identity: &Identity) -> Arc<Identity> {
        let Identity { transport, local, remote, direction, pid, process, netns, preexisting, opened_at, shared } =
            identity;
        Arc::new(Identity {
            transport: *transport,
            local: self.end(*local),
            remote: self.end(*remote),
            direction: *direction,
            pid: *pid,
            process: self.process_name(process.as_deref()),
            netns: *netns,
            preexisting: *preexisting,
            opened_at: *opened_at,
            shared: *shared,
        })
    }

    fn process(&mut self, process: &Process) -> Process {
        let Process { pid, process, exe, cgroup, container_id, exited, started_at } = process;
        Process {
            pid: *pid,
            process: self.tokens.word(Word::Process, process),
            exe: exe.as_deref().map(|path| self.tokens.path(path)),
            cgroup: cgroup.as_deref().map(|path| self.tokens.path(path)),
            container_id: container_id.as_deref().map(|id| self.tokens.container(id)),
            exited: *exited,
            started_at: *started_at,
        }
    }

    fn process_name(&mut self, name: Option<&str>) -> Option<Arc<str>> {
        name.map(|name| self.tokens.word(Word::Process, name))
    }

    fn end(&mut self, end: Endpoint) -> Endpoint {
        Endpoint::new(self.address(end.ip()), end.port())
    }

    fn utc(&self, ns: i64) -> i64 {
        ns.saturating_add(self.shift_ns)
    }
}

/// It is this program, of any version, and says nothing else.
fn is_own_name(tool: &str) -> bool {
    tool.strip_prefix("netflow ").is_some_and(|number| !number.is_empty() && version(number) == number)
}

/// The numbers with which a text begins: `6.18.5` of `6.18.5-build7`.
fn version(text: &str) -> &str {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}
