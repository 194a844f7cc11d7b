//! `netflow report --reports FILE`: many reports, one reading.
//!
//! In: a file that describes reports as `fixture.toml` does, and captures. Out: a file of rows for each. Never here: what the
//! options of a report mean.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use netflow_core::pipeline::Pipeline;
use netflow_formats::fixture::{ReportSpec, parse_reports};
use netflow_formats::report::note;

use super::reading::Reading;
use super::{WriteReport, refuse, tell, writer};
use crate::args::ReportArgs;
use crate::outcome::{Outcome, Usage};
use crate::output;

/// A report that was asked for.
struct Asked {
    spec: ReportSpec,
    path: PathBuf,
    write: WriteReport,
}

pub(super) fn run(args: &ReportArgs, description: &Path) -> anyhow::Result<Outcome> {
    let asked = read(args, description)?;
    let paths: Vec<&Path> = asked.iter().map(|asked| asked.path.as_path()).collect();
    refuse(&paths, args.force)?;
    let options = asked.iter().map(|asked| asked.spec.options()).collect::<Result<Vec<_>, _>>();
    let options = options.with_context(|| description.display().to_string())?;
    let mut pipelines: Vec<Pipeline> = options.into_iter().map(Pipeline::new).collect();
    let mut is_lossy = Reading::new(args)?.read(&mut pipelines.iter_mut().collect::<Vec<_>>(), None)?;
    let mut remark = None;
    for (pipeline, Asked { spec, path, write }) in pipelines.into_iter().zip(&asked) {
        let grouped = pipeline.finish_groups();
        is_lossy |= grouped.about().diagnostics.is_lossy();
        remark = note(grouped.about());
        let sorted = match spec.top {
            Some(top) => grouped.first(top),
            None => grouped.sort(),
        };
        output::write(path, args.force, |out| write(&sorted, out))?;
        tell(path);
    }
    if let Some(remark) = remark {
        eprintln!("{remark}");
    }
    Ok(if is_lossy { Outcome::Lossy } else { Outcome::Done })
}

/// The reports that the file describes; no two are one file.
fn read(args: &ReportArgs, description: &Path) -> anyhow::Result<Vec<Asked>> {
    let named = || description.display().to_string();
    let text = fs::read_to_string(description).with_context(|| format!("cannot read {}", named()))?;
    let folder = args.out_dir.clone().unwrap_or_default();
    let mut asked: Vec<Asked> = Vec::new();
    for spec in parse_reports(&text).with_context(named)? {
        let path = folder.join(&spec.file);
        let wrong = |problem: &str| Usage(format!("{}: report {:?}: `file`: {problem}", named(), spec.file));
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let write = writer(extension)
            .ok_or_else(|| wrong("expected a name that ends in .csv, .parquet, .jsonl, .arrow or .lp"))?;
        if asked.iter().any(|other| other.path == path) {
            return Err(wrong("another report has this file").into());
        }
        asked.push(Asked { spec, path, write });
    }
    Ok(asked)
}
