//! Capabilities: which are needed and what for, and giving up all others.
//!
//! In: the capabilities of this process. Out: an error that names what is missing; fewer capabilities. Never here: a
//! change for another process, or for a thread that exists already.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::error::CaptureError;
use crate::host;

/// What a recorder does that takes privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Recording as such.
    Recording,
    /// A cgroup v2 hierarchy for the moment of attaching, on hosts where none is mounted.
    PrivateMount,
    /// What is told of the processes that own connections, in a thread of its own.
    ProcessDetails,
    /// Files that are made and removed while the recording runs, in a folder that may be another user's.
    Rotation,
    /// A command that the recording starts, and ends when it lasts too long.
    Command,
}

/// How long a capability is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until everything is attached.
    Start,
    /// To the end of the recording.
    Throughout,
    /// To the end of the recording on kernels before this version, until everything is attached on all others.
    ThroughoutBefore(u32, u32),
}

/// One reason for a capability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) capability: CapabilitySet,
    feature: Feature,
    phase: Phase,
    /// What cannot be done without it.
    pub(crate) purpose: &'static str,
}

const fn need(capability: CapabilitySet, feature: Feature, phase: Phase, purpose: &'static str) -> Need {
    Need { capability, feature, phase, purpose }
}

/// Every reason for every capability: the one place that says what is needed, and what a running recording keeps.
///
/// What runs after the start is done by descriptor, and the kernel asks for no capability: reading the ring and maps,
/// walking iterators, writing to an open file, detaching. The exception is Linux before 5.19, which lets nobody without
/// `CAP_BPF` call bpf() at all where `kernel.unprivileged_bpf_disabled` is set, as it is nearly everywhere. A feature
/// that opens files of others while recording, or does more than that by name, needs a line of its own.
const NEEDS: [Need; 9] = [
    need(CapabilitySet::BPF, Feature::Recording, Phase::ThroughoutBefore(6, 0), "make maps, load programs"),
    need(CapabilitySet::PERFMON, Feature::Recording, Phase::Start, "load programs that read the kernel's sockets"),
    need(CapabilitySet::NET_ADMIN, Feature::Recording, Phase::Start, "attach programs to the root cgroup"),
    need(CapabilitySet::SYS_ADMIN, Feature::PrivateMount, Phase::Start, "mount a cgroup v2 hierarchy"),
    need(CapabilitySet::SYS_PTRACE, Feature::ProcessDetails, Phase::Throughout, "see the executables of other users"),
    need(
        CapabilitySet::DAC_READ_SEARCH,
        Feature::ProcessDetails,
        Phase::Throughout,
        "look up cgroups by the numbers that the kernel tells",
    ),
    need(CapabilitySet::DAC_OVERRIDE, Feature::Rotation, Phase::Throughout, "make files in folders of other users"),
    need(CapabilitySet::FOWNER, Feature::Rotation, Phase::Throughout, "remove files in folders of other users"),
    need(CapabilitySet::KILL, Feature::Command, Phase::Throughout, "end a command that has become another user"),
];

/// What `CAP_SYS_ADMIN` stands in for, as it was all of that once.
const STOOD_IN_FOR: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::NET_ADMIN);

/// Everything that recording as such needs.
pub(crate) fn needed() -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(|need| need.feature == Feature::Recording)
}

/// The capabilities of this thread.
pub(crate) fn held() -> Result<CapabilitySets, CaptureError> {
    capabilities(None).map_err(|error| CaptureError::Privileges { what: "tell", source: error.into() })
}

/// The set has the capability, or what stands in for it.
pub(crate) fn covers(set: CapabilitySet, capability: CapabilitySet) -> bool {
    let stood_in = set.contains(CapabilitySet::SYS_ADMIN) && STOOD_IN_FOR.contains(capability);
    stood_in || set.contains(capability)
}

/// `CAP_BPF, CAP_PERFMON`.
pub(crate) fn names(set: CapabilitySet) -> String {
    let mut text = String::new();
    for (name, _) in set.iter_names() {
        let gap = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{gap}CAP_{name}");
    }
    text
}

