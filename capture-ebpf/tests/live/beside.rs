//! What arrives beside the connections: processes, listening sockets, the wall clock; compared with what `/proc` and `ss`
//! say.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use netflow_capture::{Capture, Options, host_header};
use netflow_core::address::Endpoint;
use netflow_core::direction::{DEFAULT_EPHEMERAL_PORT_MIN, Listening, direction as decide};
use netflow_core::event::{Body, Direction, Event, Listen, Process, Transport};
use netflow_fixtures::traffic::{Cgroup, Guest};
use socket2::{Domain, Socket, Type};

use crate::check::{Seen, endpoint, in_order};
use crate::recorder::Recorder;
use crate::text;

/// Nanoseconds since boot.
fn now() -> u64 {
    host_header("", 0, Vec::new(), String::new()).began_at
}

/// A server that keeps whatever connects.
fn server() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    Ok(address)
}

/// What `/proc` says of a process that lives.
#[derive(Debug)]
struct Truth {
    comm: String,
    exe: String,
    start_ticks: u64,
}

impl Truth {
    fn of(pid: u32) -> Result<Self, String> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(text);
        let stat = read("stat")?;
        let (_, after) = stat.rsplit_once(')').ok_or("no name")?;
        Ok(Self {
            comm: read("comm")?.trim().to_owned(),
            exe: fs::read_link(format!("/proc/{pid}/exe")).map_err(text)?.display().to_string(),
            start_ticks: after.split_whitespace().nth(19).and_then(|word| word.parse().ok()).ok_or("no start")?,
        })
    }

    /// What an event should say.
    fn check(&self, process: &Process) -> Result<(), String> {
        let started = process.started_at.unwrap_or(0) / 10_000_000;
        let is_same = *process.process == *self.comm && started == self.start_ticks;
        let is_exe = process.exited || process.exe.as_deref() == Some(&self.exe);
        if is_same && is_exe { Ok(()) } else { Err(format!("{process:?} should be {self:?}")) }
    }
}

fn processes_of(events: &[Event], pid: u32) -> Vec<(u64, &Process)> {
    let of = |event: &'_ Event| matches!(&event.body, Body::Process(process) if process.pid == pid);
    events
        .iter()
        .filter(|event| of(event))
        .filter_map(|event| if let Body::Process(process) = &event.body { Some((event.at, process)) } else { None })
        .collect()
}

fn docker(test: &str) -> Result<(Cgroup, String), String> {
    let id = "c0ffee00".repeat(8);
    let cgroup = Cgroup::create(&format!("/netflow-{test}-{}/docker-{id}.scope", std::process::id())).map_err(text)?;
    Ok((cgroup, id))
}

/// A process in a container, and one that becomes another program: name, executable, start, cgroup and container are those
/// of `/proc`; each is told once, and its end once.
pub(crate) fn processes() -> Result<String, String> {
    let (cgroup, id) = docker("processes")?;
    let server = server()?;
    let recorder = Recorder::start(&Options::default())?;
    let guest = Guest::start(server, Some(&cgroup), None).map_err(text)?;
    let (pid, truth, local) = (guest.pid(), Truth::of(guest.pid())?, guest.local());
    // Long enough to be looked at.
    thread::sleep(Duration::from_millis(300));
    let alive_at = now();
    guest.end().map_err(text)?;

    let other = Guest::start(server, None, Some("cat")).map_err(text)?;
    let before = Truth::of(std::process::id())?;
    let mut after = Truth::of(other.pid())?;
    while after.comm != "cat" {
        thread::sleep(Duration::from_millis(1));
        after = Truth::of(other.pid())?;
    }
    let other_pid = other.pid();
    thread::sleep(Duration::from_millis(300));
    other.end().map_err(text)?;
    let (events, summary) = recorder.stop()?;
    in_order(&events)?;

    let [(_, first), (end_at, end)] = processes_of(&events, pid)[..] else {
        return Err(format!("{:?}", processes_of(&events, pid)));
    };
    truth.check(first)?;
    truth.check(end)?;
    let of_container = (first.cgroup.as_deref(), first.container_id.as_deref());
    if of_container != (Some(cgroup.path()), Some(&*id)) || first.exited || !end.exited || end_at < alive_at {
        return Err(format!("{first:?}, {end:?}"));
    }
    let seen = Seen::of(&events);
    let conn = seen.find(Transport::Tcp, endpoint(local), endpoint(server)).ok_or("no connection")?;
    let identity = conn.identity.as_ref().ok_or("no identity")?;
    if identity.pid != Some(pid) || identity.process.as_deref() != Some(&*truth.comm) {
        return Err(format!("{identity:?}"));
    }

    let [(_, first), (_, second), (_, end)] = processes_of(&events, other_pid)[..] else {
        return Err(format!("{:?}", processes_of(&events, other_pid)));
    };
    after.check(second)?;
    after.check(end)?;
    // It became another one so soon that its first executable may not have been seen; another's is never given to it.
    let is_first = *first.process == *before.comm && first.exe.as_deref().is_none_or(|exe| exe == before.exe);
    if !is_first || first.started_at != second.started_at || !end.exited || !summary.tcp.holds() {
        return Err(format!("{first:?}, {second:?}, {end:?}"));
    }
    Ok("2 processes".to_owned())
}

