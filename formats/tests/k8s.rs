//! Clusters as `kubectl` prints them: small ones written here, and real ones with the truth beside them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use netflow_core::event::Transport;
use netflow_core::flow::Workload;
use netflow_core::k8s::{Cluster, Name, Objects};
use netflow_formats::k8s::{ReadError, read, write};
use proptest::prelude::*;

use Transport::{Tcp, Udp};

/// As printed by `kubectl get … -A -o json`: keys that nobody needs, nulls, kinds that say nothing of addresses.
const SMALL: &str = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-5b9-x","namespace":"shop","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web","pod-template-hash":"5b9"},
 "ownerReferences":[{"kind":"Helm","name":"release"},{"apiVersion":"apps/v1","controller":true,"kind":"ReplicaSet","name":"web-5b9","uid":"1"}]},
 "spec":{"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":8080,"name":"http"},{"containerPort":9000,"protocol":"SCTP"}]},{"name":"side","ports":null}],"hostNetwork":null,"nodeName":"n1"},
 "status":{"phase":"Running","hostIP":"192.0.2.1","podIP":"10.42.0.5","podIPs":[{"ip":"10.42.0.5"},{"ip":"fd00::5"}]}},
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"waiting","namespace":"shop"},"spec":{"containers":[]},"status":{"phase":"Pending"}},
{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.43.0.20","clusterIPs":["10.43.0.20","fd01::20"],"ports":[{"port":80,"targetPort":"http","nodePort":31564,"protocol":"TCP"}]},"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"},{"hostname":"lb.example"}]}}},
{"apiVersion":"v1","kind":"Service","metadata":{"name":"headless","namespace":"shop"},"spec":{"clusterIP":"None","clusterIPs":["None"]}},
{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","namespace":"shop"},"subsets":[{"notReadyAddresses":[{"ip":"10.42.0.5","targetRef":{"kind":"Pod","name":"web-5b9-x","namespace":"shop"}}],"ports":[{"port":8080}]}]},
{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv6","metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"endpoints":[{"addresses":["fd00::5"],"targetRef":{"kind":"Pod","name":"web-5b9-x","namespace":"shop"}}],"ports":[{"name":"","port":8080,"protocol":"TCP"}]},
{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"FQDN","metadata":{"name":"out-1","namespace":"shop","ownerReferences":[{"kind":"Service","name":"out"}]},"endpoints":[{"addresses":["db.example"]}],"ports":null},
{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"},{"type":"Hostname","address":"n1"}]}},
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},"spec":{"selector":{"matchLabels":{"app":"web"}}}},
{"apiVersion":"v1","kind":"ConfigMap","metadata":7}
]}"#;

fn cluster(text: &str) -> Cluster {
    Cluster::new(&read(text).unwrap())
}

/// `namespace/pod service deployment`.
fn tags(end: Option<&Workload>) -> String {
    end.map_or("none".to_owned(), |end| {
        format!("{}/{} {} {}", end.namespace, end.pod_name, end.service_name, end.deployment_name)
    })
}

fn find(cluster: &Cluster, ip: &str, port: impl Into<Option<u16>>) -> String {
    tags(cluster.find(Tcp, ip.parse().unwrap(), port.into()))
}

#[test]
fn what_kubectl_prints() {
    let cluster = cluster(SMALL);
    for (ip, port, expected) in [
        ("10.42.0.5", 8080, "shop/web-5b9-x web web"),
        ("fd00::5", 8080, "shop/web-5b9-x web web"),
        ("10.43.0.20", 80, "shop/N/A web web"),
        ("fd01::20", 80, "shop/N/A web web"),
        ("203.0.113.7", 80, "shop/N/A web web"),
        ("192.0.2.1", 31564, "shop/N/A web web"),
        ("192.0.2.1", 22, "none"),
    ] {
        assert_eq!(find(&cluster, ip, port), expected, "{ip} {port}");
    }
}

