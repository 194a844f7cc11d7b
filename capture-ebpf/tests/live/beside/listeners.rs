//! Listening sockets are those that `ss` shows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use netflow_capture::{Capture, Options};
use netflow_core::address::Endpoint;
use netflow_core::direction::{DEFAULT_EPHEMERAL_PORT_MIN, Listening, direction as decide};
use netflow_core::event::{Body, Direction, Event, Listen, Transport};
use netflow_fixtures::traffic::Guest;
use socket2::{Domain, Socket, Type};

use super::processes::{Truth, processes_of};
use super::{now, server};
use crate::check::{Seen, endpoint, in_order};
use crate::recorder::Recorder;
use crate::text;

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
