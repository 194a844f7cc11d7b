//! One cell of a report.
//!
//! In: what an accessor of [`crate::field`] found. Out: a typed value that can be compared, hashed and written by any
//! format. Never here: text forms that belong to one format (times, empty cells).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// One cell. The order of the variants is the order of sorting: unknown first, then folded ports, then the rest by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Unknown, or not applicable.
    Null,
    /// A client's port, folded into `*`: the ephemeral ports of one client are one group.
    Folded,
    /// A number: see [`Type`] for its width.
    Number(u64),
    /// An address.
    Ip(IpAddr),
    /// The network of an address.
    Net(Net),
    /// One of a fixed set of words.
    Word(&'static str),
    /// Text.
    Text(Arc<str>),
    /// A moment: microseconds since 1970 in UTC.
    Time(i64),
}

impl Value {
    /// The value when it is there, otherwise [`Value::Null`].
    #[must_use]
    pub fn number<N: Into<u64>>(value: Option<N>) -> Self {
        value.map_or(Self::Null, |number| Self::Number(number.into()))
    }

    /// The text when it is there, otherwise [`Value::Null`].
    #[must_use]
    pub fn text(value: Option<&Arc<str>>) -> Self {
        value.map_or(Self::Null, |text| Self::Text(Arc::clone(text)))
    }

    /// The word when it is there, otherwise [`Value::Null`].
    #[must_use]
    pub fn word(value: Option<&'static str>) -> Self {
        value.map_or(Self::Null, Self::Word)
    }
}

/// A network whose address has no bits beyond its prefix, shown as `10.0.0.0/24`; of one address alone, as this address.
/// IPv4 comes before IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Net(IpNet);

impl Net {
    /// Its first and its last address.
    #[must_use]
    pub fn range(self) -> (IpAddr, IpAddr) {
        (self.0.network(), self.0.broadcast())
    }
}

impl From<IpNet> for Net {
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Unsigned, 16 bits: a port.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits: a counter.
    U64,
    /// UTF-8 text.
    Text,
    /// An address, written as text.
    Ip,
    /// The network of an address, written as text.
    Net,
    /// A moment in UTC, to the microsecond.
    Time,
}

impl Type {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::Text => "text",
            Self::Ip => "ip",
            Self::Net => "net",
            Self::Time => "time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_no_more_than_it_is_said_to() {
        // A set has a byte beside each place, and between 7/16 and 7/8 of its places are taken: 29 to 57 bytes a value.
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn networks_are_sorted_by_address_and_shown_as_one_where_they_are_one() {
        let net = |text: &str| Net::from(text.parse::<IpNet>().unwrap());
        let mut nets = ["2001:db8::/32", "10.0.0.0/24", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.7/32", "::1/128"].map(net);
        nets.sort();
        let shown: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.7", "::1", "2001:db8::/32"]);
        assert_eq!(net("10.1.2.3/8").to_string(), "10.0.0.0/8");
    }
}
