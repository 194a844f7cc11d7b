//! The page of `netflow report --html`.
//!
//! In: what was asked for. Out: pipelines that are to be fed, then a file. Never here: what is on the page.

use std::fs::File;
use std::path::{Path, PathBuf};

use netflow_core::pipeline::Pipeline;
use netflow_core::report::Window;
use netflow_formats::capture::read_index;
use netflow_formats::report::{HtmlOptions, HtmlReport, note};

use crate::args::ReportArgs;
use crate::input;
use crate::options::TABLE_TAGS;
use crate::outcome::Usage;
use crate::output;

/// A page while the events for it are read.
pub(super) struct Page {
    path: PathBuf,
    report: HtmlReport,
    options: HtmlOptions,
    pipelines: [Pipeline; 3],
}

/// What there is to say of a page that was written.
pub(super) struct Written {
    pub(super) is_lossy: bool,
    pub(super) note: Option<String>,
}

impl Page {
    /// The page, if one was asked for.
    pub(super) fn new(args: &ReportArgs) -> Result<Option<Self>, Usage> {
        let Some(path) = super::file(args, &args.html, "html", "html")? else { return Ok(None) };
        let (options, order) = super::options(args, &TABLE_TAGS)?;
        let report = HtmlReport::new(options, span(args)).map_err(|error| Usage(error.to_string()))?;
        let pipelines = report.reports().clone().map(Pipeline::new);
        let options = HtmlOptions { order, top: args.top, asked: asked(args), is_damaged: false };
        Ok(Some(Self { path, report, options, pipelines }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn pipelines(&mut self) -> &mut [Pipeline] {
        &mut self.pipelines
    }

    pub(super) fn write(self, force: bool, is_damaged: bool) -> anyhow::Result<Written> {
        let options = HtmlOptions { is_damaged, ..self.options };
        let reports = self.pipelines.map(Pipeline::finish);
        let written = Written { is_lossy: reports[0].diagnostics.is_lossy(), note: note(&reports[0]) };
        output::write(&self.path, force, |out| Ok(self.report.write(reports, &options, out)?))?;
        super::tell(&self.path);
        Ok(written)
    }
}

/// The time that is reported on, as far as the captures' indexes tell.
fn span(args: &ReportArgs) -> Option<Window> {
    let mut whole: Option<(i64, i64)> = None;
    for path in args.inputs.iter() {
        if input::is_std(path) {
            return None;
        }
        for section in read_index(File::open(path).ok()?).ok()?? {
            let utc = |at: u64| section.header.boot_time_ns.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
            if let (Some(first), Some(last)) = (section.index.totals.first_at, section.index.totals.last_at) {
                let (start, end) = whole.unwrap_or((i64::MAX, i64::MIN));
                whole = Some((start.min(utc(first)), end.max(utc(last))));
            }
        }
    }
    let (start, end) = whole?;
    let asked = args.window.span(start).ok()?;
    let start = asked.since.map_or(start, |since| since.max(start));
    let end = asked.until.map_or(end, |until| until.min(end));
    Some(Window { start_us: start.div_euclid(1_000), end_us: end.max(start).div_euclid(1_000) })
}

/// What was asked for, as it was said.
fn asked(args: &ReportArgs) -> Vec<(String, String)> {
    let pipeline = &args.pipeline;
    let values = [
        ("--filter", pipeline.filter.clone()),
        ("--having", pipeline.having.clone()),
        ("--since", args.window.since.map(|since| since.to_string())),
        ("--until", args.window.until.map(|until| until.to_string())),
        ("--by", (!pipeline.by.is_empty()).then(|| pipeline.by.join(","))),
        ("--distinct", (!pipeline.distinct.is_empty()).then(|| pipeline.distinct.join(","))),
        ("--columns", (!pipeline.columns.is_empty()).then(|| pipeline.columns.join(","))),
        ("--every", args.every.map(|every| humantime::format_duration(every).to_string())),
        ("--sort", args.sort.clone()),
        ("--top", args.top.map(|top| top.to_string())),
        ("--ephemeral-port-min", pipeline.ephemeral_port_min.map(|port| port.to_string())),
        ("--k8s", pipeline.k8s.as_ref().map(|path| path.display().to_string())),
    ];
    let switches = [
        ("--across-windows", args.across_windows),
        ("--no-fold", pipeline.no_fold),
        ("--keep-loopback", pipeline.keep_loopback),
        ("--keep-idle", pipeline.keep_idle),
        ("--keep-unspecified", pipeline.keep_unspecified),
        ("--drop-same-ip", pipeline.drop_same_ip),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let switches = switches.into_iter().filter(|(_, is_on)| *is_on);
    values.chain(switches.map(|(name, _)| (name.to_owned(), String::new()))).collect()
}
