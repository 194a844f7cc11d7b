//! What is read of each kind of object.
//!
//! In: one object. Out: its place in [`Objects`]. A later object replaces an earlier one of the same kind and name. Never
//! here: lists, kinds that say nothing of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::event::Transport;
use netflow_core::k8s::{Labels, Name, Objects, Owner, Phase, Pod, PodPort, Service, ServicePort};
use serde_json::Value;

use super::MAX_PAIRS;
use super::error::Wrong;
use super::value::{
    address, address_if_any, each, each_object, gather, object, optional, or_default, port, port_if_any, required,
    text, transport, truth, within,
};

/// What was read so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) objects: Objects,
    pairs: usize,
}

impl Gathered {
    /// So many addresses have so many ports, each of them each. A text that names a thousand of both claims a million.
    fn pair(&mut self, addresses: usize, ports: usize) -> Result<(), Wrong> {
        self.pairs = self.pairs.saturating_add(addresses.saturating_mul(ports));
        if self.pairs <= MAX_PAIRS {
            return Ok(());
        }
        Err(Wrong::new(format_args!("at most {MAX_PAIRS} ports of all addresses together"), self.pairs))
    }
}

type Add = fn(&Value, &Name, &mut Gathered) -> Result<(), Wrong>;

/// What reads objects of that kind, if any of it is of use.
pub(super) fn reader(kind: &str) -> Option<Add> {
    Some(match kind {
        "Pod" => pod,
        "Service" => service,
        "Endpoints" => endpoints,
        "EndpointSlice" => endpoint_slice,
        "Node" => node,
        "ReplicaSet" => replica_set,
        "Deployment" => deployment,
        _ => return None,
    })
}

/// The name of an object.
pub(super) fn name(item: &Value) -> Result<Name, Wrong> {
    let named = |metadata: &Value| {
        let namespace = optional(metadata, "namespace", text)?.unwrap_or_else(|| "default".into());
        Ok(Name { namespace, name: required(metadata, "name", "a string", text)? })
    };
    required(item, "metadata", "an object", |metadata| object(metadata, named))
}

fn pod(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let mut pod = Pod::default();
    within(item, "metadata", |metadata| {
        pod.labels = labels(metadata, "labels")?;
        pod.owner = owner(metadata)?;
        pod.created = optional(metadata, "creationTimestamp", text)?;
        Ok(())
    })?;
    within(item, "spec", |spec| {
        pod.host_network = or_default(spec, "hostNetwork", truth)?;
        // Those of the first list run beside the containers when they are to be restarted for ever.
        for list in ["initContainers", "containers"] {
            each_object(spec, list, |container| each_object(container, "ports", |of| pod_port(of, &mut pod.ports)))?;
        }
        Ok(())
    })?;
    within(item, "status", |status| {
        pod.phase = match optional(status, "phase", text)?.as_deref() {
            Some("Running") => Phase::Running,
            Some("Succeeded" | "Failed") => Phase::Ended,
            _ => Phase::Other,
        };
        pod.ips = addresses(status, "podIP", "podIPs")?;
        pod.host_ips = addresses(status, "hostIP", "hostIPs")?;
        Ok(())
    })?;
    gathered.pair(pod.ips.len() + pod.host_ips.len(), pod.ports.len())?;
    gathered.objects.pods.insert(name.clone(), pod);
    Ok(())
}

fn pod_port(of: &Value, ports: &mut BTreeSet<PodPort>) -> Result<(), Wrong> {
    let number = required(of, "containerPort", "a port from 1 to 65535", port)?;
    let host_port = optional(of, "hostPort", port_if_any)?.flatten();
    ports.extend(transport(of)?.map(|transport| PodPort { transport, port: number, host_port }));
    Ok(())
}

fn service(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let mut service = Service::default();
    within(item, "spec", |spec| {
        // Without an address of its own a service says "None", one that is a mere name says "".
        service.cluster_ips.extend(optional(spec, "clusterIP", address_if_any)?.flatten());
        gather(&mut service.cluster_ips, spec, "clusterIPs", address_if_any)?;
        gather(&mut service.external_ips, spec, "externalIPs", |value| address(value).map(Some))?;
        each_object(spec, "ports", |of| {
            let port = required(of, "port", "a port from 1 to 65535", port)?;
            let node_port = optional(of, "nodePort", port_if_any)?.flatten();
            service.ports.extend(transport(of)?.map(|transport| ServicePort { transport, port, node_port }));
            Ok(())
        })
    })?;
    within(item, "status", |status| {
        within(status, "loadBalancer", |balancer| {
            gather(&mut service.external_ips, balancer, "ingress", |of| optional(of, "ip", address))
        })
    })?;
    gathered.pair(service.cluster_ips.len() + service.external_ips.len(), service.ports.len())?;
    gathered.objects.services.insert(name.clone(), service);
    Ok(())
}

