//! `netflow report`: the pipeline over whole captures.

mod html;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netflow_core::k8s::Cluster;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report};
use netflow_formats::report::{TableOptions, note, table, write_csv, write_json, write_parquet};

use self::html::Page;
use crate::args::ReportArgs;
use crate::cluster::Clusters;
use crate::input;
use crate::options::{self, TABLE_TAGS};
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::passage::{self, Part, Window};

/// Rows of a table when nothing else is asked for.
const TABLE_ROWS: usize = 20;

type WriteReport = fn(&Report, &mut dyn std::io::Write) -> anyhow::Result<()>;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let files = files(args)?;
    let mut page = Page::new(args)?;
    let paths = files.iter().map(|(path, _)| path.as_path()).chain(page.as_ref().map(Page::path));
    refuse(&paths.collect::<Vec<_>>(), args.force)?;
    let (options, order) = options(args, if files.is_empty() { &TABLE_TAGS } else { &[] })?;
    if args.pipeline.k8s.as_deref().is_some_and(input::is_std) && args.inputs.iter().any(|path| input::is_std(path)) {
        return Err(Usage("only one of capture and cluster can come from stdin".to_owned()).into());
    }
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    let mut pipeline = (page.is_none() || !files.is_empty()).then(|| Pipeline::new(options));
    let mut window = Window::new(args.window);
    let mut is_damaged = false;
    for path in &args.inputs {
        let pipelines = pipeline.iter_mut().chain(page.iter_mut().flat_map(Page::pipelines));
        is_damaged |= feed(&mut pipelines.collect::<Vec<_>>(), &clusters, path, &mut window)?;
    }
    let mut lossy = is_damaged;
    let mut remark = None;
    if let Some(mut report) = pipeline.map(Pipeline::finish) {
        lossy |= report.diagnostics.is_lossy();
        remark = note(&report);
        for (path, write) in &files {
            let mut part = report.clone();
            part.rows.truncate(args.top.unwrap_or(usize::MAX));
            output::write(path, args.force, |out| write(&part, out))?;
            tell(path);
        }
        if files.is_empty() {
            report.sort(order.unwrap_or(Order::Traffic));
            let width = terminal_size::terminal_size().map(|(width, _)| width.0);
            let sorted_by =
                order.and_then(|order| if let Order::By { field, .. } = order { Some(field) } else { None });
            let options = TableOptions { top: Some(args.top.unwrap_or(TABLE_ROWS)), width, sorted_by };
            std::io::stdout().lock().write_all(table(&report, options)?.as_bytes())?;
            remark = None;
        }
    }
    if let Some(page) = page {
        let written = page.write(args.force, is_damaged)?;
        lossy |= written.is_lossy;
        remark = written.note;
    }
    if let Some(remark) = remark {
        eprintln!("{remark}");
    }
    Ok(if lossy { Outcome::Lossy } else { Outcome::Done })
}

/// What to report, and how it is to be sorted if that was said.
fn options(args: &ReportArgs, default_tags: &[&str]) -> Result<(ReportOptions, Option<Order>), Usage> {
    let options = options::pipeline(&args.pipeline, default_tags)?;
    let by = if args.pipeline.by.is_empty() { &[] } else { options.by.as_slice() };
    let order = args.sort.as_deref().map(|sort| Order::parse(sort, by)).transpose();
    let order = order.map_err(|error| Usage(error.to_string()))?;
    let every_ns = args.every.map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    Ok((ReportOptions { every_ns, order: order.unwrap_or_default(), ..options }, order))
}

/// Pushes what is asked for of a capture through the pipelines; true when something of it is missing.
fn feed(
    pipelines: &mut [&mut Pipeline],
    clusters: &Clusters,
    path: &Path,
    window: &mut Window,
) -> anyhow::Result<bool> {
    let mut is_lossy = false;
    let is_damaged = passage::read(input::open_capture(path)?, path, window, |part| {
        match part {
            Part::Begin(header) => {
                pipelines.iter_mut().for_each(|pipeline| pipeline.begin(header));
                clusters.begin(|cluster| set_cluster(pipelines, &cluster));
            }
            Part::Again(event) | Part::Event(event) => {
                is_lossy |= !clusters.learn(event, path, |cluster| set_cluster(pipelines, &cluster));
                pipelines.iter_mut().for_each(|pipeline| pipeline.push(event));
            }
            Part::Missing(_) | Part::Nothing(_) => {}
        }
        Ok(())
    })?;
    Ok(is_damaged || is_lossy)
}

fn set_cluster(pipelines: &mut [&mut Pipeline], cluster: &Arc<Cluster>) {
    pipelines.iter_mut().for_each(|pipeline| pipeline.set_cluster(Arc::clone(cluster)));
}

/// The files that were asked for, with what writes each.
fn files(args: &ReportArgs) -> Result<Vec<(PathBuf, WriteReport)>, Usage> {
    type Wanted<'a> = (&'a Option<Option<PathBuf>>, &'a str, &'a str, WriteReport);
    let wanted: [Wanted<'_>; 3] = [
        (&args.csv, "csv", "csv", |report, out| Ok(write_csv(report, out)?)),
        (&args.parquet, "parquet", "parquet", |report, out| Ok(write_parquet(report, out)?)),
        (&args.json, "json", "jsonl", |report, out| Ok(write_json(report, out)?)),
    ];
    let mut files = Vec::new();
    for (path, flag, extension, write) in wanted {
        if let Some(path) = file(args, path, flag, extension)? {
            files.push((path, write));
        }
    }
    Ok(files)
}

/// The file that was asked for with a flag.
fn file(
    args: &ReportArgs,
    path: &Option<Option<PathBuf>>,
    flag: &str,
    extension: &str,
) -> Result<Option<PathBuf>, Usage> {
    let Some(path) = path else { return Ok(None) };
    let nameless =
        || Usage(format!("a capture from stdin has no name: say where to write, --{flag}=PATH or --{flag}=-"));
    path.clone().or_else(|| input::beside(&args.inputs, extension)).ok_or_else(nameless).map(Some)
}

/// Fails before any work is done for a file that cannot be written.
fn refuse(paths: &[&Path], force: bool) -> anyhow::Result<()> {
    for path in paths {
        if !force && !input::is_std(path) {
            output::refuse_existing(path)?;
        }
    }
    if paths.iter().filter(|path| input::is_std(path)).count() > 1 {
        return Err(Usage("only one format can go to stdout".to_owned()).into());
    }
    Ok(())
}

/// Says where a report is.
fn tell(path: &Path) {
    if !input::is_std(path) {
        eprintln!("{}", path.display());
    }
}
