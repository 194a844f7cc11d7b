//! From objects to the text that a capture keeps.
//!
//! In: [`Objects`] that are reduced. Out: one `List` on one line, the same for the same objects. Never here: what of a
//! cluster is worth keeping.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netflow_core::event::Transport;
use netflow_core::k8s::{Backend, Name, Objects, Phase, Pod, Service};
use serde_json::{Map, Value, json};

/// Writes nodes, services, what stands behind them, and pods. Labels, replica sets and deployments are not written: see
/// [`Objects::reduced`].
#[must_use]
pub fn write(objects: &Objects) -> String {
    let nodes = objects.nodes.iter().map(|(name, ips)| {
        let addresses: Vec<Value> = ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        json!({"kind": "Node", "metadata": {"name": &**name}, "status": {"addresses": addresses}})
    });
    let services = objects.services.iter().map(|(name, service)| one_service(name, service));
    let backends = objects.backends.iter().map(|(name, backends)| endpoints(name, backends));
    let pods = objects.pods.iter().map(|(name, pod)| one_pod(name, pod));
    let mut text = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for (place, item) in nodes.chain(services).chain(backends).chain(pods).enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    text.push_str("]}");
    text
}

/// An object with those of the values that say something.
fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    Value::Object(
        pairs
            .into_iter()
            .filter(|(_, value)| says(value))
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    }
}

fn list<T>(of: impl IntoIterator<Item = T>, write: impl FnMut(T) -> Value) -> Value {
    Value::Array(of.into_iter().map(write).collect())
}

fn addresses(ips: &BTreeSet<IpAddr>) -> Value {
    list(ips, |ip| json!({"ip": ip}))
}

fn one_service(name: &Name, service: &Service) -> Value {
    let ports = list(&service.ports, |port| {
        object([
            ("port", port.port.into()),
            ("protocol", protocol(port.transport).into()),
            ("nodePort", port.node_port.into()),
        ])
    });
    let spec = object([
        ("clusterIPs", list(&service.cluster_ips, |ip| json!(ip))),
        ("externalIPs", list(&service.external_ips, |ip| json!(ip))),
        ("ports", ports),
    ]);
    json!({"kind": "Service", "metadata": metadata(name), "spec": spec})
}

/// Backends with the same ports are one subset.
fn endpoints(name: &Name, backends: &BTreeMap<IpAddr, Backend>) -> Value {
    let mut subsets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (ip, backend) in backends {
        let pod = backend.pod.as_ref().map(|pod| {
            let elsewhere = (pod.namespace != name.namespace).then(|| &*pod.namespace);
            object([("kind", "Pod".into()), ("namespace", elsewhere.into()), ("name", (&*pod.name).into())])
        });
        let address = object([("ip", json!(ip)), ("targetRef", pod.into())]);
        subsets.entry(&backend.ports).or_default().push(address);
    }
    let subsets = list(subsets, |(ports, addresses)| {
        let ports = list(ports, |(transport, port)| json!({"port": port, "protocol": protocol(*transport)}));
        object([("addresses", addresses.into()), ("ports", ports)])
    });
    json!({"kind": "Endpoints", "metadata": metadata(name), "subsets": subsets})
}

fn one_pod(name: &Name, pod: &Pod) -> Value {
    let owner = list(&pod.owner, |owner| json!({"kind": &*owner.kind, "name": &*owner.name, "controller": true}));
    let metadata = object([
        ("namespace", (&*name.namespace).into()),
        ("name", (&*name.name).into()),
        ("creationTimestamp", pod.created.as_deref().into()),
        ("ownerReferences", owner),
    ]);
    let ports = list(&pod.ports, |port| {
        object([
            ("containerPort", port.port.into()),
            ("hostPort", port.host_port.into()),
            ("protocol", protocol(port.transport).into()),
        ])
    });
    let container = object([("ports", ports)]);
    let containers = if pod.ports.is_empty() { Value::Null } else { json!([container]) };
    let phase = match pod.phase {
        Phase::Running => Some("Running"),
        Phase::Ended => Some("Succeeded"),
        Phase::Other => None,
    };
    let status =
        object([("phase", phase.into()), ("podIPs", addresses(&pod.ips)), ("hostIPs", addresses(&pod.host_ips))]);
    object([
        ("kind", "Pod".into()),
        ("metadata", metadata),
        ("spec", object([("hostNetwork", pod.host_network.into()), ("containers", containers)])),
        ("status", status),
    ])
}

fn metadata(name: &Name) -> Value {
    json!({"namespace": &*name.namespace, "name": &*name.name})
}
