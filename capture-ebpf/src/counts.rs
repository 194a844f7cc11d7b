//! What the programs count, the losses, and the law that they obey.
//!
//! In: one number per processor and kind. Out: sums, losses since the last report, the summary. Never here: counting;
//! that is the programs' part, so that what never reached us is counted too.

use netflow_capture_abi::count;
use netflow_core::event::Loss;
use netflow_core::law::Tally;

/// All counts of the programs, summed over the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts(pub(crate) [u64; count::LEN]);

impl Counts {
    pub(crate) fn get(&self, which: u32) -> u64 {
        self.0.get(which as usize).copied().unwrap_or_default()
    }

    /// What was lost so far, with `own`, which user space counts.
    pub(crate) fn loss(&self, own: Loss) -> Loss {
        let mut loss = Loss {
            ring_full: self.get(count::RING_FULL),
            map_full: self.get(count::MAP_FULL),
            storage_failed: self.get(count::STORAGE_FAILED),
            dns_dropped: self.get(count::DNS_DROPPED),
            lost_opens: self.get(count::TCP_UNSEEN) + self.get(count::UDP_UNSEEN),
            lost_closes: self.tcp().lost_closes + self.udp_lost_closes(),
            ..Loss::default()
        };
        loss += own;
        loss
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

    /// How many more TCP connections are `gone`, of those that were told as open, than ends of such were counted as lost:
    /// those that vanished so far. Only with a complete snapshot, whose walks came after the counts.
    pub(crate) fn uncounted_of(&self, gone: u64) -> u64 {
        gone.saturating_sub(self.get(count::TCP_LOST_CLOSES))
    }

    /// TCP connections that are neither among those told, by an open or by a close, nor counted as unseen. Only after the
    /// last walk.
    pub(crate) fn missing_opens(&self, told: u64) -> u64 {
        (self.get(count::TCP_OPENED) + self.get(count::TCP_PREEXISTING))
            .saturating_sub(self.get(count::TCP_UNSEEN) + told)
    }

    /// UDP flows that ended without a close.
    pub(crate) fn udp_lost_closes(&self) -> u64 {
        self.get(count::UDP_LOST_CLOSES) + self.get(count::UDP_UNSEEN)
    }

    pub(crate) fn tcp(&self) -> Tally {
        Tally {
            opened: self.get(count::TCP_OPENED),
            preexisting: self.get(count::TCP_PREEXISTING),
            closed: self.get(count::TCP_CLOSED),
            lost_closes: self.get(count::TCP_LOST_CLOSES) + self.get(count::TCP_UNSEEN),
            live_at_end: self.get(count::TCP_LIVE),
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
