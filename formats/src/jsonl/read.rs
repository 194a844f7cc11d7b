//! JSON Lines into events.
//!
//! In: text, a header first. Out: the header, then events in order of time; another header begins another section, as in a
//! capture. Never here: guesses; a line that is not understood ends the import. Memory: one line and what is known of each open connection, or everything when events are
//! sorted.

use std::io::BufRead;
use std::sync::Arc;

use netflow_core::address::Endpoint;
use netflow_core::event::{
    Body, Clock, Close, Direction, Dns, Event, Header, Identity, K8s, Listen, Loss, Nat, Open, Process, Reason, Sample,
    TcpStates, Tick, Totals, Transport,
};
use rustc_hash::FxHashMap;

use super::error::{ImportError, Problem};
use super::line::Lines;
use super::object::{Object, listed};
use super::{COUNTER_KEYS, JSONL_FORMAT};

const KINDS: [&str; 12] =
    ["header", "open", "sample", "close", "tick", "process", "dns", "nat", "listen", "k8s", "clock", "loss"];
const TRANSPORTS: [(&str, Transport); 2] = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];
const DIRECTIONS: [(&str, Direction); 2] = [("incoming", Direction::Incoming), ("outgoing", Direction::Outgoing)];

/// How events are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// Put events in order of time; those of the same time keep their order. Otherwise disorder is an error.
    pub sort: bool,
}

/// The part of an identity that a line states; the outer `None` is "not said".
#[derive(Debug, Default)]
struct Known {
    transport: Option<Transport>,
    local: Option<Endpoint>,
    remote: Option<Endpoint>,
    direction: Option<Option<Direction>>,
    pid: Option<Option<u32>>,
    process: Option<Option<Arc<str>>>,
    netns: Option<Option<u32>>,
    preexisting: Option<bool>,
    opened_at: Option<Option<u64>>,
    shared: Option<bool>,
}

/// A line that was understood by itself; what its connection is may depend on those before.
struct Draft {
    line: u64,
    event: Event,
    /// For samples and closes: what the line says of the connection.
    known: Option<Known>,
}

/// What a line is.
enum Line {
    Header(Header),
    Event(Event, Option<Known>),
}

/// Reads events: the header at once, the events of the current section one by one;
/// [`next_section`](Self::next_section) goes on to the next one. After an error there are no more events.
pub struct Importer<R> {
    lines: Lines<R>,
    header: Header,
    sorted: Option<std::vec::IntoIter<Draft>>,
    live: FxHashMap<u64, Arc<Identity>>,
    last_at: u64,
    /// There are no more events in this section.
    over: bool,
    /// Of the section that follows.
    next: Option<Header>,
    sorts: bool,
}

impl<R: BufRead> Importer<R> {
    /// Reads the header; with [`ImportOptions::sort`] everything else of its section too.
    ///
    /// # Errors
    /// When the first line is not a header of a version that is known, or (when sorting) any line is not understood.
    pub fn new(input: R, options: ImportOptions) -> Result<Self, ImportError> {
        let mut lines = Lines::new(input);
        let header = match lines.next()? {
            None => Err(Problem::Empty),
            Some(line) => read_header(line),
        };
        let header = header.map_err(|problem| lines.error(problem))?;
        let mut importer = Self {
            lines,
            header,
            sorted: None,
            live: FxHashMap::default(),
            last_at: 0,
            over: false,
            next: None,
            sorts: options.sort,
        };
        importer.sort()?;
        Ok(importer)
    }

    fn sort(&mut self) -> Result<(), ImportError> {
        if !self.sorts {
            return Ok(());
        }
        let mut drafts = Vec::new();
        while let Some(draft) = self.draft()? {
            drafts.push(draft);
        }
        drafts.sort_by_key(|draft| draft.event.at);
        self.sorted = Some(drafts.into_iter());
        Ok(())
    }

    /// The header of the current section.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Goes on to the section that the next header begins; events of the current one that were not read are skipped. False
    /// when there is none, and after an error.
    ///
    /// # Errors
    /// When a line is not understood that is skipped or, when sorting, any of the section's.
    pub fn next_section(&mut self) -> Result<bool, ImportError> {
        while self.next().transpose()?.is_some() {}
        let Some(header) = self.next.take() else { return Ok(false) };
        self.header = header;
        self.live.clear();
        (self.last_at, self.over) = (0, false);
        self.sort().inspect_err(|_| self.over = true)?;
        Ok(true)
    }

