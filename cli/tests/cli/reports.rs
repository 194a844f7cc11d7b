//! Reports of a capture that is known in full.

use std::fs;

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

#[test]
fn dump_gives_back_what_was_imported() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let first = netflow(folder.path(), &["dump", "events.nfcap"]).ok();
    assert_eq!(first.lines().count(), EVENTS.lines().count());
    assert!(first.contains("\"remote\":\"10.0.0.53:53\""), "mapped addresses are canonical: {first}");
    netflow_with_input(folder.path(), &["import", "-", "-o", "again.nfcap"], first.as_bytes()).ok();
    assert_eq!(netflow(folder.path(), &["dump", "again.nfcap"]).ok(), first);
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("events.nfcap"), bytes("again.nfcap"));
}

#[test]
fn csv_has_every_column_and_exact_sums() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let csv = netflow(folder.path(), &["report", "events.nfcap", "--csv=-"]).ok();
    let start_end = "2026-01-31T12:00:01.000000Z,2026-01-31T12:00:03.000000Z";
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines,
        [
            "window_start,window_end,host,src_ip,src_port,dst_ip,dst_port,src_ip_type,dst_ip_type,family,transport,direction,pid,\
             process_name,netns,container_id,dst_nat_ip,dst_nat_port,dst_domain,sub_source,src_k8s_namespace,src_k8s_pod_name,\
             src_k8s_service_name,src_k8s_deployment_name,dst_k8s_namespace,dst_k8s_pod_name,dst_k8s_service_name,\
             dst_k8s_deployment_name,bytes_read,bytes_written,packets_read,packets_written,retransmits,rtt,rtt_var,rtt_min,rtt_max,\
             tcp_established,tcp_closed,tcp_connect_failures,connections",
            &format!(
                "{start_end},db1,10.0.0.1,*,10.0.0.2,81,private,private,IPv4,tcp,outgoing,9,curl,4026531840,,,,,,,,,,,,,,0,0,0,0,0,,,,,0,0,1,1"
            ),
            &format!(
                "{start_end},db1,10.0.0.1,*,10.0.0.2,5432,private,private,IPv4,tcp,outgoing,7,psql,4026531840,,,,,,,,,,,,,,2500,110,9,8,1,200,,150,250,1,1,0,1"
            ),
            &format!(
                "{start_end},db1,10.0.0.1,*,10.0.0.53,53,private,private,IPv4,udp,outgoing,8,dig,4026531840,,,,,,,,,,,,,,90,40,1,1,,,,,,,,,1"
            ),
        ]
    );
}

#[test]
fn a_column_on_request() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let csv = netflow(folder.path(), &["report", "events.nfcap", "--csv=-", "--by", "shared", "--sort", "shared"]).ok();
    let rows: Vec<&str> = csv.lines().map(|line| line.split(',').nth(2).unwrap()).collect();
    assert_eq!(rows, ["shared", "false"]);
    let fields = netflow(folder.path(), &["fields"]).ok();
    assert!(fields.lines().any(|line| line.starts_with("shared ") && line.contains("several processes")), "{fields}");
    let refused = netflow(folder.path(), &["report", "events.nfcap", "--sort", "shared"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("ask for it with --by"), "{}", refused.stderr);
}

#[test]
fn windows_grouping_sorting_and_top() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let arguments = [
        "report",
        "events.nfcap",
        "--csv=-",
        "--by",
        "transport",
        "--every",
        "1s",
        "--sort",
        "bytes_read",
        "--top",
        "2",
        "--across-windows",
    ];
    let csv = netflow(folder.path(), &arguments).ok();
    let lines: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "2026-01-31T12:00:02.000000Z,2026-01-31T12:00:03.000000Z,tcp,2500,110,9,8,1,200,,150,250,0,1,1,2",
            "2026-01-31T12:00:02.000000Z,2026-01-31T12:00:03.000000Z,udp,90,40,1,1,,,,,,,,,1",
        ]
    );
}

