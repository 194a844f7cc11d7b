//! Events in few words, and reports as lines of text: so that a test reads like a table.

#![allow(dead_code, reason = "each file of tests uses a part")]

pub(crate) mod captures;
pub(crate) mod chance;

use std::sync::Arc;

use netflow_core::column::{Column, Tag};
use netflow_core::event::{
    Body, Close, Direction, Dns, Event, Header, Identity, Listen, Nat, Open, Process, Sample, TcpStates, Tick, Totals,
    Transport,
};
use netflow_core::filter::BuiltIn;
use netflow_core::flow::PortOptions;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Report, Row};
use netflow_core::value::Value;

/// Nanoseconds in a second.
pub(crate) const S: u64 = 1_000_000_000;

/// The end of a complete snapshot.
pub(crate) const TICK: Body = Body::Tick(Tick { complete: true });

/// The end of a snapshot that was cut short.
pub(crate) const CUT_TICK: Body = Body::Tick(Tick { complete: false });

/// A report by these fields in windows of so many seconds, with every port as it is.
pub(crate) fn options(by: &str, every_s: u64, keep_idle: bool) -> ReportOptions {
    ReportOptions {
        by: by.split(' ').filter(|name| !name.is_empty()).map(|name| Tag::parse(name).unwrap()).collect(),
        every_ns: Some(every_s * S),
        filter: BuiltIn { keep_idle, ..BuiltIn::default() },
        ports: PortOptions { no_fold: true, ..PortOptions::default() },
        ..ReportOptions::default()
    }
}

/// A TCP connection of which nothing else is known.
pub(crate) fn tcp(local: &str, remote: &str) -> Identity {
    Identity::new(Transport::Tcp, local.parse().unwrap(), remote.parse().unwrap())
}

/// A UDP flow of which nothing else is known.
pub(crate) fn udp(local: &str, remote: &str) -> Identity {
    Identity { transport: Transport::Udp, ..tcp(local, remote) }
}

/// An outgoing TCP connection of process 7 in namespace 1.
pub(crate) fn client() -> Identity {
    let (pid, netns) = (Some(7), Some(1));
    Identity { direction: Some(Direction::Outgoing), pid, netns, ..tcp("10.0.0.1:40001", "8.8.8.8:443") }
}

/// Bytes both ways.
pub(crate) fn bytes(sent_bytes: u64, recv_bytes: u64) -> Totals {
    Totals { sent_bytes, recv_bytes, ..Totals::default() }
}

pub(crate) fn open(conn: u64, identity: &Identity) -> Body {
    Body::Open(Open { conn, identity: Arc::new(identity.clone()) })
}

pub(crate) fn sample(conn: u64, totals: Totals) -> Body {
    Body::Sample(Sample { conn, totals, identity: None })
}

pub(crate) fn sample_of(conn: u64, totals: Totals, identity: &Identity) -> Body {
    Body::Sample(Sample { conn, totals, identity: Some(Arc::new(identity.clone())) })
}

/// The end of a connection that was established.
pub(crate) fn close(conn: u64, totals: Totals) -> Body {
    close_of(conn, totals, None, &["established", "close"])
}

pub(crate) fn close_of(conn: u64, totals: Totals, identity: Option<&Identity>, states: &[&str]) -> Body {
    let tcp_states = states.iter().fold(TcpStates::default(), |states, name| states.with_name(name).unwrap());
    Body::Close(Close { conn, totals, identity: identity.cloned().map(Arc::new), tcp_states, reason: None })
}

pub(crate) fn process(pid: u32, name: &str) -> Body {
    Body::Process(Process::new(pid, name))
}

pub(crate) fn in_container(pid: u32, name: &str, container: &str) -> Body {
    let container_id = Some(container.into());
    Body::Process(Process { container_id, ..Process::new(pid, name) })
}

pub(crate) fn exit(pid: u32, name: &str) -> Body {
    Body::Process(Process { exited: true, ..Process::new(pid, name) })
}

pub(crate) fn dns(name: &str, addr: &str, ttl_s: u32, netns: Option<u32>) -> Body {
    Body::Dns(Dns { name: name.into(), addr: addr.parse().unwrap(), ttl_s, netns, pid: None })
}

/// The destination of `identity` is translated.
pub(crate) fn nat(identity: &Identity, dst: &str) -> Body {
    let Identity { transport, local, remote, netns, .. } = *identity;
    Body::Nat(Nat { transport, local, remote, dst: dst.parse().unwrap(), netns, end: false })
}

pub(crate) fn listen(local: &str, netns: Option<u32>, pid: u32, end: bool) -> Body {
    let local = local.parse().unwrap();
    Body::Listen(Listen { transport: Transport::Tcp, local, netns, pid: Some(pid), process: None, end })
}

/// Events at whole seconds.
pub(crate) fn at_seconds(events: Vec<(u64, Body)>) -> Vec<Event> {
    events.into_iter().map(|(at_s, body)| Event { at: at_s * S, body }).collect()
}

/// The report on one capture.
pub(crate) fn report(events: &[Event], options: ReportOptions) -> Report {
    let mut pipeline = Pipeline::new(options);
    pipeline.begin(&Header { host: "abc".into(), ..Header::default() });
    events.iter().for_each(|event| pipeline.push(event));
    pipeline.finish()
}

/// These cells of every row, separated by blanks: `-` is unknown, `*` is folded.
pub(crate) fn lines(report: &Report, fields: &str) -> Vec<String> {
    let text = |value: Value| match value {
        Value::Null => "-".to_owned(),
        Value::Folded => "*".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Net(net) => net.to_string(),
        Value::Word(word) => word.to_owned(),
        Value::Text(text) => text.to_string(),
        Value::Time(time) => time.to_string(),
    };
    let wanted: Vec<&Column> = fields
        .split(' ')
        .map(|name| Column::find(&report.columns, name).unwrap_or_else(|| panic!("no {name}")))
        .collect();
    let line = |row: &Row| wanted.iter().map(|column| text(row.cell(column.cell))).collect::<Vec<_>>().join(" ");
    report.rows.iter().map(line).collect()
}

/// These cells of every row of the report on events at whole seconds, grouped by the tags among them.
pub(crate) fn rows(events: Vec<(u64, Body)>, fields: &str) -> Vec<String> {
    let by = fields.split(' ').filter_map(|name| Tag::parse(name).ok()).collect();
    lines(&report(&at_seconds(events), ReportOptions { by, ..ReportOptions::default() }), fields)
}
