//! Names of remote addresses, as somebody on this host asked for them.
//!
//! In: answers of the name service. Out: the name under which an address was looked up, while the answer holds. Never here:
//! reverse look-ups, canonical names behind the one that was asked for.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::event::{Body, Dns};
use crate::sweep::{Sweep, middle};

/// An answer holds at least this long, in nanoseconds: programs keep addresses for longer than a TTL of a few seconds allows.
pub const SHORTEST_NS: u64 = 60_000_000_000;

/// So many names of one address are known, the latest.
const MOST_NAMES: usize = 64;

/// Answers that hold, by address.
#[derive(Debug, Default)]
pub struct Domains {
    /// The latest last.
    answers: FxHashMap<IpAddr, Vec<Answer>>,
    count: usize,
    /// Answers ever seen: the number of the next.
    numbers: u64,
    sweep: Sweep,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    name: Arc<str>,
    netns: Option<u32>,
    pid: Option<u32>,
    from: u64,
    until: u64,
}

impl Domains {
    /// Learns an answer.
    pub fn learn(&mut self, at: u64, dns: &Dns) {
        if dns.name.is_empty() {
            return;
        }
        if self.sweep.is_due(self.count) {
            self.clear_out(at);
        }
        let until = at.saturating_add(u64::from(dns.ttl_s).saturating_mul(1_000_000_000).max(SHORTEST_NS));
        let answers = self.answers.entry(dns.addr.to_canonical()).or_default();
        let before = answers.len();
        let mut answer = Answer {
            number: self.numbers,
            name: Arc::clone(&dns.name),
            netns: dns.netns,
            pid: dns.pid,
            from: at,
            until,
        };
        // The same answer again goes on; it does not begin anew.
        answers.retain(|known| {
            let is_same = known.netns == answer.netns && known.name == answer.name && known.until >= at;
            if is_same {
                answer.until = answer.until.max(known.until);
            }
            !is_same && known.until > at
        });
        if answers.len() >= MOST_NAMES {
            answers.remove(0);
        }
        answers.push(answer);
        self.numbers += 1;
        self.count = (self.count + answers.len()).saturating_sub(before);
    }

    /// The latest answer that came until `now` and still held at `since`: one from the namespace if there is one, else one of
    /// which nobody knows the namespace. Without a namespace to look in, any.
    #[must_use]
    pub fn name(&self, addr: IpAddr, netns: Option<u32>, since: u64, now: u64) -> Option<&Arc<str>> {
        let answers = self.answers.get(&addr)?;
        let latest = |scope: Option<u32>, any: bool| {
            answers
                .iter()
                .rev()
                .find(|answer| (any || answer.netns == scope) && answer.from <= now && answer.until > since)
                .map(|answer| &answer.name)
        };
        match netns {
            Some(_) => latest(netns, false).or_else(|| latest(None, false)),
            None => latest(None, true),
        }
    }

    /// Events that tell, at `now`, of every answer that still holds. Who hears one at that time takes it to hold until the
    /// same time, but for [`SHORTEST_NS`] at least.
    pub(crate) fn restate(&self, now: u64) -> Vec<Body> {
        let mut holding: Vec<(&IpAddr, &Answer)> = Vec::new();
        for (addr, answers) in &self.answers {
            holding.extend(answers.iter().filter(|answer| answer.until > now).map(|answer| (addr, answer)));
        }
        // The latest answer is the one that is given.
        holding.sort_unstable_by_key(|(_, answer)| answer.number);
        holding.into_iter().map(|(addr, answer)| Body::Dns(answer.restate(*addr, now))).collect()
    }

    fn clear_out(&mut self, now: u64) {
        self.keep(|answer| answer.until > now);
        if self.sweep.is_over(self.count) {
            let numbers = self.answers.values().flatten().map(|answer| answer.number).collect();
            let oldest = middle(numbers);
            self.keep(|answer| answer.number >= oldest);
        }
        self.sweep.done(self.count);
    }

    fn keep(&mut self, holds: impl Fn(&Answer) -> bool) {
        self.answers.retain(|_, answers| {
            answers.retain(&holds);
            !answers.is_empty()
        });
        self.count = self.answers.values().map(Vec::len).sum();
    }
}

