//! Input made to harm: little files that claim much, deep ones, lists without an end. The program runs with no more memory
//! than `formats/FORMAT.md` says that a reader needs, so that a claim which is believed ends it.

use std::fs;
use std::path::Path;

use netflow_fixtures::forged::{self, Claim, EVENTS, INDEX, METADATA, block, events, number, start};

use crate::run::{Ran, netflow, netflow_within};

const MIB: u64 = 1 << 20;
/// What a reader of a capture needs at most, and the program itself.
const READER: u64 = (768 + 256) * MIB;
/// A quarter of what the largest state of a cluster needs at most while a report is made: the texts here have a quarter of
/// its length.
const CLUSTER: u64 = 1024 * MIB;
/// Of streams: stored, one zstd frame, one byte repeated.
const STORED: u8 = 0;
const ZSTD: u8 = 1;
const REPEATED: u8 = 2;
/// The most that a block may hold.
const ROWS: u32 = 1 << 19;
const BYTES: usize = 96 << 20;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

fn capture(blocks: &[Vec<u8>]) -> Vec<u8> {
    [start(), blocks.concat()].concat()
}

fn one(rows: u32, tables: [u32; 5], streams: &[(u16, u8, &[u8])]) -> Vec<u8> {
    let claim = Claim { kind: EVENTS, sequence: 1, events: rows, ..Claim::default() };
    block(&claim, &events(tables, streams))
}

/// As many connections as a block may open: each with an own profile, addresses, and a name as long as all may be together.
fn opens(sequence: u32, names: &[u8]) -> Vec<u8> {
    let named = !names.is_empty();
    let flags = if named { 4 | 32 } else { 4 };
    let mut streams: Vec<(u16, u8, &[u8])> = vec![
        (8 * 8, REPEATED, &[2]), // Ids go up by one.
        (16 * 8, REPEATED, if named { &[4 | 32] } else { &[4] }),
    ];
    assert_eq!(streams[1].2, [flags]);
    if named {
        // 192 is symbol 30 and five bits of zeros.
        streams.extend([(28 * 8, REPEATED, &[30][..]), (28 * 8 + 1, REPEATED, &[0]), (29 * 8, ZSTD, names)]);
    }
    let claim = Claim {
        kind: EVENTS,
        sequence,
        events: ROWS,
        events_before: u64::from(sequence - 1) * u64::from(ROWS),
        ..Claim::default()
    };
    let tables = [ROWS, ROWS, ROWS * 2, 0, if named { ROWS } else { 0 }];
    block(&claim, &events(tables, &streams))
}

/// The most connections that blocks can open, each with an id of its own, and nothing else.
fn crowd(blocks: u32) -> Vec<u8> {
    let open = |sequence: u32| {
        // The first id is behind those of the block before; a signed difference, so twice as much.
        let first = 2 * (u64::from(sequence - 1) * u64::from(ROWS) + 1);
        let (symbols, bits) = length(usize::try_from(first + 14).unwrap());
        let symbols = zstd(&[&symbols[..], &vec![2; ROWS as usize - 1]].concat());
        let events_before = u64::from(sequence - 1) * u64::from(ROWS);
        let claim = Claim { kind: EVENTS, sequence, events: ROWS, events_before, ..Claim::default() };
        let streams: [(u16, u8, &[u8]); 3] =
            [(8 * 8, ZSTD, &symbols), (8 * 8 + 1, STORED, &bits), (16 * 8, REPEATED, &[4])];
        block(&claim, &events([ROWS, ROWS, ROWS * 2, 0, 0], &streams))
    };
    capture(&(1..=blocks).map(open).collect::<Vec<_>>())
}

/// One event of a kind without columns of its own.
fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let packed = zstd(bytes);
    let (symbols, bits) = length(bytes.len());
    one(
        1,
        [0; 5],
        &[(0, STORED, &[kind]), (51 * 8, STORED, &symbols), (51 * 8 + 1, STORED, &bits), (52 * 8, ZSTD, &packed)],
    )
}

/// A number of a measured column, alone, from 16 on.
fn length(value: usize) -> ([u8; 1], Vec<u8>) {
    let high = usize::try_from(value.ilog2()).unwrap();
    let middle = (value >> (high - 2)) & 3;
    let rest = value & ((1 << (high - 2)) - 1);
    let symbol = u8::try_from(16 + 4 * (high - 4) + middle).unwrap();
    ([symbol], rest.to_le_bytes()[..(high - 2).div_ceil(8)].to_vec())
}

