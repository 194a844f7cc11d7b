//! A Kubernetes cluster that is kept in the recording.

use std::fs;
use std::time::Duration;

use netflow_fixtures::traffic;

use crate::recording::{Recording, run};

/// A pod that has this host's loopback addresses, so that the traffic of the test is its own.
pub(crate) const CLUSTER: &str = r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"self","namespace":"test","labels":{"app":"self"}},
"status":{"phase":"Running","podIPs":[{"ip":"127.0.0.1"},{"ip":"::1"}]}},
{"kind":"Deployment","metadata":{"name":"maker","namespace":"test"},"spec":{"selector":{"matchLabels":{"app":"self"}}}}]}"#;

pub(crate) fn a_cluster_is_kept_in_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.json");
    fs::write(&file, CLUSTER).unwrap();
    let recording = Recording::start(folder.path(), &["-i", "200ms", "--k8s", file.to_str().unwrap()]);
    traffic::burst(20, || std::thread::sleep(Duration::from_millis(1))).unwrap();
    recording.interrupt(0);
    fs::remove_file(&file).unwrap();
    let dump = run(&["dump", "out.nfcap"], folder.path(), 0);
    assert!(dump.lines().nth(1).is_some_and(|line| line.starts_with("{\"type\":\"k8s\"")), "the state stands first");
    assert!(!dump.contains("\"app\""), "labels are not kept");
    let by = "sub_source,src_k8s_namespace,src_k8s_pod_name,dst_k8s_deployment_name";
    let csv = run(&["report", "out.nfcap", "--keep-loopback", "--csv=-", "--by", by], folder.path(), 0);
    assert!(csv.contains("Z,K8s,test,self,maker,"), "{csv}");
}
