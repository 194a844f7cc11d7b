//! Where connections really go whose destination is translated (DNAT).
//!
//! In: opens and closes. Out: nat events, a moment later. Never here: waiting; a thread of its own asks the kernel's tables
//! of tracked connections, one question a connection, and what is too much for it is counted and not asked.
//!
//! | privilege | without |
//! |---|---|
//! | `CAP_NET_ADMIN` | the tables are not shown: nothing is asked |
//! | `CAP_SYS_ADMIN` | other network namespaces cannot be entered: the recorder's own table alone is asked |
//! | `CAP_SYS_PTRACE` | namespaces that only processes of other users are in cannot be found, unless they have a name |
//!
//! All three are needed as long as the thread runs; it gives up all others.
//!
//! | file | what it is about |
//! |---|---|
//! | `worker` | the thread that asks |
//! | `namespaces` | network namespaces by number, and their tables |
//! | `table` | one table: questions and answers |
//! | `conntrack` | their bytes |

mod conntrack;
mod namespaces;
mod table;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use netflow_core::event::{Body, Direction, Event, Identity};

use crate::privilege::{Feature, give_up_privileges};
use worker::{Question, Tally};

/// So many questions may wait.
const MOST_WAITING: usize = 1 << 16;

/// So long the end of a recording waits for what was asked last.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The end of the thread that is drained on time.
pub(crate) struct Asker {
    questions: Sender<Vec<Question>>,
    answers: Receiver<Event>,
    tally: Arc<Tally>,
}

/// The other ends of both.
type Answerer = (Receiver<Vec<Question>>, Sender<Event>);

impl Asker {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (asker, (asked, told)) = Self::new();
        let tally = Arc::clone(&asker.tally);
        thread::Builder::new().name("netflow-nat".to_owned()).spawn(move || {
            // A refusal shows when the recording's own thread does the same.
            let _ = give_up_privileges(&[Feature::Recording, Feature::Translations]);
            worker::run(&asked, &told, &tally);
        })?;
        Ok(asker)
    }

    fn new() -> (Self, Answerer) {
        let (questions, asked) = channel();
        let (told, answers) = channel();
        (Self { questions, answers, tally: Arc::default() }, (asked, told))
    }

    /// Asks about what was found open at the start, however much it is.
    pub(crate) fn ask_all(&self, events: &[Event]) {
        self.ask(events, usize::MAX);
    }

    /// Asks about what came to be and what ended.
    pub(crate) fn see(&self, events: &[Event]) {
        self.ask(events, MOST_WAITING);
    }

    fn ask(&self, events: &[Event], most: usize) {
        let batch: Vec<Question> = events.iter().filter_map(question).collect();
        if batch.is_empty() {
            return;
        }
        let (count, opens) = (batch.len(), worker::opens(&batch));
        let tally = &self.tally;
        tally.waiting_opens.fetch_add(opens, Relaxed);
        let full = tally.waiting.fetch_add(count, Relaxed).saturating_add(count) > most;
        if full || self.questions.send(batch).is_err() {
            tally.waiting.fetch_sub(count, Relaxed);
            tally.waiting_opens.fetch_sub(opens, Relaxed);
            tally.dropped.fetch_add(opens as u64, Relaxed);
        }
    }

    /// Appends what was answered since the last call.
    pub(crate) fn take(&self, events: &mut Vec<Event>) {
        events.extend(self.answers.try_iter());
    }

    /// Connections that could not be asked about.
    pub(crate) fn dropped(&self) -> u64 {
        self.tally.dropped.load(Relaxed)
    }

    /// Nothing more will be asked: appends what is still answered, for a moment; how many could not be asked about in all.
    pub(crate) fn finish(self, events: &mut Vec<Event>) -> u64 {
        self.take(events);
        let Self { questions, answers, tally, .. } = self;
        drop(questions);
        let until = Instant::now() + LAST_WAIT;
        while let Ok(event) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            events.push(event);
        }
        tally.dropped.load(Relaxed) + tally.waiting_opens.load(Relaxed) as u64
    }
}

/// What an event has the tables asked. The peer's connections are led here by the time they are seen: nobody asks where.
fn question(event: &Event) -> Option<Question> {
    let can_be = |identity: &&Arc<Identity>| {
        let (local, remote) = (identity.local, identity.remote);
        identity.direction != Some(Direction::Incoming)
            && remote.port() != 0
            && !remote.ip().is_unspecified()
            && local.ip().is_ipv4() == remote.ip().is_ipv4()
    };
    match &event.body {
        Body::Open(open) => {
            Some(&open.identity).filter(can_be).map(|found| Question::Opened(open.conn, Arc::clone(found)))
        }
        Body::Close(close) => {
            let identity = close.identity.as_ref().filter(can_be);
            Some(Question::Closed(close.conn, identity.map(Arc::clone)))
        }
        _ => None,
    }
}

/// What keeps translations from being recorded.
pub(crate) enum Hindrance {
    /// All of them.
    Whole(String),
    /// Some of them.
    Part(String),
}

/// Looks for it, and asks the kernel for nothing that is not there already.
pub(crate) fn hindrance() -> Option<Hindrance> {
    if table::is_in_use()
        && let Err(error) = table::Table::open().and_then(|mut table| table.entries())
    {
        return Some(Hindrance::Whole(format!(
            "translated destinations are not recorded: the kernel does not show which connections it tracks ({error}), \
             CAP_NET_ADMIN is needed"
        )));
    }
    let error = namespaces::may_enter().err()?;
    Some(Hindrance::Part(format!(
        "of translated destinations only those are recorded that are translated in this network namespace: others cannot \
         be entered ({error}), CAP_SYS_ADMIN is needed"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_core::event::{Open, Transport};

    fn open(conn: u64, direction: Option<Direction>, remote: &str) -> Event {
        let local = "10.0.0.1:40000".parse().unwrap();
        let identity = Identity { direction, ..Identity::new(Transport::Tcp, local, remote.parse().unwrap()) };
        Event { at: 1, body: Body::Open(Open { conn, identity: identity.into() }) }
    }

    #[test]
    fn only_what_can_be_translated_is_asked() {
        let asked = |direction, remote| question(&open(1, direction, remote)).is_some();
        assert!(asked(Some(Direction::Outgoing), "192.0.2.1:80"));
        assert!(asked(None, "192.0.2.1:80"));
        assert!(!asked(Some(Direction::Incoming), "192.0.2.1:80"));
        for remote in ["0.0.0.0:80", "192.0.2.1:0", "[2001:db8::1]:80"] {
            assert!(!asked(None, remote), "{remote}");
        }
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let (asker, _answerer) = Asker::new();
        let events: Vec<Event> = (0..1000).map(|conn| open(conn, None, "192.0.2.1:80")).collect();
        for _ in 0..100 {
            asker.see(&events);
        }
        let kept = MOST_WAITING / 1000 * 1000;
        assert_eq!(asker.tally.waiting.load(Relaxed), kept);
        assert_eq!(asker.dropped(), 100_000 - kept as u64);
        asker.ask_all(&events);
        assert_eq!(asker.dropped(), 100_000 - kept as u64, "what was open before is asked in any case");
    }
}
