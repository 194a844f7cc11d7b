//! A connection as reports see it.
//!
//! In: what the kernel said of a connection and what else is known at that moment. Out: the attributes behind every tag
//! of a report, resolved once per connection. Never here: counters.

use std::sync::Arc;

use crate::address::Endpoint;
use crate::direction::{self, Listening};
use crate::domains::Domains;
use crate::event::{Body, Direction, Dns, Event, Identity, Listen, Nat, Process};
use crate::k8s::Cluster;
use crate::processes::{Owner, Processes};
use crate::translations::Translations;

/// A connection with everything resolved that depends on the connection alone.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its id in the capture.
    pub connection: Option<u64>,
    /// When it was opened, or else first heard of, in microseconds since 1970 (UTC), by the clock at the time at which it was
    /// first heard of.
    pub began: Option<i64>,
    /// The recorded host.
    pub host: Option<Arc<str>>,
    /// What the kernel said.
    pub identity: Arc<Identity>,
    /// Who began.
    pub direction: Option<Direction>,
    /// The local port, unless folded.
    pub src_port: Option<u16>,
    /// The remote port, unless folded.
    pub dst_port: Option<u16>,
    /// The owner's name.
    pub process_name: Option<Arc<str>>,
    /// The owner's container.
    pub container_id: Option<Arc<str>>,
    /// Where packets to the remote end really go.
    pub dst_nat: Option<Endpoint>,
    /// The name under which the remote end was looked up.
    pub dst_domain: Option<Arc<str>>,
    /// Where a part of the tags comes from; `K8s` is the only such source.
    pub sub_source: Option<&'static str>,
    /// What the cluster says of the local end.
    pub src_k8s: Option<Workload>,
    /// What the cluster says of the remote end.
    pub dst_k8s: Option<Workload>,
}

impl Flow {
    /// A connection of which only this is known.
    #[must_use]
    pub fn of_identity(identity: &Arc<Identity>) -> Self {
        Self {
            connection: None,
            began: None,
            host: None,
            identity: Arc::clone(identity),
            direction: identity.direction,
            src_port: Some(identity.local.port()),
            dst_port: Some(identity.remote.port()),
            process_name: identity.process.clone().filter(|name| !name.is_empty()),
            container_id: None,
            dst_nat: None,
            dst_domain: None,
            sub_source: None,
            src_k8s: None,
            dst_k8s: None,
        }
    }
}

/// What a Kubernetes cluster says of one end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The pod.
    pub pod_name: Arc<str>,
    /// The service in front of it.
    pub service_name: Arc<str>,
    /// The deployment that made it.
    pub deployment_name: Arc<str>,
}

/// How ports are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortOptions {
    /// Keep every port as it is.
    pub no_fold: bool,
    /// The lowest client port, where the capture's own range is not to be used.
    pub ephemeral_port_min: Option<u16>,
}

impl PortOptions {
    /// The lowest client port of a capture that says this of it, or 0 when it does not.
    pub(crate) fn min(self, captured_min: u16) -> u16 {
        let captured_min = if captured_min == 0 { direction::DEFAULT_EPHEMERAL_PORT_MIN } else { captured_min };
        self.ephemeral_port_min.unwrap_or(captured_min)
    }
}

/// What is known beside the connections: it arrives in the stream by itself.
#[derive(Debug, Default)]
pub struct Surroundings {
    listening: Listening,
    processes: Processes,
    domains: Domains,
    translations: Translations,
    /// How many events were learned from: without another one there is nothing new to find.
    learned: u64,
    /// When the last of them was.
    now: u64,
    /// By slot.
    beside: Vec<Beside>,
    /// The Kubernetes cluster that the host belongs to.
    pub(crate) cluster: Option<Arc<Cluster>>,
}

/// What a connection keeps though the tables no longer tell it: what is to be said around its introduction to somebody who
/// hears the rest from [`Surroundings`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its owner, which exited. Another process may have the id by now, so this is to be said before that one is.
    pub(crate) owner: Option<Process>,
    pub(crate) before: Vec<Body>,
    pub(crate) after: Vec<Body>,
}

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was found for one connection while it lived. The tables above forget what no longer holds, so each connection keeps
/// its own.
#[derive(Debug, Clone, Default)]
struct Beside {
    /// As it was when last looked at; `None` before the first time.
    identity: Option<Arc<Identity>>,
    learned: u64,
    began: u64,
    /// When the connection was last heard of.
    at: u64,
    /// When it was first heard of with its owner.
    owned: u64,
    /// Of most there is nothing.
    found: Option<Box<Found>>,
}

