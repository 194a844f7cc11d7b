//! The same capture gives the same bytes, wherever and however often it is read.

use std::path::Path;
use std::process::Command;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures/web/capture.nfcap");

/// Time zone, locale, and how many threads the columns' library may use.
const PLACES: [[&str; 3]; 4] = [
    ["UTC", "C", "1"],
    ["Pacific/Auckland", "tr_TR.UTF-8", "2"],
    ["America/St_Johns", "de_DE.UTF-8", "7"],
    ["Asia/Kathmandu", "ar_EG.UTF-8", "1"],
];

fn output(folder: &Path, arguments: &[&str], [zone, locale, threads]: [&str; 3]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_netflow"))
        .args(arguments)
        .arg(CAPTURE)
        .current_dir(folder)
        .env("TZ", zone)
        .envs([("LC_ALL", locale), ("LANG", locale)])
        .envs([("POLARS_MAX_THREADS", threads), ("RAYON_NUM_THREADS", threads)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.len() > 100, "{arguments:?} printed next to nothing");
    output.stdout
}

#[test]
fn neither_place_nor_threads_nor_repetition_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 10] = [
        &["report"],
        &["report", "--csv=-"],
        &["report", "--parquet=-"],
        &["report", "--html=-"],
        &["report", "--json=-", "--every", "1s"],
        &["replay", "--keep-loopback"],
        &["replay", "--format", "line"],
        &["replay", "--format", "csv"],
        &["dump"],
        &["info", "--json"],
    ];
    for arguments in commands {
        let first = output(folder.path(), arguments, PLACES[0]);
        for place in PLACES {
            assert!(output(folder.path(), arguments, place) == first, "{arguments:?} differs with {place:?}");
        }
    }
}
