//! Reports that name the ends of connections after a Kubernetes cluster, given beside the capture or held by it.

use std::fs;
use std::path::Path;

use crate::run::{netflow, netflow_with_input};

/// As `kubectl get pods,services,endpoints,nodes,deployments -A -o json` prints it, most keys left out.
const CLUSTER: &str = r#"{"apiVersion":"v1","kind":"List","items":[
{"kind":"Pod","metadata":{"name":"web-5b9-x","namespace":"shop","labels":{"pod-template-hash":"5b9"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-5b9","controller":true}]},"status":{"phase":"Running","podIP":"10.42.0.5","hostIP":"192.0.2.1"}},
{"kind":"Pod","metadata":{"name":"client","namespace":"shop"},"status":{"phase":"Running","podIP":"10.42.0.6","hostIP":"192.0.2.1"}},
{"kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.43.0.20","ports":[{"port":80,"nodePort":31564}]}},
{"kind":"Endpoints","metadata":{"name":"web","namespace":"shop"},"subsets":[{"addresses":[{"ip":"10.42.0.5","targetRef":{"kind":"Pod","name":"web-5b9-x"}}],"ports":[{"port":8080}]}]},
{"kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}
]}"#;

/// A client pod asks a service; the server's pod has a connection of which the kernel does not tell who began; a public
/// address has the number of a node port; two ends are not in the cluster.
const EVENTS: &str = r#"{"type":"header","boot_time_ns":1769860800000000000,"interval_ms":1000,"host":"n1","ephemeral_port_min":32768}
{"type":"open","at":2,"conn":1,"transport":"tcp","local":"10.42.0.6:40001","remote":"10.43.0.20:80","direction":"outgoing"}
{"type":"open","at":2,"conn":2,"transport":"tcp","local":"10.42.0.5:8080","remote":"10.42.0.6:9090"}
{"type":"open","at":2,"conn":3,"transport":"tcp","local":"10.42.0.6:40002","remote":"198.51.100.1:31564","direction":"outgoing"}
{"type":"open","at":2,"conn":4,"transport":"tcp","local":"192.0.2.1:40003","remote":"198.51.100.1:443","direction":"outgoing"}
"#;

const BY: &str = "direction,src_ip,dst_ip,sub_source,src_k8s_namespace,src_k8s_pod_name,src_k8s_service_name,\
                  src_k8s_deployment_name,dst_k8s_namespace,dst_k8s_pod_name,dst_k8s_service_name,dst_k8s_deployment_name";

const NAMED: [&str; 4] = [
    "incoming,10.42.0.5,10.42.0.6,K8s,shop,web-5b9-x,web,web,shop,client,N/A,N/A",
    "outgoing,10.42.0.6,10.43.0.20,K8s,shop,client,N/A,N/A,shop,N/A,web,web",
    "outgoing,10.42.0.6,198.51.100.1,K8s,shop,client,N/A,N/A,N/A,N/A,N/A,N/A",
    "outgoing,192.0.2.1,198.51.100.1,,,,,,,,,",
];

fn import(folder: &Path, name: &str, events: &str) {
    netflow_with_input(folder, &["import", "-", "-o", name], events.as_bytes()).ok();
}

/// The events, with a cluster's state behind the header.
fn with_state(state: &str) -> String {
    let (header, rest) = EVENTS.split_once('\n').unwrap();
    format!("{header}\n{{\"type\":\"k8s\",\"at\":1,\"state\":{}}}\n{rest}", state.replace('\n', ""))
}

/// The tags of each row.
fn tags(csv: &str) -> Vec<String> {
    let tags = |line: &str| line.split(',').skip(2).take(12).collect::<Vec<_>>().join(",");
    let mut lines: Vec<String> = csv.lines().skip(1).map(tags).collect();
    lines.sort();
    lines
}

fn report(folder: &Path, capture: &str, more: &[&str]) -> Vec<String> {
    let arguments = [&["report", capture, "--csv=-", "--by", BY, "--sort", "src_ip:asc"], more].concat();
    tags(&netflow(folder, &arguments).ok())
}

#[test]
fn a_cluster_beside_the_capture_names_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), "plain.nfcap", EVENTS);
    fs::write(folder.path().join("cluster.json"), CLUSTER).unwrap();
    assert_eq!(report(folder.path(), "plain.nfcap", &["--k8s", "cluster.json"]), NAMED);
    let arguments = ["report", "plain.nfcap", "--csv=-", "--by", BY, "--k8s", "-"];
    assert_eq!(tags(&netflow_with_input(folder.path(), &arguments, CLUSTER.as_bytes()).ok()), NAMED);
    let without = report(folder.path(), "plain.nfcap", &[]);
    assert!(without.iter().all(|row| row.ends_with(",,,,,,,,,")), "{without:?}");
    assert!(without.contains(&",10.42.0.5,10.42.0.6,,,,,,,,,".to_owned()), "nobody knows who began: {without:?}");
}

#[test]
fn a_cluster_in_the_capture_does_the_same_and_one_that_is_given_goes_before() {
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), "with.nfcap", &with_state(CLUSTER));
    assert_eq!(report(folder.path(), "with.nfcap", &[]), NAMED);
    fs::write(folder.path().join("other.json"), CLUSTER.replace("\"shop\"", "\"other\"")).unwrap();
    let other = report(folder.path(), "with.nfcap", &["--k8s", "other.json"]);
    assert_eq!(other, NAMED.map(|row| row.replace("shop", "other")));
    let both = netflow(folder.path(), &["dump", "with.nfcap"]).ok();
    import(folder.path(), "again.nfcap", &both);
    assert_eq!(netflow(folder.path(), &["dump", "again.nfcap"]).ok(), both);
}

#[test]
fn a_state_that_cannot_be_read_costs_names_and_not_connections() {
    let folder = tempfile::tempdir().unwrap();
    let state = CLUSTER.replace("\"10.42.0.5\",\"hostIP\"", "\"somewhere\",\"hostIP\"");
    import(folder.path(), "wrong.nfcap", &with_state(&state));
    let ran = netflow(folder.path(), &["report", "wrong.nfcap", "--csv=-", "--by", BY]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(3), 5), "{}", ran.stderr);
    let expected = "warning: wrong.nfcap: the cluster's state cannot be read: items[0].status.podIP: expected an address, \
                    like \"10.0.0.1\", found \"somewhere\"\n";
    assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
}

#[test]
fn a_file_that_is_no_cluster_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), "plain.nfcap", EVENTS);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("yaml", "apiVersion: v1\nitems:\n");
    write("ports", &CLUSTER.replace("\"port\":80,", "\"port\":\"http\","));
    write("secrets", r#"{"kind":"List","items":[{"kind":"Secret","metadata":{"name":"s"}}]}"#);
    write("empty", "");
    for (file, word) in [
        ("yaml", "line 1, column 1: expected JSON as `kubectl get … -o json` prints it"),
        ("ports", "cannot read ports: items[2].spec.ports[0].port: expected a port from 1 to 65535, found \"http\""),
        ("secrets", "found none"),
        ("empty", "found nothing"),
        ("missing", "cannot open missing"),
    ] {
        for arguments in [["report", "plain.nfcap", "--k8s", file], ["record", "out.nfcap", "--k8s", file]] {
            let ran = netflow(folder.path(), &arguments);
            assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
            assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1));
            assert!(!folder.path().join("out.nfcap").exists());
        }
    }
    let ran = netflow(folder.path(), &["report", "-", "--k8s", "-"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}
