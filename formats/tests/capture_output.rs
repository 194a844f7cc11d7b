//! An output that takes no more bytes: the writer says so, goes on with nothing, and what was written before can be read.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::{self, Write};

use netflow_core::event::{Body, Dns, Event, Header};
use netflow_formats::capture::{CaptureReader, CaptureWriter, WriteError, WriterOptions};

/// A disk with room for so many bytes.
struct Disk {
    room: usize,
    bytes: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.bytes.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn events() -> Vec<Event> {
    let dns = |at: u64| {
        let name = format!("host{}.example.org", at * 7 % 13).into();
        Dns { name, addr: "192.0.2.1".parse().unwrap(), ttl_s: 60, netns: None, pid: None }
    };
    (0..40).map(|at| Event { at, body: Body::Dns(dns(at)) }).collect()
}

fn options() -> WriterOptions {
    WriterOptions { max_rows: 10, ..WriterOptions::default() }
}

#[test]
fn a_disk_may_be_full_at_any_byte() {
    let events = events();
    let whole = CaptureWriter::new(Vec::new(), &Header::default(), options()).and_then(|mut writer| {
        events.iter().try_for_each(|event| writer.push(event))?;
        Ok(writer.finish()?.0)
    });
    let whole = whole.unwrap();
    let mut readable = 0;
    for room in 0..whole.len() {
        let mut disk = Disk { room, bytes: Vec::new() };
        let failed = match CaptureWriter::new(&mut disk, &Header::default(), options()) {
            Err(error) => error,
            Ok(mut writer) => match events.iter().find_map(|event| writer.push(event).err()) {
                None => writer.finish().err().unwrap(),
                Some(error) => {
                    // Nothing is written behind a piece of a block.
                    assert!(matches!(writer.push(&events[39]), Err(WriteError::Failed { .. })), "{room}");
                    assert!(matches!(writer.seal(), Err(WriteError::Failed { .. })), "{room}");
                    error
                }
            },
        };
        let WriteError::Io { offset, source } = failed else { panic!("{room}: {failed}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{room}");
        let offset = usize::try_from(offset).unwrap();
        assert!(offset <= room.max(32) && disk.bytes == whole[..room], "{room} {offset}");
        // The metadata follow the 32 bytes of the file header. Up to where it failed all is whole, and what is behind that takes nothing away.
        if offset > 32 {
            for bytes in [&disk.bytes[..offset], &disk.bytes] {
                let mut reader = CaptureReader::new(bytes).unwrap();
                let read: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
                assert_eq!((read.len() % 10, &read[..]), (0, &events[..read.len()]), "{room}");
                assert_eq!(reader.damage_count(), 0, "{room}");
                readable = readable.max(read.len());
            }
        }
    }
    assert_eq!(readable, 40);
}

/// The events in two sections.
fn write_sections(output: &mut Disk) -> Result<(), WriteError> {
    let mut writer = CaptureWriter::new(output, &Header::default(), options())?;
    events()[..20].iter().try_for_each(|event| writer.push(event))?;
    let next = writer.next_section(&Header { part: 1, ..Header::default() });
    if next.is_err() {
        assert!(matches!(writer.push(&events()[39]), Err(WriteError::Failed { .. })));
    }
    next?;
    events()[20..].iter().try_for_each(|event| writer.push(event))?;
    writer.finish().map(|_| ())
}

#[test]
fn a_disk_that_is_full_where_a_section_ends_costs_nothing_before_it() {
    let mut whole = Disk { room: usize::MAX, bytes: Vec::new() };
    write_sections(&mut whole).unwrap();
    let mut readable = std::collections::BTreeSet::new();
    for room in 0..whole.bytes.len() {
        let mut disk = Disk { room, bytes: Vec::new() };
        let Err(WriteError::Io { offset, .. }) = write_sections(&mut disk) else { panic!("{room}") };
        let offset = usize::try_from(offset).unwrap();
        assert!(offset <= room && disk.bytes == whole.bytes[..room], "{room} {offset}");
        if offset == 0 {
            continue;
        }
        let mut reader = CaptureReader::new(&disk.bytes[..offset]).unwrap();
        let mut read: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
        if reader.next_section().unwrap() {
            assert_eq!((read.len(), reader.header().part), (20, 1), "{room}");
            read.extend(reader.by_ref().map(Result::unwrap));
        }
        assert_eq!((read.len() % 10, &read[..]), (0, &events()[..read.len()]), "{room}");
        assert_eq!(reader.damage_count(), 0, "{room}");
        readable.insert(read.len());
    }
    assert_eq!(readable.into_iter().collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
}
