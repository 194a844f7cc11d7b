//! Recording with few privileges: as `nobody`, with exactly the capabilities that a test names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::recording::{Recording, netflow, only_vanished, run, text};

/// All that recording needs.
pub(crate) const THREE: &str = "+bpf,+perfmon,+net_admin";
const NOBODY: u32 = 65534;

/// A folder of `nobody`'s, with the program in it: the one that was built may lie where only root gets.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_netflow"), folder.path().join("netflow")).unwrap();
    folder
}

/// `nobody`, with these capabilities (as setpriv lists them) and no way to others.
pub(crate) fn nobody(folder: &Path, capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).current_dir(folder);
    for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
        command.arg(format!("{set}=-all{}{capabilities}", if capabilities.is_empty() { "" } else { "," }));
    }
    command
}

pub(crate) fn said(output: &Output) -> (Option<i32>, String, String) {
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What the kernel says of the privileges of a process, or of one of its threads.
fn privileges(status: &Path) -> Vec<String> {
    let status = fs::read_to_string(status).unwrap();
    status.lines().filter(|line| line.starts_with("Cap") || line.starts_with("NoNewPrivs")).map(str::to_owned).collect()
}

/// The privileges of a recorder that keeps these capabilities.
fn kept(capabilities: u64) -> Vec<String> {
    [("Inh", 0), ("Prm", capabilities), ("Eff", capabilities)]
        .map(|(set, value)| format!("Cap{set}:\t{value:016x}"))
        .into()
}

/// What a recorder keeps: before Linux 6.0 reading a map takes CAP_BPF.
fn expected(with_command: bool) -> u64 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let major: u32 = release.split('.').next().unwrap().parse().unwrap();
    let bpf = if major < 6 { 1 << 39 } else { 0 };
    let kill = if with_command { 1 << 5 } else { 0 };
    bpf | kill
}

/// Of these, the thread that looks after processes keeps what it was given: seeing the executables of other users and
/// looking up cgroups (`CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH`).
const DETAILS: u64 = 1 << 19 | 1 << 2;

/// And the one that asks for translations: seeing which connections are tracked, in namespaces of others as well
/// (`CAP_NET_ADMIN`, `CAP_SYS_ADMIN`, `CAP_SYS_PTRACE`).
const TRANSLATIONS: u64 = 1 << 12 | 1 << 21 | 1 << 19;

