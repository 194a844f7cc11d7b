//! Where the points of each interval go.
//!
//! In: one report an interval. Out: text on stdout, flushed with every interval, or requests to a server. Never here: what
//! the points are, when an interval is over.

mod post;

use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, SecondsFormat};
use netflow_core::report::{Order, Report};
use netflow_formats::report::{TableOptions, note, table, write_csv, write_csv_rows, write_json, write_line};

use crate::args::{PointArgs, PointFormat};
use crate::options::TABLE_TAGS;
use crate::outcome::{Outcome, Usage};
use crate::output;
use post::Post;

/// Rows of the table of one interval.
const TABLE_ROWS: usize = 20;

/// Where the points go.
pub(crate) struct Points {
    target: Target,
}

enum Target {
    Stdout { format: PointFormat, out: BufWriter<io::Stdout>, has_header: bool },
    Server(Post),
}

impl Points {
    /// Opens the way. `prompt`: the points of an interval are worth a request of their own, because the next are far off.
    /// `stop`: set when the process is to end, which shortens the wait for a server that is away.
    pub(crate) fn open(
        args: &PointArgs,
        default: PointFormat,
        prompt: bool,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Usage> {
        let target = match &args.post {
            Some(_) if args.format.is_some_and(|format| format != PointFormat::Line) => {
                return Err(Usage("--post sends line protocol: leave --format away".to_owned()));
            }
            Some(url) => Target::Server(Post::new(url, args.batch, args.retry_for, prompt, stop)?),
            None => Target::Stdout {
                format: args.format.unwrap_or(default),
                out: BufWriter::new(io::stdout()),
                has_header: false,
            },
        };
        Ok(Self { target })
    }

    /// The tags by which points are grouped when nothing else is asked for; none: all.
    pub(crate) fn default_tags(&self) -> &'static [&'static str] {
        match self.target {
            Target::Stdout { format: PointFormat::Table, .. } => &TABLE_TAGS,
            _ => &[],
        }
    }

    /// How the points of an interval are sorted.
    pub(crate) fn order(&self) -> Order {
        match self.target {
            Target::Stdout { format: PointFormat::Table, .. } => Order::Traffic,
            _ => Order::Key,
        }
    }

    /// Takes the points of an interval.
    pub(crate) fn push(&mut self, report: Report) -> anyhow::Result<()> {
        match &mut self.target {
            Target::Server(post) => post.push(&report),
            Target::Stdout { format, out, has_header } => {
                match format {
                    PointFormat::Jsonl => write_json(&report, &mut *out)?,
                    PointFormat::Line => write_line(&report, &mut *out)?,
                    PointFormat::Csv if std::mem::replace(has_header, true) => write_csv_rows(&report, &mut *out)?,
                    PointFormat::Csv => write_csv(&report, &mut *out)?,
                    PointFormat::Table => out.write_all(interval_table(report)?.as_bytes())?,
                }
                Ok(out.flush()?)
            }
        }
    }

    /// Takes the points of the last interval, and tells what makes all of them less than whole.
    pub(crate) fn finish(mut self, last: Report) -> anyhow::Result<Outcome> {
        let note = note(&last);
        let is_lossy = last.diagnostics.is_lossy();
        self.push(last)?;
        if let Target::Server(post) = self.target {
            post.finish()?;
        }
        if let Some(note) = note {
            eprintln!("{note}");
        }
        Ok(if is_lossy { Outcome::Lossy } else { Outcome::Done })
    }
}

/// A table under the end of its interval; nothing for an interval without points.
fn interval_table(mut report: Report) -> anyhow::Result<String> {
    let (Some(window), false) = (report.span, report.rows.is_empty()) else { return Ok(String::new()) };
    let time = DateTime::from_timestamp_micros(window.end_us).unwrap_or_default();
    // What is said of everything so far would be said again under every interval.
    report.left_out = Default::default();
    report.diagnostics = Default::default();
    let width = terminal_size::terminal_size().map(|(width, _)| width.0);
    let table =
        table(&report, TableOptions { top: Some(TABLE_ROWS), width, is_colored: output::is_colored(&io::stdout()) })?;
    Ok(format!("{}\n{table}\n", time.to_rfc3339_opts(SecondsFormat::Millis, true)))
}
