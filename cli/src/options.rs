//! From the words of the command line to the options of the pipeline and of the recorder.
//!
//! In: names. Out: fields and options, or a message that says what was meant. Never here: which command asks.

use anyhow::Context;
use netflow_capture::Options;
use netflow_core::event::Header;
use netflow_core::filter::{Filter, FilterError};
use netflow_core::pipeline::ReportOptions;
use netflow_formats::fixture::{FixtureError, ReportSpec};

use crate::args::{BesideArgs, PipelineArgs};
use crate::outcome::Usage;

/// The tags of a table when nothing else is asked for: what a person asks first. Files have all of them.
pub(crate) const TABLE_TAGS: [&str; 10] = [
    "host",
    "process_name",
    "transport",
    "direction",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "container_id",
    "dst_domain",
];

/// The pipeline's options; grouped by `default_tags` (none: by every tag) when nothing else is asked for.
pub(crate) fn pipeline(args: &PipelineArgs, default_tags: &[&str]) -> Result<ReportOptions, Usage> {
    let mut spec = spec(args);
    if spec.by.is_empty() {
        spec.by = default_tags.iter().map(|tag| (*tag).to_owned()).collect();
    }
    spec.options().map_err(|error| match error {
        FixtureError::Option { option, problem, .. } => Usage(format!("--{}: {problem}", option.replace('_', "-"))),
        other => Usage(other.to_string()),
    })
}

/// The same as a report is described in a file.
pub(crate) fn spec(args: &PipelineArgs) -> ReportSpec {
    ReportSpec {
        by: args.by.clone(),
        distinct: args.distinct.clone(),
        columns: args.columns.clone(),
        filter: args.filter.clone(),
        having: args.having.clone(),
        no_fold: args.no_fold,
        ephemeral_port_min: args.ephemeral_port_min,
        keep_loopback: args.keep_loopback,
        keep_idle: args.keep_idle,
        keep_unspecified: args.keep_unspecified,
        drop_same_ip: args.drop_same_ip,
        ..ReportSpec::default()
    }
}

/// A filter of connections.
pub(crate) fn filter(text: &str) -> Result<Filter, Usage> {
    Filter::parse(text).map_err(|error| unclear("--filter", &error))
}

/// A filter of connections that are being recorded.
pub(crate) fn recorded_filter(text: &str) -> Result<Filter, Usage> {
    Filter::parse_recorded(text).map_err(|error| unclear("--filter", &error))
}

fn unclear(option: &str, error: &FilterError) -> Usage {
    Usage(format!("{option}: {error}"))
}

/// The recorder's options, for a stream that begins with `header`.
pub(crate) fn capture(ring_size: u64, beside: &BesideArgs, header: &Header) -> anyhow::Result<Options> {
    Ok(Options {
        ring_bytes: u32::try_from(ring_size).context("the ring's size must be below 4 GiB")?,
        processes: !beside.no_process_details,
        listeners: !beside.no_listen,
        udp: !beside.no_udp,
        dns: !beside.no_dns,
        nat: !beside.no_nat,
        wall_clock: (!beside.no_clock).then_some(header.boot_time_ns),
        ..Options::default()
    })
}