/// Checks every thread of a recorder until all have these privileges, and the two that look after processes and translations
/// those that they need of what the recorder was `given`; it gives up the others after the file has begun.
fn assert_gives_up_all_but(pid: u32, capabilities: u64, given: u64) {
    let expected = kept(capabilities);
    let beside = |needs: u64| kept(capabilities & 1 << 39 | given & needs);
    let (expected_of_news, expected_of_nat) = (beside(DETAILS), beside(TRANSLATIONS));
    let began = Instant::now();
    loop {
        let threads: Vec<(String, Vec<String>)> = fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .map(|thread| thread.unwrap().path())
            .map(|thread| (fs::read_to_string(thread.join("comm")).unwrap(), privileges(&thread.join("status"))))
            .collect();
        let few = |(name, thread): &(String, Vec<String>)| {
            let expected = match name.trim_end() {
                "netflow-news" => &expected_of_news,
                "netflow-nat" => &expected_of_nat,
                _ => &expected,
            };
            thread.starts_with(expected)
                && thread.contains(&"CapAmb:\t0000000000000000".to_owned())
                && thread.contains(&"NoNewPrivs:\t1".to_owned())
        };
        // The one that drains, the one that writes and those two.
        if threads.len() >= 4 && threads.iter().all(few) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "expected {expected:?}, found {threads:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One connection over loopback, with 100 bytes there and 200 back.
fn talk() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut buffer = [0; 200];
    client.write_all(&[1; 100]).unwrap();
    server.read_exact(&mut buffer[..100]).unwrap();
    server.write_all(&[2; 200]).unwrap();
    client.read_exact(&mut buffer).unwrap();
    listener.local_addr().unwrap().port()
}

/// Three capabilities are enough for a recording of everybody's connections, whole and with the owners; while it runs,
/// the recorder has fewer.
pub(crate) fn three_capabilities_are_enough_to_record() {
    let folder = folder();
    let out = folder.path().join("out.nfcap");
    // Older than the recording, and root's.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let older = client.local_addr().unwrap().port();
    let mut record = nobody(folder.path(), THREE);
    record.args(["./netflow", "record", "-i", "100ms", "out.nfcap"]);
    let recording = Recording::spawn(record, &out);
    assert_gives_up_all_but(recording.pid(), expected(false), 1 << 12);
    let port = talk();
    std::thread::sleep(Duration::from_secs(1));
    let (code, said) = recording.end();
    assert!(code == 0 || only_vanished(&said), "{said}");
    // Iterators were walked after the rest was given up, and maps read.
    let ticks = run(&["dump", "out.nfcap"], folder.path(), 0)
        .lines()
        .filter(|line| line.contains("\"tick\"") && !line.contains("complete"))
        .count();
    assert!(ticks > 2, "{ticks} whole snapshots");
    let by = "--by=pid,src_port,dst_port";
    let rows = run(
        &["report", "out.nfcap", "--json=-", "--no-fold", "--keep-loopback", "--keep-idle", by],
        folder.path(),
        code,
    );
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |field: &str, port: u16| {
        rows.iter().find(|row| row[field] == port).unwrap_or_else(|| panic!("{field} {port} in {rows:?}"))
    };
    assert_eq!(find("src_port", older)["pid"], std::process::id());
    let incoming = find("src_port", port);
    assert_eq!((&incoming["bytes_read"], &incoming["bytes_written"]), (&Value::from(100), &Value::from(200)));
    let outgoing = find("dst_port", port);
    assert_eq!((&outgoing["bytes_read"], &outgoing["bytes_written"]), (&Value::from(200), &Value::from(100)));
    assert_eq!((&incoming["pid"], &outgoing["pid"]), (&std::process::id().into(), &std::process::id().into()));
    drop((listener, client));
}

/// File capabilities are as good as inherited ones, and do not reach the command.
pub(crate) fn capabilities_of_the_file_are_enough_to_record() {
    let folder = folder();
    let mut setcap = Command::new("setcap");
    setcap.arg("cap_bpf,cap_perfmon,cap_net_admin+ep").arg(folder.path().join("netflow"));
    let honoured = !rustix::fs::statvfs(folder.path()).unwrap().f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID);
    if !honoured || !setcap.status().is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("NETFLOW_REQUIRE_LIVE").is_none(),
            "setcap and a TMPDIR not mounted nosuid are needed"
        );
        eprintln!("skipped: no setcap, or a file system without capabilities");
        return;
    }
    // No ambient capabilities, yet not outside of the bounding set either.
    let user = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
        command.current_dir(folder.path());
        command
    };
    let show = ["sh", "-c", "grep -E 'Cap|NoNew' /proc/self/status"];
    let (code, _, doctor) = said(&user().args(["./netflow", "doctor"]).output().unwrap());
    assert_eq!(code, Some(3), "recording works, and not all of it: {doctor}");
    let recorded = user().args(["./netflow", "record", "out.nfcap", "--"]).args(show).output().unwrap();
    assert_eq!(said(&recorded).0, Some(0), "{recorded:?}");
    assert_eq!(text(&recorded.stdout), text(&user().args(show).output().unwrap().stdout));
}

