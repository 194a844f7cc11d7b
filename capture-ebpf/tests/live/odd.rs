//! Unusual sockets: each end is what its application knows of it.

use std::time::Duration;

use netflow_capture::Options;
use netflow_core::event::Transport;
use netflow_fixtures::traffic::{Odd, run_odd};

use crate::check::{self, Seen, mismatches};
use crate::recorder::Recorder;
use crate::text;

/// Every scene of a group. The recording looks at the holders of sockets when a scene asks for it, and at no other time.
///
/// A run in which the kernel did not start the programs for some connection proves nothing, and is made again.
pub(crate) fn scenes(group: Odd) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..3 {
        match once(group)? {
            Ok(figures) => return Ok(figures),
            Err(vanished) => last = vanished,
        }
    }
    Err(last)
}

fn once(group: Odd) -> Result<Result<String, String>, String> {
    let options = Options { owners_every: Duration::ZERO, ..Options::default() };
    let recorder = Recorder::patient(&options)?;
    let mut ends = Vec::new();
    let skipped = run_odd(group, &mut ends, &mut || recorder.look()).map_err(text)?;
    let (events, summary) = recorder.stop()?;
    if summary.vanished > 0 {
        return Ok(Err(format!("{summary:?}")));
    }
    check::in_order(&events)?;
    let wrong = mismatches(&ends, &Seen::of(&events));
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    if !summary.tcp.holds() || !summary.udp.holds() || !summary.loss.is_zero() {
        return Err(format!("{summary:?}"));
    }
    let skipped: String = skipped.iter().map(|scene| format!(", skipped {scene}")).collect();
    Ok(Ok(format!("{} ends{skipped}", ends.len())))
}

/// A connection that two processes hold when the recording begins, and one that only we hold.
pub(crate) fn found_shared() -> Result<String, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let client = std::net::TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    let (server, _) = listener.accept().map_err(text)?;
    let held_too = std::process::Stdio::from(std::os::fd::OwnedFd::from(client.try_clone().map_err(text)?));
    let mut child = std::process::Command::new("sleep").arg("60").stdin(held_too).spawn().map_err(text)?;
    let recorder = Recorder::patient(&Options::default())?;
    let addresses = (client.local_addr().map_err(text)?, server.local_addr().map_err(text)?);
    child.kill().and_then(|()| child.wait()).map_err(text)?;
    drop((client, server));
    let (events, _) = recorder.stop()?;
    let seen = Seen::of(&events);
    let (client, server) = (check::endpoint(addresses.0), check::endpoint(addresses.1));
    for (local, remote, shared) in [(client, server, true), (server, client, false)] {
        let conn = seen.find(Transport::Tcp, local, remote).ok_or("not found")?;
        let identity = conn.identity.as_ref().ok_or("no identity")?;
        let found = (identity.shared, identity.preexisting, identity.pid);
        let expected = (shared, true, Some(std::process::id()));
        if found != expected {
            return Err(format!("expected {expected:?}, found {found:?}"));
        }
    }
    Ok("2 ends".to_owned())
}
