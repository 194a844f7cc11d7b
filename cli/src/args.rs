//! The command line: every command, flag and help text, and nothing that acts.

mod anonymize;
mod fixture;
mod shared;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::pace::Speed;
use crate::record::rotation::{Keep, Rotation};
use crate::units;
pub(crate) use anonymize::AnonymizeArgs;
pub(crate) use fixture::{FixtureArgs, FixtureCheckArgs, FixtureCommand, FixtureFormat, FixtureNewArgs};
pub(crate) use shared::{BesideArgs, PipelineArgs, PointArgs, PointFormat, WindowArgs};

/// A flight recorder for a Linux host's connections.
#[derive(Debug, Parser, PartialEq)]
#[command(
    version,
    about,
    max_term_width = 120,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but data was lost, is damaged or would be lost."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand, PartialEq)]
pub(crate) enum Command {
    Record(RecordArgs),
    Doctor(DoctorArgs),
    Report(Box<ReportArgs>),
    Replay(ReplayArgs),
    Live(LiveArgs),
    Info(InfoArgs),
    Verify(VerifyArgs),
    Recover(RecoverArgs),
    Cut(CutArgs),
    Merge(MergeArgs),
    Anonymize(AnonymizeArgs),
    Dump(DumpArgs),
    Import(ImportArgs),
    Fixture(FixtureArgs),
    /// List every field of a report: name, type, unit, where it can be used, meaning.
    #[command(after_help = "Example:\n  netflow fields | grep rtt")]
    Fields,
    Completions(CompletionsArgs),
    Manual(ManualArgs),
}

/// Record this host's connections into a capture file.
///
/// Recording ends at the first of: the duration, the end of COMMAND, a size or number of events, SIGINT or SIGTERM.
/// Needs root (or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN), a kernel with BTF, and cgroup v2: `netflow doctor` tells whether
/// all is there. What is not needed any more is given up once the recording runs; COMMAND runs with all the caller had.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow record -d 60s out.nfcap\n  netflow record tests.nfcap -- ./run-tests\n  netflow record --rotate 1h --keep 24 out.nfcap"
)]
pub(crate) struct RecordArgs {
    /// Capture file to write; `-` is stdout.
    #[arg(value_name = "OUT.nfcap")]
    pub(crate) out: PathBuf,
    /// How long to record [default: until interrupted].
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,
    /// Time between two samples of every open connection.
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) interval: Duration,
    /// Go on in a new file each DURATION, aligned to the clock (UTC), or when the file has about this SIZE. The files are
    /// called OUT-20261123T090000Z.nfcap; each can be read alone, and all together are the recording.
    #[arg(long, value_name = "DURATION|SIZE", value_parser = Rotation::parse, conflicts_with = "force")]
    pub(crate) rotate: Option<Rotation>,
    /// With each new file, remove the oldest files of that name (also of earlier recordings) until at most N, or at most
    /// SIZE, are left.
    #[arg(long, value_name = "N|SIZE", value_parser = Keep::parse, requires = "rotate")]
    pub(crate) keep: Option<Keep>,
    /// Length of a section of the file, which can be read without the others: --since and --until of other commands need
    /// not read more. Sections begin at whole multiples of DURATION (UTC); `0s`: all of a file is one.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = units::duration_or_none)]
    pub(crate) section: Duration,
    /// Stop when the recording has about this size.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) max_size: Option<u64>,
    /// Stop after this many events.
    #[arg(long, value_name = "N")]
    pub(crate) max_events: Option<u64>,
    /// Record only connections of which this holds, such as 'process_name == nginx or port == 53' (core/FILTER.md describes it):
    /// addresses, ports, transport, process and network namespace. The remark in the file says so.
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Option<String>,
    /// A remark that is kept in the file.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Size of the kernel's buffer for opens and closes; rounded up to a power of two.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = units::size)]
    pub(crate) ring_size: u64,
    /// Keep this Kubernetes cluster in the capture: what `kubectl get
    /// pods,services,endpointslices,nodes,replicasets,deployments -A -o json` printed; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) k8s: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) beside: BesideArgs,
    /// Record while this command runs, and stop when it ends.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Tell whether this host can be recorded, what a recording would lack, and what to do about it.
