//! Hooks and iterators: which program goes where.
//!
//! In: loaded programs. Out: programs attached through links that end with the process or with their owner, and
//! iterators that can be walked as often as is wanted. Never here: what the programs say.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::maps::Map;
use aya::programs::cgroup_skb::CgroupSkbAttachType;
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSock, Iter, Program, ProgramError};
use aya::{Btf, Ebpf};

use crate::capture::Options;
use crate::error::CaptureError;
use crate::object::{BTF, chain};
use crate::sys;

/// Lines of the verifier's log that are shown when it refuses a program.
const LOG_LINES: usize = 12;

/// Where a program goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// A tracepoint of the kernel.
    Tracepoint(&'static str),
    /// Likewise, for what is told of processes.
    ProcessTracepoint(&'static str),
    /// A moment in a socket's life, at the root cgroup.
    Socket,
    /// Datagrams that come in or go out, at the root cgroup.
    Datagrams(CgroupSkbAttachType),
    /// An iterator, over the elements of that map where it walks over those.
    Walk(&'static str, Option<&'static str>),
}

/// Every program. What is attached is attached in this order: closes before opens, so that what begins is seen to its end.
pub(crate) const PROGRAMS: [(&str, Place); 16] = [
    ("sched_process_exit", Place::ProcessTracepoint("sched_process_exit")),
    ("sched_process_exec", Place::ProcessTracepoint("sched_process_exec")),
    ("tcp_destroy_sock", Place::Tracepoint("tcp_destroy_sock")),
    ("tcp_destroy_sock_again", Place::Tracepoint("tcp_destroy_sock")),
    ("inet_sock_set_state", Place::Tracepoint("inet_sock_set_state")),
    ("inet_sock_set_state_again", Place::Tracepoint("inet_sock_set_state")),
    ("sock_release", Place::Socket),
    ("sock_create", Place::Socket),
    ("datagram_in", Place::Datagrams(CgroupSkbAttachType::Ingress)),
    ("datagram_out", Place::Datagrams(CgroupSkbAttachType::Egress)),
    ("task_file", Place::Walk("task_file", None)),
    ("tcp_samples", Place::Walk("bpf_sk_storage_map", Some("TCP_SOCKETS"))),
    ("overflow_samples", Place::Walk("bpf_sk_storage_map", Some("UDP_SOCKETS"))),
    ("flow_samples", Place::Walk("bpf_map_elem", Some("FLOWS"))),
    ("process_rows", Place::Walk("bpf_map_elem", Some("PROCESSES"))),
    ("listener_rows", Place::Walk("bpf_map_elem", Some("LISTENERS"))),
];

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

/// The kernel's types, in the form in which programs are loaded against them.
pub(crate) fn kernel_types() -> Result<Btf, CaptureError> {
    Btf::from_sys_fs()
        .map_err(|error| CaptureError::NoBtf { path: BTF.into(), source: io::Error::other(chain(&error)) })
}

/// Loads every program, so that nothing is attached unless all can be.
pub(crate) fn load_programs(ebpf: &mut Ebpf) -> Result<(), CaptureError> {
    let btf = kernel_types()?;
    PROGRAMS.into_iter().try_for_each(|(name, place)| load_program(ebpf, name, place, &btf))
}

/// Loads one program.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &'static str, place: Place, btf: &Btf) -> Result<(), CaptureError> {
    let loaded = match place {
        Place::Tracepoint(tracepoint) | Place::ProcessTracepoint(tracepoint) => {
            program::<BtfTracePoint>(ebpf, name)?.load(tracepoint, btf)
        }
        Place::Socket => program::<CgroupSock>(ebpf, name)?.load(),
        Place::Datagrams(_) => program::<CgroupSkb>(ebpf, name)?.load(),
        Place::Walk(target, _) => program::<Iter>(ebpf, name)?.load(target, btf),
    };
    loaded.map_err(|error| refused(name, &error))
}

/// Attaches every hook that is wanted. The links live in the programs, and so as long as `ebpf`.
pub(crate) fn attach_hooks(ebpf: &mut Ebpf, options: &Options, cgroup: &File) -> Result<(), CaptureError> {
    PROGRAMS.into_iter().try_for_each(|(name, place)| match place {
        Place::ProcessTracepoint(_) if !options.processes => Ok(()),
        Place::Tracepoint(_) | Place::ProcessTracepoint(_) => attach_tracepoint(ebpf, name),
        Place::Datagrams(_) if !options.udp => Ok(()),
        Place::Socket | Place::Datagrams(_) => attach_to_cgroup(ebpf, name, place, cgroup),
        Place::Walk(..) => Ok(()),
    })
}

/// Attaches one program to its tracepoint.
pub(crate) fn attach_tracepoint(ebpf: &mut Ebpf, name: &'static str) -> Result<(), CaptureError> {
    program::<BtfTracePoint>(ebpf, name)?.attach().map(drop).map_err(|error| failed(name, &error))
}

/// Attaches one program to a cgroup and all below it.
pub(crate) fn attach_to_cgroup(
    ebpf: &mut Ebpf,
    name: &'static str,
    place: Place,
    cgroup: &File,
) -> Result<(), CaptureError> {
    // Links stand side by side by nature, and this is the mode that sets no flag on them.
    let mode = CgroupAttachMode::Single;
    let attached = match place {
        Place::Datagrams(direction) => program::<CgroupSkb>(ebpf, name)?.attach(cgroup, direction, mode).map(drop),
        _ => program::<CgroupSock>(ebpf, name)?.attach(cgroup, mode).map(drop),
    };
    attached.map_err(|error| failed(name, &error))
}

/// Links an iterator. Its map must not have been taken out of `ebpf`.
pub(crate) fn walk(ebpf: &Ebpf, name: &'static str) -> Result<Walk, CaptureError> {
    let over = PROGRAMS.into_iter().find_map(|program| match program {
        (known, Place::Walk(_, map)) if known == name => map,
        _ => None,
    });
    let map = over.map(|over| map_fd(ebpf, over)).transpose()?;
    let program: &Iter =
        ebpf.program(name).ok_or_else(|| no_program(name))?.try_into().map_err(|error| failed(name, &error))?;
    let fd = program.fd().map_err(|error| failed(name, &error))?;
    let link = sys::link_iterator(fd.as_fd(), map)
        .map_err(|error| CaptureError::Attach { program: name, reason: error.to_string() })?;
    Ok(Walk { name, link })
}

fn map_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, CaptureError> {
    match ebpf.map(name) {
        Some(Map::HashMap(data) | Map::SkStorage(data)) => Ok(data.fd().as_fd()),
        _ => Err(CaptureError::Load { reason: format!("the eBPF object has no map {name} to walk over") }),
    }
}

fn no_program(name: &str) -> CaptureError {
    CaptureError::Load { reason: format!("the eBPF object has no program {name}") }
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, CaptureError>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or_else(|| no_program(name))?.try_into().map_err(|error| failed(name, &error))
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
