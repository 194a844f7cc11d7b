//! Records real traffic and compares what is recorded with what the applications counted, to the byte.
//!
//! Needs root and a kernel that can be recorded; without, every test is skipped and says why, unless
//! `NETFLOW_REQUIRE_LIVE=1` is set. `cargo test -p netflow-capture --test live -- NAME` runs the tests whose names
//! contain NAME, and `--skip=NAME` those whose names do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod answers;
mod beside;
mod check;
mod full;
mod late;
mod odd;
mod recorder;

use std::process::ExitCode;
use std::time::Duration;

use check::{Seen, mismatches};
use netflow_capture::{Capture, Options};
use netflow_core::event::{Body, Transport};
use netflow_fixtures::traffic::{self, Family, Namespaces, Odd, Place};
use recorder::Recorder;

type Test = fn() -> Result<String, String>;

const TESTS: [(&str, Test); 35] = [
    ("tcp_on_this_host", || scenarios(Place::Host, Transport::Tcp)),
    ("udp_on_this_host", || scenarios(Place::Host, Transport::Udp)),
    ("tcp_between_namespaces", || scenarios(Place::Namespaces(&Namespaces::create().map_err(text)?), Transport::Tcp)),
    ("udp_between_namespaces", || scenarios(Place::Namespaces(&Namespaces::create().map_err(text)?), Transport::Udp)),
    ("found_open", found_open),
    ("totals_never_decrease", totals_never_decrease),
    ("what_is_read_late_is_read", late::read_late),
    ("a_snapshot_has_every_connection", every_connection),
    ("many_udp_sockets", many_udp_sockets),
    ("a_dropped_capture_leaves_nothing", dropped),
    ("the_law_holds_in_the_midst_of_traffic", midst),
    ("the_law_holds_behind_each_snapshot", each_snapshot),
    ("idle_flows_end_and_open_anew", idle_flows),
    ("a_full_table_loses_no_byte", full::table),
    ("a_full_table_and_a_full_ring", full::table_and_ring),
    ("answers_of_every_length", answers::lengths),
    ("answers_that_are_too_many_are_counted", answers::too_many),
    ("twenty_thousand_with_the_default_ring", || burst(&Options::default(), true)),
    ("odd_held_by_two", odd::held_by_two),
    ("odd_connects", || odd::scenes(Odd::Connects)),
    ("odd_queue", || odd::scenes(Odd::Queue)),
    ("odd_holders", || odd::scenes(Odd::Holders)),
    ("odd_data", || odd::scenes(Odd::Data)),
    ("odd_large", || odd::scenes(Odd::Large)),
    ("odd_kinds", || odd::scenes(Odd::Kinds)),
    ("twenty_thousand_with_a_tiny_ring", || burst(&Options { ring_bytes: 4096, ..Options::default() }, false)),
    ("processes_are_who_proc_says", beside::processes::processes),
    ("short_lived_processes_have_their_containers", beside::processes::short_lived),
    ("an_id_that_is_given_again_is_another_process", beside::processes::given_again),
    ("listeners_are_those_of_ss", beside::listeners::listeners),
    ("what_the_ring_of_news_cannot_take_is_found", beside::listeners::full_news),
    ("who_listens_tells_the_direction", beside::listeners::direction),
    ("a_clock_that_was_set_is_told", beside::clock),
    ("what_is_switched_off_is_not_told", beside::switched_off),
    ("tcp_alone", beside::tcp_alone),
];

