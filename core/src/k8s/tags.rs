//! The tags of a connection's two ends.
//!
//! In: a cluster and a connection with its direction and the translated destination. Out: the four tags of each end, and
//! where they come from. Never here: how objects are found.

use super::cluster::{Cluster, UNKNOWN};
use crate::event::Direction;
use crate::flow::{Flow, Workload};

impl Cluster {
    /// Fills the tags of both ends, if either is in the cluster. An end that is not, and what is not known of one that is,
    /// is `N/A`, so that the four tags of both ends are there or none is.
    pub fn tag(&self, flow: &mut Flow) {
        let (transport, local, remote) = (flow.identity.transport, flow.identity.local, flow.identity.remote);
        // That a client's port is also some server's says nothing.
        let src =
            self.find(transport, local.ip(), (flow.direction != Some(Direction::Outgoing)).then_some(local.port()));
        let server = (flow.direction != Some(Direction::Incoming)).then_some(remote.port());
        let asked = self.find(transport, remote.ip(), server);
        let reached = flow.dst_nat.and_then(|nat| self.pod(transport, nat.ip(), Some(nat.port())));
        let dst = match (reached, asked) {
            (Some(pod), Some(asked)) => Some(through(asked, pod)),
            (one, other) => one.or(other).cloned(),
        };
        if src.is_none() && dst.is_none() {
            return;
        }
        flow.sub_source = Some("K8s");
        flow.src_k8s = Some(src.cloned().unwrap_or_else(unknown));
        flow.dst_k8s = Some(dst.unwrap_or_else(unknown));
    }
}

/// The pod that the packets reach, by the service that was asked for.
fn through(asked: &Workload, pod: &Workload) -> Workload {
    let service = if &*asked.service_name == UNKNOWN { &pod.service_name } else { &asked.service_name };
    Workload { service_name: service.clone(), ..pod.clone() }
}

fn unknown() -> Workload {
    let [namespace, pod_name, service_name, deployment_name] = [(); 4].map(|()| UNKNOWN.into());
    Workload { namespace, pod_name, service_name, deployment_name }
}
