//! The way from the thread that drains the kernel to the one that takes the events.
//!
//! In: a running capture. Out: batches of events in order. When more than [`MOST_EVENTS`] wait, batches are dropped and
//! counted as `queue_full`. Who a connection belongs to is kept when that is dropped, and goes with the connection's next
//! event, so that the stream stays whole in itself and the totals arrive. Processes, listening sockets and the wall clock
//! are told once and never again, so those wait instead.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use netflow_capture::{Capture, Summary};
use netflow_core::event::{Body, Event, Identity, Loss, Tick};
use netflow_core::law::is_connect_failure;

/// How often the kernel's buffer is drained.
pub(crate) const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// Events that may wait to be taken: some 60 MB.
const MOST_EVENTS: usize = 1 << 18;

/// Events that are told once which may wait while the queue is full.
const MOST_KEPT: usize = 1 << 14;

/// What the taker gets.
pub(crate) enum Received {
    Events(Vec<Event>),
    Nothing,
    End,
}

/// The taker's end.
pub(crate) struct Events {
    batches: Receiver<Vec<Event>>,
    waiting: Arc<AtomicUsize>,
}

impl Events {
    /// The next batch, if one comes in time.
    pub(crate) fn next(&self, wait: Duration) -> Received {
        match self.batches.recv_timeout(wait) {
            Ok(batch) => {
                self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
                Received::Events(batch)
            }
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::End,
        }
    }
}

/// The thread that drains the kernel.
pub(crate) struct Drain {
    stop: Arc<AtomicBool>,
    snapshot: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Counted>>,
}

/// What was counted on the way from the kernel.
pub(crate) struct Counted {
    /// The kernel's own counts.
    pub(crate) kernel: Summary,
    /// Closes that reached the queue and were dropped there: the kernel counts these connections as closed.
    pub(crate) dropped_closes: u64,
    /// The same of failed connects.
    pub(crate) dropped_failures: u64,
}

impl Drain {
    /// Asks it to take the last snapshot and end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Asks it to take a snapshot now, beside those that it takes anyway.
    pub(crate) fn snapshot(&self) {
        self.snapshot.store(true, Ordering::Relaxed);
    }

    /// Waits for its end.
    pub(crate) fn join(self) -> anyhow::Result<Counted> {
        self.thread.join().map_err(|_| anyhow!("the thread that drains the kernel's buffer died"))?
    }
}

/// Starts draining: the kernel's buffer every [`DRAIN_EVERY`], a snapshot every `interval`.
pub(crate) fn start(mut capture: Capture, interval: Duration) -> (Events, Drain) {
    let (sender, batches) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut gate = Gate::new(sender, Arc::clone(&waiting));
    let snapshot = Arc::new(AtomicBool::new(false));
    let (stopped, asked) = (Arc::clone(&stop), Arc::clone(&snapshot));
    let thread = std::thread::spawn(move || {
        let mut due = Instant::now() + interval;
        while !stopped.load(Ordering::Relaxed) {
            let mut batch = Vec::new();
            if Instant::now() >= due {
                capture.snapshot(&mut batch).context("the recording broke off at a snapshot")?;
                // A snapshot that took longer than the interval does not make the next ones pile up.
                due = (due + interval).max(Instant::now());
            } else if asked.swap(false, Ordering::Relaxed) {
                capture.snapshot(&mut batch).context("the recording broke off at a snapshot")?;
            } else {
                capture.poll(&mut batch).context("the recording broke off")?;
            }
            gate.send(batch);
            std::thread::sleep(DRAIN_EVERY.min(due.saturating_duration_since(Instant::now())));
        }
        let mut batch = Vec::new();
        let kernel = capture.stop(&mut batch).context("the recording could not take its last snapshot")?;
        gate.send_last(batch);
        Ok(Counted { kernel, dropped_closes: gate.dropped_closes, dropped_failures: gate.dropped_failures })
    });
    (Events { batches, waiting }, Drain { stop, snapshot, thread })
}

/// Lets batches through while there is room.
struct Gate {
    sender: Sender<Vec<Event>>,
    waiting: Arc<AtomicUsize>,
    /// Dropped and not yet told.
    loss: Loss,
    /// Identities that were dropped, by connection: as many as connections are open.
    untold: HashMap<u64, Arc<Identity>>,
    /// What must not be dropped, for the next batch.
    kept: Vec<Event>,
    dropped_closes: u64,
    dropped_failures: u64,
}

impl Gate {
    fn new(sender: Sender<Vec<Event>>, waiting: Arc<AtomicUsize>) -> Self {
        let (loss, untold, kept) = (Loss::default(), HashMap::new(), Vec::new());
        Self { sender, waiting, loss, untold, kept, dropped_closes: 0, dropped_failures: 0 }
    }

