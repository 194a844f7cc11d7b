//! The names of the files of a recording that rotates.
//!
//! In: the path that was given, times. Out: files `STEM-20261123T090000Z.nfcap` that did not exist, and the removal of the
//! oldest of them. Never here: what is in the files, when the next begins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::DateTime;

use super::file::{self, Reserved};
use super::rotation::Keep;
use crate::outcome::Usage;

/// Files of one second.
const MOST: u32 = 1_000_000;

/// The files beside each other that a path stands for.
pub(super) struct Series {
    folder: PathBuf,
    stem: String,
    /// With its dot.
    extension: String,
    /// The name that was given last, which is not given again even if the file is gone.
    last: Option<Name>,
}

/// What tells two files apart. In the order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    time: String,
    /// 0 for the first file of a second.
    number: u32,
}

impl Series {
    /// The files that `out` stands for.
    pub(super) fn new(out: &Path) -> Result<Self, Usage> {
        let text =
            |part: Option<&std::ffi::OsStr>| part.map_or(Some(String::new()), |part| part.to_str().map(str::to_owned));
        let (Some(stem), Some(extension)) = (text(out.file_stem()), text(out.extension())) else {
            return Err(Usage(format!("--rotate makes names out of {}, which is not UTF-8", out.display())));
        };
        if stem.is_empty() {
            return Err(Usage(format!("--rotate makes names out of that of a file, and {} is none", out.display())));
        }
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
        Ok(Self { folder: folder.to_owned(), stem, extension, last: None })
    }

    /// All of them, as a shell takes it.
    pub(super) fn pattern(&self) -> PathBuf {
        self.path(&format!("{}-*{}", self.stem, self.extension))
    }

    /// Makes the file that begins at `at`, in nanoseconds of UTC.
    pub(super) fn reserve(&mut self, at: i128) -> anyhow::Result<Reserved> {
        let seconds = i64::try_from(at.div_euclid(1_000_000_000)).ok();
        let Some(time) = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) else {
            bail!("cannot name a file after the time: expected a clock that is right, found {at} ns since 1970");
        };
        let time = time.format("%Y%m%dT%H%M%SZ").to_string();
        let first = self.last.as_ref().filter(|last| last.time == time).map_or(0, |last| last.number + 1);
        for number in first..MOST {
            let name = Name { time: time.clone(), number };
            let path = self.path(&self.text(&name));
            match file::reserve_new(path.clone()) {
                Ok(reserved) => {
                    self.last = Some(name);
                    return Ok(reserved);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
            }
        }
        bail!("cannot write {}: {MOST} files of that second exist", self.pattern().display())
    }

    /// Removes the oldest files until no more are left than asked for, but never the one that was made last. What cannot be
    /// removed stays, which is said on stderr.
    pub(super) fn clear_out(&self, keep: Keep) {
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                eprintln!("warning: nothing was removed: cannot list {}: {error}", self.folder.display());
                return;
            }
        };
        let mut count = files.len() as u64;
        let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (name, size) in files {
            let is_enough = match keep {
                Keep::Files(most) => count <= most,
                Keep::Bytes(most) => bytes <= most,
            };
            if is_enough {
                return;
            }
            if Some(&name) == self.last.as_ref() {
                continue;
            }
            let path = self.path(&self.text(&name));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    eprintln!("warning: cannot remove {}: {error}", path.display());
                }
                _ => {
                    count -= 1;
                    bytes -= size;
                }
            }
        }
    }

    /// The files that exist and their sizes, the oldest first.
    fn files(&self) -> io::Result<Vec<(Name, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().and_then(|name| self.parse(name)) else { continue };
            // Of a file that is gone by now there is nothing to remove.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                files.push((name, metadata.len()));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        if self.folder == Path::new(".") { PathBuf::from(name) } else { self.folder.join(name) }
    }

    fn text(&self, name: &Name) -> String {
        // The shell's order is that of time.
        let number = if name.number == 0 { String::new() } else { format!("_{:03}", name.number) };
        format!("{}-{}{number}{}", self.stem, name.time, self.extension)
    }

    fn parse(&self, text: &str) -> Option<Name> {
        let rest = text.strip_prefix(&self.stem)?.strip_prefix('-')?.strip_suffix(&self.extension)?;
        let (time, number) = rest.split_once('_').unwrap_or((rest, "0"));
        let name = Name { time: time.to_owned(), number: number.parse().ok()? };
        let is_time = time.len() == 16
            && time.bytes().enumerate().all(|(place, byte)| match place {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        (is_time && self.text(&name) == text).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use netflow_core::event::Header;

    use super::super::file::CaptureFile;
    use super::*;

    const NINE: i128 = 1_795_424_400_000_000_000;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Makes the file for good, with so many bytes.
    fn make(series: &mut Series, at: i128, bytes: usize) {
        let reserved = series.reserve(at).unwrap();
        let path = series.path(&series.text(series.last.as_ref().unwrap()));
        drop(CaptureFile::create(reserved, &Header::default()).unwrap());
        fs::write(path, vec![0; bytes]).unwrap();
    }

    #[test]
    fn a_name_is_the_time_and_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = Series::new(&folder.path().join("out.nfcap")).unwrap();
        drop(series.reserve(NINE).unwrap());
        make(&mut series, NINE + 999_999_999, 0);
        make(&mut series, NINE + 1_000_000_000, 0);
        let mut other = Series::new(&folder.path().join("out.nfcap")).unwrap();
        make(&mut other, NINE, 0);
        make(&mut other, NINE, 0);
        let expected = [
            "20261123T090000Z.nfcap",
            "20261123T090000Z_001.nfcap",
            "20261123T090000Z_002.nfcap",
            "20261123T090001Z.nfcap",
        ];
        assert_eq!(names(folder.path()), expected.map(|name| format!("out-{name}")));
        assert!(Series::new(Path::new("..")).is_err());
        assert_eq!(Series::new(Path::new("plain")).unwrap().pattern(), Path::new("plain-*"));
    }

    #[test]
    fn only_the_oldest_files_of_the_series_go() {
        let folder = tempfile::tempdir().unwrap();
        let others = [
            "out.nfcap",
            "out-2.nfcap",
            "out-20261123T090000Z.txt",
            "out-20261123T090000Z_1.nfcap",
            "out-b-20200101T000000Z.nfcap",
        ];
        for name in others {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        fs::create_dir(folder.path().join("out-20200101T000000Z.nfcap")).unwrap();
        let mut series = Series::new(&folder.path().join("out.nfcap")).unwrap();
        for second in 0..5 {
            make(&mut series, NINE + second * 1_000_000_000, 100);
        }
        let left = |series: &Series| {
            series.files().unwrap().iter().map(|(name, _)| name.time[13..15].to_owned()).collect::<Vec<_>>()
        };
        series.clear_out(Keep::Files(4));
        assert_eq!(left(&series), ["01", "02", "03", "04"]);
        series.clear_out(Keep::Bytes(399));
        assert_eq!(left(&series), ["02", "03", "04"]);
        series.clear_out(Keep::Bytes(1));
        assert_eq!(left(&series), ["04"], "the one that is written stays");
        assert_eq!(names(folder.path()).len(), others.len() + 2, "and so does what is not of the series");
    }
}