    fn draft(&mut self) -> Result<Option<Draft>, ImportError> {
        if self.next.is_some() {
            return Ok(None);
        }
        let Some(line) = self.lines.next()? else { return Ok(None) };
        let read = read_line(line);
        let line = self.lines.number();
        match read.map_err(|problem| self.lines.error(problem))? {
            Line::Header(header) => {
                self.next = Some(header);
                Ok(None)
            }
            Line::Event(event, known) => Ok(Some(Draft { line, event, known })),
        }
    }

    fn event(&mut self) -> Result<Option<Event>, ImportError> {
        let draft = match &mut self.sorted {
            Some(drafts) => drafts.next(),
            None => self.draft()?,
        };
        let Some(draft) = draft else { return Ok(None) };
        let line = draft.line;
        self.resolve(draft).map(Some).map_err(|problem| ImportError { line, problem })
    }

    /// Adds what is known of the connection from the lines before.
    fn resolve(&mut self, draft: Draft) -> Result<Event, Problem> {
        let Draft { mut event, known, .. } = draft;
        if event.at < self.last_at {
            return Err(Problem::Order { at: event.at, previous: self.last_at });
        }
        self.last_at = event.at;
        match &mut event.body {
            Body::Open(open) => {
                self.live.insert(open.conn, Arc::clone(&open.identity));
            }
            Body::Sample(sample) => {
                sample.identity = introduce(&mut self.live, sample.conn, "sample", known.unwrap_or_default())?;
            }
            Body::Close(close) => {
                close.identity = introduce(&mut self.live, close.conn, "close", known.unwrap_or_default())?;
                self.live.remove(&close.conn);
            }
            _ => {}
        }
        Ok(event)
    }
}

impl<R: BufRead> Iterator for Importer<R> {
    type Item = Result<Event, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let event = self.event();
        self.over = !matches!(event, Ok(Some(_)));
        if event.is_err() {
            self.next = None;
        }
        event.transpose()
    }
}

fn read_header(line: &str) -> Result<Header, Problem> {
    let mut object = Object::parse(line)?;
    let kind = KINDS.get(object.required_word("type", &KINDS)?).copied().unwrap_or_default();
    if kind != "header" {
        return Err(Problem::HeaderFirst { found: kind.to_owned() });
    }
    read_header_of(object)
}

fn read_header_of(mut object: Object<'_>) -> Result<Header, Problem> {
    object.set_kind("header");
    if let Some(format) = object.u64("format")?
        && format != JSONL_FORMAT
    {
        return Err(Problem::Value {
            key: "format",
            expected: JSONL_FORMAT.to_string(),
            found: format!("{format}, of a newer netflow"),
            nearest: None,
        });
    }
    let header = Header {
        tool: object.string("tool")?.unwrap_or_default(),
        host: object.string("host")?.unwrap_or_default(),
        kernel: object.string("kernel")?.unwrap_or_default(),
        boot_id: object.string("boot_id")?.unwrap_or_default(),
        boot_time_ns: object.required_i64("boot_time_ns")?,
        interval_ms: object.required_u64("interval_ms")?,
        ephemeral_port_min: object.u16("ephemeral_port_min")?.unwrap_or(0),
        ephemeral_port_max: object.u16("ephemeral_port_max")?.unwrap_or(0),
        command: object.strings("command")?.unwrap_or_default(),
        comment: object.string("comment")?.unwrap_or_default(),
        began_at: object.u64("began_at")?.unwrap_or(0),
        part: object.u32("part")?.unwrap_or(0),
        continues_from: object.u64("continues_from")?,
        excerpt: object.bool("excerpt")?.unwrap_or(false),
        anonymized: object.bool("anonymized")?.unwrap_or(false),
    };
    object.finish()?;
    Ok(header)
}