/// Processes that end at once: whatever could be looked up, the start and the container are known of all.
pub(crate) fn short_lived() -> Result<String, String> {
    let (cgroup, id) = docker("short")?;
    let server = server()?;
    let recorder = Recorder::start(&Options::default())?;
    let mut guests = Vec::new();
    for _ in 0..40 {
        let before = now();
        let guest = Guest::start(server, Some(&cgroup), None).map_err(text)?;
        guests.push((guest.pid(), before..now()));
        guest.end().map_err(text)?;
    }
    // The cgroup goes before the recording ends.
    let path = cgroup.path().to_owned();
    drop(cgroup);
    let (events, _) = recorder.stop()?;
    let mut with_exe = 0;
    for (pid, time) in &guests {
        let [(_, first), (_, end)] = processes_of(&events, *pid)[..] else {
            return Err(format!("{:?}", processes_of(&events, *pid)));
        };
        let said = (first.cgroup.as_deref(), first.container_id.as_deref(), end.exited);
        if said != (Some(&path), Some(&id), true) || !first.started_at.is_some_and(|start| time.contains(&start)) {
            return Err(format!("{first:?}, {end:?}, {time:?}"));
        }
        with_exe += u32::from(first.exe.is_some());
    }
    Ok(format!("{} processes, {with_exe} with their executables", guests.len()))
}

fn listens(events: &[Event]) -> impl Iterator<Item = (u64, &Listen)> {
    events
        .iter()
        .filter_map(|event| if let Body::Listen(listen) = &event.body { Some((event.at, listen)) } else { None })
}

/// Beginnings and ends that are told of a port of this process, in order: `+` and `-`, and the time of each.
fn story(events: &[Event], local: Endpoint) -> Result<(String, Vec<u64>), String> {
    let netns = u32::try_from(fs::metadata("/proc/self/ns/net").map_err(text)?.ino()).map_err(text)?;
    let (mut words, mut times) = (String::new(), Vec::new());
    for (at, listen) in listens(events).filter(|(_, listen)| listen.local == local) {
        if listen.pid != Some(std::process::id()) || listen.netns != Some(netns) {
            return Err(format!("{listen:?}"));
        }
        words.push(if listen.end { '-' } else { '+' });
        times.push(at);
    }
    Ok((words, times))
}

fn reuse(port: u16) -> Result<Socket, String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(text)?;
    socket.set_reuse_port(true).map_err(text)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).map_err(text)?;
    socket.listen(8).map_err(text)?;
    Ok(socket)
}

fn local_of(socket: &Socket) -> Result<SocketAddr, String> {
    socket.local_addr().map_err(text)?.as_socket().ok_or_else(|| "no address".to_owned())
}

/// A port that the host gives to nobody.
fn low_udp() -> Result<UdpSocket, String> {
    (20_000..30_000).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).ok_or_else(|| "no port".to_owned())
}

/// What `ss` says listens on one of these ports.
fn ss(ports: &BTreeSet<u16>) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for (option, transport) in [("-Hltn", "tcp"), ("-Hlun", "udp")] {
        let output = Command::new("ss").arg(option).output().map_err(text)?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            // State, two queues, local, remote.
            let local = line.split_whitespace().nth(3).ok_or(line)?.replace('*', "[::]");
            let local: Endpoint = local.parse().map_err(text)?;
            if ports.contains(&local.port()) {
                found.insert(format!("{transport} {local}"));
            }
        }
    }
    Ok(found)
}

