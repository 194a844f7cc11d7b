//! Hooks and iterators: which program goes where.
//!
//! In: loaded programs. Out: programs attached through links that end with the process or with their owner, and
//! iterators that can be walked as often as is wanted. Never here: what the programs say.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use aya::maps::MapData;
use aya::programs::cgroup_skb::CgroupSkbAttachType;
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSock, Iter, Program, ProgramError};
use aya::{Btf, Ebpf};

use crate::capture::Options;
use crate::error::CaptureError;
use crate::object::{BTF, chain};
use crate::sys;

/// Lines of the verifier's log that are shown when it refuses a program.
const LOG_LINES: usize = 12;

/// Programs and their tracepoints. Closes before opens: what begins is then seen to its end.
const TRACEPOINTS: [(&str, &str); 4] = [
    ("tcp_destroy_sock", "tcp_destroy_sock"),
    ("tcp_destroy_sock_again", "tcp_destroy_sock"),
    ("inet_sock_set_state", "inet_sock_set_state"),
    ("inet_sock_set_state_again", "inet_sock_set_state"),
];

/// Programs of what is told of processes, and their tracepoints. Ends before beginnings, too.
const PROCESS_TRACEPOINTS: [(&str, &str); 2] =
    [("sched_process_exit", "sched_process_exit"), ("sched_process_exec", "sched_process_exec")];

/// A linked iterator.
pub(crate) struct Walk {
    name: &'static str,
    link: OwnedFd,
}

impl Walk {
    /// Walks once and gives all that the program wrote.
    pub(crate) fn run(&self, out: &mut Vec<u8>) -> Result<(), CaptureError> {
        self.read(out).map_err(|source| CaptureError::Walk { walk: self.name, source })
    }

    fn read(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut file: File = sys::open_iterator(self.link.as_fd())?;
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => out.extend_from_slice(&buffer[..length]),
                // So many elements without output that the kernel lets others run: it goes on from there.
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Loads every program, so that nothing is attached unless all can be.
pub(crate) fn load_programs(ebpf: &mut Ebpf) -> Result<(), CaptureError> {
    let btf = Btf::from_sys_fs()
        .map_err(|error| CaptureError::NoBtf { path: BTF.into(), source: io::Error::other(chain(&error)) })?;
    for (name, tracepoint) in PROCESS_TRACEPOINTS.into_iter().chain(TRACEPOINTS) {
        let program: &mut BtfTracePoint = program(ebpf, name)?;
        program.load(tracepoint, &btf).map_err(|error| refused(name, &error))?;
    }
    for name in ["sock_create", "sock_release"] {
        let program: &mut CgroupSock = program(ebpf, name)?;
        program.load().map_err(|error| refused(name, &error))?;
    }
    for name in ["datagram_in", "datagram_out"] {
        let program: &mut CgroupSkb = program(ebpf, name)?;
        program.load().map_err(|error| refused(name, &error))?;
    }
    for (name, target) in [
        ("task_file", "task_file"),
        ("tcp_samples", "bpf_sk_storage_map"),
        ("overflow_samples", "bpf_sk_storage_map"),
        ("flow_samples", "bpf_map_elem"),
        ("process_rows", "bpf_map_elem"),
        ("listener_rows", "bpf_map_elem"),
    ] {
        let program: &mut Iter = program(ebpf, name)?;
        program.load(target, &btf).map_err(|error| refused(name, &error))?;
    }
    Ok(())
}

/// Attaches every hook that is wanted. The links live in the programs, and so as long as `ebpf`.
pub(crate) fn attach_hooks(ebpf: &mut Ebpf, options: &Options, cgroup: &File) -> Result<(), CaptureError> {
    let processes = PROCESS_TRACEPOINTS.into_iter().filter(|_| options.processes);
    for (name, _) in processes.chain(TRACEPOINTS) {
        let program: &mut BtfTracePoint = program(ebpf, name)?;
        program.attach().map_err(|error| failed(name, &error))?;
    }
    for name in ["sock_release", "sock_create"] {
        let program: &mut CgroupSock = program(ebpf, name)?;
        // Links stand side by side by nature, and this is the mode that sets no flag on them.
        program.attach(cgroup, CgroupAttachMode::Single).map_err(|error| failed(name, &error))?;
    }
    for (name, direction) in
        [("datagram_in", CgroupSkbAttachType::Ingress), ("datagram_out", CgroupSkbAttachType::Egress)]
    {
        let program: &mut CgroupSkb = program(ebpf, name)?;
        program.attach(cgroup, direction, CgroupAttachMode::Single).map_err(|error| failed(name, &error))?;
    }
    Ok(())
}

/// Links an iterator, over the elements of `map` where it walks over those.
pub(crate) fn walk(ebpf: &mut Ebpf, name: &'static str, map: Option<&MapData>) -> Result<Walk, CaptureError> {
    let program: &mut Iter = program(ebpf, name)?;
    let fd = program.fd().map_err(|error| failed(name, &error))?;
    let link = sys::link_iterator(fd.as_fd(), map.map(|map| map.fd().as_fd()))
        .map_err(|error| CaptureError::Attach { program: name, reason: error.to_string() })?;
    Ok(Walk { name, link })
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, CaptureError>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| CaptureError::Load { reason: format!("the eBPF object has no program {name}") })?;
    program.try_into().map_err(|error| failed(name, &error))
}

fn failed(program: &'static str, error: &ProgramError) -> CaptureError {
    CaptureError::Attach { program, reason: chain(error) }
}

fn refused(program: &'static str, error: &ProgramError) -> CaptureError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            CaptureError::Refused { program, reason: io_error.to_string(), log: tail }
        }
        other => CaptureError::Refused { program, reason: chain(other), log: String::new() },
    }
}
