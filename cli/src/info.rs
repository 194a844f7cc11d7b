//! `netflow info`: who recorded a capture, when, and what is in it.
//!
//! From the index at the end of the file where there is one, otherwise by reading everything, and then it says so.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat};
use netflow_core::event::{Body, Header, Loss};
use netflow_formats::capture::{End, KIND_NAMES, PassedOver, Totals, read_index};
use netflow_formats::report::printable;
use serde_json::{Map, Value, json};

use crate::args::InfoArgs;
use crate::input;
use crate::outcome::Outcome;
use crate::units;

/// What there is to tell of one section of a capture.
struct Section {
    header: Header,
    totals: Totals,
    /// Bytes of the section.
    bytes: u64,
    /// `index` or `scan`.
    source: &'static str,
    end: &'static str,
    damaged: bool,
    passed_over: PassedOver,
}

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let mut lossy = false;
    let mut out = io::stdout().lock();
    let mut gap = "";
    for path in &args.inputs {
        for section in sections(path)? {
            lossy |= section.damaged || !section.totals.losses.is_zero() || section.passed_over.block_events > 0;
            if args.json {
                serde_json::to_writer(&mut out, &object(path, &section))?;
                writeln!(out)?;
            } else {
                write!(out, "{gap}{}", text(path, &section))?;
                gap = "\n";
            }
        }
    }
    Ok(if lossy { Outcome::Lossy } else { Outcome::Done })
}

fn sections(path: &Path) -> anyhow::Result<Vec<Section>> {
    if !input::is_std(path)
        && let Ok(file) = File::open(path)
        && let Ok(Some(sections)) = read_index(&file)
    {
        return Ok(sections
            .into_iter()
            .map(|section| Section {
                header: section.header,
                totals: section.index.totals,
                bytes: section.bytes,
                source: "index",
                end: "clean",
                damaged: false,
                passed_over: section.passed_over,
            })
            .collect());
    }
    scan(path)
}

fn scan(path: &Path) -> anyhow::Result<Vec<Section>> {
    let cannot = || format!("cannot read {}", input::name(path));
    let mut capture = input::open_capture(path)?;
    let mut sections = Vec::new();
    loop {
        let begin = capture.offset();
        let header = capture.header().clone();
        let mut totals = Totals::default();
        let before = capture.passed_over();
        let mut live = HashSet::new();
        for event in capture.by_ref() {
            let event = event.with_context(cannot)?;
            totals.count(&event);
            if let Some(conn) = event.body.conn() {
                let ended = matches!(event.body, Body::Close(_));
                let _ = if ended { live.remove(&conn) } else { live.insert(conn) };
            }
        }
        totals.live_at_end = live.len() as u64;
        totals.losses = capture.losses();
        let end = match capture.end() {
            Some(End::Clean) => "clean",
            Some(End::Torn { .. }) => "torn",
            Some(End::NotClosed) | None => "not closed",
        };
        let bytes = if sections.is_empty() { capture.offset() } else { capture.offset() - begin };
        let passed_over = capture.passed_over().since(before);
        totals.events += passed_over.events;
        sections.push(Section { header, totals, bytes, source: "scan", end, damaged: false, passed_over });
        if !capture.next_section().with_context(cannot)? {
            break;
        }
    }
    let damaged = input::tell_damage(path, &capture);
    if let Some(last) = sections.last_mut() {
        last.damaged = damaged;
    }
    Ok(sections)
}

