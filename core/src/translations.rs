//! Where translated destinations really are (DNAT).
//!
//! In: nat events. Out: the translated destination of a connection. Never here: translations of the source.
//!
//! A translation belongs to the connection with its ends and goes with it, so that the next one with the same ends does not
//! inherit it.

use rustc_hash::FxHashMap;

use crate::address::Endpoint;
use crate::event::{Body, Identity, Nat, Transport};
use crate::sweep::{Sweep, middle};

/// How long an ended translation stays known, in nanoseconds: the next sample of its connection comes later.
pub const ENDED_NS: u64 = 120_000_000_000;

/// So many translations of the same ends are known, the latest.
const MOST_OF_ONE: usize = 16;

/// Translations, by the ends that a socket sees.
#[derive(Debug, Default)]
pub struct Translations {
    /// The latest last.
    known: FxHashMap<Ends, Vec<Translation>>,
    count: usize,
    /// Translations ever seen: the number of the next.
    numbers: u64,
    sweep: Sweep,
}

type Ends = (Transport, Endpoint, Endpoint);

#[derive(Debug)]
struct Translation {
    number: u64,
    netns: Option<u32>,
    dst: Endpoint,
    from: u64,
    ended: Option<u64>,
}

impl Translations {
    /// Learns of a translation, or of its end.
    pub fn learn(&mut self, at: u64, nat: &Nat) {
        if self.sweep.is_due(self.count) {
            self.clear_out(at);
        }
        let translations = self.known.entry((nat.transport, nat.local, nat.remote)).or_default();
        let mut is_new = !nat.end;
        for old in translations.iter_mut().filter(|old| old.netns == nat.netns && old.ended.is_none()) {
            if (old.dst == nat.dst) == nat.end {
                old.ended = Some(at);
            } else {
                is_new = false;
            }
        }
        if is_new {
            if translations.len() >= MOST_OF_ONE {
                translations.remove(0);
                self.count -= 1;
            }
            let number = self.numbers;
            translations.push(Translation { number, netns: nat.netns, dst: nat.dst, from: at, ended: None });
            self.numbers += 1;
            self.count += 1;
        }
    }

    /// The latest translation that held at some time from `since` to `now`: one from the connection's namespace if there is
    /// one, else one of which nobody knows the namespace. For a connection without a known namespace, any.
    #[must_use]
    pub fn destination(&self, identity: &Identity, since: u64, now: u64) -> Option<Endpoint> {
        let translations = self.known.get(&ends(identity))?;
        let latest = |scope: Option<u32>, any: bool| {
            translations
                .iter()
                .rev()
                .find(|nat| {
                    (any || nat.netns == scope) && nat.from <= now && nat.ended.is_none_or(|ended| ended >= since)
                })
                .map(|nat| nat.dst)
        };
        match identity.netns {
            Some(_) => latest(identity.netns, false).or_else(|| latest(None, false)),
            None => latest(None, true),
        }
    }

    /// Events that tell of every translation that has not ended.
    pub(crate) fn restate(&self) -> Vec<Body> {
        let mut holding: Vec<(&Ends, &Translation)> = Vec::new();
        for (ends, translations) in &self.known {
            holding.extend(translations.iter().filter(|nat| nat.ended.is_none()).map(|nat| (ends, nat)));
        }
        // The latest translation is the one that is given.
        holding.sort_unstable_by_key(|(_, nat)| nat.number);
        let restated = holding.into_iter().map(|(&(transport, local, remote), nat)| Nat {
            transport,
            local,
            remote,
            dst: nat.dst,
            netns: nat.netns,
            end: false,
        });
        restated.map(Body::Nat).collect()
    }

    /// A connection that was last heard of at `at` is over, and what belonged to it.
    pub fn forget(&mut self, identity: &Identity, at: u64) {
        let key = ends(identity);
        let Some(translations) = self.known.get_mut(&key) else { return };
        let before = translations.len();
        translations.retain(|nat| !nat.is_of(identity, at));
        self.count -= before - translations.len();
        if translations.is_empty() {
            self.known.remove(&key);
        }
    }

    /// Those that have not ended and that [`Translations::forget`] would forget.
    pub(crate) fn of(&self, identity: &Identity, at: u64) -> Vec<Nat> {
        let (transport, local, remote) = ends(identity);
        let known = self.known.get(&(transport, local, remote)).into_iter().flatten();
        known
            .filter(|nat| nat.ended.is_none() && nat.is_of(identity, at))
            .map(|nat| Nat { transport, local, remote, dst: nat.dst, netns: nat.netns, end: false })
            .collect()
    }

    fn clear_out(&mut self, now: u64) {
        self.keep(|nat| nat.ended.is_none_or(|ended| ended.saturating_add(ENDED_NS) > now));
        if self.sweep.is_over(self.count) {
            let numbers = self.known.values().flatten().map(|nat| nat.number).collect();
            let oldest = middle(numbers);
            self.keep(|nat| nat.number >= oldest);
        }
        self.sweep.done(self.count);
    }

