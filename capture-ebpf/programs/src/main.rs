//! The eBPF programs of netflow: one file per hook, plus what they share.
//!
//! | file | hook | what it produces |
//! |---|---|---|
//! | `set_state.rs` | `tp_btf/inet_sock_set_state` | TCP opens, closes and failed connects |
//! | `destroy_sock.rs` | `tp_btf/tcp_destroy_sock` | TCP closes that could not be told before |
//! | `sock_create.rs` | `cgroup/sock_create` | the owner of a UDP socket |
//! | `sock_release.rs` | `cgroup/sock_release` | the owner of an accepted TCP socket, the end of a UDP socket |
//! | `answer.rs` | called by the next | answers of the name service |
//! | `datagram.rs` | `cgroup_skb/{ingress,egress}` | UDP flows and their counters |
//! | `task_file.rs` | `iter/task_file` | sockets that exist already, and their owners |
//! | `tcp_samples.rs` | `iter/bpf_sk_storage_map` | a sample of every TCP connection |
//! | `process.rs` | `tp_btf/sched_process_exec`, `tp_btf/sched_process_exit` | processes that own sockets: another program, the end |
//! | `news_rows.rs` | `iter/bpf_map_elem` | rows of processes and listening sockets that found their ring full |
//! | `flow_samples.rs` | `iter/bpf_map_elem`, `iter/bpf_sk_storage_map` | a sample of every UDP flow |
//!
//! `holders.rs` has what a walk over all descriptors knows of each socket: who holds it.
//!
//! Nothing here interprets a counter: records carry what the kernel holds, user space does the arithmetic.
#![no_std]
#![no_main]
// The target has atomic instructions, yet `core` offers no more than loads and stores of them.
#![feature(core_intrinsics)]
#![allow(internal_features)]

mod answer;
mod datagram;
mod destroy_sock;
mod flow_samples;
mod holders;
mod kernel;
mod listener;
mod maps;
mod news_rows;
mod owner;
mod process;
mod set_state;
mod sock_create;
mod sock_release;
mod task_file;
mod tcp;
mod tcp_samples;
mod twice;

/// The kernel gives some helpers only to programs that say they may be used under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