/// Sockets that listen before the recording begins, and those that come and go: they are those that `ss` shows, and an
/// address ends with the last socket on it.
pub(crate) fn listeners() -> Result<String, String> {
    let udp = |socket: &UdpSocket| socket.local_addr().map(endpoint).map_err(text);
    let before = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).map_err(text)?;
    let (name_server, client, connected) = (low_udp()?, UdpSocket::bind("127.0.0.1:0").map_err(text)?, low_udp()?);
    connected.connect(udp(&name_server)?.to_string()).map_err(text)?;
    let recorder = Recorder::start(&Options { owners_every: Duration::from_millis(200), ..Options::default() })?;

    let during = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).map_err(text)?;
    let later = low_udp()?;
    let first = reuse(0)?;
    let shared = local_of(&first)?;
    let second = reuse(shared.port())?;
    // Never bound: the kernel finds a port when it begins to listen.
    let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(text)?;
    unbound.listen(8).map_err(text)?;
    let unbound_at = local_of(&unbound)?;
    let given = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let given_at = given.local_addr().map_err(text)?;
    let mut heir = Command::new("sleep").arg("1000").stdin(Stdio::from(OwnedFd::from(given))).spawn().map_err(text)?;
    thread::sleep(Duration::from_millis(1200));

    let address = |listener: &TcpListener| listener.local_addr().map(endpoint).map_err(text);
    let tcp = [
        address(&before)?,
        address(&both)?,
        address(&during)?,
        endpoint(shared),
        endpoint(unbound_at),
        endpoint(given_at),
    ];
    let ours: BTreeSet<u16> = tcp
        .iter()
        .chain(&[udp(&name_server)?, udp(&client)?, udp(&connected)?, udp(&later)?])
        .map(|end| end.port())
        .collect();
    let mut expected = ss(&ours)?;
    // What has a client's port is listed by `ss`, but is taken for a client here.
    let is_client = expected.remove(&format!("udp {}", udp(&client)?));

    let (during_at, later_at) = (address(&during)?, udp(&later)?);
    drop((first, during, later));
    let first_dropped = now();
    thread::sleep(Duration::from_millis(200));
    let one_left = now();
    drop(second);
    thread::sleep(Duration::from_millis(200));
    let heir_lives = now();
    heir.kill().and_then(|()| heir.wait()).map_err(text)?;
    let (events, _) = recorder.stop()?;
    in_order(&events)?;

    let told: BTreeSet<String> = listens(&events)
        .filter(|(_, listen)| ours.contains(&listen.local.port()))
        .map(|(_, listen)| format!("{} {}", listen.transport.name(), listen.local))
        .collect();
    if told != expected || told.len() != 8 || !is_client {
        return Err(format!("told {told:?}, ss says {expected:?}"));
    }
    for (what, local, expected, not_before) in [
        ("there before", address(&before)?, "+", 0),
        ("there before, both families", address(&both)?, "+", 0),
        ("there before, UDP", udp(&name_server)?, "+", 0),
        ("came and went", during_at, "+-", 0),
        ("came and went, UDP", later_at, "+-", 0),
        ("two sockets", endpoint(shared), "+-", one_left),
        ("never bound", endpoint(unbound_at), "+", 0),
        ("given to a child", endpoint(given_at), "+-", heir_lives),
    ] {
        let (found, times) = story(&events, local)?;
        if found != expected || *times.last().unwrap_or(&0) < not_before {
            return Err(format!("{what}: {found} at {times:?}, should be {expected} after {not_before}"));
        }
    }
    let (_, times) = story(&events, during_at)?;
    if times[1] > first_dropped.max(times[0]) + 200_000_000 {
        return Err(format!("{times:?}, closed before {first_dropped}"));
    }
    drop((before, both, unbound));
    Ok(format!("{} addresses", told.len()))
}

