//! What of a cluster's objects a capture needs to keep.
//!
//! In: objects with everything that was read. Out: objects that give the same [`Cluster`](super::Cluster), without labels,
//! replica sets, deployments and whatever has no address. Never here: bytes.

use super::objects::{Labels, Objects, Pod};
use super::owner::Owners;

impl Objects {
    /// The same without what tells nothing of addresses; each pod names its workload as its owner. Reducing twice is
    /// reducing once.
    #[must_use]
    pub fn reduced(&self) -> Self {
        let owners = Owners::new(self);
        let pods = self.pods.iter().filter(|(_, pod)| !pod.ips.is_empty());
        let services = self.services.iter().filter(|(_, service)| {
            let has_address = !service.cluster_ips.is_empty() || !service.external_ips.is_empty();
            has_address || service.ports.iter().any(|port| port.node_port.is_some())
        });
        Self {
            nodes: self
                .nodes
                .iter()
                .filter(|(_, ips)| !ips.is_empty())
                .map(|(name, ips)| (name.clone(), ips.clone()))
                .collect(),
            services: services.map(|(name, service)| (name.clone(), service.clone())).collect(),
            backends: self
                .backends
                .iter()
                .filter(|(_, all)| !all.is_empty())
                .map(|(name, all)| (name.clone(), all.clone()))
                .collect(),
            pods: pods
                .map(|(name, pod)| {
                    let owner = owners.of(name, pod);
                    (name.clone(), Pod { owner, labels: Labels::new(), ..pod.clone() })
                })
                .collect(),
            ..Self::default()
        }
    }
}