fn main() -> ExitCode {
    traffic::run_role_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let skips: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("--skip=")).collect();
    if let Err(error) = Capture::start(&Options::default()) {
        if std::env::var_os("NETFLOW_REQUIRE_LIVE").is_some_and(|value| value == "1") {
            println!("FAILED: this host cannot record, and NETFLOW_REQUIRE_LIVE=1 says that it must: {error}");
            return ExitCode::FAILURE;
        }
        println!("skipped: all live tests, because this host cannot record: {error}");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in TESTS {
        let wanted = filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
        if !wanted || skips.iter().any(|skip| name.contains(skip)) {
            continue;
        }
        match test() {
            Ok(figures) => println!("test {name} ... ok ({figures})"),
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n{error}");
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Every scenario with every family of addresses: each end has one open and one close, and its totals are what its
/// application counted.
///
/// A run in which the kernel did not start the programs for some connection proves nothing, and is made again.
fn scenarios(place: Place<'_>, transport: Transport) -> Result<String, String> {
    for _ in 0..2 {
        if let Some(figures) = scenarios_once(place, transport, true)? {
            return Ok(figures);
        }
    }
    scenarios_once(place, transport, false).map(Option::unwrap_or_default)
}

fn scenarios_once(place: Place<'_>, transport: Transport, may_vanish: bool) -> Result<Option<String>, String> {
    let recorder = Recorder::start(&Options::default())?;
    let mut ends = Vec::new();
    for family in Family::ALL {
        match transport {
            Transport::Tcp => traffic::run_tcp(place, family, &mut ends),
            Transport::Udp => traffic::run_udp(place, family, &mut ends),
        }
        .map_err(text)?;
    }
    let (events, summary) = recorder.stop()?;
    if may_vanish && summary.vanished + summary.unseen_failures > 0 {
        return Ok(None);
    }
    check::in_order(&events)?;
    let seen = Seen::of(&events);
    let wrong = mismatches(&ends, &seen);
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    if !summary.tcp.holds() || !summary.udp.holds() || !summary.loss.is_zero() {
        return Err(format!("{summary:?}"));
    }
    Ok(Some(format!("{} ends", ends.len())))
}

/// A connection that is open when the recording begins is found with its owner and its direction, and only what it
/// transfers afterwards lies between its first sample and its close.
fn found_open() -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let mut client = std::net::TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (mut server, _) = listener.accept().map_err(text)?;
    let mut buffer = vec![0; 5000];
    client.write_all(&[1; 1234]).and_then(|()| server.read_exact(&mut buffer[..1234])).map_err(text)?;
    server.write_all(&[2; 4321]).and_then(|()| client.read_exact(&mut buffer[..4321])).map_err(text)?;
    let recorder = Recorder::start(&Options::default())?;
    client.write_all(&[1; 100]).and_then(|()| server.read_exact(&mut buffer[..100])).map_err(text)?;
    let addresses = (client.local_addr().map_err(text)?, client.peer_addr().map_err(text)?);
    drop(client);
    drop(server);
    let (events, summary) = recorder.stop()?;
    let seen = Seen::of(&events);
    let end = |local, remote| {
        seen.find(Transport::Tcp, check::endpoint(local), check::endpoint(remote)).ok_or("not found".to_owned())
    };
    let (client, server) = (end(addresses.0, addresses.1)?, end(addresses.1, addresses.0)?);
    for (conn, direction, before, after) in
        [(client, "outgoing", (1234, 4321), (1334, 4321)), (server, "incoming", (4321, 1234), (4321, 1334))]
    {
        let identity = conn.identity.as_ref().ok_or("no identity")?;
        let first = conn.first_sample.ok_or("no sample")?;
        let last = conn.last.ok_or("no close")?;
        let found = (
            identity.preexisting,
            identity.direction.map_or("", |direction| direction.name()),
            identity.pid,
            (first.sent_bytes, first.recv_bytes),
            (last.sent_bytes, last.recv_bytes),
            (conn.opens, conn.closes),
        );
        let expected = (true, direction, Some(std::process::id()), before, after, (1, 1));
        if found != expected {
            return Err(format!("expected {expected:?}, found {found:?}"));
        }
    }
    if summary.tcp.preexisting < 2 || !summary.tcp.holds() {
        Err(format!("{summary:?}"))
    } else {
        Ok("2 ends".to_owned())
    }
}

/// Samples taken while data and acknowledgements rush through are consistent each.
fn totals_never_decrease() -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let mut capture = Capture::start(&Options::default()).map_err(text)?;
    let mut client = std::net::TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (mut server, _) = listener.accept().map_err(text)?;
    let local = check::endpoint(client.local_addr().map_err(text)?);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(1..) = server.read(&mut buffer) {}
    });
    let writer = std::thread::spawn(move || {
        let began = std::time::Instant::now();
        let mut sent = 0_u64;
        while began.elapsed() < Duration::from_secs(1) {
            sent += client.write(&[1; 3000]).unwrap() as u64;
        }
        sent
    });
    let mut events = Vec::new();
    let mut snapshots = 0;
    while !writer.is_finished() {
        capture.snapshot(&mut events).map_err(text)?;
        snapshots += 1;
    }
    let sent = writer.join().unwrap();
    reader.join().unwrap();
    let summary = capture.stop(&mut events).map_err(text)?;
    let open = events.iter().find_map(|event| match &event.body {
        Body::Open(open) if open.identity.local == local => Some(open.conn),
        _ => None,
    });
    let conn = open.ok_or("no open")?;
    let mut before = netflow_core::event::Totals::default();
    for event in events.iter().filter(|event| event.body.conn() == Some(conn)) {
        let now = match &event.body {
            Body::Sample(sample) => sample.totals,
            Body::Close(close) => close.totals,
            _ => continue,
        };
        if now.sent_bytes < before.sent_bytes || now.sent_packets < before.sent_packets {
            return Err(format!("{now:?} after {before:?}"));
        }
        before = now;
    }
    if before.sent_bytes != sent || !summary.tcp.holds() {
        return Err(format!("{sent} sent, {before:?}, {summary:?}"));
    }
    Ok(format!("{snapshots} snapshots, {} MB", sent / 1_000_000))
}

