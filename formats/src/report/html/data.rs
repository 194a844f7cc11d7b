//! What a page says, as data.
//!
//! In: the three reports. Out: what is written as JSON into the page. Never here: markup, how numbers are written.

use std::collections::BTreeSet;

use netflow_core::event::{Header, Loss};
use netflow_core::report::{Report, Row, Window};
use netflow_core::value::Value;
use serde::Serialize;

use super::HtmlOptions;
use super::over_time::OverTime;
use super::table::{Exact, Kind, Ranking, Table};
use super::windows::Base;
use crate::report::table::{left_out, oddities, printable};
use crate::report::{ReportError, rfc3339};

#[derive(Debug, Serialize)]
pub(super) struct Data {
    hosts: Vec<String>,
    /// In µs since 1970.
    span: Option<[i64; 2]>,
    interval_ms: u64,
    asked: Vec<(String, String)>,
    is_lossy: bool,
    is_damaged: bool,
    totals: Totals,
    over_time: Option<OverTime>,
    talkers: Table,
    processes: Table,
    peers: Table,
    failures: Table,
    rows: Table,
    losses: Vec<Count>,
    oddities: Vec<Count>,
    left_out: Vec<Count>,
    recordings: Vec<Vec<(&'static str, String)>>,
}

/// The key figures.
#[derive(Debug, Serialize)]
struct Totals {
    received: Exact,
    sent: Exact,
    packets_received: Exact,
    packets_sent: Exact,
    connections: Exact,
    opened: Exact,
    closed: Exact,
    failed: Exact,
    retransmits: Exact,
    rtt: Option<Exact>,
    rtt_min: Option<Exact>,
    rtt_max: Option<Exact>,
    processes: usize,
    peers: usize,
    events: Exact,
    unclosed: Exact,
}

/// How often something was.
#[derive(Debug, Serialize)]
struct Count {
    name: &'static str,
    count: Exact,
    what: &'static str,
}

impl Data {
    /// `rows` is sorted; the first of them are taken.
    pub(super) fn new(
        rows: &Report,
        relations: &Report,
        over_time: &Report,
        windows: Base,
        options: &HtmlOptions,
    ) -> Result<Self, ReportError> {
        let headers = &relations.headers;
        let interval_ms = headers.iter().map(|header| header.interval_ms).max().unwrap_or(0);
        // What no calendar can show, a browser cannot either.
        relations.span.map_or(Ok(()), |span| rfc3339(span.start_us).and(rfc3339(span.end_us)).map(drop))?;
        let hosts: BTreeSet<String> = headers.iter().map(|header| printable(&header.host)).collect();
        let several = hosts.len() > 1;
        let processes = processes(relations, several);
        let peers = peers(relations);
        let diagnostics = &relations.diagnostics;
        Ok(Self {
            hosts: hosts.into_iter().collect(),
            span: relations.span.map(|span: Window| [span.start_us, span.end_us]),
            interval_ms,
            asked: options.asked.iter().map(|(name, value)| (name.clone(), printable(value))).collect(),
            is_lossy: diagnostics.is_lossy(),
            is_damaged: options.is_damaged,
            totals: Totals::new(relations, processes.known(), peers.known()),
            over_time: OverTime::new(over_time, windows, interval_ms),
            talkers: talkers(relations, several),
            processes: processes
                .top(&["received", "sent", "conns", "opened", "failed", "retrans", "rtt"], |sums| sums.bytes()),
            peers: peers
                .top(&["received", "sent", "conns", "failed", "retrans", "rtt", "rtt min", "rtt max"], |sums| {
                    sums.bytes()
                }),
            failures: failures(relations, several),
            rows: Table::of_report(rows, options.top),
            losses: (diagnostics.loss.counts().into_iter().zip(Loss::MEANINGS))
                .map(|((name, count), what)| Count { name, count: Exact(count), what })
                .collect(),
            oddities: oddities(diagnostics)
                .into_iter()
                .map(|(what, count)| Count { name: "", count: Exact(count), what })
                .collect(),
            left_out: left_out(relations)
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| Count { name: "", count: Exact(count), what })
                .collect(),
            recordings: recordings(headers),
        })
    }
}

impl Totals {
    fn new(relations: &Report, processes: usize, peers: usize) -> Self {
        let sums = relations.totals();
        let tcp = sums.tcp.unwrap_or_default();
        Self {
            received: Exact(sums.bytes_read),
            sent: Exact(sums.bytes_written),
            packets_received: Exact(sums.packets_read),
            packets_sent: Exact(sums.packets_written),
            connections: Exact(sums.connections),
            opened: Exact(tcp.established),
            closed: Exact(tcp.closed),
            failed: Exact(tcp.connect_failures),
            retransmits: Exact(tcp.retransmits),
            rtt: tcp.rtt.mean().map(Exact),
            rtt_min: tcp.rtt.min().map(|us| Exact(us.into())),
            rtt_max: tcp.rtt.max().map(|us| Exact(us.into())),
            processes,
            peers,
            events: Exact(relations.diagnostics.events),
            unclosed: Exact(relations.diagnostics.unclosed),
        }
    }
}

