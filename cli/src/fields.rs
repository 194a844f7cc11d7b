//! `netflow fields`: the reference of every field.

use std::io::{self, Write as _};

use netflow_core::field::FIELDS;

use crate::outcome::Outcome;

pub(crate) fn run() -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    for field in &FIELDS {
        let unit = if field.unit.is_empty() { "-" } else { field.unit };
        writeln!(
            out,
            "{:<24} {:<7} {:<5} {:<12} {:<21} {}",
            field.name,
            field.source.name(),
            field.ty.name(),
            unit,
            field.source.uses().join(" "),
            field.help
        )?;
    }
    writeln!(
        out,
        "\nfilter, having, by, sort: the options that take the field; filter and having also take `ip` and `port`, either end."
    )?;
    Ok(Outcome::Done)
}
