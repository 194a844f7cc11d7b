//! `netflow merge`

use crate::args::MergeArgs;
use crate::outcome::Outcome;

pub(crate) fn run(_args: &MergeArgs) -> anyhow::Result<Outcome> {
    Ok(Outcome::Done)
}
