//! Containers: from a process in a cgroup such as Docker makes to the column of the report.

use std::net::TcpListener;

use netflow_fixtures::traffic::{Cgroup, GUEST_BYTES, Guest};
use serde_json::Value;

use crate::recording::{Recording, run};

pub(crate) fn a_container_is_a_column_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let id = "0123456789abcdef".repeat(4);
    let cgroup = Cgroup::create(&format!("/netflow-report-{}/docker-{id}.scope", std::process::id())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let recording = Recording::start(folder.path(), &[]);
    let guest = Guest::start(listener.local_addr().unwrap(), Some(&cgroup), None).unwrap();
    let (pid, local) = (guest.pid(), guest.local());
    let (server, _) = listener.accept().unwrap();
    guest.end().unwrap();
    drop(server);
    std::thread::sleep(std::time::Duration::from_millis(200));
    recording.end();

    let by = "container_id,pid,src_port,dst_port";
    let json = run(&["report", "out.nfcap", "--json=-", "--keep-loopback", "--no-fold", "--by", by], folder.path(), 0);
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |port: &str| rows.iter().filter(|row| row[port] == local.port()).collect::<Vec<_>>();
    let [client] = of("src_port")[..] else { panic!("{json}") };
    assert_eq!((&client["pid"], &client["container_id"]), (&pid.into(), &id.clone().into()), "{client}");
    assert_eq!(client["bytes_written"], GUEST_BYTES, "{client}");
    let [server] = of("dst_port")[..] else { panic!("{json}") };
    assert_eq!(server["pid"], std::process::id());
    assert_ne!(server["container_id"], id, "the other end is not in it: {server}");

    // Without, nobody's container is known.
    std::fs::remove_file(folder.path().join("out.nfcap")).unwrap();
    let recording = Recording::start(folder.path(), &["--no-process-details", "--no-listen", "--no-clock"]);
    Guest::start(listener.local_addr().unwrap(), Some(&cgroup), None).unwrap().end().unwrap();
    recording.end();
    let dump = run(&["dump", "out.nfcap"], folder.path(), 0);
    assert!(dump.contains(r#""type":"open""#) && !dump.contains(r#""type":"process""#), "{dump}");
    assert!(!dump.contains(r#""type":"listen""#) && !dump.contains(r#""type":"clock""#), "{dump}");
}
