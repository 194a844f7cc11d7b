//! A connection as reports see it.
//!
//! In: what the kernel said of a connection and what else is known at that moment. Out: the attributes behind every tag
//! of a report, resolved once per connection. Never here: counters.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::address::Endpoint;
use crate::direction::{self, Listening};
use crate::event::{Body, Direction, Identity, Process};
use crate::k8s::Cluster;

/// A connection with everything resolved that depends on the connection alone.
#[derive(Debug, Clone)]
pub struct Flow {
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

/// What is known beside the connections: it arrives in the stream by itself.
#[derive(Debug, Default)]
pub struct Surroundings {
    listening: Listening,
    processes: FxHashMap<u32, Process>,
    /// The Kubernetes cluster that the host belongs to.
    pub(crate) cluster: Option<Arc<Cluster>>,
}

impl Surroundings {
    /// Learns from an event, if it is of that kind.
    pub fn learn(&mut self, body: &Body) {
        match body {
            Body::Listen(listen) => self.listening.learn(listen),
            Body::Process(process) => {
                self.processes.insert(process.pid, process.clone());
            }
            _ => {}
        }
    }

    /// The connection with everything that is known of it now.
    #[must_use]
    pub fn resolve(
        &self,
        host: Option<&Arc<str>>,
        identity: &Arc<Identity>,
        options: PortOptions,
        captured_min: u16,
    ) -> Flow {
        let captured_min = if captured_min == 0 { direction::DEFAULT_EPHEMERAL_PORT_MIN } else { captured_min };
        let min = options.ephemeral_port_min.unwrap_or(captured_min);
        let direction = direction::direction(identity, &self.listening, self.cluster.as_deref(), min);
        let (src_port, dst_port) = if options.no_fold {
            (Some(identity.local.port()), Some(identity.remote.port()))
        } else {
            direction::fold(identity, direction, min)
        };
        let process = identity.pid.and_then(|pid| self.processes.get(&pid));
        let mut flow = Flow {
            host: host.cloned(),
            identity: Arc::clone(identity),
            direction,
            src_port,
            dst_port,
            process_name: identity.process.clone().or_else(|| process.map(|process| Arc::clone(&process.process))),
            container_id: process.and_then(|process| process.container_id.clone()),
            dst_nat: None,
            dst_domain: None,
            sub_source: None,
            src_k8s: None,
            dst_k8s: None,
        };
        if let Some(cluster) = &self.cluster {
            cluster.tag(&mut flow);
        }
        flow
    }
}
