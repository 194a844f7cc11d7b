//! Grouping as a user asks for it: networks, counts of different values, the first rows, several reports and captures at once.

use std::fs;
use std::path::Path;

use crate::events::{EVENTS, capture};
use crate::run::{Ran, netflow, netflow_with_input};

/// The capture of the day: two clients on two networks, IPv4 and IPv6, in three minutes.
const DAY: &str = r#"{"type":"header","boot_time_ns":1769860800000000000,"interval_ms":1000,"host":"web","ephemeral_port_min":32768}
{"type":"sample","at":1000000000,"conn":1,"transport":"tcp","local":"10.0.0.1:80","remote":"192.0.2.10:40001","direction":"incoming","process":"nginx","sent_bytes":1000,"recv_bytes":10,"retransmits":2}
{"type":"sample","at":1000000000,"conn":2,"transport":"tcp","local":"10.0.0.1:80","remote":"192.0.2.99:40002","direction":"incoming","process":"nginx","sent_bytes":2000,"recv_bytes":20}
{"type":"sample","at":61000000000,"conn":3,"transport":"tcp","local":"10.0.0.1:443","remote":"192.0.3.1:40003","direction":"incoming","process":"nginx","sent_bytes":4000,"recv_bytes":40}
{"type":"sample","at":61000000000,"conn":4,"transport":"tcp","local":"[2001:db8::1]:443","remote":"[2001:db8:7::9]:40004","direction":"incoming","process":"nginx","sent_bytes":8000,"recv_bytes":80}
{"type":"sample","at":121000000000,"conn":5,"transport":"udp","local":"10.0.0.1:40005","remote":"10.0.0.53:53","direction":"outgoing","process":"resolver-of-the-whole-house","sent_bytes":1,"recv_bytes":1}
{"type":"tick","at":121000000000}
"#;

fn day(folder: &Path) {
    netflow_with_input(folder, &["import", "-", "-o", "day.nfcap"], DAY.as_bytes()).ok();
}

fn report(folder: &Path, arguments: &[&str]) -> Ran {
    netflow(folder, &[&["report", "day.nfcap"], arguments].concat())
}

#[test]
fn networks_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path());
    let by =
        ["--by", "dst_ip/24/48,transport", "--distinct", "dst_ip,dst_port", "--sort", "distinct_dst_ip,bytes_written"];
    let table = report(folder.path(), &by).ok();
    insta::assert_snapshot!(table, @r#"
     dst_ip/24/48     proto   read    written  retrans  opened  conns  distinct_dst_ip  distinct_dst_port
     192.0.2.0/24     tcp     30 B   2.93 KiB        2       2      2                2                  2
     2001:db8:7::/48  tcp     80 B   7.81 KiB        0       1      1                1                  1
     192.0.3.0/24     tcp     40 B   3.91 KiB        0       1      1                1                  1
     10.0.0.0/24      udp      1 B        1 B                       1                1                  1
     total                   151 B  14.65 KiB        2       4      5

    Open at the end: 5
    "#);
    let csv = report(folder.path(), &[&by[..], &["--csv=-", "--top", "2"]].concat()).ok();
    insta::assert_snapshot!(csv, @r#"
    window_start,window_end,dst_ip/24/48,transport,bytes_read,bytes_written,packets_read,packets_written,retransmits,rtt,rtt_var,rtt_min,rtt_max,tcp_established,tcp_closed,tcp_connect_failures,connections,distinct_dst_ip,distinct_dst_port
    2026-01-31T12:00:01.000000Z,2026-01-31T12:02:01.000000Z,192.0.2.0/24,tcp,30,3000,0,0,2,,,,,2,0,0,2,2,2
    2026-01-31T12:00:01.000000Z,2026-01-31T12:02:01.000000Z,2001:db8:7::/48,tcp,80,8000,0,0,0,,,,,1,0,0,1,1,1
    "#);
    let json = report(folder.path(), &[&by[..], &["--json=-"]].concat()).ok();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["dst_ip/24/48"], &first["distinct_dst_ip"]), (&"192.0.2.0/24".into(), &2.into()), "{json}");
    let lines = netflow(folder.path(), &[&["replay", "day.nfcap", "--format", "line"], &by[..4]].concat()).ok();
    assert!(lines.contains("netflow,dst_ip/24/48=192.0.2.0/24,transport=tcp window_start="), "{lines}");
    assert!(
        lines.lines().next().unwrap().contains(",connections=1i,distinct_dst_ip=1i,distinct_dst_port=1i "),
        "{lines}"
    );
    let having = ["--having", "dst_ip/24/48 in 192.0.0.0/16 and distinct_dst_port >= 2"];
    let some = report(folder.path(), &[&by[..], &having, &["--csv=-"]].concat()).ok();
    assert_eq!(some.lines().count(), 2, "{some}");
}

