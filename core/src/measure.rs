//! Which sums somebody wants, and where each is in a row of numbers.
//!
//! In: the measures of a report, [`Sums`]. Out: words, to which more sums are added. Never here: whose they are.

use crate::sums::{Measurements, Sums, TcpSums};

/// One of the sums that a group can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    BytesRead,
    BytesWritten,
    PacketsRead,
    PacketsWritten,
    Connections,
    /// Any TCP connection is in the group.
    Tcp,
    Retransmits,
    Established,
    Closed,
    ConnectFailures,
    /// Sum, count and range.
    Rtt,
    RttVar,
}

const ALL: [Measure; 12] = [
    Measure::BytesRead,
    Measure::BytesWritten,
    Measure::PacketsRead,
    Measure::PacketsWritten,
    Measure::Connections,
    Measure::Tcp,
    Measure::Retransmits,
    Measure::Established,
    Measure::Closed,
    Measure::ConnectFailures,
    Measure::Rtt,
    Measure::RttVar,
];

/// A set of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures(u16);

impl Measures {
    /// All of them.
    pub const ALL: Self = Self((1 << ALL.len()) - 1);

    /// The set with the sums that a field is made of.
    #[must_use]
    pub fn with_field(self, name: &str) -> Self {
        use Measure as M;
        let wanted: &[Measure] = match name {
            "bytes_read" => &[M::BytesRead],
            "bytes_written" => &[M::BytesWritten],
            "packets_read" => &[M::PacketsRead],
            "packets_written" => &[M::PacketsWritten],
            "connections" => &[M::Connections],
            "retransmits" => &[M::Tcp, M::Retransmits],
            "tcp_established" => &[M::Tcp, M::Established],
            "tcp_closed" => &[M::Tcp, M::Closed],
            "tcp_connect_failures" => &[M::Tcp, M::ConnectFailures],
            "rtt" | "rtt_min" | "rtt_max" => &[M::Tcp, M::Rtt],
            "rtt_var" => &[M::Tcp, M::RttVar],
            _ => &[],
        };
        wanted.iter().fold(self, |set, measure| Self(set.0 | 1 << *measure as u16))
    }

    /// What is in either set.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, measure: Measure) -> bool {
        self.0 & (1 << measure as u16) != 0
    }

    /// Round-trip times are asked for.
    #[must_use]
    pub fn has_rtt(self) -> bool {
        self.has(Measure::Rtt)
    }

    /// Mean deviations of round-trip times are asked for.
    #[must_use]
    pub fn has_rtt_var(self) -> bool {
        self.has(Measure::RttVar)
    }
}

/// Where in a row each sum is.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    at: [Option<usize>; ALL.len()],
    words: usize,
}

impl Layout {
    /// Where these are; connections are always counted.
    pub(crate) fn new(measures: Measures) -> Self {
        let measures = measures.with_field("connections");
        let (mut at, mut words) = ([None; ALL.len()], 0);
        for (place, measure) in at.iter_mut().zip(ALL).filter(|(_, measure)| measures.has(*measure)) {
            *place = Some(words);
            words += if matches!(measure, Measure::Rtt | Measure::RttVar) { 3 } else { 1 };
        }
        Self { at, words }
    }

    /// Words that the sums take.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Adds sums to those in a row.
    pub(crate) fn add(&self, words: &mut [u64], sums: &Sums) {
        let mut more = |measure: Measure, count: u64| {
            if let Some(word) = self.at[measure as usize].and_then(|at| words.get_mut(at)) {
                *word = word.saturating_add(count);
            }
        };
        more(Measure::BytesRead, sums.bytes_read);
        more(Measure::BytesWritten, sums.bytes_written);
        more(Measure::PacketsRead, sums.packets_read);
        more(Measure::PacketsWritten, sums.packets_written);
        more(Measure::Connections, sums.connections);
        let Some(tcp) = &sums.tcp else { return };
        more(Measure::Tcp, 1);
        more(Measure::Retransmits, tcp.retransmits);
        more(Measure::Established, tcp.established);
        more(Measure::Closed, tcp.closed);
        more(Measure::ConnectFailures, tcp.connect_failures);
        for (measure, measured) in [(Measure::Rtt, &tcp.rtt), (Measure::RttVar, &tcp.rtt_var)] {
            if let Some(words) = self.at[measure as usize].and_then(|at| words.get_mut(at..at + 3)) {
                let mut all = measurements(words);
                all.merge(measured);
                words.copy_from_slice(&all.words());
            }
        }
    }

