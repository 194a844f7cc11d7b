//! What arrives beside the connections: processes, listening sockets, the wall clock; compared with what `/proc` and `ss`
//! say.

pub(crate) mod listeners;
pub(crate) mod processes;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use netflow_capture::{Options, host_header};
use netflow_core::event::{Body, Event, Transport};

use crate::check::{Seen, endpoint};
use crate::recorder::Recorder;
use crate::text;
use processes::Truth;

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
/// Without UDP no program runs where packets pass, and TCP is told as ever.
pub(crate) fn tcp_alone() -> Result<String, String> {
    let recorder = Recorder::start(&Options { udp: false, ..Options::default() })?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let mut client = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (mut server, _) = listener.accept().map_err(text)?;
    client.write_all(&[7; 1234]).map_err(text)?;
    server.read_exact(&mut [0; 1234]).map_err(text)?;
    let (from, to) = (UdpSocket::bind("127.0.0.1:0").map_err(text)?, UdpSocket::bind("127.0.0.1:0").map_err(text)?);
    from.send_to(&[7; 99], to.local_addr().map_err(text)?).map_err(text)?;
    to.recv_from(&mut [0; 99]).map_err(text)?;
    let local = endpoint(client.local_addr().map_err(text)?);
    drop((client, server, from, to));
    let (events, summary) = recorder.stop()?;
    let seen = Seen::of(&events);
    let datagrams = seen.conns().filter_map(|conn| conn.identity.as_ref()).any(|one| one.transport == Transport::Udp);
    let stream = seen.conns().find(|conn| conn.identity.as_ref().is_some_and(|identity| identity.local == local));
    let sent = stream.and_then(|conn| conn.last.as_ref()).map(|totals| totals.sent_bytes);
    if datagrams || summary.udp.opened != 0 || sent != Some(1234) {
        return Err(format!("{datagrams} {sent:?} {summary:?}"));
    }
    Ok("1234 bytes".to_owned())
}

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