/// UTC of a moment of the capture.
fn utc(header: &Header, at: u64) -> Option<String> {
    let nanos = header.boot_time_ns.checked_add(i64::try_from(at).ok()?)?;
    Some(DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn span(section: &Section) -> Option<(String, String, f64)> {
    let (first, last) = (section.totals.first_at?, section.totals.last_at?);
    let seconds = std::time::Duration::from_nanos(last.saturating_sub(first)).as_secs_f64();
    Some((utc(&section.header, first)?, utc(&section.header, last)?, seconds))
}

fn text(path: &Path, section: &Section) -> String {
    let header = &section.header;
    let totals = &section.totals;
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let mut lines = vec![
        ("capture", input::name(path)),
        (
            "recorded by",
            format!("{} on {}, kernel {}", known(&header.tool), known(&header.host), known(&header.kernel)),
        ),
    ];
    if !header.command.is_empty() {
        lines.push(("command", header.command.join(" ")));
    }
    if !header.comment.is_empty() {
        lines.push(("comment", header.comment.clone()));
    }
    if let Some((first, last, seconds)) = span(section) {
        lines.push(("time", format!("{first} to {last} ({seconds:.3} s), samples every {} ms", header.interval_ms)));
    }
    if header.part > 0
        && let Some(began) = utc(header, header.began_at)
    {
        lines.push((
            "goes on with",
            format!("the recording that began at {began}, as its file {}", u64::from(header.part) + 1),
        ));
    }
    if header.excerpt {
        let from = header.continues_from.and_then(|at| utc(header, at));
        let from = from.map_or("its beginning".to_owned(), |from| format!("behind its event at {from}"));
        lines.push(("cut out", format!("of a capture, from {from} on")));
    }
    if header.anonymized {
        lines.push(("anonymized", "names and addresses stand for others".to_owned()));
    }
    let kinds: Vec<String> = KIND_NAMES
        .iter()
        .zip(totals.counts)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    lines.push(("events", format!("{} ({})", totals.events, kinds.join(", "))));
    if !section.passed_over.is_nothing() {
        let what = format!("{}, which a newer netflow wrote and reads", section.passed_over);
        lines.push(("passed over", what));
    }
    lines.push(("older than it", units::count(totals.preexisting, "connection")));
    lines.extend(lost(&totals.losses));
    let each =
        section.bytes.checked_div(totals.events).map_or(String::new(), |each| format!(", {each} bytes an event"));
    lines.push(("size", format!("{}{each}", units::bytes(section.bytes))));
    lines.push((
        "end",
        match section.source {
            "index" => "closed cleanly".to_owned(),
            _ => format!("{}; counted by reading all of it, for it has no index", section.end),
        },
    ));
    lines.into_iter().fold(String::new(), |text, (key, value)| text + &format!("{key:<14} {}\n", printable(&value)))
}

/// Each cause of loss: on one line when there was none, otherwise on a line of its own with what it means.
pub(crate) fn lost(losses: &Loss) -> Vec<(&'static str, String)> {
    let counts = losses.counts();
    if losses.is_zero() {
        let zeros: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        return vec![("lost", format!("nothing ({})", zeros.join(", ")))];
    }
    let titles = std::iter::once("lost").chain(std::iter::repeat(""));
    let causes = counts.iter().zip(Loss::MEANINGS);
    titles.zip(causes.map(|((name, count), meaning)| format!("{name:<14} {count:>9}  {meaning}"))).collect()
}

/// What a later version wrote.
pub(crate) fn passed_over(passed_over: &PassedOver) -> Value {
    json!({
        "blocks": passed_over.blocks, "block_events": passed_over.block_events,
        "events": passed_over.events, "wider_blocks": passed_over.wider_blocks,
    })
}

fn object(path: &Path, section: &Section) -> Value {
    let header = &section.header;
    let totals = &section.totals;
    let counts: Map<String, Value> =
        KIND_NAMES.iter().zip(totals.counts).map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let losses: Map<String, Value> =
        totals.losses.counts().iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let (first, last, seconds) =
        span(section).map_or((None, None, None), |(first, last, seconds)| (Some(first), Some(last), Some(seconds)));
    json!({
        "capture": input::name(path),
        "tool": header.tool, "host": header.host, "kernel": header.kernel, "boot_id": header.boot_id,
        "boot_time_ns": header.boot_time_ns, "interval_ms": header.interval_ms,
        "ephemeral_port_min": header.ephemeral_port_min, "ephemeral_port_max": header.ephemeral_port_max,
        "began_at": header.began_at, "part": header.part, "command": header.command, "comment": header.comment,
        "continues_from": header.continues_from, "excerpt": header.excerpt, "anonymized": header.anonymized,
        "first": first, "last": last, "seconds": seconds,
        "events": totals.events, "counts": counts, "preexisting": totals.preexisting, "live_at_end": totals.live_at_end,
        "losses": losses, "passed_over": passed_over(&section.passed_over), "bytes": section.bytes, "source": section.source, "end": section.end,
    })
}
