//! Who has an address and a port in a cluster.
//!
//! In: the objects of a cluster. Out: the tags of the pod or service at an address, and whether a port there is a server's.
//! Never here: connections, directions.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::objects::{Name, Objects, Phase, Pod};
use super::owner::Owners;
use crate::address::Endpoint;
use crate::event::Transport;
use crate::flow::Workload;

/// What stands for everything that is not known of an end.
pub(super) const UNKNOWN: &str = "N/A";

type ByPort = FxHashMap<(Transport, Endpoint), Workload>;

/// A cluster, ready for look-ups.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Ports of pods that stand behind a service.
    endpoints: ByPort,
    /// Pods with addresses of their own.
    pods: FxHashMap<IpAddr, Workload>,
    /// Ports at a node's address that a pod on the host's network declares.
    host_network: ByPort,
    /// Ports at a node's address that lead to a pod.
    host_ports: ByPort,
    /// Services by the addresses that are theirs alone.
    cluster_ips: FxHashMap<IpAddr, Workload>,
    /// Services by other addresses, and by backends that are no pods.
    service_ports: ByPort,
    /// Services by the port that they have on every node.
    node_ports: FxHashMap<(Transport, u16), Workload>,
    nodes: FxHashSet<IpAddr>,
    /// Ports that pods and services declare at their own addresses.
    declared: FxHashSet<(Transport, Endpoint)>,
}

impl Cluster {
    /// A cluster of these objects.
    #[must_use]
    pub fn new(objects: &Objects) -> Self {
        let mut cluster = Self::default();
        cluster.nodes.extend(objects.nodes.values().flatten());
        cluster.nodes.extend(objects.pods.values().flat_map(|pod| &pod.host_ips));
        let tags = pod_tags(objects);
        cluster.add_pods(objects, &tags);
        cluster.add_backends(objects, &tags);
        cluster.add_services(objects, &tags);
        cluster
    }

    /// The pod or service at an address and port. Without a port, as for a client, whose port is its own choice, the pod
    /// that has the address; a service is nobody's client.
    #[must_use]
    pub fn find(&self, transport: Transport, ip: IpAddr, port: Option<u16>) -> Option<&Workload> {
        self.pod(transport, ip, port).or_else(|| {
            let end = Endpoint::new(ip, port?);
            self.service(transport, end).or_else(|| self.host_ports.get(&(transport, end)))
        })
    }

    /// The pod at an address. A pod on the host's network is known by its ports only: the address is the node's.
    #[must_use]
    pub fn pod(&self, transport: Transport, ip: IpAddr, port: Option<u16>) -> Option<&Workload> {
        let key = port.map(|port| (transport, Endpoint::new(ip, port)));
        let in_ports = |ports| key.and_then(|key| ByPort::get(ports, &key));
        in_ports(&self.endpoints).or_else(|| self.pods.get(&ip.to_canonical())).or_else(|| in_ports(&self.host_network))
    }

    /// The service at an address and port. A node's port counts at a node's own addresses only.
    #[must_use]
    pub fn service(&self, transport: Transport, end: Endpoint) -> Option<&Workload> {
        let by_address = self.cluster_ips.get(&end.ip());
        by_address.or_else(|| self.service_ports.get(&(transport, end))).or_else(|| self.node_port(transport, end))
    }

    /// A pod or a service of the cluster serves there.
    #[must_use]
    pub fn is_server(&self, transport: Transport, end: Endpoint) -> bool {
        let by_port = [&self.endpoints, &self.host_network, &self.host_ports, &self.service_ports];
        let key = (transport, end);
        self.declared.contains(&key)
            || by_port.iter().any(|ports| ports.contains_key(&key))
            || self.node_port(transport, end).is_some()
    }

    fn node_port(&self, transport: Transport, end: Endpoint) -> Option<&Workload> {
        self.node_ports.get(&(transport, end.port())).filter(|_| self.nodes.contains(&end.ip()))
    }

    fn add_pods(&mut self, objects: &Objects, tags: &BTreeMap<&Name, Workload>) {
        let mut all: Vec<_> = objects.pods.values().zip(tags.values()).collect();
        // The first that claims an address has it: those that run before those that ended, young before old.
        all.sort_by(|(left, _), (right, _)| rank(right).cmp(&rank(left)));
        for (pod, tags) in all {
            // Nobody serves at the ports of a pod that ended; its address may still tell who it was.
            let ports = || pod.ports.iter().filter(|_| pod.phase != Phase::Ended);
            if pod.host_network {
                claim(&mut self.host_network, &pod.ips, ports().map(|port| (port.transport, port.port)), tags);
                continue;
            }
            let host_ports = ports().filter_map(|port| Some((port.transport, port.host_port?)));
            claim(&mut self.host_ports, &pod.host_ips, host_ports, tags);
            for ip in &pod.ips {
                if let Entry::Vacant(vacant) = self.pods.entry(*ip) {
                    vacant.insert(tags.clone());
                    self.declared.extend(ports().map(|port| (port.transport, Endpoint::new(*ip, port.port))));
                }
            }
        }
    }

