//! `netflow fields`: the reference of every field.

use std::io::{self, Write as _};

use netflow_core::field::FIELDS;
use netflow_core::value::Type;

use crate::outcome::Outcome;

pub(crate) fn run() -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    for field in &FIELDS {
        let unit = if field.unit.is_empty() { "-" } else { field.unit };
        writeln!(
            out,
            "{:<24} {:<7} {:<5} {:<12} {:<30} {}",
            field.name,
            field.source.name(),
            field.ty.name(),
            unit,
            field.source.uses().join(" "),
            field.help
        )?;
    }
    let addresses: Vec<_> = FIELDS.iter().filter(|field| field.ty == Type::Ip).map(|field| field.name).collect();
    writeln!(
        out,
        "\nfilter, having, by, distinct, sort: the options that take the field; filter and having also take `ip` and `port`, either end.\n\
         by and distinct also take the network of an address: {0}/24 (IPv4; IPv6 addresses stay whole), {0}/64 (IPv6; IPv4 stays whole)\n\
         or {0}/24/64 (both), and so for {1}. The column has that name, and its values are like\n\
         10.0.0.0/24. --distinct FIELD adds a column distinct_FIELD. having and sort take both.",
        addresses.first().unwrap_or(&""),
        addresses.get(1..).unwrap_or_default().join(" and ")
    )?;
    Ok(Outcome::Done)
}