#[test]
fn the_first_rows_of_each_window() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path());
    let by = ["--by", "dst_ip", "--every", "1m", "--sort", "bytes_written", "--top", "1"];
    insta::assert_snapshot!(report(folder.path(), &by).ok(), @r#"
     from                  dst_ip          read    written  retrans  opened  conns
     2026-01-31T12:00:00Z  192.0.2.99      20 B   1.95 KiB        0       1      1
     2026-01-31T12:01:00Z  2001:db8:7::9   80 B   7.81 KiB        0       1      1
     2026-01-31T12:02:00Z  10.0.0.53        1 B        1 B                       1
     … 2 more of 5 rows
     total                                151 B  14.65 KiB        2       4

    Open at the end: 5
    "#);
    let across = report(folder.path(), &[&by[..], &["--across-windows"]].concat()).ok();
    insta::assert_snapshot!(across, @r#"
     from                  dst_ip          read    written  retrans  opened  conns
     2026-01-31T12:01:00Z  2001:db8:7::9   80 B   7.81 KiB        0       1      1
     … 4 more of 5 rows
     total                                151 B  14.65 KiB        2       4

    Open at the end: 5
    "#);
    let refused = report(folder.path(), &["--across-windows"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}

#[test]
fn only_the_columns_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path());
    let options = [
        "--by",
        "dst_ip,transport",
        "--every",
        "1m",
        "--distinct",
        "dst_port",
        "--sort",
        "bytes_written",
        "--having",
        "bytes_read > 1",
        "--columns",
        "bytes_read,dst_ip,distinct_dst_port,packets_read",
    ];
    insta::assert_snapshot!(report(folder.path(), &[&options[..], &["--top", "1"]].concat()).ok(), @r#"
      read  dst_ip         distinct_dst_port  packets_read
      20 B  192.0.2.99                     1             0
      80 B  2001:db8:7::9                  1             0
     … 2 more of 4 rows
     150 B                                               0

    Open at the end: 5
    "#);
    let csv = report(folder.path(), &[&options[..], &["--csv=-"]].concat()).ok();
    insta::assert_snapshot!(csv, @r#"
    bytes_read,dst_ip,distinct_dst_port,packets_read
    20,192.0.2.99,1,0
    10,192.0.2.10,1,0
    80,2001:db8:7::9,1,0
    40,192.0.3.1,1,0
    "#);
    let folders = ["--parquet=by", "--partition-by", "transport,date", "--csv=beside.csv"];
    report(folder.path(), &[&options[..], &folders].concat()).ok();
    assert!(folder.path().join("by/transport=tcp/date=2026-01-31/part-0.parquet").exists());
    assert_eq!(fs::read_to_string(folder.path().join("beside.csv")).unwrap(), csv);
    let description = "[[report]]\nfile = 'same.csv'\nby = ['dst_ip', 'transport']\nevery = '1m'\ndistinct = ['dst_port']\n\
                       sort = 'bytes_written'\nhaving = 'bytes_read > 1'\n\
                       columns = ['bytes_read', 'dst_ip', 'distinct_dst_port', 'packets_read']\n";
    fs::write(folder.path().join("all.toml"), description).unwrap();
    report(folder.path(), &["--reports", "all.toml"]).ok();
    assert_eq!(fs::read_to_string(folder.path().join("same.csv")).unwrap(), csv);
    let points = ["replay", "day.nfcap", "--format", "csv", "--by", "dst_ip", "--columns", "connections,dst_ip"];
    insta::assert_snapshot!(netflow(folder.path(), &points).ok(), @r#"
    connections,dst_ip
    1,10.0.0.53
    1,192.0.2.10
    1,192.0.2.99
    1,192.0.3.1
    1,2001:db8:7::9
    "#);
}

#[test]
fn what_cannot_be_grouped_is_told() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path());
    let said = |arguments: &[&str]| {
        let refused = report(folder.path(), arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        refused.stderr
    };
    let all = [
        said(&["--by", "dst_ip/200"]),
        said(&["--by", "dst_port/8"]),
        said(&["--by", "dst_ip,dst_ip"]),
        said(&["--distinct", "bytes_read"]),
        said(&["--sort", "distinct_pid"]),
        said(&["--by", "dst_ip", "--columns", "dst_ip,pid"]),
        said(&["--columns", "bytes"]),
        said(&["--columns", "dst_ip,rtt,dst_ip"]),
        said(&["--having", "distinct_pid > 1"]),
        said(&["--having", "dst_ip/24 == 10.0.0.0/24"]),
        said(&["--by", "dst_ip/24", "--having", "dst_ip/24 == curl"]),
        said(&["--filter", "dst_ip/24 == 10.0.0.0/24"]),
    ];
    insta::assert_snapshot!(all.concat(), @r#"
    error: --by: "dst_ip/200" has no prefix of an address: expected dst_ip/24 (IPv4), dst_ip/64 (IPv6) or dst_ip/24/64 (both)
    error: --by: dst_port has no prefixes, which are parts of addresses: src_ip, dst_ip, dst_nat_ip
    error: --by: dst_ip is there twice
    error: --distinct: bytes_read is a measure, rows are grouped by tags: host, src_ip, src_port, dst_ip, dst_port, src_ip_type, dst_ip_type, family, transport, direction, pid, process_name, netns, container_id, dst_nat_ip, dst_nat_port, dst_domain, sub_source, src_k8s_namespace, src_k8s_pod_name, src_k8s_service_name, src_k8s_deployment_name, dst_k8s_namespace, dst_k8s_pod_name, dst_k8s_service_name, dst_k8s_deployment_name, shared, connection, began
    error: --sort: the report has no column distinct_pid: ask for it with --distinct pid; it has window_start, window_end, host, process_name, transport, direction, src_ip, src_port, dst_ip, dst_port, container_id, dst_domain, bytes_read, bytes_written, packets_read, packets_written, retransmits, rtt, rtt_var, rtt_min, rtt_max, tcp_established, tcp_closed, tcp_connect_failures, connections
    error: --columns: the report has no column pid: ask for it with --by pid; it has window_start, window_end, dst_ip, bytes_read, bytes_written, packets_read, packets_written, retransmits, rtt, rtt_var, rtt_min, rtt_max, tcp_established, tcp_closed, tcp_connect_failures, connections
    error: --columns: no field is named "bytes"; `netflow fields` lists them all
    error: --columns: dst_ip is there twice
    error: --having: the rows have no distinct_pid: add pid to --distinct
      distinct_pid > 1
      ^^^^^^^^^^^^
    error: --having: only rows have networks, by --by dst_ip/24: of connections ask `dst_ip in 10.0.0.0/8`
      dst_ip/24 == 10.0.0.0/24
      ^^^^^^^^^
    error: --having: expected a network, like 10.0.0.0/24, or an address, found "curl"
      dst_ip/24 == curl
                   ^^^^
    error: --filter: only rows have networks, by --by dst_ip/24: of connections ask `dst_ip in 10.0.0.0/8`
      dst_ip/24 == 10.0.0.0/24
      ^^^^^^^^^
    "#);
}

#[test]
fn many_reports_in_one_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    day(path);
    fs::create_dir(path.join("out")).unwrap();
    let description = r#"
[[report]]
file = "networks.csv"
by = ["dst_ip/24"]
distinct = ["process_name"]

[[report]]
file = "minutes.jsonl"
by = ["transport"]
every = "1m"
filter = "transport == tcp"

[[report]]
file = "most.parquet"
sort = "bytes_written"
top = 1
"#;
    fs::write(path.join("daily.toml"), description).unwrap();
    let several = ["--reports", "daily.toml", "--out-dir", "out"];
    let ran = report(path, &several);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "out/networks.csv\nout/minutes.jsonl\nout/most.parquet\n");
    let read = |name: &str| fs::read(path.join("out").join(name)).unwrap();
    report(path, &["--by", "dst_ip/24", "--distinct", "process_name", "--csv=one.csv"]).ok();
    report(path, &["--by", "transport", "--every", "1m", "--filter", "transport == tcp", "--json=one.jsonl"]).ok();
    report(path, &["--sort", "bytes_written", "--top", "1", "--parquet=one.parquet"]).ok();
    for (of_many, alone) in
        [("networks.csv", "one.csv"), ("minutes.jsonl", "one.jsonl"), ("most.parquet", "one.parquet")]
    {
        assert!(read(of_many) == fs::read(path.join(alone)).unwrap(), "{of_many}");
    }
    // What is there is not replaced unasked, and nothing is written when one report is wrong.
    let again = report(path, &several);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("networks.csv exists"), "{}", again.stderr);
    report(path, &[&several[..], &["--force"]].concat()).ok();
    let said = |text: &str| {
        fs::write(path.join("wrong.toml"), text).unwrap();
        let refused = report(path, &["--reports", "wrong.toml"]);
        assert!(matches!(refused.code, Some(1 | 2)), "{text}");
        refused.stderr
    };
    let all = [
        said(""),
        said("[[report]]\nfile = \"a.txt\"\n"),
        said("[[report]]\nby = [\"pid\"]\n"),
        said("[[report]]\nfile = \"a.csv\"\n[[report]]\nfile = \"a.csv\"\n"),
        said("[[report]]\nfile = \"a.csv\"\nby = [\"dst_port/3\"]\n"),
        said("[[report]]\nfile = \"a.csv\"\nacross_windows = true\n"),
        said("[[report]]\nfile = \"a.csv\"\ncounts = { events = 1 }\n"),
    ];
    insta::assert_snapshot!(all.concat(), @r#"
    error: wrong.toml: expected at least one [[report]], found none
    error: wrong.toml: report "a.txt": `file`: expected a name that ends in .csv, .parquet, .jsonl, .arrow or .lp
    error: wrong.toml: report "": `file`: expected the name of the file to write, found none
    error: wrong.toml: report "a.csv": `file`: another report has this file
    error: wrong.toml: report "a.csv": `by`: dst_port has no prefixes, which are parts of addresses: src_ip, dst_ip, dst_nat_ip
    error: wrong.toml: report "a.csv": `across_windows`: it says how `sort` is meant, which is missing
    error: wrong.toml: report "a.csv": `counts`: only a fixture expects something
    "#);
    assert!(!path.join("a.csv").exists());
    assert_eq!(report(path, &["--reports", "daily.toml", "--by", "pid"]).code, Some(2));
}

#[test]
fn hosts_are_rows_until_they_are_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    capture(path);
    netflow_with_input(path, &["import", "-", "-o", "db2.nfcap"], EVENTS.replace("\"db1\"", "\"db2\"").as_bytes()).ok();
    let both = |by: &str| {
        let csv =
            netflow(path, &["report", "events.nfcap", "db2.nfcap", "--csv=-", "--by", by, "--distinct", "host"]).ok();
        csv.lines().skip(1).map(|row| row.split(',').skip(2).collect::<Vec<_>>().join(",")).collect::<Vec<_>>()
    };
    assert_eq!(
        both("host,transport"),
        [
            "db1,tcp,2500,110,9,8,1,200,,150,250,1,1,1,2,1",
            "db1,udp,90,40,1,1,,,,,,,,,1,1",
            "db2,tcp,2500,110,9,8,1,200,,150,250,1,1,1,2,1",
            "db2,udp,90,40,1,1,,,,,,,,,1,1"
        ]
    );
    assert_eq!(both("transport"), ["tcp,5000,220,18,16,2,200,,150,250,2,2,2,4,2", "udp,180,80,2,2,,,,,,,,,2,2"]);
    let table = netflow(path, &["report", "events.nfcap", "db2.nfcap", "--by", "host"]).ok();
    assert!(table.starts_with(" host "), "{table}");
}

#[test]
fn the_same_time_of_one_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let recording = EVENTS.replacen("\"host\"", "\"boot_id\":\"b\",\"began_at\":7,\"host\"", 1);
    netflow_with_input(path, &["import", "-", "-o", "whole.nfcap"], recording.as_bytes()).ok();
    netflow(path, &["cut", "whole.nfcap", "-o", "first.nfcap", "--until", "12:00:02.500"]).ok();
    netflow(path, &["cut", "whole.nfcap", "-o", "second.nfcap", "--since", "12:00:02.500"]).ok();
    let together = |inputs: &[&str]| netflow(path, &[&["report", "--csv=-"], inputs].concat());
    let whole = together(&["whole.nfcap"]).ok();
    assert_eq!(together(&["first.nfcap", "second.nfcap"]).ok(), whole);
    for inputs in [["whole.nfcap", "second.nfcap"], ["first.nfcap", "whole.nfcap"], ["second.nfcap", "whole.nfcap"]] {
        let refused = together(&inputs);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{inputs:?}: {}", refused.stderr);
        let [one, next] = inputs;
        let message = format!("cannot report {one} and {next} as one: both hold the same time of one recording");
        assert!(refused.stderr.contains(&message), "{}", refused.stderr);
    }
    let turned = together(&["second.nfcap", "first.nfcap"]);
    assert_eq!(turned.code, Some(0), "{}", turned.stderr);
    assert!(
        turned.stderr.contains("first.nfcap is an earlier part of the recording than second.nfcap"),
        "{}",
        turned.stderr
    );
    let twice = together(&["whole.nfcap", "./whole.nfcap"]);
    assert_eq!(twice.code, Some(1));
    assert!(twice.stderr.contains("./whole.nfcap is given twice"), "{}", twice.stderr);
}

