//! The rows of a report, as many as there is memory for or more.
//!
//! In: captures, what is asked. Out: rows in their order: of all groups at once or, where these take more memory than they
//! may, of one share of the groups after the other, for which everything is read again. Never here: what is done with rows.

use anyhow::{Context, bail};
use netflow_core::grouped::Sorted;
use netflow_core::pipeline::{Pipeline, ReportOptions};
use netflow_core::report::Report;
use netflow_core::share::Share;
use netflow_core::tabular::Tabular;
use netflow_formats::report::{Run, Shares};

use super::reading::{Outgrown, Reading};
use crate::units;

/// More shares than that are not made: what they have in common would take most of the memory.
const MOST_SHARES: u32 = 1 << 10;

/// Rows in their order.
pub(super) enum Rows {
    /// From memory.
    Sorted(Box<Sorted>),
    /// The first of them.
    First(Box<Report>),
    /// From files.
    Shares(Box<Shares>),
}

/// How many rows of each window are wanted, depending on whether there are several windows; `None`: all.
pub(super) type Most<'a> = Option<&'a dyn Fn(bool) -> usize>;

impl Rows {
    /// Of a pipeline that has seen everything.
    pub(super) fn of(pipeline: Pipeline, most: Most<'_>) -> Self {
        let grouped = pipeline.finish_groups();
        let sorted = match most {
            Some(most) => {
                let most = most(grouped.has_windows());
                grouped.first(most)
            }
            None => grouped.sort(),
        };
        Self::Sorted(Box::new(sorted))
    }

    /// Reads for groups that take at most `limit` bytes at a time. With it, whether something of the captures is missing.
    pub(super) fn within(
        limit: u64,
        reading: &mut Reading<'_>,
        options: &ReportOptions,
        most: Most<'_>,
    ) -> anyhow::Result<(Self, bool)> {
        let mut shares = 1;
        loop {
            if let Some(found) = Self::in_shares(shares, limit, reading, options, most)? {
                return Ok(found);
            }
            let limit = units::bytes(limit);
            if reading.has_stdin() {
                bail!(
                    "the groups of this report take more than --memory-limit {limit}, and stdin cannot be read again for a share of them: give the capture as a file"
                );
            }
            shares *= 2;
            if shares > MOST_SHARES {
                bail!(
                    "--memory-limit {limit} is too little for this report: so much is taken by the different values of its tags, which all shares of the groups need; allow more, or group by less"
                );
            }
        }
    }

    /// `None` when the groups of a share take more than the limit.
    fn in_shares(
        shares: u32,
        limit: u64,
        reading: &mut Reading<'_>,
        options: &ReportOptions,
        most: Most<'_>,
    ) -> anyhow::Result<Option<(Self, bool)>> {
        let (mut runs, mut firsts, mut legend, mut is_damaged) = (Vec::new(), Vec::new(), None, false);
        for share in Share::all(shares) {
            let mut pipeline = Pipeline::new(ReportOptions { share, ..options.clone() });
            match reading.read(&mut [&mut pipeline], Some(limit)) {
                Ok(is_lossy) => is_damaged |= is_lossy,
                Err(error) if error.is::<Outgrown>() => return Ok(None),
                Err(error) => return Err(error),
            }
            if shares == 1 {
                return Ok(Some((Self::of(pipeline, most), is_damaged)));
            }
            let grouped = pipeline.finish_groups();
            if let Some(most) = most {
                firsts.push(grouped.first(most(false).max(most(true))).report());
            } else {
                let sorted = grouped.sort();
                let cannot = || format!("cannot keep groups in {}", std::env::temp_dir().display());
                runs.push(tempfile::tempfile().and_then(|file| Run::write(&sorted, file)).with_context(cannot)?);
                legend = Some(sorted.into_legend());
            }
        }
        let rows = match (most, legend) {
            (Some(most), _) => Report::of_shares(firsts, most).map(|report| Self::First(Box::new(report))),
            (None, Some(legend)) => Some(Self::Shares(Box::new(Shares::new(legend, runs)?))),
            (None, None) => None,
        };
        Ok(rows.map(|rows| (rows, is_damaged)))
    }

    /// The report without its rows.
    pub(super) fn about(&self) -> &Report {
        match self {
            Self::Sorted(sorted) => sorted.about(),
            Self::First(report) => report,
            Self::Shares(shares) => shares.about(),
        }
    }

    /// The report, from memory.
    pub(super) fn report(&self) -> Report {
        match self {
            Self::Sorted(sorted) => sorted.report(),
            Self::First(report) => Report::clone(report),
            Self::Shares(shares) => {
                Report { rows: shares.rows().map(std::borrow::Cow::into_owned).collect(), ..shares.about().clone() }
            }
        }
    }

    pub(super) fn as_tabular(&self) -> &dyn Tabular {
        match self {
            Self::Sorted(sorted) => &**sorted,
            Self::First(report) => &**report,
            Self::Shares(shares) => &**shares,
        }
    }

    /// What was written of them is whole.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Shares(shares) => shares.check().context("cannot read the groups that were kept in a file"),
            Self::Sorted(_) | Self::First(_) => Ok(()),
        }
    }
}