/// Far more at once than the ring of news holds: whatever it cannot take is in the stream all the same.
pub(crate) fn full_news() -> Result<String, String> {
    let server = server()?;
    let recorder = Recorder::start(&Options { news_bytes: 4096, ..Options::default() })?;
    let listen = || TcpListener::bind("127.0.0.1:0").map_err(text);
    let mut listeners: Vec<TcpListener> = (0..200).map(|_| listen()).collect::<Result<_, _>>()?;
    let guest = Guest::start(server, None, None).map_err(text)?;
    let truth = Truth::of(guest.pid())?;
    let all: Vec<Endpoint> = listeners.iter().map(|listener| endpoint(listener.local_addr().unwrap())).collect();
    thread::sleep(Duration::from_millis(1200));
    let gone = listeners.split_off(100);
    drop(gone);
    let pid = guest.pid();
    guest.end().map_err(text)?;
    let (events, _) = recorder.stop()?;
    in_order(&events)?;
    for (at, local) in all.iter().enumerate() {
        let (found, _) = story(&events, *local)?;
        let expected = if at < 100 { "+" } else { "+-" };
        if found != expected {
            return Err(format!("{local}: {found}, should be {expected}"));
        }
    }
    let [(_, first), (_, end)] = processes_of(&events, pid)[..] else {
        return Err(format!("{:?}", processes_of(&events, pid)));
    };
    truth.check(first)?;
    if !end.exited {
        return Err(format!("{end:?}"));
    }
    Ok("200 listeners".to_owned())
}

/// A connection older than the recording, both of whose ports are clients', and which is in a state whose sequence numbers
/// do not say who began.
pub(crate) fn direction() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let mut client = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (mut server, _) = listener.accept().map_err(text)?;
    // More than the client's window takes, and a FIN behind it that cannot go out.
    server.set_nonblocking(true).map_err(text)?;
    while server.write(&[0; 4096]).is_ok() {}
    server.shutdown(std::net::Shutdown::Write).map_err(text)?;
    let (local, remote) = (server.local_addr().map_err(text)?, client.local_addr().map_err(text)?);
    let mut capture = Capture::start(&Options::default()).map_err(text)?;
    let mut events = Vec::new();
    // What is told of listening sockets may come a moment later.
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(100));
        capture.poll(&mut events).map_err(text)?;
    }
    client.read_exact(&mut [0; 4096]).map_err(text)?;
    capture.stop(&mut events).map_err(text)?;
    let seen = Seen::of(&events);
    let conn = seen.find(Transport::Tcp, endpoint(local), endpoint(remote)).ok_or("no connection")?;
    let identity = conn.identity.as_ref().ok_or("no identity")?;
    let mut listening = Listening::default();
    let decided = |listening: &Listening| decide(identity, listening, None, DEFAULT_EPHEMERAL_PORT_MIN);
    let without = decided(&listening);
    for (_, listen) in listens(&events) {
        listening.learn(listen);
    }
    if (identity.direction, without, decided(&listening)) != (None, None, Some(Direction::Incoming)) {
        return Err(format!("{identity:?}, {without:?}, {:?}", decided(&listening)));
    }
    Ok("incoming, because it listens".to_owned())
}

fn clocks(events: &[Event]) -> Vec<i64> {
    let clock = |event: &Event| if let Body::Clock(clock) = event.body { Some(clock.boot_time_ns) } else { None };
    events.iter().filter_map(clock).collect()
}

/// A stream that begins with the right time is told nothing; one that begins with the time of an hour ago, as if the clock
/// had been set since, is told once.
pub(crate) fn clock() -> Result<String, String> {
    let real = || host_header("", 0, Vec::new(), String::new()).boot_time_ns;
    let record = |said: i64| -> Result<Vec<i64>, String> {
        let recorder = Recorder::start(&Options { wall_clock: Some(said), ..Options::default() })?;
        let (events, _) = recorder.stop()?;
        Ok(clocks(&events))
    };
    let (quiet, set) = (record(real())?, record(real() - 3_600_000_000_000)?);
    let is_right = set.len() == 1 && set[0].abs_diff(real()) < 1_000_000;
    if quiet.is_empty() && is_right { Ok("1 clock event".to_owned()) } else { Err(format!("{quiet:?} {set:?}")) }
}

/// Nothing but connections.
pub(crate) fn switched_off() -> Result<String, String> {
    let options = Options { processes: false, listeners: false, ..Options::default() };
    let recorder = Recorder::start(&options)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let client = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let local = endpoint(client.local_addr().map_err(text)?);
    drop((client, listener));
    let (events, _) = recorder.stop()?;
    let told = events.iter().find(|event| matches!(event.body, Body::Process(_) | Body::Listen(_) | Body::Clock(_)));
    let seen = Seen::of(&events);
    let named = seen.conns().filter_map(|conn| conn.identity.as_ref()).find(|identity| identity.local == local);
    let name = named.and_then(|identity| identity.process.as_deref());
    if told.is_some() || name != Some(&*Truth::of(std::process::id())?.comm) {
        return Err(format!("{told:?} {named:?}"));
    }
    Ok("connections have their names".to_owned())
}
