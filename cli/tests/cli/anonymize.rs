//! `netflow anonymize`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use netflow_core::anonymize::{Anonymizer, Key, Options};
use netflow_core::event::{Body, Dns, Event, Header, Process};
use netflow_core::k8s::{Name, Objects, Owner, Pod, Service};

use crate::events::capture;
use crate::run::{netflow, netflow_with_input};

/// Every kind of event with every field.
const EVERYTHING: &str = "../formats/tests/anonymize/everything.jsonl";
const SEED: [&str; 2] = ["--key-from-seed", "11"];

fn everything(folder: &Path) {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join(EVERYTHING);
    netflow(folder, &["import", events.to_str().unwrap(), "-o", "events.nfcap"]).ok();
}

fn anonymize(folder: &Path, input: &str, out: &str, more: &[&str]) {
    let ran = netflow(folder, &[&["anonymize", input, "-o", out], &SEED[..], more].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
}

/// The rows of a report as CSV, in any order. The events tell of losses, so its exit code is 3.
fn rows(folder: &Path, inputs: &[&str], more: &[&str]) -> Vec<String> {
    let ran = netflow(folder, &[&["report", "--csv=-"], inputs, more].concat());
    let mut rows: Vec<String> = ran.stdout.lines().map(ToOwned::to_owned).collect();
    assert!(rows.len() > 3, "{}", ran.stderr);
    rows[1..].sort();
    rows
}

/// What the library makes of single names and addresses.
struct Mapping(Anonymizer);

impl Mapping {
    fn new() -> Self {
        Self(Anonymizer::new(&Key::from_seed(11), Options::default()))
    }

    fn body(&mut self, body: Body) -> Body {
        self.0.event(&Event { at: 1, body }, |_, _| panic!("no state")).body
    }

    fn process(&mut self, name: &str, container: &str) -> Process {
        let process = Process { container_id: Some(container.into()), ..Process::new(1, name) };
        let Body::Process(process) = self.body(Body::Process(process)) else { panic!("another event") };
        process
    }

    fn domain(&mut self, name: &str) -> String {
        let dns = Dns { name: name.into(), addr: [1, 2, 3, 4].into(), ttl_s: 0, netns: None, pid: None };
        let Body::Dns(dns) = self.body(Body::Dns(dns)) else { panic!("another event") };
        dns.name.to_string()
    }

    /// Namespace, pod, service and workload of these names.
    fn workload(&mut self, namespace: &str, names: [&str; 3]) -> [Arc<str>; 4] {
        let [pod, service, workload] = names.map(|name| Name { namespace: namespace.into(), name: name.into() });
        let owner = Owner { kind: "Job".into(), name: workload.name };
        let ips = || [[1, 2, 3, 4].into()].into();
        let objects = Objects {
            pods: [(pod, Pod { owner: Some(owner), ips: ips(), ..Pod::default() })].into(),
            services: [(service, Service { cluster_ips: ips(), ..Service::default() })].into(),
            ..Objects::default()
        };
        let mut mapped = self.0.objects(&objects);
        let (name, pod) = mapped.pods.pop_first().unwrap();
        let (service, _) = mapped.services.pop_first().unwrap();
        [name.namespace, name.name, service.name, pod.owner.unwrap().name]
    }

    fn column(&mut self, column: &str, value: &str) -> String {
        if value.is_empty() || value == "N/A" {
            return value.to_owned();
        }
        match column {
            "host" => self.0.header(&Header { host: value.into(), ..Header::default() }).host,
            "src_ip" | "dst_ip" | "dst_nat_ip" => self.0.address(value.parse().unwrap()).to_string(),
            "process_name" => self.process(value, "").process.to_string(),
            "container_id" => self.process("x", value).container_id.unwrap().to_string(),
            "dst_domain" => self.domain(value),
            _ => {
                let place = ["_k8s_namespace", "_k8s_pod_name", "_k8s_service_name", "_k8s_deployment_name"]
                    .iter()
                    .position(|name| column.ends_with(name));
                place.map_or(value.to_owned(), |place| self.workload(value, [value; 3])[place].to_string())
            }
        }
    }

    /// The rows of a report with every name and address replaced, in any order.
    fn rows(&mut self, rows: &[String]) -> Vec<String> {
        let columns: Vec<&str> = rows[0].split(',').collect();
        let mut mapped: Vec<String> = rows[1..]
            .iter()
            .map(|row| {
                let values = columns.iter().zip(row.split(',')).map(|(column, value)| self.column(column, value));
                values.collect::<Vec<_>>().join(",")
            })
            .collect();
        mapped.sort();
        mapped.insert(0, rows[0].clone());
        mapped
    }
}

#[test]
fn the_report_is_the_anonymized_report() {
    let folder = tempfile::tempdir().unwrap();
    everything(folder.path());
    anonymize(folder.path(), "events.nfcap", "other.nfcap", &[]);
    for (more, count) in [(&[][..], 9), (&["--no-fold"], 9), (&["--keep-loopback", "--keep-idle", "--every", "1s"], 11)]
    {
        let original = rows(folder.path(), &["events.nfcap"], more);
        assert!(original.len() > count, "{more:?}: {}", original.len());
        assert!(original.iter().any(|row| row.contains("quagga")));
        let expected = Mapping::new().rows(&original);
        assert_eq!(rows(folder.path(), &["other.nfcap"], more), expected, "{more:?}");
    }
    let totals = |capture: &str| {
        let ran = netflow(folder.path(), &["info", "--json", capture]);
        let info: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        ["counts", "losses", "preexisting", "live_at_end", "first", "last", "anonymized"].map(|key| info[key].clone())
    };
    let (original, other) = (totals("events.nfcap"), totals("other.nfcap"));
    assert_eq!(original[..6], other[..6]);
    assert_eq!((&original[6], &other[6]), (&false.into(), &true.into()));
    let info = netflow(folder.path(), &["info", "other.nfcap"]).stdout;
    assert!(info.contains("\nanonymized     names and addresses stand for others\n"), "{info}");
}

#[test]
fn mapped_ranges_and_other_times_change_no_sum() {
    let folder = tempfile::tempdir().unwrap();
    everything(folder.path());
    let by = ["--keep-loopback", "--keep-idle", "--by", "dst_port,direction,transport,pid"];
    let original = rows(folder.path(), &["events.nfcap"], &by);
    anonymize(folder.path(), "events.nfcap", "plain.nfcap", &["--no-keep-ranges"]);
    assert_eq!(rows(folder.path(), &["plain.nfcap"], &by), original);
    anonymize(folder.path(), "events.nfcap", "later.nfcap", &["--shift-times", "2h"]);
    let later: Vec<String> = original.iter().map(|row| row.replace("T14:13", "T16:13")).collect();
    assert_ne!(later, original);
    assert_eq!(rows(folder.path(), &["later.nfcap"], &by), later);
    anonymize(folder.path(), "events.nfcap", "hours.nfcap", &["--shift-times", "random-from-key"]);
    let without_times = |rows: Vec<String>| -> Vec<String> {
        rows.into_iter().map(|row| row.splitn(3, ',').nth(2).unwrap().to_owned()).collect()
    };
    let hours = rows(folder.path(), &["hours.nfcap"], &by);
    assert!(!hours[1].contains("2026-09-21"), "{}", hours[1]);
    assert!(hours[1].contains(":13:21.000000Z,"), "whole hours: {}", hours[1]);
    assert_eq!(without_times(hours), without_times(original));
}

#[test]
fn parts_that_are_anonymized_alone_still_go_on() {
    let folder = tempfile::tempdir().unwrap();
    everything(folder.path());
    let time = "14:13:23.5";
    netflow(folder.path(), &["cut", "events.nfcap", "-o", "one.nfcap", "--until", time]);
    netflow(folder.path(), &["cut", "events.nfcap", "-o", "two.nfcap", "--since", time]);
    for name in ["events", "one", "two"] {
        anonymize(folder.path(), &format!("{name}.nfcap"), &format!("{name}-a.nfcap"), &[]);
    }
    let whole = rows(folder.path(), &["events-a.nfcap"], &[]);
    assert_eq!(rows(folder.path(), &["one-a.nfcap", "two-a.nfcap"], &[]), whole);
    // All sections of a capture, each by itself.
    netflow(folder.path(), &["merge", "two.nfcap", "one.nfcap", "-o", "both.nfcap"]);
    anonymize(folder.path(), "both.nfcap", "both-a.nfcap", &[]);
    assert_eq!(rows(folder.path(), &["both-a.nfcap"], &[]), whole);
    let verified = netflow(folder.path(), &["verify", "--json", "both-a.nfcap"]).stdout;
    assert!(verified.lines().count() == 1 && verified.contains(r#""sections":2,"#), "{verified}");
}

#[test]
fn the_same_key_gives_the_same_bytes_wherever_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    capture(path);
    anonymize(path, "events.nfcap", "one.nfcap", &[]);
    anonymize(path, "events.nfcap", "two.nfcap", &[]);
    let bytes = fs::read(path.join("one.nfcap")).unwrap();
    assert_eq!(bytes, fs::read(path.join("two.nfcap")).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow"));
    command.args(["anonymize", "-", "-o", "-", "--key", "key"]).current_dir(path);
    fs::write(path.join("key"), Key::from_seed(11).hex()).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(path.join("events.nfcap")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, bytes);
    anonymize(path, "events.nfcap", "two.nfcap", &["--force", "--shift-times", "-1d"]);
    assert_ne!(bytes, fs::read(path.join("two.nfcap")).unwrap());
}

#[test]
fn keys_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    capture(path);
    let made = netflow(path, &["anonymize", "--new-key", "a.key"]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), "a.key: a new key\n"));
    assert_eq!(fs::metadata(path.join("a.key")).unwrap().permissions().mode() & 0o777, 0o600);
    netflow(path, &["anonymize", "--new-key", "b.key"]).ok();
    let [a, b] = ["a.key", "b.key"].map(|name| fs::read_to_string(path.join(name)).unwrap());
    assert_eq!((a.len(), a.trim_end().len()), (65, 64));
    assert_ne!(a, b);
    let again = netflow(path, &["anonymize", "--new-key", "a.key"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.starts_with("error: a.key exists; give another name"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(path.join("a.key")).unwrap(), a);

    let with = |key: &str| netflow(path, &["anonymize", "events.nfcap", "-o", "out.nfcap", "--force", "--key", key]);
    assert_eq!(with("a.key").stderr, "out.nfcap: 9 events, anonymized\n");
    let one = fs::read(path.join("out.nfcap")).unwrap();
    let raw: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&a[2 * n..2 * n + 2], 16).unwrap()).collect();
    fs::write(path.join("raw.key"), raw).unwrap();
    fs::set_permissions(path.join("raw.key"), Permissions::from_mode(0o640)).unwrap();
    let ran = with("raw.key");
    assert_eq!(
        (ran.code, ran.stderr.lines().next()),
        (Some(0), Some("warning: other users can read the key in raw.key (its mode is 640): `chmod 600 raw.key`"))
    );
    assert_eq!(fs::read(path.join("out.nfcap")).unwrap(), one, "digits or bytes");
    fs::write(path.join("short.key"), "c0ffee\n").unwrap();
    fs::write(path.join("long.key"), [b'0'; 5000]).unwrap();
    fs::write(path.join("wrong.key"), a.replacen(|c: char| c.is_ascii_hexdigit(), "g", 1)).unwrap();
    let table = BTreeMap::from([
        ("short.key", "expected 64 hexadecimal digits or 32 bytes, found 6 bytes"),
        ("long.key", "expected 64 hexadecimal digits or 32 bytes, found 4097 bytes"),
        ("wrong.key", "expected 64 hexadecimal digits, found 'g' as number 1"),
        ("none.key", "cannot read the key in none.key: No such file"),
    ]);
    for (key, expected) in table {
        let ran = with(key);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains(key), "{}", ran.stderr);
    }
}

