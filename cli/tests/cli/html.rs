//! The page of `report --html`, in a browser: Debian's `chromium`, driven by `html/check.py`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::events::{EVENTS, capture};
use crate::run::{netflow, netflow_with_input};

/// Names that come from outside and mean harm.
const HOSTILE: [&str; 5] = [
    "</script><script>harmed=1</script>",
    "\"><img src=x onerror=harmed=1>",
    "<!--<script>",
    "two\u{2028}lines",
    "cut\u{1b}off",
];
const SECOND: u64 = 1_000_000_000;
const BEGIN: u64 = 100 * SECOND;

/// Forty-eight seconds of sixteen processes: TCP and UDP, connects that fail, segments sent again, times, names, and a
/// counter beyond those that a browser's numbers have exactly.
fn busy() -> String {
    let mut events: Vec<(u64, Value)> =
        vec![(BEGIN, json!({"type": "dns", "name": HOSTILE[1], "addr": "10.0.0.9", "ttl_s": 600}))];
    let names: Vec<String> =
        HOSTILE.iter().map(|name| (*name).to_owned()).chain((1..=11).map(|index| format!("worker-{index}"))).collect();
    for conn in 1..400_u64 {
        let name = &names[usize::try_from(conn * 7 % 16).unwrap()];
        let (transport, port) = if conn % 5 == 0 { ("udp", 53) } else { ("tcp", 443) };
        let began = BEGIN + conn * SECOND / 9 + conn * 1_000;
        let mut end = json!({
            "type": "close", "conn": conn, "transport": transport, "local": format!("10.0.0.1:{}", 40_000 + conn),
            "remote": format!("10.0.0.{}:{port}", 2 + conn % 11), "direction": "outgoing", "pid": 100 + conn % 16,
            "process": name, "sent_bytes": conn * conn * 37, "recv_bytes": conn * 1_001, "sent_packets": 9, "recv_packets": 8,
        });
        if transport == "tcp" {
            let states: &[&str] =
                if conn % 11 == 0 { &["syn_sent", "close"] } else { &["syn_sent", "established", "close"] };
            end["tcp_states"] = json!(states);
            end["reason"] = json!(if conn % 11 == 0 { "refused" } else { "fin" });
            end["retransmits"] = json!(conn % 13 / 12);
            // Not in every window.
            end["rtt_us"] = json!(if conn % 90 < 60 { conn * 31 } else { 0 });
        }
        if conn % 11 == 0 {
            for bytes in ["sent_bytes", "recv_bytes"] {
                end[bytes] = json!(0);
            }
        }
        events.push((began, end));
    }
    events[200].1["recv_bytes"] = json!((1_u64 << 53) + 1);
    let mut text = json!({
        "type": "header", "format": 1, "host": "</title><script>harmed=1</script>", "interval_ms": 1000,
        "boot_time_ns": 1_795_412_979_000_000_000_u64, "ephemeral_port_min": 32_768, "ephemeral_port_max": 60_999,
        "comment": "<img src=x onerror=harmed=1>", "command": ["netflow", "record", "</script>"],
    })
    .to_string();
    for (at, mut event) in events {
        event["at"] = json!(at);
        write!(text, "\n{event}").unwrap();
    }
    text.push('\n');
    text
}

fn busy_capture(folder: &Path) {
    netflow_with_input(folder, &["import", "-", "-o", "busy.nfcap"], busy().as_bytes()).ok();
}

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

/// A browser, and what drives it.
fn chromium() -> bool {
    let is_there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    ["chromium", "chromium-browser", "google-chrome"].iter().any(is_there) && is_there(&"python3")
}

