//! Who began a conversation, and which port is a mere client's.
//!
//! In: a connection's attributes, the listening sockets known so far, the cluster, the host's range of client ports. Out: direction
//! and folded ports. Never here: guesses from well-known port numbers.

use rustc_hash::FxHashMap;

use crate::address::Endpoint;
use crate::event::{Body, Direction, Identity, Listen, Transport};
use crate::k8s::Cluster;

/// Lowest client port of a host that does not say its own (`net.ipv4.ip_local_port_range` defaults to 32768–60999).
pub const DEFAULT_EPHEMERAL_PORT_MIN: u16 = 32768;

/// The ports on which this host listens, by namespace, with what is known of each process that does: a port is one as long
/// as any of them is left.
#[derive(Debug, Default)]
pub struct Listening {
    ports: FxHashMap<(Transport, Option<u32>, Endpoint), Vec<Listen>>,
}

impl Listening {
    /// Learns of a listening socket, or of its end. The end of a socket whose process is not known, or that nobody was
    /// known to have, ends all.
    pub fn learn(&mut self, listen: &Listen) {
        let key = (listen.transport, listen.netns, listen.local);
        let sockets = self.ports.entry(key).or_default();
        let known = sockets.iter_mut().find(|socket| socket.pid == listen.pid);
        match known {
            Some(known) if !listen.end => known.process = listen.process.clone().or(known.process.take()),
            None if !listen.end => sockets.push(listen.clone()),
            Some(_) if listen.pid.is_some() => sockets.retain(|socket| socket.pid != listen.pid),
            _ => sockets.clear(),
        }
        if sockets.is_empty() {
            self.ports.remove(&key);
        }
    }

    /// Events that tell of every socket that listens.
    pub(crate) fn restate(&self) -> Vec<Body> {
        let mut ports: Vec<_> = self.ports.iter().collect();
        ports.sort_unstable_by_key(|(key, _)| **key);
        ports.into_iter().flat_map(|(_, sockets)| sockets).cloned().map(Body::Listen).collect()
    }

    /// The local end belongs to a listening socket: one of its own address, or one of all addresses.
    #[must_use]
    pub fn has(&self, transport: Transport, netns: Option<u32>, local: Endpoint) -> bool {
        let unspecified = [
            Endpoint::new(std::net::Ipv4Addr::UNSPECIFIED.into(), local.port()),
            Endpoint::new(std::net::Ipv6Addr::UNSPECIFIED.into(), local.port()),
        ];
        std::iter::once(local).chain(unspecified).any(|end| self.ports.contains_key(&(transport, netns, end)))
    }
}

/// Who began: the kernel's evidence if there is any; else who listens is the server; else who serves in the cluster is;
/// else who alone has a client's port is the client; else nobody knows.
#[must_use]
pub fn direction(
    identity: &Identity,
    listening: &Listening,
    cluster: Option<&Cluster>,
    ephemeral_port_min: u16,
) -> Option<Direction> {
    if identity.direction.is_some() {
        return identity.direction;
    }
    if listening.has(identity.transport, identity.netns, identity.local)
        || cluster.is_some_and(|cluster| cluster.is_server(identity.transport, identity.local))
    {
        return Some(Direction::Incoming);
    }
    match (identity.local.port() >= ephemeral_port_min, identity.remote.port() >= ephemeral_port_min) {
        (true, false) => Some(Direction::Outgoing),
        (false, true) => Some(Direction::Incoming),
        _ => None,
    }
}

/// The ports of both ends, local first; `None` is a client's port that is folded. Only the client's end is ever folded,
/// and only when its port is one of those that hosts give to clients.
#[must_use]
pub fn fold(identity: &Identity, direction: Option<Direction>, ephemeral_port_min: u16) -> (Option<u16>, Option<u16>) {
    let [local, remote] = fold_ports([identity.local.port(), identity.remote.port()], direction, ephemeral_port_min);
    (local, remote)
}

