//! The objects of a cluster under other names and addresses.
//!
//! In: objects as a reader found them. Out: what of them a capture keeps, with the same relations. Never here: the text of
//! an event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::events::Anonymizer;
use super::tokens::Word;
use crate::k8s::{Backend, Labels, Name, Objects, Owner, Pod, Service};

/// Kinds of object that every cluster has.
const KINDS: [&str; 8] =
    ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "CronJob", "Node"];

impl Anonymizer {
    /// The objects as a capture keeps them (see [`Objects::reduced`]: each pod names its workload, and labels are gone),
    /// under other names and addresses.
    #[must_use]
    pub fn objects(&mut self, objects: &Objects) -> Objects {
        let objects = objects.reduced();
        let created = order_of_creation(&objects);
        let nodes = objects.nodes.iter().map(|(name, ips)| (self.tokens.word(Word::Node, name), self.ips(ips)));
        let nodes = nodes.collect();
        let services = objects.services.iter().map(|(name, service)| {
            let name = self.name(Word::Service, name);
            (name, self.service(service))
        });
        let services = services.collect();
        let backends = objects.backends.iter().map(|(name, backends)| {
            let name = self.name(Word::Service, name);
            (name, backends.iter().map(|(ip, backend)| (self.address(*ip), self.backend(backend))).collect())
        });
        let backends = backends.collect();
        let pods = objects.pods.iter().map(|(name, pod)| {
            let created = created.get(name).cloned();
            (self.name(Word::Pod, name), self.pod(pod, created))
        });
        let pods = pods.collect();
        Objects { nodes, services, backends, pods, replica_sets: BTreeMap::new(), deployments: BTreeMap::new() }
    }

    fn name(&mut self, word: Word, name: &Name) -> Name {
        Name { namespace: self.tokens.word(Word::Namespace, &name.namespace), name: self.tokens.word(word, &name.name) }
    }

    fn ips(&mut self, ips: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        ips.iter().map(|ip| self.address(*ip)).collect()
    }

    fn service(&mut self, service: &Service) -> Service {
        let Service { cluster_ips, external_ips, ports } = service;
        Service { cluster_ips: self.ips(cluster_ips), external_ips: self.ips(external_ips), ports: ports.clone() }
    }

    fn backend(&mut self, backend: &Backend) -> Backend {
        let Backend { pod, ports } = backend;
        Backend { pod: pod.as_ref().map(|pod| self.name(Word::Pod, pod)), ports: ports.clone() }
    }

    fn pod(&mut self, pod: &Pod, order: Option<Arc<str>>) -> Pod {
        let Pod { owner, labels: _, phase, created: _, host_network, ips, host_ips, ports } = pod;
        let owner = owner.as_ref().map(|Owner { kind, name }| {
            let kind = if KINDS.contains(&&**kind) { Arc::clone(kind) } else { self.tokens.word(Word::Kind, kind) };
            Owner { kind, name: self.tokens.word(Word::Workload, name) }
        });
        Pod {
            owner,
            labels: Labels::new(),
            phase: *phase,
            created: order,
            host_network: *host_network,
            ips: self.ips(ips),
            host_ips: self.ips(host_ips),
            ports: ports.clone(),
        }
    }
}

/// Times in place of those at which pods were made: the n-th is n seconds after 1970 began, and no two are the same. Of
/// pods that claim one address the youngest has it, and else the first by name: names change, so the times tell.
fn order_of_creation(objects: &Objects) -> FxHashMap<&Name, Arc<str>> {
    let mut pods: Vec<_> = objects.pods.iter().map(|(name, pod)| (&pod.created, Reverse(name))).collect();
    pods.sort_unstable();
    let names = pods.into_iter().map(|(_, Reverse(name))| name);
    names.enumerate().map(|(place, name)| (name, time(place).into())).collect()
}

/// RFC 3339. Each year has its first day only.
fn time(second: usize) -> String {
    let (day, second) = (second / 86_400, second % 86_400);
    let year = 1970 + day;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-01-01T{hour:02}:{minute:02}:{second:02}Z")
}
