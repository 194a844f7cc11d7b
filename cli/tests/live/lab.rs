//! Network namespaces of a test's own, and what runs in them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::recording::text;

/// Namespaces with processes; all of it goes when this is dropped.
pub(crate) struct Lab {
    names: Vec<String>,
    processes: Vec<Child>,
}

impl Lab {
    /// A namespace for each name, with its loopback interface up.
    pub(crate) fn new(names: &[&str]) -> Self {
        let mut lab = Self { names: Vec::new(), processes: Vec::new() };
        for name in names {
            let name = Self::full(name);
            run(Command::new("ip").args(["netns", "add", &name]));
            run(Command::new("ip").args(["-n", &name, "link", "set", "lo", "up"]));
            lab.names.push(name);
        }
        lab
    }

    fn full(name: &str) -> String {
        format!("nf-{name}-{}", std::process::id())
    }

    /// The number of a namespace, as events have it.
    pub(crate) fn number(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().ino()
    }

    /// Where a namespace can be entered.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/run/netns").join(Self::full(name))
    }

    /// A program in a namespace; it becomes what runs, with the same process id.
    pub(crate) fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &Self::full(name), program]);
        command
    }

    /// Runs `ip` on the inside of a namespace for each line.
    pub(crate) fn ip(&self, name: &str, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            run(Command::new("ip").args(["-n", &Self::full(name)]).args(line.split_whitespace()));
        }
    }

    /// A cable from one namespace to another.
    pub(crate) fn cable(&self, from: &str, from_device: &str, to: &str, to_device: &str) {
        let to = Self::full(to);
        self.ip(from, &format!("link add {from_device} type veth peer name {to_device} netns {to}"));
    }

    /// Runs a program in a namespace to its end; what it printed.
    pub(crate) fn run(&self, name: &str, words: &[&str]) -> String {
        run(self.command(name, words[0]).args(&words[1..]))
    }

    /// Loads rules into a namespace's packet filter.
    pub(crate) fn rules(&self, name: &str, rules: &str) {
        self.run(name, &["nft", rules]);
    }

    /// Has the programs of a namespace ask this name server.
    pub(crate) fn name_server(&self, name: &str, address: &str) {
        let folder = PathBuf::from("/etc/netns").join(Self::full(name));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("resolv.conf"), format!("nameserver {address}\n")).unwrap();
    }

    /// Starts a program in a namespace and waits until it says `ready`; its process id, and what it said before. It ends
    /// when [`Lab::end`] closes its standard input, or with the lab.
    pub(crate) fn start(&mut self, name: &str, words: &[&str]) -> (u32, Vec<String>) {
        let mut command = self.command(name, words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = Vec::new();
        let mut is_ready = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line == "ready" {
                is_ready = true;
                break;
            }
            said.push(line);
        }
        let pid = child.id();
        self.processes.push(child);
        assert!(is_ready, "{words:?} said {said:?}");
        (pid, said)
    }

    /// Starts a program that says nothing.
    pub(crate) fn start_silent(&mut self, name: &str, words: &[&str]) {
        self.processes.push(self.command(name, words[0]).args(&words[1..]).spawn().unwrap());
    }

    /// Tells a started process to end, and waits for it.
    pub(crate) fn end(&mut self, pid: u32) {
        let at = self.processes.iter().position(|process| process.id() == pid).unwrap();
        let mut process = self.processes.remove(at);
        drop(process.stdin.take());
        assert!(process.wait().unwrap().success());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
            let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(name));
        }
    }
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
