//! Opening captures.
//!
//! In: a path, or `-`. Out: a reader of events whose errors name the path, and a word on what the file lacks. Never here:
//! what the events mean.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use netflow_formats::capture::{CaptureReader, End, PassedOver};

use crate::progress::Reading;
use crate::units;

/// A capture that is being read.
pub(crate) type Capture = CaptureReader<Box<dyn Input + Send>>;

/// Bytes, among which a file can be moved.
pub(crate) trait Input: Read + Seek {}

impl<R: Read + Seek> Input for R {}

/// What comes from a pipe comes in order.
struct Stdin(io::Stdin);

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Stdin {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "stdin has no places to go to"))
    }
}

/// Opens a file, or stdin for `-`, with a progress bar for what takes long.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn Input + Send>> {
    if is_std(path) {
        return Ok(Box::new(Stdin(io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("cannot open {}", path.display()))?;
    if metadata.is_dir() {
        bail!("cannot open {}: it is a directory; name the capture files in it", path.display());
    }
    Ok(Box::new(BufReader::with_capacity(1 << 18, Reading::new(file, metadata.len()))))
}

/// A file of stdin's content that is gone when it is closed.
pub(crate) fn keep_stdin() -> anyhow::Result<File> {
    let cannot = || format!("cannot keep stdin in {} to read it twice", std::env::temp_dir().display());
    let mut file = tempfile::tempfile().with_context(cannot)?;
    io::copy(&mut io::stdin().lock(), &mut file).with_context(cannot)?;
    Ok(file)
}

/// Opens a capture.
pub(crate) fn open_capture(path: &Path) -> anyhow::Result<Capture> {
    CaptureReader::new(open(path)?).with_context(|| format!("cannot read {}", name(path)))
}

/// `-` is stdin or stdout.
pub(crate) fn is_std(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path as messages name it.
pub(crate) fn name(path: &Path) -> String {
    if is_std(path) { "stdin".to_owned() } else { path.display().to_string() }
}

/// Says on stderr what is damaged, missing, or of a later version; true when data is lost by it.
pub(crate) fn tell_damage(path: &Path, capture: &Capture) -> bool {
    let is_lossy = tell_passed_over(path, &capture.passed_over());
    tell_end(path, capture) || is_lossy
}

/// What [`tell_damage`] says, unsaid.
pub(crate) fn is_damaged(capture: &Capture) -> bool {
    let is_cut = matches!(capture.end(), Some(End::Torn { events_lost, .. }) if events_lost != Some(0));
    capture.passed_over().block_events > 0 || capture.damage_count() > 0 || is_cut
}

/// Says on stderr what was passed over; true when events are missing by it.
fn tell_passed_over(path: &Path, passed_over: &PassedOver) -> bool {
    let name = name(path);
    if passed_over.block_events > 0 {
        let missing = units::count(passed_over.block_events, "event");
        eprintln!(
            "warning: {name}: a newer netflow wrote what this one does not know: {passed_over}; at least {missing} missing here, read it with a newer netflow"
        );
    } else if !passed_over.is_nothing() {
        eprintln!(
            "note: {name}: a newer netflow wrote what this one does not know: {passed_over}; what is shown is whole, a newer netflow shows more"
        );
    }
    passed_over.block_events > 0
}

fn tell_end(path: &Path, capture: &Capture) -> bool {
    let name = name(path);
    for damage in capture.damage() {
        eprintln!("warning: {name}: {damage}");
    }
    match capture.end() {
        Some(End::Torn { events_lost: Some(0), .. }) => {
            eprintln!("note: {name} was not closed, only its index is cut off");
            capture.damage_count() > 0
        }
        Some(End::Torn { offset, events_lost, .. }) => {
            let lost =
                events_lost.map_or("an unknown number of events".to_owned(), |events| units::count(events, "event"));
            eprintln!(
                "warning: {name} ends in the middle of a block at byte {offset}; {lost} are missing, all before is whole"
            );
            true
        }
        Some(End::NotClosed) => {
            eprintln!("note: {name} was not closed: its recording was killed, or it still runs");
            capture.damage_count() > 0
        }
        Some(End::Clean) | None => capture.damage_count() > 0,
    }
}

/// Where a report on these captures goes when no path was given: the first capture's name with another extension.
pub(crate) fn beside(inputs: &[PathBuf], extension: &str) -> Option<PathBuf> {
    inputs.iter().find(|path| !is_std(path)).map(|path| path.with_extension(extension))
}
