//! How long the windows of a page's charts are.
//!
//! In: the time that the events lie in, the recorder's interval, what the user asked for. Out: lengths in nanoseconds,
//! each a multiple of the one by which the pipeline sums up. Never here: what is in the windows.

use netflow_core::report::Window;

/// Lengths that people think in, in milliseconds. Each divides the next, so that windows can be put together.
const LENGTHS_MS: [u64; 15] = [
    100, 500, 1_000, 2_000, 10_000, 30_000, 60_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000,
    43_200_000, 86_400_000,
];
const MS: u64 = 1_000_000;
/// The most windows of a chart.
const MOST: u64 = 240;
/// The most windows of a chart whose windows were asked for.
const MOST_ASKED: u64 = 1_000;
/// When it is not known how long the captures are.
const UNKNOWN_MS: u64 = 10_000;

/// The length by which the pipeline sums up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    ns: u64,
    asked: bool,
}

impl Base {
    /// `every_ns` is what the user asked for.
    pub(super) fn new(every_ns: Option<u64>, span: Option<Window>) -> Self {
        match (every_ns.filter(|every| *every > 0), span) {
            (Some(ns), _) => Self { ns, asked: true },
            (None, Some(span)) => Self { ns: shortest(length_ns(span), 0), asked: false },
            (None, None) => Self { ns: UNKNOWN_MS * MS, asked: false },
        }
    }

    pub(super) fn ns(self) -> u64 {
        self.ns
    }

    /// The length of the windows that are shown, a multiple of this one. Windows that nobody asked for are not shorter than
    /// the recorder's interval: what goes on for long is counted when it is sampled, and would be a row of spikes.
    pub(super) fn shown_ns(self, span: Window, interval_ms: u64) -> u64 {
        let span_ns = length_ns(span);
        if self.asked {
            let multiples = (0..).flat_map(|power| [1_u64, 2, 5].map(|digit| (digit, power)));
            return multiples
                .map(|(digit, power)| self.ns.saturating_mul(digit.saturating_mul(10_u64.saturating_pow(power))))
                .find(|ns| span_ns / ns < MOST_ASKED || *ns == u64::MAX)
                .unwrap_or(self.ns);
        }
        shortest(span_ns, interval_ms.saturating_mul(MS).max(self.ns))
    }
}

fn length_ns(span: Window) -> u64 {
    u64::try_from(span.end_us.saturating_sub(span.start_us)).unwrap_or(0).saturating_mul(1_000)
}

/// The shortest length that is at least so long and does not make too many windows of a span.
fn shortest(span_ns: u64, at_least_ns: u64) -> u64 {
    let day = LENGTHS_MS[LENGTHS_MS.len() - 1];
    let beyond = std::iter::successors(Some(day), |days| Some(days.saturating_mul(10)));
    LENGTHS_MS
        .into_iter()
        .chain(beyond)
        .map(|ms| ms.saturating_mul(MS))
        .find(|ns| *ns >= at_least_ns && span_ns / ns < MOST || *ns == u64::MAX)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(seconds: i64) -> Window {
        Window { start_us: 0, end_us: seconds * 1_000_000 }
    }

    #[test]
    fn each_length_divides_the_next() {
        assert!(LENGTHS_MS.windows(2).all(|pair| pair[1] % pair[0] == 0));
    }

    #[test]
    fn lengths_for_spans() {
        // Seconds recorded, interval in ms, and the length in ms.
        let table = [
            (0, 0, 100),
            (10, 0, 100),
            (60, 0, 500),
            (60, 1_000, 1_000),
            (60, 10_000, 10_000),
            (60, 7_000, 10_000),
            (600, 10_000, 10_000),
            (3_600, 10_000, 30_000),
            (86_400, 10_000, 600_000),
            (30 * 86_400, 10_000, 21_600_000),
            (365 * 86_400, 10_000, 864_000_000),
        ];
        for (seconds, interval, expected) in table {
            let base = Base::new(None, Some(span(seconds)));
            assert_eq!(base.shown_ns(span(seconds), interval) / MS, expected, "{seconds} s, every {interval} ms");
            assert_eq!(base.shown_ns(span(seconds), interval) % base.ns(), 0);
            let unknown = Base::new(None, None);
            assert_eq!(unknown.shown_ns(span(seconds), interval) / MS, expected.max(10_000), "{seconds} s");
        }
    }

    #[test]
    fn what_was_asked_for_is_taken_or_a_multiple_of_it() {
        let base = Base::new(Some(3 * 1_000 * MS), None);
        assert_eq!(base.shown_ns(span(60), 10_000), 3_000 * MS);
        assert_eq!(base.shown_ns(span(86_400), 10_000), 150_000 * MS);
    }

    #[test]
    fn no_span_is_too_long() {
        let all = Window { start_us: i64::MIN, end_us: i64::MAX };
        for base in [Base::new(None, Some(all)), Base::new(None, None), Base::new(Some(1), None)] {
            assert!(length_ns(all) / base.shown_ns(all, u64::MAX) < MOST_ASKED);
        }
    }
}
