//! The command that is recorded.
//!
//! In: a command line. Out: that it ended, and how. It ends with the recording: when the recording stops first, the command
//! is told to terminate, and killed when it does not within [`GRACE`].

use std::ffi::OsString;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// How long a command that was told to terminate may take.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Child {
    name: String,
    process: std::process::Child,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts the command; `None` when there is none.
    pub(super) fn start(command: &[OsString]) -> anyhow::Result<Option<Self>> {
        let Some((program, arguments)) = command.split_first() else { return Ok(None) };
        let name = program.to_string_lossy().into_owned();
        let process = Command::new(program).args(arguments).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Some(Self { name, process, ended: None }))
    }

    /// It has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            // An error here means that there is nothing left to wait for.
            self.ended = self.process.try_wait().unwrap_or_default();
        }
        self.ended.is_some()
    }

    /// Ends it if it runs; says how it failed if it ended by itself.
    pub(super) fn finish(mut self) -> anyhow::Result<Option<String>> {
        if self.has_ended() {
            let failed = self.ended.filter(|status| !status.success());
            return Ok(failed.map(|status| format!("{} failed with {status}", self.name)));
        }
        self.terminate().with_context(|| format!("cannot end {}", self.name))?;
        Ok(None)
    }

    fn terminate(&mut self) -> std::io::Result<()> {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if self.has_ended() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.kill()?;
        self.ended = Some(self.process.wait()?);
        Ok(())
    }
}

/// A recording that fails does not leave the command running behind.
impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.terminate();
        }
    }
}
