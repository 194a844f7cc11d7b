//! Where the benchmark runs: what may disturb it, and the namespace that keeps its traffic apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use crate::sys;

/// Sockets in TIME_WAIT that the namespace keeps. So few that all slots but the first find it full, and do the same work.
const TIME_WAIT: &str = "1024";

const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What is known of the host before anything is measured.
pub(crate) struct Surroundings {
    kernel: String,
    processors: usize,
    load: String,
    /// Processes that hold eBPF programs.
    others: Vec<String>,
    stats: bool,
}

pub(crate) fn look() -> Surroundings {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    Surroundings {
        kernel: text("/proc/sys/kernel/osrelease"),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        load: text("/proc/loadavg").split(' ').take(1).collect(),
        others: holders(),
        stats: text("/proc/sys/kernel/bpf_stats_enabled") == "1",
    }
}

fn holders() -> Vec<String> {
    let mut holders = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let holds = fs::read_dir(path.join("fd")).into_iter().flatten().flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().starts_with("anon_inode:bpf-prog"))
        });
        if holds {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            holders.insert(format!("{} {}", name.trim(), process.file_name().display()));
        }
    }
    holders.into_iter().collect()
}

impl Surroundings {
    pub(crate) fn json(&self) -> Value {
        json!({
            "kernel": self.kernel, "processors": self.processors, "load": self.load.parse().unwrap_or(0.0),
            "others_with_ebpf": self.others, "bpf_stats_enabled_before": self.stats,
        })
    }

    pub(crate) fn print(&self) {
        println!("Linux {}, {} processors, load {} before the start", self.kernel, self.processors, self.load);
        if cfg!(debug_assertions) {
            println!("! not an optimised build: the figures for recorder and snapshot mean nothing");
        }
        if self.load.parse().unwrap_or(0.0) > 0.5 {
            println!("! other work runs on this host: expect wide intervals, and too large figures for wall time");
        }
        if !self.others.is_empty() {
            println!("! others had eBPF programs when this began: {}", self.others.join(", "));
        }
        if self.stats {
            println!("! kernel.bpf_stats_enabled is 1: every eBPF program is slower in the pairs, the recorder's too");
        }
    }
}

/// Moves this process into a network namespace with a loopback interface of its own, where TIME_WAIT is short.
pub(crate) fn enter_namespace() -> anyhow::Result<()> {
    sys::unshare().context("unshare")?;
    sys::keep_mounts().context("cannot make mounts private")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("cannot run ip (iproute2)")?;
    anyhow::ensure!(up.success(), "`ip link set lo up` failed");
    for (name, value) in [("tcp_max_tw_buckets", TIME_WAIT), ("ip_local_port_range", "10000 65000")] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    // Tools that attach to tracepoints look for them here; a mount in our own namespace ends with us.
    if !TRACEFS.iter().any(|path| Path::new(path).join("events").exists()) {
        let _ = sys::mount_tracefs(c"/sys/kernel/tracing");
    }
    Ok(())
}
