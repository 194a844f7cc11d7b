//! Addresses: canonical form, kind, and the two ends of a connection.
//!
//! In: addresses as the kernel gives them. Out: canonical addresses (an IPv4 address mapped into IPv6 is an IPv4
//! address) and what kind of address each is. Never here: look-ups of names or of the machine's own addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// One end of a connection. The address is always canonical: see [`Endpoint::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// An end of a connection; `::ffff:a.b.c.d` becomes `a.b.c.d` (RFC 4291, section 2.5.5.2), so that a dual-stack
    /// socket and a plain one that talk to the same host look the same everywhere after this point.
    #[must_use]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self { ip: ip.to_canonical(), port }
    }

    /// The canonical address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// The port in host order; 0 means that there is none.
    #[must_use]
    pub fn port(self) -> u16 {
        self.port
    }
}

/// `10.0.0.1:443`, `[2001:db8::1]:443`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

/// The text is not an address with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address with a port, like 10.0.0.1:443 or [2001:db8::1]:443, found {found:?}")]
pub struct EndpointError {
    /// What stood there.
    pub found: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<std::net::SocketAddr>()
            .map(|address| Self::new(address.ip(), address.port()))
            .map_err(|_| EndpointError { found: text.to_owned() })
    }
}

/// The four kinds of address that reports know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressType {
    /// RFC 1918 (10/8, 172.16/12, 192.168/16) and RFC 4193 (fc00::/7).
    Private,
    /// 224/4 and ff00::/8.
    Multicast,
    /// 127/8 and ::1.
    Loopback,
    /// Everything else, unspecified and link-local addresses among it.
    Other,
}

impl AddressType {
    /// The kind of a canonical address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) if ip.is_private() => Self::Private,
            IpAddr::V4(ip) if ip.is_multicast() => Self::Multicast,
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Self::Loopback,
            IpAddr::V6(ip) if ip.is_unique_local() => Self::Private,
            IpAddr::V6(ip) if ip.is_multicast() => Self::Multicast,
            _ => Self::Other,
        }
    }

    /// The word used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Multicast => "multicast",
            Self::Loopback => "loopback",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_become_ipv4() {
        let mapped: Endpoint = "[::ffff:10.0.0.1]:80".parse().unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.1:80");
        let compatible: Endpoint = "[::10.0.0.1]:80".parse().unwrap();
        assert_eq!(compatible.to_string(), "[::a00:1]:80");
    }

    #[test]
    fn endpoints_print_as_they_are_read() {
        for text in ["10.0.0.1:0", "[2001:db8::1]:65535", "[::]:53"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["10.0.0.1", "10.0.0.1:65536", "::1:80", "", "host:80"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn address_types() {
        let table = [
            ("172.16.0.0", "private"),
            ("172.31.0.0", "private"),
            ("172.32.0.0", "other"),
            ("172.15.255.255", "other"),
            ("10.0.0.0", "private"),
            ("192.168.0.0", "private"),
            ("224.0.0.0", "multicast"),
            ("239.0.0.0", "multicast"),
            ("127.0.0.0", "loopback"),
            ("127.255.255.255", "loopback"),
            ("101.2.3.4", "other"),
            ("0.0.0.0", "other"),
            ("169.254.0.1", "other"),
            ("100.64.0.1", "other"),
            ("240.0.0.1", "other"),
            ("255.255.255.255", "other"),
            ("fc01::", "private"),
            ("fd00::", "private"),
            ("ff01::", "multicast"),
            ("::1", "loopback"),
            ("2004:400::", "other"),
            ("::", "other"),
            ("fe80::1", "other"),
            ("fec0::1", "other"),
            ("64:ff9b::1", "other"),
            ("::a00:1", "other"),
        ];
        for (ip, kind) in table {
            assert_eq!(AddressType::of(ip.parse().unwrap()).name(), kind, "{ip}");
        }
    }
}
