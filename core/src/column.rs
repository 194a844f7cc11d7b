//! The columns of a report: fields of the one list, and what is made of them on request.
//!
//! In: names as they are given: `dst_ip`, `dst_ip/24`. Out: tags by which rows are grouped or whose values are counted, and
//! the columns that follow from them. Never here: rows.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::field::{FIELDS, Field, Source};
use crate::flow::Flow;
use crate::report::Window;
use crate::sums::Sums;
use crate::value::{Net, Type, Value};

/// What the name of a column of counted values begins with.
const DISTINCT: &str = "distinct_";

/// A tag of connections: a field as it is, or the network of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    field: &'static Field,
    prefix: Option<Prefix>,
}

/// How many leading bits of an address are kept; all of them: the address stays whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    v4: u8,
    v6: u8,
}

/// One column of a report.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in every format. No other column of the report has it.
    pub name: Cow<'static, str>,
    /// Its type.
    pub ty: Type,
    /// Its unit; empty where there is none.
    pub unit: &'static str,
    /// What it means, in one sentence.
    pub help: Cow<'static, str>,
    /// Where its value comes from.
    pub cell: Cell,
}

/// Where in a row a value is.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// In its window.
    Window(fn(&Window) -> Value),
    /// It is the tag at this place of its key.
    Tag(usize),
    /// In its sums.
    Measure(fn(&Sums) -> Value),
    /// It is the count at this place of its counts of different values.
    Distinct(usize),
}

impl Tag {
    /// The tags by which rows are grouped when nothing else is asked for.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        Field::default_tags().map(|field| Self { field, prefix: None }).collect()
    }

    /// The tag of that name: a field, or a field that is an address with the length of a prefix behind it.
    ///
    /// `dst_ip/24` is the network of the first 24 bits, where the address is IPv4, and the whole address where it is IPv6;
    /// a length above 32 is one of IPv6, and IPv4 addresses stay whole. `dst_ip/24/64` gives both, IPv4 first.
    ///
    /// # Errors
    /// When no field has that name, it is no tag, or has no such prefix.
    pub fn parse(name: &str) -> Result<Self, TagError> {
        let (field_name, lengths) =
            name.split_once('/').map_or((name, None), |(field, lengths)| (field, Some(lengths)));
        let unknown = || TagError::Unknown { name: field_name.to_owned() };
        let field = Field::by_name(field_name).ok_or_else(unknown)?;
        if !matches!(field.source, Source::Tag(_)) {
            return Err(TagError::NoTag { field });
        }
        let Some(lengths) = lengths else { return Ok(Self { field, prefix: None }) };
        if field.ty != Type::Ip {
            return Err(TagError::NoAddress { field });
        }
        let prefix = Prefix::parse(lengths).ok_or_else(|| TagError::Prefix { name: name.to_owned(), field })?;
        Ok(Self { field, prefix: Some(prefix) })
    }

    /// The tags of these names.
    ///
    /// # Errors
    /// As [`Tag::parse`], and when one is there twice.
    pub fn parse_all<N: AsRef<str>>(names: &[N]) -> Result<Vec<Self>, TagError> {
        let mut tags: Vec<Self> = Vec::with_capacity(names.len());
        for name in names {
            let tag = Self::parse(name.as_ref())?;
            if tags.contains(&tag) {
                return Err(TagError::Twice { name: tag.name().into_owned() });
            }
            tags.push(tag);
        }
        Ok(tags)
    }

    /// Its field.
    #[must_use]
    pub fn field(self) -> &'static Field {
        self.field
    }

    /// Its name: that of the field, and behind it the lengths that leave anything of an address out.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self.prefix {
            None => Cow::Borrowed(self.field.name),
            Some(prefix) => Cow::Owned(format!("{}/{prefix}", self.field.name)),
        }
    }

    /// The name of the column that counts its different values.
    #[must_use]
    pub fn distinct_name(self) -> Cow<'static, str> {
        Cow::Owned(format!("{DISTINCT}{}", self.name()))
    }

    /// Its type.
    #[must_use]
    pub fn ty(self) -> Type {
        if self.prefix.is_some() { Type::Net } else { self.field.ty }
    }

    /// No two connections have the same.
    pub(crate) fn is_connection(self) -> bool {
        self.field.name == "connection"
    }

    /// Its value in the key of a row: of a port the folded one.
    #[must_use]
    pub fn in_row(self, flow: &Flow) -> Value {
        match self.field.source {
            Source::Tag(get) => self.cut(get(flow)),
            Source::Window(_) | Source::Measure(_) => Value::Null,
        }
    }

    /// Its value of the connection itself: of a port the real one.
    #[must_use]
    pub fn of_connection(self, flow: &Flow) -> Value {
        self.cut(self.field.of_connection()(flow))
    }

    pub(crate) fn cut(self, value: Value) -> Value {
        match (self.prefix, value) {
            (Some(prefix), Value::Ip(ip)) => Value::Net(prefix.of(ip)),
            (_, value) => value,
        }
    }
}

