//! The language of filters: what is read as what, what is refused in which words, and what holds of which values.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::column::{Column, Tag};
use netflow_core::event::{Direction, Identity, Transport};
use netflow_core::field::{FIELDS, Field, Source};
use netflow_core::filter::{Expression, Filter, Having, MAX_DEPTH, MAX_LENGTH, MAX_PATTERNS, Scope};
use netflow_core::flow::Flow;
use netflow_core::report::{Row, Window};
use netflow_core::sums::Sums;
use netflow_core::value::{Net, Type, Value};

/// The columns of rows that are grouped by these tags, and count the different values of two.
fn columns(names: &str) -> Vec<Column> {
    let distinct = Tag::parse_all(&["dst_ip", "src_ip/16"]).unwrap();
    Column::all(&Tag::parse_all(&names.split(' ').collect::<Vec<_>>()).unwrap(), &distinct)
}

/// The expression as it is shown, or the message.
fn read(text: &str) -> String {
    Expression::parse(text, Scope::Connections).map_or_else(|error| error.to_string(), |it| it.to_string())
}

fn read_of_rows(text: &str) -> String {
    let columns = columns("process_name src_port dst_port");
    Expression::parse(text, Scope::Rows(&columns)).map_or_else(|error| error.to_string(), |it| it.to_string())
}

