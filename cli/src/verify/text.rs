//! The check of a recording for people.
//!
//! In: a check. Out: one line when all is sound, otherwise a table of at most [`MOST_SHOWN`] damaged places and a few
//! lines. Never here: judgement.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use netflow_core::law::{Tally, Verdict};
use netflow_formats::capture::{Damage, End, IndexState, SectionCheck};
use netflow_formats::report::printable;

use super::Checked;
use crate::info::lost;
use crate::units;

/// Damaged places, and differences of an index, that are shown; `--json` has more.
const MOST_SHOWN: usize = 20;

pub(super) fn text(checked: &Checked<'_>) -> String {
    let check = &checked.check;
    let name = printable(&checked.name());
    let passed_over = &check.passed_over;
    if checked.is_sound() {
        let of_later = if passed_over.is_nothing() {
            String::new()
        } else {
            format!("; passed over, for a newer netflow: {passed_over}")
        };
        return format!(
            "{name}: intact: {} in {}{}, closed, index agrees; nothing lost; tcp {}, udp {}{of_later}\n",
            units::count(check.totals.events, "event"),
            units::count(check.blocks, "block"),
            of_sections(check),
            law(&check.account.tcp),
            law(&check.account.udp),
        );
    }
    let mut text = format!("{name}: {}\n", headline(check));
    text.push_str(&table(check));
    let mut lines = vec![("read", read(check)), ("end", end(check))];
    if !passed_over.is_nothing() {
        lines.push(("passed over", format!("{passed_over}, which a newer netflow wrote and reads")));
    }
    lines.extend(index(check));
    lines.push(("law of tcp", law(&check.account.tcp)));
    lines.push(("law of udp", law(&check.account.udp)));
    lines.push(("", verdict(check)));
    lines.extend(lost(&check.totals.losses));
    for (title, line) in lines {
        text.push_str(format!("  {title:<12} {}", printable(&line)).trim_end());
        text.push('\n');
    }
    text
}

fn headline(check: &SectionCheck) -> String {
    let mut words = Vec::new();
    if check.damage_count > 0 {
        words.push(format!("damaged in {}", units::count(check.damage_count, "place")));
    }
    match check.end {
        End::Clean => {}
        End::NotClosed => words.push("not closed".to_owned()),
        End::Torn { .. } => words.push("cut off".to_owned()),
    }
    if matches!(check.index, IndexState::Differs(_)) {
        words.push("its index is wrong".to_owned());
    }
    if check.passed_over.block_events > 0 {
        words.push(format!("{} of a newer netflow passed over", units::count(check.passed_over.block_events, "event")));
    }
    if check.events_lost > 0 {
        words.push(format!("{} lost", units::count(check.events_lost, "event")));
    } else if check.least_cost > check.passed_over.block_events {
        words.push("something is lost".to_owned());
    }
    if check.is_complete() && !check.is_lossless() {
        words.push("its recorder lost data".to_owned());
    }
    words.join(", ")
}

fn table(check: &SectionCheck) -> String {
    if check.damage_count == 0 {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["at byte", "block", "kind", "damaged", "events lost", "what is wrong"]);
    for damage in check.damage.iter().take(MOST_SHOWN) {
        table.add_row(row(damage));
    }
    for right in [0, 1, 4] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text: String = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
    let more = check.damage_count.saturating_sub(check.damage.len().min(MOST_SHOWN) as u64);
    if more > 0 {
        text.push_str(&format!("  and {} (--json has up to 10,000)\n", units::count(more, "more place")));
    }
    text
}

fn row(damage: &Damage) -> [String; 6] {
    [
        damage.offset.to_string(),
        damage.sequence.to_string(),
        damage.kind.map_or("?", |kind| kind.name()).to_owned(),
        damage.part.name().to_owned(),
        damage.events_lost.map_or("unknown".to_owned(), |events| events.to_string()),
        printable(&damage.what.to_string()),
    ]
}

fn read(check: &SectionCheck) -> String {
    format!(
        "{} in {} of {}{}",
        units::count(check.totals.events, "event"),
        units::count(check.blocks, "intact block"),
        units::bytes(check.bytes),
        of_sections(check),
    )
}

/// In how many sections, if several.
fn of_sections(check: &SectionCheck) -> String {
    if check.sections == 1 { String::new() } else { format!(" in {}", units::count(check.sections, "section")) }
}

fn end(check: &SectionCheck) -> String {
    match check.end {
        End::Clean => "closed".to_owned(),
        End::NotClosed => "not closed: the recording was killed, it still runs, or the end is damaged".to_owned(),
        End::Torn { offset, sequence, events_lost } => {
            let lost =
                events_lost.map_or("an unknown number of events".to_owned(), |events| units::count(events, "event"));
            format!("cut off within block {sequence} at byte {offset}: {lost} lost")
        }
    }
}

fn index(check: &SectionCheck) -> Vec<(&'static str, String)> {
    match &check.index {
        IndexState::Missing => vec![("index", "missing or damaged".to_owned())],
        IndexState::Agrees if check.is_complete() => vec![("index", "agrees with what was read".to_owned())],
        IndexState::Agrees => vec![("index", "agrees, as far as damage lets it be compared".to_owned())],
        IndexState::Differs(differences) => {
            let titles = std::iter::once("index").chain(std::iter::repeat(""));
            let shown = differences.iter().take(MOST_SHOWN).map(|what| format!("{what} in the index"));
            titles.zip(shown).collect()
        }
    }
}

fn law(tally: &Tally) -> String {
    format!(
        "{} opened + {} older {} {} closed + {} lost closes + {} live",
        tally.opened,
        tally.preexisting,
        if tally.holds() { "=" } else { "≠" },
        tally.closed,
        tally.lost_closes,
        tally.live_at_end,
    )
}

fn verdict(check: &SectionCheck) -> String {
    if !check.is_complete() {
        return "worked out from the events that are left, so it proves nothing".to_owned();
    }
    let verdict = match check.account.verdict {
        Verdict::Holds => "holds: what the recorder says to have lost explains the events".to_owned(),
        Verdict::Uncounted(closes) => {
            format!("broken: {} gone without a close that nobody counted as lost", units::count(closes, "connection"))
        }
        Verdict::Overcounted(closes) => {
            format!("broken: {} counted as lost of connections that are not gone", units::count(closes, "close"))
        }
    };
    match check.account.strangers {
        0 => verdict,
        strangers => format!("{verdict}; {} of unknown connections", units::count(strangers, "event")),
    }
}
