//! The embedded eBPF object, loaded with the offsets of the running kernel.
//!
//! In: the committed object and the kernel's BTF. Out: programs and maps, created but attached nowhere. Never here: a
//! compiler.

use std::path::Path;

use aya::{Ebpf, EbpfLoader};
use netflow_capture_abi::members::MEMBERS;
use netflow_capture_abi::{
    SETTING_CLIENT_PORT_MAX, SETTING_CLIENT_PORT_MIN, SETTING_LISTENERS, SETTING_PROCESSES, SETTINGS_LEN,
};

use crate::btf::Btf;
use crate::capture::Options;
use crate::error::CaptureError;
use crate::{host, sys};

/// Where the kernel describes its types.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";

static OBJECT: &[u8] = aya::include_bytes_aligned!("../object/netflow.bpf.o");

/// The offset of every member that the programs read, in the order of their list.
pub(crate) type Offsets = [u32; MEMBERS.len()];

/// Creates maps and prepares programs, without a look at privileges.
pub(crate) fn load(options: &Options) -> Result<Ebpf, CaptureError> {
    create(options, &offsets()?)
}

/// Creates maps and prepares programs with offsets that are known.
pub(crate) fn create(options: &Options, offsets: &Offsets) -> Result<Ebpf, CaptureError> {
    sys::lift_memory_limit();
    EbpfLoader::new()
        // The object needs no relocation against the kernel's types, only the offsets.
        .btf(None)
        .override_global("OFFSETS", &offsets[..], true)
        .override_global("SETTINGS", &settings(options)[..], true)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries("FLOWS", options.udp_flows_max.max(1))
        .map_max_entries("NEWS", options.news_bytes)
        .load(OBJECT)
        .map_err(|error| CaptureError::Load { reason: chain(&error) })
}

/// What the programs are to do, and what they cannot know by themselves.
fn settings(options: &Options) -> [u32; SETTINGS_LEN] {
    let mut settings = [0; SETTINGS_LEN];
    let (min, max) = host::client_ports();
    settings[SETTING_PROCESSES] = options.processes.into();
    settings[SETTING_LISTENERS] = options.listeners.into();
    settings[SETTING_CLIENT_PORT_MIN] = min.into();
    settings[SETTING_CLIENT_PORT_MAX] = max.into();
    settings
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

/// Reads the offsets out of the kernel's description of its types.
pub(crate) fn offsets() -> Result<Offsets, CaptureError> {
    let path = Path::new(BTF);
    let bytes = std::fs::read(path).map_err(|source| CaptureError::NoBtf { path: path.into(), source })?;
    let btf = Btf::parse(&bytes).map_err(|reason| CaptureError::DamagedBtf { path: path.into(), reason })?;
    let mut offsets = [0; MEMBERS.len()];
    for (slot, (structure, member)) in offsets.iter_mut().zip(MEMBERS) {
        *slot = btf.offset(structure, member).map_err(|reason| CaptureError::NoMember { structure, member, reason })?;
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_object_is_the_one_that_its_checksum_names() {
        // sha256sum's format: the sum, two blanks, the name. The build checks the sum itself.
        let sum = include_str!("../object/netflow.bpf.o.sha256");
        assert!(sum.len() > 64 && sum.trim_end().ends_with("netflow.bpf.o"), "{sum}");
        assert!(OBJECT.starts_with(b"\x7fELF"));
    }
}