fn state(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    number(text.len() as u64, &mut bytes);
    bytes.extend_from_slice(text.as_bytes());
    record(8, &bytes)
}

/// A text of at most 16 MiB: the beginning, the middle as often as there is room, the end.
fn long(begin: &str, middle: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = begin.to_owned();
    for place in 0.. {
        let next = middle(place);
        if text.len() + next.len() + end.len() > 16 << 20 {
            break;
        }
        text.push_str(&next);
    }
    text + end
}

/// Commands that read captures do so within the memory.
fn read_within(memory: u64, name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bomb.nfcap"), bytes).unwrap();
    for arguments in [
        &["info", "bomb.nfcap"][..],
        &["verify", "bomb.nfcap"],
        &["report", "bomb.nfcap", "--csv=report.csv"],
        &["recover", "bomb.nfcap", "-o", "saved.nfcap"],
    ] {
        ended_within(memory, name, folder.path(), arguments);
    }
}

fn ended_within(memory: u64, name: &str, folder: &Path, arguments: &[&str]) -> Ran {
    let ran = netflow_within(memory, folder, arguments);
    assert!(matches!(ran.code, Some(0 | 1 | 3)), "{name} {arguments:?}: {:?} {}", ran.code, ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{name} {arguments:?}: {}", ran.stderr);
    ran
}

#[test]
fn blocks_that_claim_much_are_read_within_the_stated_memory() {
    let zeros = zstd(&vec![0; BYTES]);
    let names = zstd(&vec![b'a'; BYTES]);
    let mut dns = vec![183];
    dns.extend([b'a'; 183]);
    dns.extend([0, 192, 0, 2, 1, 60, 0, 0]);
    let records = zstd(&dns.repeat(ROWS as usize));
    let mut commands = vec![0; 6];
    commands.extend([0, 0, 0, 252]);
    commands.extend(u32::try_from(BYTES / 24).unwrap().to_le_bytes());
    commands.resize(BYTES, 0);
    let commands = zstd(&commands);
    let whole = Claim { codec: 1, raw_bytes: Some(u32::try_from(BYTES).unwrap()), ..Claim::default() };
    let file = start()[..forged::FILE_HEADER].to_vec();
    let bombs = [
        ("metadata", [&file[..], &block(&Claim { kind: METADATA, ..whole }, &zeros)].concat()),
        ("commands", [&file[..], &block(&Claim { kind: METADATA, ..whole }, &commands)].concat()),
        ("index", capture(&[block(&Claim { kind: INDEX, sequence: 1, ..whole }, &zeros)])),
        ("a gigabyte", capture(&[one(1, [0; 5], &[(0, ZSTD, &zstd(&vec![0; 1 << 30]))])])),
        ("names", capture(&[opens(1, &names)])),
        (
            "records",
            capture(&[one(
                ROWS,
                [0; 5],
                &[
                    (0, REPEATED, &[5]),
                    (51 * 8, REPEATED, &[30]),
                    (51 * 8 + 1, REPEATED, &[0]),
                    (52 * 8, ZSTD, &records),
                ],
            )]),
        ),
        (
            "cut",
            capture(&[
                block(&Claim { kind: EVENTS, sequence: 1, events: ROWS, ..Claim::default() }, &[0; 9])[..100].to_vec()
            ]),
        ),
    ];
    for (name, bytes) in bombs {
        assert!(bytes.len() < 1 << 20, "{name} is no little file: {}", bytes.len());
        read_within(READER, name, &bytes);
    }
}

#[test]
fn states_of_clusters_that_claim_much_are_read_within_the_stated_memory() {
    let list = |item: &str| long(&format!("{{\"kind\":\"List\",\"items\":[{item}"), |_| format!(",{item}"), "]}");
    let object = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"containers\":[0";
    let deep = "[".repeat(32 << 20) + &"]".repeat(32 << 20);
    let addresses = long("", |at| format!(",{{\"ip\":\"10.{}.{}.{}\"}}", at >> 16 & 255, at >> 8 & 255, at & 255), "");
    let ports = (2..60_000).map(|port| format!(",{{\"port\":{port}}}")).collect::<String>();
    let pairs = format!(
        "{{\"kind\":\"Endpoints\",\"metadata\":{{\"name\":\"a\"}},\"subsets\":[{{\"ports\":[{{\"port\":1}}{ports}],\"addresses\":[{{\"ip\":\"::1\"}}{}]}}]}}",
        &addresses[..addresses[..4 << 20].rfind(",{").unwrap()]
    );
    for (name, text, code) in [
        ("an object of zeros", long(object, |_| ",0".into(), "]}}"), 3),
        ("a list of zeros", list("0"), 3),
        ("a list of lists", list("[]"), 0),
        ("nothing of use", long("[{\"kind\":\"a\"}", |_| ",{\"kind\":\"a\"}".into(), "]"), 0),
        ("deep", deep, 3),
        ("ports of addresses", pairs, 3),
        (
            "pods",
            long(
                "{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"name\":\"a\"}}",
                |at| format!(",{{\"metadata\":{{\"name\":\"{at:x}\"}}}}"),
                "]}",
            ),
            0,
        ),
        (
            "addresses of a node",
            long(
                "[{\"kind\":\"a\"}",
                |at| {
                    format!(
                        ",{{\"kind\":\"Node\",\"metadata\":{{\"name\":\"{at}\"}},\"status\":{{\"addresses\":[{{\"address\":\"::1\"}}]}}}}"
                    )
                },
                "]",
            ),
            0,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bomb.nfcap"), capture(&[state(&text)])).unwrap();
        let ran = ended_within(CLUSTER, name, folder.path(), &["report", "bomb.nfcap", "--csv=report.csv"]);
        assert_eq!(ran.code, Some(code), "{name}: {}", ran.stderr);
        assert!(code == 0 || ran.stderr.contains("the cluster's state cannot be read"), "{name}: {}", ran.stderr);
    }
}

#[test]
fn lines_that_claim_much_are_read_within_the_stated_memory() {
    let folder = tempfile::tempdir().unwrap();
    let header = "{\"type\":\"header\",\"format\":1,\"boot_time_ns\":1,\"interval_ms\":1}\n";
    for (name, text, word) in [
        ("no end", header.to_owned() + &"a".repeat(129 << 20), "at most 134217728 bytes"),
        ("keys", header.to_owned() + &long("{\"type\":\"tick\"", |at| format!(",\"{at}\":0"), "}"), "at most 64 keys"),
        (
            "words",
            long(
                "{\"type\":\"header\",\"command\":[\"\"",
                |_| ",\"\"".into(),
                "],\"boot_time_ns\":1,\"interval_ms\":1}\n",
            ),
            "at most 262144 strings",
        ),
        ("deep", format!("{header}{{\"type\":\"tick\",\"at\":{}}}", "[".repeat(64 << 20)), "expected value"),
        (
            "deep and closed",
            format!("{header}{{\"type\":\"tick\",\"at\":{}{}}}", "[".repeat(32 << 20), "]".repeat(32 << 20)),
            "an integer",
        ),
        (
            "deep state",
            format!("{header}{{\"type\":\"k8s\",\"at\":1,\"state\":{}{}}}", "[".repeat(32 << 20), "]".repeat(32 << 20)),
            "",
        ),
        (
            "a state beyond the limit",
            format!("{header}{{\"type\":\"k8s\",\"at\":1,\"state\":[{}0]}}", "0,".repeat(33 << 20)),
            "at most 67108864 bytes",
        ),
    ] {
        fs::write(folder.path().join("bomb.jsonl"), text).unwrap();
        let ran = ended_within(READER, name, folder.path(), &["import", "bomb.jsonl", "-o", "made.nfcap", "--force"]);
        assert_eq!(ran.code, Some(if word.is_empty() { 0 } else { 1 }), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(word) && ran.stderr.len() < 2_000, "{name}: {}", ran.stderr);
    }
}

/// What no limit bounds costs what is stated for each: a million connections that are open, of a file of 604 bytes.
#[test]
fn connections_cost_what_is_stated() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = crowd(2);
    assert!(bytes.len() < 1000, "{}", bytes.len());
    fs::write(folder.path().join("bomb.nfcap"), bytes).unwrap();
    let open = 2 * u64::from(ROWS);
    // The program, and a block of this kind.
    let base = 256 * MIB;
    for (each, arguments) in [
        (1280, &["report", "bomb.nfcap", "--csv=report.csv"][..]),
        (1280, &["replay", "bomb.nfcap"]),
        (320, &["verify", "bomb.nfcap"]),
        (320, &["recover", "bomb.nfcap", "-o", "saved.nfcap"]),
        (320, &["info", "bomb.nfcap"]),
    ] {
        let ran = ended_within(base + open * each, "crowd", folder.path(), arguments);
        assert_ne!(ran.code, Some(1), "{arguments:?}: {}", ran.stderr);
    }
    let ran = netflow(folder.path(), &["info", "saved.nfcap", "--json"]).ok();
    assert!(ran.contains(&format!("\"live_at_end\":{open}")), "{ran}");
}
