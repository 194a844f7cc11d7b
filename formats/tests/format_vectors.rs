//! The examples in FORMAT.md are true: the events written there are the bytes printed there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use netflow_formats::capture::{CaptureReader, CaptureWriter, End, WriterOptions};
use netflow_formats::jsonl::{Exporter, ImportOptions, Importer};

const FORMAT: &str = include_str!("../FORMAT.md");

fn fenced(language: &str) -> &'static str {
    let start = format!("```{language}\n");
    let (_, rest) = FORMAT.split_once(&start).unwrap_or_else(|| panic!("FORMAT.md has no block {language}"));
    rest.split_once("```").unwrap().0
}

/// The bytes of a dump: offset, up to 16 bytes, what they are.
fn bytes(dump: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
        let numbers = rest.split("  ").next().unwrap();
        bytes.extend(numbers.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_example_is_what_is_written_and_read() {
    let text = fenced("jsonl");
    let mut importer = Importer::new(text.as_bytes(), ImportOptions::default()).unwrap();
    let mut writer = CaptureWriter::new(Vec::new(), importer.header(), WriterOptions::default()).unwrap();
    for event in importer.by_ref() {
        writer.push(&event.unwrap()).unwrap();
    }
    let written = writer.finish().unwrap().0;
    let expected = bytes(fenced("hexdump"));
    assert!(written == expected, "the file is now:\n{}", dump(&written));

    let mut reader = CaptureReader::new(expected.as_slice()).unwrap();
    let mut exporter = Exporter::new(Vec::new(), reader.header()).unwrap();
    for event in reader.by_ref() {
        exporter.write(&event.unwrap()).unwrap();
    }
    assert_eq!(reader.end(), Some(End::Clean));
    assert_eq!(String::from_utf8(exporter.finish().unwrap()).unwrap(), text);
}

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let numbers: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("{:04x}  {}\n", line * 16, numbers.join(" ")));
    }
    text
}
