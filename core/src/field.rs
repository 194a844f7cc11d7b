//! The one list of fields: every column of a report, what it means and where its value comes from.
//!
//! In: a window, a [`Flow`], its [`Sums`]. Out: a [`Value`]. Filters, grouping, tables, CSV, Parquet, JSON, the help of
//! the program and its documentation all read this list; adding a field is one more entry here.

use crate::address::{AddressType, Endpoint};
use crate::event::Direction;
use crate::flow::{Flow, Workload};
use crate::report::Window;
use crate::sums::{Sums, TcpSums};
use crate::value::{Type, Value};

/// One column of a report.
#[derive(Debug)]
pub struct Field {
    /// Its name in every format.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Its unit; empty where there is none.
    pub unit: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// Where its value comes from.
    pub source: Source,
    /// A report has it only when it is asked for by name.
    pub on_request: bool,
    /// All that it can be, where that is one of a few words; otherwise empty.
    pub words: &'static [&'static str],
}

/// Where a value comes from, which is also what a field can be used for.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The window: always a column.
    Window(fn(&Window) -> Value),
    /// The connection: a tag by which rows are grouped.
    Tag(fn(&Flow) -> Value),
    /// The sums: what is counted for each group.
    Measure(fn(&Sums) -> Value),
}

impl Source {
    /// The word that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::Tag(_) => "tag",
            Self::Measure(_) => "measure",
        }
    }

    /// What such a field can be used for, as the names of the options.
    #[must_use]
    pub fn uses(self) -> &'static [&'static str] {
        match self {
            Self::Tag(_) => &["filter", "having", "by", "distinct", "sort"],
            Self::Window(_) | Self::Measure(_) => &["having", "sort"],
        }
    }
}

impl Field {
    /// The tags by which rows are grouped when nothing else is asked for.
    pub fn default_tags() -> impl Iterator<Item = &'static Self> {
        FIELDS.iter().filter(|field| matches!(field.source, Source::Tag(_)) && !field.on_request)
    }

    /// A connection's own value: of a port the real one, though rows may have it folded. What only rows have is missing.
    #[must_use]
    pub fn of_connection(&self) -> fn(&Flow) -> Value {
        match (self.name, self.source) {
            ("src_port", _) => |flow| Value::Number(flow.identity.local.port().into()),
            ("dst_port", _) => |flow| Value::Number(flow.identity.remote.port().into()),
            (_, Source::Tag(get)) => get,
            (_, Source::Window(_) | Source::Measure(_)) => |_| Value::Null,
        }
    }

    /// It is known when the first event of a connection is recorded, or never from that event alone.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        RECORDED.contains(&self.name)
    }

    /// The field of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.name == name)
    }
}

/// A field is its name: the list has each once.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

/// The tags that the first event of a connection tells by itself.
const RECORDED: [&str; 11] = [
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "src_ip_type",
    "dst_ip_type",
    "family",
    "transport",
    "pid",
    "process_name",
    "netns",
];

/// The kinds of address.
const IP_TYPES: &[&str] = &["private", "multicast", "loopback", "other"];

const fn window(name: &'static str, help: &'static str, get: fn(&Window) -> Value) -> Field {
    Field { name, ty: Type::Time, unit: "UTC", help, source: Source::Window(get), on_request: false, words: &[] }
}

const fn tag(name: &'static str, ty: Type, help: &'static str, get: fn(&Flow) -> Value) -> Field {
    Field { name, ty, unit: "", help, source: Source::Tag(get), on_request: false, words: &[] }
}

const fn word(
    name: &'static str,
    words: &'static [&'static str],
    help: &'static str,
    get: fn(&Flow) -> Value,
) -> Field {
    Field { words, ..tag(name, Type::Text, help, get) }
}

const fn measure(name: &'static str, unit: &'static str, help: &'static str, get: fn(&Sums) -> Value) -> Field {
    Field { name, ty: Type::U64, unit, help, source: Source::Measure(get), on_request: false, words: &[] }
}