impl Answer {
    fn restate(&self, addr: IpAddr, now: u64) -> Dns {
        let left_s = self.until.saturating_sub(now).div_ceil(1_000_000_000);
        let ttl_s = u32::try_from(left_s).unwrap_or(u32::MAX);
        Dns { name: Arc::clone(&self.name), addr, ttl_s, netns: self.netns, pid: self.pid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::MOST;

    const S: u64 = 1_000_000_000;

    fn answer(name: &str, addr: &str, ttl_s: u32, netns: Option<u32>) -> Dns {
        Dns { name: name.into(), addr: addr.parse().unwrap(), ttl_s, netns, pid: None }
    }

    fn name(domains: &Domains, addr: &str, netns: Option<u32>, at: u64) -> Option<String> {
        domains.name(addr.parse().unwrap(), netns, at, at).map(ToString::to_string)
    }

    #[test]
    fn an_answer_holds_for_its_ttl_and_for_a_minute_at_least() {
        let mut domains = Domains::default();
        domains.learn(0, &answer("short.example", "192.0.2.1", 5, None));
        domains.learn(0, &answer("long.example", "192.0.2.2", 300, None));
        let table = [
            ("192.0.2.1", 59, Some("short.example")),
            ("192.0.2.1", 60, None),
            ("192.0.2.2", 60, Some("long.example")),
            ("192.0.2.2", 299, Some("long.example")),
            ("192.0.2.2", 300, None),
            ("192.0.2.3", 0, None),
        ];
        for (addr, at_s, expected) in table {
            assert_eq!(name(&domains, addr, Some(1), at_s * S).as_deref(), expected, "{addr} {at_s}");
        }
    }

    #[test]
    fn the_latest_answer_that_still_holds_wins() {
        let mut domains = Domains::default();
        domains.learn(0, &answer("first.example", "192.0.2.1", 600, None));
        domains.learn(10 * S, &answer("second.example", "192.0.2.1", 60, None));
        assert_eq!(name(&domains, "192.0.2.1", None, 9 * S).as_deref(), Some("first.example"));
        assert_eq!(name(&domains, "192.0.2.1", None, 69 * S).as_deref(), Some("second.example"));
        assert_eq!(name(&domains, "192.0.2.1", None, 70 * S).as_deref(), Some("first.example"));
        domains.learn(80 * S, &answer("first.example", "192.0.2.1", 60, None));
        assert_eq!(
            name(&domains, "192.0.2.1", None, 599 * S).as_deref(),
            Some("first.example"),
            "the longer TTL holds"
        );
    }

    #[test]
    fn one_namespace_does_not_name_what_another_asked_for() {
        let mut domains = Domains::default();
        domains.learn(0, &answer("one.example", "192.0.2.1", 60, Some(1)));
        domains.learn(1, &answer("two.example", "192.0.2.1", 60, Some(2)));
        domains.learn(2, &answer("all.example", "192.0.2.1", 60, None));
        let table =
            [(Some(1), "one.example"), (Some(2), "two.example"), (Some(3), "all.example"), (None, "all.example")];
        for (netns, expected) in table {
            assert_eq!(name(&domains, "192.0.2.1", netns, 5).as_deref(), Some(expected), "{netns:?}");
        }
        domains.learn(3, &answer("one.example", "192.0.2.9", 60, Some(1)));
        assert_eq!(name(&domains, "192.0.2.9", Some(2), 5), None);
        assert_eq!(name(&domains, "192.0.2.9", None, 5).as_deref(), Some("one.example"));
    }

    #[test]
    fn memory_follows_the_answers_that_hold() {
        let mut domains = Domains::default();
        for number in 0..200_000_u32 {
            let at = u64::from(number) * S;
            domains.learn(at, &answer("a.example", &std::net::Ipv4Addr::from(number).to_string(), 5, None));
            domains.learn(at, &answer(&format!("{number}.example"), "2001:db8::1", 5, None));
        }
        assert!(domains.count <= 1024, "{}", domains.count);
        for number in 0..=u32::try_from(MOST).unwrap() {
            domains.learn(0, &answer("a", &std::net::Ipv4Addr::from(number).to_string(), u32::MAX, None));
        }
        assert!(domains.count <= MOST);
        assert_eq!(domains.count, domains.answers.values().map(Vec::len).sum::<usize>());
    }
}