    fn add_backends(&mut self, objects: &Objects, tags: &BTreeMap<&Name, Workload>) {
        for (service, backends) in &objects.backends {
            for (ip, backend) in backends {
                let named = backend.pod.as_ref().map(|name| tags.get(name).cloned().unwrap_or_else(|| pod_alone(name)));
                for (transport, port) in &backend.ports {
                    let key = (*transport, Endpoint::new(*ip, *port));
                    let holder = || self.pods.get(ip).or_else(|| self.host_network.get(&key)).cloned();
                    match named.clone().or_else(holder) {
                        Some(pod) => {
                            let tags = Workload { service_name: service.name.clone(), ..pod };
                            self.endpoints.entry(key).or_insert(tags);
                        }
                        None => {
                            self.service_ports.entry(key).or_insert_with(|| service_alone(service, None));
                        }
                    }
                }
            }
        }
    }

    fn add_services(&mut self, objects: &Objects, tags: &BTreeMap<&Name, Workload>) {
        for (name, service) in &objects.services {
            let backends = objects.backends.get(name).into_iter().flat_map(BTreeMap::values);
            let tags =
                service_alone(name, common_workload(backends.filter_map(|backend| tags.get(backend.pod.as_ref()?))));
            for ip in &service.cluster_ips {
                self.declared.extend(service.ports.iter().map(|port| (port.transport, Endpoint::new(*ip, port.port))));
                self.cluster_ips.entry(*ip).or_insert_with(|| tags.clone());
            }
            for port in &service.ports {
                for ip in &service.external_ips {
                    self.service_ports.insert((port.transport, Endpoint::new(*ip, port.port)), tags.clone());
                }
                if let Some(node_port) = port.node_port {
                    self.node_ports.entry((port.transport, node_port)).or_insert_with(|| tags.clone());
                }
            }
        }
    }
}

/// Gives a pod all of these ports that no other has.
fn claim(to: &mut ByPort, ips: &BTreeSet<IpAddr>, ports: impl Iterator<Item = (Transport, u16)>, tags: &Workload) {
    for (transport, port) in ports {
        for ip in ips {
            to.entry((transport, Endpoint::new(*ip, port))).or_insert_with(|| tags.clone());
        }
    }
}

fn rank(pod: &Pod) -> (Phase, Option<&Arc<str>>) {
    (pod.phase, pod.created.as_ref())
}

/// The tags of every pod, with the first service that it stands behind.
fn pod_tags(objects: &Objects) -> BTreeMap<&Name, Workload> {
    let mut services: FxHashMap<&Name, &Arc<str>> = FxHashMap::default();
    let mut by_ip: FxHashMap<IpAddr, &Arc<str>> = FxHashMap::default();
    for (service, backends) in &objects.backends {
        for (ip, backend) in backends {
            match &backend.pod {
                Some(pod) => services.entry(pod).or_insert(&service.name),
                None => by_ip.entry(*ip).or_insert(&service.name),
            };
        }
    }
    let owners = Owners::new(objects);
    let tags = |name, pod: &Pod| {
        let by_ip = || pod.ips.iter().filter(|_| !pod.host_network).find_map(|ip| by_ip.get(ip));
        let service = services.get(name).or_else(by_ip);
        Workload {
            service_name: service.map_or_else(|| UNKNOWN.into(), |name| Arc::clone(name)),
            deployment_name: owners.of(name, pod).map_or_else(|| UNKNOWN.into(), |owner| owner.name),
            ..pod_alone(name)
        }
    };
    objects.pods.iter().map(|(name, pod)| (name, tags(name, pod))).collect()
}

/// A pod of which only the name is known.
fn pod_alone(name: &Name) -> Workload {
    Workload {
        namespace: name.namespace.clone(),
        pod_name: name.name.clone(),
        service_name: UNKNOWN.into(),
        deployment_name: UNKNOWN.into(),
    }
}

/// A service, and no particular pod behind it.
fn service_alone(name: &Name, deployment: Option<Arc<str>>) -> Workload {
    Workload {
        namespace: name.namespace.clone(),
        pod_name: UNKNOWN.into(),
        service_name: name.name.clone(),
        deployment_name: deployment.unwrap_or_else(|| UNKNOWN.into()),
    }
}

/// The workload to which all these pods belong, if it is one.
fn common_workload<'a>(mut pods: impl Iterator<Item = &'a Workload>) -> Option<Arc<str>> {
    let first = &pods.next()?.deployment_name;
    pods.all(|pod| pod.deployment_name == *first).then(|| Arc::clone(first))
}
