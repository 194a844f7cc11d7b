//! What holds of every expression: it is read as it is shown, it says of every value what its parts say one by one, and a
//! filter only chooses.

#![allow(clippy::unwrap_used, clippy::panic)]

mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::column::{Column, Tag};
use netflow_core::event::{Direction, Event, Header, Identity};
use netflow_core::field::{FIELDS, Field, Source};
use netflow_core::filter::expression::{Comparison, Item, Literal, Pattern, Subject, Test};
use netflow_core::filter::{Expression, Filter, Having, Scope};
use netflow_core::flow::Flow;
use netflow_core::pipeline::ReportOptions;
use netflow_core::report::{Report, Row};
use netflow_core::ticks::Ticks;
use netflow_core::value::{Type, Value};
use proptest::prelude::*;
use stream::{TICK, at_seconds, bytes, client, close, lines, open, options, process, report, sample, tcp, udp};

/// Few values, so that they are often equal, and the ends of their ranges.
fn literal(ty: Type, words: &'static [&'static str]) -> BoxedStrategy<Literal> {
    let number =
        |most: u64| prop_oneof![0..5_u64, 440..445_u64, Just(most), Just(most - 1)].prop_map(Literal::Number).boxed();
    match ty {
        Type::U16 => number(u16::MAX.into()),
        Type::U32 => number(u32::MAX.into()),
        Type::U64 => number(u64::MAX),
        Type::Ip | Type::Net => ip().prop_map(Literal::Ip).boxed(),
        Type::Time => (-3..3_i64).prop_map(Literal::Time).boxed(),
        Type::Text if words.is_empty() => text().prop_map(Literal::Text).boxed(),
        Type::Text => prop::sample::select(words).prop_map(|word| Literal::Text(word.to_owned())).boxed(),
    }
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..3_u8, 0..3_u8).prop_map(|(c, d)| IpAddr::from([10, 0, c, d])),
        Just(IpAddr::from([0; 4])),
        Just(IpAddr::from([255; 4])),
        (0..3_u16).prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])),
        Just(IpAddr::from([0xff_u8; 16])),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "", "a", "b", "ab", "curl", "null", "and", "a\"b", "\\", "\\\"", "a b", "'", "ä", "\n"
        ])
        .prop_map(str::to_owned),
        any::<String>()
    ]
}

fn item(ty: Type, words: &'static [&'static str]) -> BoxedStrategy<Item> {
    let one = literal(ty, words).prop_map(Item::One).boxed();
    let range = (literal(ty, words), literal(ty, words)).prop_filter_map("empty", |(first, last)| {
        let (first, last) = match (&first, &last) {
            (Literal::Number(a), Literal::Number(b)) if a > b => (last, first),
            (Literal::Time(a), Literal::Time(b)) if a > b => (last, first),
            (Literal::Ip(a), Literal::Ip(b)) if a.is_ipv4() != b.is_ipv4() => return None,
            (Literal::Ip(a), Literal::Ip(b)) if a > b => (last, first),
            _ => (first, last),
        };
        Some(Item::Range(first, last))
    });
    let network = (ip(), 0..=128_u8).prop_filter_map("prefix", |(ip, prefix)| {
        ipnet::IpNet::new(ip, prefix.min(if ip.is_ipv4() { 32 } else { 128 }))
            .ok()
            .map(|net| Item::Network(net.trunc()))
    });
    match ty {
        Type::Text => one,
        Type::Ip => prop_oneof![one, range, network].boxed(),
        _ => prop_oneof![one, range].boxed(),
    }
}

fn subject(rows: bool) -> impl Strategy<Value = Subject> {
    let fields: Vec<Subject> = FIELDS
        .iter()
        .filter(|field| rows || matches!(field.source, Source::Tag(_)))
        .map(Subject::Field)
        .chain([Subject::Ip, Subject::Port, Subject::Ip, Subject::Port])
        .collect();
    prop::sample::select(fields)
}

