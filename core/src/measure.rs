//! Which sums somebody wants, and where each is in a row of numbers.
//!
//! In: the measures of a report, [`Sums`]. Out: words, to which more sums are added. Never here: whose they are.

use rustc_hash::FxHashMap;

use crate::sums::{Measurements, Sums, TcpSums};
use crate::tabular::Typed;

/// Places in [`Totals::numbers`](crate::event::Totals::numbers).
const SENT_BYTES: usize = 0;
const RECV_BYTES: usize = 1;
const SENT_PACKETS: usize = 2;
const RECV_PACKETS: usize = 3;
const RETRANSMITS: usize = 4;
const RTT: usize = 5;
const RTT_VAR: usize = 6;

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

/// The sums that a field is made of.
fn sums_of(name: &str) -> &'static [Measure] {
    use Measure as M;
    match name {
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
    }
}

/// A set of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures(u16);

impl Measures {
    /// All of them.
    pub const ALL: Self = Self((1 << ALL.len()) - 1);

    /// The set with the sums that a field is made of.
    #[must_use]
    pub fn with_field(self, name: &str) -> Self {
        sums_of(name).iter().fold(self, |set, measure| Self(set.0 | 1 << *measure as u16))
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

/// Where in a row each sum is. A sum has 32 bits there; where one outgrows them, the rest is kept elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    at: [Option<usize>; ALL.len()],
    words: usize,
    /// Of the counts that every connection has: the place of the number in a [`Batch::totals`](crate::batch::Batch), and where its sum is.
    counts: Box<[(usize, usize)]>,
    /// Where a TCP connection that was established and closed counts as one.
    ones: Box<[usize]>,
    /// Likewise of the measurements: the number, and where its sum, count and range are.
    measured: Box<[(usize, usize)]>,
}

/// What sums have beyond 32 bits, by row and place in it: few get there.
#[derive(Debug, Default)]
pub(crate) struct Carries(FxHashMap<(u32, usize), u32>);

impl Carries {
    /// Adds to the sum at a place of a row, which stays at the end of 64 bits.
    #[inline]
    fn add(&mut self, row: u32, words: &mut [u32], at: usize, count: u64) {
        let Some(word) = words.get_mut(at) else { return };
        let low = u64::from(*word) + u64::from(low(count));
        *word = self::low(low);
        let more = (count >> 32) + (low >> 32);
        if more > 0 {
            self.carry(row, word, at, more);
        }
    }

    #[cold]
    fn carry(&mut self, row: u32, word: &mut u32, at: usize, more: u64) {
        let carry = self.0.entry((row, at)).or_default();
        let sum = u64::from(*carry) + more;
        *carry = u32::try_from(sum).unwrap_or(u32::MAX);
        if sum > u64::from(*carry) {
            *word = u32::MAX;
        }
    }