#[test]
fn what_a_capture_keeps() {
    let kept = write(&read(SMALL).unwrap().reduced());
    insta::assert_snapshot!(kept.replace("{\"kind\"", "\n{\"kind\""), @r#"
    {"apiVersion":"v1","kind":"List","items":[
    {"kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}},
    {"kind":"Service","metadata":{"namespace":"shop","name":"web"},"spec":{"clusterIPs":["10.43.0.20","fd01::20"],"externalIPs":["203.0.113.7"],"ports":[{"port":80,"protocol":"TCP","nodePort":31564}]}},
    {"kind":"Endpoints","metadata":{"namespace":"shop","name":"web"},"subsets":[{"addresses":[{"ip":"10.42.0.5","targetRef":
    {"kind":"Pod","name":"web-5b9-x"}},{"ip":"fd00::5","targetRef":
    {"kind":"Pod","name":"web-5b9-x"}}],"ports":[{"port":8080,"protocol":"TCP"}]}]},
    {"kind":"Pod","metadata":{"namespace":"shop","name":"web-5b9-x","creationTimestamp":"2026-01-02T03:04:05Z","ownerReferences":[
    {"kind":"Deployment","name":"web","controller":true}]},"spec":{"containers":[{"ports":[{"containerPort":8080,"protocol":"TCP"}]}]},"status":{"phase":"Running","podIPs":[{"ip":"10.42.0.5"},{"ip":"fd00::5"}],"hostIPs":[{"ip":"192.0.2.1"}]}}]}
    "#);
    assert_eq!(write(&read(&kept).unwrap()), kept);
}

#[test]
fn shapes_of_the_whole() {
    let item = r#"{"kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"address":"192.0.2.1"}]}}"#;
    let other = item.replace("n1", "n2");
    let bare = item.replace(r#""kind":"Node","#, "");
    let two: &[&str] = &["n1", "n2"];
    for (text, nodes) in [
        (item.to_owned(), &["n1"][..]),
        (format!(r#"{{"kind":"List","items":[{item},{other}]}}"#), two),
        (format!(r#"{{"kind":"List","items":[{item}]}}{{"kind":"List","items":[{other}]}}"#), two),
        (format!("{item}\n\n{other}\n"), two),
        (format!("[{item},{{\"kind\":\"List\",\"items\":[{other}]}}]"), two),
        (format!(r#"{{"kind":"NodeList","items":[{bare}]}}"#), &["n1"]),
        (r#"{"kind":"List","items":[]}"#.to_owned(), &[]),
        (r#"{"kind":"AllowList","spec":{"items":3}}"#.to_owned(), &[]),
    ] {
        let objects = read(&text).unwrap();
        assert_eq!(objects.nodes.keys().map(|name| &**name).collect::<Vec<_>>(), nodes, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let list = |item: &str| format!(r#"{{"kind":"List","items":[{{"kind":"ConfigMap"}},{item}]}}"#);
    let pod = |rest: &str| list(&format!(r#"{{"kind":"Pod","metadata":{{"name":"a"}},{rest}}}"#));
    let service =
        |ports: &str| list(&format!(r#"{{"kind":"Service","metadata":{{"name":"a"}},"spec":{{"ports":{ports}}}}}"#));
    let deep = "[".repeat(100_000);
    let texts = [
        String::new(),
        "apiVersion: v1\nkind: List\n".to_owned(),
        "{\"kind\":\"List\",\n\"items\":[}".to_owned(),
        "17".to_owned(),
        "{}".to_owned(),
        r#"{"kind":"List"}"#.to_owned(),
        r#"{"kind":"List","items":{}}"#.to_owned(),
        r#"{"kind":7,"items":[]}"#.to_owned(),
        r#"{"pods":[]}"#.to_owned(),
        "[[[[[]]]]]".to_owned(),
        deep,
        format!("{}{}", r#"{"kind":"Pod","metadata":{"name":"a"},"spec":"#, "[".repeat(500) + &"]".repeat(500) + "}"),
        list("3"),
        list(r#"{"metadata":{}}"#),
        list(r#"{"kind":"Pod"}"#),
        list(r#"{"kind":"Pod","metadata":{"namespace":"x"}}"#),
        list(r#"{"kind":"Pod","metadata":[]}"#),
        list(r#"{"kind":"Pod","metadata":{"name":7}}"#),
        pod(r#""spec":"x""#),
        pod(r#""spec":{"hostNetwork":"yes"}"#),
        pod(r#""spec":{"containers":{}}"#),
        pod(r#""spec":{"containers":[{"ports":[{"containerPort":80},{"name":"http"}]}]}"#),
        pod(r#""status":{"podIPs":[{"ip":"10.42.0.256"}]}"#),
        service(r#"[{"port":80},{"port":65536}]"#),
        service(r#"[{"port":"http"}]"#),
        service(r#"[{"port":0}]"#),
        service(r#"[{"port":80,"nodePort":-1}]"#),
        service(r#"[80]"#),
        format!("{}\n{}", pod(r#""spec":{}"#), service(&format!("\"{}\"", "long ".repeat(40)))),
    ];
    let problems: String = texts
        .iter()
        .map(|text| {
            let cut: String = text.chars().take(120).collect();
            format!("{cut}\n    {}\n", read(text).unwrap_err())
        })
        .collect();
    insta::assert_snapshot!(problems, @r#"

        expected a List or an object with a kind, found nothing
    apiVersion: v1
    kind: List

        line 1, column 1: expected JSON as `kubectl get … -o json` prints it, found something else: expected value
    {"kind":"List",
    "items":[}
        line 2, column 10: expected JSON as `kubectl get … -o json` prints it, found something else: expected value
    17
        the whole: expected a List or an object with a kind, found 17
    {}
        kind: expected a string, found none
    {"kind":"List"}
        items: expected a list, found none
    {"kind":"List","items":{}}
        items: expected a list, found {}
    {"kind":7,"items":[]}
        kind: expected a string, found integer `7`
    {"pods":[]}
        kind: expected a string, found none
    [[[[[]]]]]
        [0][0][0][0]: expected at most 4 lists in each other, found more
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        line 1, column 100000: expected JSON as `kubectl get … -o json` prints it, found something else: EOF while parsing a list
    {"kind":"Pod","metadata":{"name":"a"},"spec":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        the whole: expected an object of a cluster, nested less than 128 deep, found recursion limit exceeded
    {"kind":"List","items":[{"kind":"ConfigMap"},3]}
        items[1]: expected a List or an object with a kind, found 3
    {"kind":"List","items":[{"kind":"ConfigMap"},{"metadata":{}}]}
        items[1].kind: expected a string, found none
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod"}]}
        items[1].metadata: expected an object, found none
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"namespace":"x"}}]}
        items[1].metadata.name: expected a string, found none
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":[]}]}
        items[1].metadata: expected an object, found []
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":7}}]}
        items[1].metadata.name: expected a string, found 7
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"spec":"x"}]}
        items[1].spec: expected an object, found "x"
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"spec":{"hostNetwork":"yes"}}]}
        items[1].spec.hostNetwork: expected true or false, found "yes"
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":{}}}]}
        items[1].spec.containers: expected a list, found {}
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"ports":[{"con
        items[1].spec.containers[0].ports[1].containerPort: expected a port from 1 to 65535, found none
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"status":{"podIPs":[{"ip":"10.42.0.25
        items[1].status.podIPs[0].ip: expected an address, like "10.0.0.1", found "10.42.0.256"
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80},{"po
        items[1].spec.ports[1].port: expected a port from 1 to 65535, found 65536
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":"http"}]
        items[1].spec.ports[0].port: expected a port from 1 to 65535, found "http"
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":0}]}}]}
        items[1].spec.ports[0].port: expected a port from 1 to 65535, found 0
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80,"node
        items[1].spec.ports[0].nodePort: expected a port from 1 to 65535, found -1
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[80]}}]}
        items[1].spec.ports[0]: expected an object, found 80
    {"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Pod","metadata":{"name":"a"},"spec":{}}]}
    {"kind":"List","items":[
        document 2, items[1].spec.ports: expected a list, found "long long long long long long long long long long long long…
    "#);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(cut in 0..SMALL.len(), with in "[\\[\\]{}\":,0-9a-zé]{0,4}", skip in 0..6_usize) {
        let mut text: Vec<char> = SMALL.chars().collect();
        let end = (cut + skip).min(text.len());
        text.splice(cut.min(text.len())..end, with.chars());
        let text: String = text.into_iter().collect();
        if let Ok(objects) = read(&text) {
            let kept = write(&objects.reduced());
            prop_assert_eq!(read(&kept).unwrap(), objects.reduced());
        }
    }
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    // Only the length counts: nothing of it is read.
    let text = String::from_utf8(vec![0; netflow_formats::k8s::MAX_BYTES + 1]).unwrap();
    assert!(matches!(read(&text), Err(ReadError::TooLong { .. })));
}

/// A row of the truth beside a real cluster.
struct Truth<'a>(BTreeMap<&'a str, &'a str>);

impl Truth<'_> {
    fn get(&self, column: &str) -> &str {
        self.0[column]
    }

    fn ip(&self) -> IpAddr {
        self.get("ip").parse().unwrap()
    }

    fn port(&self) -> Option<(u16, Transport)> {
        let (port, transport) = self.get("port").split_once('/')?;
        Some((port.parse().unwrap(), if transport == "UDP" { Udp } else { Tcp }))
    }
}

/// The workload that a row's pod belongs to.
fn workload(row: &Truth<'_>) -> String {
    match row.get("owner_or_type") {
        // A static pod's owner is its node, and a pod that nothing made has none.
        "Node" | "" => "N/A".to_owned(),
        _ => row.get("owner_name_or_detail").to_owned(),
    }
}

/// What differs from the truth in a row; nothing when it agrees.
fn differs(row: &Truth<'_>, rows: &[Truth<'_>], cluster: &Cluster, objects: &Objects) -> Option<String> {
    let ip = row.ip();
    let name = Name { namespace: row.get("namespace").into(), name: row.get("name").into() };
    let expect = |found: Option<&Workload>, expected: &str| {
        (tags(found) != expected).then(|| format!("expected {expected}, found {}", tags(found)))
    };
    match row.get("kind") {
        "pod" if row.get("host_network") == "True" => {
            // The address is the node's; the pod is known by the ports that it declares, if any.
            let alone = cluster.find(Tcp, ip, None).map(|found| format!("the address alone is {}", tags(Some(found))));
            let ports = &objects.pods[&name].ports;
            alone.or_else(|| {
                ports.iter().find_map(|port| {
                    let expected = format!("{}/{} N/A {}", name.namespace, name.name, workload(row));
                    expect(cluster.find(port.transport, ip, Some(port.port)), &expected)
                })
            })
        }
        "pod" => {
            let found = cluster.find(Tcp, ip, None);
            let service = found.map_or("N/A", |found| &found.service_name);
            expect(found, &format!("{}/{} {service} {}", name.namespace, name.name, workload(row)))
        }
        "service" => {
            let (port, transport) = row.port().unwrap();
            let found = cluster.find(transport, ip, Some(port));
            let deployment = found.map_or("N/A", |found| &found.deployment_name);
            expect(found, &format!("{}/N/A {} {deployment}", name.namespace, name.name))
        }
        "service-lb" => objects.services[&name].ports.iter().find_map(|port| {
            let found = cluster.find(port.transport, ip, Some(port.port));
            let deployment = found.map_or("N/A", |found| &found.deployment_name);
            expect(found, &format!("{}/N/A {} {deployment}", name.namespace, name.name))
        }),
        "endpoint" => {
            let (port, transport) = row.port().unwrap();
            let is_pod = |of: &&Truth<'_>| {
                let same = of.get("namespace") == row.get("namespace");
                of.get("kind") == "pod" && same && of.get("name") == row.get("owner_name_or_detail")
            };
            let (pod, workload) = match row.get("owner_or_type") {
                "Pod" => (row.get("owner_name_or_detail"), workload(rows.iter().find(is_pod).unwrap())),
                _ => ("N/A", "N/A".to_owned()),
            };
            expect(
                cluster.find(transport, ip, Some(port)),
                &format!("{}/{pod} {} {workload}", name.namespace, name.name),
            )
        }
        "node" => {
            let known = objects.nodes.get(&name.name).is_some_and(|ips| ips.contains(&ip));
            let found = cluster.find(Tcp, ip, None);
            (!known || found.is_some()).then(|| format!("known {known}, found {}", tags(found)))
        }
        kind => panic!("{kind}"),
    }
}

#[test]
fn real_clusters_agree_with_the_truth_in_every_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/k8s");
    for (name, rows) in [("baremetal-honeycomb", 13), ("k3s-troubleshoot", 33), ("minikube-onlineboutique", 12)] {
        let Ok(text) = fs::read_to_string(folder.join(name).join("all.json")) else {
            eprintln!("skipped: {name} is not at {}", folder.display());
            continue;
        };
        let truth = fs::read_to_string(folder.join(name).join("ip_truth.csv")).unwrap();
        let mut lines = truth.lines();
        let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
        let rows_of: Vec<Truth<'_>> =
            lines.map(|line| Truth(columns.iter().copied().zip(line.split(',')).collect())).collect();
        let whole = read(&text).unwrap();
        let kept = write(&whole.reduced());
        let pods = whole.reduced().pods.len();
        assert!(kept.len() < 500 * (pods + whole.services.len() + whole.nodes.len()), "{name}: {} bytes", kept.len());
        let kept = read(&kept).unwrap();
        assert_eq!(kept, whole.reduced());
        for objects in [&whole, &kept] {
            let cluster = Cluster::new(objects);
            let wrong: Vec<String> = rows_of
                .iter()
                .filter_map(|row| Some(format!("{:?}: {}", row.0, differs(row, &rows_of, &cluster, objects)?)))
                .collect();
            assert_eq!(wrong, Vec::<String>::new(), "{name}");
            assert_eq!(rows_of.len(), rows, "{name}");
        }
    }
}