/// What the tables said of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    owner: Option<Owner>,
    domain: Option<Arc<str>>,
    nat: Option<Endpoint>,
    /// Its local end belonged to a listening socket.
    served: bool,
}

impl Beside {
    /// Nothing was learned since it was last looked at.
    fn is_found(&self, identity: &Arc<Identity>, learned: u64) -> bool {
        self.learned == learned && self.identity.as_ref().is_some_and(|before| Arc::ptr_eq(before, identity))
    }
}

impl Surroundings {
    /// Learns from an event, if it is of that kind.
    pub fn learn(&mut self, event: &Event) {
        match &event.body {
            Body::Listen(listen) => self.listening.learn(listen),
            Body::Process(process) => self.processes.learn(event.at, process),
            Body::Dns(dns) => self.domains.learn(event.at, dns),
            Body::Nat(nat) => self.translations.learn(event.at, nat),
            _ => return,
        }
        self.learned += 1;
        self.now = event.at;
    }

    /// Nothing is known beside the connections.
    pub(crate) fn is_empty(&self) -> bool {
        self.learned == 0 && self.cluster.is_none()
    }

    /// The connection in a slot was heard of.
    pub fn see(&mut self, slot: usize, at: u64, identity: &Arc<Identity>) {
        if self.beside.len() <= slot {
            self.beside.resize_with(slot + 1, Beside::default);
        }
        let beside = &mut self.beside[slot];
        beside.at = at;
        if beside.is_found(identity, self.learned) {
            return;
        }
        let mut beside = std::mem::take(beside);
        self.look(&mut beside, at, identity);
        self.beside[slot] = beside;
    }

    /// How much was learned: to have seen a connection twice without learning something in between is to have seen it once.
    pub(crate) fn learned(&self) -> u64 {
        self.learned
    }

    /// The connection in a slot was heard of up to this time, and there was nothing new to find.
    pub(crate) fn hear(&mut self, slot: usize, at: u64) {
        if let Some(beside) = self.beside.get_mut(slot) {
            beside.at = at;
        }
    }

    /// The connection in a slot is over; the slot may serve another one.
    pub fn forget(&mut self, slot: usize) {
        let Some(beside) = self.beside.get_mut(slot).map(std::mem::take) else { return };
        if let Some(identity) = &beside.identity {
            self.translations.forget(identity, beside.at);
        }
    }

    /// The translations that go with the connection in a slot when it is forgotten.
    pub(crate) fn translations_of(&self, slot: usize) -> Vec<Nat> {
        let Some(beside) = self.beside.get(slot) else { return Vec::new() };
        beside.identity.as_ref().map_or(Vec::new(), |identity| self.translations.of(identity, beside.at))
    }

    /// Events that tell which sockets listen and which translations hold.
    pub(crate) fn restate_ends(&self) -> Vec<Body> {
        [self.listening.restate(), self.translations.restate()].concat()
    }

    /// Events that tell which processes are alive.
    pub(crate) fn restate_processes(&self) -> Vec<Body> {
        self.processes.restate()
    }

    /// Events that tell which names hold at `at`.
    pub(crate) fn restate_names(&self, at: u64) -> Vec<Body> {
        self.domains.restate(at)
    }

