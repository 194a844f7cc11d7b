//! The root of the cgroup v2 hierarchy, to which the programs that see every socket are attached, and paths below it.
//!
//! In: `/proc/self/mountinfo`, numbers of cgroups. Out: an open directory, paths. When no hierarchy is mounted, one is
//! mounted that has no place in the tree of files: the open directory keeps it alive. Never here: a change that outlives us.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use rustix::fs::{Access, AtFlags, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::CaptureError;
use crate::sys;

/// So many paths are kept; more than that, and all are asked for again.
const MOST_PATHS: usize = 4096;

const MOUNTS: &str = "/proc/self/mountinfo";

/// The root of the hierarchy, as far as this process can see.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) directory: File,
    /// Where it is mounted; `None`: nowhere, it was mounted for the moment of opening it.
    pub(crate) mounted: Option<PathBuf>,
    /// It is the root indeed, and not that of a cgroup namespace: every socket of the host belongs below it.
    pub(crate) is_whole: bool,
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

/// One place where a cgroup v2 hierarchy, or a part of it, is mounted.
struct Mount {
    path: PathBuf,
    /// All of it that the cgroup namespace of this process shows.
    is_all: bool,
}

/// Opens the root of the hierarchy.
pub(crate) fn open_root() -> Result<Root, CaptureError> {
    let mounts = std::fs::read(MOUNTS).map_err(|source| CaptureError::Read { path: MOUNTS.into(), source })?;
    let mut second_best = None;
    for Mount { path, is_all } in find(&mounts) {
        let Ok(directory) = File::open(&path) else { continue };
        let root = Root { is_whole: is_root(&directory), directory, mounted: Some(path) };
        if root.is_whole {
            return Ok(root);
        }
        if is_all && second_best.is_none() {
            second_best = Some(root);
        }
    }
    if let Some(root) = second_best {
        return Ok(root);
    }
    let directory = mount_privately().map_err(|source| CaptureError::NoCgroup { source })?;
    Ok(Root { is_whole: is_root(&directory), directory, mounted: None })
}

/// Every cgroup but the root has this file.
fn is_root(directory: &File) -> bool {
    rustix::fs::accessat(directory, "cgroup.type", Access::EXISTS, AtFlags::empty()) == Err(Errno::NOENT)
}

/// Where cgroup v2 hierarchies are mounted, according to a list of mounts.
fn find(mounts: &[u8]) -> impl Iterator<Item = Mount> {
    mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        // Optional fields end with a dash, after which the type follows.
        let dash = fields.iter().position(|field| *field == b"-")?;
        let (root, path, kind) = (fields.get(3)?, fields.get(4)?, fields.get(dash + 1)?);
        (*kind == b"cgroup2").then(|| Mount { path: PathBuf::from(unescape(path)), is_all: *root == b"/" })
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

/// A mount without a place in the tree of files: nobody else sees it, and it goes with its descriptor.
fn mount_privately() -> io::Result<File> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(openat(mount, ".", flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_found_by_the_number_of_its_directory() {
        use std::os::unix::fs::MetadataExt as _;
        let mounts = std::fs::read(MOUNTS).unwrap();
        let name = format!("netflow-test-{}", std::process::id());
        let Some(directory) = find(&mounts).next().map(|mount| mount.path.join(&name)) else {
            eprintln!("skipped: no cgroup v2 hierarchy is mounted");
            return;
        };
        if let Err(error) = std::fs::create_dir(&directory) {
            eprintln!("skipped: a cgroup cannot be made here: {error}");
            return;
        }
        let number = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let (root, id) = (number(directory.parent().unwrap()), number(&directory));
        let mut paths = Paths::of(&open_root().unwrap().directory).unwrap();
        assert_eq!(paths.path(root).as_deref(), Some("/"));
        let other = Paths::of(&open_root().unwrap().directory).unwrap().path(id);
        assert_eq!(paths.path(id), other);
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(other.as_deref(), Some(&*format!("/{name}")));
        assert_eq!(paths.path(id), other, "a path that was asked for stays known");
        assert_eq!(Paths::of(&open_root().unwrap().directory).unwrap().path(id), None, "one that was not is gone");
        assert_eq!(paths.path(u64::MAX), None);
    }

    #[test]
    fn the_hierarchy_is_found_wherever_it_is_mounted() {
        let mounts = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            40 31 0:37 /part /mnt/part rw shared:1 - cgroup2 cgroup2 rw\n\
            41 31 0:38 / /mnt/with\\040space rw shared:1 master:2 - cgroup2 cgroup2 rw\n";
        let found: Vec<(PathBuf, bool)> = find(mounts).map(|mount| (mount.path, mount.is_all)).collect();
        assert_eq!(found, [("/mnt/part".into(), false), ("/mnt/with space".into(), true)]);
        assert_eq!(find(b"short line\n\n- - -\n").count(), 0);
    }
}
