//! The example of a CI job: its commands, run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::recording::{only_vanished, run, text, until_whole};

/// Makes one connection over loopback, and tells its port.
const TESTS: &str = r#"#!/usr/bin/env python3
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
client.sendall(b"x" * 1234)
client.close()
while accepted.recv(4096):
    pass
accepted.close()
open("port", "w").write(str(server.getsockname()[1]))
"#;

pub(crate) fn the_example_of_a_ci_job_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let example = fs::read_to_string(root.join("fixtures/ci-example.yml")).unwrap();
    let commands: Vec<&str> = example
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- run: "))
        .map(|command| command.trim_start_matches("sudo --preserve-env=PATH "))
        .collect();
    let [record, info, check, report] = commands[..] else { panic!("{commands:?}") };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("run-tests", TESTS);
    fs::set_permissions(folder.path().join("run-tests"), fs::Permissions::from_mode(0o755)).unwrap();
    let rule = root.join("fixtures/rules/first-sight");
    fs::create_dir_all(folder.path().join("fixtures/first-sight")).unwrap();
    for file in fs::read_dir(rule).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, folder.path().join("fixtures/first-sight").join(file.file_name().unwrap())).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_netflow")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let step = |command: &str| {
        let output =
            Command::new("bash").args(["-ec", command]).current_dir(&folder).env("PATH", &path).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };

    until_whole(|| {
        let (code, _, said) = step(record);
        assert!(code == Some(0) || only_vanished(&said), "{code:?}: {said}");
        code == Some(0)
    });
    let (code, told, said) = step(info);
    assert_eq!(code, Some(0), "{said}");
    assert!(told.contains("netflow record"), "{told}");
    let (code, told, said) = step(check);
    assert_eq!((code, told.as_str()), (Some(0), ""), "{said}");
    assert_eq!(step(report).0, Some(0));
    assert_eq!(&fs::read(folder.path().join("tests.parquet")).unwrap()[..4], b"PAR1");

    let port = fs::read_to_string(folder.path().join("port")).unwrap();
    let filter = format!("dst_port == {port} and process_name contains \"python\"");
    let arguments = ["report", "tests.nfcap", "--keep-loopback", "--by", "dst_port", "--csv=-", "--filter", &filter];
    let csv = run(&arguments, folder.path(), 0);
    assert!(csv.lines().nth(1).unwrap().contains(&format!(",{port},0,1234,")), "{csv}");

    // A number that is not as it was.
    let expected = folder.path().join("fixtures/first-sight/report.csv");
    let changed = fs::read_to_string(&expected).unwrap().replace("0,1\n", "0,2\n");
    fs::write(&expected, changed).unwrap();
    let (code, told, said) = step(check);
    assert_eq!(code, Some(3), "{said}");
    assert!(told.contains("::error file=fixtures/first-sight/report.csv,line=2,"), "{told}");
    assert!(told.contains("connections: expected 2, found 1"), "{told}");
}