#[test]
fn the_same_time_is_refused_where_no_header_says_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let together = |inputs: [&str; 2]| netflow(path, &[&["report", "--csv=-"], &inputs[..]].concat());
    netflow_with_input(path, &["import", "-", "-o", "whole.nfcap"], EVENTS.as_bytes()).ok();
    std::fs::copy(path.join("whole.nfcap"), path.join("copy.nfcap")).unwrap();
    netflow(path, &["cut", "whole.nfcap", "-o", "first.nfcap", "--until", "12:00:02.500"]).ok();
    netflow(path, &["cut", "whole.nfcap", "-o", "second.nfcap", "--since", "12:00:02.500"]).ok();
    for [one, next] in [["whole", "copy"], ["whole", "first"], ["second", "whole"], ["second", "copy"]] {
        let inputs = [one, next].map(|name| format!("{name}.nfcap"));
        let refused = together([&inputs[0], &inputs[1]]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{inputs:?}: {}", refused.stderr);
        let message =
            format!("cannot report {one}.nfcap and {next}.nfcap as one: both hold the same time of one recording");
        assert!(refused.stderr.contains(&message), "{}", refused.stderr);
    }
    let in_window = ["report", "whole.nfcap", "copy.nfcap", "--csv=-", "--since", "12:00:02.500"];
    assert_eq!(netflow(path, &in_window).code, Some(1));
    let whole = netflow(path, &["report", "--csv=-", "whole.nfcap"]).ok();
    assert_eq!(together(["first.nfcap", "second.nfcap"]).ok(), whole);
    // Without a host nobody knows whether two files are of one.
    let nameless = EVENTS.replace(",\"host\":\"db1\"", "");
    netflow_with_input(path, &["import", "-", "-o", "one.nfcap"], nameless.as_bytes()).ok();
    std::fs::copy(path.join("one.nfcap"), path.join("other.nfcap")).unwrap();
    together(["one.nfcap", "other.nfcap"]).ok();
}
