//! Options that several commands have, each defined once.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::moment::Moment;
use crate::units;

/// What is counted, and how it is grouped: the same for every command that runs the pipeline.
#[derive(Debug, Args, PartialEq)]
pub(crate) struct PipelineArgs {
    /// Group by these tags only (see `netflow fields`). Of an address the network: dst_ip/24 (IPv4, with IPv6 whole),
    /// dst_ip/64 (IPv6, with IPv4 whole) or dst_ip/24/64 (both).
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// Count how many different values these tags have in each row, networks too: a column `distinct_FIELD` each. Ports are
    /// the real ones here, not folded.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub(crate) distinct: Vec<String>,
    /// Only connections of which this holds, such as 'dst_port in {80, 443} and not process_name matches "^kube"'
    /// (core/FILTER.md describes it). Ports are the real ones here, not folded.
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Option<String>,
    /// Only rows of which this holds, such as 'bytes_read > 1MB or rtt > 20ms'.
    #[arg(long, value_name = "EXPR")]
    pub(crate) having: Option<String>,
    /// Only these columns, in this order: those of --by and --distinct, windows and measures (see `netflow fields`). What is not
    /// shown is still there to group, to sort and for --having.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Keep clients' ports instead of folding them into one group.
    #[arg(long)]
    pub(crate) no_fold: bool,
    /// Lowest port that counts as a client's [default: the recorded host's].
    #[arg(long, value_name = "PORT")]
    pub(crate) ephemeral_port_min: Option<u16>,
    /// Keep connections over loopback.
    #[arg(long)]
    pub(crate) keep_loopback: bool,
    /// Keep connections in which nothing happened.
    #[arg(long)]
    pub(crate) keep_idle: bool,
    /// Keep connections with port 0 or an unspecified address.
    #[arg(long)]
    pub(crate) keep_unspecified: bool,
    /// Leave out connections of an address with itself.
    #[arg(long)]
    pub(crate) drop_same_ip: bool,
    /// Name the ends of connections after this Kubernetes cluster instead of the one in the capture: what `kubectl get
    /// pods,services,endpointslices,nodes,replicasets,deployments -A -o json` printed; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) k8s: Option<PathBuf>,
}

/// Which time of captures: the same for every command that reads a part of them.
#[derive(Debug, Args, PartialEq, Clone, Copy)]
pub(crate) struct WindowArgs {
    /// Leave out what was before T: a time like 2026-11-23T09:00:00Z, or `HH:MM` or `HH:MM:SS` in UTC on the day on which the
    /// (first) capture begins. Connections that were open then count from T on.
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub(crate) since: Option<Moment>,
    /// Leave out what was at T or later; `HH:MM` that is not after --since is on the day after it.
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub(crate) until: Option<Moment>,
}

/// What is not recorded: the same for every command that looks at the kernel.
#[derive(Debug, Args, PartialEq)]
pub(crate) struct BesideArgs {
    /// Do not look at the processes that own connections: no executables, cgroups, containers, no starts and ends.
    #[arg(long)]
    pub(crate) no_process_details: bool,
    /// Do not record which sockets listen.
    #[arg(long)]
    pub(crate) no_listen: bool,
    /// Do not record when the wall clock is set.
    #[arg(long)]
    pub(crate) no_clock: bool,
    /// Record TCP alone: no UDP flows, no answers of the name service, and nothing runs in the kernel for each packet.
    #[arg(long)]
    pub(crate) no_udp: bool,
    /// Do not read answers of the name service: remote addresses get no names.
    #[arg(long)]
    pub(crate) no_dns: bool,
    /// Do not ask the kernel where connections really go whose destination is translated.
    #[arg(long)]
    pub(crate) no_nat: bool,
}

/// Where points go: the same for every command that makes them.
#[derive(Debug, Args, PartialEq)]
pub(crate) struct PointArgs {
    /// What stdout gets [default: jsonl; for `live` on a terminal: table].
    #[arg(long, value_enum)]
    pub(crate) format: Option<PointFormat>,
    /// Send the points as InfluxDB line protocol to this http URL instead, for example
    /// http://127.0.0.1:8086/write?db=net&precision=ns
    #[arg(long, value_name = "URL")]
    pub(crate) post: Option<String>,
    /// Points in one request, at most.
    #[arg(long, value_name = "N", default_value = "512", requires = "post", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// How long to try again while the server is away or says that it is busy.
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "post", value_parser = units::duration)]
    pub(crate) retry_for: Duration,
}

/// How points are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PointFormat {
    /// One JSON object a point.
    Jsonl,
    /// InfluxDB line protocol.
    Line,
    /// One header row, then one row a point.
    Csv,
    /// A table for each interval, for people.
    Table,
}