/// The same of the ports alone.
pub(crate) fn fold_ports(
    [local, remote]: [u16; 2],
    direction: Option<Direction>,
    ephemeral_port_min: u16,
) -> [Option<u16>; 2] {
    let keep = |port: u16, is_client: bool| (!is_client || port < ephemeral_port_min).then_some(port);
    [keep(local, direction == Some(Direction::Outgoing)), keep(remote, direction == Some(Direction::Incoming))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(local: u16, remote: u16, direction: Option<Direction>) -> Identity {
        Identity {
            direction,
            netns: Some(1),
            ..Identity::new(
                Transport::Tcp,
                Endpoint::new([10, 0, 0, 1].into(), local),
                Endpoint::new([10, 0, 0, 2].into(), remote),
            )
        }
    }

    #[test]
    fn folding_table() {
        use Direction::{Incoming, Outgoing};
        let table = [
            (0, Some(Outgoing), 40000, 443, None, Some(443)),
            (0, Some(Outgoing), 8080, 9090, None, Some(9090)),
            (0, Some(Incoming), 40000, 443, Some(40000), None),
            (0, Some(Incoming), 8080, 52000, Some(8080), None),
            (32768, Some(Outgoing), 40000, 443, None, Some(443)),
            (32768, Some(Outgoing), 8080, 52000, Some(8080), Some(52000)),
            (32768, Some(Outgoing), 8080, 9090, Some(8080), Some(9090)),
            (32768, Some(Outgoing), 50000, 60000, None, Some(60000)),
            (32768, Some(Incoming), 40000, 443, Some(40000), Some(443)),
            (32768, Some(Incoming), 8080, 52000, Some(8080), None),
            (32768, None, 40000, 52000, Some(40000), Some(52000)),
        ];
        for (min, way, local, remote, src, dst) in table {
            assert_eq!(fold(&identity(local, remote, way), way, min), (src, dst), "{min} {way:?} {local} {remote}");
        }
    }

    #[test]
    fn evidence_comes_before_listening_and_listening_before_ports() {
        use Direction::{Incoming, Outgoing};
        let mut listening = Listening::default();
        let none = Listening::default();
        let mut listen = Listen {
            transport: Transport::Tcp,
            local: Endpoint::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 50001),
            netns: Some(1),
            pid: None,
            process: None,
            end: false,
        };
        listening.learn(&listen);
        assert_eq!(direction(&identity(50001, 80, Some(Outgoing)), &listening, None, 32768), Some(Outgoing));
        assert_eq!(direction(&identity(50001, 80, None), &listening, None, 32768), Some(Incoming));
        assert_eq!(direction(&identity(50001, 80, None), &none, None, 32768), Some(Outgoing));
        assert_eq!(direction(&identity(80, 50001, None), &none, None, 32768), Some(Incoming));
        assert_eq!(direction(&identity(80, 81, None), &none, None, 32768), None);
        assert_eq!(direction(&identity(40000, 50001, None), &none, None, 32768), None);
        let elsewhere = Identity { netns: Some(2), ..identity(50001, 80, None) };
        assert_eq!(
            direction(&elsewhere, &listening, None, 32768),
            Some(Outgoing),
            "listening counts in its own namespace only"
        );
        listen.end = true;
        listening.learn(&listen);
        assert_eq!(direction(&identity(50001, 80, None), &listening, None, 32768), Some(Outgoing));
    }

    #[test]
    fn a_port_is_listening_as_long_as_anybody_is_left() {
        let local: Endpoint = "0.0.0.0:53".parse().unwrap();
        let event = |pid, end| Listen { transport: Transport::Udp, local, netns: Some(1), pid, process: None, end };
        let left = |events: &[(Option<u32>, bool)]| {
            let mut listening = Listening::default();
            events.iter().for_each(|(pid, end)| listening.learn(&event(*pid, *end)));
            listening.has(Transport::Udp, Some(1), "192.0.2.1:53".parse().unwrap())
        };
        assert!(left(&[(Some(1), false), (Some(2), false), (Some(1), true)]));
        assert!(!left(&[(Some(1), false), (Some(2), false), (Some(1), true), (Some(2), true)]));
        assert!(!left(&[(Some(1), false), (Some(1), false), (Some(1), true)]), "said twice is one");
        assert!(!left(&[(Some(1), false), (None, true)]));
        assert!(!left(&[(None, false), (Some(1), true)]));
        assert!(!left(&[(Some(1), true)]));
    }
}
