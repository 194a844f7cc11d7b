//! The root of the cgroup v2 hierarchy, to which the programs that see every socket are attached, and paths below it.
//!
//! In: `/proc/self/mountinfo`, numbers of cgroups. Out: an open directory, paths. When no hierarchy is mounted, one is mounted in a directory of
//! our own for the moment of opening it: the open directory keeps it alive. Never here: a change that outlives us.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::error::CaptureError;
use crate::sys;

/// So many paths are kept; more than that, and all are asked for again.
const MOST_PATHS: usize = 4096;

const MOUNTS: &str = "/proc/self/mountinfo";

/// Opens the root of the hierarchy.
pub(crate) fn open_root() -> Result<File, CaptureError> {
    let mounts = std::fs::read(MOUNTS).map_err(|source| CaptureError::Read { path: MOUNTS.into(), source })?;
    if let Some(path) = find(&mounts)
        && let Ok(directory) = File::open(path)
    {
        return Ok(directory);
    }
    mount_privately().map_err(|source| CaptureError::NoCgroup { source })
}

/// The paths of cgroups, by the numbers that programs know them by.
pub(crate) struct Paths {
    root: File,
    known: FxHashMap<u64, Arc<str>>,
}

impl Paths {
    /// Paths below the open root of the hierarchy.
    pub(crate) fn of(root: &File) -> Result<Self, CaptureError> {
        let root =
            root.try_clone().map_err(|source| CaptureError::Read { path: "the root of the cgroups".into(), source })?;
        Ok(Self { root, known: FxHashMap::default() })
    }

    /// The path of a cgroup from the root of the hierarchy, which is `/`; `None` when it is gone.
    pub(crate) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        if let Some(path) = self.known.get(&id) {
            return Some(Arc::clone(path));
        }
        let directory = sys::open_cgroup(self.root.as_fd(), id).ok()?;
        let path = Path::new("/").join(link(&directory)?.strip_prefix(link(&self.root)?).ok()?);
        let path: Arc<str> = path.to_string_lossy().into();
        if self.known.len() >= MOST_PATHS {
            self.known.clear();
        }
        self.known.insert(id, Arc::clone(&path));
        Some(path)
    }
}

/// What the kernel calls an open directory.
fn link(directory: &impl AsRawFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()
}

/// Where the whole of a cgroup v2 hierarchy is mounted, according to a list of mounts.
fn find(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        // Optional fields end with a dash, after which the type follows.
        let dash = fields.iter().position(|field| *field == b"-")?;
        let (root, path, kind) = (fields.get(3)?, fields.get(4)?, fields.get(dash + 1)?);
        (*root == b"/" && *kind == b"cgroup2").then(|| PathBuf::from(unescape(path)))
    })
}

/// Spaces and their like stand as three octal digits after a backslash.
fn unescape(path: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digits = if first == b'\\' { after.first_chunk::<3>() } else { None };
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => out.push(first),
        }
    }
    OsString::from_vec(out)
}

fn mount_privately() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("netflow-cgroup2-{}", std::process::id()));
    let text = CString::new(OsStr::as_bytes(path.as_os_str()))?;
    std::fs::create_dir(&path)?;
    let opened = sys::mount_cgroup2(&text).and_then(|()| {
        let directory = File::open(&path);
        sys::unmount(&text);
        directory
    });
    std::fs::remove_dir(&path)?;
    opened
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cgroup_is_found_by_the_number_of_its_directory() {
        use std::os::unix::fs::MetadataExt as _;
        let mounts = std::fs::read(MOUNTS).unwrap();
        let name = format!("netflow-test-{}", std::process::id());
        let Some(directory) = find(&mounts).map(|root| root.join(&name)) else {
            eprintln!("skipped: no cgroup v2 hierarchy is mounted");
            return;
        };
        if let Err(error) = std::fs::create_dir(&directory) {
            eprintln!("skipped: a cgroup cannot be made here: {error}");
            return;
        }
        let number = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let (root, id) = (number(directory.parent().unwrap()), number(&directory));
        let mut paths = Paths::of(&open_root().unwrap()).unwrap();
        assert_eq!(paths.path(root).as_deref(), Some("/"));
        let other = Paths::of(&open_root().unwrap()).unwrap().path(id);
        assert_eq!(paths.path(id), other);
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(other.as_deref(), Some(&*format!("/{name}")));
        assert_eq!(paths.path(id), other, "a path that was asked for stays known");
        assert_eq!(Paths::of(&open_root().unwrap()).unwrap().path(id), None, "one that was not is gone");
        assert_eq!(paths.path(u64::MAX), None);
    }

    #[test]
    fn the_hierarchy_is_found_wherever_it_is_mounted() {
        let mounts = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            40 31 0:37 /part /mnt/part rw shared:1 - cgroup2 cgroup2 rw\n\
            41 31 0:38 / /mnt/with\\040space rw shared:1 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(find(mounts).unwrap(), PathBuf::from("/mnt/with space"));
        assert_eq!(find(b"short line\n\n- - -\n"), None);
    }
}
