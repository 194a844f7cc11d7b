//! Unusual sockets: each end is what its application knows of it.

use std::time::Duration;

use netflow_capture::Options;
use netflow_fixtures::traffic::{Odd, run_odd};

use crate::check::{self, Seen, mismatches};
use crate::recorder::Recorder;
use crate::text;

/// Every scene of a group. The recording looks at the holders of sockets when a scene asks for it, and at no other time.
///
/// A run in which the kernel did not start the programs for some connection proves nothing, and is made again.
pub(crate) fn scenes(group: Odd) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..3 {
        match once(group)? {
            Ok(figures) => return Ok(figures),
            Err(vanished) => last = vanished,
        }
    }
    Err(last)
}

fn once(group: Odd) -> Result<Result<String, String>, String> {
    let options = Options { owners_every: Duration::ZERO, ..Options::default() };
    let recorder = Recorder::patient(&options)?;
    let mut ends = Vec::new();
    let skipped = run_odd(group, &mut ends, &mut || recorder.look()).map_err(text)?;
    let (events, summary) = recorder.stop()?;
    if summary.vanished > 0 {
        return Ok(Err(format!("{summary:?}")));
    }
    check::in_order(&events)?;
    let wrong = mismatches(&ends, &Seen::of(&events));
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    if !summary.tcp.holds() || !summary.udp.holds() || !summary.loss.is_zero() {
        return Err(format!("{summary:?}"));
    }
    let skipped: String = skipped.iter().map(|scene| format!(", skipped {scene}")).collect();
    Ok(Ok(format!("{} ends{skipped}", ends.len())))
}