impl Prefix {
    fn parse(text: &str) -> Option<Self> {
        let length = |text: &str, most: u8| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u8>().ok().filter(|length| is_number && *length <= most)
        };
        if let Some((v4, v6)) = text.split_once('/') {
            return Some(Self { v4: length(v4, 32)?, v6: length(v6, 128)? });
        }
        let length = length(text, 128)?;
        Some(if length <= 32 { Self { v4: length, v6: 128 } } else { Self { v4: 32, v6: length } })
    }

    fn of(self, ip: IpAddr) -> Net {
        let length = if ip.is_ipv4() { self.v4 } else { self.v6 };
        Net::from(IpNet::new(ip, length).unwrap_or_else(|_| ip.into()).trunc())
    }
}

/// The shortest text that is read as the same.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.v4, self.v6) {
            (v4, 128) => v4.fmt(f),
            (32, v6 @ 33..) => v6.fmt(f),
            (v4, v6) => write!(f, "{v4}/{v6}"),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Column {
    /// The columns of a report that is grouped by `tags` and counts the different values of `distinct`: the windows, the tags,
    /// all measures, the counts.
    #[must_use]
    pub fn all(tags: &[Tag], distinct: &[Tag]) -> Vec<Self> {
        let of_field = |field: &'static Field, cell| Self {
            name: Cow::Borrowed(field.name),
            ty: field.ty,
            unit: field.unit,
            help: Cow::Borrowed(field.help),
            cell,
        };
        let mut columns = Vec::new();
        columns.extend(FIELDS.iter().filter_map(|field| match field.source {
            Source::Window(get) => Some(of_field(field, Cell::Window(get))),
            Source::Tag(_) | Source::Measure(_) => None,
        }));
        let tags = tags.iter().enumerate();
        columns.extend(tags.map(|(place, tag)| Self {
            name: tag.name(),
            ty: tag.ty(),
            unit: tag.field.unit,
            help: if tag.prefix.is_some() {
                Cow::Owned(format!("Network of {}.", tag.field.name))
            } else {
                Cow::Borrowed(tag.field.help)
            },
            cell: Cell::Tag(place),
        }));
        columns.extend(FIELDS.iter().filter_map(|field| match field.source {
            Source::Measure(get) => Some(of_field(field, Cell::Measure(get))),
            Source::Tag(_) | Source::Window(_) => None,
        }));
        columns.extend(distinct.iter().enumerate().map(|(place, tag)| Self {
            name: tag.distinct_name(),
            ty: Type::U64,
            unit: "values",
            help: Cow::Owned(format!("How many different values of {tag} the connections of the row have.")),
            cell: Cell::Distinct(place),
        }));
        columns
    }

    /// Of these columns the one that is meant by a name: of a prefix any text that means the same.
    #[must_use]
    pub fn find<'a>(columns: &'a [Self], name: &str) -> Option<&'a Self> {
        let named = |name: &str| columns.iter().find(|column| column.name == name);
        named(name).or_else(|| match name.strip_prefix(DISTINCT) {
            Some(counted) => named(&Tag::parse(counted).ok()?.distinct_name()),
            None => named(&Tag::parse(name).ok()?.name()),
        })
    }

    /// As [`Column::find`].
    ///
    /// # Errors
    /// When no field has such a name, or none of these columns.
    pub fn get<'a>(columns: &'a [Self], name: &str) -> Result<&'a Self, TagError> {
        Self::find(columns, name).ok_or_else(|| no_column(name, columns))
    }

    /// Of these columns those that have these names, in the order of the names.
    ///
    /// # Errors
    /// As [`Column::get`], and when one is there twice.
    pub fn choose<N: AsRef<str>>(columns: &[Self], names: &[N]) -> Result<Vec<Self>, TagError> {
        let mut chosen: Vec<Self> = Vec::with_capacity(names.len());
        for name in names {
            let column = Self::get(columns, name.as_ref())?;
            if chosen.iter().any(|other| other.name == column.name) {
                return Err(TagError::Twice { name: column.name.to_string() });
            }
            chosen.push(column.clone());
        }
        Ok(chosen)
    }
}

fn no_column(name: &str, columns: &[Column]) -> TagError {
    let (option, tag) = match name.strip_prefix(DISTINCT) {
        Some(tag) => ("--distinct", tag),
        None => ("--by", name),
    };
    match Tag::parse(tag) {
        Ok(tag) => TagError::NoColumn {
            name: name.to_owned(),
            how: format!("ask for it with {option} {tag}"),
            columns: columns.iter().map(|column| column.name.as_ref()).collect::<Vec<_>>().join(", "),
        },
        Err(error) => error,
    }
}

/// A name that cannot stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// No field has it.
    #[error("no field is named {name:?}; `netflow fields` lists them all")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Rows are grouped by tags only.
    #[error("{} is a {}, rows are grouped by tags: {}", .field.name, .field.source.name(), tags())]
    NoTag {
        /// The field.
        field: &'static Field,
    },
    /// Only addresses have prefixes.
    #[error("{} has no prefixes, which are parts of addresses: {}", .field.name, addresses())]
    NoAddress {
        /// The field.
        field: &'static Field,
    },
    /// The lengths of the prefix are none.
    #[error(
        "{name:?} has no prefix of an address: expected {0}/24 (IPv4), {0}/64 (IPv6) or {0}/24/64 (both)", .field.name
    )]
    Prefix {
        /// What was found.
        name: String,
        /// The field.
        field: &'static Field,
    },
    /// It is there twice.
    #[error("{name} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The report does not have it.
    #[error("the report has no column {name}: {how}; it has {columns}")]
    NoColumn {
        /// The name.
        name: String,
        /// What would make it one.
        how: String,
        /// Those that it has.
        columns: String,
    },
}

