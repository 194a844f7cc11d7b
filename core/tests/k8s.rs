//! The tags of connections in a small cluster, one table row a connection.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::column::Tag;
use netflow_core::event::{Body, Direction, Event, Header, Identity, Open, Transport};
use netflow_core::filter::BuiltIn;
use netflow_core::flow::{Flow, PortOptions, Surroundings, Workload};
use netflow_core::k8s::{Backend, Cluster, Labels, Name, Objects, Owner, Phase, Pod, PodPort, Service, ServicePort};
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::value::Value;

use Direction::{Incoming, Outgoing};
use Transport::{Tcp, Udp};

fn name(text: &str) -> Name {
    let (namespace, name) = text.split_once('/').unwrap();
    Name { namespace: namespace.into(), name: name.into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pod(ips: &[&str], workload: &str, ports: &[u16]) -> Pod {
    Pod {
        owner: Some(Owner { kind: "Deployment".into(), name: workload.into() }),
        phase: Phase::Running,
        created: Some("2026-01-02T00:00:00Z".into()),
        ips: ips.iter().map(|text| ip(text)).collect(),
        host_ips: [ip("192.0.2.1")].into(),
        ports: ports.iter().map(|port| PodPort { transport: Tcp, port: *port, host_port: None }).collect(),
        ..Pod::default()
    }
}

fn backend(pod: Option<&str>, ports: &[(Transport, u16)]) -> Backend {
    Backend { pod: pod.map(name), ports: ports.iter().copied().collect() }
}

/// Two nodes; `web` (two pods, a service with a node port), `client` (no service), `agent` on the host's network,
/// `finished` and `successor` at one address, `gone` alone at its own, `kubernetes` whose backend is no pod, and an edge
/// proxy that has a port of its node.
fn objects() -> Objects {
    let mut objects = Objects::default();
    objects.nodes.insert("n1".into(), [ip("192.0.2.1"), ip("2001:db8::1")].into());
    objects.nodes.insert("n2".into(), [ip("192.0.2.2")].into());
    objects.pods.insert(name("shop/web-1"), pod(&["10.42.0.5", "fd00::5"], "web", &[8080, 9100]));
    objects.pods.insert(name("shop/web-2"), pod(&["10.42.0.7"], "web", &[8080]));
    objects.pods.insert(name("shop/client"), pod(&["10.42.0.6"], "client", &[]));
    objects.pods.insert(name("sys/agent"), Pod { host_network: true, ..pod(&["192.0.2.1"], "agent", &[7472]) });
    let old_agent = Pod { host_network: true, phase: Phase::Ended, ..pod(&["192.0.2.1"], "old-agent", &[7472, 7473]) };
    objects.pods.insert(name("sys/a-old-agent"), old_agent);
    objects.pods.insert(name("jobs/a-finished"), Pod { phase: Phase::Ended, ..pod(&["10.42.0.8"], "finished", &[80]) });
    objects.pods.insert(name("jobs/successor"), pod(&["10.42.0.8"], "successor", &[]));
    objects.pods.insert(name("jobs/gone"), Pod { phase: Phase::Ended, ..pod(&["10.42.0.9"], "gone", &[]) });
    let early = Some("2026-01-01T00:00:00Z".into());
    objects
        .pods
        .insert(name("jobs/early"), Pod { phase: Phase::Ended, created: early, ..pod(&["10.42.0.9"], "early", &[]) });
    let port = PodPort { transport: Tcp, port: 8000, host_port: Some(80) };
    objects.pods.insert(name("edge/proxy"), Pod { ports: [port].into(), ..pod(&["10.42.0.10"], "proxy", &[]) });
    objects.services.insert(
        name("shop/web"),
        Service {
            cluster_ips: [ip("10.43.0.20"), ip("fd01::20")].into(),
            external_ips: [ip("203.0.113.7")].into(),
            ports: [ServicePort { transport: Tcp, port: 80, node_port: Some(31564) }].into(),
        },
    );
    let address = |text| Service { cluster_ips: [ip(text)].into(), ..Service::default() };
    objects.services.insert(name("default/kubernetes"), address("10.43.0.1"));
    objects.services.insert(name("shop/empty"), address("10.43.0.30"));
    let ports = [(Tcp, 8080)];
    objects.backends.insert(
        name("shop/web"),
        [
            (ip("10.42.0.5"), backend(Some("shop/web-1"), &ports)),
            (ip("10.42.0.7"), backend(Some("shop/web-2"), &ports)),
        ]
        .into(),
    );
    objects
        .backends
        .insert(name("shop/web-metrics"), [(ip("10.42.0.5"), backend(Some("shop/web-1"), &[(Tcp, 9100)]))].into());
    objects.backends.insert(name("default/kubernetes"), [(ip("192.0.2.1"), backend(None, &[(Tcp, 6443)]))].into());
    objects.backends.insert(name("sys/dns"), [(ip("192.0.2.2"), backend(Some("sys/resolver"), &[(Udp, 53)]))].into());
    objects
}

/// `namespace/pod service deployment`, unknown as `-`.
fn text(end: Option<&Workload>) -> String {
    let Some(end) = end else { return "none".to_owned() };
    let word = |text: &Arc<str>| if &**text == "N/A" { "-".to_owned() } else { text.to_string() };
    format!(
        "{}/{} {} {}",
        word(&end.namespace),
        word(&end.pod_name),
        word(&end.service_name),
        word(&end.deployment_name)
    )
}

fn identity(transport: Transport, direction: Option<Direction>, local: &str, remote: &str) -> Arc<Identity> {
    Arc::new(Identity { direction, ..Identity::new(transport, local.parse().unwrap(), remote.parse().unwrap()) })
}

/// Direction, source and tags of both ends.
fn tags(
    way: Option<Direction>,
    local: &str,
    remote: &str,
    nat: Option<&str>,
) -> (Option<&'static str>, String, String) {
    let identity = identity(Tcp, way, local, remote);
    let mut flow: Flow = Surroundings::default().resolve(0, None, &identity, PortOptions::default(), 32768);
    flow.dst_nat = nat.map(|end| end.parse::<Endpoint>().unwrap());
    Cluster::new(&objects()).tag(&mut flow);
    (flow.sub_source, text(flow.src_k8s.as_ref()), text(flow.dst_k8s.as_ref()))
}

#[test]
fn ends_of_connections() {
    let client = "shop/client - client";
    let na = "-/- - -";
    let table = [
        ("pod to cluster address", "10.42.0.6:40000", "10.43.0.20:80", client, "shop/- web web"),
        ("pod to IPv6 cluster address", "10.42.0.6:40000", "[fd01::20]:80", client, "shop/- web web"),
        ("pod to pod", "10.42.0.6:40000", "10.42.0.5:8080", client, "shop/web-1 web web"),
        ("pod to pod over IPv6", "10.42.0.6:40000", "[fd00::5]:8080", client, "shop/web-1 web web"),
        ("another service of the same pod", "10.42.0.6:40000", "10.42.0.5:9100", client, "shop/web-1 web-metrics web"),
        ("a port without a service", "10.42.0.6:40000", "10.42.0.5:1234", client, "shop/web-1 web web"),
        ("a client's port is no server's", "10.42.0.5:9100", "10.42.0.6:1234", "shop/web-1 web web", client),
        ("pod to elsewhere", "10.42.0.6:40000", "198.51.100.1:443", client, na),
        ("elsewhere to pod", "198.51.100.1:40000", "10.42.0.7:8080", na, "shop/web-2 web web"),
        ("nobody of the cluster", "198.51.100.1:40000", "198.51.100.2:443", "none", "none"),
        ("service without backends", "10.42.0.6:40000", "10.43.0.30:80", client, "shop/- empty -"),
        ("backend that is no pod", "10.42.0.6:40000", "192.0.2.1:6443", client, "default/- kubernetes -"),
        (
            "a node that reaches a service from the service's address",
            "10.43.0.20:40000",
            "10.43.0.20:80",
            na,
            "shop/- web web",
        ),
        ("external address", "10.42.0.6:40000", "203.0.113.7:80", client, "shop/- web web"),
        ("external address, another port", "10.42.0.6:40000", "203.0.113.7:81", client, na),
        ("pod on the host's network, its port", "10.42.0.6:40000", "192.0.2.1:7472", client, "sys/agent - agent"),
        ("pod on the host's network that ended", "10.42.0.6:40000", "192.0.2.1:7473", client, na),
        ("node, any other port", "10.42.0.6:40000", "192.0.2.1:22", client, na),
        ("node as client", "192.0.2.1:7472", "10.42.0.6:1", na, client),
        ("host port", "10.42.0.6:40000", "192.0.2.1:80", client, "edge/proxy - proxy"),
        ("pod that ended, address taken", "10.42.0.6:40000", "10.42.0.8:80", client, "jobs/successor - successor"),
        ("pods that ended, address free", "10.42.0.6:40000", "10.42.0.9:80", client, "jobs/gone - gone"),
    ];
    for (what, local, remote, src, dst) in table {
        let expected = ((src != "none").then_some("K8s"), src.to_owned(), dst.to_owned());
        assert_eq!(tags(Some(Outgoing), local, remote, None), expected, "{what}");
    }
}

#[test]
fn q24_pod_of_the_translated_destination_is_kept() {
    let client = "shop/client - client";
    let na = "-/- - -";
    let table = [
        ("service", "10.42.0.6:40000", "10.43.0.20:80", "10.42.0.5:8080", client, "shop/web-1 web web"),
        ("elsewhere", "10.42.0.6:40000", "198.51.100.1:80", "10.42.0.5:8080", client, "shop/web-1 web web"),
        ("from outside", "198.51.100.9:40000", "198.51.100.1:80", "10.42.0.7:8080", na, "shop/web-2 web web"),
        ("to outside", "10.42.0.6:40000", "10.43.0.20:80", "198.51.100.1:80", client, "shop/- web web"),
        ("node port", "10.42.0.6:40000", "192.0.2.2:31564", "10.42.0.7:8080", client, "shop/web-2 web web"),
    ];
    for (what, local, remote, nat, src, dst) in table {
        let expected = (Some("K8s"), src.to_owned(), dst.to_owned());
        assert_eq!(tags(Some(Outgoing), local, remote, Some(nat)), expected, "{what}");
    }
}

#[test]
fn q24_node_port_counts_on_a_nodes_own_address_only() {
    let na = "-/- - -";
    let client = "shop/client - client";
    for (remote, dst) in [
        ("192.0.2.1:31564", "shop/- web web"),
        ("192.0.2.2:31564", "shop/- web web"),
        ("[2001:db8::1]:31564", "shop/- web web"),
        ("198.51.100.1:31564", na),
        ("10.42.0.7:31564", "shop/web-2 web web"),
    ] {
        let expected = (Some("K8s"), client.to_owned(), dst.to_owned());
        assert_eq!(tags(Some(Outgoing), "10.42.0.6:40000", remote, None), expected, "{remote}");
    }
    let cluster = Cluster::new(&objects());
    assert!(cluster.service(Udp, "192.0.2.1:31564".parse().unwrap()).is_none(), "the layer above IP counts");
    assert!(cluster.is_server(Tcp, "192.0.2.1:31564".parse().unwrap()));
    assert!(!cluster.is_server(Tcp, "198.51.100.1:31564".parse().unwrap()));
    assert!(!cluster.is_server(Tcp, "10.42.0.6:31564".parse().unwrap()));
}

#[test]
fn q24_all_four_tags_are_there_when_one_end_matched() {
    let identity = identity(Tcp, Some(Outgoing), "198.51.100.1:40000", "10.43.0.20:80");
    let mut flow = Surroundings::default().resolve(0, None, &identity, PortOptions::default(), 32768);
    Cluster::new(&objects()).tag(&mut flow);
    for (field, expected) in [
        ("sub_source", Value::Word("K8s")),
        ("src_k8s_namespace", Value::Text("N/A".into())),
        ("src_k8s_pod_name", Value::Text("N/A".into())),
        ("src_k8s_service_name", Value::Text("N/A".into())),
        ("src_k8s_deployment_name", Value::Text("N/A".into())),
        ("dst_k8s_namespace", Value::Text("shop".into())),
        ("dst_k8s_pod_name", Value::Text("N/A".into())),
        ("dst_k8s_service_name", Value::Text("web".into())),
        ("dst_k8s_deployment_name", Value::Text("web".into())),
    ] {
        let netflow_core::field::Source::Tag(get) = netflow_core::field::Field::by_name(field).unwrap().source else {
            panic!("{field}")
        };
        assert_eq!(get(&flow), expected, "{field}");
    }
}

#[test]
fn who_serves() {
    let cluster = Cluster::new(&objects());
    for (transport, end, expected) in [
        (Tcp, "10.42.0.5:8080", true),
        (Udp, "10.42.0.5:8080", false),
        (Tcp, "10.42.0.5:8081", false),
        (Tcp, "10.42.0.6:8080", false),
        (Tcp, "192.0.2.1:7472", true),
        (Tcp, "192.0.2.1:7473", false),
        (Tcp, "192.0.2.1:6443", true),
        (Udp, "192.0.2.2:53", true),
        (Tcp, "10.42.0.8:80", false),
        (Tcp, "10.43.0.20:80", true),
        (Tcp, "10.43.0.20:40000", false),
        (Tcp, "203.0.113.7:80", true),
        (Tcp, "203.0.113.7:81", false),
    ] {
        assert_eq!(cluster.is_server(transport, end.parse().unwrap()), expected, "{transport:?} {end}");
    }
    let resolver = cluster.pod(Udp, ip("192.0.2.2"), Some(53));
    assert_eq!(text(resolver), "sys/resolver dns -", "a pod that only its service knows");
}

/// The direction that the pipeline reports.
fn direction(way: Option<Direction>, local: &str, remote: &str, objects: Option<&Objects>) -> Value {
    let options = ReportOptions {
        by: vec![Tag::parse("direction").unwrap()],
        filter: BuiltIn { keep_idle: true, ..BuiltIn::default() },
        ..ReportOptions::default()
    };
    let mut pipeline = Pipeline::new(options);
    pipeline.begin(&Header { ephemeral_port_min: 32768, ..Header::default() });
    if let Some(objects) = objects {
        pipeline.set_cluster(Arc::new(Cluster::new(objects)));
    }
    pipeline.push(&Event { at: 1, body: Body::Open(Open { conn: 1, identity: identity(Tcp, way, local, remote) }) });
    pipeline.finish().rows.remove(0).key[0].clone()
}

#[test]
fn a_server_of_the_cluster_is_the_server_where_the_kernel_does_not_tell() {
    let objects = objects();
    let (pod, peer) = ("10.42.0.5:8080", "10.42.0.6:9090");
    assert_eq!(direction(None, pod, peer, None), Value::Null);
    assert_eq!(direction(None, pod, peer, Some(&objects)), Value::Word("incoming"));
    assert_eq!(direction(Some(Outgoing), pod, peer, Some(&objects)), Value::Word("outgoing"));
    assert_eq!(direction(None, "198.51.100.1:31564", peer, Some(&objects)), Value::Null, "no node's address");
    assert_eq!(direction(Some(Incoming), peer, pod, Some(&objects)), Value::Word("incoming"));
}

#[test]
fn what_is_kept_tells_the_same() {
    let mut objects = objects();
    let set = Owner { kind: "ReplicaSet".into(), name: "web-5b9".into() };
    objects.replica_sets.insert(name("shop/web-5b9"), Some(Owner { kind: "Deployment".into(), name: "web".into() }));
    objects.deployments.insert(name("shop/client"), Labels::from([("app".into(), "client".into())]));
    objects.pods.get_mut(&name("shop/web-1")).unwrap().owner = Some(set);
    let orphan = objects.pods.get_mut(&name("shop/client")).unwrap();
    orphan.owner = None;
    orphan.labels = Labels::from([("app".into(), "client".into()), ("zone".into(), "1".into())]);
    objects.pods.insert(name("shop/waiting"), pod(&[], "web", &[]));
    objects.services.insert(name("shop/headless"), Service::default());
    let reduced = objects.reduced();
    assert_eq!(reduced.reduced(), reduced);
    assert!(reduced.deployments.is_empty() && reduced.replica_sets.is_empty());
    assert!(reduced.pods.values().all(|pod| pod.labels.is_empty() && !pod.ips.is_empty()));
    assert!(!reduced.services.contains_key(&name("shop/headless")));
    let (whole, kept) = (Cluster::new(&objects), Cluster::new(&reduced));
    for end in ["10.42.0.5", "10.42.0.6", "10.42.0.8", "10.43.0.20", "192.0.2.1", "192.0.2.2"].map(ip) {
        for port in [None, Some(53), Some(80), Some(6443), Some(7472), Some(8080), Some(9100), Some(31564)] {
            for transport in [Tcp, Udp] {
                assert_eq!(whole.find(transport, end, port), kept.find(transport, end, port), "{end} {port:?}");
            }
        }
    }
    assert_eq!(text(kept.find(Tcp, ip("10.42.0.6"), None)), "shop/client - client");
}
