//! A recording in several sections of a file: together they say what the applications counted, and the law holds over all.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use netflow_fixtures::traffic;
use serde_json::Value;

use crate::cluster::CLUSTER;
use crate::recording::{Recording, only_vanished, run, until_whole};
use crate::rotation::{Counts, add, echo, interrupt, parts, reported, start, talk};
use crate::scenarios::compare_all;

/// Makes connections for some seconds, of which one is open all the time.
fn load(server: std::net::SocketAddr) -> Counts {
    let long = thread::spawn(move || talk(server, 3000, Duration::from_millis(2)));
    let mut counted = Counts::new();
    while !long.is_finished() {
        add(&mut counted, talk(server, 3, Duration::from_millis(1)));
    }
    add(&mut counted, long.join().unwrap());
    thread::sleep(Duration::from_millis(500));
    counted
}

/// The one line of JSON that a command prints of a file.
fn object(folder: &Path, command: &str, file: &str) -> Value {
    serde_json::from_str(&run(&[command, "--json", file], folder, 0)).unwrap()
}

pub(crate) fn the_sections_of_a_file_add_up() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.json"), CLUSTER).unwrap();
        let options = ["--section", "500ms", "-i", "50ms", "--k8s", "cluster.json"];
        let recording = Recording::start(folder.path(), &options);
        let server = echo();
        let counted = load(server);
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code != 0 {
            return false;
        }
        let folder = folder.path();
        let (info, verified) = (object(folder, "info", "out.nfcap"), object(folder, "verify", "out.nfcap"));
        assert!(info["sections"].as_u64().unwrap() > 5 && info["sections"] == verified["sections"], "{info}");
        assert_eq!((&verified["intact"], &verified["lossless"]), (&true.into(), &true.into()), "{verified}");
        assert_eq!(verified["law"]["unseen"], 0, "{verified}");
        // As many as the recorder says in the end, without what is said again.
        assert!(said.contains(&format!(" {} opened, ", opened(&verified))), "{said}{verified}");
        assert_eq!(reported(folder, &["out.nfcap".to_owned()], server), counted);
        // Each second by itself: in each, the sections before it are passed over.
        let begin: f64 = info["first"].as_str().unwrap()[17..23].parse().unwrap();
        assert!(begin < 60.0);
        let minute = &info["first"].as_str().unwrap()[..17];
        let seam = format!("{minute}{:06.3}Z", (begin + 3.0).min(59.999));
        run(&["cut", "out.nfcap", "-o", "first.nfcap", "--until", &seam], folder, 0);
        run(&["cut", "out.nfcap", "-o", "second.nfcap", "--since", &seam], folder, 0);
        assert_eq!(reported(folder, &["first.nfcap".to_owned(), "second.nfcap".to_owned()], server), counted);
        // As one section, whatever was in it, and back.
        run(&["merge", "first.nfcap", "second.nfcap", "-o", "merged.nfcap"], folder, 0);
        assert_eq!(reported(folder, &["merged.nfcap".to_owned()], server), counted);
        true
    });
}

fn opened(verified: &Value) -> u64 {
    ["tcp", "udp"].iter().map(|transport| verified["law"][transport]["opened"].as_u64().unwrap()).sum()
}

/// In whatever state a connection is when a section ends.
pub(crate) fn every_scenario_in_several_sections() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), &["--section", "200ms", "-i", "20ms"]);
        let ends = traffic::run_all().unwrap();
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code == 0 {
            let sections = object(folder.path(), "info", "out.nfcap")["sections"].as_u64();
            assert!(sections > Some(3), "{sections:?}");
            compare_all(folder.path(), &["out.nfcap".to_owned()], &ends);
        }
        code == 0
    });
}

pub(crate) fn files_that_rotate_have_sections() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let recording = start(folder.path(), &["--rotate", "2s", "--section", "300ms", "-i", "30ms"]);
        let server = echo();
        let counted = load(server);
        let (code, said) = interrupt(recording);
        assert!(code == 0 || only_vanished(&said), "{said}");
        if code != 0 {
            return false;
        }
        let folder = folder.path();
        let files = parts(folder);
        assert!(files.len() > 2, "{files:?}");
        assert_eq!(reported(folder, &files, server), counted);
        let mut next = 0;
        for file in &files {
            let info = object(folder, "info", file);
            assert_eq!(info["part"], next, "{file}: {info}");
            let verified = object(folder, "verify", file);
            assert_eq!(
                (&verified["intact"], &verified["law"]["verdict"]),
                (&true.into(), &"holds".into()),
                "{verified}"
            );
            next += info["sections"].as_u64().unwrap();
        }
        assert!(next > 2 * files.len() as u64, "{next} sections in {files:?}");
        // All in one file, in whichever order they are given, where the law holds to the connection.
        let backwards: Vec<&str> = files.iter().rev().map(String::as_str).collect();
        run(&[&["merge", "-o", "all.nfcap"], &backwards[..]].concat(), folder, 0);
        assert_eq!(reported(folder, &["all.nfcap".to_owned()], server), counted);
        let verified = object(folder, "verify", "all.nfcap");
        assert_eq!((&verified["sections"], &verified["lossless"]), (&next.into(), &true.into()), "{verified}");
        true
    });
}