fn test(subject: Subject) -> BoxedStrategy<Expression> {
    let (ty, words) = match subject {
        Subject::Field(field) => (field.ty, field.words),
        Subject::Ip => (Type::Ip, [].as_slice()),
        Subject::Port => (Type::U16, [].as_slice()),
        Subject::Prefix(_) | Subject::Distinct(_) => unreachable!("not among those chosen"),
    };
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Unequal};
    let comparisons = match ty {
        Type::Text | Type::Ip => vec![Equal, Unequal],
        _ => vec![Equal, Unequal, Less, LessOrEqual, Greater, GreaterOrEqual],
    };
    let compare = (prop::sample::select(comparisons), literal(ty, words))
        .prop_map(|(comparison, literal)| Test::Compare(comparison, literal));
    let set = prop::collection::vec(item(ty, words), 1..5).prop_map(Test::In);
    let missing = prop_oneof![Just(Test::Missing), Just(Test::Present)];
    let of_text = prop_oneof![
        text().prop_map(Test::Contains),
        prop::sample::select(vec!["", "^a", "b$", "(?i)CURL", "[a-c]+", "\\w", "\"", "\\\\"])
            .prop_map(|pattern| Test::Matches(Pattern::new(pattern).unwrap()))
    ];
    let test = if ty == Type::Text {
        prop_oneof![2 => compare, 2 => set, 1 => missing, 2 => of_text].boxed()
    } else {
        prop_oneof![3 => compare, 2 => set, 1 => missing].boxed()
    };
    test.prop_map(move |test| Expression::Test(subject, test)).boxed()
}

fn expression(rows: bool) -> impl Strategy<Value = Expression> {
    subject(rows).prop_flat_map(test).prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::all),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::any),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

/// What an expression says, item by item, by nothing but its meaning.
fn holds(expression: &Expression, value: &dyn Fn(&'static Field) -> Value) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| holds(part, value)),
        Expression::Any(parts) => parts.iter().any(|part| holds(part, value)),
        Expression::Not(part) => !holds(part, value),
        Expression::Test(subject, test) => {
            let field = |name: &str| value(Field::by_name(name).unwrap());
            let values = match subject {
                Subject::Field(field) => vec![value(field)],
                Subject::Ip => vec![field("src_ip"), field("dst_ip")],
                Subject::Port => vec![field("src_port"), field("dst_port")],
                Subject::Prefix(_) | Subject::Distinct(_) => unreachable!("not among those chosen"),
            };
            let some = |holds: &dyn Fn(&Value) -> bool| values.iter().any(holds);
            let text = |value: &Value| match value {
                Value::Word(word) => Some((*word).to_owned()),
                Value::Text(text) => Some(text.to_string()),
                _ => None,
            };
            let is_missing = |value: &Value| matches!(value, Value::Null | Value::Folded);
            match test {
                Test::Missing => some(&is_missing),
                Test::Present => !some(&is_missing),
                Test::Compare(Comparison::Unequal, literal) => !some(&|value| order(value, literal) == Some(0)),
                Test::Compare(comparison, literal) => some(&|value| {
                    order(value, literal).is_some_and(|order| match comparison {
                        Comparison::Equal | Comparison::Unequal => order == 0,
                        Comparison::Less => order < 0,
                        Comparison::LessOrEqual => order <= 0,
                        Comparison::Greater => order > 0,
                        Comparison::GreaterOrEqual => order >= 0,
                    })
                }),
                Test::In(items) => some(&|value| {
                    items.iter().any(|item| match item {
                        Item::One(literal) => order(value, literal) == Some(0),
                        Item::Range(first, last) => {
                            order(value, first).is_some_and(|order| order >= 0)
                                && order(value, last).is_some_and(|order| order <= 0)
                        }
                        Item::Network(network) => matches!(value, Value::Ip(ip) if network.contains(ip)),
                    })
                }),
                Test::Contains(part) => some(&|value| text(value).is_some_and(|text| text.contains(part.as_str()))),
                Test::Matches(pattern) => some(&|value| text(value).is_some_and(|text| pattern.is_found_in(&text))),
            }
        }
    }
}

fn order(value: &Value, literal: &Literal) -> Option<i32> {
    let ordering = match (value, literal) {
        (Value::Number(value), Literal::Number(literal)) => value.cmp(literal),
        (Value::Time(value), Literal::Time(literal)) => value.cmp(literal),
        (Value::Ip(value), Literal::Ip(literal)) => value.cmp(literal),
        (Value::Word(value), Literal::Text(literal)) => (*value).cmp(literal),
        (Value::Text(value), Literal::Text(literal)) => (**value).cmp(literal),
        _ => return None,
    };
    Some(ordering as i32)
}

fn endpoint() -> impl Strategy<Value = netflow_core::address::Endpoint> {
    (ip(), prop_oneof![0..5_u16, 440..445_u16, Just(u16::MAX)])
        .prop_map(|(ip, port)| netflow_core::address::Endpoint::new(ip, port))
}

