//! How a command ends.
//!
//! In: what a command returned. Out: the exit code and, on failure, one message on stderr. This is the only place where
//! errors are shown.

use std::io;
use std::process::ExitCode;

/// A command that did what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Whole.
    Done,
    /// Done, but data was lost, damaged, or differs from what was expected.
    Lossy,
    /// Not done for some of what was asked for, which was said already.
    Failed,
}

/// The command line asks for something that cannot be.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What a server did not take. An error of its own, because a connection that the server closes is no reader that has seen
/// enough.
#[derive(Debug)]
pub(crate) struct Undelivered(pub(crate) String);

impl std::fmt::Display for Undelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Undelivered {}

/// 0 done, 1 failed, 2 wrong usage, 3 done with loss. A reader that closed the pipe has seen enough: no failure.
pub(crate) fn exit_code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Lossy) => ExitCode::from(3),
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // What was meant to be done is no part of what is wrong with the command line.
            if let Some(Usage(usage)) = error.downcast_ref() {
                eprintln!("error: {usage}");
                return ExitCode::from(2);
            }
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// Shows what went wrong with one of several, where the others are done all the same; a closed pipe ends everything.
pub(crate) fn go_on(error: anyhow::Error) -> anyhow::Result<()> {
    if is_closed_pipe(&error) {
        return Err(error);
    }
    tell(&error);
    Ok(())
}

fn tell(error: &anyhow::Error) {
    eprintln!("error: {}", message(error));
}

/// The chain of causes on one line. A cause that the sentence before already ends with is not said twice.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    !error.is::<Undelivered>()
        && error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
                || cause.to_string().contains("Broken pipe")
        })
}
