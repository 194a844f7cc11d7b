//! `netflow live`: the pipeline on the running kernel, without a file.
//!
//! One thread drains the kernel's buffers on time whatever happens, the other runs the pipeline and writes. When the points
//! cannot be written as fast, what does not fit between the two is dropped and counted, as in a recording.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use netflow_core::pipeline::ReportOptions;
use netflow_core::ticks::Ticks;

use crate::args::{LiveArgs, PointFormat};
use crate::cluster::Clusters;
use crate::options;
use crate::outcome::Outcome;
use crate::points::Points;
use crate::queue::{self, DRAIN_EVERY, Received};
use crate::record::TOOL;
use crate::recorder;
use crate::stop;

pub(crate) fn run(args: &LiveArgs) -> anyhow::Result<Outcome> {
    let stop = stop::on_signals()?;
    let default = if io::stdout().is_terminal() { PointFormat::Table } else { PointFormat::Jsonl };
    let mut points = Points::open(&args.points, default, true, Arc::clone(&stop))?;
    let options = options::pipeline(&args.pipeline, points.default_tags())?;
    let mut ticks = Ticks::new(ReportOptions { order: points.order(), ..options });
    let interval_ms = u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX);
    let header = netflow_capture::host_header(TOOL, interval_ms, Vec::new(), String::new());
    let capture = recorder::start(&options::capture(args.ring_size, &args.beside, &header)?)?;
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    ticks.begin(&header);
    clusters.begin(|cluster| ticks.set_cluster(cluster));
    recorder::give_up(false, false);
    let (events, drain) = queue::start(capture, args.interval);
    eprintln!("points every {}; Ctrl-C ends it", humantime::format_duration(args.interval));

    let began = Instant::now();
    let mut ended = false;
    loop {
        match events.next(DRAIN_EVERY) {
            Received::Events(batch) => {
                for event in &batch {
                    if let Some(report) = ticks.push(event) {
                        points.push(report)?;
                    }
                }
            }
            Received::Nothing => {}
            Received::End => break,
        }
        let over = stop.load(Ordering::Relaxed) || args.duration.is_some_and(|all| began.elapsed() >= all);
        if over && !ended {
            ended = true;
            drain.stop();
        }
    }
    let counted = drain.join()?.kernel;
    let outcome = points.finish(ticks.finish())?;
    if counted.tcp.holds() && counted.udp.holds() {
        return Ok(outcome);
    }
    eprintln!("warning: the kernel's counts do not add up: tcp {:?}, udp {:?}", counted.tcp, counted.udp);
    Ok(Outcome::Lossy)
}
