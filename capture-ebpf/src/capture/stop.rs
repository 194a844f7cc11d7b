//! The end of a recording: everything is accounted for, then everything is detached.

use aya::Ebpf;
use aya::programs::Program;
use netflow_capture_abi::{CONTROL_STOPPED, count};
use netflow_core::event::{Body, Event, Loss, Tick};
use netflow_core::law::Tally;
use rustc_hash::FxHashSet;

use super::Capture;
use super::walk::{Closed, Seen};
use crate::counts::Summary;
use crate::error::CaptureError;
use crate::{host, object, sys};

/// How often the end of a recording walks over the TCP sockets, which come and go while it does.
const LAST_WALKS: u32 = 100;

impl Capture {
    /// Ends the recording: a last snapshot, then everything is detached and drained.
    ///
    /// # Errors
    ///
    /// A map cannot be read or written.
    pub fn stop(mut self, events: &mut Vec<Event>) -> Result<Summary, CaptureError> {
        self.find_owners()?;
        self.control
            .set(CONTROL_STOPPED, 1, 0)
            .map_err(|error| CaptureError::Map { map: "CONTROL", reason: object::chain(&error) })?;
        // Programs that run now may still believe that the recording goes on.
        sys::wait_for_programs();
        let stopped_at = host::now();
        if let Some(news) = &mut self.news {
            news.finish();
        }
        events.append(&mut self.pending);
        let first = events.len();
        let mut seen = Seen { conns: FxHashSet::default(), complete: true };
        self.look_at_all(&mut seen, stopped_at, events)?;
        let learned = events.len();
        // A walk over sockets that come and go may miss some: walk until everything is accounted for.
        for _ in 0..LAST_WALKS {
            if self.read_counts()?.tcp().holds() {
                break;
            }
            self.straggle(&mut seen, events);
        }
        // Programs unloaded: their links go with them.
        detach(&mut self.ebpf);
        let mut empty = 0;
        while empty < 2 {
            let before = events.len();
            self.drain(events, &mut Closed::default())?;
            if events.len() == before { empty += 1 } else { empty = 0 }
        }
        // Each sample is of what was open when the recording was stopped, and the walks came later.
        for event in &mut events[first..] {
            if matches!(event.body, Body::Sample(_)) {
                event.at = event.at.max(stopped_at);
            }
        }
        self.presence.learn(&events[learned..], stopped_at);
        self.look_at_clock(events);
        self.snapshots_cut += u64::from(!seen.complete);
        let is_missing_some = self.presence.is_missing_some(stopped_at);
        let without_open = self.presence.without_open() - self.without_open;
        if is_missing_some {
            self.reported.lost_opens += without_open;
        }
        let summary = self.summary(first, events)?;
        if is_missing_some {
            // Opened since the last snapshot and gone without a close: only a snapshot that begins after its open tells.
            let tick = Body::Tick(Tick { complete: false });
            // A section may end behind it, and all closes are older.
            let loss = (without_open > 0).then(|| Body::Loss(Loss { lost_opens: without_open, ..Loss::default() }));
            let added = loss.into_iter().chain([tick]).map(|body| Event { at: stopped_at, body });
            events.splice(first..first, added);
        }
        self.order.settle(&mut events[first..]);
        // What no walk has found by now is gone.
        self.tick(seen.complete, events);
        Ok(summary)
    }

    /// What became of everything; what was lost is told as well. The events from `first` on came since the last snapshot.
    fn summary(&mut self, first: usize, events: &mut Vec<Event>) -> Result<Summary, CaptureError> {
        let nat_dropped = self.name_last(first, events);
        let counts = self.read_counts()?;
        let vanished = counts.vanished();
        let mut loss = counts.loss(Loss { lost_closes: vanished, ..self.own_loss(nat_dropped) });
        // Of some that vanished the open found no room before.
        let untold = counts.missing_opens(self.presence.opened_tcp() + self.presence.without_open());
        loss.lost_opens += untold;
        loss.ring_full += untold;
        self.report(loss, events);
        let mut tcp = counts.tcp();
        tcp.lost_closes += vanished;
        Ok(Summary {
            tcp,
            udp: Tally {
                opened: counts.get(count::UDP_OPENED),
                preexisting: 0,
                closed: self.flows.closed(),
                lost_closes: counts.udp_lost_closes(),
                live_at_end: self.flows.live(),
            },
            connect_failures: counts.get(count::TCP_FAILURES),
            lost_failures: counts.get(count::TCP_LOST_FAILURES),
            unseen_failures: counts.get(count::TCP_UNSEEN_FAILURES),
            vanished,
            loss,
        })
    }
}

/// Takes every hook away. A failure here would show again when the programs are dropped, which cannot fail.
fn detach(ebpf: &mut Ebpf) {
    for (_, program) in ebpf.programs_mut() {
        let _ = match program {
            Program::BtfTracePoint(program) => program.unload(),
            Program::CgroupSock(program) => program.unload(),
            Program::CgroupSkb(program) => program.unload(),
            Program::Iter(program) => program.unload(),
            _ => Ok(()),
        };
    }
}
