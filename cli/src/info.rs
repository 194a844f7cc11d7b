//! `netflow info`: who recorded a capture, when, and what is in it.
//!
//! In: captures. Out: what there is to tell of each recording in them, however many sections it has. From the indexes where
//! the sections have them; one that was not closed is read, and then it says so.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat};
use netflow_core::event::{Body, Header, Loss};
use netflow_formats::capture::{End, KIND_NAMES, Layout, PassedOver, SaidAgain, SectionIndex, Totals, find_sections};
use netflow_formats::report::printable;
use serde_json::{Map, Value, json};

use crate::args::InfoArgs;
use crate::input;
use crate::outcome::Outcome;
use crate::units;

/// What there is to tell of a recording in a capture.
struct Recording {
    header: Header,
    /// Of its last section.
    last_header: Header,
    sections: u64,
    /// Of all sections together, without what each says again of the one before.
    totals: Totals,
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
        for recording in recordings(path)? {
            lossy |= recording.damaged || !recording.totals.losses.is_zero() || recording.passed_over.block_events > 0;
            if args.json {
                serde_json::to_writer(&mut out, &object(path, &recording))?;
                writeln!(out)?;
            } else {
                write!(out, "{gap}{}", text(path, &recording))?;
                gap = "\n";
            }
        }
    }
    Ok(if lossy { Outcome::Lossy } else { Outcome::Done })
}

fn recordings(path: &Path) -> anyhow::Result<Vec<Recording>> {
    let mut recordings = Vec::new();
    if !input::is_std(path)
        && let Ok(file) = File::open(path)
        && let Ok(Some(Layout { closed, open })) = find_sections(&file)
    {
        for section in closed {
            add(&mut recordings, section.into());
        }
        if let Some(offset) = open {
            scan(path, offset, &mut recordings)?;
        }
    } else {
        scan(path, 0, &mut recordings)?;
    }
    Ok(recordings)
}

/// Adds a section to the recording that it goes on with, or as another one.
fn add(recordings: &mut Vec<Recording>, section: Recording) {
    match recordings.last_mut() {
        Some(last) if section.header.continues(&last.last_header, last.totals.last_at) => last.join(section),
        _ => recordings.push(section),
    }
}

