//! Maps, the root cgroup and every program, tried for real.
//!
//! In: offsets, options. Out: findings. All that was made is gone when this returns.

use std::fs;

use aya::programs::cgroup_skb::CgroupSkbAttachType;
use aya::{Btf, Ebpf};

use super::{Finding, State, Subject};
use crate::attach::{self, PROGRAMS, Place};
use crate::capture::Options;
use crate::cgroup::{self, Root};
use crate::error::CaptureError;
use crate::object::{self, Offsets};

/// A refusal is worth advice of its own only where the process has all the privileges that are needed.
pub(super) fn probe(options: &Options, offsets: Option<&Offsets>, is_privileged: bool, findings: &mut Vec<Finding>) {
    let ebpf = maps(options, offsets, is_privileged, findings);
    let root = cgroup(findings);
    let types = attach::kernel_types();
    match (ebpf, types) {
        (Some(mut ebpf), Ok(types)) => {
            findings.extend(PROGRAMS.map(|(name, place)| {
                let tried = attempt(&mut ebpf, name, place, &types, root.as_ref());
                finding(name, place, tried, is_privileged)
            }));
        }
        _ => findings.extend(PROGRAMS.map(|(name, place)| {
            let found = format!("{}, not tried without maps", section(name, place));
            Finding::new(subject(name, place), State::Untried, found)
        })),
    }
}

fn maps(
    options: &Options,
    offsets: Option<&Offsets>,
    is_privileged: bool,
    findings: &mut Vec<Finding>,
) -> Option<Ebpf> {
    let Some(offsets) = offsets else {
        findings.push(Finding::new(Subject::Maps, State::Untried, "not tried without BTF"));
        return None;
    };
    match object::create(options, offsets) {
        Ok(ebpf) => {
            let ring = options.ring_bytes / 1024;
            let all = map_bytes().map_or(String::new(), |bytes| format!(" of {} KiB in all", bytes / 1024));
            findings.push(Finding::works(Subject::Maps, format!("made{all}, with a ring of {ring} KiB")));
            Some(ebpf)
        }
        Err(error) => {
            let advice = advice(&error, is_privileged, "give it more memory, or record with a smaller --ring-size");
            findings.push(Finding::missing(Subject::Maps, reason(&error), advice));
            None
        }
    }
}

/// What the kernel says that the maps of this process take; there are no others than those of the trial.
fn map_bytes() -> Option<u64> {
    let descriptors = fs::read_dir("/proc/self/fdinfo").ok()?;
    let bytes = |text: String| text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse::<u64>().ok());
    let sum = descriptors
        .filter_map(|descriptor| fs::read_to_string(descriptor.ok()?.path()).ok())
        .filter(|text| text.contains("map_id:"))
        .filter_map(bytes)
        .sum();
    (sum > 0).then_some(sum)
}

fn cgroup(findings: &mut Vec<Finding>) -> Option<Root> {
    let root = match cgroup::open_root() {
        Ok(root) => root,
        Err(error) => {
            let advice = "mount -t cgroup2 none /sys/fs/cgroup/unified, or give it CAP_SYS_ADMIN to do so for a moment";
            findings.push(Finding::missing(Subject::Cgroup, reason(&error), advice));
            return None;
        }
    };
    let place = match &root.mounted {
        Some(path) => path.display().to_string(),
        None => "mounted nowhere; mounted privately for a moment".to_owned(),
    };
    findings.push(if root.is_whole {
        Finding::works(Subject::Cgroup, place)
    } else {
        Finding {
            effect:
                "of processes outside of this cgroup namespace, UDP is not recorded, and the connections that they \
                     accept count as those of whoever listens"
                    .to_owned(),
            advice: "use the host's cgroup namespace (docker run --cgroupns=host), or give it the host's hierarchy \
                     (docker run -v /sys/fs/cgroup:/host/cgroup:ro)"
                .to_owned(),
            ..Finding::new(Subject::Cgroup, State::Degrades, format!("{place}, not the host's root"))
        }
    });
    Some(root)
}

/// Loads a program and puts it where it goes; what was done last, nothing where there is no cgroup.
fn attempt(
    ebpf: &mut Ebpf,
    name: &'static str,
    place: Place,
    types: &Btf,
    root: Option<&Root>,
) -> Result<Option<&'static str>, CaptureError> {
    attach::load_program(ebpf, name, place, types)?;
    match (place, root) {
        (Place::Walk(..), _) => attach::walk(ebpf, name)?.run(&mut Vec::new()).map(|()| Some("walked")),
        (Place::Tracepoint(_) | Place::ProcessTracepoint(_), _) => {
            attach::attach_tracepoint(ebpf, name).map(|()| Some("attached"))
        }
        (_, Some(root)) => attach::attach_to_cgroup(ebpf, name, place, &root.directory).map(|()| Some("attached")),
        (_, None) => Ok(None),
    }
}

fn finding(
    name: &'static str,
    place: Place,
    tried: Result<Option<&'static str>, CaptureError>,
    is_privileged: bool,
) -> Finding {
    let subject = subject(name, place);
    let section = section(name, place);
    match tried {
        Ok(Some(done)) => Finding::works(subject, format!("{section}: loaded and {done}")),
        Ok(None) => Finding::new(subject, State::Untried, format!("{section}: loaded, no cgroup to attach it to")),
        Err(error) => {
            let advice = advice(&error, is_privileged, "please report this with `uname -r`");
            let log = match &error {
                CaptureError::Refused { log, .. } if is_privileged && !log.is_empty() => format!("\n{log}"),
                _ => String::new(),
            };
            Finding::missing(subject, format!("{section}: {}{log}", reason(&error)), advice)
        }
    }
}

fn subject(name: &'static str, place: Place) -> Subject {
    if matches!(place, Place::Walk(..)) { Subject::Walk(name) } else { Subject::Hook(name) }
}

/// Where a program goes, as its section in the object is called.
fn section(name: &str, place: Place) -> String {
    match place {
        Place::Tracepoint(tracepoint) | Place::ProcessTracepoint(tracepoint) => format!("tp_btf/{tracepoint}"),
        Place::Socket => format!("cgroup/{name}"),
        Place::Datagrams(CgroupSkbAttachType::Ingress) => "cgroup_skb/ingress".to_owned(),
        Place::Datagrams(CgroupSkbAttachType::Egress) => "cgroup_skb/egress".to_owned(),
        Place::Walk(target, _) => format!("iter/{target}"),
    }
}

/// What the kernel said, without the advice that goes with an error.
fn reason(error: &CaptureError) -> String {
    match error {
        CaptureError::Load { reason } => format!("not made: {reason}"),
        CaptureError::Refused { reason, .. } => format!("not loaded: {reason}"),
        CaptureError::Attach { reason, .. } => format!("not attached: {reason}"),
        CaptureError::Walk { source, .. } => format!("not walked: {source}"),
        CaptureError::NoCgroup { source } => format!("mounted nowhere, and not mounted privately: {source}"),
        other => other.to_string(),
    }
}

/// What to do about an error, unless the missing privileges explain it.
fn advice(error: &CaptureError, is_privileged: bool, otherwise: &'static str) -> &'static str {
    let is_forbidden = error.to_string().contains("(os error 1)");
    match (is_privileged, is_forbidden) {
        (false, _) => "",
        (true, true) => {
            "the privileges are there, so a seccomp filter or a security module refuses: see the kernel's log, and allow \
             it bpf()"
        }
        (true, false) => otherwise,
    }
}
