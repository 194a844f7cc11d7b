//! Events as text: what is written is what is read, and what is wrong is said clearly.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod events;

use netflow_core::event::{Body, Event, Header};
use netflow_formats::jsonl::{Exporter, ImportError, ImportOptions, Importer};
use proptest::prelude::*;

fn export(header: &Header, events: &[Event]) -> String {
    let mut exporter = Exporter::new(Vec::new(), header).unwrap();
    for event in events {
        exporter.write(event).unwrap();
    }
    String::from_utf8(exporter.finish().unwrap()).unwrap()
}

fn import_with(text: &str, options: ImportOptions) -> Result<(Header, Vec<Event>), ImportError> {
    let mut importer = Importer::new(text.as_bytes(), options)?;
    let header = importer.header().clone();
    Ok((header, importer.by_ref().collect::<Result<Vec<_>, _>>()?))
}

fn import(text: &str) -> Result<(Header, Vec<Event>), ImportError> {
    import_with(text, ImportOptions::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn text_and_events_are_the_same(header in events::header(), list in events::events()) {
        let text = export(&header, &list);
        let (read_header, read_events) = import(&text).unwrap();
        prop_assert_eq!(&read_header, &header);
        prop_assert_eq!(&read_events, &list);
        prop_assert_eq!(export(&read_header, &read_events), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\{?\"?(type|at|conn|open|header|loss)?\"?[:,\\[\\]{} \"0-9.e-]{0,4}){0,12}") {
        let _ = import(&text);
        let _ = import(&format!("{HEADER}\n{text}"));
    }
}

const HEADER: &str = r#"{"type":"header","boot_time_ns":1700000000000000000,"interval_ms":1000}"#;

#[test]
fn people_may_write_as_they_like() {
    let text = format!(
        "\u{feff}{HEADER}\r\n\r\n{}\n   \n{}\n{}\n{}",
        r#"  {"remote":"[2001:db8::1]:443","local":"[2001:db8::2]:40000","pid":null,"transport":"tcp","conn":7,"at":5,"type":"open"}  "#,
        r#"{"type":"sample","conn":7,"at":6,"pid":12,"sent_bytes":18446744073709551615}"#,
        r#"{"type":"k8s","at":6,"state": {"pods": [ {"a": 1.0e3} ] } }"#,
        r#"{"type":"close","conn":7,"at":6,"tcp_states":["close","syn_sent"],"reason":"rst"}"#,
    );
    let (header, events) = import(&text).unwrap();
    insta::assert_snapshot!(export(&header, &events), @r#"
    {"type":"header","format":1,"boot_time_ns":1700000000000000000,"interval_ms":1000}
    {"type":"open","at":5,"conn":7,"transport":"tcp","local":"[2001:db8::2]:40000","remote":"[2001:db8::1]:443"}
    {"type":"sample","at":6,"conn":7,"transport":"tcp","local":"[2001:db8::2]:40000","remote":"[2001:db8::1]:443","pid":12,"sent_bytes":18446744073709551615}
    {"type":"k8s","at":6,"state":{"pods": [ {"a": 1.0e3} ] }}
    {"type":"close","at":6,"conn":7,"tcp_states":["syn_sent","close"],"reason":"rst"}
    "#);
    let Body::Sample(sample) = &events[1].body else { panic!("{events:?}") };
    assert_eq!(sample.identity.as_ref().unwrap().remote.to_string(), "[2001:db8::1]:443");
}

#[test]
fn events_are_sorted_when_asked() {
    let text = format!(
        "{HEADER}\n{}\n{}\n{}\n{}",
        r#"{"type":"sample","at":7,"conn":1,"sent_bytes":1}"#,
        r#"{"type":"tick","at":9}"#,
        r#"{"type":"tick","at":7,"complete":false}"#,
        r#"{"type":"open","at":3,"conn":1,"transport":"udp","local":"10.0.0.1:1","remote":"10.0.0.2:53"}"#,
    );
    let (header, events) = import_with(&text, ImportOptions { sort: true }).unwrap();
    insta::assert_snapshot!(export(&header, &events), @r#"
    {"type":"header","format":1,"boot_time_ns":1700000000000000000,"interval_ms":1000}
    {"type":"open","at":3,"conn":1,"transport":"udp","local":"10.0.0.1:1","remote":"10.0.0.2:53"}
    {"type":"sample","at":7,"conn":1,"sent_bytes":1}
    {"type":"tick","at":7,"complete":false}
    {"type":"tick","at":9}
    "#);
}

#[test]
fn errors_name_line_key_and_what_was_expected() {
    let open = r#"{"type":"open","at":5,"conn":1,"transport":"tcp","local":"10.0.0.1:1","remote":"10.0.0.2:2"}"#;
    let after_header = [
        r#"{"type":"tick"}"#,
        r#"{"type":"tick","at":1,"complete":1}"#,
        r#"{"type":"tick","at":1,"compelte":true}"#,
        r#"{"type":"tick","at":1,"colour":"red"}"#,
        r#"{"type":"tick","at":1,"at":1}"#,
        r#"{"type":"tick","at":1.5}"#,
        r#"{"type":"tick","at":-1}"#,
        r#"{"type":"tick","at":18446744073709551616}"#,
        r#"{"type":"tick","at":"1"}"#,
        r#"{"type":"tick","at":null}"#,
        r#"{"type":"tik","at":1}"#,
        r#"{"type":["tick"],"at":1}"#,
        r#"{"at":1}"#,
        r#"{"type":"open","at":1,"conn":1,"transport":"tcp","local":"10.0.0.1","remote":"10.0.0.2:2"}"#,
        r#"{"type":"open","at":1,"conn":1,"transport":"icmp","local":"10.0.0.1:1","remote":"10.0.0.2:2"}"#,
        r#"{"type":"open","at":1,"conn":1,"transport":"tcp","remote":"10.0.0.2:2"}"#,
        r#"{"type":"sample","at":6,"conn":9,"pid":3}"#,
        r#"{"type":"sample","at":6,"conn":9,"remote":"10.0.0.2:2"}"#,
        r#"{"type":"close","at":6,"conn":1,"send_bytes":3}"#,
        r#"{"type":"close","at":6,"conn":1,"pid":4294967296}"#,
        r#"{"type":"close","at":6,"conn":1,"tcp_states":["estabished"]}"#,
        r#"{"type":"close","at":6,"conn":1,"tcp_states":"established"}"#,
        r#"{"type":"close","at":6,"conn":1,"reason":"reset"}"#,
        r#"{"type":"dns","at":6,"name":"example.org","addr":"example.org"}"#,
        r#"{"type":"k8s","at":6,"state":5}"#,
        r#"{"type":"tick","at":4}"#,
        r#"{"type":"tick","at":4"#,
        r#"{"type":"tick","at":4} trailing"#,
        r"[1, 2]",
        r"open the door",
    ];
    let mut table = String::new();
    for line in after_header {
        let error = import(&format!("{HEADER}\n{open}\n{line}\n")).unwrap_err();
        table.push_str(&format!("{line}\n    {error}\n"));
    }
    insta::assert_snapshot!(table, @r#"
    {"type":"tick"}
        line 3: key "at": expected in every "tick", found none
    {"type":"tick","at":1,"complete":1}
        line 3: key "complete": expected true or false, found 1
    {"type":"tick","at":1,"compelte":true}
        line 3: key "compelte": expected "type", "at" or "complete", found an unknown key of "tick"; did you mean "complete"?
    {"type":"tick","at":1,"colour":"red"}
        line 3: key "colour": expected "type", "at" or "complete", found an unknown key of "tick"
    {"type":"tick","at":1,"at":1}
        line 3: key "at": expected once, found again
    {"type":"tick","at":1.5}
        line 3: key "at": expected an integer from 0 to 18446744073709551615, found 1.5
    {"type":"tick","at":-1}
        line 3: key "at": expected an integer from 0 to 18446744073709551615, found -1
    {"type":"tick","at":18446744073709551616}
        line 3: key "at": expected an integer from 0 to 18446744073709551615, found 18446744073709551616
    {"type":"tick","at":"1"}
        line 3: key "at": expected an integer from 0 to 18446744073709551615, found "1"
    {"type":"tick","at":null}
        line 3: key "at": expected an integer from 0 to 18446744073709551615, found null
    {"type":"tik","at":1}
        line 3: key "type": expected "header", "open", "sample", "close", "tick", "process", "dns", "nat", "listen", "k8s", "clock" or "loss", found "tik"; did you mean "tick"?
    {"type":["tick"],"at":1}
        line 3: key "type": expected "header", "open", "sample", "close", "tick", "process", "dns", "nat", "listen", "k8s", "clock" or "loss", found ["tick"]
    {"at":1}
        line 3: key "type": expected in every "event", found none
    {"type":"open","at":1,"conn":1,"transport":"tcp","local":"10.0.0.1","remote":"10.0.0.2:2"}
        line 3: key "local": expected an address with a port, like "10.0.0.1:443" or "[2001:db8::1]:443", found "10.0.0.1"
    {"type":"open","at":1,"conn":1,"transport":"icmp","local":"10.0.0.1:1","remote":"10.0.0.2:2"}
        line 3: key "transport": expected "tcp" or "udp", found "icmp"
    {"type":"open","at":1,"conn":1,"transport":"tcp","remote":"10.0.0.2:2"}
        line 3: key "local": expected in every "open", found none
    {"type":"sample","at":6,"conn":9,"pid":3}
        line 3: connection 9 was not opened before this "sample": expected its transport, local, remote here, found none
    {"type":"sample","at":6,"conn":9,"remote":"10.0.0.2:2"}
        line 3: connection 9 was not opened before this "sample": expected its transport, local here, found none
    {"type":"close","at":6,"conn":1,"send_bytes":3}
        line 3: key "send_bytes": expected "type", "at", "conn", "sent_bytes", "recv_bytes", "sent_packets", "recv_packets", "retransmits", "rtt_us", "rtt_var_us", "unacked_bytes", "unread_bytes", "transport", "local", "remote", "direction", "pid", "process", "netns", "preexisting", "opened_at", "shared", "tcp_states" or "reason", found an unknown key of "close"; did you mean "sent_bytes"?
    {"type":"close","at":6,"conn":1,"pid":4294967296}
        line 3: key "pid": expected an integer from 0 to 4294967295, found 4294967296
    {"type":"close","at":6,"conn":1,"tcp_states":["estabished"]}
        line 3: key "tcp_states": expected "listen", "syn_sent", "new_syn_recv", "syn_recv", "established", "fin_wait1", "fin_wait2", "close_wait", "closing", "last_ack", "time_wait" or "close", found "estabished"; did you mean "established"?
    {"type":"close","at":6,"conn":1,"tcp_states":"established"}
        line 3: key "tcp_states": expected a list of at most 262144 strings, found "established"
    {"type":"close","at":6,"conn":1,"reason":"reset"}
        line 3: key "reason": expected "fin", "rst", "timeout", "idle", "unknown", "refused" or "unreachable", found "reset"
    {"type":"dns","at":6,"name":"example.org","addr":"example.org"}
        line 3: key "addr": expected an address, like "10.0.0.1", found "example.org"
    {"type":"k8s","at":6,"state":5}
        line 3: key "state": expected an object, a list or a string, found 5
    {"type":"tick","at":4}
        line 3: key "at": expected 5 or more, found 4; --sort puts events in order
    {"type":"tick","at":4
        line 3: expected one JSON object, found something else at column 21: EOF while parsing an object
    {"type":"tick","at":4} trailing
        line 3: expected one JSON object, found something else at column 24: trailing characters
    [1, 2]
        line 3: expected one JSON object, found something else: invalid type: sequence, expected an object
    open the door
        line 3: expected one JSON object, found something else at column 1: expected value
    "#);

    let first = [
        "",
        "\n\n",
        r#"{"type":"tick","at":1}"#,
        r#"{"type":"header","interval_ms":1}"#,
        r#"{"type":"header","boot_time_ns":1,"interval_ms":1,"format":2}"#,
        r#"{"type":"header","boot_time_ns":1,"interval_ms":1,"ephemeral_port_min":65536}"#,
        r#"{"type":"header","boot_time_ns":1,"interval_ms":1,"hostname":"a"}"#,
    ];
    let mut table = String::new();
    for text in first {
        table.push_str(&format!("{text:?}\n    {}\n", import(text).unwrap_err()));
    }
    let latin1 = Importer::new(&b"{\"type\":\"header\",\"host\":\"caf\xe9\"}"[..], ImportOptions::default());
    table.push_str(&format!("latin-1\n    {}\n", latin1.err().unwrap()));
    insta::assert_snapshot!(table, @r#"
    ""
        line 1: expected a header, found no line at all
    "\n\n"
        line 3: expected a header, found no line at all
    "{\"type\":\"tick\",\"at\":1}"
        line 1: expected the header first, found "tick"
    "{\"type\":\"header\",\"interval_ms\":1}"
        line 1: key "boot_time_ns": expected in every "header", found none
    "{\"type\":\"header\",\"boot_time_ns\":1,\"interval_ms\":1,\"format\":2}"
        line 1: key "format": expected 1, found 2, of a newer netflow
    "{\"type\":\"header\",\"boot_time_ns\":1,\"interval_ms\":1,\"ephemeral_port_min\":65536}"
        line 1: key "ephemeral_port_min": expected an integer from 0 to 65535, found 65536
    "{\"type\":\"header\",\"boot_time_ns\":1,\"interval_ms\":1,\"hostname\":\"a\"}"
        line 1: key "hostname": expected "type", "format", "tool", "host", "kernel", "boot_id", "boot_time_ns", "interval_ms", "ephemeral_port_min", "ephemeral_port_max", "command", "comment", "began_at", "part", "continues_from", "excerpt" or "anonymized", found an unknown key of "header"
    latin-1
        line 1: expected UTF-8, found another byte at column 29
    "#);
}

#[test]
fn another_header_begins_another_section() {
    let text = r#"{"type":"header","format":1,"host":"a","boot_time_ns":1,"interval_ms":1}
{"type":"open","at":9,"conn":1,"transport":"tcp","local":"10.0.0.1:1","remote":"10.0.0.2:2"}
{"type":"header","format":1,"host":"b","boot_time_ns":2,"interval_ms":1}
{"type":"header","format":1,"host":"c","boot_time_ns":3,"interval_ms":1}
{"type":"tick","at":5}
{"type":"tick","at":7}
"#;
    for sort in [false, true] {
        let mut importer = Importer::new(text.as_bytes(), ImportOptions { sort }).unwrap();
        let mut exporter = Exporter::new(Vec::new(), importer.header()).unwrap();
        loop {
            for event in importer.by_ref() {
                exporter.write(&event.unwrap()).unwrap();
            }
            assert!(importer.next().is_none());
            if !importer.next_section().unwrap() {
                break;
            }
            exporter.begin(importer.header()).unwrap();
        }
        assert!(!importer.next_section().unwrap());
        assert_eq!(String::from_utf8(exporter.finish().unwrap()).unwrap(), text);
    }
    // Events that were not read are passed over. What one section knows is not known in the other.
    let mut importer = Importer::new(text.as_bytes(), ImportOptions::default()).unwrap();
    assert!(importer.next_section().unwrap());
    assert_eq!(importer.header().host, "b");
    let stranger = text.replace(r#""type":"tick","at":7"#, r#""type":"sample","at":7,"conn":1"#);
    let mut importer = Importer::new(stranger.as_bytes(), ImportOptions::default()).unwrap();
    assert!(importer.next_section().unwrap() && importer.next_section().unwrap());
    let error = importer.by_ref().find_map(Result::err).unwrap();
    assert_eq!(error.line, 6);
    assert!(!importer.next_section().unwrap());
    let wrong = text.replace(r#""host":"b""#, r#""hots":"b""#);
    assert_eq!(import(&wrong).unwrap_err().line, 3);
}
