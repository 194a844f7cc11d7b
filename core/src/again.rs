//! Where a capture that goes on with a recording says again what is known already.
//!
//! In: its events, from the first on. Out: which of them are what [`Carry`](crate::carry::Carry) tells. Never here: what is
//! done about them.

use crate::event::{Body, Event};

/// The place in such a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Again {
    /// Behind all that is said again; or nothing is.
    #[default]
    Over,
    /// Before the first event.
    Beginning,
    /// Before the tick. All is said at the time of the first event.
    Until(u64),
    /// Behind the tick, and behind the sample of a connection: the next one is of a later connection.
    Behind(u64, Option<u64>),
}

impl Again {
    /// The next event belongs to what is said again. `is_seen`: that connection was seen since the last tick before the
    /// capture; only such are told of behind the tick.
    pub(crate) fn has(&mut self, event: &Event, is_seen: impl Fn(u64) -> bool) -> bool {
        *self = match (*self, &event.body) {
            (Self::Beginning, Body::Tick(_)) => Self::Behind(event.at, None),
            (Self::Beginning, body) if is_restating(body) => Self::Until(event.at),
            (Self::Until(at), Body::Tick(_)) if event.at == at => Self::Behind(at, None),
            (Self::Until(at), body) if event.at == at && is_restating(body) => *self,
            (Self::Behind(at, None), Body::Open(open))
                if event.at == at && is_restating(&event.body) && is_seen(open.conn) =>
            {
                *self
            }
            (Self::Behind(at, last), Body::Sample(sample))
                if event.at == at
                    && is_restating(&event.body)
                    && last.is_none_or(|last| sample.conn > last)
                    && is_seen(sample.conn) =>
            {
                Self::Behind(at, Some(sample.conn))
            }
            _ => Self::Over,
        };
        *self != Self::Over
    }
}

/// Such events can say again what is known.
fn is_restating(body: &Body) -> bool {
    match body {
        Body::Open(open) => open.identity.preexisting,
        Body::Sample(sample) => sample.identity.is_none(),
        Body::Process(_) | Body::Dns(_) | Body::Nat(_) | Body::Listen(_) | Body::K8s(_) => true,
        Body::Close(_) | Body::Tick(_) | Body::Clock(_) | Body::Loss(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::event::{Identity, Loss, Open, Process, Sample, Tick, Totals, Transport};

    const TICK: Body = Body::Tick(Tick { complete: true });

    fn sample(conn: u64) -> Body {
        Body::Sample(Sample { conn, totals: Totals::default(), identity: None })
    }

    fn process() -> Body {
        Body::Process(Process::new(1, "a"))
    }

    fn which(events: Vec<(u64, Body)>) -> Vec<bool> {
        let mut again = Again::Beginning;
        events.into_iter().map(|(at, body)| again.has(&Event { at, body }, |conn| conn < 9)).collect()
    }

    #[test]
    fn what_is_said_again_ends_behind_its_tick() {
        let told = vec![(5, process()), (5, sample(9)), (5, TICK), (5, sample(1)), (5, process()), (5, sample(2))];
        assert_eq!(which(told), [true, true, true, true, false, false]);
        let told = vec![(5, TICK), (5, sample(1)), (5, sample(3)), (5, sample(3)), (5, sample(4))];
        assert_eq!(which(told), [true, true, true, false, false]);
        assert_eq!(which(vec![(5, TICK), (5, sample(9))]), [true, false], "not seen before the capture");
        assert_eq!(which(vec![(5, TICK), (5, TICK)]), [true, false]);
        assert_eq!(which(vec![(5, TICK), (6, sample(1)), (5, sample(1))]), [true, false, false]);
    }

    #[test]
    fn who_was_not_seen_before_is_new_at_that_very_moment() {
        let open = |conn| {
            let ends = ["10.0.0.1:1", "10.0.0.2:2"].map(|end| end.parse().unwrap());
            let identity = Identity { preexisting: true, ..Identity::new(Transport::Tcp, ends[0], ends[1]) };
            Body::Open(Open { conn, identity: Arc::new(identity) })
        };
        assert_eq!(which(vec![(5, TICK), (5, open(1)), (5, sample(1))]), [true, true, true]);
        assert_eq!(which(vec![(5, TICK), (5, open(9)), (5, sample(1))]), [true, false, false]);
    }

    #[test]
    fn a_capture_that_lost_its_beginning_says_nothing_again() {
        assert_eq!(which(vec![(5, process()), (6, process()), (6, TICK)]), [true, false, false]);
        assert_eq!(which(vec![(5, sample(1)), (6, TICK)]), [true, false]);
        assert_eq!(which(vec![(5, Body::Loss(Loss::default())), (5, sample(1)), (5, TICK)]), [false, false, false]);
    }
}
