//! Events into JSON Lines, in canonical form.
//!
//! In: a header and events, section by section. Out: one object a line; keys in a fixed order, what has its default left out, so that the
//! same events are the same text. Never here: rounding; every number is written in full.

use std::io::{self, Write};
use std::sync::Arc;

use netflow_core::event::{Body, Event, Header, Identity, Totals};
use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use super::{COUNTER_KEYS, JSONL_FORMAT};

/// Writes events as lines.
pub struct Exporter<W> {
    output: W,
    line: Line,
    live: FxHashMap<u64, Arc<Identity>>,
}

impl<W: Write> Exporter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(output: W, header: &Header) -> io::Result<Self> {
        let mut exporter = Self { output, line: Line::default(), live: FxHashMap::default() };
        exporter.begin(header)?;
        Ok(exporter)
    }

    /// Begins another section with its header.
    ///
    /// # Errors
    /// When the output fails.
    pub fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.live.clear();
        let line = &mut self.line;
        line.begin("header");
        line.number("format", JSONL_FORMAT);
        for (key, text) in
            [("tool", &header.tool), ("host", &header.host), ("kernel", &header.kernel), ("boot_id", &header.boot_id)]
        {
            line.text_unless_empty(key, text)?;
        }
        line.raw("boot_time_ns", header.boot_time_ns.to_string());
        line.number("interval_ms", header.interval_ms);
        line.number_unless_zero("ephemeral_port_min", header.ephemeral_port_min.into());
        line.number_unless_zero("ephemeral_port_max", header.ephemeral_port_max.into());
        if !header.command.is_empty() {
            line.raw("command", serde_json::to_string(&header.command)?);
        }
        line.text_unless_empty("comment", &header.comment)?;
        line.number_unless_zero("began_at", header.began_at);
        line.number_unless_zero("part", header.part.into());
        if let Some(at) = header.continues_from {
            line.number("continues_from", at);
        }
        line.flag("excerpt", header.excerpt);
        line.flag("anonymized", header.anonymized);
        self.end_line()
    }

    /// Writes an event.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let (line, live) = (&mut self.line, &mut self.live);
        line.begin(kind(&event.body));
        line.number("at", event.at);
        match &event.body {
            Body::Open(open) => {
                line.number("conn", open.conn);
                line.identity(&open.identity, None)?;
                live.insert(open.conn, Arc::clone(&open.identity));
            }
            Body::Sample(sample) => {
                line.number("conn", sample.conn);
                if let Some(identity) = &sample.identity {
                    line.identity(identity, live.get(&sample.conn).map(AsRef::as_ref))?;
                    live.insert(sample.conn, Arc::clone(identity));
                }
                line.totals(&sample.totals);
            }
            Body::Close(close) => {
                line.number("conn", close.conn);
                if let Some(identity) = &close.identity {
                    line.identity(identity, live.get(&close.conn).map(AsRef::as_ref))?;
                }
                live.remove(&close.conn);
                line.totals(&close.totals);
                if !close.tcp_states.is_empty() {
                    line.raw("tcp_states", serde_json::to_string(&close.tcp_states.names().collect::<Vec<_>>())?);
                }
                if let Some(reason) = close.reason {
                    line.text("reason", reason.name())?;
                }
            }
            Body::Tick(tick) => {
                if !tick.complete {
                    line.raw("complete", "false");
                }
            }
            Body::Process(process) => {
                line.number("pid", process.pid.into());
                line.text("process", &process.process)?;
                line.optional_text("exe", process.exe.as_deref())?;
                line.optional_text("cgroup", process.cgroup.as_deref())?;
                line.optional_text("container_id", process.container_id.as_deref())?;
                line.flag("exited", process.exited);
                line.optional_number("started_at", process.started_at);
            }
            Body::Dns(dns) => {
                line.text("name", &dns.name)?;
                line.text("addr", &dns.addr.to_string())?;
                line.number_unless_zero("ttl_s", dns.ttl_s.into());
                line.optional_number("netns", dns.netns.map(u64::from));
                line.optional_number("pid", dns.pid.map(u64::from));
            }
            Body::Nat(nat) => {
                line.text("transport", nat.transport.name())?;
                line.text("local", &nat.local.to_string())?;
                line.text("remote", &nat.remote.to_string())?;
                line.text("dst", &nat.dst.to_string())?;
                line.optional_number("netns", nat.netns.map(u64::from));
                line.flag("end", nat.end);
            }
            Body::Listen(listen) => {
                line.text("transport", listen.transport.name())?;
                line.text("local", &listen.local.to_string())?;
                line.optional_number("netns", listen.netns.map(u64::from));
                line.optional_number("pid", listen.pid.map(u64::from));
                line.optional_text("process", listen.process.as_deref())?;
                line.flag("end", listen.end);
            }
            Body::K8s(k8s) => line.json("state", &k8s.state)?,
            Body::Clock(clock) => line.raw("boot_time_ns", clock.boot_time_ns.to_string()),
            Body::Loss(loss) => {
                for (key, count) in loss.counts() {
                    line.number_unless_zero(key, count);
                }
            }
        }
        self.end_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.bytes.extend_from_slice(b"}\n");
        self.output.write_all(&self.line.bytes)
    }

    /// Flushes the output and gives it back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