#[test]
fn several_captures_are_one_report() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let other = EVENTS.replace("\"db1\"", "\"db2\"");
    netflow_with_input(folder.path(), &["import", "-", "-o", "other.nfcap"], other.as_bytes()).ok();
    let csv = netflow(folder.path(), &["report", "events.nfcap", "other.nfcap", "--csv=-", "--by", "host"]).ok();
    let sums: Vec<&str> = csv.lines().skip(1).map(|line| line.split_once("Z,db").unwrap().1).collect();
    assert_eq!(sums, ["1,2590,150,10,9,1,200,,150,250,1,1,1,3", "2,2590,150,10,9,1,200,,150,250,1,1,1,3"]);
    let joined =
        [fs::read(folder.path().join("events.nfcap")).unwrap(), fs::read(folder.path().join("other.nfcap")).unwrap()]
            .concat();
    fs::write(folder.path().join("joined.nfcap"), joined).unwrap();
    assert_eq!(netflow(folder.path(), &["report", "joined.nfcap", "--csv=-", "--by", "host"]).ok(), csv);
}

#[test]
fn the_table_is_for_people() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    assert_eq!(
        netflow(
            folder.path(),
            &["report", "events.nfcap", "--by", "process_name,dst_ip,dst_port", "--sort", "bytes_read"]
        )
        .ok(),
        " process  dst                read  written  retrans     rtt  opened  closed  failed  conns
 psql     10.0.0.2:5432  2.44 KiB    110 B        1  200 µs       1       1       0      1
 dig      10.0.0.53:53       90 B     40 B                                               1
 curl     10.0.0.2:81           0        0        0               0       0       1      1
 total                   2.53 KiB    150 B        1  200 µs       1       1       1      3

Open at the end: 1
"
    );
}

#[test]
fn info_tells_the_same_from_index_and_from_reading() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let indexed = netflow(folder.path(), &["info", "events.nfcap", "--json"]).ok();
    let bytes = fs::read(folder.path().join("events.nfcap")).unwrap();
    let scanned = netflow_with_input(folder.path(), &["info", "-", "--json"], &bytes).ok();
    assert!(indexed.contains("\"source\":\"index\""), "{indexed}");
    assert_eq!(scanned.replace("\"scan\"", "\"index\"").replace("\"stdin\"", "\"events.nfcap\""), indexed);
    let text = netflow(folder.path(), &["info", "events.nfcap"]).ok();
    assert!(text.contains("events         9 (open 2, sample 3, close 2, tick 2)\n"), "{text}");
    assert!(
        text.contains("2026-01-31T12:00:01.000Z to 2026-01-31T12:00:03.000Z (2.000 s), samples every 1000 ms"),
        "{text}"
    );
}

#[test]
fn fields_lists_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let fields = netflow(folder.path(), &["fields"]).ok();
    let (fields, note) = fields.split_once("\n\n").unwrap();
    assert_eq!(fields.lines().count(), 44);
    for line in [
        "bytes_read               measure u64   bytes        having sort                    Payload received by the local end.",
        "process_name             tag     text  -            filter having by distinct sort Name of that process.",
    ] {
        assert!(fields.contains(line), "{fields}");
    }
    assert!(note.contains("`ip` and `port`"), "{note}");
    assert!(note.contains("src_ip/24/64 (both), and so for dst_ip and dst_nat_ip."), "{note}");
}

#[test]
fn line_protocol_has_a_point_for_each_row() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let arguments = ["report", "events.nfcap", "--line=-", "--by", "transport,process_name", "--filter", "pid == 8"];
    assert_eq!(
        netflow(folder.path(), &arguments).ok(),
        "netflow,process_name=dig,transport=udp window_start=1769860801000000000i,bytes_read=90i,bytes_written=40i,\
         packets_read=1i,packets_written=1i,connections=1i 1769860803000000000\n"
    );
    let ran = netflow(folder.path(), &["report", "events.nfcap", "--line", "--arrow"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "events.arrow\nevents.lp\n"));
    assert_eq!(std::fs::read_to_string(folder.path().join("events.lp")).unwrap().lines().count(), 3);
}

#[test]
fn arrow_is_a_file_and_in_a_pipe_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    netflow(folder.path(), &["report", "events.nfcap", "--arrow=out.arrow"]).ok();
    let file = std::fs::read(folder.path().join("out.arrow")).unwrap();
    assert!(file.starts_with(b"ARROW1") && file.ends_with(b"ARROW1"));
    let arguments = ["report", "events.nfcap", "--arrow=-"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netflow"));
    let stream = command.args(arguments).current_dir(folder.path()).output().unwrap().stdout;
    assert!(stream.starts_with(&[0xff; 4]) && stream.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), "{stream:?}");
}
