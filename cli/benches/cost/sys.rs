//! The system calls that no crate offers in the form needed here: the only unsafe code of the benchmark.
//!
//! In: plain values. Out: descriptors that close themselves, figures, or the kernel's error. Never here: a decision.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ENABLE_STATS: libc::c_long = 32;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 6],
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The part of `union bpf_attr` that opens a raw tracepoint.
#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: u32,
    padding: u32,
}

/// The part of `union bpf_attr` that creates a link.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` is one of the structs above (or an integer), valid for its whole length; the kernel takes what
    // lies behind it for zeros.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: every command used here gives a new descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Loads a program that does nothing but return `value`.
pub(crate) fn load_empty(kind: u32, attach_type: u32, value: u32) -> io::Result<OwnedFd> {
    // r0 = value; exit
    let instructions: [u64; 2] = [0xb7 | u64::from(value) << 32, 0x95];
    let mut attributes = Load {
        kind,
        instruction_count: 2,
        instructions: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        attach_type,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &mut attributes)
}

/// Attaches a program to a tracepoint until the descriptor is closed.
pub(crate) fn attach_to_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attributes = RawTracepoint { name: name.as_ptr().addr() as u64, program: number(program), padding: 0 };
    bpf(BPF_RAW_TRACEPOINT_OPEN, &mut attributes)
}

/// Attaches a program to a cgroup until the descriptor is closed.
pub(crate) fn attach_to_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate { program: number(program), target: number(cgroup), attach_type, flags: 0 };
    bpf(BPF_LINK_CREATE, &mut attributes)
}

/// Has the kernel measure every program's time until the descriptor is closed.
pub(crate) fn measure_programs() -> io::Result<OwnedFd> {
    // 0 is BPF_STATS_RUN_TIME.
    bpf(BPF_ENABLE_STATS, &mut 0_u32)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Processor time of this thread: its own and what interrupts did on top of it.
pub(crate) fn thread_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of all threads of a process.
pub(crate) fn process_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut id = 0;
    // SAFETY: `id` is a valid clockid_t.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut id) };
    if error == 0 { Ok(clock(id)) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Processors on which this thread may run.
#[derive(Clone, Copy)]
pub(crate) struct Processors(libc::cpu_set_t);

impl Processors {
    pub(crate) fn allowed() -> io::Result<Self> {
        // SAFETY: a set of zeros is a valid, empty one.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a set of this size.
        let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        if result == 0 { Ok(Self(set)) } else { Err(io::Error::last_os_error()) }
    }

    /// The first of them alone.
    pub(crate) fn first(&self) -> Self {
        self.alone(|processors| processors.next())
    }

    /// The last of them alone.
    pub(crate) fn last(&self) -> Self {
        self.alone(|processors| processors.last())
    }

    fn alone(&self, pick: impl FnOnce(&mut dyn Iterator<Item = usize>) -> Option<usize>) -> Self {
        // SAFETY: as above; the numbers are within the set's size.
        unsafe {
            let mut set = std::mem::zeroed();
            let size = usize::try_from(libc::CPU_SETSIZE).unwrap_or_default();
            if let Some(one) = pick(&mut (0..size).filter(|cpu| libc::CPU_ISSET(*cpu, &self.0))) {
                libc::CPU_SET(one, &mut set);
            }
            Self(set)
        }
    }

    /// Lets this thread run on them alone.
    pub(crate) fn take(&self) -> io::Result<()> {
        // SAFETY: the pointer is to a set of this size.
        check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) })
    }
}

/// Gives this thread, and all that it starts, a network namespace and mounts of their own.
pub(crate) fn unshare() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })
}

/// Keeps mounts that are made from now on to ourselves.
pub(crate) fn keep_mounts() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all strings end with a zero and outlive the call.
    check(unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
}

/// Mounts tracefs.
pub(crate) fn mount_tracefs(at: &CStr) -> io::Result<()> {
    // SAFETY: as above.
    check(unsafe { libc::mount(c"none".as_ptr(), at.as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null()) })
}

/// Raises the number of descriptors that this process may have.
pub(crate) fn allow_descriptors(count: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: `limit` is a valid rlimit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