fn read_line(line: &str) -> Result<Line, Problem> {
    let mut object = Object::parse(line)?;
    let kind = KINDS.get(object.required_word("type", &KINDS)?).copied().unwrap_or_default();
    if kind == "header" {
        return read_header_of(object).map(Line::Header);
    }
    object.set_kind(kind);
    let at = object.required_u64("at")?;
    let mut known = None;
    let body = match kind {
        "open" => {
            let conn = object.required_u64("conn")?;
            let said = read_known(&mut object)?;
            let missing = said.missing().first().copied();
            let identity = said.complete(None).ok_or(Problem::Missing { key: missing.unwrap_or("conn"), kind })?;
            Body::Open(Open { conn, identity: Arc::new(identity) })
        }
        "sample" => {
            let (conn, totals) = read_totals(&mut object)?;
            known = Some(read_known(&mut object)?);
            Body::Sample(Sample { conn, totals, identity: None })
        }
        "close" => {
            let (conn, totals) = read_totals(&mut object)?;
            known = Some(read_known(&mut object)?);
            let tcp_states = read_states(&mut object)?;
            let reason = object.nullable_word("reason", &Reason::ALL.map(Reason::name))?.flatten();
            let reason = reason.and_then(|place| Reason::ALL.get(place).copied());
            Body::Close(Close { conn, totals, identity: None, tcp_states, reason })
        }
        "tick" => Body::Tick(Tick { complete: object.bool("complete")?.unwrap_or(true) }),
        "process" => Body::Process(Process {
            pid: object.required_u32("pid")?,
            process: object.required_text("process")?,
            exe: object.nullable_text("exe")?.flatten(),
            cgroup: object.nullable_text("cgroup")?.flatten(),
            container_id: object.nullable_text("container_id")?.flatten(),
            exited: object.bool("exited")?.unwrap_or(false),
            started_at: object.nullable_u64("started_at")?.flatten(),
        }),
        "dns" => Body::Dns(Dns {
            name: object.required_text("name")?,
            addr: object.required_ip("addr")?,
            ttl_s: object.u32("ttl_s")?.unwrap_or(0),
            netns: object.nullable_u32("netns")?.flatten(),
            pid: object.nullable_u32("pid")?.flatten(),
        }),
        "nat" => Body::Nat(Nat {
            transport: read_transport(&mut object)?,
            local: object.required_endpoint("local")?,
            remote: object.required_endpoint("remote")?,
            dst: object.required_endpoint("dst")?,
            netns: object.nullable_u32("netns")?.flatten(),
            end: object.bool("end")?.unwrap_or(false),
        }),
        "listen" => Body::Listen(Listen {
            transport: read_transport(&mut object)?,
            local: object.required_endpoint("local")?,
            netns: object.nullable_u32("netns")?.flatten(),
            pid: object.nullable_u32("pid")?.flatten(),
            process: object.nullable_text("process")?.flatten(),
            end: object.bool("end")?.unwrap_or(false),
        }),
        "k8s" => Body::K8s(K8s { state: object.required_json("state")? }),
        "clock" => Body::Clock(Clock { boot_time_ns: object.required_i64("boot_time_ns")? }),
        _ => Body::Loss(Loss {
            ring_full: object.u64("ring_full")?.unwrap_or(0),
            map_full: object.u64("map_full")?.unwrap_or(0),
            storage_failed: object.u64("storage_failed")?.unwrap_or(0),
            queue_full: object.u64("queue_full")?.unwrap_or(0),
            snapshot_cut: object.u64("snapshot_cut")?.unwrap_or(0),
            dns_dropped: object.u64("dns_dropped")?.unwrap_or(0),
            nat_dropped: object.u64("nat_dropped")?.unwrap_or(0),
            lost_opens: object.u64("lost_opens")?.unwrap_or(0),
            lost_closes: object.u64("lost_closes")?.unwrap_or(0),
        }),
    };
    object.finish()?;
    Ok(Line::Event(Event { at, body }, known))
}

fn read_transport(object: &mut Object<'_>) -> Result<Transport, Problem> {
    let place = object.required_word("transport", &TRANSPORTS.map(|(name, _)| name))?;
    Ok(TRANSPORTS.get(place).map_or(Transport::Tcp, |(_, transport)| *transport))
}

fn read_totals(object: &mut Object<'_>) -> Result<(u64, Totals), Problem> {
    let conn = object.required_u64("conn")?;
    let [sent_bytes, recv_bytes, sent_packets, recv_packets, retransmits, rtt, rtt_var, unacked, unread] = COUNTER_KEYS;
    let totals = Totals {
        sent_bytes: object.u64(sent_bytes)?.unwrap_or(0),
        recv_bytes: object.u64(recv_bytes)?.unwrap_or(0),
        sent_packets: object.u64(sent_packets)?.unwrap_or(0),
        recv_packets: object.u64(recv_packets)?.unwrap_or(0),
        retransmits: object.u64(retransmits)?.unwrap_or(0),
        rtt_us: object.u32(rtt)?.unwrap_or(0),
        rtt_var_us: object.u32(rtt_var)?.unwrap_or(0),
        unacked_bytes: object.u64(unacked)?.unwrap_or(0),
        unread_bytes: object.u64(unread)?.unwrap_or(0),
    };
    Ok((conn, totals))
}

