//! What can go wrong, said so that the reader knows what to do about it.

use std::io;
use std::path::PathBuf;

/// The kernel side failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The process may not load eBPF programs.
    #[error(
        "this process lacks {missing}; run it as root, or give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN \
         (capability sets are dropped inside most containers: use --privileged there)"
    )]
    NotPermitted {
        /// The capabilities that are missing.
        missing: String,
    },
    /// The process has capabilities, but not on the host.
    #[error(
        "the capabilities of this process end at its user namespace (that of a rootless container?), and \
         eBPF needs those of the host; run it outside, as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    InUserNamespace,
    /// Capabilities could not be read or given up.
    #[error("cannot {what} this process's capabilities: {source}")]
    Privileges {
        /// What was to be done about them.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The kernel does not describe its types.
    #[error(
        "cannot read {}: {source}; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y, as the kernels of the \
         larger distributions are since 2021", path.display()
    )]
    NoBtf {
        /// Where the description should be.
        path: PathBuf,
        /// Why it could not be read.
        source: io::Error,
    },
    /// The description of the kernel's types makes no sense.
    #[error("{} is damaged: {reason}; this is a fault of the kernel's build, please report it with `uname -r`", path.display())]
    DamagedBtf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: crate::btf::BtfError,
    },
    /// A member that the programs read is not there.
    #[error(
        "this kernel has no member {member} in struct {structure}: {reason}; netflow needs Linux 5.15 or newer, and a \
         kernel newer than netflow may have renamed it"
    )]
    NoMember {
        /// The struct.
        structure: &'static str,
        /// The path of the member.
        member: &'static str,
        /// What was found instead.
        reason: crate::btf::BtfError,
    },
    /// Something was refused that newer kernels have.
    #[error("netflow needs Linux 5.15 or newer, and this is {kernel}: {reason}")]
    TooOld {
        /// The kernel's release.
        kernel: String,
        /// What was refused.
        reason: String,
    },
    /// There is no cgroup v2 hierarchy and none could be mounted.
    #[error(
        "no cgroup v2 hierarchy is mounted and mounting one privately failed: {source}; mount one with `mount -t \
         cgroup2 none /sys/fs/cgroup/unified`, or boot a kernel with CONFIG_CGROUPS=y and CONFIG_CGROUP_BPF=y"
    )]
    NoCgroup {
        /// Why the mount failed.
        source: io::Error,
    },
    /// A file that describes the system cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Maps or programs could not be created.
    #[error(
        "cannot create the eBPF maps: {reason}; Linux 5.15 or newer is needed, and before 5.11 enough locked memory \
         (`ulimit -l unlimited`)"
    )]
    Load {
        /// What the kernel or the loader said.
        reason: String,
    },
    /// The kernel's verifier refused a program.
    #[error("the kernel refused the program {program}: {reason}; please report this with `uname -r`{}", tail(log))]
    Refused {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        reason: String,
        /// The end of the verifier's log; empty when there is none.
        log: String,
    },
    /// A program could not be attached to its hook.
    #[error("cannot attach the program {program}: {reason}; Linux 5.15 or newer with CONFIG_CGROUP_BPF=y is needed")]
    Attach {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("cannot use the eBPF map {map}: {reason}; the recording is incomplete from here on")]
    Map {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A walk over sockets or flows failed.
    #[error("the walk {walk} broke off: {source}; the snapshot is incomplete")]
    Walk {
        /// The walk.
        walk: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The thread that looks processes up could not be started.
    #[error("cannot start a thread: {source}; the limit on processes (`ulimit -u`) or memory may be too low")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

fn tail(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("\nend of the verifier's log:\n{log}") }
}
