//! How recordings end.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netflow_fixtures::traffic;
use rustix::process::Signal;

use crate::recording::{Recording, netflow, only_vanished, run, text};

fn burst(connections: u64) {
    traffic::burst(connections, || std::thread::sleep(Duration::from_millis(1))).unwrap();
}

pub(crate) fn a_command_is_recorded_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut record = netflow();
    record
        .args(["record", "-d", "60s", "out.nfcap", "--", "sh", "-c", "echo to stdout; sleep 0.3"])
        .current_dir(folder.path());
    let began = Instant::now();
    let output = record.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "to stdout\n", "stdout is the command's");
    assert!(began.elapsed() < Duration::from_secs(30), "the end of the command ends the recording");
    assert!(run(&["info", "out.nfcap"], folder.path(), 0).contains("closed cleanly"));
    // The duration caps the command, which is told to end.
    let mut record = netflow();
    record.args(["record", "-d", "200ms", "short.nfcap", "--", "sleep", "60"]).current_dir(folder.path());
    let began = Instant::now();
    assert_eq!(record.output().unwrap().status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30));
}

pub(crate) fn a_failed_command_fails_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let record = |command: &[&str]| {
        let output = netflow()
            .args(["record", "--force", "out.nfcap", "--"])
            .args(command)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = record(&["sh", "-c", "exit 7"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("error: sh failed with exit status: 7 (the recording is complete)"), "{said}");
    assert!(run(&["info", "out.nfcap"], folder.path(), 0).contains("closed cleanly"));
    let (code, said) = record(&["/no/such/program"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot start /no/such/program"), "{said}");
}

pub(crate) fn limits_end_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    for limit in [["--max-events", "50"], ["--max-size", "4KB"]] {
        let recording = Recording::start(folder.path(), &["--force", limit[0], limit[1]]);
        burst(1000);
        let output = recording.wait();
        let said = text(&output.stderr);
        assert!(output.status.success() || only_vanished(&said), "{said}");
        assert!(said.contains("asked for is reached"), "{said}");
        fs::remove_file(folder.path().join("out.nfcap")).unwrap();
    }
    // SIGTERM is as good an end as SIGINT.
    let recording = Recording::start(folder.path(), &[]);
    recording.signal(Signal::TERM);
    assert_eq!(recording.wait().status.code(), Some(0));
    assert!(run(&["info", "out.nfcap"], folder.path(), 0).contains("closed cleanly"));
}

/// A file system of 96 KiB, gone when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Self {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=96k", "tmpfs"]).arg(path).status().unwrap();
        assert!(mounted.success());
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

pub(crate) fn a_full_disk_ends_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path());
    let mut recording = Recording::start(disk.0, &["-i", "100ms"]);
    // Little by little, so that many blocks fit before the one that does not: whatever the machine could do in the second that a
    // block has, it is not given more than a fifth of the disk.
    for _ in 0..1000 {
        if recording.has_ended() {
            break;
        }
        burst(100);
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = recording.wait();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("can be read"), "{said}");
    let dump = run(&["dump", "out.nfcap"], disk.0, 0);
    assert!(dump.lines().count() > 1000, "what was written before is there: {} lines", dump.lines().count());
}

pub(crate) fn paths_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let record = |path: &str| {
        let output = netflow().args(["record", "-d", "1ms", path]).current_dir(folder.path()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    fs::write(folder.path().join("precious.nfcap"), "precious").unwrap();
    let (code, said) = record("precious.nfcap");
    assert_eq!(code, Some(1));
    assert!(said.contains("precious.nfcap exists") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("precious.nfcap")).unwrap(), "precious");
    for path in ["/no/such/folder/out.nfcap", "/proc/out.nfcap"] {
        let (code, said) = record(path);
        assert_eq!(code, Some(1));
        assert!(said.contains(&format!("cannot write {path}")), "{said}");
    }
    // Without privileges, the error says what is missing, and no empty file stays behind.
    fs::copy(env!("CARGO_BIN_EXE_netflow"), folder.path().join("netflow")).unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = Command::new(folder.path().join("netflow"));
    let output = command
        .args(["record", "-d", "1ms", "out.nfcap"])
        .current_dir(folder.path())
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("root") || said.contains("CAP_BPF"), "{said}");
    assert!(!folder.path().join("out.nfcap").exists());
}

pub(crate) fn streams_and_closed_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let output = netflow().args(["record", "-d", "300ms", "-"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    fs::write(folder.path().join("out.nfcap"), output.stdout).unwrap();
    assert!(run(&["info", "out.nfcap"], folder.path(), 0).contains("closed cleanly"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = netflow().args(["record", "-d", "20s", "-"]).stdout(Stdio::from(writer)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
