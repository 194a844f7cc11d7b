//! Whether this host can be recorded, and what a recording would lack: found out by trying.
//!
//! In: the options of a recording. Out: findings, each with what it means and what to do about it. Programs are loaded
//! and attached for real, and gone again when this returns. Never here: how findings are shown; a change that lasts.

mod host;
mod programs;

use crate::capture::Options;
use crate::privilege;

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The kernel's version.
    Kernel,
    /// What the kernel withholds from everybody.
    Lockdown,
    /// Who may use eBPF at all.
    UnprivilegedBpf,
    /// The kernel's description of its types.
    Btf,
    /// Where this process's capabilities hold.
    UserNamespace,
    /// Whose processes this process sees.
    PidNamespace,
    /// One capability, such as `CAP_BPF`.
    Capability(String),
    /// The limit on locked memory.
    LockedMemory,
    /// Maps of the size that a recording has.
    Maps,
    /// The root of the cgroup v2 hierarchy.
    Cgroup,
    /// A program that runs when something happens, by name.
    Hook(&'static str),
    /// A program that walks over what there is, by name.
    Walk(&'static str),
    /// The table of connections of which addresses may be translated.
    Conntrack,
}

impl Subject {
    /// What it belongs to.
    #[must_use]
    pub fn group(&self) -> &'static str {
        match self {
            Self::Kernel | Self::Lockdown | Self::UnprivilegedBpf | Self::Btf => "kernel",
            Self::UserNamespace | Self::PidNamespace | Self::Capability(_) => "privileges",
            Self::LockedMemory | Self::Maps => "memory",
            Self::Cgroup => "mounts",
            Self::Hook(_) => "hooks",
            Self::Walk(_) => "iterators",
            Self::Conntrack => "nat",
        }
    }

    /// Its name within the group.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Kernel => "version",
            Self::Lockdown => "lockdown",
            Self::UnprivilegedBpf => "unprivileged_bpf_disabled",
            Self::Btf => "BTF",
            Self::UserNamespace => "user namespace",
            Self::PidNamespace => "PID namespace",
            Self::Capability(name) => name,
            Self::LockedMemory => "locked memory",
            Self::Maps => "maps",
            Self::Cgroup => "cgroup2",
            Self::Hook(name) | Self::Walk(name) => name,
            Self::Conntrack => "conntrack",
        }
    }
}

/// What it means for a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is lacking.
    Works,
    /// A recording is possible and lacks something.
    Degrades,
    /// No recording is possible.
    Missing,
    /// Not known, because something else is missing.
    Untried,
}

impl State {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Degrades => "degrades",
            Self::Missing => "missing",
            Self::Untried => "untried",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub subject: Subject,
    /// What it means for a recording.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What a recording lacks because of it; empty when nothing.
    pub effect: String,
    /// What to do about it; empty when nothing.
    pub advice: String,
}

impl Finding {
    fn new(subject: Subject, state: State, found: impl Into<String>) -> Self {
        Self { subject, state, found: found.into(), effect: String::new(), advice: String::new() }
    }

    fn works(subject: Subject, found: impl Into<String>) -> Self {
        Self::new(subject, State::Works, found)
    }

    fn missing(subject: Subject, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..Self::new(subject, State::Missing, found) }
    }
}

/// What all findings together mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A recording has everything.
    Whole,
    /// A recording lacks something.
    Degraded,
    /// No recording is possible.
    Impossible,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Degraded => "degraded",
            Self::Impossible => "impossible",
        }
    }
}

/// What these findings together mean.
#[must_use]
pub fn verdict(findings: &[Finding]) -> Verdict {
    let has = |state| findings.iter().any(|finding| finding.state == state);
    if has(State::Missing) || has(State::Untried) {
        Verdict::Impossible
    } else if has(State::Degrades) {
        Verdict::Degraded
    } else {
        Verdict::Whole
    }
}

/// Looks at everything that a recording with these options needs. Works for every user: what may not be tried is found
/// to be missing.
#[must_use]
pub fn probe(options: &Options) -> Vec<Finding> {
    let mut findings = vec![host::kernel(), host::lockdown(), host::unprivileged_bpf()];
    let offsets = host::btf(&mut findings);
    findings.push(host::user_namespace());
    findings.push(host::pid_namespace());
    findings.extend(privilege::needed().map(host::capability));
    findings.push(host::locked_memory());
    programs::probe(options, offsets.as_ref(), privilege::check().is_ok(), &mut findings);
    findings.push(host::conntrack());
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let verdict = |states: &[State]| {
            let findings: Vec<Finding> =
                states.iter().map(|state| Finding::new(Subject::Maps, *state, String::new())).collect();
            super::verdict(&findings)
        };
        assert_eq!(verdict(&[State::Works, State::Works]), Verdict::Whole);
        assert_eq!(verdict(&[State::Works, State::Degrades]), Verdict::Degraded);
        assert_eq!(verdict(&[State::Missing, State::Degrades]), Verdict::Impossible);
        assert_eq!(verdict(&[State::Works, State::Untried]), Verdict::Impossible);
    }
}