fn flow() -> impl Strategy<Value = Flow> {
    let name = || prop::option::of(prop::sample::select(vec!["", "a", "b", "ab", "curl", "null", "ä"]));
    (endpoint(), endpoint(), any::<bool>(), prop::option::of(0..5_u32), name(), name(), any::<bool>()).prop_map(
        |(local, remote, is_tcp, pid, process, domain, is_folded)| {
            let identity = if is_tcp { tcp("1.1.1.1:1", "1.1.1.1:1") } else { udp("1.1.1.1:1", "1.1.1.1:1") };
            let identity = Identity { local, remote, pid, process: process.map(Arc::from), ..identity };
            let flow = Flow::of_identity(&Arc::new(identity));
            let src_port = flow.src_port.filter(|_| !is_folded);
            let (connection, began) = (pid.map(u64::from), pid.map(|pid| i64::from(pid) - 2));
            let (dst_domain, dst_nat) = (domain.map(Arc::from), is_folded.then_some(remote));
            Flow { connection, began, src_port, dst_domain, dst_nat, ..flow }
        },
    )
}

/// A connection's value, its ports unfolded.
fn value_of(flow: &Flow, field: &Field) -> Value {
    match (field.name, field.source) {
        ("src_port", _) => Value::Number(flow.identity.local.port().into()),
        ("dst_port", _) => Value::Number(flow.identity.remote.port().into()),
        (_, Source::Tag(get)) => get(flow),
        _ => panic!("{}", field.name),
    }
}

fn filter(expression: &Expression) -> Filter {
    Filter::parse(&expression.to_string()).unwrap()
}

