//! Files that commands write.
//!
//! In: a path and what writes the content. Out: the whole file under that path, or nothing: content is written beside it
//! and renamed into place, and an existing file is replaced only when that was asked for.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};

use crate::input::is_std;

/// Writes to a path, or to stdout for `-`.
pub(crate) fn write(
    path: &Path,
    force: bool,
    content: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if is_std(path) {
        let mut out = BufWriter::new(io::stdout());
        content(&mut out)?;
        return out.flush().context("cannot write to stdout");
    }
    if !force {
        refuse_existing(path)?;
    }
    let cannot = || format!("cannot write {}", path.display());
    if is_special(path) {
        let mut out = BufWriter::new(fs::OpenOptions::new().write(true).open(path).with_context(cannot)?);
        content(&mut out).with_context(cannot)?;
        return out.flush().with_context(cannot);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".netflow-")
        .permissions(permissions())
        .tempfile_in(folder)
        .with_context(cannot)?;
    let mut out = BufWriter::new(temporary.as_file_mut());
    content(&mut out).with_context(cannot)?;
    out.flush().with_context(cannot)?;
    drop(out);
    let persisted = if force { temporary.persist(path) } else { temporary.persist_noclobber(path) };
    persisted.map_err(|error| error.error).with_context(cannot)?;
    Ok(())
}

/// As with any file that a command makes: the umask decides.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o666)
}

/// A device or a pipe takes what is written; a file in its place would take it away from everybody.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The path as messages name it.
pub(crate) fn name(path: &Path) -> String {
    if is_std(path) { "stdout".to_owned() } else { path.display().to_string() }
}

/// Fails when something has that name that would be replaced.
pub(crate) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() && !is_special(path) {
        bail!("{} exists; give another name, or --force to replace it", path.display());
    }
    Ok(())
}

/// It is a terminal that has colours, and nobody asked for none (`NO_COLOR`).
pub(crate) fn is_colored<S: anstream::stream::RawStream>(stream: &S) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Both are names of one file.
pub(crate) fn is_same(input: &Path, out: &Path) -> bool {
    !is_std(input)
        && matches!((input.canonicalize(), out.canonicalize()), (Ok(input), Ok(out)) if input == out && input.is_file())
}
