//! Processes are who `/proc` says they are.

use std::fs;
use std::thread;
use std::time::Duration;

use netflow_capture::Options;
use netflow_core::event::{Body, Event, Process, Transport};
use netflow_fixtures::traffic::{Cgroup, Guest};

use super::{now, server};
use crate::check::{Seen, endpoint, in_order};
use crate::recorder::Recorder;
use crate::text;

/// What `/proc` says of a process that lives.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) comm: String,
    exe: String,
    start_ticks: u64,
}

impl Truth {
    pub(super) fn of(pid: u32) -> Result<Self, String> {
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
    pub(super) fn check(&self, process: &Process) -> Result<(), String> {
        let started = process.started_at.unwrap_or(0) / 10_000_000;
        let is_same = *process.process == *self.comm && started == self.start_ticks;
        let is_exe = process.exited || process.exe.as_deref() == Some(&self.exe);
        if is_same && is_exe { Ok(()) } else { Err(format!("{process:?} should be {self:?}")) }
    }
}

pub(super) fn processes_of(events: &[Event], pid: u32) -> Vec<(u64, &Process)> {
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

/// Two processes with one id, one right after the other: each has its own beginning and end.
pub(crate) fn given_again() -> Result<String, String> {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    let server = server()?;
    let recorder = Recorder::start(&Options::default())?;
    // Others may be faster than the second process.
    for _ in 0..20 {
        let first = Guest::start(server, None, None).map_err(text)?;
        let (pid, first_truth) = (first.pid(), Truth::of(first.pid())?);
        first.end().map_err(text)?;
        if let Err(error) = fs::write(LAST, (pid - 1).to_string()) {
            return Ok(format!("skipped, ids cannot be chosen here: {error}"));
        }
        let second = Guest::start(server, None, None).map_err(text)?;
        let (again, second_truth) = (second.pid() == pid, Truth::of(second.pid())?);
        // Longer than the recorder keeps what it knows of the first.
        thread::sleep(Duration::from_millis(1500));
        let alive_at = now();
        second.end().map_err(text)?;
        if !again {
            continue;
        }
        let (events, _) = recorder.stop()?;
        let [(_, one), (_, end_of_one), (_, two), (end_at, end_of_two)] = processes_of(&events, pid)[..] else {
            return Err(format!("{:?}", processes_of(&events, pid)));
        };
        for (process, truth, exited) in [
            (one, &first_truth, false),
            (end_of_one, &first_truth, true),
            (two, &second_truth, false),
            (end_of_two, &second_truth, true),
        ] {
            // The first one ended at once.
            let known = Process { exe: process.exe.clone().or_else(|| Some((*truth.exe).into())), ..process.clone() };
            truth.check(&known)?;
            if process.exited != exited {
                return Err(format!("{process:?}"));
            }
        }
        return if end_at >= alive_at {
            Ok(format!("{pid} twice"))
        } else {
            Err(format!("{end_of_two:?} at {end_at}"))
        };
    }
    Err("no id was given again in twenty attempts".to_owned())
}
