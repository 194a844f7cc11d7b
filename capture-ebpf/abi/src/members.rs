//! The kernel members that the programs read: one list for both sides.
//!
//! The loader finds each member's offset in the kernel's BTF and writes it into the programs' read-only data, at the
//! place that the constant names. Types are looked up by name; a path goes through structs by their member names,
//! anonymous structs and unions are passed through without being named.

macro_rules! members {
    ($($(#[$meta:meta])* $name:ident = $structure:literal $path:literal,)*) => {
        #[repr(u32)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Order { $($name),* }

        $(#[doc = concat!("`", $structure, ".", $path, "`")] $(#[$meta])* pub const $name: usize = Order::$name as usize;)*

        /// Struct and path of every member, in the order of the constants.
        pub const MEMBERS: [(&str, &str); [$(Order::$name),*].len()] = [$(($structure, $path)),*];
    };
}

members! {
    SK_FAMILY = "sock" "__sk_common.skc_family",
    SK_STATE = "sock" "__sk_common.skc_state",
    SK_DADDR = "sock" "__sk_common.skc_daddr",
    SK_RCV_SADDR = "sock" "__sk_common.skc_rcv_saddr",
    SK_V6_DADDR = "sock" "__sk_common.skc_v6_daddr",
    SK_V6_RCV_SADDR = "sock" "__sk_common.skc_v6_rcv_saddr",
    SK_DPORT = "sock" "__sk_common.skc_dport",
    SK_NET = "sock" "__sk_common.skc_net.net",
    SK_FLAGS = "sock" "__sk_common.skc_flags",
    SK_PROTOCOL = "sock" "sk_protocol",
    SK_ERR = "sock" "sk_err",
    SK_SOCKET = "sock" "sk_socket",
    INET_SPORT = "inet_sock" "inet_sport",
    TCP_BYTES_ACKED = "tcp_sock" "bytes_acked",
    TCP_BYTES_RECEIVED = "tcp_sock" "bytes_received",
    TCP_BYTES_SENT = "tcp_sock" "bytes_sent",
    TCP_BYTES_RETRANS = "tcp_sock" "bytes_retrans",
    TCP_WRITE_SEQ = "tcp_sock" "write_seq",
    TCP_SND_UNA = "tcp_sock" "snd_una",
    TCP_SND_NXT = "tcp_sock" "snd_nxt",
    TCP_RCV_NXT = "tcp_sock" "rcv_nxt",
    TCP_COPIED_SEQ = "tcp_sock" "copied_seq",
    TCP_SEGS_OUT = "tcp_sock" "segs_out",
    TCP_SEGS_IN = "tcp_sock" "segs_in",
    TCP_TOTAL_RETRANS = "tcp_sock" "total_retrans",
    TCP_SRTT_US = "tcp_sock" "srtt_us",
    TCP_MDEV_US = "tcp_sock" "mdev_us",
    NET_INUM = "net" "ns.inum",
    SOCKET_SK = "socket" "sk",
    TASK_TGID = "task_struct" "tgid",
    TASK_GROUP_LEADER = "task_struct" "group_leader",
    TASK_COMM = "task_struct" "comm",
    TASK_NSPROXY = "task_struct" "nsproxy",
    NSPROXY_NET_NS = "nsproxy" "net_ns",
    TASK_FLAGS = "task_struct" "flags",
    TASK_START_BOOTTIME = "task_struct" "start_boottime",
    TASK_SIGNAL = "task_struct" "signal",
    SIGNAL_LIVE = "signal_struct" "live.counter",
    TASK_CGROUPS = "task_struct" "cgroups",
    CSS_SET_DFL_CGRP = "css_set" "dfl_cgrp",
    CGROUP_KN = "cgroup" "kn",
    KERNFS_NODE_ID = "kernfs_node" "id",
    SK_NUM = "sock" "__sk_common.skc_num",
    SEQ_SIZE = "seq_file" "size",
    SEQ_COUNT = "seq_file" "count",
}
