//! What an application reads after its connection is over.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use netflow_capture::{Capture, Options};
use netflow_core::event::{Body, Event, Transport};

use crate::check::{Seen, endpoint, in_order};
use crate::text;

const BYTES: usize = 5000;

/// A connection that the peer and the kernel are done with, and whose application has read nothing yet.
fn over(listener: &TcpListener) -> Result<TcpStream, String> {
    let client = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (mut server, _) = listener.accept().map_err(text)?;
    client.shutdown(Shutdown::Write).map_err(text)?;
    server.read_to_end(&mut Vec::new()).map_err(text)?;
    server.write_all(&[7; BYTES]).map_err(text)?;
    Ok(client)
}

/// Snapshots come before the application gets to reading. What it reads then is read, and what it never reads is not.
pub(crate) fn read_late() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let mut capture = Capture::start(&Options::default()).map_err(text)?;
    let mut events: Vec<Event> = Vec::new();
    let (mut reader, sleeper) = (over(&listener)?, over(&listener)?);
    let ends = |client: &TcpStream| -> Result<_, String> {
        Ok((endpoint(client.local_addr().map_err(text)?), endpoint(listener.local_addr().map_err(text)?)))
    };
    let (late, never) = (ends(&reader)?, ends(&sleeper)?);
    sleep(Duration::from_millis(100));
    for _ in 0..3 {
        capture.snapshot(&mut events).map_err(text)?;
    }
    let complete = events.iter().filter(|event| matches!(&event.body, Body::Tick(tick) if tick.complete)).count();
    reader.read_to_end(&mut Vec::new()).map_err(text)?;
    drop(reader);
    let summary = capture.stop(&mut events).map_err(text)?;
    drop(sleeper);
    in_order(&events)?;
    let seen = Seen::of(&events);
    let mut found = Vec::new();
    for (local, remote) in [late, never] {
        let conn = seen.find(Transport::Tcp, local, remote).ok_or("not found")?;
        let last = conn.last.ok_or("no close")?;
        found.push((conn.opens, conn.closes, last.recv_bytes, last.unread_bytes));
    }
    let bytes = BYTES as u64;
    if found != [(1, 1, bytes, 0), (1, 1, bytes, bytes)] || complete < 3 || !summary.tcp.holds() {
        return Err(format!("{found:?}, {complete} complete snapshots, {summary:?}"));
    }
    Ok("2 ends".to_owned())
}
