//! The kernel's table of UDP flows, and the rows for what found it full.

use std::os::fd::AsFd as _;

use aya::maps::MapData;
use netflow_capture_abi::{FlowKey, FlowRecord, Plain as _};

use crate::attach::Walk;
use crate::error::CaptureError;
use crate::flows::Table;
use crate::sys;

pub(super) struct FlowTable {
    pub(super) map: MapData,
    pub(super) rows: Walk,
    pub(super) overflow: Walk,
}

impl FlowTable {
    /// Every row, and whether both walks got to their ends.
    pub(super) fn walk(&self) -> (Vec<FlowRecord>, bool) {
        let (mut rows, mut whole) = (Vec::new(), true);
        for walk in [&self.rows, &self.overflow] {
            match read_rows(walk) {
                Ok(found) => rows.extend(found),
                Err(_) => whole = false,
            }
        }
        (rows, whole)
    }
}

impl Table for FlowTable {
    fn take(&mut self, key: &FlowKey) -> Result<Option<FlowRecord>, CaptureError> {
        let mut bytes = [0; size_of::<FlowKey>()];
        bytes[..8].copy_from_slice(&key.socket.to_ne_bytes());
        bytes[8..24].copy_from_slice(&key.local);
        bytes[24..40].copy_from_slice(&key.remote);
        bytes[40..42].copy_from_slice(&key.local_port.to_ne_bytes());
        bytes[42..44].copy_from_slice(&key.remote_port.to_ne_bytes());
        let row = sys::take_element::<{ size_of::<FlowRecord>() }>(self.map.fd().as_fd(), &bytes)
            .map_err(|error| CaptureError::Map { map: "FLOWS", reason: error.to_string() })?;
        Ok(row.and_then(|row| FlowRecord::read(&row)))
    }

    fn rows(&mut self) -> Result<Vec<FlowRecord>, CaptureError> {
        read_rows(&self.rows)
    }
}

fn read_rows(walk: &Walk) -> Result<Vec<FlowRecord>, CaptureError> {
    let mut bytes = Vec::new();
    walk.run(&mut bytes)?;
    Ok(bytes.chunks_exact(size_of::<FlowRecord>()).filter_map(FlowRecord::read).collect())
}
