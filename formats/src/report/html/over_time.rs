//! What happened when: the series of a page's charts.
//!
//! In: a report by process with short windows. Out: one value for each window that is shown, also for those in which
//! nothing happened. Never here: colours, scales.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use netflow_core::report::Report;
use netflow_core::sums::Sums;
use netflow_core::value::Value;
use serde::Serialize;

use super::table::Exact;
use super::windows::Base;
use crate::report::table::printable;

/// Processes with a colour of their own.
const MOST_GROUPS: usize = 8;

#[derive(Debug, Serialize)]
pub(super) struct OverTime {
    /// When the first window begins, in µs since 1970.
    start_us: i64,
    /// How long each is.
    every_us: i64,
    every: String,
    groups: Vec<Group>,
    opened: Vec<Exact>,
    failed: Vec<Exact>,
    retransmits: Vec<Exact>,
    rtt: Vec<Option<Exact>>,
    rtt_min: Vec<Option<Exact>>,
    rtt_max: Vec<Option<Exact>>,
}

/// What one process, or those that are in no other group, received and sent.
#[derive(Debug, Serialize)]
struct Group {
    /// `None`: unknown, or the rest.
    name: Option<String>,
    /// How many processes are in it, where it is the rest.
    rest: usize,
    received: Vec<Exact>,
    sent: Vec<Exact>,
}

impl Group {
    fn new(name: Option<String>, rest: usize, windows: usize) -> Self {
        Self { name, rest, received: vec![Exact(0); windows], sent: vec![Exact(0); windows] }
    }

    fn add(&mut self, window: usize, sums: &Sums) {
        let parts = [(&mut self.received, sums.bytes_read), (&mut self.sent, sums.bytes_written)];
        for (series, bytes) in parts {
            if let Some(Exact(sum)) = series.get_mut(window) {
                *sum = sum.saturating_add(bytes);
            }
        }
    }
}

impl OverTime {
    /// `None` when there is nothing to show.
    pub(super) fn new(report: &Report, base: Base, interval_ms: u64) -> Option<Self> {
        let span = report.span.filter(|_| !report.rows.is_empty())?;
        let every_ns = base.shown_ns(span, interval_ms);
        let every_us = i64::try_from(every_ns / 1_000).unwrap_or(i64::MAX).max(1);
        let number = |us: i64| us.div_euclid(every_us);
        let first = number(span.start_us);
        // No more windows than the length was chosen for.
        let windows = usize::try_from(number(span.end_us) - first).unwrap_or(0).saturating_add(1);
        let mut all = vec![Sums::default(); windows];
        let mut groups = Self::groups(report, windows);
        let rest = groups.len().saturating_sub(1);
        let by_name: BTreeMap<Option<String>, usize> = groups
            .iter()
            .enumerate()
            .filter(|(_, group)| group.rest == 0)
            .map(|(index, group)| (group.name.clone(), index))
            .collect();
        for row in &report.rows {
            let Ok(window) = usize::try_from(number(row.window.start_us).saturating_sub(first)) else { continue };
            let group = by_name.get(&name(&row.key)).copied().unwrap_or(rest);
            if let (Some(sums), Some(group)) = (all.get_mut(window), groups.get_mut(group)) {
                sums.merge(&row.sums);
                group.add(window, &row.sums);
            }
        }
        let count = |get: fn(&Sums) -> Option<u64>| all.iter().map(|sums| Exact(get(sums).unwrap_or(0))).collect();
        let known = |get: fn(&Sums) -> Option<u64>| all.iter().map(|sums| get(sums).map(Exact)).collect();
        Some(Self {
            start_us: first.saturating_mul(every_us),
            every_us,
            every: humantime::format_duration(std::time::Duration::from_nanos(every_ns)).to_string(),
            opened: count(|sums| sums.tcp.map(|tcp| tcp.established)),
            failed: count(|sums| sums.tcp.map(|tcp| tcp.connect_failures)),
            retransmits: count(|sums| sums.tcp.map(|tcp| tcp.retransmits)),
            rtt: known(|sums| sums.tcp.and_then(|tcp| tcp.rtt.mean())),
            rtt_min: known(|sums| sums.tcp.and_then(|tcp| tcp.rtt.min()).map(u64::from)),
            rtt_max: known(|sums| sums.tcp.and_then(|tcp| tcp.rtt.max()).map(u64::from)),
            groups,
        })
    }

    /// The processes with the most bytes, and a group for the rest behind them if there is one.
    fn groups(report: &Report, windows: usize) -> Vec<Group> {
        let mut bytes: BTreeMap<Option<String>, u64> = BTreeMap::new();
        for row in &report.rows {
            let sum = bytes.entry(name(&row.key)).or_default();
            *sum = sum.saturating_add(row.sums.bytes());
        }
        let mut names: Vec<_> = bytes.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        names.sort_by_key(|(_, bytes)| Reverse(*bytes));
        // A rest of one has a name of its own.
        let most = if names.len() == MOST_GROUPS + 1 { MOST_GROUPS + 1 } else { MOST_GROUPS };
        let rest = names.len().saturating_sub(most);
        names.truncate(most);
        let mut groups: Vec<_> = names.into_iter().map(|(name, _)| Group::new(name, 0, windows)).collect();
        if rest > 0 || groups.is_empty() {
            groups.push(Group::new(None, rest.max(1), windows));
        }
        groups
    }
}

/// The name of the process; what the page shows of it.
fn name(key: &[Value]) -> Option<String> {
    match key.first() {
        Some(Value::Text(name)) => Some(printable(name)),
        _ => None,
    }
}