    /// Adds measurements to those at a place of a row.
    fn measure(&mut self, row: u32, words: &mut [u32], at: usize, [sum, count]: [u64; 2], [low, high]: [u32; 2]) {
        self.add(row, words, at, sum);
        self.add(row, words, at + 1, count);
        if let Some([least, most]) = words.get_mut(at + 2..at + 4) {
            // No measurement is 0.
            *least = if *least == 0 { low } else { low.min(*least) };
            *most = high.max(*most);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.capacity() * (size_of::<((u32, usize), u32)>() + 1)
    }

    /// The sum at a place of a row.
    fn get(&self, row: u32, words: &[u32], at: usize) -> u64 {
        let carry = if self.0.is_empty() { 0 } else { self.0.get(&(row, at)).copied().unwrap_or(0) };
        u64::from(carry) << 32 | u64::from(words.get(at).copied().unwrap_or(0))
    }
}

/// A measure that is one sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    at: usize,
    /// It is that of TCP connections, and unknown where none is counted there.
    tcp: Option<usize>,
}

impl Count {
    /// Its values, row by row.
    pub(crate) fn of<'a>(self, rows: &[u32], words: impl Iterator<Item = &'a [u32]>, carries: &Carries) -> Typed<u64> {
        let Self { at, tcp } = self;
        match tcp {
            None if carries.0.is_empty() => {
                Typed::known(words.map(|words| words.get(at).copied().unwrap_or(0).into()).collect())
            }
            None => Typed::known(rows.iter().zip(words).map(|(row, words)| carries.get(*row, words, at)).collect()),
            Some(tcp) => Typed::new(
                rows.iter()
                    .zip(words)
                    .map(|(row, words)| (carries.get(*row, words, tcp) > 0).then(|| carries.get(*row, words, at))),
            ),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what is meant")]
fn low(number: u64) -> u32 {
    number as u32
}

impl Layout {
    /// Where these are; connections are always counted.
    pub(crate) fn new(measures: Measures) -> Self {
        let measures = measures.with_field("connections");
        let (mut at, mut words) = ([None; ALL.len()], 0);
        for (place, measure) in at.iter_mut().zip(ALL).filter(|(_, measure)| measures.has(*measure)) {
            *place = Some(words);
            // Sum, count, least and greatest.
            words += if matches!(measure, Measure::Rtt | Measure::RttVar) { 4 } else { 1 };
        }
        let found = |pairs: &[(usize, Measure)]| {
            pairs.iter().filter_map(|(number, measure)| Some((*number, at[*measure as usize]?))).collect::<Box<[_]>>()
        };
        let counts = [
            (SENT_BYTES, Measure::BytesWritten),
            (RECV_BYTES, Measure::BytesRead),
            (SENT_PACKETS, Measure::PacketsWritten),
            (RECV_PACKETS, Measure::PacketsRead),
        ];
        let ones = [Measure::Tcp, Measure::Established, Measure::Closed];
        Self {
            counts: found(&counts),
            ones: ones.iter().filter_map(|measure| at[*measure as usize]).collect(),
            measured: found(&[(RTT, Measure::Rtt), (RTT_VAR, Measure::RttVar)]),
            at,
            words,
        }
    }

    /// Words that the sums take.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Adds one connection of which nothing is known but its last totals, at a place of their columns: it was opened, and, if it `is_tcp`, established and closed in order.
    #[inline]
    pub(crate) fn add_one(
        &self,
        row: u32,
        words: &mut [u32],
        carries: &mut Carries,
        is_tcp: bool,
        totals: &[&[u64]; 9],
        place: usize,
    ) {
        let number = |column: usize| totals[column].get(place).copied().unwrap_or(0);
        if let Some(at) = self.at[Measure::Connections as usize] {
            carries.add(row, words, at, 1);
        }
        for (column, at) in &self.counts {
            carries.add(row, words, *at, number(*column));
        }
        if !is_tcp {
            return;
        }
        for at in &self.ones {
            carries.add(row, words, *at, 1);
        }
        if let Some(at) = self.at[Measure::Retransmits as usize] {
            carries.add(row, words, at, number(RETRANSMITS));
        }
        for (column, at) in &self.measured {
            let value = u32::try_from(number(*column)).unwrap_or(u32::MAX);
            if value > 0 {
                carries.measure(row, words, *at, [value.into(), 1], [value, value]);
            }
        }
    }

    /// Adds sums to those in a row.
    pub(crate) fn add(&self, row: u32, words: &mut [u32], carries: &mut Carries, sums: &Sums) {
        let mut more = |measure: Measure, count: u64| {
            if let Some(at) = self.at[measure as usize] {
                carries.add(row, words, at, count);
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
            let [sum, count, range] = measured.words();
            if let Some(at) = self.at[measure as usize].filter(|_| count > 0) {
                carries.measure(row, words, at, [sum, count], [low(range >> 32), low(range)]);
            }
        }
    }

    /// Where the measure of that name is, if it is one sum.
    pub(crate) fn count(&self, name: &str) -> Option<Count> {
        let (measure, is_tcp) = match sums_of(name) {
            [Measure::Tcp, Measure::Rtt | Measure::RttVar] => return None,
            [Measure::Tcp, measure] => (*measure, true),
            [measure] => (*measure, false),
            _ => return None,
        };
        let at = |measure: Measure| self.at[measure as usize];
        Some(Count { at: at(measure)?, tcp: if is_tcp { Some(at(Measure::Tcp)?) } else { None } })
    }

    /// Nothing was added to a row.
    #[inline]
    pub(crate) fn is_empty(&self, row: u32, words: &[u32], carries: &Carries) -> bool {
        let is_zero = |at: usize| words.get(at).is_none_or(|word| *word == 0) && carries.get(row, words, at) == 0;
        self.at[Measure::Connections as usize].is_none_or(is_zero)
    }

    /// Takes everything out of a row.
    pub(crate) fn clear(&self, row: u32, words: &mut [u32], carries: &mut Carries) {
        words.fill(0);
        if !carries.0.is_empty() {
            (0..self.words).for_each(|at| _ = carries.0.remove(&(row, at)));
        }
    }

    /// The sums in a row.
    pub(crate) fn sums(&self, row: u32, words: &[u32], carries: &Carries) -> Sums {
        let at = |measure: Measure| self.at[measure as usize].map_or(0, |at| carries.get(row, words, at));
        let measured = |measure: Measure| {
            let at = self.at[measure as usize].unwrap_or(words.len());
            let Some([_, _, least, most]) = words.get(at..at + 4) else { return Measurements::default() };
            let range = u64::from(*least) << 32 | u64::from(*most);
            Measurements::from_words([carries.get(row, words, at), carries.get(row, words, at + 1), range])
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

    /// These added in one row, beside another one.
    fn added(layout: &Layout, all: &[Sums]) -> Sums {
        let (mut words, mut other) = (vec![0; layout.words()], vec![0; layout.words()]);
        let mut carries = Carries::default();
        for sums in all {
            layout.add(0, &mut words, &mut carries, sums);
            layout.add(1, &mut other, &mut carries, sums);
            layout.add(1, &mut other, &mut carries, sums);
        }
        assert_eq!(layout.is_empty(0, &words, &carries), all.iter().all(|sums| sums.connections == 0));
        layout.sums(0, &words, &carries)
    }

    #[test]
    fn every_measure_has_what_it_is_made_of_and_nothing_else() {
        let all = [sums(1), Sums { tcp: None, ..sums(2) }, sums(3)];
        let mut whole = Sums::default();
        all.iter().for_each(|more| whole.merge(more));
        for field in &FIELDS {
            let Source::Measure(get) = field.source else { continue };
            let layout = Layout::new(Measures::default().with_field(field.name));
            assert_eq!(get(&added(&layout, &all)), get(&whole), "{}", field.name);
            assert!(layout.words() <= 6, "{}", field.name);
        }
        assert_eq!(added(&Layout::new(Measures::ALL), &[sums(9)]), sums(9));
        assert_eq!(added(&Layout::new(Measures::ALL), &[]), Sums::default());
    }

    #[test]
    fn sums_have_64_bits_and_stay_at_their_end() {
        let counts = [0, 1, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX - 1, u64::MAX, u64::MAX << 32];
        let layout = Layout::new(Measures::ALL);
        let of = |count: u64| {
            let mut sums = sums(1);
            sums.bytes_read = count;
            sums.connections = count;
            sums.tcp.get_or_insert_default().retransmits = count;
            sums.tcp.get_or_insert_default().rtt = Measurements::from_words([count, count.max(1), 3 << 32 | 5]);
            sums
        };
        for first in counts {
            for second in counts {
                for third in counts {
                    let all = [of(first), of(second), of(third)];
                    let mut whole = Sums::default();
                    all.iter().for_each(|more| whole.merge(more));
                    assert_eq!(added(&layout, &all), whole, "{first} {second} {third}");
                }
            }
        }
    }

    #[test]
    fn a_group_without_tcp_has_nothing_of_tcp() {
        let udp = Sums { tcp: None, ..sums(3) };
        assert_eq!(added(&Layout::new(Measures::ALL), &[udp]), udp);
    }
}
