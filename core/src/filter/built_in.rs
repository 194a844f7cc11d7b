//! What is left out of a report unless asked for.
//!
//! In: a connection's attributes, the change of one event. Out: keep or drop. Never here: state, and what a person asks for
//! in words.

use std::net::IpAddr;

use crate::address::{AddressType, Endpoint};
use crate::delta::Counts;
use crate::event::Identity;

/// Why a connection is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Port 0 or an unspecified address.
    Unspecified,
    /// A loopback address.
    Loopback,
    /// An address with itself.
    SameIp,
    /// Nothing happened in it.
    Idle,
    /// The user's filter does not hold of it.
    Filter,
}

/// How many connections were left out, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOutCounts {
    /// [`LeftOut::Unspecified`].
    pub unspecified: u64,
    /// [`LeftOut::Loopback`].
    pub loopback: u64,
    /// [`LeftOut::SameIp`].
    pub same_ip: u64,
    /// [`LeftOut::Idle`].
    pub idle: u64,
    /// [`LeftOut::Filter`].
    pub filter: u64,
}

impl LeftOutCounts {
    pub(crate) fn count(&mut self, cause: LeftOut) {
        match cause {
            LeftOut::Unspecified => self.unspecified += 1,
            LeftOut::Loopback => self.loopback += 1,
            LeftOut::SameIp => self.same_ip += 1,
            LeftOut::Idle => self.idle += 1,
            LeftOut::Filter => self.filter += 1,
        }
    }
}

/// What the built-in filters look at in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    No,
    Unspecified,
    Loopback,
}

impl Special {
    pub(crate) fn of(ip: IpAddr) -> Self {
        if ip.is_unspecified() {
            Self::Unspecified
        } else if AddressType::of(ip) == AddressType::Loopback {
            Self::Loopback
        } else {
            Self::No
        }
    }
}

/// What they look at in a connection; of both ends, in any order.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) special: [Special; 2],
    pub(crate) ports: [u16; 2],
    pub(crate) is_same_ip: bool,
}

/// The built-in filters; each can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuiltIn {
    /// Keep connections with port 0 or an unspecified address at either end.
    pub keep_unspecified: bool,
    /// Keep connections with a loopback address at either end.
    pub keep_loopback: bool,
    /// Keep connections in which nothing happened.
    pub keep_idle: bool,
    /// Drop connections of an address with itself.
    pub drop_same_ip: bool,
}

impl BuiltIn {
    /// Why a connection is left out by its ends; `None` when it is kept.
    #[must_use]
    pub fn leaves_out(&self, identity: &Identity) -> Option<LeftOut> {
        let ends = [identity.local, identity.remote];
        self.leaves_out_ends(&Ends {
            special: ends.map(|end| Special::of(end.ip())),
            ports: ends.map(Endpoint::port),
            is_same_ip: identity.local.ip() == identity.remote.ip(),
        })
    }

    /// The same, where what the addresses are is known.
    pub(crate) fn leaves_out_ends(&self, ends: &Ends) -> Option<LeftOut> {
        let is_unspecified = ends.ports.contains(&0) || ends.special.contains(&Special::Unspecified);
        if !self.keep_unspecified && is_unspecified {
            return Some(LeftOut::Unspecified);
        }
        if !self.keep_loopback && ends.special.contains(&Special::Loopback) {
            return Some(LeftOut::Loopback);
        }
        (self.drop_same_ip && ends.is_same_ip).then_some(LeftOut::SameIp)
    }

    /// Whether a change is kept.
    #[must_use]
    pub fn keeps_change(&self, counts: &Counts) -> bool {
        self.keep_idle || counts.is_active()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Transport;

    fn identity(local: &str, remote: &str) -> Identity {
        Identity::new(Transport::Tcp, local.parse().unwrap(), remote.parse().unwrap())
    }

    #[test]
    fn ends_that_are_kept() {
        let table = [
            ("127.1.0.1:1", "1.1.1.1:1", false),
            ("12.1.0.1:1", "127.0.0.1:1", false),
            ("12.1.0.1:0", "12.0.0.1:1", false),
            ("12.1.0.1:1", "12.0.0.1:0", false),
            ("12.1.0.1:1", "12.0.0.1:1", true),
            ("0.0.0.0:1", "12.0.0.1:1", false),
            ("10.0.0.1:1", "10.0.0.1:2", true),
            ("126.255.255.255:1", "128.0.0.1:1", true),
            ("[::1]:1", "[2::1]:1", false),
            ("[::1]:1", "[::1]:1", false),
            ("[2::1]:1", "[2::1]:1", true),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", false),
            ("[::ffff:8.8.8.8]:1", "[::ffff:127.9.9.9]:1", false),
            ("[::ffff:10.0.0.1]:1", "[::ffff:8.8.8.8]:1", true),
            ("[2001:db8::1]:1", "[2001:db8::2]:1", true),
            ("[fe80::1]:1", "[fe80::2]:1", true),
            ("[2001:db8::1]:1", "[::ffff:1.2.3.4]:1", true),
            ("[::]:1", "[2001:db8::1]:1", false),
            ("[::]:1", "[::]:1", false),
            ("[::100:0]:1", "[::100:0]:1", true),
        ];
        for (local, remote, kept) in table {
            assert_eq!(BuiltIn::default().leaves_out(&identity(local, remote)).is_none(), kept, "{local} {remote}");
        }
    }

    #[test]
    fn each_filter_can_be_switched() {
        let on = BuiltIn::default();
        assert_eq!(BuiltIn { keep_loopback: true, ..on }.leaves_out(&identity("127.0.0.1:1", "127.0.0.1:2")), None);
        assert_eq!(BuiltIn { keep_unspecified: true, ..on }.leaves_out(&identity("10.0.0.1:0", "0.0.0.0:2")), None);
        let to_itself = identity("10.0.0.1:1", "10.0.0.1:2");
        assert_eq!(BuiltIn { drop_same_ip: true, ..on }.leaves_out(&to_itself), Some(LeftOut::SameIp));
        assert!(!on.keeps_change(&Counts::default()));
        assert!(BuiltIn { keep_idle: true, ..on }.keeps_change(&Counts::default()));
    }

    #[test]
    fn any_change_is_activity() {
        let none = Counts::default();
        let changes = [
            Counts { sent_bytes: 1, ..none },
            Counts { recv_bytes: 1, ..none },
            Counts { sent_packets: 3, ..none },
            Counts { recv_packets: 3, ..none },
            Counts { retransmits: 5, ..none },
            Counts { established: 1, ..none },
            Counts { closed: 1, ..none },
            Counts { connect_failures: 1, ..none },
        ];
        for counts in changes {
            assert!(BuiltIn::default().keeps_change(&counts), "{counts:?}");
        }
    }
}
