//! The thread that asks.
//!
//! In: connections that came to be or ended. Out: nat events. Never here: the recording, which goes on whatever this does.
//!
//! A connection is looked up in the table of its own namespace, then, as the packet is by then, in those of the recorder
//! and of the host: a container's packets are translated there. What no table knows is looked up once more when the
//! connection ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use netflow_core::event::{Body, Event, Identity, Nat};
use rustc_hash::FxHashMap;

use super::conntrack::Tuple;
use super::namespaces::Namespaces;
use super::table::{self, Found};
use crate::host;

/// So many connections that no table knew are remembered until they end; more are not looked up a second time.
const MOST_UNKNOWN: usize = 1 << 16;

/// So many processes are tried to find a namespace.
const MOST_PIDS: usize = 8;

/// How often unused tables are closed when nothing is asked.
const REST: Duration = Duration::from_millis(500);

/// What happened to a connection.
#[derive(Debug)]
pub(crate) enum Question {
    Opened(u64, Arc<Identity>),
    /// With its ends, where the close has them.
    Closed(u64, Option<Arc<Identity>>),
}

/// How many of the questions are of connections that came to be.
pub(crate) fn opens(questions: &[Question]) -> usize {
    questions.iter().filter(|question| matches!(question, Question::Opened(..))).count()
}

/// What both sides count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Questions that were not answered yet.
    pub(crate) waiting: AtomicUsize,
    /// Connections, of those, that came to be.
    pub(crate) waiting_opens: AtomicUsize,
    /// Connections that could not be looked up.
    pub(crate) dropped: AtomicU64,
}

/// A connection that is looked up.
struct Asked {
    conn: u64,
    identity: Arc<Identity>,
    /// Its packets' ends, as far as they are known to be translated.
    tuple: Tuple,
    /// A table knows it.
    known: bool,
    failed: bool,
    is_over: bool,
}

/// Answers until nobody asks any more.
pub(crate) fn run(questions: &Receiver<Vec<Question>>, answers: &Sender<Event>, tally: &Tally) {
    let mut namespaces = None;
    let mut unknown = FxHashMap::default();
    loop {
        match questions.recv_timeout(REST) {
            Ok(batch) => {
                let (count, opens) = (batch.len(), opens(&batch));
                let mut asked = merge(batch, &mut unknown);
                if table::is_in_use() && !asked.is_empty() {
                    if namespaces.is_none() {
                        namespaces = Namespaces::new(Instant::now()).ok();
                    }
                    match &mut namespaces {
                        Some(namespaces) => look_up(&mut asked, namespaces),
                        None => asked.iter_mut().for_each(|asked| asked.failed = true),
                    }
                    tell(asked, answers, tally, &mut unknown);
                }
                tally.waiting.fetch_sub(count, Relaxed);
                tally.waiting_opens.fetch_sub(opens, Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(namespaces) = &mut namespaces {
            namespaces.close_unused(Instant::now());
        }
    }
}

/// What is to be looked up: each connection once, even if it has ended since.
fn merge(batch: Vec<Question>, unknown: &mut FxHashMap<u64, Arc<Identity>>) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut places: FxHashMap<u64, usize> = FxHashMap::default();
    for question in batch {
        let (conn, identity, is_over) = match question {
            Question::Opened(conn, identity) => (conn, Some(identity), false),
            Question::Closed(conn, identity) => (conn, unknown.remove(&conn).or(identity), true),
        };
        if let Some(place) = places.get(&conn) {
            asked[*place].is_over |= is_over;
        } else if let Some(identity) = identity {
            let tuple = Tuple { transport: identity.transport, src: identity.local, dst: identity.remote };
            places.insert(conn, asked.len());
            asked.push(Asked { conn, identity, tuple, known: false, failed: false, is_over });
        }
    }
    asked
}

fn look_up(asked: &mut [Asked], namespaces: &mut Namespaces) {
    let mut by_netns: BTreeMap<u32, Vec<&mut Asked>> = BTreeMap::new();
    for asked in asked.iter_mut() {
        if let Some(netns) = asked.identity.netns {
            by_netns.entry(netns).or_default().push(asked);
        }
    }
    for (netns, asked) in &mut by_netns {
        look_up_in(*netns, asked, namespaces);
    }
    for near in namespaces.near() {
        // What stays within a namespace does not come by here.
        let leaves = |asked: &&mut Asked| asked.identity.netns != Some(near) && !asked.tuple.dst.ip().is_loopback();
        let mut asked: Vec<&mut Asked> = asked.iter_mut().filter(leaves).collect();
        look_up_in(near, &mut asked, namespaces);
    }
}

fn look_up_in(netns: u32, asked: &mut [&mut Asked], namespaces: &mut Namespaces) {
    if asked.is_empty() {
        return;
    }
    // Any of the processes may have gone, the first rather than the last.
    let mut pids: Vec<u32> = asked.iter().rev().filter_map(|asked| asked.identity.pid).take(MOST_PIDS).collect();
    pids.dedup();
    let Some(table) = namespaces.table(netns, &pids, Instant::now()) else { return };
    if matches!(table.entries(), Ok(0)) {
        return;
    }
    let tuples: Vec<Tuple> = asked.iter().map(|asked| asked.tuple).collect();
    for (asked, found) in asked.iter_mut().zip(table.look_up(&tuples)) {
        match found {
            Found::Entry(entry) => {
                asked.known = true;
                // Else the peer began, and it is this end that its packets were led to.
                if entry.original == asked.tuple {
                    asked.tuple = Tuple { src: entry.reply.dst, dst: entry.reply.src, ..asked.tuple };
                }
            }
            Found::Nothing => {}
            Found::Failed => asked.failed = true,
        }
    }
}

fn tell(asked: Vec<Asked>, answers: &Sender<Event>, tally: &Tally, unknown: &mut FxHashMap<u64, Arc<Identity>>) {
    for asked in asked {
        let identity = asked.identity;
        if asked.tuple.dst != identity.remote {
            let body = Body::Nat(Nat {
                transport: identity.transport,
                local: identity.local,
                remote: identity.remote,
                dst: asked.tuple.dst,
                netns: identity.netns,
                end: false,
            });
            // Nobody listens only when the recording is over.
            let _ = answers.send(Event { at: host::now(), body });
        } else if asked.failed && !asked.known {
            tally.dropped.fetch_add(1, Relaxed);
        } else if !asked.known && !asked.is_over {
            if unknown.len() >= MOST_UNKNOWN {
                unknown.clear();
            }
            unknown.insert(asked.conn, identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_core::event::Transport;

    #[test]
    fn a_connection_is_looked_up_once_in_a_batch_and_again_at_its_end_if_unknown() {
        let identity =
            Arc::new(Identity::new(Transport::Tcp, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()));
        let mut unknown = FxHashMap::default();
        unknown.insert(7, Arc::clone(&identity));
        let batch = vec![
            Question::Opened(1, Arc::clone(&identity)),
            Question::Opened(2, Arc::clone(&identity)),
            Question::Closed(1, None),
            // Known to a table, or incoming; unknown so far; never opened.
            Question::Closed(6, None),
            Question::Closed(7, None),
            Question::Closed(8, Some(identity)),
        ];
        let asked: Vec<(u64, bool)> =
            merge(batch, &mut unknown).iter().map(|asked| (asked.conn, asked.is_over)).collect();
        assert_eq!(asked, [(1, true), (2, false), (7, true), (8, true)]);
        assert!(unknown.is_empty());
    }
}