#[test]
fn what_is_read_is_shown_in_one_form() {
    let table = [
        ("transport==tcp", r#"transport == "tcp""#),
        ("((transport == 'tcp'))", r#"transport == "tcp""#),
        ("  pid\n>=\t7 ", "pid >= 7"),
        ("pid == 1 or pid == 2 and pid == 3", "pid == 1 or pid == 2 and pid == 3"),
        ("(pid == 1 or pid == 2) and pid == 3", "(pid == 1 or pid == 2) and pid == 3"),
        ("pid == 1 and (pid == 2 and pid == 3)", "pid == 1 and pid == 2 and pid == 3"),
        ("not pid == 1 and pid == 2", "not pid == 1 and pid == 2"),
        ("not (pid == 1 and pid == 2)", "not (pid == 1 and pid == 2)"),
        ("not not (pid == 1)", "not not pid == 1"),
        ("dst_port in { 80 ,443, 1000..2000, }", "dst_port in {80, 443, 1000..2000}"),
        ("dst_ip in {10.1.2.3/8}", "dst_ip in 10.0.0.0/8"),
        ("dst_ip in ::ffff:10.0.0.0/104", "dst_ip in 10.0.0.0/8"),
        ("dst_ip == ::ffff:10.0.0.1", "dst_ip == 10.0.0.1"),
        ("ip in {10.0.0.1..10.0.0.9, fe80::/10, ::1..::9}", "ip in {10.0.0.1..10.0.0.9, fe80::/10, ::1..::9}"),
        ("dst_domain == example.com", r#"dst_domain == "example.com""#),
        ("process_name == kube-proxy", r#"process_name == "kube-proxy""#),
        ("process_name != null", "process_name != null"),
        (r#"process_name == "null""#, r#"process_name == "null""#),
        (r#"process_name matches "^a\.b\"c\\d""#, r#"process_name matches "^a\\.b\"c\\d""#),
        ("process_name contains 'a\"b'", r#"process_name contains "a\"b""#),
    ];
    for (text, shown) in table {
        assert_eq!(read(text), shown, "{text}");
        assert_eq!(read(shown), shown, "{shown}");
    }
    let table = [
        ("bytes_read > 1MB", "bytes_read > 1000000"),
        ("bytes_read in {1kB..1.5KiB}", "bytes_read in {1000..1536}"),
        ("bytes_read == 18446744073709551615", "bytes_read == 18446744073709551615"),
        ("bytes_written < 0.5GiB", "bytes_written < 536870912"),
        ("rtt > 20ms", "rtt > 20000"),
        ("rtt > 1.5s and rtt_var < 7", "rtt > 1500000 and rtt_var < 7"),
        ("rtt_min == 3000ns or rtt_max == 3us", "rtt_min == 3 or rtt_max == 3"),
        ("window_start >= 2026-11-23T10:00:00+01:00", "window_start >= 2026-11-23T09:00:00Z"),
        ("window_end == 2026-11-23T10:00:00.25Z", "window_end == 2026-11-23T10:00:00.250Z"),
        ("port == 443 and retransmits > 0", "port == 443 and retransmits > 0"),
    ];
    for (text, shown) in table {
        assert_eq!(read_of_rows(text), shown, "{text}");
        assert_eq!(read_of_rows(shown), shown, "{shown}");
    }
}

#[test]
fn what_cannot_be_read_is_explained() {
    let wrong = [
        "",
        "dst_port",
        "dst_port ==",
        "dst_port == http",
        "dst_port == \"80\"",
        "dst_port == 65536",
        "dst_port == -1",
        "dst_port == 1.5",
        "dst_port == 80kB",
        "dst_port == null null",
        "dst_port not in {80}",
        "dst_port in 80",
        "dst_port in {}",
        "dst_port in {80",
        "dst_port in {2000..1000}",
        "dst_port in {80, null}",
        "dst_port in {80 443}",
        "dst_port contains 8",
        "dst_prot == 80",
        "x == 80",
        "transport == \"tpc\"",
        "transport == tcp and",
        "transport == tcp && port == 1",
        "transport = tcp",
        "transport == tcp udp",
        "transport < tcp",
        "not",
        "(transport == tcp",
        "transport == tcp)",
        "process_name == and",
        "process_name == \"a",
        "process_name == §",
        "process_name in {a..b}",
        "process_name matches \"(a\"",
        "process_name matches \"a{1000}{1000}\"",
        "process_name matches",
        "dst_ip == 10.0.0.0/8",
        "dst_ip == 10.0.0",
        "dst_ip in 10.0.0.1",
        "dst_ip in {10.0.0.0/8..10.0.0.1}",
        "dst_ip in {10.0.0.1..::1}",
        "dst_ip > 10.0.0.1",
        "dst_ip matches \"^10\"",
        "bytes_read > 1MB",
        "window_start == 2026-11-23T09:00:00Z",
        "dst_ip in {10.0.0.1,\n\t10.0.0.2,\n\t10.0.0.256}",
    ];
    let shown: Vec<String> = wrong.iter().map(|text| read(text)).collect();
    insta::assert_snapshot!(shown.join("\n\n"), @r#"
    expected a field, `not` or `(`, found the end
      
      ^

    expected an operator (== != < <= > >= in), found the end
      dst_port
              ^

    expected a number, found the end
      dst_port ==
                 ^

    expected a number, found "http"
      dst_port == http
                  ^^^^

    expected a number, found the text "80"
      dst_port == "80"
                  ^^^^

    dst_port is at most 65535
      dst_port == 65536
                  ^^^^^

    expected a number, found "-1"
      dst_port == -1
                  ^^

    "1.5" is not a whole number
      dst_port == 1.5
                  ^^^

    dst_port is a plain number, without a unit
      dst_port == 80kB
                  ^^^^

    expected `and`, `or` or the end, found "null"
      dst_port == null null
                       ^^^^

    expected an operator (`not` stands before dst_port), found "not"
      dst_port not in {80}
               ^^^

    expected a set: `{`, found "80"
      dst_port in 80
                  ^^

    expected a number, found "}"
      dst_port in {}
                   ^

    expected `,`, `}` or `..`, found the end
      dst_port in {80
                     ^

    the range is empty: it ends before it begins
      dst_port in {2000..1000}
                   ^^^^^^^^^^

    expected a number, found "null"
      dst_port in {80, null}
                       ^^^^

    expected `,`, `}` or `..`, found "443"
      dst_port in {80 443}
                      ^^^

    dst_port is a number, which goes with == != < <= > >= in
      dst_port contains 8
               ^^^^^^^^

    no field is named dst_prot; dst_port is the nearest; `netflow fields` lists them all
      dst_prot == 80
      ^^^^^^^^

    no field is named x; `netflow fields` lists them all
      x == 80
      ^

    expected tcp or udp, found the text "tpc"
      transport == "tpc"
                   ^^^^^

    expected a field, `not` or `(`, found the end
      transport == tcp and
                          ^

    `&&` is written `and`
      transport == tcp && port == 1
                       ^^

    `=` is written `==`
      transport = tcp
                ^

    expected `and`, `or` or the end, found "udp"
      transport == tcp udp
                       ^^^

    transport is text, which goes with == != in contains matches
      transport < tcp
                ^

    expected a field, `not` or `(`, found the end
      not
         ^

    expected `and`, `or` or `)`, found the end
      (transport == tcp
                       ^

    expected `and`, `or` or the end, found ")"
      transport == tcp)
                      ^

    expected text, like "curl", found the keyword "and"; as text it needs quotes
      process_name == and
                      ^^^

    the text that begins here has no end: " is missing
      process_name == "a
                      ^^

    '§' has no meaning here; text with such characters needs quotes
      process_name == §
                      ^

    expected `,` or `}`, found ".."
      process_name in {a..b}
                        ^^

    the regular expression cannot be used: unclosed group
      process_name matches "(a"
                           ^^^^

    the regular expression cannot be used: it takes more than 1048576 bytes of memory
      process_name matches "a{1000}{1000}"
                           ^^^^^^^^^^^^^^^

    expected a regular expression in quotes, found the end
      process_name matches
                          ^

    a network has many addresses: write `in 10.0.0.0/8`
      dst_ip == 10.0.0.0/8
                ^^^^^^^^^^

    expected an address, like 10.0.0.1 or 2001:db8::1, found "10.0.0"
      dst_ip == 10.0.0
                ^^^^^^

    expected a network, like 10.0.0.0/8, or `{`, found "10.0.0.1"
      dst_ip in 10.0.0.1
                ^^^^^^^^

    expected `,` or `}`, found ".."
      dst_ip in {10.0.0.0/8..10.0.0.1}
                           ^^

    the range is empty: it ends before it begins
      dst_ip in {10.0.0.1..::1}
                 ^^^^^^^^^^^^^

    dst_ip is an address, which goes with == != in
      dst_ip > 10.0.0.1
             ^

    dst_ip is an address, which goes with == != in
      dst_ip matches "^10"
             ^^^^^^^

    bytes_read is a measure of rows, which a filter of connections does not know: use --having
      bytes_read > 1MB
      ^^^^^^^^^^

    window_start is a window of rows, which a filter of connections does not know: use --having
      window_start == 2026-11-23T09:00:00Z
      ^^^^^^^^^^^^

    expected an address, like 10.0.0.1 or 2001:db8::1, found "10.0.0.256"
      dst_ip in {10.0.0.1,  10.0.0.2,  10.0.0.256}
                                       ^^^^^^^^^^
    "#);
    let wrong = [
        "bytes_read > 1mb",
        "bytes_read > 20ms",
        "rtt > 1MB",
        "rtt > 20 ms",
        "rtt > 1500ns",
        "retransmits > 1k",
        "connections > 1.0001",
        "bytes_read > 18446744073709551616",
        "bytes_read > 17000000000TB",
        "bytes_read > 99999999999999999999999999999999999999999999",
        "bytes_read > 0.0000000000001TB",
        "bytes_read matches \"1\"",
        "window_start >= 09:00",
        "window_start >= 9999-12-31T23:59:59-23:59",
        "dst_ip == 10.0.0.1",
        "ip == 10.0.0.1",
    ];
    let shown: Vec<String> = wrong.iter().map(|text| read_of_rows(text)).collect();
    insta::assert_snapshot!(shown.join("\n\n"), @r#"
    the units of bytes_read are B kB MB GB TB KiB MiB GiB TiB
      bytes_read > 1mb
                   ^^^

    the units of bytes_read are B kB MB GB TB KiB MiB GiB TiB
      bytes_read > 20ms
                   ^^^^

    the units of rtt are ns us ms s
      rtt > 1MB
            ^^^

    expected `and`, `or` or the end, found "ms"
      rtt > 20 ms
               ^^

    "1500ns" is not a whole number of µs
      rtt > 1500ns
            ^^^^^^

    retransmits is a plain number, without a unit
      retransmits > 1k
                    ^^

    "1.0001" is not a whole number of connections
      connections > 1.0001
                    ^^^^^^

    bytes_read is at most 18446744073709551615
      bytes_read > 18446744073709551616
                   ^^^^^^^^^^^^^^^^^^^^

    bytes_read is at most 18446744073709551615
      bytes_read > 17000000000TB
                   ^^^^^^^^^^^^^

    bytes_read is at most 18446744073709551615
      bytes_read > 99999999999999999999999999999999999999999999
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    "0.0000000000001TB" is not a whole number of bytes
      bytes_read > 0.0000000000001TB
                   ^^^^^^^^^^^^^^^^^

    bytes_read is a number, which goes with == != < <= > >= in
      bytes_read matches "1"
                 ^^^^^^^

    expected a time, like 2026-11-23T09:00:00Z, found "09:00"
      window_start >= 09:00
                      ^^^^^

    expected a time, like 2026-11-23T09:00:00Z, found "9999-12-31T23:59:59-23:59"
      window_start >= 9999-12-31T23:59:59-23:59
                      ^^^^^^^^^^^^^^^^^^^^^^^^^

    the rows have no dst_ip: add it to --by, or ask it of connections with --filter
      dst_ip == 10.0.0.1
      ^^^^^^

    the rows have no src_ip: add it to --by, or ask it of connections with --filter
      ip == 10.0.0.1
      ^^
    "#);
}

#[test]
fn only_what_is_known_at_once_can_be_asked_while_recording() {
    let read = |text| Filter::parse_recorded(text).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(read("ip in 10.0.0.0/8 and port == 80 and transport == tcp and pid == 7 and process_name == a"), Ok(()));
    insta::assert_snapshot!(read("transport == tcp and dst_domain == a.example").unwrap_err(), @r#"
    dst_domain is not known for certain while recording: record it all, and use --filter with `report` or `cut`
      transport == tcp and dst_domain == a.example
                           ^^^^^^^^^^
    "#);
    insta::assert_snapshot!(read("bytes_read > 1").unwrap_err(), @r#"
    bytes_read is a measure of rows, which a filter of connections does not know: use --having
      bytes_read > 1
      ^^^^^^^^^^
    "#);
    let known: Vec<_> = FIELDS.iter().filter(|field| field.is_recorded()).map(|field| field.name).collect();
    let words = "src_ip src_port dst_ip dst_port src_ip_type dst_ip_type family transport pid process_name netns";
    assert_eq!(known.join(" "), words);
}

#[test]
fn a_long_expression_is_shown_around_the_place() {
    let text = format!("{} or pdi == 1 or {}", vec!["pid == 1"; 20].join(" or "), vec!["pid == 1"; 20].join(" or "));
    insta::assert_snapshot!(read(&text), @r#"
    no field is named pdi; pid is the nearest; `netflow fields` lists them all
      …pid == 1 or pid == 1 or pid == 1 or pid == 1 or pid == 1 or pdi == 1 or pid == 1 or pid == 1 or pid == 1 or pid == 1 or pid…
                                                                   ^^^
    "#);
    let open = format!("pid == 1 and process_name == \"ä{}", "ö".repeat(200));
    insta::assert_snapshot!(read(&open), @r#"
    the text that begins here has no end: " is missing
      pid == 1 and process_name == "äöööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööö…
                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn limits_are_kept() {
    let deep = |depth: usize| format!("{}pid == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(read(&deep(MAX_DEPTH)), "pid == 1");
    let message = |text: &str| read(text).lines().next().unwrap().to_owned();
    insta::assert_snapshot!(message(&deep(MAX_DEPTH + 1)), @r#"
    nested too deep: at most 64 of ( and not within each other
    "#);
    insta::assert_snapshot!(message(&deep(20_000)), @r#"
    nested too deep: at most 64 of ( and not within each other
    "#);
    insta::assert_snapshot!(message(&format!("{}pid == 1", "not ".repeat(10_000))), @r#"
    nested too deep: at most 64 of ( and not within each other
    "#);
    insta::assert_snapshot!(message(&" ".repeat(MAX_LENGTH + 1)), @r#"
    the expression has 65537 bytes, and at most 65536 are read
    "#);
    let patterns = |count| vec!["process_name matches \"a\""; count].join(" or ");
    assert_eq!(read(&patterns(MAX_PATTERNS)), patterns(MAX_PATTERNS));
    insta::assert_snapshot!(message(&patterns(MAX_PATTERNS + 1)), @r#"
    too many regular expressions: at most 32; one can hold several, "a|b"
    "#);
    // As long as it may be, and flat.
    let long = format!("pid in {{{}}}", vec!["1"; (MAX_LENGTH - 20) / 3].join(", "));
    assert_eq!(read(&long), long);
    let long = vec!["pid == 1"; MAX_LENGTH / 13].join(" and ");
    assert_eq!(read(&long), long);
}

/// One value of the type in the form of the language, as a set and as a network or range.
fn sample(field: &Field) -> &'static str {
    match field.ty {
        Type::U16 | Type::U32 | Type::U64 => "7",
        Type::Ip | Type::Net => "10.0.0.1",
        Type::Time => "2026-11-23T09:00:00Z",
        Type::Text => field.words.first().copied().unwrap_or("\"a\""),
    }
}

#[test]
fn every_operator_goes_with_the_types_that_it_is_made_for() {
    let all_tags: Vec<Tag> = FIELDS.iter().filter_map(|field| Tag::parse(field.name).ok()).collect();
    let columns = Column::all(&all_tags, &[]);
    for field in &FIELDS {
        let value = sample(field);
        let (name, is_text, is_ip) = (field.name, field.ty == Type::Text, field.ty == Type::Ip);
        let is_ordered = !is_text && !is_ip;
        let table = [
            (format!("{name} == {value}"), true),
            (format!("{name} != {value}"), true),
            (format!("{name} == null"), true),
            (format!("{name} != null"), true),
            (format!("{name} in {{{value}}}"), true),
            (format!("{name} < {value}"), is_ordered),
            (format!("{name} <= {value}"), is_ordered),
            (format!("{name} > {value}"), is_ordered),
            (format!("{name} >= {value}"), is_ordered),
            (format!("{name} < null"), false),
            (format!("{name} in {{{value}..{value}}}"), !is_text),
            (format!("{name} in 10.0.0.0/8"), is_ip),
            (format!("{name} in {{10.0.0.0/8}}"), is_ip || (is_text && field.words.is_empty())),
            (format!("{name} contains \"a\""), is_text),
            (format!("{name} matches \"a\""), is_text),
            (format!("{name} == {{{value}}}"), false),
            (format!("{name} in {value}"), false),
        ];
        for (text, is_accepted) in table {
            let of_rows = Expression::parse(&text, Scope::Rows(&columns)).is_ok();
            assert_eq!(of_rows, is_accepted, "{text}");
            let is_tag = matches!(field.source, Source::Tag(_));
            assert_eq!(Expression::parse(&text, Scope::Connections).is_ok(), is_accepted && is_tag, "{text}");
        }
    }
}

fn curl() -> Flow {
    let end = |text: &str| text.parse::<Endpoint>().unwrap();
    let identity = Identity {
        pid: Some(70_000),
        process: Some("curl".into()),
        ..Identity::new(Transport::Tcp, end("10.0.0.5:40001"), end("[::ffff:93.184.216.34]:443"))
    };
    Flow {
        src_port: None,
        direction: Some(Direction::Outgoing),
        dst_domain: Some("Example.com".into()),
        ..Flow::of_identity(&Arc::new(identity))
    }
}

#[test]
fn what_holds_of_a_connection() {
    let table = [
        ("transport == tcp", true),
        ("transport != tcp", false),
        ("transport in {udp}", false),
        ("transport in {udp, tcp}", true),
        ("family == IPv4", true),
        // The real port, though it is folded in rows.
        ("src_port == 40001", true),
        ("src_port == null", false),
        ("port == 443", true),
        ("port == 40001", true),
        ("port != 443", false),
        ("port != 444", true),
        ("port < 443", false),
        ("port <= 443", true),
        ("port > 40001", false),
        ("port > 40000", true),
        ("port in {1..442, 444..40000, 40002..65535}", false),
        ("port in {442..443}", true),
        ("dst_port < 0", false),
        ("dst_port >= 0", true),
        ("pid > 4294967294", false),
        ("pid == 70000", true),
        ("ip == 10.0.0.5", true),
        ("ip == 10.0.0.6", false),
        ("ip in 93.184.0.0/16", true),
        ("dst_ip in {10.0.0.0/8, 93.184.216.34}", true),
        ("dst_ip in {10.0.0.0/8, 93.184.216.35..255.255.255.255}", false),
        ("ip in ::/0", false),
        ("ip in 0.0.0.0/0", true),
        ("process_name == curl", true),
        ("process_name == Curl", false),
        ("process_name contains url", true),
        ("process_name contains \"\"", true),
        ("process_name matches \"^c.*l$\"", true),
        ("process_name matches \"^u\"", false),
        ("dst_domain matches \"(?i)^example\\.com$\"", true),
        // A missing value is equal to nothing.
        ("container_id == null", true),
        ("container_id != null", false),
        ("container_id == \"\"", false),
        ("container_id != \"\"", true),
        ("container_id contains \"\"", false),
        ("container_id matches \"\"", false),
        ("container_id in {a}", false),
        ("netns < 5", false),
        ("netns >= 0", false),
        ("netns != 5", true),
        ("not netns < 5", true),
        ("dst_nat_ip in 0.0.0.0/0", false),
        ("dst_nat_ip != 1.1.1.1", true),
        ("ip != null", true),
        ("direction == outgoing and not transport == udp or pid == 1", true),
        ("direction == outgoing and not (transport == tcp or pid == 1)", false),
    ];
    for (text, holds) in table {
        assert_eq!(Filter::parse(text).unwrap().admits(&curl()), holds, "{text}");
    }
}

fn net(text: &str) -> Value {
    Value::Net(Net::from(text.parse::<ipnet::IpNet>().unwrap()))
}

#[test]
fn what_holds_of_a_row() {
    let columns = columns("dst_port process_name src_ip/24/64");
    let row = |port: Value, bytes_read: u64| Row {
        window: Window { start_us: 1_000_000, end_us: 2_000_000 },
        key: [port, Value::Text("curl".into()), net("10.1.2.0/24")].into(),
        sums: Sums { bytes_read, connections: 2, ..Sums::default() },
        distinct: [7, 1].into(),
    };
    let table = [
        ("bytes_read > 1kB", false),
        ("bytes_read >= 1kB", true),
        ("rtt == null and rtt != 5 and not rtt < 5", true),
        ("dst_port == 443", true),
        ("process_name == curl and connections in {1..3}", true),
        ("window_start == 1970-01-01T00:00:01Z", true),
        ("window_end > 1970-01-01T00:00:02Z", false),
        ("distinct_dst_ip > 6 and distinct_src_ip/16 == 1", true),
        ("distinct_dst_ip == 1", false),
        ("src_ip/24/64 == 10.1.2.0/24 and src_ip/24/64 == 10.1.2.9/24", true),
        ("src_ip/24/64 == 10.1.0.0/16", false),
        ("src_ip/24/64 in 10.1.0.0/16 and src_ip/24/64 in {::/0, 10.1.2.0/24}", true),
        ("src_ip/24/64 in 10.1.2.0/25", false),
        ("src_ip/24/64 in {10.1.2.0/25, 10.2.0.0/16, 10.1.2.0}", false),
        ("src_ip/24/64 != null and src_ip/24/64 != 10.1.3.0/24", true),
    ];
    for (text, holds) in table {
        assert_eq!(Having::parse(text, &columns).unwrap().admits(&row(Value::Number(443), 1000)), holds, "{text}");
    }
    for (text, holds) in [("dst_port == null", true), ("dst_port == 443", false), ("dst_port != 443", true)] {
        assert_eq!(Having::parse(text, &columns).unwrap().admits(&row(Value::Folded, 0)), holds, "{text}");
    }
}

/// The blocks of the page in that language.
fn blocks<'a>(page: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let begin = format!("```{language}\n");
    page.split("\n```")
        .zip(page.split("\n```").skip(1))
        .filter_map(move |(_, block)| format!("```{block}").strip_prefix(&begin).map(|_| &block[language.len() + 1..]))
}

#[test]
fn the_page_on_filters_tells_the_truth() {
    let page = include_str!("../FILTER.md");
    let columns = Column::all(
        &Tag::parse_all(&["src_ip", "src_port", "dst_ip", "dst_port", "process_name", "dst_ip/24"]).unwrap(),
        &Tag::parse_all(&["dst_ip"]).unwrap(),
    );
    let mut count = 0;
    for line in blocks(page, "filter").flat_map(str::lines) {
        assert!(Filter::parse(line).is_ok(), "{}", Filter::parse(line).unwrap_err());
        count += 1;
    }
    for line in blocks(page, "having").flat_map(str::lines) {
        assert!(Having::parse(line, &columns).is_ok(), "{}", Having::parse(line, &columns).unwrap_err());
        assert!(Filter::parse(line).is_err(), "{line}");
        count += 1;
    }
    assert_eq!(count, 17);
    let (text, message) = blocks(page, "wrong").next().unwrap().split_once('\n').unwrap();
    assert_eq!(read(text), message);
    // What it says of a missing value, of either end, and of what there is to ask while recording.
    let holds = |text: &str| Filter::parse(text).unwrap().admits(&curl());
    assert!(holds("container_id != \"a\"") && !holds("container_id != null and container_id != \"a\""));
    assert!(!holds("port != 443") && holds("src_port != 443"));
    let (_, recorded) = page.split_once("so it takes ").unwrap();
    let (recorded, _) = recorded.split_once(". Anything").unwrap();
    let mut named: Vec<&str> = recorded.split('`').skip(1).step_by(2).collect();
    named.retain(|name| !matches!(*name, "ip" | "port"));
    let known: Vec<&str> = FIELDS.iter().filter(|field| field.is_recorded()).map(|field| field.name).collect();
    assert_eq!(named, known);
    let limits = format!(
        "An expression has at most {},{} bytes, {MAX_DEPTH} parentheses and `not`s within each other and {MAX_PATTERNS} regular",
        MAX_LENGTH / 1000,
        MAX_LENGTH % 1000
    );
    assert!(page.contains(&limits), "{limits}");
}