/// The command has what the caller had, no more and no less, while its recorder has next to nothing.
pub(crate) fn a_command_keeps_the_callers_privileges() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let command = ["sh", "-c", "grep -E 'Cap|NoNew' /proc/self/status > seen; until [ -e go ]; do sleep 0.05; done"];
    let as_root = || {
        let mut command = Command::new("env");
        command.current_dir(folder.path());
        command
    };
    let as_nobody = || nobody(folder.path(), THREE);
    let callers: [(&dyn Fn() -> Command, u64, u64); 2] =
        [(&as_root, expected(true), u64::MAX), (&as_nobody, expected(false), 1 << 12)];
    for (caller, capabilities, given) in callers {
        fs::write(at("go"), "").unwrap();
        assert!(caller().args(command).status().unwrap().success());
        let alone = fs::read_to_string(at("seen")).unwrap();
        assert!(alone.lines().count() >= 5, "{alone}");
        ["go", "seen"].iter().for_each(|name| fs::remove_file(at(name)).unwrap());
        let mut record = caller();
        record.args(["./netflow", "record", "out.nfcap", "--"]).args(command);
        let recording = Recording::spawn(record, &at("out.nfcap"));
        assert_gives_up_all_but(recording.pid(), capabilities, given);
        fs::write(at("go"), "").unwrap();
        let output = recording.wait();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(fs::read_to_string(at("seen")).unwrap(), alone);
        ["go", "seen", "out.nfcap"].iter().for_each(|name| fs::remove_file(at(name)).unwrap());
    }
}

/// A command that has become another user can still be ended.
pub(crate) fn a_command_of_another_user_is_ended() {
    let folder = folder();
    let began = Instant::now();
    let mut record = netflow();
    record.args(["record", "-d", "300ms", "out.nfcap", "--"]).current_dir(folder.path());
    record.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"]);
    let (code, _, said) = said(&record.output().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "{said}");
}

/// A recorder in several files keeps what it takes to make them in a folder of another user, and to remove those of another
/// user from one where only owners may: nobody else may even look into this one.
pub(crate) fn files_go_on_in_a_folder_of_another_user() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1700)).unwrap();
    let old = at("out-20200101T000000Z.nfcap");
    fs::write(&old, "of an earlier recording").unwrap();
    std::os::unix::fs::chown(&old, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut record = netflow();
    record.args(["record", "-i", "100ms", "--rotate", "1s", "--keep", "2", "out.nfcap"]).current_dir(folder.path());
    let recording = Recording::spawn(record, &old);
    // CAP_DAC_OVERRIDE and CAP_FOWNER.
    assert_gives_up_all_but(recording.pid(), expected(false) | 1 << 1 | 1 << 3, u64::MAX);
    let files =
        || fs::read_dir(folder.path()).unwrap().filter(|entry| is_capture(&entry.as_ref().unwrap().path())).count();
    let began = Instant::now();
    let mut most = 0;
    while old.exists() || began.elapsed() < Duration::from_secs(4) {
        assert!(began.elapsed() < Duration::from_secs(60), "the oldest file is still there");
        talk();
        most = most.max(files());
    }
    let (code, said) = recording.end();
    assert!(code == 0 || only_vanished(&said), "{said}");
    assert!(most >= 2 && files() == 2, "{most} files at a time");
    let written: u32 = said.split_once("out-*.nfcap, ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!(written > 2, "{said}");
}

fn is_capture(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "nfcap")
}

/// Without a capability, the error names it and tells how to learn more, and no file stays behind.
pub(crate) fn missing_capabilities_are_named() {
    let folder = folder();
    for (capabilities, missing) in [
        ("", "CAP_BPF, "),
        ("", "CAP_PERFMON"),
        ("+bpf,+perfmon", "lacks CAP_NET_ADMIN;"),
        ("+bpf,+net_admin", "lacks CAP_PERFMON;"),
        ("+perfmon,+net_admin", "lacks CAP_BPF;"),
    ] {
        for command in [&["record", "-d", "1ms", "out.nfcap"][..], &["live", "-d", "1ms"]] {
            let output = nobody(folder.path(), capabilities).arg("./netflow").args(command).output().unwrap();
            let (code, _, said) = said(&output);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(missing) && said.contains("`netflow doctor`"), "{capabilities}: {said}");
        }
        assert!(!folder.path().join("out.nfcap").exists());
    }
}
