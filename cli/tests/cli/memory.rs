//! Reports whose groups take more memory than they may: what is written is the same.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use netflow_core::event::{Body, Close, Direction, Event, Header, Identity, Open, TcpStates, Totals, Transport};
use netflow_formats::capture::{CaptureWriter, WriterOptions};

use crate::economy::bytes_read;
use crate::run::{Ran, netflow, netflow_with_input};

const MS: u64 = 1_000_000;
const COUNT: u32 = 20_000;
/// Some half of what their groups take.
const LIMIT: &str = "2MB";

/// So many connections, each between other ends.
fn connections(path: &Path, count: u32) {
    let header = Header { host: "h".into(), boot_time_ns: 1_769_817_600_000_000_000, ..Header::default() };
    let mut writer = CaptureWriter::new(File::create(path).unwrap(), &header, WriterOptions::default()).unwrap();
    let states = TcpStates::default().with_name("established").unwrap();
    for number in 0..count {
        let (conn, at) = (u64::from(number), u64::from(number) * MS / 2);
        // One after the other all of 32 bits, so that no two are the same and none is near the one before.
        let address = std::net::Ipv4Addr::from_bits(0x0800_0000 | number.wrapping_mul(0x9e37_79b1) >> 8);
        let identity = Identity {
            direction: Some(Direction::Outgoing),
            ..Identity::new(
                Transport::Tcp,
                format!("10.0.0.{}:40000", number % 7).parse().unwrap(),
                format!("{address}:{}", 1 + number % 999).parse().unwrap(),
            )
        };
        let totals = Totals {
            sent_bytes: conn * 17 % 1009,
            recv_bytes: conn * 71 % 10_007,
            rtt_us: number % 97,
            ..Totals::default()
        };
        let close = Close { conn, totals, identity: None, tcp_states: states, reason: None };
        writer.push(&Event { at, body: Body::Open(Open { conn, identity: Arc::new(identity) }) }).unwrap();
        writer.push(&Event { at, body: Body::Close(close) }).unwrap();
    }
    writer.finish().unwrap();
}

fn report(folder: &Path, arguments: &[&str]) -> Ran {
    netflow(folder, &[&["report", "out.nfcap", "--force", "--by", "src_ip,dst_ip,dst_port"], arguments].concat())
}

#[test]
fn a_report_is_the_same_within_less_memory() {
    let folder = tempfile::tempdir().unwrap();
    connections(&folder.path().join("out.nfcap"), COUNT);
    let files = ["csv", "parquet", "json", "arrow", "line"];
    let questions: [&[&str]; 4] = [
        &[],
        &["--sort", "bytes_read,dst_port:asc"],
        &["--every", "3s", "--sort", "bytes_written", "--having", "bytes_read > 5000"],
        &[
            "--columns",
            "dst_ip,rtt,bytes_read",
            "--top",
            "100",
            "--sort",
            "rtt:asc",
            "--every",
            "3s",
            "--across-windows",
        ],
    ];
    for question in questions {
        let flags = |name: &str| files.map(|format| format!("--{format}={name}.{format}"));
        let run = |name: &str, limit: &[&str]| {
            let flags = flags(name);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let ran = report(folder.path(), &[&flags, question, limit].concat());
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        };
        run("whole", &[]);
        run("shares", &["--memory-limit", LIMIT]);
        for format in files {
            let read = |name: &str| fs::read(folder.path().join(format!("{name}.{format}"))).unwrap();
            let (whole, shares) = (read("whole"), read("shares"));
            assert!(whole.len() > 1000 && whole == shares, "{question:?} {format}");
        }
    }
    for question in [&[][..], &["--every", "3s"], &["--top", "3", "--sort", "rtt"]] {
        let whole = report(folder.path(), question).ok();
        assert_eq!(report(folder.path(), &[question, &["--memory-limit", LIMIT]].concat()).ok(), whole);
    }
    // That it was read several times, or all this compares a thing with itself.
    let by = ["report", "out.nfcap", "--force", "--by", "src_ip,dst_ip,dst_port", "--csv=/dev/null"];
    let once = bytes_read(folder.path(), &by);
    let often = bytes_read(folder.path(), &[&by[..], &["--memory-limit", LIMIT]].concat());
    let size = fs::metadata(folder.path().join("out.nfcap")).unwrap().len();
    assert!(once < 2 * size && often > 3 * size, "{once} {often} of {size}");
}

#[test]
fn what_cannot_be_done_within_so_much_is_said() {
    let folder = tempfile::tempdir().unwrap();
    connections(&folder.path().join("out.nfcap"), COUNT);
    let little = report(folder.path(), &["--csv=-", "--memory-limit", "100kB"]);
    assert_eq!((little.code, little.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(little.stderr, @"error: --memory-limit 97.66 KiB is too little for this report: so much is taken by the different values of its tags, which all shares of the groups need; allow more, or group by less");
    let capture = fs::read(folder.path().join("out.nfcap")).unwrap();
    let by = ["report", "-", "--by", "src_ip,dst_ip", "--csv=-", "--memory-limit", LIMIT];
    let stdin = netflow_with_input(folder.path(), &by, &capture);
    assert_eq!((stdin.code, stdin.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(stdin.stderr, @"error: the groups of this report take more than --memory-limit 1.91 MiB, and stdin cannot be read again for a share of them: give the capture as a file");
    // What fits is made of stdin, too.
    let few = [&by[..2], &["--by", "src_ip", "--csv=-", "--memory-limit", LIMIT]].concat();
    assert_eq!(netflow_with_input(folder.path(), &few, &capture).ok().lines().count(), 8);
    let html = report(folder.path(), &["--html=-", "--memory-limit", LIMIT]);
    assert!(html.code == Some(2) && html.stderr.contains("cannot be used with"), "{}", html.stderr);
}

#[test]
fn damage_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.nfcap");
    connections(&path, COUNT);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let [whole, shares] =
        [&[][..], &["--memory-limit", LIMIT]].map(|limit| report(folder.path(), &[&["--csv=-"], limit].concat()));
    assert_eq!(whole.code, Some(3));
    assert!(whole.stderr.contains("warning: out.nfcap"), "{}", whole.stderr);
    assert_eq!((shares.code, shares.stderr, shares.stdout == whole.stdout), (whole.code, whole.stderr, true));
}