fn tags() -> String {
    named(|field| matches!(field.source, Source::Tag(_)))
}

fn addresses() -> String {
    named(|field| field.ty == Type::Ip)
}

fn named(is: fn(&&Field) -> bool) -> String {
    FIELDS.iter().filter(is).map(|field| field.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_named_and_cut() {
        let table = [
            // Given, its name, of 10.1.2.3, of 2001:db8:1:2:3::4
            ("dst_ip/24", "dst_ip/24", "10.1.2.0/24", "2001:db8:1:2:3::4"),
            ("dst_ip/024", "dst_ip/24", "10.1.2.0/24", "2001:db8:1:2:3::4"),
            ("dst_ip/0", "dst_ip/0", "0.0.0.0/0", "2001:db8:1:2:3::4"),
            ("dst_ip/32", "dst_ip/32", "10.1.2.3", "2001:db8:1:2:3::4"),
            ("dst_ip/33", "dst_ip/33", "10.1.2.3", "2001:db8::/33"),
            ("dst_ip/64", "dst_ip/64", "10.1.2.3", "2001:db8:1:2::/64"),
            ("dst_ip/128", "dst_ip/32", "10.1.2.3", "2001:db8:1:2:3::4"),
            ("dst_ip/32/64", "dst_ip/64", "10.1.2.3", "2001:db8:1:2::/64"),
            ("dst_ip/32/32", "dst_ip/32/32", "10.1.2.3", "2001:db8::/32"),
            ("dst_ip/24/128", "dst_ip/24", "10.1.2.0/24", "2001:db8:1:2:3::4"),
            ("src_ip/8/48", "src_ip/8/48", "10.0.0.0/8", "2001:db8:1::/48"),
            ("dst_nat_ip/0/0", "dst_nat_ip/0/0", "0.0.0.0/0", "::/0"),
        ];
        for (given, name, v4, v6) in table {
            let tag = Tag::parse(given).unwrap();
            assert_eq!(tag.name(), name, "{given}");
            assert_eq!(Tag::parse(&tag.name()).unwrap(), tag, "{given}");
            for (ip, expected) in [("10.1.2.3", v4), ("2001:db8:1:2:3::4", v6)] {
                let Value::Net(net) = tag.cut(Value::Ip(ip.parse().unwrap())) else { panic!("{given}: no network") };
                assert_eq!(net.to_string(), expected, "{given}");
            }
            assert_eq!(tag.cut(Value::Null), Value::Null);
        }
    }

    #[test]
    fn what_is_no_tag() {
        let said = |name: &str| Tag::parse(name).unwrap_err().to_string();
        for name in [
            "dst_ip/",
            "dst_ip/129",
            "dst_ip/24/",
            "dst_ip/33/64",
            "dst_ip/24/129",
            "dst_ip/+8",
            "dst_ip//8",
            "dst_ip/8/8/8",
            "dst_ip/-1",
            "dst_ip/ 8",
        ] {
            assert_eq!(
                said(name),
                format!(
                    "{name:?} has no prefix of an address: expected dst_ip/24 (IPv4), dst_ip/64 (IPv6) or dst_ip/24/64 (both)"
                )
            );
        }
        assert_eq!(
            said("dst_port/8"),
            "dst_port has no prefixes, which are parts of addresses: src_ip, dst_ip, dst_nat_ip"
        );
        assert!(
            said("rtt").starts_with("rtt is a measure, rows are grouped by tags: host, src_ip, "),
            "{}",
            said("rtt")
        );
        assert_eq!(said("dst"), "no field is named \"dst\"; `netflow fields` lists them all");
        let twice = Tag::parse_all(&["dst_ip", "dst_ip/24", "dst_ip/24/128"]).unwrap_err();
        assert_eq!(twice.to_string(), "dst_ip/24 is there twice");
    }

    #[test]
    fn columns_are_found_by_any_name_that_means_them() {
        let tags = Tag::parse_all(&["dst_ip/24", "dst_ip"]).unwrap();
        let columns = Column::all(&tags, &Tag::parse_all(&["src_ip/64"]).unwrap());
        let found = |name: &str| Column::find(&columns, name).map(|column| column.name.to_string());
        assert_eq!(found("dst_ip/24/128").as_deref(), Some("dst_ip/24"));
        assert_eq!(found("distinct_src_ip/32/64").as_deref(), Some("distinct_src_ip/64"));
        assert_eq!(found("rtt").as_deref(), Some("rtt"));
        assert_eq!((found("dst_ip/25"), found("distinct_dst_ip"), found("pid")), (None, None, None));
    }
}
