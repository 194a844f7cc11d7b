//! A recording that goes on in a new capture.
//!
//! In: the header of a recording and its events. Out: the header of the capture that goes on with it, and the events that it
//! says first. Never here: when that is to happen ([`Carry`] tells what holds; who writes decides where).

use crate::carry::Carry;
use crate::event::{Body, Event, Header};

/// What the next capture of a recording begins with.
#[derive(Debug)]
pub struct Continuation {
    header: Header,
    carry: Carry,
    last_at: u64,
}

impl Continuation {
    /// The recording with this header.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self { header, carry: Carry::new(), last_at: 0 }
    }

    /// Takes the next event of the recording.
    pub fn learn(&mut self, event: &Event) {
        self.carry.learn(event);
        self.last_at = event.at;
        if let Body::Clock(clock) = &event.body {
            self.header.boot_time_ns = clock.boot_time_ns;
        }
    }

    /// The recording goes on here, in its next part.
    pub fn begin_part(&mut self) {
        self.header.part = self.header.part.saturating_add(1);
        self.begin_piece();
    }

    /// The recording goes on here in a further piece of the same part: it was written as one, and is not any more.
    pub fn begin_piece(&mut self) {
        self.header.continues_from = Some(self.last_at);
    }

    /// The header of what is being written: as it was given, or since the recording last went on, of that.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Nanoseconds since 1970 (UTC) of the last event.
    #[must_use]
    pub fn utc(&self) -> i128 {
        i128::from(self.header.boot_time_ns) + i128::from(self.last_at)
    }

    /// Tells again what holds, at the time of the last event.
    pub fn restate(&self) -> impl Iterator<Item = Event> + '_ {
        self.carry.restate(self.last_at)
    }
}
