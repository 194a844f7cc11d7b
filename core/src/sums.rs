//! What happened to a group of connections within a window.
//!
//! In: deltas. Out: sums, and the mean and range of round-trip times. Never here: who the connections are.

use crate::delta::Delta;

/// Sums over deltas. Every sum stays at the end of its range rather than wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Payload bytes received by the local end.
    pub bytes_read: u64,
    /// Payload bytes sent by the local end.
    pub bytes_written: u64,
    /// Segments or datagrams received.
    pub packets_read: u64,
    /// Segments or datagrams sent.
    pub packets_written: u64,
    /// What only TCP has; `None` where no TCP connection is in the group.
    pub tcp: Option<TcpSums>,
    /// Connections, each counted once.
    pub connections: u64,
}

/// The sums that only TCP has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpSums {
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Connections established.
    pub established: u64,
    /// Established connections that ended.
    pub closed: u64,
    /// Connects that failed.
    pub connect_failures: u64,
    /// Round-trip times, in µs.
    pub rtt: Measurements,
    /// Their mean deviations, in µs.
    pub rtt_var: Measurements,
}

/// Measurements that are there or not: zero means not measured and counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measurements {
    sum: u64,
    count: u64,
    /// The smallest and the greatest; 0 when there is none, which no measurement is.
    least: u32,
    most: u32,
}

impl Measurements {
    /// Takes one more measurement.
    #[inline]
    pub fn add(&mut self, value: u32) {
        if value > 0 {
            self.merge(&Self { sum: value.into(), count: 1, least: value, most: value });
        }
    }

    /// Takes all measurements of another set.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.count = self.count.saturating_add(other.count);
        // One less than none is the greatest of all.
        self.least = self.least.wrapping_sub(1).min(other.least.wrapping_sub(1)).wrapping_add(1);
        self.most = self.most.max(other.most);
    }

    /// As three numbers: a range of nothing is 0, which no measurement is.
    pub(crate) fn words(&self) -> [u64; 3] {
        [self.sum, self.count, u64::from(self.least) << 32 | u64::from(self.most)]
    }

    /// Of such numbers.
    #[expect(clippy::cast_possible_truncation, reason = "each half")]
    pub(crate) fn from_words([sum, count, range]: [u64; 3]) -> Self {
        Self { sum, count, least: (range >> 32) as u32, most: range as u32 }
    }

    /// The mean, rounded to the nearest whole number, half up; `None` when nothing was measured.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        let half = self.count / 2;
        self.sum.saturating_add(half).checked_div(self.count)
    }

    /// The smallest.
    #[must_use]
    pub fn min(&self) -> Option<u32> {
        (self.least > 0).then_some(self.least)
    }

    /// The greatest.
    #[must_use]
    pub fn max(&self) -> Option<u32> {
        (self.most > 0).then_some(self.most)
    }
}

impl Sums {
    /// How many numbers they consist of.
    pub(crate) const WORDS: usize = 16;

    /// As plain numbers.
    pub(crate) fn words(&self) -> [u64; Self::WORDS] {
        let tcp = self.tcp.unwrap_or_default();
        let ([rtt, rtts, rtt_range], [var, vars, var_range]) = (tcp.rtt.words(), tcp.rtt_var.words());
        [
            self.bytes_read,
            self.bytes_written,
            self.packets_read,
            self.packets_written,
            self.connections,
            self.tcp.is_some().into(),
            tcp.retransmits,
            tcp.established,
            tcp.closed,
            tcp.connect_failures,
            rtt,
            rtts,
            rtt_range,
            var,
            vars,
            var_range,
        ]
    }

    /// Of such numbers.
    pub(crate) fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let [bytes_read, bytes_written, packets_read, packets_written, connections, tcp, rest @ ..] = *words;
        let [retransmits, established, closed, connect_failures, rtt, rtts, rtt_range, var, vars, var_range] = rest;
        let tcp = (tcp > 0).then(|| TcpSums {
            retransmits,
            established,
            closed,
            connect_failures,
            rtt: Measurements::from_words([rtt, rtts, rtt_range]),
            rtt_var: Measurements::from_words([var, vars, var_range]),
        });
        Self { bytes_read, bytes_written, packets_read, packets_written, tcp, connections }
    }

    /// The sums of one connection in which nothing happened yet.
    #[must_use]
    pub fn of_one_connection(is_tcp: bool) -> Self {
        Self { connections: 1, tcp: is_tcp.then(TcpSums::default), ..Self::default() }
    }

    /// Takes one more delta of a connection that is already counted.
    pub fn add(&mut self, delta: &Delta) {
        let counts = &delta.counts;
        self.bytes_read = self.bytes_read.saturating_add(counts.recv_bytes);
        self.bytes_written = self.bytes_written.saturating_add(counts.sent_bytes);
        self.packets_read = self.packets_read.saturating_add(counts.recv_packets);
        self.packets_written = self.packets_written.saturating_add(counts.sent_packets);
        if let Some(tcp) = &mut self.tcp {
            tcp.retransmits = tcp.retransmits.saturating_add(counts.retransmits);
            tcp.established = tcp.established.saturating_add(counts.established);
            tcp.closed = tcp.closed.saturating_add(counts.closed);
            tcp.connect_failures = tcp.connect_failures.saturating_add(counts.connect_failures);
            tcp.rtt.add(delta.rtt_us);
            tcp.rtt_var.add(delta.rtt_var_us);
        }
    }

    /// Takes the sums of other connections.
    pub fn merge(&mut self, other: &Self) {
        self.bytes_read = self.bytes_read.saturating_add(other.bytes_read);
        self.bytes_written = self.bytes_written.saturating_add(other.bytes_written);
        self.packets_read = self.packets_read.saturating_add(other.packets_read);
        self.packets_written = self.packets_written.saturating_add(other.packets_written);
        self.connections = self.connections.saturating_add(other.connections);
        if let Some(theirs) = &other.tcp {
            let mine = self.tcp.get_or_insert_default();
            mine.retransmits = mine.retransmits.saturating_add(theirs.retransmits);
            mine.established = mine.established.saturating_add(theirs.established);
            mine.closed = mine.closed.saturating_add(theirs.closed);
            mine.connect_failures = mine.connect_failures.saturating_add(theirs.connect_failures);
            mine.rtt.merge(&theirs.rtt);
            mine.rtt_var.merge(&theirs.rtt_var);
        }
    }

    /// Bytes both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_read.saturating_add(self.bytes_written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_what_was_measured_and_rounds_to_nearest() {
        let mean = |values: &[u32]| {
            let mut measurements = Measurements::default();
            values.iter().for_each(|value| measurements.add(*value));
            (measurements.mean(), measurements.min(), measurements.max())
        };
        assert_eq!(mean(&[]), (None, None, None));
        assert_eq!(mean(&[0, 0]), (None, None, None));
        assert_eq!(mean(&[100, 200, 0]), (Some(150), Some(100), Some(200)));
        assert_eq!(mean(&[10, 21, 0]), (Some(16), Some(10), Some(21)));
        assert_eq!(mean(&[1, 1, 2]), (Some(1), Some(1), Some(2)));
        assert_eq!(mean(&[u32::MAX, u32::MAX]).0, Some(u32::MAX.into()));
    }
}
