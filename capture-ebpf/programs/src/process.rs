//! Processes that own sockets: a row for each from the moment that it is known as an owner until it ends, told whenever
//! something of it changes. `tp_btf/sched_process_exec` → it runs another program; `tp_btf/sched_process_exit` → it ended.
//!
//! A row whose process ended stays until user space has read of it, since a process closes its sockets after that.

use core::ptr::null_mut;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use netflow_capture_abi::{ENDED, Head, KIND_PROCESS, KIND_PROCESS_EXIT, ProcessRecord, SETTING_PROCESSES, TOLD};

use crate::kernel::Kernel;
use crate::maps::{PROCESSES, clear_flags, set_flags, setting, stopped, tell};
use crate::tcp::{argument, now};

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    let task = Kernel(argument(context.as_ptr(), 0) as *const _);
    if let Some(row) = row_of(task) {
        change(row, task);
    }
    0
}

/// Comes before the process closes its files.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(context: BtfTracePointContext) -> i32 {
    let task = Kernel(argument(context.as_ptr(), 0) as *const _);
    if let Some(row) = row_of(task)
        && task.process_has_ended()
    {
        end(row);
    }
    0
}

/// The row of a task's process, and not one of another process that had its id.
#[inline(always)]
fn row_of(task: Kernel) -> Option<*mut ProcessRecord> {
    if stopped() {
        return None;
    }
    let row = PROCESSES.get_ptr_mut(&task.process_id())?;
    // SAFETY: a map value; the verifier checks the accesses.
    let (started_at, flags) = unsafe { ((*row).started_at, (*row).head.flags) };
    (started_at == task.process_start() && flags & ENDED == 0).then_some(row)
}

/// A task's process is known as the owner of a socket.
#[inline(always)]
pub fn note(task: Kernel) {
    if setting(SETTING_PROCESSES) == 0 || stopped() {
        return;
    }
    // The usual way is short, and has nothing else in between.
    match PROCESSES.get_ptr_mut(&task.process_id()) {
        Some(row) if is_same(row, task) => {}
        row => note_news(row.unwrap_or(null_mut()), task),
    }
}

/// A process that has no row, or another name or cgroup than its row says, or the id of one that was there before.
#[inline(never)]
fn note_news(row: *mut ProcessRecord, task: Kernel) {
    let pid = task.process_id();
    let started_at = task.process_start();
    let mut flags: u64 = BPF_NOEXIST.into();
    if !row.is_null() {
        // SAFETY: a map value; the verifier checks the accesses.
        let (of, state) = unsafe { ((*row).started_at, (*row).head.flags) };
        if of == started_at {
            if state & ENDED == 0 {
                change(row, task);
            }
            return;
        }
        // Left behind by a process whose end went unseen.
        flags = BPF_ANY.into();
    }
    let fresh = ProcessRecord {
        head: Head { kind: KIND_PROCESS, flags: 0, id: 0, at: 0 },
        started_at,
        cgroup: 0,
        pid,
        reserved: 0,
        comm: [0; 16],
    };
    // When another thread of the process was faster, it tells.
    if PROCESSES.insert(&pid, &fresh, flags).is_err() {
        return;
    }
    let Some(row) = PROCESSES.get_ptr_mut(&pid) else { return };
    change(row, task);
    // Its end may have come before there was a row.
    if task.process_has_ended() {
        end(row);
    }
}

/// The row is this process's, and says what there is to say.
#[inline(always)]
fn is_same(row: *const ProcessRecord, task: Kernel) -> bool {
    let mut comm = Words([0; 16]);
    task.process_name(&raw mut comm.0);
    // SAFETY: both have sixteen bytes and are aligned, in a row by its other members; the verifier checks the accesses.
    unsafe {
        let (old, new) = ((&raw const (*row).comm).cast::<u64>(), (&raw const comm).cast::<u64>());
        (*row).started_at == task.process_start()
            && old.read() == new.read()
            && old.add(1).read() == new.add(1).read()
            && (*row).cgroup == task.process_cgroup()
    }
}

/// A name that can be compared by words.
#[repr(align(8))]
struct Words([u8; 16]);

/// Writes what may change of a process, and tells the row. Who waits for it looks at once: a process may live for
/// milliseconds only.
#[inline(always)]
fn change(row: *mut ProcessRecord, task: Kernel) {
    // SAFETY: a map value; the verifier checks the accesses.
    unsafe {
        clear_flags(&raw mut (*row).head.flags, TOLD);
        (*row).head.kind = KIND_PROCESS;
        (*row).head.at = now();
        (*row).cgroup = task.process_cgroup();
        task.process_name(&raw mut (*row).comm);
        tell(row, &raw mut (*row).head.flags, true);
    }
}

#[inline(always)]
fn end(row: *mut ProcessRecord) {
    // SAFETY: as above.
    unsafe {
        let flags = &raw mut (*row).head.flags;
        if set_flags(flags, ENDED) & ENDED != 0 {
            return;
        }
        clear_flags(flags, TOLD);
        (*row).head.kind = KIND_PROCESS_EXIT;
        (*row).head.at = now();
        tell(row, flags, false);
    }
}
