//! A capture that is drained by a thread, as a recorder does it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netflow_capture::{Capture, Options, Summary};
use netflow_core::event::Event;

type Outcome = Result<(Vec<Event>, Summary), String>;

pub(crate) struct Recorder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

impl Recorder {
    pub(crate) fn start(options: &Options) -> Result<Self, String> {
        let capture = Capture::start(options).map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Ok(Self { stop, thread: thread::spawn(move || record(capture, &seen)) })
    }

    /// Gives the kernel a moment to end what was closed last, then ends the recording.
    pub(crate) fn stop(self) -> Outcome {
        thread::sleep(Duration::from_millis(200));
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

fn record(mut capture: Capture, stop: &AtomicBool) -> Outcome {
    let mut events = Vec::new();
    let mut last = Instant::now();
    while !stop.load(Relaxed) {
        let result = if last.elapsed() >= Duration::from_millis(500) {
            last = Instant::now();
            capture.snapshot(&mut events)
        } else {
            capture.poll(&mut events)
        };
        result.map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(50));
    }
    let summary = capture.stop(&mut events).map_err(|error| error.to_string())?;
    Ok((events, summary))
}

/// The ids of the programs and of the linked programs that this process holds.
pub(crate) fn held_programs() -> BTreeSet<u32> {
    let Ok(descriptors) = fs::read_dir("/proc/self/fdinfo") else { return BTreeSet::new() };
    descriptors
        .filter_map(|descriptor| fs::read_to_string(descriptor.ok()?.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect()
}

/// Those of the programs that the kernel still has; they go with their last descriptor, yet not at once.
pub(crate) fn surviving(programs: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut left = BTreeSet::new();
    for _ in 0..30 {
        let loaded: BTreeSet<u32> =
            aya::programs::loaded_programs().filter_map(|program| program.ok().map(|program| program.id())).collect();
        left = programs & &loaded;
        if left.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    left
}
