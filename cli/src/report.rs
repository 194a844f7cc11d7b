//! `netflow report`: the pipeline over whole captures.

mod html;
mod reading;
mod rows;
mod several;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use netflow_core::column::Column;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report};
use netflow_core::tabular::Tabular;
use netflow_formats::report::{
    TableOptions, note, table, write_arrow, write_arrow_stream, write_csv, write_json, write_line, write_parquet,
};

use self::html::Page;
use self::reading::Reading;
use self::rows::Rows;
use crate::args::ReportArgs;
use crate::dataset::Dataset;
use crate::input;
use crate::options::{self, TABLE_TAGS};
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::overlap::Overlaps;

/// Rows of a table when nothing else is asked for.
const TABLE_ROWS: usize = 20;

/// Rows of each window, where there are several.
const WINDOW_ROWS: usize = 5;

type WriteReport = fn(&dyn Tabular, &mut (dyn std::io::Write + Send)) -> anyhow::Result<()>;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    if args.pipeline.k8s.as_deref().is_some_and(input::is_std) && args.inputs.iter().any(|path| input::is_std(path)) {
        return Err(Usage("only one of capture and cluster can come from stdin".to_owned()).into());
    }
    Overlaps::refuse_twins(&args.inputs)?;
    if let Some(description) = &args.reports {
        return several::run(args, description);
    }
    let dataset = Dataset::new(args)?;
    let files = files(args)?;
    let mut page = Page::new(args)?;
    let paths = files.iter().map(|(path, _)| path.as_path()).chain(page.as_ref().map(Page::path));
    refuse(&paths.collect::<Vec<_>>(), args.force)?;
    let is_table = files.is_empty() && dataset.is_none();
    let (options, order) = options(args, if is_table { &TABLE_TAGS } else { &[] })?;
    // What a person asks first.
    let order = order.unwrap_or(if is_table { Order::Traffic } else { Order::Key });
    let options = ReportOptions { order, ..options };
    let told = told(args, &options);
    let most = |has_windows| args.top.unwrap_or(if has_windows { WINDOW_ROWS } else { TABLE_ROWS });
    let most = (is_table || args.top.is_some()).then_some(&most as &dyn Fn(bool) -> usize);
    let mut reading = Reading::new(args)?;
    let (rows, is_damaged) = match args.memory_limit {
        Some(limit) => {
            let (rows, is_damaged) = Rows::within(limit, &mut reading, &options, most)?;
            (Some(rows), is_damaged)
        }
        None => {
            let mut pipeline = (page.is_none() || !is_table).then(|| Pipeline::new(options));
            let pipelines = pipeline.iter_mut().chain(page.iter_mut().flat_map(Page::pipelines));
            let is_damaged = reading.read(&mut pipelines.collect::<Vec<_>>(), None)?;
            (pipeline.map(|pipeline| Rows::of(pipeline, most)), is_damaged)
        }
    };
    let mut lossy = is_damaged;
    let mut remark = None;
    if let Some(rows) = rows {
        lossy |= rows.about().diagnostics.is_lossy();
        remark = note(rows.about());
        if let Some(dataset) = dataset {
            let mut report = rows.report();
            report.columns.extend(told);
            dataset.write(&report, args.force)?;
        }
        for (path, write) in &files {
            output::write(path, args.force, |out| {
                write(rows.as_tabular(), out)?;
                rows.check()
            })?;
            tell(path);
        }
        if is_table {
            show(&rows.report())?;
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

/// Prints the table of all rows that the report has.
fn show(report: &Report) -> anyhow::Result<()> {
    let width = terminal_size::terminal_size().map(|(width, _)| width.0);
    let text = table(report, TableOptions { top: None, width, is_colored: output::is_colored(&std::io::stdout()) })?;
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// What to report, and how it is to be sorted if that was said.
fn options(args: &ReportArgs, default_tags: &[&str]) -> Result<(ReportOptions, Option<Order>), Usage> {
    let options = options::pipeline(&args.pipeline, default_tags)?;
    let order = args.sort.as_deref().map(|sort| Order::parse(sort, &options.columns(), args.across_windows));
    let order = order.transpose().map_err(|error| Usage(format!("--sort: {error}")))?;
    let every_ns = args.every.map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    Ok((ReportOptions { every_ns, order: order.clone().unwrap_or_default(), ..options }, order))
}

/// The columns that are not shown but told by the folders of a data set.
fn told(args: &ReportArgs, options: &ReportOptions) -> Vec<Column> {
    let is_told = |column: &Column| {
        let name = &column.name;
        args.partition_by.iter().any(|told| told == name) && !options.shown.iter().any(|shown| shown.name == *name)
    };
    if options.shown.is_empty() { Vec::new() } else { options.columns().into_iter().filter(is_told).collect() }
}

/// The files that were asked for, with what writes each.
fn files(args: &ReportArgs) -> Result<Vec<(PathBuf, WriteReport)>, Usage> {
    let parquet = if args.partition_by.is_empty() { &args.parquet } else { &None };
    let wanted = [
        (&args.csv, "csv", "csv"),
        (parquet, "parquet", "parquet"),
        (&args.json, "json", "jsonl"),
        (&args.arrow, "arrow", "arrow"),
        (&args.line, "line", "lp"),
    ];
    let mut files = Vec::new();
    for (path, flag, extension) in wanted {
        if let Some((path, write)) = file(args, path, flag, extension)?.zip(writer(extension)) {
            // A pipe cannot be read from its end, where an Arrow file says what is in it.
            let stream: WriteReport = |rows, out| Ok(write_arrow_stream(rows, out)?);
            let is_stream = extension == "arrow" && input::is_std(&path);
            files.push((path, if is_stream { stream } else { write }));
        }
    }
    Ok(files)
}

/// What writes a file of that extension.
fn writer(extension: &str) -> Option<WriteReport> {
    match extension {
        "csv" => Some(|rows, out| Ok(write_csv(rows, out)?)),
        "parquet" => Some(|rows, out| Ok(write_parquet(rows, out)?)),
        "jsonl" => Some(|rows, out| Ok(write_json(rows, out)?)),
        "arrow" => Some(|rows, out| Ok(write_arrow(rows, out)?)),
        "lp" => Some(|rows, out| Ok(write_line(rows, out)?)),
        _ => None,
    }
}

/// The file that was asked for with a flag.
pub(crate) fn file(
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
