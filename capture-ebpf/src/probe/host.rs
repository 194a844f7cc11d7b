//! What the kernel, its settings and this process's privileges are.
//!
//! In: `/proc`, `/sys`, capabilities. Out: findings. Never here: a program.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, no_new_privs};

use super::{Finding, State, Subject};
use crate::host;
use crate::object::{self, BTF, Offsets};
use crate::privilege;

/// The first kernel that charges maps to the memory cgroup and not to the limit on locked memory.
const CHARGED_TO_CGROUP: (u32, u32) = (5, 11);

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

pub(super) fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let mut found = format!("Linux {release} {}", std::env::consts::ARCH);
    if host::kernel_version().is_some_and(|version| version < host::BASELINE) {
        // Distributions carry newer eBPF back to older versions; trying tells.
        found.push_str(&format!(
            ", older than {}.{}: the hooks tell whether it can",
            host::BASELINE.0,
            host::BASELINE.1
        ));
    }
    Finding::works(Subject::Kernel, found)
}

pub(super) fn lockdown() -> Finding {
    let found = match read("/sys/kernel/security/lockdown") {
        None => "none that /sys/kernel/security tells of".to_owned(),
        // `none [integrity] confidentiality`
        Some(text) => match text.split(['[', ']']).nth(1) {
            Some("none") => "none".to_owned(),
            Some(mode) => format!("{mode}; the programs use nothing that it forbids"),
            None => text,
        },
    };
    Finding::works(Subject::Lockdown, found)
}

pub(super) fn unprivileged_bpf() -> Finding {
    let found = match read("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => "0: others may use some of eBPF too".to_owned(),
        Some(value) => format!("{value}: eBPF is for the privileged alone"),
        None => "not known to this kernel".to_owned(),
    };
    Finding::works(Subject::UnprivilegedBpf, found)
}

/// The offsets too, since they are what it is needed for.
pub(super) fn btf(findings: &mut Vec<Finding>) -> Option<Offsets> {
    match object::offsets() {
        Ok(offsets) => {
            let found = format!("{BTF}: {} members found", offsets.len());
            findings.push(Finding::works(Subject::Btf, found));
            Some(offsets)
        }
        Err(error) => {
            let advice = "use a kernel with CONFIG_DEBUG_INFO_BTF=y, Linux 5.15 or newer";
            findings.push(Finding::missing(Subject::Btf, error.to_string(), advice));
            None
        }
    }
}

pub(super) fn user_namespace() -> Finding {
    match privilege::is_in_host_namespace("user") {
        Some(false) => Finding {
            effect: "no capability of this process counts for eBPF".to_owned(),
            ..Finding::missing(
                Subject::UserNamespace,
                "not the host's",
                "run it on the host, or in a container that is not rootless",
            )
        },
        known => Finding::works(Subject::UserNamespace, whose(known)),
    }
}

pub(super) fn pid_namespace() -> Finding {
    match privilege::is_in_host_namespace("pid") {
        Some(false) => Finding {
            effect: "of processes outside of it, TCP connections older than the recording are not recorded, and older \
                     UDP sockets have no owner"
                .to_owned(),
            advice: "run it in the host's PID namespace (docker run --pid=host, Kubernetes hostPID: true)".to_owned(),
            ..Finding::new(Subject::PidNamespace, State::Degrades, "not the host's")
        },
        known => Finding::works(Subject::PidNamespace, whose(known)),
    }
}

fn whose(is_host: Option<bool>) -> &'static str {
    if is_host.is_some() { "the host's" } else { "unknown: /proc/self/ns cannot be read" }
}

/// `without` is what a recording is without it.
pub(super) fn capability(capability: CapabilitySet, purpose: &str, without: State) -> Finding {
    let subject = Subject::Capability(privilege::names(capability));
    let effective = match privilege::held() {
        Ok(sets) => sets.effective,
        Err(error) => return Finding::new(subject, without, error.to_string()),
    };
    let lacking = |found: &str, advice: &str| Finding {
        effect: format!("cannot {purpose}"),
        advice: advice.to_owned(),
        ..Finding::new(subject.clone(), without, found)
    };
    if !privilege::covers(effective, capability) {
        let advice =
            if without == State::Missing { how_to_get(capability) } else { "where that matters, add it to the others" };
        return lacking("not held", advice);
    }
    if privilege::is_in_host_namespace("user") == Some(false) {
        return lacking("held in this user namespace only", "");
    }
    let how = if effective.contains(capability) { "held" } else { "held by way of CAP_SYS_ADMIN" };
    Finding::works(subject, format!("{how}: {purpose}"))
}

fn how_to_get(capability: CapabilitySet) -> &'static str {
    if capability_is_in_bounding_set(capability) == Ok(false) {
        "give it to the container or service, for this process could never get it (docker run --cap-add BPF --cap-add \
         PERFMON --cap-add NET_ADMIN, Kubernetes capabilities.add, systemd CapabilityBoundingSet= and \
         AmbientCapabilities=)"
    } else if no_new_privs() == Ok(true) {
        "give it to what starts this process, which may gain no privileges by itself (no_new_privs)"
    } else {
        "run it as root, or let everybody who may run it record: setcap cap_bpf,cap_perfmon,cap_net_admin+ep netflow"
    }
}

pub(super) fn locked_memory() -> Finding {
    let limit = match getrlimit(Resource::Memlock).current {
        None => "unlimited".to_owned(),
        Some(bytes) => format!("{} KiB", bytes / 1024),
    };
    let matters = host::kernel_version().is_some_and(|version| version < CHARGED_TO_CGROUP);
    let note = if matters { "; maps count as that" } else { "; maps do not count as that" };
    Finding::works(Subject::LockedMemory, limit + note)
}

pub(super) fn conntrack() -> Finding {
    const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
    let found = match read(COUNT) {
        Some(count) => format!("{count} connections tracked in this network namespace"),
        None if Path::new(COUNT).exists() => format!("{COUNT} cannot be read"),
        None => "not loaded: nothing is translated in this network namespace".to_owned(),
    };
    Finding::works(Subject::Conntrack, found)
}
