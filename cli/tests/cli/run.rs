//! Running the program.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The run did what it was asked for; its output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}

/// Runs `netflow` in a folder.
pub(crate) fn netflow(folder: &Path, arguments: &[&str]) -> Ran {
    command(folder, arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// Runs `netflow` in a folder with this input.
pub(crate) fn netflow_with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child =
        command(folder, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read all; then the pipe breaks, which is its right.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    output.into()
}

/// Runs `netflow` in a folder with an address space of no more than so many bytes. What it prints is thrown away.
pub(crate) fn netflow_within(bytes: u64, folder: &Path, arguments: &[&str]) -> Ran {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh", &(bytes >> 10).to_string()]);
    limited.arg(env!("CARGO_BIN_EXE_netflow")).args(arguments).current_dir(folder);
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap().into()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow"));
    command.args(arguments).current_dir(folder).env("TZ", "Pacific/Auckland").env("LC_ALL", "tr_TR.UTF-8");
    // Servers of tests are on this host.
    command.env("NO_PROXY", "127.0.0.1");
    command
}
