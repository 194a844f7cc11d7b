//! What `doctor` finds, as whom and where.

use std::process::Command;

use serde_json::Value;

use crate::privileges::{THREE, folder, nobody, said};
use crate::recording::{netflow, text};

/// What `doctor --json` says when it is started so.
struct Examined {
    code: Option<i32>,
    verdict: Value,
    findings: Vec<Value>,
}

impl Examined {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let object: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
        let findings = object["findings"].as_array().unwrap().clone();
        Self { code: output.status.code(), verdict: object["verdict"].clone(), findings }
    }

    /// The state of a subject, and everything that is said of it.
    #[track_caller]
    fn says(&self, subject: &str, state: &str, words: &str) {
        let finding = self.findings.iter().find(|finding| finding["subject"] == subject).unwrap();
        assert_eq!(finding["state"], state, "{finding}");
        assert!(finding.to_string().contains(words), "{words} in {finding}");
    }

    fn count(&self, state: &str) -> usize {
        self.findings.iter().filter(|finding| finding["state"] == state).count()
    }

    #[track_caller]
    fn ends(&self, code: i32, verdict: &str) {
        assert_eq!((self.code, &self.verdict), (Some(code), &verdict.into()), "{:?}", self.findings);
    }
}

pub(crate) fn doctor_by_privileges() {
    let folder = folder();
    let doctor = |capabilities: &str| {
        let mut command = nobody(folder.path(), capabilities);
        command.args(["./netflow", "doctor", "--json"]);
        Examined::of(command)
    };
    let mut root = netflow();
    root.args(["doctor", "--json"]);
    for whole in [Examined::of(root), doctor(THREE)] {
        whole.ends(0, "whole");
        assert_eq!(whole.count("works"), whole.findings.len());
        whole.says("inet_sock_set_state", "works", "tp_btf/inet_sock_set_state: loaded and attached");
        whole.says("datagram_out", "works", "cgroup_skb/egress: loaded and attached");
        whole.says("task_file", "works", "iter/task_file: loaded and walked");
        whole.says("maps", "works", "a ring of 8192 KiB");
    }
    let none = doctor("");
    none.ends(1, "impossible");
    for capability in ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"] {
        none.says(capability, "missing", "not held");
        none.says(capability, "missing", "--cap-add");
    }
    none.says("maps", "missing", "Operation not permitted");
    none.says("task_file", "untried", "not tried without maps");
    none.says("BTF", "works", "/sys/kernel/btf/vmlinux");
    // One is missing: what needs it is refused, all else works.
    let no_network = doctor("+bpf,+perfmon");
    no_network.ends(1, "impossible");
    no_network.says("CAP_BPF", "works", "held");
    no_network.says("CAP_NET_ADMIN", "missing", "cannot attach programs to the root cgroup");
    for refused in ["sock_create", "sock_release", "datagram_in", "datagram_out"] {
        no_network.says(refused, "missing", "Operation not permitted");
    }
    no_network.says("tcp_destroy_sock", "works", "attached");
    assert_eq!(no_network.count("missing"), 5);
}

/// What a container may lack, made with namespaces.
pub(crate) fn doctor_in_containers() {
    let program = env!("CARGO_BIN_EXE_netflow");
    let doctor = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments);
        Examined::of(command)
    };
    let processes = doctor(&["--pid", "--fork", program, "doctor", "--json"]);
    processes.ends(3, "degraded");
    processes.says("PID namespace", "degrades", "hostPID: true");
    assert_eq!(processes.count("works"), processes.findings.len() - 1);
    let user = doctor(&["--user", "--map-root-user", program, "doctor", "--json"]);
    user.ends(1, "impossible");
    user.says("user namespace", "missing", "not rootless");
    user.says("CAP_BPF", "missing", "in this user namespace only");
    // Without a mount, one is made and nothing of it stays; without the right to make one, that is what is missing.
    let unmount = "for at in $(awk '$0 ~ / - cgroup2 / {print $5}' /proc/self/mountinfo); do umount -l $at; done; ";
    let in_private = |then: &str| doctor(&["--mount", "sh", "-c", &format!("{unmount} exec {then} doctor --json")]);
    let mounted = in_private(program);
    mounted.ends(0, "whole");
    mounted.says("cgroup2", "works", "mounted privately for a moment");
    let no_right = "setpriv --bounding-set=-all,+bpf,+perfmon,+net_admin ";
    let unmounted = in_private(&format!("{no_right}{program}"));
    unmounted.ends(1, "impossible");
    unmounted.says("cgroup2", "missing", "mount -t cgroup2");
    unmounted.says("datagram_in", "untried", "no cgroup to attach it to");
    unmounted.says("inet_sock_set_state", "works", "attached");
}

/// The table: aligned, without colours where no terminal is, and what to do below.
pub(crate) fn doctor_for_people() {
    let folder = folder();
    let output = nobody(folder.path(), "").args(["./netflow", "doctor"]).output().unwrap();
    let (code, table, said) = said(&output);
    assert_eq!(code, Some(1));
    assert!(said.contains("error: cannot record this host: 4 things missing"), "{said}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let (rows, advice) = table.split_once("\n\nWhat to do:\n").unwrap();
    let columns: Vec<usize> = rows
        .lines()
        .map(|row| {
            [" works ", " missing ", " untried "]
                .iter()
                .find_map(|state| row.find(state))
                .unwrap_or_else(|| panic!("{row}"))
        })
        .collect();
    assert!(columns.iter().all(|column| *column == columns[0]), "{rows}");
    assert!(advice.contains("  CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN: "), "{advice}");
}