/// Every field, in the order of the columns.
pub static FIELDS: [Field; 44] = [
    window("window_start", "Beginning of the window that the row sums up.", |window| Value::Time(window.start_us)),
    window("window_end", "End of the window.", |window| Value::Time(window.end_us)),
    tag("host", Type::Text, "Name of the recorded host.", |flow| Value::text(flow.host.as_ref())),
    tag("src_ip", Type::Ip, "Address of the local end.", |flow| Value::Ip(flow.identity.local.ip())),
    tag("src_port", Type::U16, "Port of the local end; folded when it is a client's.", |flow| port(flow.src_port)),
    tag("dst_ip", Type::Ip, "Address of the remote end, as the socket sees it.", |flow| {
        Value::Ip(flow.identity.remote.ip())
    }),
    tag("dst_port", Type::U16, "Port of the remote end; folded when it is a client's.", |flow| port(flow.dst_port)),
    word("src_ip_type", IP_TYPES, "Kind of the local address: private, multicast, loopback or other.", |flow| {
        Value::Word(AddressType::of(flow.identity.local.ip()).name())
    }),
    word("dst_ip_type", IP_TYPES, "Kind of the remote address: private, multicast, loopback or other.", |flow| {
        Value::Word(AddressType::of(flow.identity.remote.ip()).name())
    }),
    word(
        "family",
        &["IPv4", "IPv6"],
        "IPv4 or IPv6, of the addresses (an IPv4 address mapped into IPv6 is IPv4).",
        |flow| {
            Value::Word(if flow.identity.local.ip().is_ipv4() && flow.identity.remote.ip().is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            })
        },
    ),
    word("transport", &["tcp", "udp"], "tcp or udp.", |flow| Value::Word(flow.identity.transport.name())),
    word("direction", &["incoming", "outgoing"], "incoming or outgoing: who began.", |flow| {
        Value::word(flow.direction.map(Direction::name))
    }),
    tag("pid", Type::U32, "Id of the process that owns the socket.", |flow| Value::number(flow.identity.pid)),
    tag("process_name", Type::Text, "Name of that process.", |flow| Value::text(flow.process_name.as_ref())),
    tag("netns", Type::U32, "Network namespace (inode number).", |flow| Value::number(flow.identity.netns)),
    tag("container_id", Type::Text, "Container of the process.", |flow| Value::text(flow.container_id.as_ref())),
    tag("dst_nat_ip", Type::Ip, "Address behind a translated destination.", |flow| {
        flow.dst_nat.map_or(Value::Null, |end| Value::Ip(end.ip()))
    }),
    tag("dst_nat_port", Type::U16, "Port behind a translated destination.", |flow| {
        Value::number(flow.dst_nat.map(Endpoint::port))
    }),
    tag("dst_domain", Type::Text, "Name under which the remote address was looked up.", |flow| {
        Value::text(flow.dst_domain.as_ref())
    }),
    word("sub_source", &["K8s"], "K8s when either end belongs to the cluster.", |flow| Value::word(flow.sub_source)),
    tag("src_k8s_namespace", Type::Text, "Kubernetes namespace of the local end.", |flow| {
        k8s(&flow.src_k8s, |end| &end.namespace)
    }),
    tag("src_k8s_pod_name", Type::Text, "Pod of the local end.", |flow| k8s(&flow.src_k8s, |end| &end.pod_name)),
    tag("src_k8s_service_name", Type::Text, "Service of the local end.", |flow| {
        k8s(&flow.src_k8s, |end| &end.service_name)
    }),
    tag("src_k8s_deployment_name", Type::Text, "Deployment of the local end.", |flow| {
        k8s(&flow.src_k8s, |end| &end.deployment_name)
    }),
    tag("dst_k8s_namespace", Type::Text, "Kubernetes namespace of the remote end.", |flow| {
        k8s(&flow.dst_k8s, |end| &end.namespace)
    }),
    tag("dst_k8s_pod_name", Type::Text, "Pod of the remote end.", |flow| k8s(&flow.dst_k8s, |end| &end.pod_name)),
    tag("dst_k8s_service_name", Type::Text, "Service of the remote end.", |flow| {
        k8s(&flow.dst_k8s, |end| &end.service_name)
    }),
    tag("dst_k8s_deployment_name", Type::Text, "Deployment of the remote end.", |flow| {
        k8s(&flow.dst_k8s, |end| &end.deployment_name)
    }),
    Field {
        on_request: true,
        ..word(
            "shared",
            &["true", "false"],
            "true when several processes held the socket, pid being one of them; only when asked for.",
            |flow| Value::Word(if flow.identity.shared { "true" } else { "false" }),
        )
    },
    Field {
        on_request: true,
        ..tag(
            "connection",
            Type::U64,
            "Id of the connection in its capture: with it, each connection is a row; only when asked for.",
            |flow| Value::number(flow.connection),
        )
    },
    Field {
        on_request: true,
        unit: "UTC",
        ..tag(
            "began",
            Type::Time,
            "When the connection was opened, or else first heard of; only when asked for.",
            |flow| flow.began.map_or(Value::Null, Value::Time),
        )
    },
    measure("bytes_read", "bytes", "Payload received by the local end.", |sums| Value::Number(sums.bytes_read)),
    measure("bytes_written", "bytes", "Payload sent by the local end.", |sums| Value::Number(sums.bytes_written)),
    measure("packets_read", "packets", "Segments (TCP) or datagrams (UDP) received.", |sums| {
        Value::Number(sums.packets_read)
    }),
    measure("packets_written", "packets", "Segments (TCP) or datagrams (UDP) sent.", |sums| {
        Value::Number(sums.packets_written)
    }),
    measure("retransmits", "segments", "Segments sent again; TCP only.", |sums| tcp(sums, |tcp| Some(tcp.retransmits))),
    measure("rtt", "µs", "Mean of the measured smoothed round-trip times; TCP only.", |sums| {
        tcp(sums, |tcp| tcp.rtt.mean())
    }),
    measure("rtt_var", "µs", "Mean of their mean deviations; TCP only.", |sums| tcp(sums, |tcp| tcp.rtt_var.mean())),
    measure("rtt_min", "µs", "Smallest measured round-trip time; TCP only.", |sums| {
        tcp(sums, |tcp| tcp.rtt.min().map(u64::from))
    }),
    measure("rtt_max", "µs", "Greatest measured round-trip time; TCP only.", |sums| {
        tcp(sums, |tcp| tcp.rtt.max().map(u64::from))
    }),
    measure("tcp_established", "connections", "Connections established in the window.", |sums| {
        tcp(sums, |tcp| Some(tcp.established))
    }),
    measure("tcp_closed", "connections", "Established connections that ended in the window.", |sums| {
        tcp(sums, |tcp| Some(tcp.closed))
    }),
    measure("tcp_connect_failures", "connects", "Connects that failed in the window.", |sums| {
        tcp(sums, |tcp| Some(tcp.connect_failures))
    }),
    measure("connections", "connections", "Connections in the row, each counted once.", |sums| {
        Value::Number(sums.connections)
    }),
];

fn port(port: Option<u16>) -> Value {
    port.map_or(Value::Folded, |port| Value::Number(port.into()))
}

fn tcp(sums: &Sums, get: fn(&TcpSums) -> Option<u64>) -> Value {
    Value::number(sums.tcp.as_ref().and_then(get))
}

fn k8s(end: &Option<Workload>, get: fn(&Workload) -> &std::sync::Arc<str>) -> Value {
    Value::text(end.as_ref().map(get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_helped() {
        let mut names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|field| field.help.ends_with('.')));
        assert!(Field::by_name("rtt").is_some());
        assert!(Field::by_name("rrt").is_none());
    }
}
