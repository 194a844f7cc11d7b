//! `netflow replay`: the pipeline tick by tick over captures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use netflow_core::ticks::Ticks;

use crate::args::{PointFormat, ReplayArgs};
use crate::cluster::Clusters;
use crate::input;
use crate::options;
use crate::outcome::Outcome;
use crate::pace::{Pace, Speed};
use crate::points::Points;

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    // Nothing has to be put in order when a replay is interrupted, so the signals end it as they end any program.
    let mut points = Points::open(&args.points, PointFormat::Jsonl, args.speed != Speed::Max, Arc::default())?;
    let mut ticks = Ticks::new(options::pipeline(&args.pipeline, points.default_tags())?);
    let clusters = Clusters::new(args.pipeline.k8s.as_deref())?;
    let mut pace = Pace::new(args.speed, Instant::now());
    let mut damaged = false;
    for path in &args.inputs {
        damaged |= feed(path, &clusters, &mut ticks, &mut pace, &mut points)?;
    }
    let outcome = points.finish(ticks.finish())?;
    Ok(if damaged { Outcome::Lossy } else { outcome })
}

/// Replays a whole capture up to its last tick; true when something of it is missing.
fn feed(
    path: &Path,
    clusters: &Clusters,
    ticks: &mut Ticks,
    pace: &mut Pace,
    points: &mut Points,
) -> anyhow::Result<bool> {
    let cannot = || format!("cannot read {}", input::name(path));
    let mut capture = input::open_capture(path)?;
    let mut lossy = false;
    loop {
        if let Some(last) = ticks.begin(capture.header()) {
            points.push(last)?;
        }
        clusters.begin(|cluster| ticks.set_cluster(cluster));
        pace.begin();
        for event in capture.by_ref() {
            let event = event.with_context(cannot)?;
            pace.see(event.at);
            lossy |= !clusters.learn(&event, path, |cluster| ticks.set_cluster(cluster));
            if let Some(report) = ticks.push(&event) {
                pace.wait();
                points.push(report)?;
            }
        }
        pace.wait();
        if !capture.next_section().with_context(cannot)? {
            return Ok(input::tell_damage(path, &capture) || lossy);
        }
    }
}
