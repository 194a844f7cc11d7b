//! A report as a data set: a Parquet file for each value of some tags, and for each day.
//!
//! In: a report, and by what it is parted. Out: folders as Hive names them, each with one file. All files are written beside
//! the data set and then renamed into it, so that a reader never sees a part of one; of a data set that exists, only the
//! partitions that the report has rows for are replaced. Never here: adding rows to a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use netflow_core::report::Report;
use netflow_formats::report::{PartitionKey, partitions, write_parquet};

use crate::args::ReportArgs;
use crate::input;
use crate::outcome::Usage;
use crate::output;
use crate::report;
use crate::units;

/// The one file of a partition. It has always the same name, so that renaming replaces it.
const PART: &str = "part-0.parquet";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the data set is, and by what it is partitioned.
#[derive(Debug)]
pub(crate) struct Dataset {
    folder: PathBuf,
    keys: Vec<PartitionKey>,
}

impl Dataset {
    /// The data set that is asked for; `None`: none is.
    pub(crate) fn new(args: &ReportArgs) -> anyhow::Result<Option<Self>> {
        let (Some(parquet), false) = (&args.parquet, args.partition_by.is_empty()) else { return Ok(None) };
        let keys = keys(args)?;
        if parquet.as_deref().is_some_and(input::is_std) {
            return Err(Usage("partitions are files: say in which folder, --parquet=DIR".to_owned()).into());
        }
        let Some(folder) = report::file(args, &args.parquet, "parquet", "parquet")? else { return Ok(None) };
        if !args.force {
            refuse_existing(&folder)?;
        }
        Ok(Some(Self { folder, keys }))
    }

    /// Writes the report.
    pub(crate) fn write(&self, report: &Report, force: bool) -> anyhow::Result<()> {
        let folder = &self.folder;
        if !force {
            refuse_existing(folder)?;
        }
        let cannot = || format!("cannot write {}", folder.display());
        let parts = partitions(report, &self.keys)?;
        refuse_strange(folder, &parts, &self.keys)?;
        // Of the same file system, so that files can be renamed; not within, where readers would come across it.
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let beside = whole.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let staged = tempfile::Builder::new().prefix(".netflow-").tempdir_in(beside).with_context(cannot)?;
        for (name, part) in &parts {
            let place = staged.path().join(name);
            fs::create_dir_all(&place).with_context(cannot)?;
            output::write(&place.join(PART), false, |out| Ok(write_parquet(part, out)?))?;
        }
        fs::create_dir_all(folder).with_context(cannot)?;
        for name in parts.keys() {
            let place = folder.join(name);
            fs::create_dir_all(&place).with_context(cannot)?;
            fs::rename(staged.path().join(name).join(PART), place.join(PART))
                .with_context(|| format!("cannot write {}", place.join(PART).display()))?;
        }
        eprintln!("{} ({})", folder.display(), units::count(parts.len() as u64, "partition"));
        Ok(())
    }
}

fn keys(args: &ReportArgs) -> Result<Vec<PartitionKey>, Usage> {
    let mut keys = Vec::new();
    for name in &args.partition_by {
        let key =
            PartitionKey::parse(name).map_err(|error| Usage(format!("--partition-by takes tags and date: {error}")))?;
        if keys.contains(&key) {
            return Err(Usage(format!("--partition-by names {name} twice")));
        }
        let by = &args.pipeline.by;
        let is_column = match key {
            PartitionKey::Date => true,
            PartitionKey::Tag(field) => by.contains(name) || by.is_empty() && !field.on_request,
        };
        if !is_column {
            return Err(Usage(format!("the report has no column {name} to partition by: ask for it with --by")));
        }
        keys.push(key);
    }
    if keys.contains(&PartitionKey::Date) && args.every.is_none_or(|every| every > DAY) {
        let message =
            "--partition-by date is the day on which a window begins: ask for windows of a day or less, as --every 1h";
        return Err(Usage(message.to_owned()));
    }
    Ok(keys)
}

/// Fails when the folder holds something.
fn refuse_existing(folder: &Path) -> anyhow::Result<()> {
    if visible(folder)?.is_some_and(|names| !names.is_empty()) {
        bail!(
            "{} exists; give another name, or --force to replace the partitions that this report has",
            folder.display()
        );
    }
    Ok(())
}

/// Fails when there is something in the way of a partition that would be read as part of the data set: then it is
/// parted otherwise, or another program writes to it, and rows would be there twice.
fn refuse_strange(folder: &Path, parts: &BTreeMap<String, Report>, keys: &[PartitionKey]) -> anyhow::Result<()> {
    for name in parts.keys() {
        let mut place = folder.to_path_buf();
        for (key, part) in keys.iter().zip(name.split('/')) {
            let start = format!("{}=", key.name());
            if let Some(strange) =
                visible(&place)?.unwrap_or_default().into_iter().find(|name| !name.starts_with(&start))
            {
                bail!(
                    "{} is in {}, where only folders {start}… can be: it is no data set, or one that is partitioned otherwise",
                    strange,
                    place.display()
                );
            }
            place.push(part);
        }
        if let Some(strange) = visible(&place)?.unwrap_or_default().into_iter().find(|name| name != PART) {
            bail!("{strange} is in {}, which netflow did not write: rows might be there twice", place.display());
        }
    }
    Ok(())
}

/// The names in a folder, but for those that readers of data sets pass over; `None`: there is no such folder.
fn visible(folder: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries.with_context(cannot)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(cannot)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['.', '_']) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(Some(names))
}
