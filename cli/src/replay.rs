//! `netflow replay`: the pipeline tick by tick over captures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use netflow_core::pipeline::ReportOptions;
use netflow_core::ticks::Ticks;

use crate::args::{PointFormat, ReplayArgs};
use crate::cluster::Clusters;
use crate::input;
use crate::options;
use crate::outcome::Outcome;
use crate::pace::{Pace, Speed};
use crate::passage::{self, Part, Window};
use crate::points::Points;

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    // Nothing has to be put in order when a replay is interrupted, so the signals end it as they end any program.
    let mut points = Points::open(&args.points, PointFormat::Jsonl, args.speed != Speed::Max, Arc::default())?;
    let options = options::pipeline(&args.pipeline, points.default_tags())?;
    let mut ticks = Ticks::new(ReportOptions { order: points.order(), ..options });
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    let mut pace = Pace::new(args.speed, Instant::now());
    let mut window = Window::new(args.window);
    let mut damaged = false;
    for path in &args.inputs {
        damaged |= feed(path, &mut window, &clusters, &mut ticks, &mut pace, &mut points)?;
    }
    let outcome = points.finish(ticks.finish())?;
    Ok(if damaged { Outcome::Lossy } else { outcome })
}

/// Replays what is asked for of a capture up to its last tick; true when something of it is missing.
fn feed(
    path: &Path,
    window: &mut Window,
    clusters: &Clusters,
    ticks: &mut Ticks,
    pace: &mut Pace,
    points: &mut Points,
) -> anyhow::Result<bool> {
    let mut is_lossy = false;
    let is_damaged = passage::read(input::open_capture(path)?, path, window, |part| {
        match part {
            Part::Begin(header) => {
                pace.wait();
                if let Some(last) = ticks.begin(header) {
                    points.push(last)?;
                }
                clusters.begin(|cluster| ticks.set_cluster(cluster));
                pace.begin();
            }
            Part::Again(event) | Part::Event(event) => {
                pace.see(event.at);
                is_lossy |= !clusters.learn(event, path, |cluster| ticks.set_cluster(cluster));
                if let Some(report) = ticks.push(event) {
                    pace.wait();
                    points.push(report)?;
                }
            }
            Part::Missing(_) | Part::Nothing(_) => {}
        }
        Ok(())
    })?;
    pace.wait();
    Ok(is_damaged || is_lossy)
}
