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
            "{:<24} {:<7} {:<5} {:<12} {}",
            field.name,
            field.source.name(),
            field.ty.name(),
            unit,
            field.help
        )?;
    }
    Ok(Outcome::Done)
}