    fn send(&mut self, batch: Vec<Event>) {
        if batch.is_empty() {
            return;
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting + batch.len() > MOST_EVENTS {
            batch.into_iter().for_each(|event| self.keep_or_drop(event));
        } else {
            self.send_last(batch);
        }
    }

    /// Sends whatever the queue holds already.
    fn send_last(&mut self, mut batch: Vec<Event>) {
        if !self.untold.is_empty() {
            batch.iter_mut().for_each(|event| self.introduce(event));
        }
        if !self.loss.is_zero()
            && let Some(at) = batch.first().map(|event| event.at)
        {
            // What was dropped makes the snapshot that it belonged to incomplete.
            batch.insert(0, Event { at, body: Body::Tick(Tick { complete: false }) });
            batch.insert(0, Event { at, body: Body::Loss(std::mem::take(&mut self.loss)) });
        }
        if !self.kept.is_empty() {
            // They are older than all of the batch.
            batch.splice(0..0, self.kept.drain(..));
        }
        self.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        // The taker is gone only when it failed; then that is the error to show.
        let _ = self.sender.send(batch);
    }

    fn keep_or_drop(&mut self, event: Event) {
        let is_told_once = matches!(event.body, Body::Process(_) | Body::Listen(_) | Body::Clock(_));
        if is_told_once && self.kept.len() < MOST_KEPT {
            self.kept.push(event);
        } else {
            self.drop_event(event);
        }
    }

    fn drop_event(&mut self, event: Event) {
        self.loss.queue_full += 1;
        match event.body {
            Body::Open(open) => {
                self.loss.lost_opens += 1;
                let mut identity = open.identity;
                if identity.opened_at.is_none() && !identity.preexisting {
                    // It was the time of the event.
                    Arc::make_mut(&mut identity).opened_at = Some(event.at);
                }
                self.untold.insert(open.conn, identity);
            }
            Body::Sample(sample) => {
                if let Some(identity) = sample.identity {
                    self.untold.insert(sample.conn, identity);
                }
            }
            Body::Close(close) => {
                self.untold.remove(&close.conn);
                if close.identity.as_deref().is_some_and(|identity| is_connect_failure(&close, identity)) {
                    self.dropped_failures += 1;
                } else {
                    self.loss.lost_closes += 1;
                    self.dropped_closes += 1;
                }
            }
            Body::Loss(loss) => {
                self.loss.queue_full -= 1;
                self.loss += loss;
            }
            _ => {}
        }
    }

    /// Tells with an event of a connection what the stream has missed about it.
    fn introduce(&mut self, event: &mut Event) {
        let (conn, identity) = match &mut event.body {
            Body::Sample(sample) => (sample.conn, &mut sample.identity),
            Body::Close(close) => (close.conn, &mut close.identity),
            _ => return,
        };
        if let Some(untold) = self.untold.remove(&conn) {
            identity.get_or_insert(untold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_core::event::{Clock, Close, Identity, Open, Sample, TcpStates, Totals, Transport};

    fn identity() -> Arc<Identity> {
        Arc::new(Identity::new(Transport::Tcp, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()))
    }

    fn open(conn: u64) -> Event {
        Event { at: 1, body: Body::Open(Open { conn, identity: identity() }) }
    }

    fn sample(conn: u64) -> Event {
        Event { at: 2, body: Body::Sample(Sample { conn, totals: Totals::default(), identity: None }) }
    }

    fn close(conn: u64) -> Event {
        let body =
            Close { conn, totals: Totals::default(), identity: None, tcp_states: TcpStates::default(), reason: None };
        Event { at: 3, body: Body::Close(body) }
    }

    #[test]
    fn what_is_told_once_waits_for_room() {
        let (sender, batches) = channel();
        let waiting = Arc::new(AtomicUsize::new(MOST_EVENTS));
        let mut gate = Gate::new(sender, Arc::clone(&waiting));
        let clock = |at| Event { at, body: Body::Clock(Clock { boot_time_ns: 7 }) };
        gate.send(vec![open(1), clock(2)]);
        gate.send(vec![clock(2), close(1)]);
        waiting.store(0, Ordering::Relaxed);
        gate.send(vec![clock(4)]);
        let loss = Loss { queue_full: 2, lost_opens: 1, lost_closes: 1, ..Loss::default() };
        let told = [Body::Loss(loss), Body::Tick(Tick { complete: false })].map(|body| Event { at: 4, body });
        let expected = [vec![clock(2), clock(2)], told.to_vec(), vec![clock(4)]].concat();
        assert_eq!(batches.try_recv().unwrap(), expected);
        assert_eq!(waiting.load(Ordering::Relaxed), expected.len());
        waiting.store(MOST_EVENTS, Ordering::Relaxed);
        gate.send((0..=MOST_KEPT as u64).map(clock).collect());
        assert_eq!((gate.kept.len(), gate.loss.queue_full), (MOST_KEPT, 1), "a bounded number");
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_leaves_no_orphans() {
        let (sender, batches) = channel();
        let waiting = Arc::new(AtomicUsize::new(MOST_EVENTS));
        let mut gate = Gate::new(sender, Arc::clone(&waiting));
        let mut failure = close(4);
        if let Body::Close(close) = &mut failure.body {
            close.identity = Some(identity());
            close.tcp_states = TcpStates::default().with_name("close").unwrap();
        }
        gate.send(vec![open(1), open(2), open(5), close(5), failure]);
        assert!(batches.try_recv().is_err(), "the queue is full");
        waiting.store(0, Ordering::Relaxed);
        gate.send(vec![sample(1), open(3), close(2), close(1)]);
        let loss = Loss { queue_full: 5, lost_opens: 3, lost_closes: 1, ..Loss::default() };
        let told = [Body::Loss(loss), Body::Tick(Tick { complete: false })].map(|body| Event { at: 2, body });
        let late = Arc::new(Identity { opened_at: Some(1), ..(*identity()).clone() });
        let (mut introduced, mut ended) = (sample(1), close(2));
        if let (Body::Sample(sample), Body::Close(close)) = (&mut introduced.body, &mut ended.body) {
            (sample.identity, close.identity) = (Some(Arc::clone(&late)), Some(late));
        }
        let expected = [told.to_vec(), vec![introduced, open(3), ended, close(1)]].concat();
        assert_eq!(batches.try_recv().unwrap(), expected);
        assert_eq!((gate.dropped_closes, gate.dropped_failures, gate.untold.len()), (1, 1, 0));
    }
}
