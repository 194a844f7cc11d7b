//! The root of the cgroup v2 hierarchy, to which the programs that see every socket are attached.
//!
//! In: `/proc/self/mountinfo`. Out: an open directory. When no hierarchy is mounted, one is mounted that has no place in
//! the tree of files: the open directory keeps it alive. Never here: a change that outlives us.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::CaptureError;

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
