//! A network namespace's table of tracked connections, as long as somebody asks.
//!
//! In: tuples. Out: entries. The kernel answers while it is asked, so nothing here ever waits. Never here: a namespace; a
//! table is that of the namespace in which it was opened.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use super::conntrack::{Entry, Said, Tuple, ask, ask_entries, said};

/// So many questions are asked at once: the answers fit into a socket's buffer.
const AT_ONCE: usize = 32;

/// One answer, or a few.
const BUFFER: usize = 1 << 14;

/// What is known of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Entry(Entry),
    Nothing,
    /// The kernel did not say.
    Failed,
}

/// The kernel tracks connections. Asking it where it does not would make it load what it needs for that.
pub(crate) fn is_in_use() -> bool {
    Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists()
}

/// An open table.
#[derive(Debug)]
pub(crate) struct Table {
    socket: OwnedFd,
    sequence: u32,
}

impl Table {
    /// Opens the table of the namespace that this thread is in.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// How many connections are tracked here.
    pub(crate) fn entries(&mut self) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut question = Vec::new();
        ask_entries(self.sequence, &mut question);
        let mut entries = None;
        self.exchange(&question, 1, |sequence, said| {
            let is_mine = sequence == self.sequence;
            if is_mine {
                entries = Some(said);
            }
            is_mine
        })?;
        match entries {
            Some(Said::Entries(entries)) => Ok(entries),
            Some(Said::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Looks tuples up; one answer for each, in their order.
    pub(crate) fn look_up(&mut self, tuples: &[Tuple]) -> Vec<Found> {
        let mut found = vec![Found::Failed; tuples.len()];
        for (tuples, found) in tuples.chunks(AT_ONCE).zip(found.chunks_mut(AT_ONCE)) {
            let first = self.sequence.wrapping_add(1);
            let mut questions = Vec::new();
            for tuple in tuples {
                self.sequence = self.sequence.wrapping_add(1);
                ask(self.sequence, tuple, &mut questions);
            }
            let take = |sequence: u32, said| {
                let place = usize::try_from(sequence.wrapping_sub(first)).ok().and_then(|at| found.get_mut(at));
                let Some(place) = place else { return false };
                *place = match said {
                    Said::Entry(entry) => Found::Entry(entry),
                    Said::Error(libc::ENOENT) => Found::Nothing,
                    _ => Found::Failed,
                };
                true
            };
            // What was answered before it went wrong counts.
            let _ = self.exchange(&questions, tuples.len(), take);
        }
        found
    }

    /// Asks, and takes as many answers; `take` says whether one is an answer to what was asked, and not to something
    /// that was given up before.
    fn exchange(&self, questions: &[u8], count: usize, mut take: impl FnMut(u32, Said) -> bool) -> io::Result<()> {
        send(&self.socket, questions, SendFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let mut answered = 0;
        while answered < count {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            answered += said(&buffer[..length]).into_iter().filter(|(sequence, said)| take(*sequence, *said)).count();
        }
        Ok(())
    }
}
