//! A recording that runs while a test makes traffic.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The program.
pub(crate) fn netflow() -> Command {
    Command::new(env!("CARGO_BIN_EXE_netflow"))
}

/// Why this host cannot record; `None` when it can.
pub(crate) fn what_is_missing() -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let output = netflow().args(["record", "-d", "1ms"]).arg(folder.path().join("probe.nfcap")).output().unwrap();
    (!output.status.success()).then(|| text(&output.stderr))
}

/// Text that a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program and expects it to end so; its output.
#[track_caller]
pub(crate) fn run(arguments: &[&str], folder: &Path, code: i32) -> String {
    let output = netflow().args(arguments).current_dir(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Nothing was lost but closes for which the kernel started no program: it does not on top of some supervisors of virtual
/// machines, and a recording can only count them. Such a run proves nothing about the rest.
pub(crate) fn only_vanished(said: &str) -> bool {
    said.lines()
        .filter_map(|line| line.strip_prefix("lost: "))
        .all(|lost| lost.split(", ").all(|part| part.starts_with("lost_closes") || part.starts_with("snapshot_cut")))
}

/// Makes a run again, up to three times in all, until one is whole.
pub(crate) fn until_whole(mut run: impl FnMut() -> bool) {
    assert!((0..3).any(|_| run()), "no run of three was whole");
}

/// A recording in a process of its own.
pub(crate) struct Recording {
    child: Child,
}

impl Recording {
    /// Starts to record into `out.nfcap` in the folder; returns when the kernel is being recorded.
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        Self::start_with(folder, options, &[])
    }

    /// The same, of a command.
    pub(crate) fn start_with(folder: &Path, options: &[&str], command: &[&str]) -> Self {
        let mut record = netflow();
        record.arg("record").args(options).arg("out.nfcap").current_dir(folder);
        if !command.is_empty() {
            record.arg("--").args(command);
        }
        Self::spawn(record, &folder.join("out.nfcap"))
    }

    /// Starts what records into that file; returns when the kernel is being recorded.
    pub(crate) fn spawn(mut record: Command, out: &Path) -> Self {
        let child = record.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        // The file's first bytes are written once everything is attached.
        while out.metadata().map_or(0, |metadata| metadata.len()) == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the recording does not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// It has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Output {
        self.child.wait_with_output().unwrap()
    }

    /// Ends it as Ctrl-C does; its exit code, and what it said.
    pub(crate) fn end(self) -> (i32, String) {
        self.signal(Signal::INT);
        let output = self.wait();
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// Ends it as Ctrl-C does, and expects this exit code; what it said.
    #[track_caller]
    pub(crate) fn interrupt(self, code: i32) -> String {
        let (ended, said) = self.end();
        assert_eq!(ended, code, "{said}");
        said
    }
}
