//! Names and translated destinations: what a recording says is compared with what the resolver of the C library, `dig` and
//! `conntrack` say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::Lab;
use crate::recording::{Recording, netflow, only_vanished, run};

/// Listens until its standard input ends.
const SERVER: &str = "
import socket, sys
tcp = socket.create_server(('', 8080), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::', 5300))
print('ready', flush=True)
sys.stdin.read()
";

/// Looks each name up as any program does, connects to the first address, says its own end of it, and keeps it open.
const CLIENT: &str = "
import socket, sys
kept = []
for word in sys.argv[1:]:
    kind, host, port = word.split(',')
    kind = {'tcp': socket.SOCK_STREAM, 'udp': socket.SOCK_DGRAM}[kind]
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=kind)[0]
    peer = socket.socket(family, kind, protocol)
    peer.connect(address)
    peer.send(b'hello')
    kept.append(peer)
    print(word.split(',')[0], *peer.getsockname()[:2], *peer.getpeername()[:2], flush=True)
print('ready', flush=True)
sys.stdin.read()
";

/// That program with these targets.
fn client<'a>(targets: &[&'a str]) -> Vec<&'a str> {
    [&["python3", "-c", CLIENT], targets].concat()
}

/// The events of a capture.
fn dump(folder: &Path) -> Vec<Value> {
    let lines = run(&["dump", "out.nfcap"], folder, 0);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Ends a recording that lost nothing but what the kernel kept from it; its exit code.
fn end(recording: Recording) -> i32 {
    let (code, said) = recording.end();
    assert!(code == 0 || only_vanished(&said), "{said}");
    code
}

/// The rows of a report grouped by these tags, a line each with the number of connections at its end: those that began in this
/// namespace.
fn report(folder: &Path, code: i32, by: &str, netns: u64) -> Vec<String> {
    let rows = run(&["report", "out.nfcap", "--by", &format!("netns,direction,{by}"), "--json=-"], folder, code);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |row: &Value, tag: &str| row[tag].as_str().map_or_else(|| row[tag].to_string(), str::to_owned);
    let line = |row: Value| {
        by.split(',').chain(["connections"]).map(|column| word(&row, column)).collect::<Vec<_>>().join(" ")
    };
    let is_ours = |row: &Value| row["netns"] == netns && row["direction"] == "outgoing";
    let mut rows: Vec<String> = rows.filter(is_ours).map(line).collect();
    rows.sort();
    rows
}

/// Waits for a few drains.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

const NAMES: &str = "
no-resolv
no-hosts
keep-in-foreground
bind-interfaces
listen-address=127.0.0.1
user=root
pid-file=
host-record=end.example.test,192.0.2.10,300
host-record=six.example.test,2001:db8:8::10,300
cname=middle.example.test,end.example.test,20
cname=www.example.test,middle.example.test,600
";

/// A namespace with a name server, an address of each family and a server, and the folder of the recording.
fn named_place() -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(&["names"]);
    lab.ip("names", "addr add 192.0.2.10/32 dev lo\naddr add 2001:db8:8::10/128 dev lo nodad");
    lab.name_server("names", "127.0.0.1");
    let conf = folder.path().join("dnsmasq.conf");
    std::fs::write(&conf, NAMES).unwrap();
    let conf = format!("--conf-file={}", conf.display());
    lab.start_silent("names", &["dnsmasq", &conf, "--log-facility=/dev/null"]);
    lab.start("names", &["python3", "-c", SERVER]);
    let is_answered = |_| {
        std::thread::sleep(Duration::from_millis(50));
        let mut dig = lab.command("names", "dig");
        dig.args(["+short", "+tries=1", "+timeout=1", "@127.0.0.1", "end.example.test"]);
        dig.output().unwrap().stdout == b"192.0.2.10\n"
    };
    assert!((0..100).any(is_answered), "dnsmasq does not answer");
    (lab, folder)
}

