//! Captures on their way into pipelines, once or several times.
//!
//! In: the captures that were asked for, pipelines. Out: everything pushed, and whether something is missing, which is said
//! once however often it is read. Never here: what pipelines are for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use netflow_core::event::{Body, Event, Header};
use netflow_core::k8s::Cluster;
use netflow_core::measure::Measures;
use netflow_core::pipeline::Pipeline;
use netflow_formats::capture::{Field, Selection};

use crate::args::ReportArgs;
use crate::batches::{self, Piece};
use crate::cluster::Clusters;
use crate::input;
use crate::overlap::Overlaps;
use crate::passage::{self, Part, Window};
use crate::progress;

/// Single events between two looks at the memory.
const SELDOM: u32 = 1 << 12;

/// The groups take more memory than they may.
#[derive(Debug)]
pub(super) struct Outgrown;

impl fmt::Display for Outgrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the groups of the report take more than --memory-limit")
    }
}

impl std::error::Error for Outgrown {}

/// What is read.
pub(super) struct Reading<'a> {
    args: &'a ReportArgs,
    clusters: Clusters,
    /// Of so many captures it was said what is missing.
    told: usize,
}

/// The captures while they are read once.
struct Passage<'a, 'p> {
    pipelines: &'a mut [&'p mut Pipeline],
    clusters: &'a Clusters,
    overlaps: Overlaps,
    limit: Option<u64>,
    /// Single events since the last look at the memory.
    events: u32,
    is_lossy: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(args: &'a ReportArgs) -> anyhow::Result<Self> {
        Ok(Self { args, clusters: Clusters::new(args.pipeline.k8s.as_deref())?, told: 0 })
    }

    /// Stdin is among it, which comes only once.
    pub(super) fn has_stdin(&self) -> bool {
        self.args.inputs.iter().any(|path| input::is_std(path))
    }

    /// Pushes all captures through the pipelines; true when something of them is missing. Fails with [`Outgrown`] when
    /// the groups of all pipelines take more bytes than the limit.
    pub(super) fn read(&mut self, pipelines: &mut [&mut Pipeline], limit: Option<u64>) -> anyhow::Result<bool> {
        progress::expect(&self.args.inputs);
        let mut window = Window::new(self.args.window);
        let measured = measured(pipelines);
        let (clusters, overlaps) = (&self.clusters, Overlaps::default());
        let mut passage = Passage { pipelines, clusters, overlaps, limit, events: 0, is_lossy: false };
        for (place, path) in self.args.inputs.iter().enumerate() {
            let mut capture = input::open_capture(path)?;
            if window.is_whole() {
                batches::read(&mut capture, path, measured, |piece| passage.take_piece(path, &piece))?;
            } else {
                passage::read_quietly(&mut capture, path, &mut window, |part| passage.take_part(path, &part))?;
            }
            passage.is_lossy |= if place < self.told {
                input::is_damaged(&capture)
            } else {
                self.told = place + 1;
                input::tell_damage(path, &capture)
            };
        }
        passage.overlaps.check()?;
        Ok(passage.is_lossy)
    }
}

impl Passage<'_, '_> {
    fn take_piece(&mut self, path: &Path, piece: &Piece<'_>) -> anyhow::Result<()> {
        match piece {
            Piece::Begin(header) => self.begin(path, header),
            Piece::Block(block) => {
                let batch = block.batch();
                batch.at.first().into_iter().chain(batch.at.last()).for_each(|at| self.overlaps.see(*at));
                if batch.others.iter().flatten().any(|body| matches!(body, Body::K8s(_))) {
                    batch.events().for_each(|event| self.push(path, &event));
                } else {
                    self.pipelines.iter_mut().for_each(|pipeline| pipeline.push_block(block));
                }
                self.look_at_memory()?;
            }
            Piece::Event(event) => self.take_event(path, event)?,
        }
        Ok(())
    }

    fn take_part(&mut self, path: &Path, part: &Part<'_>) -> anyhow::Result<()> {
        match part {
            Part::Begin(header) => self.begin(path, header),
            Part::Again(event) | Part::Event(event) => self.take_event(path, event)?,
            Part::Missing(_) | Part::Nothing(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self, path: &Path, header: &Header) {
        self.overlaps.begin(path, header);
        self.pipelines.iter_mut().for_each(|pipeline| pipeline.begin(header));
        self.clusters.begin(|cluster| set_cluster(self.pipelines, &cluster));
    }

    fn take_event(&mut self, path: &Path, event: &Event) -> anyhow::Result<()> {
        self.overlaps.see(event.at);
        self.push(path, event);
        self.events += 1;
        if self.events < SELDOM { Ok(()) } else { self.look_at_memory() }
    }

    fn push(&mut self, path: &Path, event: &Event) {
        self.is_lossy |= !self.clusters.learn(event, path, |cluster| set_cluster(self.pipelines, &cluster));
        self.pipelines.iter_mut().for_each(|pipeline| pipeline.push(event));
    }

    fn look_at_memory(&mut self) -> anyhow::Result<()> {
        self.events = 0;
        let Some(limit) = self.limit else { return Ok(()) };
        let taken: usize = self.pipelines.iter().map(|pipeline| pipeline.memory()).sum();
        if u64::try_from(taken).unwrap_or(u64::MAX) > limit { Err(Outgrown.into()) } else { Ok(()) }
    }
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
