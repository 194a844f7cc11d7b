//! Programs that do nothing: what the kernel takes for running any.
//!
//! In: hooks. Out: descriptors that keep an empty program at each of them.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context;

use crate::attached::Hook;
use crate::sys;

/// The hooks that each packet passes.
const PACKETS: [Hook; 2] = [Hook::Cgroup(0), Hook::Cgroup(1)];

/// Says so when the hooks of each packet have an empty program, and keeps them there until the process is ended.
pub(crate) fn hold() -> anyhow::Result<()> {
    let _held = attach(PACKETS.iter())?;
    eprintln!("attached");
    loop {
        std::thread::park();
    }
}

/// One at each hook, for as long as the descriptors live.
pub(crate) fn attach<'a>(hooks: impl Iterator<Item = &'a Hook>) -> anyhow::Result<Vec<OwnedFd>> {
    let cgroup = File::open(cgroup_root()?)?;
    let distinct: BTreeSet<&Hook> = hooks.collect();
    let mut held = Vec::new();
    for hook in distinct {
        let attach = || -> std::io::Result<[OwnedFd; 2]> {
            match hook {
                Hook::Tracepoint(name) => {
                    // The kernel runs both kinds of tracepoint program, with types and without, by the same code.
                    const RAW_TRACEPOINT: u32 = 17;
                    let program = sys::load_empty(RAW_TRACEPOINT, 0, 0)?;
                    let link = sys::attach_to_tracepoint(program.as_fd(), &CString::new(name.as_str())?)?;
                    Ok([program, link])
                }
                Hook::Cgroup(attach_type) => {
                    const CGROUP_SKB: u32 = 8;
                    const CGROUP_SOCK: u32 = 9;
                    const CGROUP_SOCK_ADDR: u32 = 18;
                    let kind = match attach_type {
                        0 | 1 => CGROUP_SKB,
                        2 | 12 | 13 | 34 => CGROUP_SOCK,
                        _ => CGROUP_SOCK_ADDR,
                    };
                    let program = sys::load_empty(kind, *attach_type, 1)?;
                    let link = sys::attach_to_cgroup(program.as_fd(), cgroup.as_fd(), *attach_type)?;
                    Ok([program, link])
                }
            }
        };
        held.extend(attach().with_context(|| format!("cannot attach an empty program to {}", hook.name()))?);
    }
    Ok(held)
}

fn cgroup_root() -> anyhow::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let path =
        fields.find_map(|mut fields| Some((fields.nth(1)?, fields.next()?)).filter(|(_, kind)| *kind == "cgroup2"));
    path.map(|(path, _)| path.to_owned()).context("no cgroup v2 hierarchy is mounted")
}
