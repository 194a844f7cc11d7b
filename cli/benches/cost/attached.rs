//! The eBPF programs that a process holds, what they are attached to, and what they took so far.
//!
//! In: a process id. Out: what `/proc` says of its descriptors. Never here: programs of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Where a program is attached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    Tracepoint(String),
    /// The number of the kind of attachment (`enum bpf_attach_type`).
    Cgroup(u32),
}

impl Hook {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tracepoint(name) => format!("tp_btf/{name}"),
            Self::Cgroup(kind) => match kind {
                0 => "cgroup_skb/ingress".to_owned(),
                1 => "cgroup_skb/egress".to_owned(),
                2 => "cgroup/sock_create".to_owned(),
                10 => "cgroup/connect4".to_owned(),
                11 => "cgroup/connect6".to_owned(),
                14 => "cgroup/sendmsg4".to_owned(),
                15 => "cgroup/sendmsg6".to_owned(),
                34 => "cgroup/sock_release".to_owned(),
                other => format!("cgroup/{other}"),
            },
        }
    }
}

/// How often a program ran, and for how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ran {
    pub(crate) count: u64,
    pub(crate) ns: u64,
}

impl Ran {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { count: self.count.saturating_sub(before.count), ns: self.ns.saturating_sub(before.ns) }
    }
}

/// The programs that a process holds, by id.
pub(crate) fn ran(process: &str) -> io::Result<BTreeMap<u32, Ran>> {
    let mut programs = BTreeMap::new();
    for fd in descriptors(process)? {
        if let (Some(id), Some(count), Some(ns)) =
            (fd.number("prog_id"), fd.number("run_cnt"), fd.number("run_time_ns"))
        {
            programs.insert(u32::try_from(id).unwrap_or_default(), Ran { count, ns });
        }
    }
    Ok(programs)
}

/// Where the programs of a process are attached, by id. Iterators are not: they run when they are read.
pub(crate) fn hooks(process: &str) -> io::Result<BTreeMap<u32, Hook>> {
    let mut hooks = BTreeMap::new();
    for fd in descriptors(process)? {
        let hook = match fd.text("link_type") {
            Some("raw_tracepoint") => fd.text("tp_name").map(|name| Hook::Tracepoint(name.to_owned())),
            Some("cgroup") => fd.number("attach_type").and_then(|kind| u32::try_from(kind).ok()).map(Hook::Cgroup),
            _ => None,
        };
        if let (Some(hook), Some(id)) = (hook, fd.number("prog_id")) {
            hooks.insert(u32::try_from(id).unwrap_or_default(), hook);
        }
    }
    Ok(hooks)
}

/// What `/proc` says of one descriptor.
struct Descriptor(String);

impl Descriptor {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

fn descriptors(process: &str) -> io::Result<Vec<Descriptor>> {
    let folder = Path::new("/proc").join(process).join("fdinfo");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        // A descriptor may be closed while we look.
        found.extend(fs::read_to_string(entry?.path()).map(Descriptor));
    }
    Ok(found)
}
