//! Keys in files.
//!
//! In: a path. Out: the key in it, or a new one in it. Never here: what a key is used for.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, bail};
use netflow_core::anonymize::Key;
use rustix::rand::{GetRandomFlags, getrandom};

/// More than any key file has: enough to tell that it is none.
const MOST_BYTES: u64 = 4096;

/// The key that is asked for: of a file, or made from a number; `None`: none is.
pub(crate) fn chosen(path: Option<&Path>, seed: Option<u64>) -> anyhow::Result<Option<Key>> {
    match path {
        Some(path) => read(path).map(Some),
        None => Ok(seed.map(Key::from_seed)),
    }
}

/// Reads a key. That others can read it, too, is said on stderr.
fn read(path: &Path) -> anyhow::Result<Key> {
    let name = path.display();
    let cannot = || format!("cannot read the key in {name}");
    let file = File::open(path).with_context(cannot)?;
    let metadata = file.metadata().with_context(cannot)?;
    let mode = metadata.permissions().mode() & 0o777;
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content).with_context(cannot)?;
    let key = Key::parse(&content).with_context(|| {
        format!("cannot use the key in {name}; `netflow anonymize --new-key FILE` writes one that can be used")
    })?;
    if metadata.is_file() && mode & 0o077 != 0 {
        eprintln!("warning: other users can read the key in {name} (its mode is {mode:03o}): `chmod 600 {name}`");
    }
    Ok(key)
}

/// Writes a new key, from the kernel's source of chance, into a file that was not there.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let cannot = || format!("cannot write a key to {name}");
    let mut bytes = [0; Key::BYTES];
    // As few bytes are never cut short.
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).context("cannot ask the kernel for a random key")?;
    if filled != bytes.len() {
        bail!("cannot ask the kernel for a random key: expected {} bytes, found {filled}", bytes.len());
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} exists; give another name: what was made with a key cannot be made again without it")
        }
        file => file.with_context(cannot)?,
    };
    writeln!(file, "{}", Key::new(bytes).hex()).with_context(cannot)?;
    file.sync_all().with_context(cannot)
}
