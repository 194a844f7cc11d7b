//! The system calls that no crate offers in the form needed here: the only unsafe code of the crate.
//!
//! In: descriptors and paths that their owners keep alive. Out: descriptors that close themselves, or the kernel's
//! error. Never here: a decision.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// The part of `union bpf_attr` that creates a link to an iterator.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// The part of `union bpf_attr` that opens an iterator.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that speaks of one element of a map.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_iter_link_info`.
#[repr(C)]
struct IterTarget {
    map: u32,
    padding: [u32; 3],
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is one of the structs above, valid for its whole length; the kernel takes what lies behind
    // it for zeros.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(result).map_err(io::Error::other) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Links an iterator program, to the elements of a map where it walks over those.
pub(crate) fn link_iterator(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let target = IterTarget { map: map.map_or(0, number), padding: [0; 3] };
    let mut attributes = LinkCreate {
        program: number(program),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: if map.is_some() { (&raw const target).addr() as u64 } else { 0 },
        iter_info_len: if map.is_some() { 16 } else { 0 },
        padding: 0,
    };
    let fd = bpf(BPF_LINK_CREATE, &mut attributes)?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens one walk of a linked iterator.
pub(crate) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let fd = bpf(BPF_ITER_CREATE, &mut IterCreate { link: number(link), flags: 0 })?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Takes an element out of a hash map; `None` when it is not there. The sizes must be the map's.
pub(crate) fn take_element<const V: usize>(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<Option<[u8; V]>> {
    let mut value = [0_u8; V];
    let mut attributes = Element {
        map: number(map),
        padding: 0,
        key: key.as_ptr().addr() as u64,
        value: value.as_mut_ptr().expose_provenance() as u64,
        flags: 0,
    };
    match bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attributes) {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file handle of a kernel file system, as `open_by_handle_at` takes it.
#[repr(C)]
struct NodeHandle {
    bytes: u32,
    kind: i32,
    id: [u8; 8],
}

/// `FILEID_KERNFS`.
const NODE_HANDLE: i32 = 0xfe;

/// Opens the directory of a cgroup by the number that programs know it by: it is the number of the directory's inode.
pub(crate) fn open_cgroup(root: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = NodeHandle { bytes: 8, kind: NODE_HANDLE, id: id.to_ne_bytes() };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the struct is a `file_handle` with eight bytes behind its head, as it says.
    let fd =
        unsafe { libc::syscall(libc::SYS_open_by_handle_at, root.as_raw_fd(), std::ptr::from_mut(&mut handle), flags) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Nanoseconds of one of the kernel's clocks.
pub(crate) fn clock(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Lifts the limit on locked memory, which kernels before 5.11 charge eBPF maps to. A refusal shows when maps are made.
pub(crate) fn lift_memory_limit() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is a valid rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Gives the system back what was freed, as far as the allocator can.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Waits until every program that runs now has ended: they run as RCU readers, and this is what waits for those.
pub(crate) fn wait_for_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three integers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        // Refused where some processors are kept free of ticks: no program runs for nearly as long as this.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
