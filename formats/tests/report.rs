//! One small report in every format.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::column::{Column, Tag};
use netflow_core::event::{Body, Close, Direction, Event, Header, Identity, Open, TcpStates, Totals, Transport};
use netflow_core::filter::{BuiltIn, Having};
use netflow_core::measure::Measures;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report};
use netflow_core::value::Value;
use netflow_formats::report::{
    PartitionKey, TableOptions, frame, partitions, table, write_csv, write_csv_rows, write_json, write_line,
    write_parquet,
};

/// A name that every format has to escape.
const NAME: &str = "a \"b\", c\u{1b}";

fn report(options: ReportOptions) -> Report {
    let mut pipeline = Pipeline::new(options);
    pipeline.begin(&Header { host: "db1".to_owned(), boot_time_ns: 1_700_000_000_000_000_000, ..Header::default() });
    let lives = [
        (Transport::Tcp, "10.0.0.1:45000", "[2001:db8::1]:443", Some(7), 1234, 5_000_000, 1500),
        (Transport::Udp, "10.0.0.1:40000", "10.0.0.53:53", None, 40, 90, 0),
    ];
    for (conn, (transport, local, remote, pid, sent, recv, rtt)) in lives.into_iter().enumerate() {
        let conn = conn as u64;
        let identity = Arc::new(Identity {
            direction: Some(Direction::Outgoing),
            pid,
            process: pid.map(|_| NAME.into()),
            netns: Some(4_026_531_840),
            ..Identity::new(transport, local.parse().unwrap(), remote.parse().unwrap())
        });
        let totals = Totals {
            sent_bytes: sent,
            recv_bytes: recv,
            sent_packets: 2,
            recv_packets: 3,
            rtt_us: rtt,
            ..Totals::default()
        };
        pipeline.push(&Event { at: 1_000, body: Body::Open(Open { conn, identity }) });
        let close = Close { conn, totals, identity: None, tcp_states: TcpStates::default(), reason: None };
        pipeline.push(&Event { at: 2_000_001_999, body: Body::Close(close) });
    }
    pipeline.finish()
}

