//! The part of a stream that lies between two moments, so that it can be read alone.
//!
//! In: a header, events in order, two moments. Out: which events are in the part, the part's own header, and the events that
//! tell first what held when it began ([`Carry`]). Never here: files, and which moments a person means.
//!
//! A part begins with the first event at or after its beginning and ends before the first event at or after its end, by the
//! clock as it was at that event. So parts of which one ends when the next begins hold each event once, even where the clock
//! was set back.

use crate::carry::Carry;
use crate::event::{Body, Event, Header};

/// Two moments, in nanoseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Its beginning, which is in it; `None`: everything from the first event on.
    pub since: Option<i64>,
    /// Its end, which is not; `None`: everything up to the last event.
    pub until: Option<i64>,
}

impl Span {
    /// Everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before the part.
    Before,
    /// The first of the part: what [`Excerpt::restate`] tells comes before it.
    First,
    /// In the part.
    Within,
    /// Behind the part, as are all that follow.
    Behind,
}

/// A part of a stream.
#[derive(Debug)]
pub struct Excerpt {
    span: Span,
    /// Of a part that begins here, until it began.
    header: Header,
    carry: Carry,
    /// UTC of the boot by the present clock.
    boot_time_ns: i64,
    /// The last event before the part.
    before: Option<u64>,
    /// The last event; `None` before the first one.
    place: Option<Place>,
}

impl Excerpt {
    /// The part of the stream with this header.
    #[must_use]
    pub fn new(span: Span, header: &Header) -> Self {
        let excerpt = header.excerpt || span.until.is_some();
        let header = Header { excerpt, ..header.clone() };
        Self { span, boot_time_ns: header.boot_time_ns, header, carry: Carry::new(), before: None, place: None }
    }

    /// Takes the next event of the stream.
    pub fn push(&mut self, event: &Event) -> Place {
        let place = self.place(event);
        if self.place.is_none() && self.header.began_at == 0 && !self.span.is_whole() {
            // By this the parts of one stream know each other.
            self.header.began_at = event.at;
        }
        self.place = Some(place);
        if place == Place::Before {
            self.carry.learn(event);
            self.before = Some(event.at);
            let boot_time_ns = self.boot_time_ns;
            let header = &mut self.header;
            (header.boot_time_ns, header.continues_from, header.excerpt) = (boot_time_ns, Some(event.at), true);
        }
        place
    }

    fn place(&mut self, event: &Event) -> Place {
        if self.place == Some(Place::Behind) {
            return Place::Behind;
        }
        if let Body::Clock(clock) = &event.body {
            self.boot_time_ns = clock.boot_time_ns;
        }
        let utc = self.boot_time_ns.saturating_add(i64::try_from(event.at).unwrap_or(i64::MAX));
        if self.span.until.is_some_and(|until| utc >= until) {
            return Place::Behind;
        }
        match self.place {
            Some(Place::First | Place::Within) => Place::Within,
            _ if self.span.since.is_some_and(|since| utc < since) => Place::Before,
            _ => Place::First,
        }
    }

    /// The header of the part, once its first event was pushed. Of a part without events: where it would be.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Tells what held when the part began, whose first event is at `first_at`: as of its beginning.
    pub fn restate(&self, first_at: u64) -> impl Iterator<Item = Event> + '_ {
        let since = self.span.since.map(|since| since.saturating_sub(self.header.boot_time_ns));
        let since = since.and_then(|since| u64::try_from(since).ok()).unwrap_or_default();
        let told = self.before.map(|before| self.carry.restate(since.min(first_at).max(before)));
        told.into_iter().flatten()
    }
}
