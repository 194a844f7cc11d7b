//! The Kubernetes cluster of a report or a recording.
//!
//! In: a file that `kubectl get … -o json` printed, or the events of a capture. Out: the cluster for the pipeline, or the
//! event that keeps it. Never here: what the objects mean.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use netflow_core::event::{Body, Event, K8s};
use netflow_core::k8s::{Cluster, Objects};
use netflow_formats::capture::MAX_STATE_BYTES;
use netflow_formats::k8s;

use crate::input;

/// The cluster that a report is made with: one that is given goes before those that captures hold.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    given: Option<Arc<Cluster>>,
}

impl Clusters {
    /// Reads the cluster that is given, if one is.
    pub(crate) fn new(path: Option<&Path>) -> anyhow::Result<Self> {
        let given = path.map(objects).transpose()?.map(|objects| Arc::new(Cluster::new(&objects)));
        Ok(Self { given })
    }

    /// A capture begins.
    pub(crate) fn begin(&self, set: impl FnOnce(Arc<Cluster>)) {
        if let Some(cluster) = &self.given {
            set(Arc::clone(cluster));
        }
    }

    /// Takes the cluster out of an event that holds one. False when it cannot be read, which is said on stderr: the
    /// connections can be reported without.
    pub(crate) fn learn(&self, event: &Event, capture: &Path, set: impl FnOnce(Arc<Cluster>)) -> bool {
        let Body::K8s(K8s { state }) = &event.body else { return true };
        if self.given.is_some() {
            return true;
        }
        match k8s::read(state) {
            Ok(objects) => {
                set(Arc::new(Cluster::new(&objects)));
                true
            }
            Err(error) => {
                eprintln!("warning: {}: the cluster's state cannot be read: {error}", input::name(capture));
                false
            }
        }
    }
}

/// What a recording keeps of the cluster that a file tells of.
pub(crate) fn state(path: &Path) -> anyhow::Result<Body> {
    let state = k8s::write(&objects(path)?.reduced());
    if state.len() > MAX_STATE_BYTES {
        bail!(
            "cannot record {}: expected at most {MAX_STATE_BYTES} bytes of what is kept of the cluster, found {}",
            input::name(path),
            state.len()
        );
    }
    Ok(Body::K8s(K8s { state: state.into() }))
}

fn objects(path: &Path) -> anyhow::Result<Objects> {
    let cannot = || format!("cannot read {}", input::name(path));
    let mut text = String::new();
    // One byte beyond the limit is enough to be told that it is exceeded.
    input::open(path)?.take(k8s::MAX_BYTES as u64 + 1).read_to_string(&mut text).with_context(cannot)?;
    let objects = k8s::read(&text).with_context(cannot)?;
    if objects.is_empty() {
        bail!(
            "cannot use {}: expected pods, services, endpoints or nodes as \
             `kubectl get pods,services,endpointslices,nodes,replicasets,deployments -A -o json` prints them, found none",
            input::name(path)
        );
    }
    Ok(objects)
}