fn by(names: &[&str]) -> ReportOptions {
    ReportOptions { by: Tag::parse_all(names).unwrap(), ..ReportOptions::default() }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn csv() {
    let report = report(by(&["src_port", "dst_ip", "pid", "process_name"]));
    assert_eq!(
        text(|out| write_csv(&report, out).unwrap()),
        "window_start,window_end,src_port,dst_ip,pid,process_name,bytes_read,bytes_written,packets_read,packets_written,\
         retransmits,rtt,rtt_var,rtt_min,rtt_max,tcp_established,tcp_closed,tcp_connect_failures,connections\n\
         2023-11-14T22:13:20.000001Z,2023-11-14T22:13:22.000001Z,*,10.0.0.53,,,90,40,3,2,,,,,,,,,1\n\
         2023-11-14T22:13:20.000001Z,2023-11-14T22:13:22.000001Z,*,2001:db8::1,7,\"a \"\"b\"\", c\u{1b}\",5000000,1234,3,2,0,1500,,1500,1500,1,1,0,1\n"
    );
}

/// Many times as many rows as are written at once, of all kinds of values; read by somebody else's reader.
#[test]
fn csv_of_many_rows() {
    let mut report = report(by(&["src_port", "dst_ip", "pid", "process_name"]));
    let some = report.rows.clone();
    let texts = ["", "a,b", "\"", "two\nlines", "a name that is longer than fifteen bytes", "ünï"];
    report.rows = (0..30_000_u64)
        .map(|number| {
            let mut row = some[usize::try_from(number % 2).unwrap()].clone();
            row.window.start_us += i64::try_from(number).unwrap() * 7_777_777;
            row.sums.bytes_read = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (number % 64);
            let text = texts[usize::try_from(number).unwrap() % texts.len()];
            row.key[3] = if number % 5 == 0 { Value::Null } else { Value::Text(text.into()) };
            row
        })
        .collect();
    let written = text(|out| write_csv(&report, out).unwrap());
    let mut reader = csv::Reader::from_reader(written.as_bytes());
    let mut records = reader.records();
    for row in &report.rows {
        let record = records.next().unwrap().unwrap();
        assert_eq!(record.len(), report.columns.len());
        for (column, field) in report.columns.iter().zip(&record) {
            let expected = match row.cell(column.cell) {
                Value::Null => String::new(),
                Value::Folded => "*".to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Ip(ip) => ip.to_string(),
                Value::Net(net) => net.to_string(),
                Value::Word(word) => word.to_owned(),
                Value::Text(text) => text.to_string(),
                Value::Time(micros) => chrono::DateTime::from_timestamp_micros(micros)
                    .unwrap()
                    .format("%Y-%m-%dT%H:%M:%S%.6fZ")
                    .to_string(),
            };
            assert_eq!(field, expected, "{}", column.name);
        }
    }
    assert!(records.next().is_none());
}

#[test]
fn json() {
    let report = report(by(&["src_port", "dst_ip", "process_name"]));
    let lines = text(|out| write_json(&report, out).unwrap());
    assert_eq!(
        lines.lines().nth(1).unwrap(),
        "{\"window_start\":\"2023-11-14T22:13:20.000001Z\",\"window_end\":\"2023-11-14T22:13:22.000001Z\",\"src_port\":null,\
         \"dst_ip\":\"2001:db8::1\",\"process_name\":\"a \\\"b\\\", c\\u001b\",\"bytes_read\":5000000,\"bytes_written\":1234,\
         \"packets_read\":3,\"packets_written\":2,\"retransmits\":0,\"rtt\":1500,\"rtt_var\":null,\"rtt_min\":1500,\
         \"rtt_max\":1500,\"tcp_established\":1,\"tcp_closed\":1,\"tcp_connect_failures\":0,\"connections\":1}"
    );
    assert_eq!(lines.lines().count(), 2);
}

#[test]
fn rows_of_several_reports_make_one_csv() {
    let part = report(by(&["pid"]));
    let whole = text(|out| write_csv(&part, out).unwrap());
    let rows = text(|out| write_csv_rows(&part, out).unwrap());
    assert!(!rows.contains("window_start"));
    let both = text(|out| {
        write_csv(&part, &mut *out).unwrap();
        write_csv_rows(&part, out).unwrap();
    });
    assert_eq!(both, format!("{whole}{rows}"));
    assert!(whole.ends_with(&rows) && whole.lines().count() == rows.lines().count() + 1);
    let empty = Pipeline::new(by(&["pid"])).finish();
    assert_eq!(text(|out| write_csv_rows(&empty, out).unwrap()), "");
}

#[test]
fn line_protocol() {
    let lines = text(|out| write_line(&report(ReportOptions::default()), out).unwrap());
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "netflow,direction=outgoing,dst_ip=10.0.0.53,dst_ip_type=private,dst_nat_ip=N/A,dst_nat_port=N/A,dst_port=53,\
             family=IPv4,host=db1,netns=4026531840,process_name=N/A,src_ip=10.0.0.1,src_ip_type=private,src_port=*,\
             transport=udp window_start=1700000000000001000i,bytes_read=90i,bytes_written=40i,packets_read=3i,\
             packets_written=2i,connections=1i 1700000002000001000",
            "netflow,direction=outgoing,dst_ip=2001:db8::1,dst_ip_type=other,dst_nat_ip=N/A,dst_nat_port=N/A,dst_port=443,\
             family=IPv6,host=db1,netns=4026531840,pid=7,process_name=a\\ \"b\"\\,\\ c\u{fffd},src_ip=10.0.0.1,\
             src_ip_type=private,src_port=*,transport=tcp window_start=1700000000000001000i,bytes_read=5000000i,\
             bytes_written=1234i,packets_read=3i,packets_written=2i,retransmits=0i,rtt=1500i,rtt_min=1500i,rtt_max=1500i,\
             tcp_established=1i,tcp_closed=1i,tcp_connect_failures=0i,connections=1i 1700000002000001000",
        ]
    );
    // Grouped by other tags, only those are there; numbers stay within what the format can hold.
    let mut part = report(by(&["transport"]));
    part.rows[0].sums.bytes_read = u64::MAX;
    let lines = text(|out| write_line(&part, out).unwrap());
    assert!(lines.starts_with("netflow,transport=tcp window_start="), "{lines}");
    assert!(lines.contains(",bytes_read=9223372036854775807i,"), "{lines}");
}

