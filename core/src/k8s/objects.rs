//! The objects of a cluster, as far as connections are concerned.
//!
//! In: what a reader found. Out: plain data, each kind by name and so without repetitions and in a fixed order. Never
//! here: what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::event::Transport;

/// The name of an object, unique among its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name in it.
    pub name: Arc<str>,
}

/// Labels, or those that a selector asks for.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The objects of one cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objects {
    /// The addresses of each node.
    pub nodes: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
    /// Services.
    pub services: BTreeMap<Name, Service>,
    /// What stands behind each service: by the service's name, then by address.
    pub backends: BTreeMap<Name, BTreeMap<IpAddr, Backend>>,
    /// Pods.
    pub pods: BTreeMap<Name, Pod>,
    /// Who made each replica set.
    pub replica_sets: BTreeMap<Name, Option<Owner>>,
    /// The labels that each deployment selects.
    pub deployments: BTreeMap<Name, Labels>,
}

impl Objects {
    /// There is nothing that has an address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.services.is_empty() && self.backends.is_empty() && self.pods.is_empty()
    }
}

/// How far a pod's life is. The order is that in which pods lose an address that several claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    /// All its containers ended (`Succeeded`, `Failed`): its address may have been given to another pod.
    Ended,
    /// It does not run yet, or nobody knows.
    #[default]
    Other,
    /// It runs.
    Running,
}

/// The object that made another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name, in the namespace of what it made.
    pub name: Arc<str>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// What made it.
    pub owner: Option<Owner>,
    /// Its labels.
    pub labels: Labels,
    /// How far its life is.
    pub phase: Phase,
    /// When it was made, as the cluster writes it: RFC 3339 in UTC, so that the order of texts is that of times.
    pub created: Option<Arc<str>>,
    /// It has no addresses of its own, but its node's.
    pub host_network: bool,
    /// Its addresses.
    pub ips: BTreeSet<IpAddr>,
    /// The addresses of its node.
    pub host_ips: BTreeSet<IpAddr>,
    /// The ports that its containers declare.
    pub ports: BTreeSet<PodPort>,
}

/// A port that a container declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodPort {
    /// The layer above IP.
    pub transport: Transport,
    /// The port at the pod's address.
    pub port: u16,
    /// The port at its node's addresses that leads to it.
    pub host_port: Option<u16>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The addresses that are its own.
    pub cluster_ips: BTreeSet<IpAddr>,
    /// Other addresses at which its ports are its own: load balancers', external ones.
    pub external_ips: BTreeSet<IpAddr>,
    /// Its ports.
    pub ports: BTreeSet<ServicePort>,
}

/// A port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// The layer above IP.
    pub transport: Transport,
    /// The port at the service's addresses.
    pub port: u16,
    /// The port at every node's addresses.
    pub node_port: Option<u16>,
}

/// An address behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backend {
    /// The pod that has it, if it is one.
    pub pod: Option<Name>,
    /// The ports at which it serves.
    pub ports: BTreeSet<(Transport, u16)>,
}
