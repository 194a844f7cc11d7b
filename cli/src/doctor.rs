//! `netflow doctor`: whether this host can be recorded, what a recording would lack, and what to do about it.
//!
//! In: findings of the kernel side. Out: a table or JSON on stdout, and an exit code. Never here: a look at the kernel.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::bail;
use netflow_capture::Options;
use netflow_capture::probe::{self, Finding, State, Verdict};
use serde_json::json;

use crate::args::DoctorArgs;
use crate::outcome::Outcome;
use crate::units;

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Outcome> {
    let findings = probe::probe(&Options::default());
    let verdict = probe::verdict(&findings);
    // Takes the colours out where nobody would see them.
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &object(&findings, verdict))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text(&findings))?;
    }
    match verdict {
        Verdict::Whole => Ok(Outcome::Done),
        Verdict::Degraded => Ok(Outcome::Lossy),
        Verdict::Impossible => {
            let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
            bail!("cannot record this host: {} missing", units::count(missing as u64, "thing"))
        }
    }
}

fn object(findings: &[Finding], verdict: Verdict) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "group": finding.subject.group(), "subject": finding.subject.name(), "state": finding.state.name(),
                "found": finding.found, "effect": finding.effect, "advice": finding.advice,
            })
        })
        .collect();
    json!({ "verdict": verdict.name(), "findings": findings })
}

/// The table, then what to do.
fn text(findings: &[Finding]) -> String {
    let width = |of: fn(&Finding) -> &str| findings.iter().map(|finding| of(finding).len()).max().unwrap_or_default();
    let group = width(|finding| finding.subject.group());
    let subject = width(|finding| finding.subject.name());
    let state = width(|finding| finding.state.name());
    let mut text = String::new();
    let mut last = "";
    for finding in findings {
        let style = style(finding.state);
        let shown = if finding.subject.group() == last { "" } else { finding.subject.group() };
        last = finding.subject.group();
        let effect = if finding.effect.is_empty() { String::new() } else { format!("; {}", finding.effect) };
        let found = finding.found.trim_end().replace('\n', &format!("\n{:1$}", "", group + subject + state + 6));
        text.push_str(&format!(
            "{shown:<group$}  {:<subject$}  {style}{:<state$}{style:#}  {found}{effect}\n",
            finding.subject.name(),
            finding.state.name(),
        ));
    }
    for advice in advice(findings) {
        text.push_str(&advice);
    }
    text
}

/// Each advice once, with all that it is for.
fn advice(findings: &[Finding]) -> Vec<String> {
    let mut advice: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings.iter().filter(|finding| !finding.advice.is_empty()) {
        match advice.iter_mut().find(|(known, _)| *known == finding.advice) {
            Some((_, subjects)) => subjects.push(finding.subject.name()),
            None => advice.push((&finding.advice, vec![finding.subject.name()])),
        }
    }
    let lines = advice.into_iter().map(|(advice, subjects)| format!("  {}: {advice}\n", subjects.join(", ")));
    let title = "\nWhat to do:\n".to_owned();
    let mut lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        lines.insert(0, title);
    }
    lines
}

fn style(state: State) -> Style {
    match state {
        State::Works => AnsiColor::Green.on_default(),
        State::Degrades => AnsiColor::Yellow.on_default().bold(),
        State::Missing => AnsiColor::Red.on_default().bold(),
        State::Untried => Style::new().dimmed(),
    }
}