#[test]
fn a_cluster_that_knows_one_end_has_all_its_tags() {
    let mut part = report(by(&["dst_k8s_pod_name", "src_k8s_namespace", "sub_source"]));
    part.rows.truncate(1);
    part.rows[0].key = [Value::Text("web-1".into()), Value::Null, Value::Word("K8s")].into();
    let lines = text(|out| write_line(&part, out).unwrap());
    assert!(lines.starts_with("netflow,dst_k8s_pod_name=web-1,src_k8s_namespace=N/A,sub_source=K8s "), "{lines}");
    part.rows[0].key = [Value::Null, Value::Null, Value::Null].into();
    let lines = text(|out| write_line(&part, out).unwrap());
    assert!(lines.starts_with("netflow window_start="), "{lines}");
}

#[test]
fn frames_are_typed() {
    let frame = frame(&report(ReportOptions::default())).unwrap();
    let types: Vec<String> = frame.schema().iter().map(|(name, dtype)| format!("{name} {dtype}")).collect();
    assert_eq!(
        types[..5],
        ["window_start datetime[μs, UTC]", "window_end datetime[μs, UTC]", "host str", "src_ip str", "src_port u16"]
    );
    assert!(types.contains(&"pid u32".to_owned()) && types.contains(&"bytes_read u64".to_owned()), "{types:?}");
    assert_eq!(frame.column("src_port").unwrap().null_count(), 2, "folded ports are null");
    assert_eq!(frame.column("rtt").unwrap().null_count(), 1, "UDP has no round-trip time");
}

