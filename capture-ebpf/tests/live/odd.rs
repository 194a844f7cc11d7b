//! Unusual sockets: each end is what its application knows of it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
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
    if summary.vanished + summary.unseen_failures > 0 {
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

/// A connection of ours, of which another process holds one end too.
struct Held {
    client: TcpStream,
    server: TcpStream,
    is_client: bool,
    other: Child,
}

impl Held {
    fn new(is_client: bool) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let copy = OwnedFd::from(if is_client { client.try_clone()? } else { server.try_clone()? });
        let other = Command::new("sleep").arg("60").stdin(Stdio::from(copy)).spawn()?;
        Ok(Self { client, server, is_client, other })
    }

    /// What is known of both ends at the end, compared with what should be.
    fn compare(&self, seen: &Seen, preexisting: bool) -> Result<(), String> {
        let client = check::endpoint(self.client.local_addr().map_err(text)?);
        let server = check::endpoint(self.server.local_addr().map_err(text)?);
        for (local, remote, shared) in [(client, server, self.is_client), (server, client, !self.is_client)] {
            let conn = seen.find(Transport::Tcp, local, remote).ok_or("not found")?;
            let identity = conn.identity.as_ref().ok_or("no identity")?;
            let found = (identity.shared, identity.preexisting, identity.pid);
            // Of an older connection, the owner is whoever has the lower id: that is the child when ids began anew.
            let first = std::process::id().min(self.other.id());
            let owner = if shared && preexisting { first } else { std::process::id() };
            let expected = (shared, preexisting, Some(owner));
            if found != expected {
                return Err(format!("expected {expected:?}, found {found:?}"));
            }
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

/// Connections older than the recording, and not, of which two processes hold an end: it stays with its first
/// owner for as long as that holds it.
pub(crate) fn held_by_two() -> Result<String, String> {
    let both = || -> std::io::Result<_> { Ok([Held::new(true)?, Held::new(false)?]) };
    let older = both().map_err(text)?;
    let recorder = Recorder::patient(&Options { owners_every: Duration::ZERO, ..Options::default() })?;
    let newer = both().map_err(text)?;
    recorder.look();
    recorder.look();
    let (events, _) = recorder.stop()?;
    let seen = Seen::of(&events);
    older.iter().try_for_each(|held| held.compare(&seen, true))?;
    newer.iter().try_for_each(|held| held.compare(&seen, false))?;
    Ok("8 ends".to_owned())
}