///
/// Tries everything for real and leaves nothing behind. Works for every user. Exit code 0: recording works; 3: it works and
/// lacks something; 1: it does not work.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow doctor\n  netflow doctor --json | jq '.findings[] | select(.state != \"works\")'"
)]
pub(crate) struct DoctorArgs {
    /// One JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Report what is in captures: who talked to whom, how much, how well.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow report out.nfcap\n  netflow report out.nfcap --by process_name,dst_ip --top 10\n  netflow report out.nfcap --every 1m --parquet --csv=-\n  netflow report out.nfcap --html\n  netflow report out.nfcap --by src_ip,dst_ip/24 --distinct dst_port --sort distinct_dst_port\n  netflow report out.nfcap --reports daily.toml --out-dir reports\n  netflow report out.nfcap --since 09:00 --until 09:15"
)]
pub(crate) struct ReportArgs {
    /// Capture files; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Write CSV, to PATH or beside the capture; `-` is stdout.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) csv: Option<Option<PathBuf>>,
    /// Write Parquet, likewise.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) parquet: Option<Option<PathBuf>>,
    /// Write JSON Lines, one object a row, likewise.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) json: Option<Option<PathBuf>>,
    /// Write one HTML page with charts and tables that opens offline in any browser, likewise.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) html: Option<Option<PathBuf>>,
    /// Make all reports that FILE describes, in one reading: a `[[report]]` table each, with the keys that fixture.toml has
    /// (file, by, distinct, every, filter, having, sort, across_windows, top, no_fold, …).
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = [
        "csv", "parquet", "json", "html", "arrow", "line", "partition_by", "every", "sort", "top", "by", "distinct", "columns", "filter", "having", "no_fold",
        "ephemeral_port_min", "keep_loopback", "keep_idle", "keep_unspecified", "drop_same_ip",
    ])]
    pub(crate) reports: Option<PathBuf>,
    /// The folder that the files of --reports go to [default: the current one].
    #[arg(long, value_name = "DIR", requires = "reports")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Write Arrow, likewise; to stdout as a stream.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) arrow: Option<Option<PathBuf>>,
    /// Write InfluxDB line protocol, one point a row at the end of its window, likewise.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) line: Option<Option<PathBuf>>,
    /// Make of --parquet a folder with a file for each value of these tags, or `date`, the day (UTC) on which a window
    /// begins: PATH/host=…/date=…/part-0.parquet. With --force, a folder that exists keeps every other partition.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', requires = "parquet")]
    pub(crate) partition_by: Vec<String>,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) force: bool,
    /// Let groups take so much memory at most: where they would take more, the captures are read several times, each time for
    /// a share of the groups, which wait in TMPDIR [default: as much as it takes].
    #[arg(long, value_name = "SIZE", value_parser = units::size, conflicts_with_all = ["html", "partition_by", "reports"])]
    pub(crate) memory_limit: Option<u64>,
    /// One window each DURATION, aligned to the clock (UTC) [default: one for the whole capture].
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) every: Option<Duration>,
    /// Sort by columns, the greatest first; `FIELD:asc`: the smallest first; with --every within each window [default:
    /// tables by traffic, files by tags].
    #[arg(long, value_name = "FIELD[:asc],…")]
    pub(crate) sort: Option<String>,
    /// Show this many rows only, with --every of each window [default: tables 20, with --every 5, HTML 5000, other files all].
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// --sort and --top go for the rows of all windows together.
    #[arg(long, requires = "sort")]
    pub(crate) across_windows: bool,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Run the pipeline tick by tick over captures: one set of points for each interval between two samples.
///
/// Each connection appears under what was known of it at the end of the interval. The last interval is included even if
/// the recording ended in the middle of it.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow replay out.nfcap | jq .bytes_read\n  netflow replay out.nfcap --format csv --by process_name,dst_ip\n  netflow replay out.nfcap --post 'http://127.0.0.1:8086/write?db=net&precision=ns'\n  netflow replay out.nfcap --speed 1"
)]
pub(crate) struct ReplayArgs {
    /// Capture files; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// How many times as fast as it was recorded, such as 1 or 0.5, or `max`.
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = Speed::parse)]
    pub(crate) speed: Speed,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    #[command(flatten)]
    pub(crate) points: PointArgs,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Run the pipeline on this host's connections as they are: one set of points for each interval, and no file.
///
/// Ends after the duration, or at SIGINT or SIGTERM; the last interval is included. Needs what `netflow record` needs.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow live\n  netflow live -i 1s --format jsonl --by process_name,dst_ip\n  netflow live -i 60s --post 'http://127.0.0.1:8086/write?db=net&precision=ns'"
)]
pub(crate) struct LiveArgs {
    /// How long to run [default: until interrupted].
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,
    /// Length of an interval.
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) interval: Duration,
    /// Size of the kernel's buffer for opens and closes; rounded up to a power of two.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = units::size)]
    pub(crate) ring_size: u64,
    #[command(flatten)]
    pub(crate) beside: BesideArgs,
    #[command(flatten)]
    pub(crate) points: PointArgs,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Tell who recorded a capture, when, and what is in it.