#[test]
fn wrong_usage_and_files_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    capture(path);
    for wrong in [
        &["anonymize", "events.nfcap", "-o", "x.nfcap"][..],
        &["anonymize", "events.nfcap", "--key-from-seed", "1"],
        &["anonymize", "-o", "x.nfcap", "--key-from-seed", "1"],
        &["anonymize", "events.nfcap", "-o", "x.nfcap", "--key-from-seed", "1", "--key", "k"],
        &["anonymize", "events.nfcap", "-o", "x.nfcap", "--new-key", "k"],
        &["anonymize", "events.nfcap", "-o", "x.nfcap", "--key-from-seed", "1", "--shift-times", "random"],
    ] {
        assert_eq!(netflow(path, wrong).code, Some(2), "{wrong:?}");
    }
    assert!(!path.join("x.nfcap").exists() && !path.join("k").exists());
    let ran = netflow(path, &[&["anonymize", "events.nfcap", "-o", "./events.nfcap", "--force"], &SEED[..]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("would be replaced"), "{}", ran.stderr);
    fs::write(path.join("there"), "").unwrap();
    let ran = netflow(path, &[&["anonymize", "events.nfcap", "-o", "there"], &SEED[..]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there exists"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_kept_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let events = "{\"type\":\"header\",\"boot_time_ns\":1,\"interval_ms\":1}\n{\"type\":\"k8s\",\"at\":1,\"state\":{\"secret\":\"pod\"}}\n";
    netflow_with_input(path, &["import", "-", "-o", "odd.nfcap"], events.as_bytes()).ok();
    let ran = netflow(path, &[&["anonymize", "odd.nfcap", "-o", "out.nfcap"], &SEED[..]].concat());
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.starts_with("warning: odd.nfcap: the cluster's state cannot be read, and so is left out: "),
        "{}",
        ran.stderr
    );
    let dump = netflow(path, &["dump", "out.nfcap"]).ok();
    assert!(!dump.contains("secret") && dump.contains(r#""items":[]"#), "{dump}");
    // A byte is wrong: what it costs is stated in the new capture.
    capture(path);
    let mut bytes = fs::read(path.join("events.nfcap")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path.join("damaged.nfcap"), bytes).unwrap();
    let ran = netflow(path, &[&["anonymize", "damaged.nfcap", "-o", "out.nfcap", "--force"], &SEED[..]].concat());
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("missing, which it states"), "{}", ran.stderr);
    let dump = netflow(path, &["dump", "out.nfcap"]).stdout;
    assert!(dump.contains(r#""queue_full":"#), "{dump}");
}
