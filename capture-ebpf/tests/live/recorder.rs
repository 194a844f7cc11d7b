//! A capture that is drained by a thread, as a recorder does it.

use std::process::Command;
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
    pub(crate) fn start(options: Options) -> Result<Self, String> {
        let capture = Capture::start(&options).map_err(|error| error.to_string())?;
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

/// Our programs that the kernel still has; links die with their descriptors, yet not at once.
pub(crate) fn attached_programs() -> Vec<String> {
    let mut left = Vec::new();
    for _ in 0..20 {
        let Ok(output) = Command::new("bpftool").args(["prog", "show"]).output() else { return Vec::new() };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = |line: &&str| {
            line.contains("inet_sock_set_s") || line.contains("datagram_") || line.contains("sock_release")
        };
        left = text.lines().filter(ours).map(str::to_owned).collect();
        if left.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    left
}