/// A walk over more sockets than one reading holds gives each of them once.
fn every_connection() -> Result<String, String> {
    // Two descriptors a connection, and room for everything else.
    let limits = std::fs::read_to_string("/proc/self/limits").map_err(text)?;
    let files =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let connections = usize::min((files.unwrap_or(1024) - 200) / 2, 5000);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let mut sockets = Vec::new();
    let mut capture = Capture::start(&Options::default()).map_err(text)?;
    for _ in 0..connections {
        let client = std::net::TcpStream::connect(address).map_err(text)?;
        sockets.push((client, listener.accept().map_err(text)?));
    }
    let mut events = Vec::new();
    capture.poll(&mut events).map_err(text)?;
    let ours = |event: &netflow_core::event::Event| match &event.body {
        Body::Open(open) => [open.identity.local, open.identity.remote].contains(&check::endpoint(address)),
        _ => false,
    };
    let conns: std::collections::BTreeSet<u64> =
        events.iter().filter(|event| ours(event)).filter_map(|event| event.body.conn()).collect();
    events.clear();
    let began = std::time::Instant::now();
    capture.snapshot(&mut events).map_err(text)?;
    let took = began.elapsed();
    let sampled = events.iter().filter(|event| event.body.conn().is_some_and(|conn| conns.contains(&conn))).count();
    drop(sockets);
    let summary = capture.stop(&mut events).map_err(text)?;
    if conns.len() != 2 * connections || sampled != conns.len() || !summary.tcp.holds() || !summary.loss.is_zero() {
        return Err(format!("{} connections, {sampled} samples, {summary:?}", conns.len()));
    }
    Ok(format!("{sampled} samples in {took:.1?}"))
}

/// Sockets for one datagram each, as name servers are asked.
fn many_udp_sockets() -> Result<String, String> {
    const SOCKETS: u64 = 5000;
    let recorder = Recorder::start(&Options::default())?;
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").map_err(text)?;
    let to = peer.local_addr().map_err(text)?;
    for _ in 0..SOCKETS {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        socket.send_to(&[0; 30], to).map_err(text)?;
    }
    drop(peer);
    let (events, summary) = recorder.stop()?;
    check::in_order(&events)?;
    let seen = Seen::of(&events);
    let to = check::endpoint(to);
    let (mut sent, mut received, mut flows) = (0, 0, 0);
    for conn in seen.conns().filter(|conn| conn.closes == 1 && conn.opens == 1) {
        let identity = conn.identity.as_ref().ok_or("no identity")?;
        let totals = conn.last.ok_or("no totals")?;
        if identity.remote == to {
            sent += totals.sent_bytes;
            flows += 1;
        } else if identity.local == to {
            received += totals.recv_bytes;
        }
    }
    // Ports are given again: some sockets of the peer's many partners share a row with an earlier one.
    if (sent, received, flows) != (30 * SOCKETS, 30 * SOCKETS, SOCKETS) || !summary.udp.holds() {
        return Err(format!("{sent} sent, {received} received, {flows} flows, {summary:?}"));
    }
    Ok(format!("{:?}", summary.udp))
}

/// Recordings that begin and end while connections come and go by the thousand.
fn midst() -> Result<String, String> {
    let mut outcomes = Vec::new();
    traffic::burst(20_000, || {
        let mut events = Vec::new();
        let outcome = Capture::start(&Options::default()).and_then(|mut capture| {
            std::thread::sleep(Duration::from_millis(10));
            capture.poll(&mut events)?;
            capture.stop(&mut events)
        });
        outcomes.push(outcome.map(|summary| (summary, events)));
    })
    .map_err(text)?;
    let mut sum = netflow_core::law::Tally::default();
    for outcome in outcomes.iter() {
        let (summary, events) = outcome.as_ref().map_err(text)?;
        check::in_order(events)?;
        check::law(events, summary)?;
        if summary.loss.lost_closes != summary.vanished {
            return Err(format!("{summary:?}"));
        }
        // A sample between open and close, one of each.
        Seen::of(events);
        sum = sum + summary.tcp;
    }
    Ok(format!("{} recordings, {sum:?}", outcomes.len()))
}

