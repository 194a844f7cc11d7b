//! Kubernetes: which pod, service and workload an address belongs to.
//!
//! In: the [`Objects`] of a cluster, as somebody read them at one moment. Out: a [`Cluster`] that tells who an address and
//! a port are, and so tags both ends of a connection. Never here: JSON (see the formats), the cluster itself.
//!
//! ```text
//! Objects ──reduced──▶ Objects (what a capture keeps) ──▶ Cluster ──▶ the tags of a Flow
//! ```

mod cluster;
mod objects;
mod owner;
mod reduce;
mod tags;

pub use cluster::Cluster;
pub use objects::{Backend, Labels, Name, Objects, Owner, Phase, Pod, PodPort, Service, ServicePort};
