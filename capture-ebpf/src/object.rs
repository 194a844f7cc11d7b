//! The embedded eBPF object, loaded with the offsets of the running kernel.
//!
//! In: the committed object and the kernel's BTF. Out: programs and maps, created but attached nowhere. Never here: a
//! compiler.

use std::path::Path;

use aya::{Ebpf, EbpfLoader};
use netflow_capture_abi::members::MEMBERS;

use crate::btf::Btf;
use crate::capture::Options;
use crate::error::CaptureError;
use crate::sys;

/// Where the kernel describes its types.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Room for some two thousand answers of the name service between two drains.
const ANSWERS_BYTES: u32 = 1 << 19;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../object/netflow.bpf.o");

/// Creates maps and prepares programs.
pub(crate) fn load(options: &Options) -> Result<Ebpf, CaptureError> {
    check_capabilities()?;
    let offsets = offsets()?;
    sys::lift_memory_limit();
    EbpfLoader::new()
        // The object needs no relocation against the kernel's types, only the offsets.
        .btf(None)
        .override_global("OFFSETS", &offsets[..], true)
        .override_global("NAMES", &u32::from(options.dns), true)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries("ANSWERS", if options.dns { ANSWERS_BYTES } else { 4096 })
        .map_max_entries("FLOWS", options.udp_flows_max.max(1))
        .load(OBJECT)
        .map_err(|error| CaptureError::Load { reason: chain(&error) })
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The offset of every member that the programs read, in the order of their list.
fn offsets() -> Result<[u32; MEMBERS.len()], CaptureError> {
    let path = Path::new(BTF);
    let bytes = std::fs::read(path).map_err(|source| CaptureError::NoBtf { path: path.into(), source })?;
    let btf = Btf::parse(&bytes).map_err(|reason| CaptureError::DamagedBtf { path: path.into(), reason })?;
    let mut offsets = [0; MEMBERS.len()];
    for (slot, (structure, member)) in offsets.iter_mut().zip(MEMBERS) {
        *slot = btf.offset(structure, member).map_err(|reason| CaptureError::NoMember { structure, member, reason })?;
    }
    Ok(offsets)
}

const STATUS: &str = "/proc/self/status";
const CAP_SYS_ADMIN: (u32, &str) = (21, "CAP_SYS_ADMIN");
/// What may stand in for `CAP_SYS_ADMIN` since Linux 5.8.
const NEEDED: [(u32, &str); 3] = [(39, "CAP_BPF"), (38, "CAP_PERFMON"), (12, "CAP_NET_ADMIN")];

/// The kernel's own refusals do not say what is missing.
fn check_capabilities() -> Result<(), CaptureError> {
    let status =
        std::fs::read_to_string(STATUS).map_err(|source| CaptureError::Read { path: STATUS.into(), source })?;
    let missing = missing_capabilities(&status);
    if missing.is_empty() { Ok(()) } else { Err(CaptureError::NotPermitted { missing: missing.join(", ") }) }
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        // Without a line to read, let the kernel decide.
        .unwrap_or(u64::MAX);
    let lacks = |(bit, _): &(u32, &str)| effective >> bit & 1 == 0;
    if lacks(&CAP_SYS_ADMIN) { NEEDED.into_iter().filter(lacks).map(|(_, name)| name).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_capabilities("Name:\tx\nCapEff:\t000001fffeffffff\n"), [""; 0]);
        assert_eq!(missing_capabilities("CapEff:\t0000000000000000"), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing_capabilities("CapEff:\t000000c000000000"), ["CAP_NET_ADMIN"]);
        assert_eq!(missing_capabilities("CapEff:\t0000000000200000"), [""; 0]);
    }

    #[test]
    fn the_object_is_the_one_that_its_checksum_names() {
        // sha256sum's format: the sum, two blanks, the name. The build checks the sum itself.
        let sum = include_str!("../object/netflow.bpf.o.sha256");
        assert!(sum.len() > 64 && sum.trim_end().ends_with("netflow.bpf.o"), "{sum}");
        assert!(OBJECT.starts_with(b"\x7fELF"));
    }
}