fn kind(body: &Body) -> &'static str {
    match body {
        Body::Open(_) => "open",
        Body::Sample(_) => "sample",
        Body::Close(_) => "close",
        Body::Tick(_) => "tick",
        Body::Process(_) => "process",
        Body::Dns(_) => "dns",
        Body::Nat(_) => "nat",
        Body::Listen(_) => "listen",
        Body::K8s(_) => "k8s",
        Body::Clock(_) => "clock",
        Body::Loss(_) => "loss",
    }
}

/// One object as it grows.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
}

impl Line {
    fn begin(&mut self, kind: &str) {
        self.bytes.clear();
        self.bytes.extend_from_slice(b"{\"type\":\"");
        self.bytes.extend_from_slice(kind.as_bytes());
        self.bytes.push(b'"');
    }

    fn raw(&mut self, key: &str, json: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(b",\"");
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        self.bytes.extend_from_slice(json.as_ref());
    }

    fn number(&mut self, key: &str, number: u64) {
        self.raw(key, number.to_string());
    }

    fn number_unless_zero(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.number(key, number);
        }
    }

    fn optional_number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    fn flag(&mut self, key: &str, set: bool) {
        if set {
            self.raw(key, "true");
        }
    }

    fn text(&mut self, key: &str, text: &str) -> io::Result<()> {
        self.raw(key, "");
        serde_json::to_writer(&mut self.bytes, text)?;
        Ok(())
    }

    fn text_unless_empty(&mut self, key: &str, text: &str) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.text(key, text) }
    }

    fn optional_text(&mut self, key: &str, text: Option<&str>) -> io::Result<()> {
        text.map_or(Ok(()), |text| self.text(key, text))
    }

    /// What is known of a connection. The importer lays it over what was known `before`, so what became unknown is said.
    fn identity(&mut self, now: &Identity, before: Option<&Identity>) -> io::Result<()> {
        self.text("transport", now.transport.name())?;
        self.text("local", &now.local.to_string())?;
        self.text("remote", &now.remote.to_string())?;
        match now.direction {
            Some(direction) => self.text("direction", direction.name())?,
            None => self.forgotten("direction", before.is_some_and(|before| before.direction.is_some())),
        }
        match now.pid {
            Some(pid) => self.number("pid", pid.into()),
            None => self.forgotten("pid", before.is_some_and(|before| before.pid.is_some())),
        }
        match &now.process {
            Some(process) => self.text("process", process)?,
            None => self.forgotten("process", before.is_some_and(|before| before.process.is_some())),
        }
        match now.netns {
            Some(netns) => self.number("netns", netns.into()),
            None => self.forgotten("netns", before.is_some_and(|before| before.netns.is_some())),
        }
        self.flag_over("preexisting", now.preexisting, before.is_some_and(|before| before.preexisting));
        match now.opened_at {
            Some(opened_at) => self.number("opened_at", opened_at),
            None => self.forgotten("opened_at", before.is_some_and(|before| before.opened_at.is_some())),
        }
        self.flag_over("shared", now.shared, before.is_some_and(|before| before.shared));
        Ok(())
    }

    fn flag_over(&mut self, key: &str, set: bool, was_set: bool) {
        if set {
            self.raw(key, "true");
        } else if was_set {
            self.raw(key, "false");
        }
    }

    fn forgotten(&mut self, key: &str, was_known: bool) {
        if was_known {
            self.raw(key, "null");
        }
    }

    fn totals(&mut self, totals: &Totals) {
        for (key, value) in COUNTER_KEYS.into_iter().zip(totals.numbers()) {
            self.number_unless_zero(key, value);
        }
    }

    /// JSON as it was given, when it is an object or a list; any other text as a string. A line break within JSON can
    /// only be white space, so a blank means the same.
    fn json(&mut self, key: &str, text: &str) -> io::Result<()> {
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        if trimmed.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(trimmed).is_ok() {
            self.raw(key, trimmed.replace(['\r', '\n'], " "));
            return Ok(());
        }
        self.text(key, text)
    }
}
