//! The words at the end of a recording.
//!
//! In: totals of the files, the kernel's own counts, the events. Out: a few lines on stderr: what was recorded, what was
//! lost, who talked most, and what to do next.

use netflow_core::column::Tag;
use netflow_core::event::{Event, Header, Loss};
use netflow_core::filter::BuiltIn;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Order;
use netflow_formats::report::{TableOptions, table};

use super::files::Recorded;
use super::series::Series;
use crate::args::RecordArgs;
use crate::input;
use crate::output;
use crate::queue::Counted;
use crate::units;

/// Rows of the table of top talkers.
const TALKERS: usize = 5;

/// Who talked most, by process: so few groups that a recording of days fits in memory.
pub(super) struct Talkers {
    pipeline: Pipeline,
}

impl Talkers {
    pub(super) fn new(header: &Header) -> Self {
        let by = ["process_name", "transport", "direction"];
        let mut pipeline = Pipeline::new(ReportOptions {
            by: by.iter().filter_map(|name| Tag::parse(name).ok()).collect(),
            filter: BuiltIn { keep_loopback: true, ..BuiltIn::default() },
            order: Order::Traffic,
            ..ReportOptions::default()
        });
        pipeline.begin(header);
        Self { pipeline }
    }

    pub(super) fn push(&mut self, event: &Event) {
        self.pipeline.push(event);
    }

    /// Connections that are open now.
    pub(super) fn open(&self) -> u64 {
        self.pipeline.open_connections()
    }

    /// What was lost so far.
    pub(super) fn losses(&self) -> Loss {
        self.pipeline.losses()
    }
}

/// Says how the recording went.
pub(super) fn tell(args: &RecordArgs, recorded: &Recorded, counted: &Counted, talkers: Talkers, limit: Option<&str>) {
    let kernel = &counted.kernel;
    let all = kernel.total();
    if let Some(limit) = limit {
        eprintln!("stopped: {limit}");
    }
    let pattern = args.rotate.and_then(|_| Series::new(&args.out).ok()).map(|series| series.pattern());
    let name = pattern.as_ref().unwrap_or(&args.out).display();
    let files = if pattern.is_some() { format!(", {}", units::count(recorded.files, "file")) } else { String::new() };
    eprintln!(
        "{}{files}: {}; {} opened, {} older than the recording, {} closed, {} failed to connect, {} still open",
        if input::is_std(&args.out) { "stdout".to_owned() } else { name.to_string() },
        units::count(recorded.events, "event"),
        all.opened,
        all.preexisting,
        all.closed.saturating_sub(counted.dropped_closes),
        kernel.connect_failures.saturating_sub(counted.dropped_failures),
        all.live_at_end,
    );
    if let Some(filter) = &args.filter {
        eprintln!("recorded of these: connections with {filter}");
    }
    eprintln!("lost: {}", recorded.losses);
    if !kernel.tcp.holds() || !kernel.udp.holds() {
        eprintln!("warning: the kernel's counts do not add up: tcp {:?}, udp {:?}", kernel.tcp, kernel.udp);
    }
    let report = talkers.pipeline.finish();
    if !report.rows.is_empty() {
        let width = terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| width.0);
        match table(
            &report,
            TableOptions { top: Some(TALKERS), width, is_colored: output::is_colored(&std::io::stderr()) },
        ) {
            Ok(table) => eprint!("\n{table}\n"),
            Err(error) => eprintln!("no table of top talkers: {error}"),
        }
    }
    if !input::is_std(&args.out) {
        eprintln!("Next: netflow report {name}");
    }
}
