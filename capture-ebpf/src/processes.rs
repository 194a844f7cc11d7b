//! Processes that own connections: who they are, that they became something else, that they ended.
//!
//! In: the programs' records, and a way to look up what those do not say. Out: process events, one for each process, again
//! when something of it changed, and one when it ended. Never here: `/proc`.
//!
//! A process is its id and its start together. What is kept are the processes that were told and live.

use std::sync::Arc;

use netflow_capture_abi::{KIND_PROCESS_EXIT, ProcessRecord};
use netflow_core::event::{Body, Event, Process};
use rustc_hash::FxHashMap;

use crate::convert::name;

/// What records do not say of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Details {
    pub(crate) exe: Option<Arc<str>>,
    pub(crate) cgroup: Option<Arc<str>>,
    pub(crate) container_id: Option<Arc<str>>,
}

/// The processes that were told and live.
#[derive(Default)]
pub(crate) struct Processes {
    told: FxHashMap<u32, Process>,
}

impl Processes {
    /// Takes in a record; `look` is asked for the details of a process that is new or has changed.
    pub(crate) fn learn(
        &mut self,
        record: &ProcessRecord,
        look: impl FnOnce(&ProcessRecord) -> Details,
        out: &mut Vec<Event>,
    ) {
        let at = record.head.at;
        let event = |process| Event { at, body: Body::Process(process) };
        let before = self.told.remove(&record.pid);
        let same = |told: &Process| told.started_at == Some(record.started_at);
        let before = match before {
            Some(other) if !same(&other) => {
                // The id was given again, so the end of who had it went unseen.
                out.push(event(end_of(other)));
                None
            }
            before => before,
        };
        if record.head.kind == KIND_PROCESS_EXIT
            && let Some(process) = before
        {
            out.push(event(end_of(process)));
            return;
        }
        let details = look(record);
        let comm = name(&record.comm).unwrap_or_default();
        // Who is gone by now can no longer be looked at, and was the same a moment ago.
        let known = before.as_ref().filter(|before| before.process == comm).and_then(|before| before.exe.clone());
        let process = Process {
            pid: record.pid,
            process: comm,
            exe: details.exe.or(known),
            cgroup: details.cgroup,
            container_id: details.container_id,
            exited: record.head.kind == KIND_PROCESS_EXIT,
            started_at: Some(record.started_at),
        };
        if before.as_ref() != Some(&process) {
            out.push(event(process.clone()));
        }
        if !process.exited {
            self.told.insert(record.pid, process);
        }
    }
}

/// What is said at the end of a process of which all else was told.
fn end_of(process: Process) -> Process {
    Process { exited: true, exe: None, cgroup: None, container_id: None, ..process }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use netflow_capture_abi::{Head, KIND_PROCESS};

    fn record(kind: u32, at: u64, started_at: u64, comm: &str) -> ProcessRecord {
        let mut record = ProcessRecord {
            head: Head { kind, at, ..Head::default() },
            started_at,
            pid: 7,
            ..ProcessRecord::default()
        };
        record.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        record
    }

    fn told(processes: &mut Processes, record: &ProcessRecord, exe: Option<&str>) -> Vec<String> {
        let mut out = Vec::new();
        let details = Details { exe: exe.map(Arc::from), ..Details::default() };
        processes.learn(record, |_| details, &mut out);
        let word = |event: &Event| match &event.body {
            Body::Process(process) => format!(
                "{} {} {} {:?}{}",
                event.at,
                process.started_at.unwrap(),
                process.process,
                process.exe,
                if process.exited { " exited" } else { "" }
            ),
            other => panic!("{other:?}"),
        };
        out.iter().map(word).collect()
    }

    #[test]
    fn a_process_is_told_once_again_when_it_changed_and_when_it_ended() {
        let mut processes = Processes::default();
        let mut tell = |record: ProcessRecord, exe| told(&mut processes, &record, exe);
        assert_eq!(tell(record(KIND_PROCESS, 10, 5, "sh"), Some("/bin/sh")), ["10 5 sh Some(\"/bin/sh\")"]);
        assert_eq!(tell(record(KIND_PROCESS, 11, 5, "sh"), Some("/bin/sh")), [""; 0]);
        assert_eq!(tell(record(KIND_PROCESS, 11, 5, "sh"), None), [""; 0], "it is gone, and was the same");
        assert_eq!(tell(record(KIND_PROCESS, 12, 5, "curl"), Some("/bin/curl")), ["12 5 curl Some(\"/bin/curl\")"]);
        assert_eq!(tell(record(KIND_PROCESS, 13, 5, "curl"), Some("/bin/other")), ["13 5 curl Some(\"/bin/other\")"]);
        assert_eq!(tell(record(KIND_PROCESS_EXIT, 14, 5, "curl"), None), ["14 5 curl None exited"]);
        assert!(processes.told.is_empty(), "nothing stays of who is gone");
    }

    #[test]
    fn an_id_that_is_given_again_is_another_process() {
        let mut processes = Processes::default();
        told(&mut processes, &record(KIND_PROCESS, 10, 5, "sh"), None);
        let second = told(&mut processes, &record(KIND_PROCESS, 20, 15, "sh"), None);
        assert_eq!(second, ["20 5 sh None exited", "20 15 sh None"]);
        let third = told(&mut processes, &record(KIND_PROCESS_EXIT, 30, 25, "cc"), None);
        assert_eq!(third, ["30 15 sh None exited", "30 25 cc None exited"]);
    }

    #[test]
    fn who_is_known_by_its_end_alone_is_told_with_all_that_is_known() {
        let mut processes = Processes::default();
        let told = told(&mut processes, &record(KIND_PROCESS_EXIT, 10, 5, "worker"), Some("/bin/worker"));
        assert_eq!(told, ["10 5 worker Some(\"/bin/worker\") exited"]);
        assert!(processes.told.is_empty());
    }
}
