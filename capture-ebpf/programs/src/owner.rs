//! Who owns a socket: the process that runs now, or one that an iterator found.

use netflow_capture_abi::members;

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;

use crate::kernel::Kernel;

/// The task that runs now. Only in process context is it the one that the hook speaks of.
#[inline(always)]
pub fn current() -> Kernel {
    // SAFETY: the helper has no arguments.
    Kernel(unsafe { bpf_get_current_task_btf() }.cast())
}

/// The bit of a task's flags that says that it is the kernel's own (`PF_KTHREAD`).
const KERNEL_THREAD: u32 = 1 << 21;

impl Kernel {
    /// The kernel's own threads end and connect sockets on behalf of processes that they do not know: what an io_uring
    /// held, what was on its way through a unix socket, further paths of a multipath connection.
    #[inline(always)]
    pub fn is_kernel_thread(self) -> bool {
        self.get::<u32>(members::TASK_FLAGS) & KERNEL_THREAD != 0
    }

    /// A task's process id.
    #[inline(always)]
    pub fn process_id(self) -> u32 {
        self.get(members::TASK_TGID)
    }

    /// A task's process name: that of the thread group's leader, for threads have names of their own.
    #[inline(always)]
    pub fn process_name(self, to: *mut [u8; 16]) {
        self.follow(members::TASK_GROUP_LEADER).copy16(members::TASK_COMM, to);
    }

    /// When a task's process started, in nanoseconds since boot.
    #[inline(always)]
    pub fn process_start(self) -> u64 {
        self.follow(members::TASK_GROUP_LEADER).get(members::TASK_START_BOOTTIME)
    }

    /// A task's cgroup in the unified hierarchy: the inode number of its directory.
    #[inline(always)]
    pub fn process_cgroup(self) -> u64 {
        let groups = self.follow(members::TASK_GROUP_LEADER).follow(members::TASK_CGROUPS);
        groups.follow(members::CSS_SET_DFL_CGRP).follow(members::CGROUP_KN).get(members::KERNFS_NODE_ID)
    }

    /// The last thread of a task's process is ending, or has.
    #[inline(always)]
    pub fn process_has_ended(self) -> bool {
        self.follow(members::TASK_SIGNAL).get::<i32>(members::SIGNAL_LIVE) == 0
    }

    /// The inode number of a task's network namespace.
    #[inline(always)]
    pub fn task_netns(self) -> u32 {
        let nsproxy = self.follow(members::TASK_NSPROXY);
        if nsproxy.is_null() {
            return 0;
        }
        nsproxy.follow(members::NSPROXY_NET_NS).get(members::NET_INUM)
    }
}
