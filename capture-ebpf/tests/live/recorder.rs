//! A capture that is drained by a thread, as a recorder does it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netflow_capture::{Capture, Options, Summary};
use netflow_core::event::Event;

type Outcome = Result<(Vec<Event>, Summary), String>;

pub(crate) struct Recorder {
    stop: Arc<AtomicBool>,
    /// Where snapshots are asked for, and where it is said that they were taken.
    looks: (Sender<()>, Receiver<()>),
    thread: JoinHandle<Outcome>,
}

impl Recorder {
    pub(crate) fn start(options: &Options) -> Result<Self, String> {
        Self::every(options, Duration::from_millis(500))
    }

    /// One that takes snapshots when it is asked to, and at no other time.
    pub(crate) fn patient(options: &Options) -> Result<Self, String> {
        Self::every(options, Duration::MAX)
    }

    fn every(options: &Options, interval: Duration) -> Result<Self, String> {
        let capture = Capture::start(options).map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let (ask, asked) = channel();
        let (answer, answered) = channel();
        let thread = thread::spawn(move || record(capture, interval, &seen, &asked, &answer));
        Ok(Self { stop, looks: (ask, answered), thread })
    }

    /// Takes a snapshot. A recorder that has failed says so when it is stopped.
    pub(crate) fn look(&self) {
        if self.looks.0.send(()).is_ok() {
            let _ = self.looks.1.recv();
        }
    }

    /// Gives the kernel a moment to end what was closed last, then ends the recording.
    pub(crate) fn stop(self) -> Outcome {
        thread::sleep(Duration::from_millis(200));
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

fn record(
    mut capture: Capture,
    interval: Duration,
    stop: &AtomicBool,
    asked: &Receiver<()>,
    answer: &Sender<()>,
) -> Outcome {
    let mut events = Vec::new();
    let mut last = Instant::now();
    while !stop.load(Relaxed) {
        let look = asked.recv_timeout(Duration::from_millis(50)).is_ok();
        let result = if look || last.elapsed() >= interval {
            last = Instant::now();
            capture.snapshot(&mut events)
        } else {
            capture.poll(&mut events)
        };
        result.map_err(|error| error.to_string())?;
        if look {
            let _ = answer.send(());
        }
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