#[test]
fn a_browser_shows_what_the_csv_says_and_does_no_harm() {
    if !chromium() {
        assert!(std::env::var_os("NETFLOW_REQUIRE_CHROMIUM").is_none(), "there is no chromium, or no python3");
        eprintln!("skipped: there is no chromium, or no python3");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    busy_capture(folder);
    let rows = ["--by", "process_name,transport,dst_domain,dst_ip,dst_port"];
    netflow(folder, &[&["report", "busy.nfcap", "--html=page.html", "--csv=rows.csv"], &rows[..]].concat()).ok();
    // Windows of the recorder's interval, as the page chooses them.
    for (by, file) in [("process_name", "--csv=by_process.csv"), ("transport", "--csv=by_transport.csv")] {
        netflow(folder, &["report", "busy.nfcap", file, "--by", by, "--every", "1s"]).ok();
    }
    let bytes = fs::read(folder.join("busy.nfcap")).unwrap();
    fs::write(folder.join("damaged.nfcap"), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(netflow(folder, &["report", "damaged.nfcap", "--html"]).code, Some(3));
    let header = EVENTS.lines().next().unwrap();
    netflow_with_input(folder, &["import", "-", "-o", "empty.nfcap"], header.as_bytes()).ok();
    netflow(folder, &["report", "empty.nfcap", "--html"]).ok();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/html/check.py");
    let output = Command::new("python3").arg(script).arg(folder).output().unwrap();
    // The sums of what `busy` makes.
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "traffic 9007200040908805 bytes, 45 windows, 16 processes\n\
         retransmits 24\nopened 291\nfailed 29\nrtt 33 windows\n\
         rows 255 greatest 9007199254740993\n\
         hostile names 1020\n\
         looks light and dark, 320 to 1280 wide\n\
         without scripts, damaged, empty\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn nothing_of_a_capture_is_markup() {
    let folder = tempfile::tempdir().unwrap();
    busy_capture(folder.path());
    let page = netflow(folder.path(), &["report", "busy.nfcap", "--html=-", "--keep-loopback"]).ok();
    assert!(!page.contains("harmed=1</script>") && !page.contains("<img") && !page.contains('\u{2028}'));
    // One for the data and one for each script of the page itself.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (8, 8));
    let data = data(&page);
    assert_eq!(data["hosts"][0], "</title><script>harmed=1</script>");
    assert_eq!(data["asked"], json!([["--keep-loopback", ""]]));
    assert_eq!(data["totals"]["processes"], 16);
}

#[test]
fn rows_that_are_not_in_the_page_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    busy_capture(folder.path());
    let csv = netflow(folder.path(), &["report", "busy.nfcap", "--csv=-", "--by", "process_name,dst_ip"]).ok();
    let all = csv.lines().count() - 1;
    let page = netflow(
        folder.path(),
        &["report", "busy.nfcap", "--html=-", "--by", "process_name,dst_ip", "--every", "30s", "--top", "7"],
    );
    let data = data(&page.ok());
    // Seven of each of three windows.
    assert_eq!(data["rows"]["rows"].as_array().unwrap().len(), 21);
    assert!(data["rows"]["more"].as_u64().unwrap() >= all as u64 - 7);
    // Windows that were asked for are those of the charts, too.
    assert_eq!(data["over_time"]["every"], "30s");
    // The most bytes in any window come first.
    let first = &data["rows"]["rows"][0];
    assert!(first.as_array().unwrap().contains(&json!("9007199254740993")), "{first}");
}

#[test]
fn the_page_is_the_same_from_a_file_and_from_stdin_but_for_its_windows() {
    let folder = tempfile::tempdir().unwrap();
    busy_capture(folder.path());
    let bytes = fs::read(folder.path().join("busy.nfcap")).unwrap();
    let by_file = data(&netflow(folder.path(), &["report", "busy.nfcap", "--html=-"]).ok());
    let piped = data(&netflow_with_input(folder.path(), &["report", "-", "--html=-"], &bytes).ok());
    assert_eq!((&by_file["over_time"]["every"], &piped["over_time"]["every"]), (&json!("1s"), &json!("10s")));
    for part in ["totals", "talkers", "processes", "peers", "failures", "rows", "recordings"] {
        assert_eq!(by_file[part], piped[part], "{part}");
    }
    let sum = |data: &Value, series: &str| -> u64 {
        data["over_time"][series].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).sum()
    };
    let groups = |data: &Value, way: &str| -> u64 {
        let groups = data["over_time"]["groups"].as_array().unwrap();
        let values = groups.iter().flat_map(|group| group[way].as_array().unwrap());
        values.map(|value| value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())).sum()
    };
    for data in [&by_file, &piped] {
        assert_eq!(groups(data, "received").to_string(), data["totals"]["received"].as_str().unwrap());
        assert_eq!(groups(data, "sent"), data["totals"]["sent"].as_u64().unwrap());
    }
    for series in ["opened", "failed", "retransmits"] {
        assert!(sum(&by_file, series) > 0 && sum(&by_file, series) == sum(&piped, series), "{series}");
    }
}

#[test]
fn files_are_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path());
    let run = netflow(folder.path(), &["report", "events.nfcap", "--html", "--csv"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "events.csv\nevents.html\n"));
    assert_eq!(run.code, Some(0));
    let again = netflow(folder.path(), &["report", "events.nfcap", "--html"]);
    assert!(again.code == Some(1) && again.stderr.contains("events.html exists"), "{}", again.stderr);
    let both = netflow(folder.path(), &["report", "events.nfcap", "--html=-", "--csv=-"]);
    assert!(both.code == Some(2) && both.stderr.contains("only one format"), "{}", both.stderr);
}
