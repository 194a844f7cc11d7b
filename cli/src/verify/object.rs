//! The check of a recording for programs.
//!
//! In: a check. Out: a JSON object; offsets and sizes in bytes, times in nanoseconds since boot. Never here: judgement.

use netflow_core::law::{Tally, Verdict};
use netflow_formats::capture::{Damage, End, IndexState, Malformed};
use serde_json::{Map, Value, json};

use super::Checked;
use crate::info::passed_over;
use crate::input;

pub(super) fn object(checked: &Checked<'_>) -> Value {
    let check = &checked.check;
    let (end, torn_at) = match check.end {
        End::Clean => ("clean", None),
        End::NotClosed => ("not closed", None),
        End::Torn { offset, .. } => ("torn", Some(offset)),
    };
    let (index, differences) = match &check.index {
        IndexState::Missing => ("missing", [].as_slice()),
        IndexState::Agrees => ("agrees", [].as_slice()),
        IndexState::Differs(differences) => ("differs", differences.as_slice()),
    };
    let account = &check.account;
    let (verdict, difference) = match account.verdict {
        Verdict::Holds => ("holds", 0),
        Verdict::Uncounted(closes) => ("uncounted", closes),
        Verdict::Overcounted(closes) => ("overcounted", closes),
    };
    let losses: Map<String, Value> =
        check.totals.losses.counts().iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    json!({
        "capture": input::name(checked.path),
        "section": checked.number, "sections": check.sections, "offset": check.offset, "bytes": check.bytes, "blocks": check.blocks,
        "intact": check.is_intact(), "lossless": check.is_lossless(),
        "end": end, "torn_at": torn_at,
        "index": index, "index_differences": differences.iter().map(wrong).collect::<Vec<_>>(),
        "events": check.totals.events, "events_lost": check.events_lost, "least_cost": check.least_cost,
        "passed_over": passed_over(&check.passed_over),
        "damage_count": check.damage_count, "damage": check.damage.iter().map(damage).collect::<Vec<_>>(),
        "law": {
            // With events missing, nobody can say.
            "verdict": if check.is_complete() { verdict } else { "unknown" },
            "difference": if check.is_complete() { difference } else { 0 },
            "tcp": tally(&account.tcp), "udp": tally(&account.udp),
            "connect_failures": account.connect_failures, "without_open": account.without_open,
            "unseen": account.unseen, "strangers": account.strangers,
        },
        "losses": losses,
    })
}

fn tally(tally: &Tally) -> Value {
    json!({
        "opened": tally.opened, "preexisting": tally.preexisting, "closed": tally.closed,
        "lost_closes": tally.lost_closes, "live_at_end": tally.live_at_end, "holds": tally.holds(),
    })
}

fn wrong(what: &Malformed) -> Value {
    json!({ "what": what.what, "expected": what.expected, "found": what.found })
}

fn damage(damage: &Damage) -> Value {
    json!({
        "offset": damage.offset, "part": damage.part.name(), "kind": damage.kind.map(|kind| kind.name()),
        "sequence": damage.sequence,
        "what": damage.what.what, "expected": damage.what.expected, "found": damage.what.found,
        "events_lost": damage.events_lost, "first_at": damage.first_at, "last_at": damage.last_at,
    })
}