/// Says what is missing before anything is tried: the kernel's own refusals do not.
pub(crate) fn check() -> Result<(), CaptureError> {
    let effective = held()?.effective;
    let missing = missing(effective);
    if !missing.is_empty() {
        return Err(CaptureError::NotPermitted { missing: names(missing) });
    }
    if is_in_host_namespace("user") == Some(false) {
        return Err(CaptureError::InUserNamespace);
    }
    Ok(())
}

fn missing(effective: CapabilitySet) -> CapabilitySet {
    needed().map(|need| need.capability).filter(|capability| !covers(effective, *capability)).collect()
}

/// This process is in the namespace that the host began with; `None` where `/proc` does not say.
pub(crate) fn is_in_host_namespace(kind: &str) -> Option<bool> {
    // The kernel gives the first namespaces fixed numbers.
    let first = match kind {
        "user" => "user:[4026531837]",
        "pid" => "pid:[4026531836]",
        _ => return None,
    };
    let link = std::fs::read_link(Path::new("/proc/self/ns").join(kind)).ok()?;
    Some(link.as_os_str() == first)
}

/// Gives up every capability that none of these features needs while a recording runs, for good: what this process
/// keeps cannot become more again, not by starting a program either.
///
/// Applies to this thread and to those that it starts afterwards. A child that was started before keeps all it has.
///
/// # Errors
///
/// The kernel, or what guards it, refuses.
pub fn give_up_privileges(features: &[Feature]) -> Result<(), CaptureError> {
    let sets = held()?;
    let kept = kept(sets.permitted, features, host::kernel_version());
    give_up(sets.effective, kept).map_err(|source| CaptureError::Privileges { what: "give up", source })
}

fn give_up(effective: CapabilitySet, kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    if effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set()?;
    }
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    Ok(())
}

/// The kernel knows more capabilities than there are names for here.
fn empty_bounding_set() -> io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn kept(permitted: CapabilitySet, features: &[Feature], kernel: Option<(u32, u32)>) -> CapabilitySet {
    let lasts = |phase| match phase {
        Phase::Start => false,
        Phase::Throughout => true,
        Phase::ThroughoutBefore(major, minor) => kernel.is_none_or(|kernel| kernel < (major, minor)),
    };
    NEEDS
        .iter()
        .filter(|need| features.contains(&need.feature) && lasts(need.phase) && covers(permitted, need.capability))
        .map(|need| if permitted.contains(need.capability) { need.capability } else { CapabilitySet::SYS_ADMIN })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::NET_ADMIN);

    #[test]
    fn missing_capabilities_are_named() {
        let missing = |set| names(missing(set));
        assert_eq!(missing(CapabilitySet::all()), "");
        assert_eq!(missing(CapabilitySet::empty()), "CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF");
        assert_eq!(missing(CapabilitySet::BPF | CapabilitySet::PERFMON), "CAP_NET_ADMIN");
        assert_eq!(missing(CapabilitySet::SYS_ADMIN), "");
        assert_eq!(missing(THREE), "");
    }

    #[test]
    fn only_what_a_running_recording_needs_is_kept() {
        let kept = |permitted, features: &[Feature]| {
            [Some((5, 15)), Some((6, 1)), None].map(|kernel| kept(permitted, features, kernel))
        };
        let none = CapabilitySet::empty();
        let (bpf, kill, admin) = (CapabilitySet::BPF, CapabilitySet::KILL, CapabilitySet::SYS_ADMIN);
        let command = [Feature::Recording, Feature::Command];
        assert_eq!(kept(CapabilitySet::all(), &[Feature::Recording]), [bpf, none, bpf]);
        assert_eq!(kept(CapabilitySet::all(), &command), [bpf | kill, kill, bpf | kill]);
        assert_eq!(kept(THREE, &command), [bpf, none, bpf]);
        assert_eq!(kept(admin, &command), [admin, none, admin]);
        assert_eq!(kept(none, &command), [none; 3]);
    }
}
