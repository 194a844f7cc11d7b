//! The maps of the loaded object, each taken out once under its name.

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, RingBuf};

use crate::attach;
use crate::cgroup::Paths;
use crate::error::CaptureError;
use crate::news::Sources;
use crate::object::chain;

/// A map that is used through descriptors alone.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, CaptureError> {
    match wrapped(ebpf, name)? {
        Map::HashMap(data) | Map::SkStorage(data) => Ok(data),
        _ => Err(CaptureError::Load { reason: format!("the map {name} of the eBPF object is of the wrong kind") }),
    }
}

/// A map as its type.
pub(super) fn typed<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    make: impl FnOnce(Map) -> Result<T, MapError>,
) -> Result<T, CaptureError> {
    make(wrapped(ebpf, name)?).map_err(|error| CaptureError::Map { map: name, reason: chain(&error) })
}

/// What is told of processes and listening sockets.
pub(super) fn news_sources(ebpf: &mut Ebpf, cgroups: Paths) -> Result<Sources, CaptureError> {
    let process_rows = attach::walk(ebpf, "process_rows")?;
    let listener_rows = attach::walk(ebpf, "listener_rows")?;
    let processes = take(ebpf, "PROCESSES")?;
    let listeners = take(ebpf, "LISTENERS")?;
    let map = |map| move |error: MapError| CaptureError::Map { map, reason: chain(&error) };
    Ok(Sources {
        ring: typed(ebpf, "NEWS", RingBuf::try_from)?,
        processes: HashMap::try_from(Map::HashMap(processes)).map_err(map("PROCESSES"))?,
        listeners: HashMap::try_from(Map::HashMap(listeners)).map_err(map("LISTENERS"))?,
        process_rows,
        listener_rows,
        cgroups,
    })
}

fn wrapped(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, CaptureError> {
    ebpf.take_map(name).ok_or_else(|| CaptureError::Load { reason: format!("the eBPF object has no map {name}") })
}
