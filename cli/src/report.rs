//! `netflow report`: the pipeline over whole captures.

mod html;
mod several;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netflow_core::column::Column;
use netflow_core::event::{Body, Event};
use netflow_core::grouped::Sorted;
use netflow_core::k8s::Cluster;
use netflow_core::measure::Measures;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report};
use netflow_formats::capture::{Field, Selection};
use netflow_formats::report::{
    TableOptions, note, table, write_arrow, write_arrow_stream, write_csv, write_json, write_line, write_parquet,
};

use self::html::Page;
use crate::args::ReportArgs;
use crate::batches::{self, Piece};
use crate::cluster::Clusters;
use crate::dataset::Dataset;
use crate::input;
use crate::options::{self, TABLE_TAGS};
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::overlap::Overlaps;
use crate::passage::{self, Part, Window};
use crate::progress;

/// Rows of a table when nothing else is asked for.
const TABLE_ROWS: usize = 20;

/// Rows of each window, where there are several.
const WINDOW_ROWS: usize = 5;

type WriteReport = fn(&Sorted, &mut dyn std::io::Write) -> anyhow::Result<()>;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    if args.pipeline.k8s.as_deref().is_some_and(input::is_std) && args.inputs.iter().any(|path| input::is_std(path)) {
        return Err(Usage("only one of capture and cluster can come from stdin".to_owned()).into());
    }
    Overlaps::refuse_twins(&args.inputs)?;
    progress::expect(&args.inputs);
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
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    let mut pipeline = (page.is_none() || !is_table).then(|| Pipeline::new(options));
    let mut window = Window::new(args.window);
    let mut overlaps = Overlaps::default();
    let mut is_damaged = false;
    for path in &args.inputs {
        let pipelines = pipeline.iter_mut().chain(page.iter_mut().flat_map(Page::pipelines));
        is_damaged |= feed(&mut pipelines.collect::<Vec<_>>(), &clusters, path, &mut window, &mut overlaps)?;
    }
    overlaps.check()?;
    let mut lossy = is_damaged;
    let mut remark = None;
    if let Some(grouped) = pipeline.map(Pipeline::finish_groups) {
        lossy |= grouped.about().diagnostics.is_lossy();
        remark = note(grouped.about());
        let table_rows = is_table.then(|| if grouped.has_windows() { WINDOW_ROWS } else { TABLE_ROWS });
        let sorted = match args.top.or(table_rows) {
            Some(rows) => grouped.first(rows),
            None => grouped.sort(),
        };
        if let Some(dataset) = dataset {
            let mut report = sorted.report();
            report.columns.extend(told);
            dataset.write(&report, args.force)?;
        }
        for (path, write) in &files {
            output::write(path, args.force, |out| write(&sorted, out))?;
            tell(path);
        }
        if is_table {
            show(&sorted.report())?;
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

/// Pushes what is asked for of a capture through the pipelines; true when something of it is missing.
fn feed(
    pipelines: &mut [&mut Pipeline],
    clusters: &Clusters,
    path: &Path,
    window: &mut Window,
    overlaps: &mut Overlaps,
) -> anyhow::Result<bool> {
    if window.is_whole() {
        return feed_whole(pipelines, clusters, path, overlaps);
    }
    let mut is_lossy = false;
    let is_damaged = passage::read(input::open_capture(path)?, path, window, |part| {
        match part {
            Part::Begin(header) => {
                overlaps.begin(path, header);
                pipelines.iter_mut().for_each(|pipeline| pipeline.begin(header));
                clusters.begin(|cluster| set_cluster(pipelines, &cluster));
            }
            Part::Again(event) | Part::Event(event) => {
                overlaps.see(event.at);
                is_lossy |= !clusters.learn(event, path, |cluster| set_cluster(pipelines, &cluster));
                pipelines.iter_mut().for_each(|pipeline| pipeline.push(event));
            }
            Part::Missing(_) | Part::Nothing(_) => {}
        }
        Ok(())
    })?;
    Ok(is_damaged || is_lossy)
}

/// The same with all of a capture.
fn feed_whole(
    pipelines: &mut [&mut Pipeline],
    clusters: &Clusters,
    path: &Path,
    overlaps: &mut Overlaps,
) -> anyhow::Result<bool> {
    let mut is_lossy = false;
    let mut capture = input::open_capture(path)?;
    let mut push = |pipelines: &mut [&mut Pipeline], event: &Event| {
        is_lossy |= !clusters.learn(event, path, |cluster| set_cluster(pipelines, &cluster));
        pipelines.iter_mut().for_each(|pipeline| pipeline.push(event));
    };
    let measured = measured(pipelines);
    batches::read(&mut capture, path, measured, |piece| {
        match piece {
            Piece::Begin(header) => {
                overlaps.begin(path, header);
                pipelines.iter_mut().for_each(|pipeline| pipeline.begin(header));
                clusters.begin(|cluster| set_cluster(pipelines, &cluster));
            }
            Piece::Block(block) => {
                let batch = block.batch();
                batch.at.first().into_iter().chain(batch.at.last()).for_each(|at| overlaps.see(*at));
                if batch.others.iter().flatten().any(|body| matches!(body, Body::K8s(_))) {
                    batch.events().for_each(|event| push(pipelines, &event));
                } else {
                    pipelines.iter_mut().for_each(|pipeline| pipeline.push_block(block));
                }
            }
            Piece::Event(event) => {
                overlaps.see(event.at);
                push(pipelines, event);
            }
        }
        Ok(())
    })?;
    Ok(input::tell_damage(path, &capture) || is_lossy)
}

/// The measurements that any of the reports is made of: the others need not be decoded.
fn measured(pipelines: &[&mut Pipeline]) -> Selection {
    let has = |is_wanted: fn(Measures) -> bool| pipelines.iter().any(|pipeline| is_wanted(pipeline.measures()));
    let rtt = if has(Measures::has_rtt) { Selection::of(&[Field::Rtt]) } else { Selection::default() };
    if has(Measures::has_rtt_var) { rtt.with(Field::RttVar) } else { rtt }
}

fn set_cluster(pipelines: &mut [&mut Pipeline], cluster: &Arc<Cluster>) {
    pipelines.iter_mut().for_each(|pipeline| pipeline.set_cluster(Arc::clone(cluster)));
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