pub(crate) fn answers_name_the_connections_that_follow() {
    let (mut lab, folder) = named_place();
    let netns = lab.number("names");
    let recording = Recording::start(folder.path(), &["-i", "1s"]);
    let words = ["tcp,www.example.test,8080", "tcp,six.example.test,8080", "udp,www.example.test,5300"];
    let (pid, _) = lab.start("names", &client(&words));
    lab.end(pid);
    settle();
    let code = end(recording);

    let events: Vec<Value> = dump(folder.path()).into_iter().filter(|event| event["netns"] == netns).collect();
    let answers: Vec<&Value> = events.iter().filter(|event| event["type"] == "dns").collect();
    let said: Vec<String> = answers
        .iter()
        .map(|event| {
            format!("{} {} {}", event["name"].as_str().unwrap(), event["addr"].as_str().unwrap(), event["ttl_s"])
        })
        .collect();
    // The name that was asked for with the least TTL of the chain, and the second time nothing new.
    assert_eq!(said, ["www.example.test 192.0.2.10 20", "six.example.test 2001:db8:8::10 300"]);
    assert!(answers.iter().all(|event| event["pid"] == pid), "{answers:?}");

    // An answer stands before the connection that it led to.
    for (addr, remote) in [("192.0.2.10", "192.0.2.10:8080"), ("2001:db8:8::10", "[2001:db8:8::10]:8080")] {
        let answer = events.iter().position(|event| event["addr"] == addr).unwrap();
        let open = events.iter().position(|event| event["type"] == "open" && event["remote"] == remote).unwrap();
        assert!(answer < open, "{events:#?}");
    }
    let rows = report(folder.path(), code, "dst_ip,transport,dst_domain", netns);
    let expected = [
        "192.0.2.10 tcp www.example.test 1",
        "192.0.2.10 udp www.example.test 1",
        "2001:db8:8::10 tcp six.example.test 1",
    ];
    assert_eq!(rows, expected);
}

pub(crate) fn names_and_translations_can_be_left_out() {
    let (mut lab, folder) = named_place();
    lab.rules(
        "names",
        "table ip nat { chain out { type nat hook output priority -100; ip daddr 192.0.2.99 dnat to 192.0.2.10; }; }",
    );
    lab.ip("names", "route add 192.0.2.99/32 dev lo src 192.0.2.10");
    let recording = Recording::start(folder.path(), &["--no-dns", "--no-nat"]);
    let (pid, _) = lab.start("names", &client(&["tcp,www.example.test,8080", "tcp,192.0.2.99,8080"]));
    lab.end(pid);
    settle();
    end(recording);
    let netns = lab.number("names");
    let ours: Vec<Value> = dump(folder.path()).into_iter().filter(|event| event["netns"] == netns).collect();
    let count = |kind: &str| ours.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("dns"), count("nat")), (0, 0));
    assert!(ours.iter().any(|event| event["remote"] == "192.0.2.99:8080"), "{ours:#?}");
}

/// What `conntrack` lists, by transport and the ends as the socket sees them: where the packets went.
fn tracked(list: &str) -> Vec<(String, String)> {
    let entry = |line: &str| {
        let values = |key: &str| -> Vec<String> {
            line.split_whitespace().filter_map(|word| word.strip_prefix(key)).map(str::to_owned).collect()
        };
        let (src, dst, sport, dport) = (values("src="), values("dst="), values("sport="), values("dport="));
        let transport = line.split_whitespace().next().unwrap();
        (format!("{transport} {} {} {} {}", src[0], sport[0], dst[0], dport[0]), format!("{} {}", src[1], sport[1]))
    };
    list.lines().map(entry).collect()
}

/// Expects that for each end that a client said, the recording has one translation, to where `conntrack` says.
#[track_caller]
fn expect_translations(said: &[String], list: &str, folder: &Path, netns: u64) {
    let tracked = tracked(list);
    let ends = |text: &str| {
        let address: std::net::SocketAddr = text.parse().unwrap();
        format!("{} {}", address.ip(), address.port())
    };
    let nat: Vec<(String, String)> = dump(folder)
        .iter()
        .filter(|event| event["type"] == "nat" && event["netns"] == netns)
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap();
            (format!("{} {} {}", text("transport"), ends(text("local")), ends(text("remote"))), ends(text("dst")))
        })
        .collect();
    let expected: Vec<_> = said
        .iter()
        .map(|end| tracked.iter().find(|(ends, _)| ends == end).unwrap_or_else(|| panic!("{end} is not in {list}")))
        .collect();
    let (mut nat, mut expected): (Vec<_>, Vec<_>) = (nat.iter().collect(), expected);
    nat.sort();
    expected.sort();
    assert_eq!(nat, expected);
}