fn not(expression: &Expression) -> Expression {
    Expression::Not(Box::new(expression.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_shown_is_read_as_the_same(expression in expression(true)) {
        let all_tags: Vec<Tag> = FIELDS.iter().filter_map(|field| Tag::parse(field.name).ok()).collect();
        let columns = Column::all(&all_tags, &[]);
        let shown = expression.to_string();
        let again = Expression::parse(&shown, Scope::Rows(&columns)).map_err(|error| error.to_string());
        prop_assert_eq!(again, Ok(expression));
    }

    /// Words that a field can have and that are not in its list could not be asked for.
    #[test]
    fn a_field_has_no_words_but_those_of_its_list(flow in flow(), is_shared in any::<bool>(), is_incoming in any::<bool>()) {
        let direction = Some(if is_incoming { Direction::Incoming } else { Direction::Outgoing });
        let identity = Arc::new(Identity { shared: is_shared, ..Identity::clone(&flow.identity) });
        let flow = Flow { direction, identity, sub_source: Some("K8s"), ..flow };
        for field in &FIELDS {
            let Source::Tag(get) = field.source else { continue };
            match get(&flow) {
                Value::Word(word) => prop_assert!(field.words.contains(&word), "{}: {word}", field.name),
                Value::Text(_) => prop_assert!(field.words.is_empty(), "{}", field.name),
                _ => {}
            }
        }
    }

    #[test]
    fn it_says_what_its_parts_say(expression in expression(false), flow in flow()) {
        let expected = holds(&expression, &|field| value_of(&flow, field));
        prop_assert_eq!(filter(&expression).admits(&flow), expected);
    }

    #[test]
    fn negation_is_as_in_logic(one in expression(false), other in expression(false), flow in flow()) {
        let admits = |expression: Expression| filter(&expression).admits(&flow);
        prop_assert_eq!(admits(not(&not(&one))), admits(one.clone()));
        prop_assert_ne!(admits(not(&one)), admits(one.clone()));
        prop_assert_eq!(
            admits(not(&Expression::all(vec![one.clone(), other.clone()]))),
            admits(Expression::any(vec![not(&one), not(&other)]))
        );
        prop_assert_eq!(
            admits(not(&Expression::any(vec![one.clone(), other.clone()]))),
            admits(Expression::all(vec![not(&one), not(&other)]))
        );
    }

    /// Text that looks like an expression, and any text at all: an answer, and one that can be shown.
    #[test]
    fn any_text_has_an_answer(words in prop::collection::vec(prop::sample::select(vec![
        "dst_port", "ip", "process_name", "rtt", "==", "!=", "<", "in", "contains", "matches", "and", "or", "not", "(", ")", "{", "}",
        ",", "..", "80", "1MB", "10.0.0.0/8", "::1", "\"a\"", "\"", "null", "tcp", "é", "\u{0}", "1.5.", "(((", "..."
    ]), 0..12), blank in prop::sample::select(vec!["", " "]), noise in any::<String>()) {
        for text in [words.join(blank), noise] {
            match Expression::parse(&text, Scope::Connections) {
                Ok(expression) => {
                    let shown = expression.to_string();
                    prop_assert_eq!(Expression::parse(&shown, Scope::Connections).unwrap(), expression);
                }
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 3),
            }
        }
    }

    /// A filter of rows is a look at the rows.
    #[test]
    fn having_chooses_rows(expression in expression(true), sent in prop::collection::vec((1..6_u16, 0..1000_u64), 1..8)) {
        let having = match Having::parse(&expression.to_string(), &ReportOptions::default().columns()) {
            Ok(having) => having,
            // The tags that rows have on request only.
            Err(error) => {
                let names = FIELDS.iter().filter(|field| field.on_request).map(|field| field.name);
                prop_assert!(names.into_iter().any(|name| error.to_string().contains(name)), "{error}");
                return Ok(());
            }
        };
        let events: Vec<Event> = sent.iter().enumerate().flat_map(|(id, (port, sent))| {
            let id = id as u64;
            at_seconds(vec![(id, open(id, &tcp("10.0.0.1:40000", &format!("10.0.0.2:{port}")))), (id, close(id, bytes(*sent, 0)))])
        }).collect();
        let mut all = report(&events, ReportOptions::default());
        let some = report(&events, ReportOptions { having: Some(having), ..ReportOptions::default() });
        let cells = |report: &Report, row: &Row, field: &Field| {
            let column = report.columns.iter().position(|column| column.name == field.name).unwrap();
            report.cells(row).nth(column).unwrap()
        };
        let keep: Vec<bool> =
            all.rows.iter().map(|row| holds(&expression, &|field| cells(&all, row, field))).collect();
        let mut keep = keep.into_iter();
        all.rows.retain(|_| keep.next().unwrap());
        prop_assert_eq!(some.rows, all.rows);
        prop_assert_eq!((some.left_out, some.diagnostics), (all.left_out, all.diagnostics));
    }
}

fn only(text: &str, options: ReportOptions) -> ReportOptions {
    ReportOptions { only: Some(Filter::parse(text).unwrap()), ..options }
}

#[test]
fn a_filter_chooses_connections_and_counts_the_others() {
    let events = at_seconds(vec![
        (1, open(1, &client())),
        (1, open(2, &Identity { pid: Some(8), ..client() })),
        (1, open(3, &tcp("127.0.0.1:1", "127.0.0.1:2"))),
        (1, open(4, &udp("10.0.0.1:40002", "8.8.8.8:53"))),
        (2, close(1, bytes(10, 0))),
        (2, close(2, bytes(20, 0))),
    ]);
    let shown = |text: &str| {
        let report = report(&events, only(text, options("pid", 0, false)));
        let out = report.left_out;
        (lines(&report, "pid bytes_written"), (out.filter, out.loopback, out.idle), report.diagnostics.unclosed)
    };
    assert_eq!(shown("pid == 7"), (vec!["7 10".to_owned()], (3, 0, 0), 0));
    assert_eq!(shown("transport == tcp"), (vec!["7 10".to_owned(), "8 20".to_owned()], (1, 1, 0), 1));
    assert_eq!(shown("dst_port == 53"), (vec![], (3, 0, 1), 1));
    // The real port, and the rows fold it all the same.
    let folded = ReportOptions {
        only: Some(Filter::parse("src_port == 40001 and pid == 8").unwrap()),
        ..ReportOptions::default()
    };
    assert_eq!(lines(&report(&events, folded), "src_port bytes_written"), ["* 20"]);
}

#[test]
fn what_is_learned_late_holds_for_the_whole_connection() {
    let events = at_seconds(vec![
        (1, open(1, &client())),
        (1, sample(1, bytes(10, 0))),
        (2, TICK),
        (3, process(7, "curl")),
        (4, close(1, bytes(15, 0))),
        (5, TICK),
    ]);
    let found = report(&events, only("process_name == curl", options("transport", 0, false)));
    assert_eq!((lines(&found, "bytes_written"), found.left_out.filter), (vec!["15".to_owned()], 0));
    let found = report(&events, only("process_name == null", options("transport", 0, false)));
    assert_eq!((found.rows.len(), found.left_out.filter), (0, 1));
    // Tick by tick, by what is known at each: nothing that another interval has is counted again.
    let by_tick = |text: &str| {
        let mut ticks = Ticks::new(only(text, options("transport", 0, false)));
        ticks.begin(&Header::default());
        let mut reports: Vec<Report> = events.iter().filter_map(|event| ticks.push(event)).collect();
        reports.push(ticks.finish());
        let sums: Vec<u64> = reports.iter().map(|report| report.totals().bytes_written).collect();
        (sums, reports.last().unwrap().left_out.filter)
    };
    assert_eq!(by_tick("process_name == curl"), (vec![0, 5, 0], 0));
    assert_eq!(by_tick("process_name == null"), (vec![10, 0, 0], 1));
}