#[test]
fn parquet_is_the_same_on_every_run() {
    let bytes = |report: &Report| {
        let mut bytes = Vec::new();
        write_parquet(report, &mut bytes).unwrap();
        bytes
    };
    let (first, second) = (bytes(&report(ReportOptions::default())), bytes(&report(ReportOptions::default())));
    assert_eq!(first, second);
    assert_eq!((&first[..4], &first[first.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[test]
fn parts_have_all_rows_and_not_the_columns_of_their_folder() {
    let keys = [PartitionKey::parse("transport").unwrap(), PartitionKey::parse("date").unwrap()];
    let report = report(by(&["dst_ip", "transport", "pid"]));
    let parts = partitions(&report, &keys).unwrap();
    let folders: Vec<&str> = parts.keys().map(String::as_str).collect();
    assert_eq!(folders, ["transport=tcp/date=2023-11-14", "transport=udp/date=2023-11-14"]);
    let tcp = text(|out| write_csv(&parts[folders[0]], out).unwrap());
    assert!(tcp.starts_with("window_start,window_end,dst_ip,pid,bytes_read,"), "{tcp}");
    assert!(tcp.contains("Z,2001:db8::1,7,5000000,1234,"), "{tcp}");
    assert_eq!(parts.values().map(|part| part.rows.len()).sum::<usize>(), report.rows.len());
    let host = [PartitionKey::parse("host").unwrap()];
    let error = partitions(&report, &host).unwrap_err().to_string();
    assert_eq!(error, "the report has no column host: ask for it with --by");
    assert!(PartitionKey::parse("rtt").is_err() && PartitionKey::parse("day").is_err());
}

#[test]
fn tables_are_for_people() {
    let tags = ["src_ip", "src_port", "dst_ip", "dst_port", "transport", "direction", "pid", "process_name"];
    let report = report(ReportOptions { order: Order::Traffic, ..by(&tags) });
    assert_eq!(
        table(&report, TableOptions { top: Some(1), ..TableOptions::default() }).unwrap(),
        " src         dst                proto  direction  pid  process        read   written      rtt  opened  closed  conns
 10.0.0.1:*  [2001:db8::1]:443  tcp    outgoing   7    a \"b\", c\u{fffd}  4.77 MiB  1.21 KiB  1.50 ms       1       1      1
 … 1 more of 2 rows
 total                                                            4.77 MiB  1.24 KiB  1.50 ms       1       1      2
"
    );
}

#[test]
fn a_table_tells_what_it_does_not_hold() {
    let mut part = report(by(&["dst_ip"]));
    part.diagnostics.unclosed = 3;
    part.diagnostics.counter_resets = 2;
    part.diagnostics.loss.ring_full = 7;
    part.left_out.filter = 4;
    part.rows[0].sums.tcp.get_or_insert_default().connect_failures = 5;
    let shown = |is_colored: bool| table(&part, TableOptions { is_colored, ..TableOptions::default() }).unwrap();
    assert_eq!(
        shown(false),
        " dst_ip           read   written      rtt  opened  closed  failed  conns
 10.0.0.53        90 B      40 B                0       0       5      1
 2001:db8::1  4.77 MiB  1.21 KiB  1.50 ms       1       1       0      1
 total        4.77 MiB  1.24 KiB  1.50 ms       1       1       5      2

Open at the end: 3
Left out: 4 that --filter does not ask for
Note: the recorder lost: ring_full 7; counters that went backwards: 2
"
    );
    let red = shown(true);
    assert_eq!(red.matches("\u{1b}[31m").count(), 3, "two cells and the note: {red:?}");
    assert!(red.contains("\u{1b}[31m5\u{1b}[0m") && red.contains("\u{1b}[31mNote: "), "{red:?}");
    assert_eq!(red.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""), shown(false));
}

#[test]
fn totals_say_only_what_adds_up() {
    // Both connections are in two windows each.
    let windows = report(ReportOptions {
        every_ns: Some(1_000_000_000),
        filter: BuiltIn { keep_idle: true, ..BuiltIn::default() },
        distinct: Tag::parse_all(&["dst_ip"]).unwrap(),
        ..by(&["transport"])
    });
    let text = table(&windows, TableOptions::default()).unwrap();
    let total: Vec<&str> = text.lines().find(|line| line.starts_with(" total")).unwrap().split_whitespace().collect();
    assert_eq!(total, ["total", "4.77", "MiB", "1.24", "KiB", "1.50", "ms", "1", "1"], "{text}");
    let alone = report(by(&["host"]));
    assert_eq!(table(&alone, TableOptions::default()).unwrap().lines().count(), 2, "one row is its own total");
}

#[test]
fn an_empty_report_says_so() {
    let report = Pipeline::new(ReportOptions::default()).finish();
    assert_eq!(table(&report, TableOptions::default()).unwrap(), "No connections to report.\n");
    assert_eq!(text(|out| write_csv(&report, out).unwrap()).lines().count(), 1, "the header stays");
    assert_eq!(text(|out| write_json(&report, out).unwrap()), "");
    assert_eq!(text(|out| write_line(&report, out).unwrap()), "");
    let mut bytes = Vec::new();
    write_parquet(&report, &mut bytes).unwrap();
    assert!(bytes.starts_with(b"PAR1"));
}

/// Texts as an independent reader finds them in the CSV, an empty one apart from an unknown one.
#[test]
fn any_text_is_one_field() {
    let mut part = report(by(&["dst_ip", "process_name"]));
    let row = part.rows[0].clone();
    let signs = ["\"", ",", "\n", "\r", " ", "a", "é", "\"\"", "\\", "'", ";", "\t", "#"];
    let pairs = signs.iter().flat_map(|first| signs.map(|second| format!("{first}{second}")));
    let texts: Vec<String> = signs.map(str::to_owned).into_iter().chain(pairs).chain([String::new()]).collect();
    part.rows = texts
        .iter()
        .map(|text| {
            let mut row = row.clone();
            row.key[1] = Value::Text(text.as_str().into());
            row
        })
        .collect();
    part.columns.retain(|column| ["process_name", "bytes_read"].contains(&column.name.as_ref()));
    let written = text(|out| write_csv(&part, out).unwrap());
    let mut reader = csv::Reader::from_reader(written.as_bytes());
    let found: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    assert_eq!(found, texts);
    assert!(written.ends_with("\n\"\",90\n"), "{written}");
    part.rows.truncate(1);
    for (value, line) in [
        (Value::Null, ",90"),
        (Value::Text("it's 5;6\t#".into()), "it's 5;6\t#,90"),
        (Value::Text("a\"b".into()), "\"a\"\"b\",90"),
        (Value::Text("a,b".into()), "\"a,b\",90"),
        (Value::Text("a\rb".into()), "\"a\rb\",90"),
    ] {
        part.rows[0].key[1] = value;
        assert_eq!(text(|out| write_csv(&part, out).unwrap()), format!("process_name,bytes_read\n{line}\n"));
    }
}

/// Many rows of few values, in more parts than one: from rows, and from the groups themselves.
#[test]
fn groups_are_written_as_their_rows_are() {
    let make = |options: ReportOptions| {
        let mut pipeline = Pipeline::new(options);
        pipeline.begin(&Header { host: "db1".to_owned(), ..Header::default() });
        for conn in 0..9_000_u32 {
            let local = Endpoint::new(Ipv4Addr::from_bits(conn / 3).into(), 40_000);
            let remote = Endpoint::new(Ipv4Addr::from_bits(conn % 7).into(), 53);
            let process = (conn % 5 > 0).then(|| ["a", "", "b,c", "\"d\""][conn as usize % 4].into());
            let identity = Identity { process, ..Identity::new(Transport::Udp, local, remote) };
            let totals = Totals { sent_bytes: u64::from(conn), ..Totals::default() };
            let at = u64::from(conn) * 1_000_000;
            let open = Open { conn: conn.into(), identity: Arc::new(identity) };
            pipeline.push(&Event { at, body: Body::Open(open) });
            let tcp_states = TcpStates::default();
            let close = Close { conn: conn.into(), totals, identity: None, tcp_states, reason: None };
            pipeline.push(&Event { at, body: Body::Close(close) });
        }
        pipeline.finish_groups()
    };
    for every_ns in [None, Some(2_000_000_000)] {
        let by = by(&["src_ip", "process_name", "dst_ip"]);
        let filter = BuiltIn { keep_unspecified: true, keep_idle: true, ..BuiltIn::default() };
        let options = ReportOptions { every_ns, filter, ..by };
        let sorted = make(options.clone()).sort();
        let rows = sorted.report();
        assert_eq!(rows.rows.len(), 9_000);
        let first = (make(options).first(3), rows.keep_first(3));
        assert_eq!(first.0.report().rows, first.1.rows);
        for (sorted, rows) in [(sorted, rows), first] {
            let same = |from_groups: Vec<u8>, from_rows: Vec<u8>| assert!(from_groups == from_rows);
            let bytes = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut bytes = Vec::new();
                write(&mut bytes);
                bytes
            };
            same(bytes(&|out| write_csv(&sorted, out).unwrap()), bytes(&|out| write_csv(&rows, out).unwrap()));
            same(bytes(&|out| write_json(&sorted, out).unwrap()), bytes(&|out| write_json(&rows, out).unwrap()));
            same(bytes(&|out| write_line(&sorted, out).unwrap()), bytes(&|out| write_line(&rows, out).unwrap()));
            same(bytes(&|out| write_parquet(&sorted, out).unwrap()), bytes(&|out| write_parquet(&rows, out).unwrap()));
            assert!(frame(&sorted).unwrap().equals_missing(&frame(&rows).unwrap()));
        }
    }
}

#[test]
fn only_chosen_columns_are_there() {
    let options = by(&["src_port", "dst_ip", "pid"]);
    let all = options.columns();
    let shown = |names: &[&str]| Column::choose(&all, names);
    let chosen = ReportOptions {
        order: Order::parse("bytes_read", &all, false).unwrap(),
        having: Some(Having::parse("packets_read == 3", &all).unwrap()),
        shown: shown(&["connections", "dst_ip", "rtt_max"]).unwrap(),
        ..options.clone()
    };
    let found = report(chosen.clone());
    assert_eq!(
        text(|out| write_csv(&found, out).unwrap()),
        "connections,dst_ip,rtt_max\n1,2001:db8::1,1500\n1,10.0.0.53,\n"
    );
    assert_eq!(
        text(|out| write_json(&found, out).unwrap()).lines().next().unwrap(),
        "{\"connections\":1,\"dst_ip\":\"2001:db8::1\",\"rtt_max\":1500}"
    );
    assert_eq!(
        table(&found, TableOptions::default()).unwrap(),
        " conns  dst_ip       rtt_max
     1  2001:db8::1  1.50 ms
     1  10.0.0.53
     2               1.50 ms
"
    );
    assert_eq!(frame(&found).unwrap().get_column_names(), ["connections", "dst_ip", "rtt_max"]);
    // What is neither shown nor compared is not counted.
    let sums = found.rows[0].sums;
    assert_eq!((sums.bytes_read, sums.bytes_written, sums.packets_read, sums.packets_written), (5_000_000, 0, 3, 0));
    assert_eq!(
        chosen.measures(),
        ["bytes_read", "packets_read", "connections", "rtt_max"]
            .into_iter()
            .fold(Measures::default(), Measures::with_field)
    );
    assert_eq!(options.measures(), Measures::ALL);
    let error = |names: &[&str]| shown(names).unwrap_err().to_string();
    assert_eq!(error(&["pid", "dst_ip", "pid"]), "pid is there twice");
    assert_eq!(error(&["dst"]), "no field is named \"dst\"; `netflow fields` lists them all");
    assert!(
        error(&["host"]).starts_with("the report has no column host: ask for it with --by host; it has window_start, ")
    );
}