fn read_states(object: &mut Object<'_>) -> Result<TcpStates, Problem> {
    let mut states = TcpStates::default();
    for name in object.strings("tcp_states")?.unwrap_or_default() {
        states = states.with_name(&name).ok_or_else(|| {
            let names = TcpStates::NAMES.map(|(name, _)| name);
            let nearest = super::error::nearest(&name, &names);
            Problem::Value { key: "tcp_states", expected: listed(&names), found: format!("{name:?}"), nearest }
        })?;
    }
    Ok(states)
}

fn read_known(object: &mut Object<'_>) -> Result<Known, Problem> {
    let transport = object.nullable_word("transport", &TRANSPORTS.map(|(name, _)| name))?.flatten();
    let local = object.endpoint("local")?;
    let remote = object.endpoint("remote")?;
    let direction = object.nullable_word("direction", &DIRECTIONS.map(|(name, _)| name))?;
    Ok(Known {
        transport: transport.and_then(|place| TRANSPORTS.get(place)).map(|(_, transport)| *transport),
        local,
        remote,
        direction: direction
            .map(|place| place.and_then(|place| DIRECTIONS.get(place)).map(|(_, direction)| *direction)),
        pid: object.nullable_u32("pid")?,
        process: object.nullable_text("process")?,
        netns: object.nullable_u32("netns")?,
        preexisting: object.bool("preexisting")?,
        opened_at: object.nullable_u64("opened_at")?,
        shared: object.bool("shared")?,
    })
}

impl Known {
    /// The line says nothing.
    fn is_empty(&self) -> bool {
        self.missing().len() == 3
            && self.direction.is_none()
            && self.pid.is_none()
            && self.process.is_none()
            && self.netns.is_none()
            && self.preexisting.is_none()
            && self.opened_at.is_none()
            && self.shared.is_none()
    }

    /// What is needed and not said.
    fn missing(&self) -> Vec<&'static str> {
        let needed = [
            ("transport", self.transport.is_none()),
            ("local", self.local.is_none()),
            ("remote", self.remote.is_none()),
        ];
        needed.into_iter().filter_map(|(key, missing)| missing.then_some(key)).collect()
    }

    /// What is said over what was known before; `None` when that is too little.
    fn complete(self, before: Option<&Identity>) -> Option<Identity> {
        Some(Identity {
            transport: self.transport.or(before.map(|before| before.transport))?,
            local: self.local.or(before.map(|before| before.local))?,
            remote: self.remote.or(before.map(|before| before.remote))?,
            direction: self.direction.unwrap_or_else(|| before.and_then(|before| before.direction)),
            pid: self.pid.unwrap_or_else(|| before.and_then(|before| before.pid)),
            process: self.process.unwrap_or_else(|| before.and_then(|before| before.process.clone())),
            netns: self.netns.unwrap_or_else(|| before.and_then(|before| before.netns)),
            preexisting: self.preexisting.unwrap_or_else(|| before.is_some_and(|before| before.preexisting)),
            opened_at: self.opened_at.unwrap_or_else(|| before.and_then(|before| before.opened_at)),
            shared: self.shared.unwrap_or_else(|| before.is_some_and(|before| before.shared)),
        })
    }
}

/// What a sample or close says of its connection, completed.
fn introduce(
    live: &mut FxHashMap<u64, Arc<Identity>>,
    conn: u64,
    kind: &'static str,
    known: Known,
) -> Result<Option<Arc<Identity>>, Problem> {
    let before = live.get(&conn);
    if before.is_some() && known.is_empty() {
        return Ok(None);
    }
    let missing = known.missing().join(", ");
    let identity = known.complete(before.map(AsRef::as_ref)).ok_or(Problem::Unintroduced { conn, kind, missing })?;
    let identity = Arc::new(identity);
    live.insert(conn, Arc::clone(&identity));
    Ok(Some(identity))
}