/// The tags of a relation, in the order of [`super::RELATION_TAGS`].
struct Relation<'a>(&'a Row);

impl Relation<'_> {
    fn tag(&self, index: usize) -> Value {
        self.0.key.get(index).cloned().unwrap_or(Value::Null)
    }

    /// Only where there are several.
    fn host(&self, several: bool) -> Value {
        if several { self.tag(0) } else { Value::Null }
    }

    fn process(&self) -> Value {
        self.tag(1)
    }

    fn direction(&self) -> Value {
        self.tag(3)
    }

    fn name(&self) -> Value {
        self.tag(5)
    }

    fn address(&self) -> Value {
        self.tag(6)
    }

    /// The port that is not the client's.
    fn service(&self) -> Value {
        let port = if self.direction() == Value::Word("incoming") { self.tag(4) } else { self.tag(7) };
        match (self.tag(2), port) {
            (Value::Word(transport), Value::Number(port)) => Value::Text(format!("{transport}/{port}").into()),
            (transport, _) => transport,
        }
    }
}

const HOST: (&str, &str, Kind) = ("host", "The recorded host.", Kind::Text);
const PROCESS: (&str, &str, Kind) = ("process", "Name of the process on this side.", Kind::Text);
const DIRECTION: (&str, &str, Kind) = ("direction", "Who began: outgoing is this side.", Kind::Text);
const NAME: (&str, &str, Kind) = ("name", "Name under which the remote address was looked up.", Kind::Text);
const ADDRESS: (&str, &str, Kind) = ("address", "The remote address.", Kind::Text);
const SERVICE: (&str, &str, Kind) = ("service", "The server's port, whichever side it is on.", Kind::Text);

fn talkers(relations: &Report, several: bool) -> Table {
    Ranking::new(&[PROCESS, DIRECTION, NAME, ADDRESS, SERVICE, HOST], &relations.rows, |row| {
        let row = Relation(row);
        vec![row.process(), row.direction(), row.name(), row.address(), row.service(), row.host(several)]
    })
    .top(&["received", "sent", "conns", "retrans", "rtt"], |sums| sums.bytes())
}

fn processes(relations: &Report, several: bool) -> Ranking {
    Ranking::new(&[PROCESS, HOST], &relations.rows, |row| {
        let row = Relation(row);
        vec![row.process(), row.host(several)]
    })
}

fn peers(relations: &Report) -> Ranking {
    Ranking::new(&[ADDRESS, NAME], &relations.rows, |row| vec![Relation(row).address(), Relation(row).name()])
}

fn failures(relations: &Report, several: bool) -> Table {
    let failed = |row: &&Row| row.sums.tcp.is_some_and(|tcp| tcp.connect_failures > 0);
    Ranking::new(&[PROCESS, NAME, ADDRESS, SERVICE, HOST], relations.rows.iter().filter(failed), |row| {
        let row = Relation(row);
        vec![row.process(), row.name(), row.address(), row.service(), row.host(several)]
    })
    .top(&["failed", "opened", "conns"], |sums| sums.tcp.map_or(0, |tcp| tcp.connect_failures))
}

/// How each recording was made, in the order of the captures. The sections of one recording, in whichever files, are told of once.
fn recordings(headers: &[Header]) -> Vec<Vec<(&'static str, String)>> {
    let mut recordings: Vec<(&Header, u64)> = Vec::new();
    for header in headers {
        match recordings.iter_mut().find(|(known, _)| known.is_of_same_recording(header)) {
            Some((_, sections)) => *sections += 1,
            None => recordings.push((header, 1)),
        }
    }
    recordings.into_iter().map(|(header, sections)| recording(header, sections)).collect()
}

fn recording(header: &Header, sections: u64) -> Vec<(&'static str, String)> {
    let began = (header.began_at > 0)
        .then(|| header.boot_time_ns.saturating_add(i64::try_from(header.began_at).unwrap_or(i64::MAX)))
        .and_then(|ns| rfc3339(ns.div_euclid(1_000)).ok());
    let ports = match (header.ephemeral_port_min, header.ephemeral_port_max) {
        (0, _) | (_, 0) => String::new(),
        (min, max) => format!("{min} to {max}"),
    };
    let cut = if header.excerpt { "of a longer recording (netflow cut)" } else { "" };
    [
        ("host", header.host.clone()),
        ("recorded by", header.tool.clone()),
        ("command", header.command.join(" ")),
        ("remark", header.comment.clone()),
        ("kernel", header.kernel.clone()),
        ("began", began.unwrap_or_default()),
        ("connections sampled", if header.interval_ms > 0 { every(header.interval_ms) } else { String::new() }),
        ("clients' ports", ports),
        ("sections", if sections > 1 { sections.to_string() } else { String::new() }),
        ("cut out", cut.to_owned()),
        ("boot", header.boot_id.clone()),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(name, text)| (name, printable(&text)))
    .collect()
}

fn every(ms: u64) -> String {
    format!("every {}", humantime::format_duration(std::time::Duration::from_millis(ms)))
}
