//! What is attached while traffic runs: the recorder, and the tools that others would use.
//!
//! In: a name. Out: a running process that sees the traffic, its processor time, and its end. Never here: a measurement.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::sys;

/// How long a subject may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it has for itself once it began.
const SETTLE: Duration = Duration::from_millis(100);

/// A table of our own namespace that makes it track connections, as a firewall does.
const TRACK: &str =
    "table inet netflow_cost { chain track { type filter hook input priority 0; ct state invalid drop; }; }";

/// Something that can be attached.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    kind: Kind,
    program: PathBuf,
    /// The Debian packages that have it.
    packages: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Empty,
    Recorder,
    TcpRecorder,
    Bpf,
    Tcpdump,
    Conntrack,
}

/// Nothing at all: what a difference means that is measured here, nobody can cause.
pub(crate) fn nothing() -> Subject {
    subject("nothing", "a process that sleeps", Kind::Nothing, "sleep", &[])
}

/// Programs that do nothing, where each packet passes.
pub(crate) fn empty() -> anyhow::Result<Subject> {
    let program = std::env::current_exe().context("where is this benchmark?")?;
    Ok(Subject { program, ..subject("empty hooks", "empty programs at cgroup_skb", Kind::Empty, "", &[]) })
}

/// The recorder.
pub(crate) fn recorder(netflow: &Path) -> Subject {
    Subject { program: netflow.to_owned(), ..subject("netflow", "netflow record", Kind::Recorder, "", &[]) }
}

/// The recorder, without UDP.
pub(crate) fn tcp_recorder(netflow: &Path) -> Subject {
    let what = "netflow record --no-udp";
    Subject { program: netflow.to_owned(), ..subject("tcp alone", what, Kind::TcpRecorder, "", &[]) }
}

/// What others use.
pub(crate) fn tools() -> [Subject; 4] {
    let bpf = ["libbpf-tools"].as_slice();
    [
        subject("tcplife", "tcplife: a line for each connection's end", Kind::Bpf, "/usr/sbin/tcplife", bpf),
        subject("tcpstates", "tcpstates: a line for each change of state", Kind::Bpf, "/usr/sbin/tcpstates", bpf),
        subject("tcpdump", "tcpdump -i lo -s 96 -w FILE", Kind::Tcpdump, "/usr/bin/tcpdump", &["tcpdump"]),
        subject(
            "conntrack",
            "connection tracking, and conntrack -E",
            Kind::Conntrack,
            "/usr/sbin/conntrack",
            &["conntrack", "nftables"],
        ),
    ]
}

fn subject(
    name: &'static str,
    what: &'static str,
    kind: Kind,
    program: &str,
    packages: &'static [&'static str],
) -> Subject {
    Subject { name, what, kind, program: program.into(), packages }
}

/// Installs the packages of all tools.
pub(crate) fn install() -> anyhow::Result<()> {
    let packages = tools().into_iter().filter(|tool| tool.missing().is_some()).flat_map(|tool| tool.packages);
    let packages: std::collections::BTreeSet<&str> = packages.copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    let apt = |arguments: &[&str]| -> anyhow::Result<()> {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdout(Stdio::null());
        let status = command.status().context("cannot run apt-get")?;
        ensure!(status.success(), "apt-get {} failed", arguments.join(" "));
        Ok(())
    };
    apt(&["update", "-qq"])?;
    let wanted: Vec<&str> = ["install", "-qq", "-y", "--no-install-recommends"].into_iter().chain(packages).collect();
    apt(&wanted)
}

impl Subject {
    /// Why it cannot run here, as far as that shows without trying.
    pub(crate) fn missing(&self) -> Option<String> {
        let nft = (self.kind == Kind::Conntrack).then(|| PathBuf::from("/usr/sbin/nft"));
        let mut needed = [Some(self.program.clone()), nft].into_iter().flatten();
        let absent = needed.find(|path| path.is_absolute() && !path.exists())?;
        let packages = self.packages.join(" ");
        Some(format!("{} is not there; --install installs {packages}", absent.display()))
    }

    /// Starts it, and waits until it sees the traffic.
    pub(crate) fn start(&self, dir: &Path) -> anyhow::Result<Running> {
        self.try_start(dir).with_context(|| format!("cannot run {}", self.name))
    }

    fn try_start(&self, dir: &Path) -> anyhow::Result<Running> {
        let (out, said) = (dir.join("out"), dir.join("said"));
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Nothing => command.arg("1000"),
            Kind::Empty => command.arg("--hold-empty"),
            Kind::Recorder => {
                let _ = fs::remove_file(&out);
                command.arg("record").arg(&out)
            }
            Kind::TcpRecorder => {
                let _ = fs::remove_file(&out);
                command.args(["record", "--no-udp"]).arg(&out)
            }
            Kind::Bpf => &mut command,
            Kind::Tcpdump => command.args(["-i", "lo", "-n", "-s", "96", "-Z", "root", "-w"]).arg(&out),
            Kind::Conntrack => {
                nft(&[TRACK])?;
                command.arg("-E")
            }
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?).spawn()?;
        let mut running = Running { kind: self.kind, child, said };
        let began = Instant::now();
        while !running.is_ready(&out) {
            if let Some(status) = running.child.try_wait()? {
                bail!("it ended with {status}: {}", running.words());
            }
            ensure!(began.elapsed() < PATIENCE, "it was not ready in time: {}", running.words());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(SETTLE);
        Ok(running)
    }
}

/// A subject at work.
pub(crate) struct Running {
    kind: Kind,
    child: Child,
    said: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of the process so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        sys::process_time(self.pid()).context("the process is gone")
    }

    fn is_ready(&self, out: &Path) -> bool {
        match self.kind {
            Kind::Nothing | Kind::Conntrack => true,
            // The header is written once everything is attached.
            Kind::Recorder | Kind::TcpRecorder => fs::metadata(out).is_ok_and(|file| file.len() > 0),
            Kind::Bpf => holds(self.pid(), "anon_inode:[perf_event]") || holds(self.pid(), "anon_inode:bpf_link"),
            Kind::Empty => self.words().contains("attached"),
            Kind::Tcpdump => self.words().contains("listening on"),
        }
    }

    /// What it said on its standard error.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default().trim().replace('\n', "; ")
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<String> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT)?;
        }
        let began = Instant::now();
        while self.child.try_wait()?.is_none() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(self.words())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.kind == Kind::Conntrack {
            let _ = nft(&["delete", "table inet netflow_cost"]);
            let _ = Command::new("/usr/sbin/conntrack").arg("-F").stderr(Stdio::null()).status();
        }
    }
}

fn holds(pid: u32, what: &str) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.as_os_str() == what)
}

fn nft(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("/usr/sbin/nft").args(words).output().context("cannot run nft")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
