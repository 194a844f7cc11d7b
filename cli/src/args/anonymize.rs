//! The command line of `netflow anonymize`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use netflow_core::anonymize::Shift;

use crate::units;

/// Write a capture again with other names and addresses.
///
/// All addresses, names of processes, hosts, domains and of a Kubernetes cluster, paths, ids of containers and of the boot
/// stand for others; command line and comment are gone; counters, ports, process ids and relations stay. Subnets stay subnets.
/// Under one key the same name always becomes the same, so parts and captures of several hosts still fit together. Exit code
/// 0: done; 3: done, but the capture is damaged, or a part of it could not be kept.
#[derive(Debug, Args, PartialEq)]
#[command(
    group = ArgGroup::new("which-key").args(["key", "key_from_seed", "new_key"]).required(true),
    after_help = "Examples:\n  netflow anonymize --new-key secret.key\n  netflow anonymize out.nfcap -o shared.nfcap --key secret.key\n  netflow anonymize - -o - --key secret.key --shift-times random-from-key <out.nfcap | netflow report -"
)]
pub(crate) struct AnonymizeArgs {
    /// Capture file; `-` is stdin.
    #[arg(value_name = "IN.nfcap", required_unless_present = "new_key")]
    pub(crate) input: Option<PathBuf>,
    /// Capture file to write; `-` is stdout.
    #[arg(short, long, value_name = "OUT.nfcap", required_unless_present = "new_key")]
    pub(crate) out: Option<PathBuf>,
    /// The key: a file of 64 hexadecimal digits or 32 bytes. Who has it can find out what stands for what.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// A key made from a number, the same everywhere. For fixtures of traffic that is no secret: anybody can try all numbers.
    #[arg(long, value_name = "N")]
    pub(crate) key_from_seed: Option<u64>,
    /// Write a new key, by chance, into a file that nobody else may read, and do nothing else.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "out", "no_keep_ranges", "shift_times", "force"])]
    pub(crate) new_key: Option<PathBuf>,
    /// Map loopback, private, link-local and multicast addresses like all others: plain Crypto-PAn, as other tools do it.
    /// Reports then leave out what happens to look like loopback.
    #[arg(long)]
    pub(crate) no_keep_ranges: bool,
    /// Move all times of the wall clock: by a duration such as `2h` or `-30d`, or back by whole hours, up to ten years, as
    /// the key tells.
    #[arg(long, value_name = "DURATION|random-from-key", value_parser = shift, allow_hyphen_values = true)]
    pub(crate) shift_times: Option<Shift>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

fn shift(text: &str) -> Result<Shift, String> {
    if text == "random-from-key" {
        return Ok(Shift::FromKey);
    }
    let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
    let expected = |error| format!("{error}, or one behind a minus, or random-from-key");
    let length: Duration = units::duration(length).map_err(expected)?;
    let ns = i64::try_from(length.as_nanos()).map_err(|_| "expected at most 292 years".to_owned())?;
    Ok(Shift::By(sign * ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts() {
        assert_eq!(shift("random-from-key"), Ok(Shift::FromKey));
        assert_eq!(shift("2h"), Ok(Shift::By(7_200_000_000_000)));
        assert_eq!(shift("-30d"), Ok(Shift::By(-2_592_000_000_000_000)));
        for wrong in ["", "-", "--1s", "random", "300y"] {
            assert!(shift(wrong).is_err(), "{wrong}");
        }
    }
}