    fn keep(&mut self, holds: impl Fn(&Translation) -> bool) {
        self.known.retain(|_, translations| {
            translations.retain(&holds);
            !translations.is_empty()
        });
        self.count = self.known.values().map(Vec::len).sum();
    }
}

impl Translation {
    /// It belongs to a connection with its ends that was last heard of at `at`.
    fn is_of(&self, identity: &Identity, at: u64) -> bool {
        let elsewhere = self.netns.is_some() && identity.netns.is_some() && self.netns != identity.netns;
        self.from <= at && !elsewhere
    }
}

fn ends(identity: &Identity) -> Ends {
    (identity.transport, identity.local, identity.remote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::MOST;

    fn nat(dst: &str, netns: Option<u32>, end: bool) -> Nat {
        Nat {
            transport: Transport::Tcp,
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: "10.96.0.1:443".parse().unwrap(),
            dst: dst.parse().unwrap(),
            netns,
            end,
        }
    }

    fn identity(netns: Option<u32>) -> Identity {
        Identity {
            netns,
            ..Identity::new(Transport::Tcp, "10.0.0.1:40000".parse().unwrap(), "10.96.0.1:443".parse().unwrap())
        }
    }

    fn dst(translations: &Translations, netns: Option<u32>, since: u64, now: u64) -> Option<String> {
        translations.destination(&identity(netns), since, now).map(|end| end.to_string())
    }

    #[test]
    fn a_translation_holds_until_its_end() {
        let mut translations = Translations::default();
        for (at, body) in [
            (10, nat("10.42.0.1:8443", Some(1), false)),
            (15, nat("10.42.0.1:8443", Some(1), false)),
            (20, nat("10.42.0.1:8443", Some(1), true)),
            (30, nat("10.42.0.2:8443", Some(1), false)),
        ] {
            translations.learn(at, &body);
        }
        let table = [
            (5, 9, None),
            (5, 12, Some("10.42.0.1:8443")),
            (20, 25, Some("10.42.0.1:8443")),
            (21, 25, None),
            (21, 30, Some("10.42.0.2:8443")),
            (5, 40, Some("10.42.0.2:8443")),
        ];
        for (since, now, expected) in table {
            assert_eq!(dst(&translations, Some(1), since, now).as_deref(), expected, "{since} {now}");
        }
    }

    #[test]
    fn namespaces_and_transports_are_kept_apart() {
        let mut translations = Translations::default();
        translations.learn(1, &nat("10.42.0.1:1", Some(1), false));
        translations.learn(2, &nat("10.42.0.2:2", Some(2), false));
        assert_eq!(dst(&translations, Some(3), 0, 9), None);
        translations.learn(3, &nat("10.42.0.9:9", None, false));
        let table =
            [(Some(1), "10.42.0.1:1"), (Some(2), "10.42.0.2:2"), (Some(3), "10.42.0.9:9"), (None, "10.42.0.9:9")];
        for (netns, expected) in table {
            assert_eq!(dst(&translations, netns, 0, 9).as_deref(), Some(expected), "{netns:?}");
        }
        let udp = Identity { transport: Transport::Udp, ..identity(Some(1)) };
        assert_eq!(translations.destination(&udp, 0, 9), None);
    }

    #[test]
    fn a_translation_goes_with_its_connection() {
        let mut translations = Translations::default();
        translations.learn(1, &nat("10.42.0.1:1", Some(1), false));
        translations.learn(1, &nat("10.42.0.2:2", Some(2), false));
        translations.learn(9, &nat("10.42.0.3:3", None, false));
        translations.forget(&identity(Some(1)), 5);
        assert_eq!(dst(&translations, Some(1), 6, 9).as_deref(), Some("10.42.0.3:3"), "what came later stays");
        assert_eq!(dst(&translations, Some(2), 6, 9).as_deref(), Some("10.42.0.2:2"));
        translations.forget(&identity(None), 9);
        assert_eq!((translations.count, translations.known.len()), (0, 0));
    }

    #[test]
    fn memory_follows_the_translations_that_hold() {
        let mut translations = Translations::default();
        let of = |number: u32, end| Nat {
            local: Endpoint::new(std::net::Ipv4Addr::from(number).into(), 1),
            ..nat("10.42.0.1:1", None, end)
        };
        for number in 0..200_000_u32 {
            let at = u64::from(number) * 1_000_000_000;
            translations.learn(at, &of(number, false));
            translations.learn(at, &of(number, true));
        }
        assert!(translations.count <= 1024, "{}", translations.count);
        for number in 0..=u32::try_from(MOST).unwrap() {
            translations.learn(0, &of(number, false));
            translations.learn(0, &nat(&format!("10.42.0.1:{}", number % 1000), None, false));
        }
        assert!(translations.count <= MOST);
        assert_eq!(translations.count, translations.known.values().map(Vec::len).sum::<usize>());
    }
}