fn endpoints(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    each_object(item, "subsets", |subset| {
        let ports = ports(subset)?;
        // What is not ready yet is known to belong to the service all the same.
        for list in ["addresses", "notReadyAddresses"] {
            each_object(subset, list, |of| {
                let ip = required(of, "ip", "an address, like \"10.0.0.1\"", address)?;
                add_backend(gathered, name, ip, target(of, name)?, &ports)
            })?;
        }
        Ok(())
    })
}

fn endpoint_slice(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let service = within(item, "metadata", |metadata| {
        let label = labels(metadata, "labels")?.get("kubernetes.io/service-name").cloned();
        Ok(label.or(owner(metadata)?.filter(|owner| &*owner.kind == "Service").map(|owner| owner.name)))
    })?;
    let Some(service) = service else { return Ok(()) };
    let service = Name { namespace: name.namespace.clone(), name: service };
    let ports = ports(item)?;
    each_object(item, "endpoints", |of| {
        let pod = target(of, &service)?;
        each(of, "addresses", |value| {
            if let Some(ip) = address_if_any(value)? {
                add_backend(gathered, &service, ip, pod.clone(), &ports)?;
            }
            Ok(())
        })
    })
}

/// Several slices, and the older kind of object beside them, tell of the same backends.
fn add_backend(
    gathered: &mut Gathered,
    service: &Name,
    ip: IpAddr,
    pod: Option<Name>,
    ports: &BTreeSet<(Transport, u16)>,
) -> Result<(), Wrong> {
    gathered.pair(1, ports.len())?;
    let backend = gathered.objects.backends.entry(service.clone()).or_default().entry(ip).or_default();
    backend.pod = pod.or_else(|| backend.pod.take());
    backend.ports.extend(ports);
    Ok(())
}

fn ports(of: &Value) -> Result<BTreeSet<(Transport, u16)>, Wrong> {
    let mut ports = BTreeSet::new();
    each_object(of, "ports", |of| {
        if let (Some(port), Some(transport)) = (optional(of, "port", port)?, transport(of)?) {
            ports.insert((transport, port));
        }
        Ok(())
    })?;
    Ok(ports)
}

/// The pod behind an address of a service.
fn target(of: &Value, service: &Name) -> Result<Option<Name>, Wrong> {
    within(of, "targetRef", |target| {
        let kind = optional(target, "kind", text)?;
        let namespace = optional(target, "namespace", text)?.unwrap_or_else(|| service.namespace.clone());
        let name = optional(target, "name", text)?;
        Ok(name.filter(|_| kind.as_deref() == Some("Pod")).map(|name| Name { namespace, name }))
    })
}

fn node(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let mut ips = BTreeSet::new();
    within(item, "status", |status| {
        gather(&mut ips, status, "addresses", |of| Ok(optional(of, "address", address_if_any)?.flatten()))
    })?;
    gathered.objects.nodes.insert(name.name.clone(), ips);
    Ok(())
}

fn replica_set(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let owner = within(item, "metadata", owner)?;
    gathered.objects.replica_sets.insert(name.clone(), owner);
    Ok(())
}

fn deployment(item: &Value, name: &Name, gathered: &mut Gathered) -> Result<(), Wrong> {
    let selector = within(item, "spec", |spec| {
        within(spec, "selector", |selector| {
            // Labels alone do not tell what a selector with expressions selects.
            let is_plain = selector.get("matchExpressions").is_none_or(|all| all.as_array().is_some_and(Vec::is_empty));
            Ok(if is_plain { labels(selector, "matchLabels")? } else { Labels::new() })
        })
    })?;
    gathered.objects.deployments.insert(name.clone(), selector);
    Ok(())
}

/// The object that made this one: the one that controls it, else the first.
fn owner(metadata: &Value) -> Result<Option<Owner>, Wrong> {
    let mut first: Option<(bool, Owner)> = None;
    each_object(metadata, "ownerReferences", |of| {
        let controls = or_default(of, "controller", truth)?;
        let kind = required(of, "kind", "a string", text)?;
        let name = required(of, "name", "a string", text)?;
        if first.as_ref().is_none_or(|(controlled, _)| controls && !controlled) {
            first = Some((controls, Owner { kind, name }));
        }
        Ok(())
    })?;
    Ok(first.map(|(_, owner)| owner))
}

fn labels(of: &Value, key: &str) -> Result<Labels, Wrong> {
    or_default(of, key, |value| {
        let map = value.as_object().ok_or_else(|| Wrong::new("an object", value))?;
        map.iter()
            .map(|(label, value)| Ok((Arc::from(label.as_str()), text(value).map_err(|wrong| wrong.under(label))?)))
            .collect()
    })
}

/// The addresses of a status: one, and a list of all.
fn addresses(status: &Value, one: &str, all: &str) -> Result<BTreeSet<IpAddr>, Wrong> {
    let mut ips: BTreeSet<IpAddr> = optional(status, one, address)?.into_iter().collect();
    gather(&mut ips, status, all, |of| required(of, "ip", "an address, like \"10.0.0.1\"", address).map(Some))?;
    Ok(ips)
}