    /// What the connection in a slot keeps at `at`.
    pub(crate) fn kept(&self, slot: usize, at: u64, identity: &Arc<Identity>) -> Kept {
        let Identity { transport, local, remote, netns, pid, direction, .. } = **identity;
        let beside = self.beside(slot, identity);
        let found = beside.found.map(|found| *found).unwrap_or_default();
        let mut kept = Kept::default();
        let needs = |owner: &Owner| identity.process.is_none() || owner.container_id.is_some();
        if let Some(owner) = found.owner.filter(|owner| !self.processes.is_restated(owner) && needs(owner)) {
            let process = Process::new(owner.pid, owner.name);
            kept.owner = Some(Process { container_id: owner.container_id, exited: true, ..process });
        }
        let nat = found.nat.filter(|dst| {
            // Those that ended are not told of.
            self.translations.destination(identity, at.saturating_add(1), at) != Some(*dst)
        });
        if let Some(dst) = nat {
            kept.before.push(Body::Nat(Nat { transport, local, remote, dst, netns, end: false }));
        }
        if found.served && direction.is_none() && !self.listening.has(transport, netns, local) {
            let listen = Listen { transport, local, netns, pid: None, process: None, end: false };
            kept.before.push(Body::Listen(listen.clone()));
            kept.after.push(Body::Listen(Listen { end: true, ..listen }));
        }
        // Names are said only after what is kept, so what keeps anything keeps its name too.
        if let Some(name) = found.domain
            && (!kept.is_empty() || self.domains.name(remote.ip(), netns, at, at) != Some(&name))
        {
            kept.before.push(Body::Dns(Dns { name, addr: remote.ip(), ttl_s: 0, netns, pid }));
        }
        kept
    }

    /// What is known now of the connection in a slot.
    fn beside(&self, slot: usize, identity: &Arc<Identity>) -> Beside {
        let mut beside = self.beside.get(slot).cloned().unwrap_or_default();
        let now = self.now.max(beside.at);
        self.look(&mut beside, now, identity);
        beside
    }

    /// Finds what there is to find now.
    fn look(&self, beside: &mut Beside, now: u64, identity: &Arc<Identity>) {
        if beside.is_found(identity, self.learned) {
            return;
        }
        let mut place = beside.found.take();
        let mut found = place.as_deref_mut().map(std::mem::take).unwrap_or_default();
        let before = beside.identity.as_ref();
        if before.is_none() {
            beside.began = identity.opened_at.map_or(now, |opened_at| opened_at.min(now));
        }
        if before.is_none_or(|before| before.pid != identity.pid) {
            beside.owned = now;
            found.owner = None;
        }
        if let Some(pid) = identity.pid {
            let owner = self.processes.owner(pid, beside.owned, beside.at, found.owner.as_ref());
            found.owner = owner.or(found.owner.take());
        }
        // Who connects asked for the name before: what is asked later for the same address is another's business.
        if found.domain.is_none() {
            found.domain = self.domains.name(identity.remote.ip(), identity.netns, beside.at, now).cloned();
        }
        // After the connection's end, a translation may as well be the next one's with the same ends.
        if found.nat.is_none() || now == beside.at {
            found.nat = self.translations.destination(identity, beside.began, now).or(found.nat);
        }
        // The listening socket may be gone before its connections are.
        let serves = |identity: &Identity| self.listening.has(identity.transport, identity.netns, identity.local);
        found.served = found.served || (identity.direction.is_none() && serves(identity));
        if found != Found::default() {
            **place.get_or_insert_default() = found;
            beside.found = place;
        }
        beside.identity = Some(Arc::clone(identity));
        beside.learned = self.learned;
    }

    /// The connection in a slot with everything that is known of it now.
    #[must_use]
    pub fn resolve(
        &self,
        slot: usize,
        host: Option<&Arc<str>>,
        identity: &Arc<Identity>,
        options: PortOptions,
        captured_min: u16,
    ) -> Flow {
        let found = self.beside(slot, identity).found.map(|found| *found).unwrap_or_default();
        let min = options.min(captured_min);
        let served = found.served.then_some(Direction::Incoming);
        let direction = identity
            .direction
            .or(served)
            .or_else(|| direction::direction(identity, &self.listening, self.cluster.as_deref(), min));
        let (src_port, dst_port) = if options.no_fold {
            (Some(identity.local.port()), Some(identity.remote.port()))
        } else {
            direction::fold(identity, direction, min)
        };
        let owner = found.owner;
        let told = Flow::of_identity(identity);
        let mut flow = Flow {
            host: host.cloned(),
            direction,
            src_port,
            dst_port,
            process_name: told.process_name.or_else(|| owner.as_ref().map(|owner| Arc::clone(&owner.name))),
            container_id: owner.and_then(|owner| owner.container_id),
            dst_nat: found.nat,
            dst_domain: found.domain,
            ..told
        };
        if let Some(cluster) = &self.cluster {
            cluster.tag(&mut flow);
        }
        flow
    }
}
