//! Events by time.
//!
//! In: the events of one drain, in any order. Out: the same, sorted by time (equal times stay as they were), and never
//! earlier than what was given out before. Never here: waiting for stragglers; a record that comes late takes the time
//! of its drain.

use std::sync::Arc;

use netflow_core::event::{Body, Event};

/// The time that the stream has reached.
#[derive(Debug, Default)]
pub(crate) struct Order {
    last: u64,
}

impl Order {
    /// Sorts the events from `first` on, and lifts those that are too early.
    pub(crate) fn settle(&mut self, events: &mut [Event]) {
        events.sort_by_key(|event| event.at);
        for event in events {
            if event.at < self.last {
                // An open without a time of its own has that of its event: keep it.
                if let Body::Open(open) = &mut event.body
                    && open.identity.opened_at.is_none()
                    && !open.identity.preexisting
                {
                    Arc::make_mut(&mut open.identity).opened_at = Some(event.at);
                }
                event.at = self.last;
            }
            self.last = event.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_core::event::Tick;

    #[test]
    fn time_never_goes_back() {
        let tick = |at, complete| Event { at, body: Body::Tick(Tick { complete }) };
        let mut order = Order::default();
        let mut events = vec![tick(5, true), tick(3, true), tick(5, false)];
        order.settle(&mut events);
        assert_eq!(events, [tick(3, true), tick(5, true), tick(5, false)]);
        let mut late = vec![tick(4, true), tick(9, true)];
        order.settle(&mut late);
        assert_eq!(late, [tick(5, true), tick(9, true)]);
    }
}
