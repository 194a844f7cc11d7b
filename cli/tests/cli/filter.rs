//! `--filter` and `--having`.

use std::path::Path;

use crate::events::capture;
use crate::run::netflow;

fn rows(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let csv =
        netflow(folder, &[&["report", "events.nfcap", "--csv=-", "--by", "process_name"], arguments].concat()).ok();
    let of_row = |row: &str| row.split(',').skip(2).take(3).collect::<Vec<_>>().join(" ");
    csv.lines().skip(1).map(of_row).collect()
}

#[test]
fn a_report_on_some_connections() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let table: [(&[&str], &[&str]); 9] = [
        (&["--filter", "transport == tcp"], &["curl 0 0", "psql 2500 110"]),
        (&["--filter", "port in {53, 81}"], &["curl 0 0", "dig 90 40"]),
        (&["--filter", "src_port == 40001"], &["psql 2500 110"]),
        (&["--filter", "dst_ip in 10.0.0.53/32"], &["dig 90 40"]),
        (&["--filter", "not process_name matches \"^[cd]\""], &["psql 2500 110"]),
        (&["--filter", "dst_domain == null", "--having", "bytes_read > 0.05kB"], &["dig 90 40", "psql 2500 110"]),
        (&["--having", "rtt > 100us and rtt < 0.2ms"], &[]),
        (&["--having", "rtt == 200us"], &["psql 2500 110"]),
        (&["--having", "process_name == dig or tcp_connect_failures > 0"], &["curl 0 0", "dig 90 40"]),
    ];
    for (arguments, expected) in table {
        assert_eq!(rows(folder.path(), arguments), expected, "{arguments:?}");
    }
    let table = netflow(folder.path(), &["report", "events.nfcap", "--filter", "pid in {7, 8}"]).ok();
    assert!(table.contains("\nLeft out: 1 that --filter does not ask for\n"), "{table}");
}

#[test]
fn a_replay_of_some_connections_and_points() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let points = |more: &[&str]| {
        let points = netflow(folder.path(), &[&["replay", "events.nfcap"], more].concat()).ok();
        let point = |line: &str| {
            let point: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", point["process_name"].as_str().unwrap(), point["bytes_read"])
        };
        points.lines().map(point).collect::<Vec<_>>()
    };
    assert_eq!(points(&["--filter", "transport == tcp"]), ["psql 2000", "curl 0", "psql 500"]);
    assert_eq!(points(&["--filter", "transport == tcp", "--having", "bytes_read > 1kB"]), ["psql 2000"]);
    // What one interval does not show is not shown by the next.
    assert_eq!(points(&["--having", "bytes_read in {1..600}"]), ["dig 90", "psql 500"]);
}
