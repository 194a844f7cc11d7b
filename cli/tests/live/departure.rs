//! Nothing of a recording stays in the kernel: neither after its end nor after its violent death.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::recording::Recording;

/// What the kernel keeps for a process: its programs, its links and its maps, by their ids.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    programs: BTreeSet<u32>,
    links: BTreeSet<u32>,
    maps: BTreeSet<u32>,
}

impl Held {
    /// According to the descriptors of a process.
    fn by(pid: u32) -> Self {
        let mut held = Self::default();
        for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            // Descriptors come and go.
            let Ok(text) = fs::read_to_string(descriptor.unwrap().path()) else { continue };
            let id = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
            // A link names its program as well.
            held.programs.extend(id("prog_id:"));
            held.links.extend(id("link_id:"));
            held.maps.extend(id("map_id:"));
        }
        held
    }

    /// Those that the kernel still has, by its own lists. Somebody else's may come and go while they are read.
    fn left(&self) -> Self {
        let programs = aya::programs::loaded_programs().filter_map(|program| Some(program.ok()?.id())).collect();
        let links = aya::programs::loaded_links().filter_map(|link| Some(link.ok()?.id())).collect();
        let maps = aya::maps::loaded_maps().filter_map(|map| Some(map.ok()?.id())).collect();
        Self { programs: &self.programs & &programs, links: &self.links & &links, maps: &self.maps & &maps }
    }

    #[track_caller]
    fn assert_all_in_the_kernel(&self) {
        assert_eq!(*self, self.left());
        // Eight hooks and four iterators, each with a link.
        assert!(self.programs.len() >= 12 && self.links.len() >= 12 && self.maps.len() >= 5, "{self:?}");
    }

    /// The kernel takes them away after the last descriptor is closed, not at once.
    #[track_caller]
    fn assert_gone(&self, after: &str) {
        let began = Instant::now();
        loop {
            let left = self.left();
            if left == Self::default() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "after {after}: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub(crate) fn nothing_stays_in_the_kernel() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["-i", "200ms"]);
        let held = Held::by(recording.pid());
        held.assert_all_in_the_kernel();
        recording.signal(signal);
        recording.wait();
        held.assert_gone(&format!("{signal:?}"));
    }
    // An end of its own accord.
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::start(folder.path(), &["-d", "3s"]);
    let held = Held::by(recording.pid());
    held.assert_all_in_the_kernel();
    assert_eq!(recording.wait().status.code(), Some(0));
    held.assert_gone("its end");
}

/// The command that was recorded lives on when its recorder is killed, and has inherited nothing that keeps hooks alive.
pub(crate) fn a_command_that_is_left_behind_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let command = "echo $$ > pid; exec sleep 300 2>/dev/null";
    let recording = Recording::start_with(folder.path(), &[], &["sh", "-c", command]);
    let began = Instant::now();
    let pid = loop {
        let text = fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
        if let Ok(pid) = text.trim().parse::<i32>() {
            break Pid::from_raw(pid).unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the command does not begin");
        std::thread::sleep(Duration::from_millis(10));
    };
    let held = Held::by(recording.pid());
    held.assert_all_in_the_kernel();
    recording.signal(Signal::KILL);
    recording.wait();
    held.assert_gone("SIGKILL");
    assert!(kill_process(pid, Signal::KILL).is_ok(), "the command is alive until now");
}