    /// Nothing was added to a row.
    pub(crate) fn is_empty(&self, words: &[u64]) -> bool {
        let connections = self.at[Measure::Connections as usize].and_then(|at| words.get(at));
        connections.is_none_or(|connections| *connections == 0)
    }

    /// The sums in a row.
    pub(crate) fn sums(&self, words: &[u64]) -> Sums {
        let at = |measure: Measure| self.at[measure as usize].and_then(|at| words.get(at)).copied().unwrap_or(0);
        let measured = |measure: Measure| {
            let words = self.at[measure as usize].and_then(|at| words.get(at..at + 3));
            words.map(measurements).unwrap_or_default()
        };
        Sums {
            bytes_read: at(Measure::BytesRead),
            bytes_written: at(Measure::BytesWritten),
            packets_read: at(Measure::PacketsRead),
            packets_written: at(Measure::PacketsWritten),
            connections: at(Measure::Connections),
            tcp: (at(Measure::Tcp) > 0).then(|| TcpSums {
                retransmits: at(Measure::Retransmits),
                established: at(Measure::Established),
                closed: at(Measure::Closed),
                connect_failures: at(Measure::ConnectFailures),
                rtt: measured(Measure::Rtt),
                rtt_var: measured(Measure::RttVar),
            }),
        }
    }
}

fn measurements(words: &[u64]) -> Measurements {
    match words {
        [sum, count, range] => Measurements::from_words([*sum, *count, *range]),
        _ => Measurements::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{FIELDS, Source};

    /// Sums that differ in each number.
    fn sums(times: u64) -> Sums {
        let mut measured = Measurements::default();
        measured.add(u32::try_from(100 * times).unwrap());
        measured.add(7);
        Sums {
            bytes_read: times,
            bytes_written: 2 * times,
            packets_read: 3 * times,
            packets_written: 4 * times,
            connections: 5 * times,
            tcp: Some(TcpSums {
                retransmits: 6 * times,
                established: 7 * times,
                closed: 8 * times,
                connect_failures: 9 * times,
                rtt: measured,
                rtt_var: measured,
            }),
        }
    }

    #[test]
    fn every_measure_has_what_it_is_made_of_and_nothing_else() {
        for field in &FIELDS {
            let Source::Measure(get) = field.source else { continue };
            let layout = Layout::new(Measures::default().with_field(field.name));
            let mut words = vec![0; layout.words()];
            let mut whole = Sums::default();
            for more in [sums(1), Sums { tcp: None, ..sums(2) }, sums(3)] {
                layout.add(&mut words, &more);
                whole.merge(&more);
            }
            assert_eq!(get(&layout.sums(&words)), get(&whole), "{}", field.name);
            assert!(layout.words() <= 5, "{}", field.name);
        }
        let layout = Layout::new(Measures::ALL);
        let mut words = vec![0; layout.words()];
        layout.add(&mut words, &sums(9));
        assert_eq!(layout.sums(&words), sums(9));
        layout.add(&mut words, &Sums { bytes_read: u64::MAX, ..Sums::default() });
        assert_eq!(layout.sums(&words).bytes_read, u64::MAX);
    }

    #[test]
    fn a_group_without_tcp_has_nothing_of_tcp() {
        let layout = Layout::new(Measures::ALL);
        let mut words = vec![0; layout.words()];
        layout.add(&mut words, &Sums { tcp: None, ..sums(3) });
        assert_eq!(layout.sums(&words), Sums { tcp: None, ..sums(3) });
    }
}