#[derive(Debug, Args, PartialEq)]
#[command(after_help = "Example:\n  netflow info out.nfcap")]
pub(crate) struct InfoArgs {
    /// Capture files; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// One JSON object a recording: a capture has one, captures that were put one after the other have one each.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Check every block of captures, their index, and that what was opened has ended or is still open.
///
/// Exit code 0: closed, intact, and nothing lost; 3: not closed, damaged, or data was lost; 1: not a
/// capture. Of several captures all are checked, and the worst counts: 1, then 3, then 0.
#[derive(Debug, Args, PartialEq)]
#[command(after_help = "Examples:\n  netflow verify out.nfcap\n  netflow verify --json *.nfcap | jq .intact")]
pub(crate) struct VerifyArgs {
    /// Capture files; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// One JSON object a recording: a capture has one, captures that were put one after the other have one each.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write all that is intact of a damaged or unfinished capture into a new one.
///
/// Exit code 0: all was saved; 3: something was lost (the new capture states how much); 1: nothing is intact.
#[derive(Debug, Args, PartialEq)]
#[command(after_help = "Example:\n  netflow recover killed.nfcap -o out.nfcap")]
pub(crate) struct RecoverArgs {
    /// Capture file; `-` is stdin.
    #[arg(value_name = "IN.nfcap")]
    pub(crate) input: PathBuf,
    /// Capture file to write; `-` is stdout.
    #[arg(short, long, value_name = "OUT.nfcap")]
    pub(crate) out: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Write a part of a capture, by time or by connections, into a new capture that can be read alone.
///
/// What was open and known at its beginning is said again there, so a report on the part is the report on that time, and a
/// report on all parts in order is the report on the whole. With --filter it has whole connections only, and a report on it
/// is the report with that filter; losses are those of all connections. Exit code 0: done; 3: done, but the capture is damaged, or cut
/// off (the new capture states how much is lost).
#[derive(Debug, Args, PartialEq)]
#[command(
    group = ArgGroup::new("part").args(["since", "until", "filter"]).required(true).multiple(true),
    after_help = "Examples:\n  netflow cut out.nfcap -o part.nfcap --since 09:00 --until 09:15\n  netflow cut out.nfcap -o curl.nfcap --filter 'process_name == curl and port == 443'\n  netflow cut - -o - --since 2026-11-23T09:00:00Z <out.nfcap | netflow report -"
)]
pub(crate) struct CutArgs {
    /// Capture file; `-` is stdin.
    #[arg(value_name = "IN.nfcap")]
    pub(crate) input: PathBuf,
    /// Capture file to write; `-` is stdout.
    #[arg(short, long, value_name = "OUT.nfcap")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Only connections of which this holds at their end, as for `netflow report`. The capture is read twice; stdin is kept in a
    /// temporary file for that.
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Option<String>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Write several captures, of one host or of several, into one.
///
/// Files and parts of one recording are put in order, in whichever order they are given; a report on the new capture is the
/// report on all of them. Long sections are divided, so that a part of the time can be read without the rest. Two that hold the same time of one recording are refused, for it would count twice. Exit code 0:
/// done; 3: done, but data was lost (the new capture states how much).
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow merge out-*.nfcap -o day.nfcap\n  netflow merge db1.nfcap db2.nfcap -o both.nfcap && netflow report both.nfcap --by host"
)]
pub(crate) struct MergeArgs {
    /// Capture files; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Capture file to write; `-` is stdout.
    #[arg(short, long, value_name = "OUT.nfcap")]
    pub(crate) out: PathBuf,
    /// Length from which sections are divided; `0s`: they stay as they are.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = units::duration_or_none)]
    pub(crate) section: Duration,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Print the events of a capture as JSON Lines.
#[derive(Debug, Args, PartialEq)]
#[command(after_help = "Example:\n  netflow dump out.nfcap | head")]
pub(crate) struct DumpArgs {
    /// Capture file; `-` is stdin.
    #[arg(value_name = "IN.nfcap")]
    pub(crate) input: PathBuf,
}

/// Make a capture from events as JSON Lines.
#[derive(Debug, Args, PartialEq)]
#[command(after_help = "Example:\n  netflow import events.jsonl -o out.nfcap")]
pub(crate) struct ImportArgs {
    /// Events, one JSON object a line, a header first; `-` is stdin.
    #[arg(value_name = "EVENTS")]
    pub(crate) input: PathBuf,
    /// Capture file to write; `-` is stdout.
    #[arg(short, long, value_name = "OUT.nfcap")]
    pub(crate) out: PathBuf,
    /// Accept events in any order.
    #[arg(long)]
    pub(crate) sort: bool,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Print what makes a shell complete the commands and options of netflow.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow completions bash > /usr/share/bash-completion/completions/netflow\n  netflow completions zsh > /usr/local/share/zsh/site-functions/_netflow\n  netflow completions fish > ~/.config/fish/completions/netflow.fish"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual: a page for each command, for `man`.
#[derive(Debug, Args, PartialEq)]
#[command(
    after_help = "Examples:\n  netflow manual /usr/local/share/man/man1\n  netflow manual . && man ./netflow-record.1"
)]
pub(crate) struct ManualArgs {
    /// Folder to write the pages into; those that are there are replaced.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn record() {
        let parsed = Cli::try_parse_from([
            "netflow",
            "record",
            "-d",
            "60s",
            "-i",
            "500ms",
            "--no-listen",
            "out.nfcap",
            "--",
            "make",
            "-j2",
        ])
        .unwrap();
        let expected = RecordArgs {
            out: "out.nfcap".into(),
            duration: Some(Duration::from_secs(60)),
            interval: Duration::from_millis(500),
            rotate: None,
            keep: None,
            section: Duration::from_secs(600),
            max_size: None,
            max_events: None,
            filter: None,
            comment: String::new(),
            force: false,
            ring_size: 8 << 20,
            k8s: None,
            beside: BesideArgs {
                no_process_details: false,
                no_listen: true,
                no_clock: false,
                no_udp: false,
                no_dns: false,
                no_nat: false,
            },
            command: vec!["make".into(), "-j2".into()],
        };
        assert_eq!(parsed.command, Command::Record(expected));
    }

    #[test]
    fn report() {
        let parsed = Cli::try_parse_from([
            "netflow",
            "report",
            "a.nfcap",
            "b.nfcap",
            "--csv",
            "--json=-",
            "--by",
            "pid,dst_ip",
            "--top",
            "3",
        ])
        .unwrap();
        let expected = ReportArgs {
            inputs: vec!["a.nfcap".into(), "b.nfcap".into()],
            csv: Some(None),
            parquet: None,
            json: Some(Some("-".into())),
            reports: None,
            out_dir: None,
            html: None,
            arrow: None,
            line: None,
            partition_by: Vec::new(),
            force: false,
            memory_limit: None,
            every: None,
            sort: None,
            top: Some(3),
            across_windows: false,
            window: WindowArgs { since: None, until: None },
            pipeline: PipelineArgs { by: vec!["pid".into(), "dst_ip".into()], ..all() },
        };
        assert_eq!(parsed.command, Command::Report(Box::new(expected)));
    }

    /// Every tag, the default filters.
    fn all() -> PipelineArgs {
        PipelineArgs {
            by: Vec::new(),
            distinct: Vec::new(),
            columns: Vec::new(),
            filter: None,
            having: None,
            no_fold: false,
            ephemeral_port_min: None,
            keep_loopback: false,
            keep_idle: false,
            keep_unspecified: false,
            drop_same_ip: false,
            k8s: None,
        }
    }

    #[test]
    fn replay_and_live() {
        let points = || PointArgs { format: None, post: None, batch: 512, retry_for: Duration::from_secs(60) };
        let parsed =
            Cli::try_parse_from(["netflow", "replay", "a.nfcap", "--speed", "0.5", "--format", "line"]).unwrap();
        let expected = ReplayArgs {
            inputs: vec!["a.nfcap".into()],
            speed: Speed::parse("0.5").unwrap(),
            window: WindowArgs { since: None, until: None },
            points: PointArgs { format: Some(PointFormat::Line), ..points() },
            pipeline: all(),
        };
        assert_eq!(parsed.command, Command::Replay(expected));
        let parsed = Cli::try_parse_from(["netflow", "live", "-i", "1s", "--no-fold", "--post", "http://h/w"]).unwrap();
        let expected = LiveArgs {
            duration: None,
            interval: Duration::from_secs(1),
            ring_size: 8 << 20,
            beside: BesideArgs {
                no_process_details: false,
                no_listen: false,
                no_clock: false,
                no_udp: false,
                no_dns: false,
                no_nat: false,
            },
            points: PointArgs { post: Some("http://h/w".to_owned()), ..points() },
            pipeline: PipelineArgs { no_fold: true, ..all() },
        };
        assert_eq!(parsed.command, Command::Live(expected));
        assert!(Cli::try_parse_from(["netflow", "live", "--batch", "3"]).is_err());
    }
}
