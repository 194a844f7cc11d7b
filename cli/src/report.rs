//! `netflow report`: the pipeline over whole captures.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::{Order, Report};
use netflow_formats::report::{
    TableOptions, note, table, write_arrow, write_arrow_stream, write_csv, write_json, write_line, write_parquet,
};

use crate::args::ReportArgs;
use crate::cluster::Clusters;
use crate::dataset::Dataset;
use crate::input;
use crate::options::{self, TABLE_TAGS};
use crate::outcome::{Outcome, Usage};
use crate::output;
use crate::passage::{self, Part, Window};

/// Rows of a table when nothing else is asked for.
const TABLE_ROWS: usize = 20;

type WriteReport = fn(&Report, &mut dyn std::io::Write) -> anyhow::Result<()>;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let dataset = Dataset::new(args)?;
    let files = files(args)?;
    for (path, _) in &files {
        if !args.force && !input::is_std(path) {
            output::refuse_existing(path)?;
        }
    }
    let is_table = files.is_empty() && dataset.is_none();
    let default_tags: &[&str] = if is_table { &TABLE_TAGS } else { &[] };
    let options = options::pipeline(&args.pipeline, default_tags)?;
    let by = if args.pipeline.by.is_empty() { &[] } else { options.by.as_slice() };
    let order = args.sort.as_deref().map(|sort| Order::parse(sort, by)).transpose();
    let order = order.map_err(|error| Usage(error.to_string()))?;
    let options = ReportOptions {
        every_ns: args.every.map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)),
        order: order.unwrap_or_default(),
        ..options
    };
    if args.pipeline.k8s.as_deref().is_some_and(input::is_std) && args.inputs.iter().any(|path| input::is_std(path)) {
        return Err(Usage("only one of capture and cluster can come from stdin".to_owned()).into());
    }
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    let mut pipeline = Pipeline::new(options);
    let mut window = Window::new(args.window);
    let mut lossy = false;
    for path in &args.inputs {
        lossy |= feed(&mut pipeline, &clusters, path, &mut window)?;
    }
    let mut report = pipeline.finish();
    lossy |= report.diagnostics.is_lossy();
    if let (false, Some(top)) = (is_table, args.top) {
        report.rows.truncate(top);
    }
    if let Some(dataset) = dataset {
        dataset.write(&report, args.force)?;
    }
    for (path, write) in &files {
        output::write(path, args.force, |out| write(&report, out))?;
        if !input::is_std(path) {
            eprintln!("{}", path.display());
        }
    }
    if is_table {
        report.sort(order.unwrap_or(Order::Traffic));
        let width = terminal_size::terminal_size().map(|(width, _)| width.0);
        let sorted_by = order.and_then(|order| if let Order::By { field, .. } = order { Some(field) } else { None });
        let options = TableOptions { top: Some(args.top.unwrap_or(TABLE_ROWS)), width, sorted_by };
        std::io::stdout().lock().write_all(table(&report, options)?.as_bytes())?;
    } else if let Some(note) = note(&report) {
        eprintln!("{note}");
    }
    Ok(if lossy { Outcome::Lossy } else { Outcome::Done })
}

/// Pushes what is asked for of a capture through the pipeline; true when something of it is missing.
fn feed(pipeline: &mut Pipeline, clusters: &Clusters, path: &Path, window: &mut Window) -> anyhow::Result<bool> {
    let mut is_lossy = false;
    let is_damaged = passage::read(input::open_capture(path)?, path, window, |part| {
        match part {
            Part::Begin(header) => {
                pipeline.begin(header);
                clusters.begin(|cluster| pipeline.set_cluster(cluster));
            }
            Part::Again(event) | Part::Event(event) => {
                is_lossy |= !clusters.learn(event, path, |cluster| pipeline.set_cluster(cluster));
                pipeline.push(event);
            }
            Part::Missing(_) | Part::Nothing(_) => {}
        }
        Ok(())
    })?;
    Ok(is_damaged || is_lossy)
}

/// The files that were asked for, with what writes each.
fn files(args: &ReportArgs) -> anyhow::Result<Vec<(PathBuf, WriteReport)>> {
    type Wanted<'a> = (&'a Option<Option<PathBuf>>, &'a str, &'a str, WriteReport);
    // A pipe cannot be read from its end, where an Arrow file says what is in it.
    let arrow: WriteReport = if args.arrow.as_ref().is_some_and(|path| path.as_deref().is_some_and(input::is_std)) {
        |report, out| Ok(write_arrow_stream(report, out)?)
    } else {
        |report, out| Ok(write_arrow(report, out)?)
    };
    let parquet = if args.partition_by.is_empty() { &args.parquet } else { &None };
    let wanted: [Wanted<'_>; 5] = [
        (&args.csv, "csv", "csv", |report, out| Ok(write_csv(report, out)?)),
        (parquet, "parquet", "parquet", |report, out| Ok(write_parquet(report, out)?)),
        (&args.json, "json", "jsonl", |report, out| Ok(write_json(report, out)?)),
        (&args.arrow, "arrow", "arrow", arrow),
        (&args.line, "line", "lp", |report, out| Ok(write_line(report, out)?)),
    ];
    let mut files = Vec::new();
    for (path, flag, extension, write) in wanted {
        let Some(path) = path else { continue };
        files.push((destination(args, path.as_deref(), flag, extension)?, write));
    }
    if files.iter().filter(|(path, _)| input::is_std(path)).count() > 1 {
        return Err(Usage("only one format can go to stdout".to_owned()).into());
    }
    Ok(files)
}

/// Where to write: to the path, or beside the capture.
pub(crate) fn destination(
    args: &ReportArgs,
    path: Option<&Path>,
    flag: &str,
    extension: &str,
) -> Result<PathBuf, Usage> {
    let nameless =
        || Usage(format!("a capture from stdin has no name: say where to write, --{flag}=PATH or --{flag}=-"));
    path.map_or_else(|| input::beside(&args.inputs, extension).ok_or_else(nameless), |path| Ok(path.to_path_buf()))
}