/// Reads what begins at `offset`, in bytes.
fn scan(path: &Path, offset: u64, recordings: &mut Vec<Recording>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", input::name(path));
    let mut capture = input::open_capture(path)?;
    if offset > 0 && !capture.seek_section(offset).with_context(cannot)? {
        return Ok(());
    }
    loop {
        let header = capture.header().clone();
        let mut totals = Totals::default();
        let before = capture.passed_over();
        let mut said_again = SaidAgain::of(&header);
        let mut live = HashSet::new();
        for event in capture.by_ref() {
            let event = event.with_context(cannot)?;
            totals.count(&event);
            said_again.count(&event, &mut totals);
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
        let bytes = capture.offset() - capture.section_offset();
        let passed_over = capture.passed_over().since(before);
        totals.events += passed_over.events;
        let last_header = header.clone();
        let section = Recording {
            header,
            last_header,
            sections: 1,
            totals,
            bytes,
            source: "scan",
            end,
            damaged: false,
            passed_over,
        };
        add(recordings, section);
        if !capture.next_section().with_context(cannot)? {
            break;
        }
    }
    let damaged = input::tell_damage(path, &capture);
    if let Some(last) = recordings.last_mut() {
        last.damaged = damaged;
    }
    Ok(())
}

impl From<SectionIndex> for Recording {
    fn from(section: SectionIndex) -> Self {
        Self {
            last_header: section.header.clone(),
            header: section.header,
            sections: 1,
            totals: section.index.totals,
            bytes: section.bytes,
            source: "index",
            end: "clean",
            damaged: false,
            passed_over: section.passed_over,
        }
    }
}

impl Recording {
    /// Adds the section that goes on with it.
    fn join(&mut self, next: Self) {
        let (totals, more) = (&mut self.totals, next.totals);
        let said_again: u64 = more.said_again.iter().fold(0, |sum, count| count.saturating_add(sum));
        totals.events = totals.events.saturating_add(more.events.saturating_sub(said_again));
        for (count, (more, again)) in totals.counts.iter_mut().zip(more.counts.iter().zip(more.said_again)) {
            *count = count.saturating_add(more.saturating_sub(again));
        }
        // Those that are said again are the opens among it.
        let [opens, ..] = more.said_again;
        totals.preexisting = totals.preexisting.saturating_add(more.preexisting.saturating_sub(opens));
        totals.live_at_end = more.live_at_end;
        totals.blocks = totals.blocks.saturating_add(more.blocks);
        totals.first_at = totals.first_at.or(more.first_at);
        totals.last_at = more.last_at.or(totals.last_at);
        totals.losses += more.losses;
        self.sections += next.sections;
        self.bytes += next.bytes;
        self.last_header = next.last_header;
        self.passed_over = self.passed_over.and(next.passed_over);
        if next.source != "index" {
            self.source = next.source;
        }
        if next.end != "clean" {
            self.end = next.end;
        }
    }
}

/// UTC of a moment of the capture.
fn utc(header: &Header, at: u64) -> Option<String> {
    let nanos = header.boot_time_ns.checked_add(i64::try_from(at).ok()?)?;
    Some(DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn span(recording: &Recording) -> Option<(String, String, f64)> {
    let (first, last) = (recording.totals.first_at?, recording.totals.last_at?);
    let seconds = std::time::Duration::from_nanos(last.saturating_sub(first)).as_secs_f64();
    Some((utc(&recording.header, first)?, utc(&recording.last_header, last)?, seconds))
}

fn text(path: &Path, recording: &Recording) -> String {
    let header = &recording.header;
    let totals = &recording.totals;
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
    if let Some((first, last, seconds)) = span(recording) {
        lines.push(("time", format!("{first} to {last} ({seconds:.3} s), samples every {} ms", header.interval_ms)));
    }
    if header.part > 0
        && let Some(began) = utc(header, header.began_at)
    {
        lines.push((
            "goes on with",
            format!("the recording that began at {began}, as its part {}", u64::from(header.part) + 1),
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
    if recording.sections > 1 {
        lines.push(("in", units::count(recording.sections, "section")));
    }
    if !recording.passed_over.is_nothing() {
        let what = format!("{}, which a newer netflow wrote and reads", recording.passed_over);
        lines.push(("passed over", what));
    }
    lines.push(("older than it", units::count(totals.preexisting, "connection")));
    lines.extend(lost(&totals.losses));
    let each =
        recording.bytes.checked_div(totals.events).map_or(String::new(), |each| format!(", {each} bytes an event"));
    lines.push(("size", format!("{}{each}", units::bytes(recording.bytes))));
    lines.push((
        "end",
        match recording.source {
            "index" => "closed cleanly".to_owned(),
            _ if recording.sections > 1 => format!("{}; what has no index was read to count it", recording.end),
            _ => format!("{}; counted by reading all of it, for it has no index", recording.end),
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

fn object(path: &Path, recording: &Recording) -> Value {
    let header = &recording.header;
    let totals = &recording.totals;
    let counts: Map<String, Value> =
        KIND_NAMES.iter().zip(totals.counts).map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let losses: Map<String, Value> =
        totals.losses.counts().iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let (first, last, seconds) =
        span(recording).map_or((None, None, None), |(first, last, seconds)| (Some(first), Some(last), Some(seconds)));
    json!({
        "capture": input::name(path),
        "tool": header.tool, "host": header.host, "kernel": header.kernel, "boot_id": header.boot_id,
        "boot_time_ns": header.boot_time_ns, "interval_ms": header.interval_ms,
        "ephemeral_port_min": header.ephemeral_port_min, "ephemeral_port_max": header.ephemeral_port_max,
        "began_at": header.began_at, "part": header.part, "command": header.command, "comment": header.comment,
        "continues_from": header.continues_from, "excerpt": header.excerpt, "anonymized": header.anonymized,
        "sections": recording.sections, "first": first, "last": last, "seconds": seconds,
        "events": totals.events, "counts": counts, "preexisting": totals.preexisting, "live_at_end": totals.live_at_end,
        "losses": losses, "passed_over": passed_over(&recording.passed_over), "bytes": recording.bytes, "source": recording.source, "end": recording.end,
    })
}
