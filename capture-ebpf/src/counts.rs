//! What the programs count, the losses, and the law that they obey.
//!
//! In: one number per processor and kind. Out: sums, losses since the last report, the summary. Never here: counting;
//! that is the programs' part, so that what never reached us is counted too.

use netflow_capture_abi::count;
use netflow_core::event::Loss;

/// All counts of the programs, summed over the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts(pub(crate) [u64; count::LEN]);

impl Counts {
    pub(crate) fn get(&self, which: u32) -> u64 {
        self.0.get(which as usize).copied().unwrap_or_default()
    }

    /// What was lost so far.
    pub(crate) fn loss(&self, snapshot_cut: u64) -> Loss {
        Loss {
            ring_full: self.get(count::RING_FULL),
            map_full: self.get(count::MAP_FULL),
            storage_failed: self.get(count::STORAGE_FAILED),
            queue_full: 0,
            snapshot_cut,
            dns_dropped: 0,
            nat_dropped: 0,
            lost_opens: self.get(count::TCP_LOST_OPENS),
            lost_closes: self.get(count::TCP_LOST_CLOSES) + self.get(count::UDP_LOST_CLOSES),
        }
    }

    /// TCP connections that are neither told as closed, nor counted as lost, nor found alive. Only after the last walk.
    ///
    /// The tracepoints fire for these, as ftrace shows, but the kernel does not start the programs: measured on 6.18 in a
    /// virtual machine, where neither of the two ran for what a softirq did on top of a thread of process 1, and at least
    /// one did on top of every other task. It happens at any time of a recording, to as many sockets as one softirq
    /// ends, and is no recursion: the programs' `recursion_misses` stay. Why, is not known. Nothing that programs
    /// keep can tell of a run that never was, so these connections are the remainder of what is counted, and a loss like
    /// any other. Hence, too few ends of any other cause would pass for these.
    pub(crate) fn vanished(&self) -> u64 {
        self.tcp().missing()
    }

    pub(crate) fn tcp(&self) -> Tally {
        Tally {
            opened: self.get(count::TCP_OPENED),
            preexisting: self.get(count::TCP_PREEXISTING),
            closed: self.get(count::TCP_CLOSED),
            lost_closes: self.get(count::TCP_LOST_CLOSES),
            live_at_end: self.get(count::TCP_LIVE),
        }
    }
}

/// What was lost since the earlier count.
pub(crate) fn since(now: Loss, before: Loss) -> Loss {
    Loss {
        ring_full: now.ring_full.saturating_sub(before.ring_full),
        map_full: now.map_full.saturating_sub(before.map_full),
        storage_failed: now.storage_failed.saturating_sub(before.storage_failed),
        queue_full: now.queue_full.saturating_sub(before.queue_full),
        snapshot_cut: now.snapshot_cut.saturating_sub(before.snapshot_cut),
        dns_dropped: now.dns_dropped.saturating_sub(before.dns_dropped),
        nat_dropped: now.nat_dropped.saturating_sub(before.nat_dropped),
        lost_opens: now.lost_opens.saturating_sub(before.lost_opens),
        lost_closes: now.lost_closes.saturating_sub(before.lost_closes),
    }
}

/// What became of the connections of one transport. The parts are counted apart from each other, by the programs in
/// the kernel; only what vanished is a remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Came to be during the recording.
    pub opened: u64,
    /// Were open when it began.
    pub preexisting: u64,
    /// Ended, and the stream has their close.
    pub closed: u64,
    /// Ended, and the stream has no close of them: the programs found no room to tell it, or the kernel did not start
    /// them ([`Summary::vanished`]).
    pub lost_closes: u64,
    /// Were open when the recording was stopped.
    pub live_at_end: u64,
}

impl Tally {
    /// Whatever was opened has ended, visibly or not, or is still open.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.opened + self.preexisting == self.closed + self.lost_closes + self.live_at_end
    }

    /// How many were opened of which nobody knows how they ended.
    fn missing(&self) -> u64 {
        (self.opened + self.preexisting).saturating_sub(self.closed + self.lost_closes + self.live_at_end)
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            preexisting: self.preexisting + other.preexisting,
            closed: self.closed + other.closed,
            lost_closes: self.lost_closes + other.lost_closes,
            live_at_end: self.live_at_end + other.live_at_end,
        }
    }
}

/// What became of everything, from the kernel's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// TCP connections that were established.
    pub tcp: Tally,
    /// UDP flows. None of them is preexisting: their counters begin at zero in the recording.
    pub udp: Tally,
    /// TCP connects that failed; each has a close without an open in the stream.
    pub connect_failures: u64,
    /// TCP connects that failed without reaching the stream, for lack of room in the ring.
    pub lost_failures: u64,
    /// TCP connects, of those that failed, whose failure no program saw: their sockets told later, without the reason and
    /// the counters.
    pub unseen_failures: u64,
    /// TCP connections that ended where the kernel did not start the programs; part of `lost_closes`.
    pub vanished: u64,
    /// All losses of the recording.
    pub loss: Loss,
}

impl Summary {
    /// TCP and UDP together.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.tcp + self.udp
    }
}