pub(crate) fn translations_within_a_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(&["nat"]);
    lab.ip(
        "nat",
        "addr add 198.51.100.7/32 dev lo
        addr add 2001:db8:8::7/128 dev lo nodad
        route add 203.0.113.0/24 dev lo src 198.51.100.7
        -6 route add 2001:db8:9::/64 dev lo src 2001:db8:8::7",
    );
    lab.rules(
        "nat",
        "table ip nat { chain out { type nat hook output priority -100;
            ip daddr 203.0.113.80 tcp dport 80 dnat to 198.51.100.7:8080;
            ip daddr 203.0.113.80 udp dport 54 dnat to 198.51.100.7:5300; }; }
        table ip6 nat { chain out { type nat hook output priority -100;
            ip6 daddr 2001:db8:9::80 tcp dport 80 dnat to [2001:db8:8::7]:8080;
            ip6 daddr 2001:db8:9::80 udp dport 54 dnat to [2001:db8:8::7]:5300; }; }",
    );
    lab.start("nat", &["python3", "-c", SERVER]);
    let targets = ["tcp,203.0.113.80,80", "udp,203.0.113.80,54", "tcp,2001:db8:9::80,80", "udp,2001:db8:9::80,54"];
    // One that is open before the recording begins, all kinds, and one that is not translated.
    let (before, mut said) = lab.start("nat", &client(&targets[..1]));
    let recording = Recording::start(folder.path(), &["-i", "1s"]);
    let (during, more) = lab.start("nat", &client(&targets));
    said.extend(more);
    let (plain, _) = lab.start("nat", &client(&["tcp,198.51.100.7,8080"]));
    let list = ["ipv4", "ipv6"].map(|family| lab.run("nat", &["conntrack", "-L", "-f", family])).concat();
    [before, during, plain].into_iter().for_each(|pid| lab.end(pid));
    settle();
    let code = end(recording);
    let netns = lab.number("nat");
    expect_translations(&said, &list, folder.path(), netns);
    let rows = report(folder.path(), code, "transport,dst_ip,dst_port,dst_nat_ip,dst_nat_port", netns);
    assert_eq!(
        rows,
        [
            "tcp 198.51.100.7 8080 null null 1",
            "tcp 2001:db8:9::80 80 2001:db8:8::7 8080 1",
            "tcp 203.0.113.80 80 198.51.100.7 8080 2",
            "udp 2001:db8:9::80 54 2001:db8:8::7 5300 1",
            "udp 203.0.113.80 54 198.51.100.7 5300 1",
        ]
    );
}

/// A container's packets are translated in the host's namespace. The recorder is in that of the middle one of three.
pub(crate) fn translations_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(&["pod", "host", "far"]);
    lab.cable("pod", "eth0", "host", "pod0");
    lab.cable("far", "eth0", "host", "far0");
    lab.ip("pod", "addr add 10.77.1.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.77.1.1");
    lab.ip("far", "addr add 10.77.2.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.77.2.1");
    lab.ip(
        "host",
        "addr add 10.77.1.1/24 dev pod0\nlink set pod0 up\naddr add 10.77.2.1/24 dev far0\nlink set far0 up",
    );
    lab.run("host", &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    lab.rules(
        "host",
        "table ip nat { chain pre { type nat hook prerouting priority -100;
            ip daddr 10.96.0.1 tcp dport 80 dnat to 10.77.2.2:8080;
            ip daddr 10.96.0.1 udp dport 54 dnat to 10.77.2.2:5300; }; }",
    );
    lab.start("far", &["python3", "-c", SERVER]);
    let mut record = Command::new("nsenter");
    // What follows is run by the one command in the namespace of the other.
    record.arg(format!("--net={}", lab.path("host").display())).arg(netflow().get_program());
    let out = folder.path().join("out.nfcap");
    record.args(["record", "-i", "1s"]).arg(&out);
    let recording = Recording::spawn(record, &out);
    let (pid, said) = lab.start("pod", &client(&["tcp,10.96.0.1,80", "udp,10.96.0.1,54"]));
    let list = lab.run("host", &["conntrack", "-L"]);
    lab.end(pid);
    settle();
    let code = end(recording);
    expect_translations(&said, &list, folder.path(), lab.number("pod"));
    let rows = report(folder.path(), code, "transport,dst_ip,dst_nat_ip,dst_nat_port", lab.number("pod"));
    assert_eq!(rows, ["tcp 10.96.0.1 10.77.2.2 8080 1", "udp 10.96.0.1 10.77.2.2 5300 1"]);
}