/// Nothing stays attached when a capture goes without being stopped.
fn dropped() -> Result<String, String> {
    let capture = Capture::start(&Options::default()).map_err(text)?;
    let programs = recorder::held_programs();
    drop(capture);
    let left = recorder::surviving(&programs);
    if programs.len() != 16 || !left.is_empty() || !recorder::held_programs().is_empty() {
        return Err(format!("{programs:?}, left: {left:?}"));
    }
    Ok("16 programs".to_owned())
}

/// A flow that is silent for as long as the option says is closed; what comes later is a new flow.
fn idle_flows() -> Result<String, String> {
    let options = Options { udp_idle: Duration::from_millis(300), ..Options::default() };
    let recorder = Recorder::start(&options)?;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").map_err(text)?;
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").map_err(text)?;
    let to = peer.local_addr().map_err(text)?;
    socket.send_to(&[0; 10], to).map_err(text)?;
    std::thread::sleep(Duration::from_millis(1200));
    socket.send_to(&[0; 20], to).map_err(text)?;
    let from = socket.local_addr().map_err(text)?;
    drop(socket);
    let (events, summary) = recorder.stop()?;
    let seen = Seen::of(&events);
    let flows = seen.all(Transport::Udp, check::endpoint(from), check::endpoint(to));
    let found: Vec<_> = flows.iter().map(|flow| (flow.last.unwrap_or_default().sent_bytes, flow.reason)).collect();
    let reasons: Vec<_> =
        found.iter().map(|(bytes, reason)| (*bytes, reason.map_or("", |reason| reason.name()))).collect();
    if reasons != [(10, "idle"), (20, "unknown")] || !summary.udp.holds() {
        return Err(format!("{reasons:?} {summary:?}"));
    }
    Ok("2 flows".to_owned())
}

/// 20,000 connections as fast as they go.
/// A file may end behind any snapshot: what is stated as lost by then is what the events up to there lack.
fn each_snapshot() -> Result<String, String> {
    let recorder = Recorder::start(&Options { ring_bytes: 4096, ..Options::default() })?;
    // Short ones, because a snapshot is complete where nothing was lost of late.
    for _ in 0..30 {
        traffic::burst(200, || recorder.look()).map_err(text)?;
        (0..3).for_each(|_| recorder.look());
    }
    let (events, summary) = recorder.stop()?;
    check::in_order(&events)?;
    check::law(&events, &summary)?;
    let snapshots = check::law_so_far(&events)?;
    if summary.loss.lost_opens == 0 || summary.loss.lost_closes == 0 {
        return Err(format!("nothing was lost: {summary:?}"));
    }
    Ok(format!("{snapshots:?}, vanished {}, lost: {}", summary.vanished, summary.loss))
}

fn burst(options: &Options, must_be_complete: bool) -> Result<String, String> {
    const CONNECTIONS: u64 = 20_000;
    let began = std::time::Instant::now();
    let recorder = Recorder::start(options)?;
    traffic::burst(CONNECTIONS, || std::thread::sleep(Duration::from_millis(5))).map_err(text)?;
    let took = began.elapsed();
    let (events, summary) = recorder.stop()?;
    check::in_order(&events)?;
    check::law(&events, &summary)?;
    let tcp = summary.tcp;
    let closes = events.iter().filter(|event| matches!(event.body, Body::Close(_))).count() as u64;
    let told = tcp.closed + summary.udp.closed + summary.connect_failures;
    if tcp.opened < 2 * CONNECTIONS || closes != told {
        return Err(format!("{closes} closes, {summary:?}"));
    }
    let reported = events.iter().fold(netflow_core::event::Loss::default(), |mut sum, event| {
        if let Body::Loss(loss) = event.body {
            sum += loss;
        }
        sum
    });
    // What the kernel ended without a word is counted, and no fault of the ring's.
    let by_the_ring = summary.loss.ring_full + summary.loss.lost_opens + (summary.loss.lost_closes - summary.vanished);
    if reported != summary.loss || must_be_complete != (by_the_ring == 0) {
        return Err(format!("reported {reported}, {summary:?}"));
    }
    Ok(format!("{tcp:?}, vanished {}, lost: {}, {took:.1?}", summary.vanished, summary.loss))
}
