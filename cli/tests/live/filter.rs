//! Recordings of some connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::recording::{Recording, only_vanished, run, until_whole};

/// So many connections to the listener, each with so many bytes from the client.
fn talk(listener: &TcpListener, connections: usize, bytes: usize) {
    let to = listener.local_addr().unwrap();
    for _ in 0..connections {
        let client = thread::spawn(move || TcpStream::connect(to).unwrap().write_all(&vec![b'x'; bytes]).unwrap());
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), bytes);
        client.join().unwrap();
    }
}

pub(crate) fn some_connections_are_recorded_and_add_up() {
    until_whole(|| {
        let folder = tempfile::tempdir().unwrap();
        let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [wanted, other] = [&listeners[0], &listeners[1]].map(|listener| listener.local_addr().unwrap().port());
        let me = std::fs::read_to_string("/proc/self/comm").unwrap();
        // The owner of an accepted connection may be known later than the connection.
        let filter = format!("port == {wanted} and process_name == {:?} and transport == tcp", me.trim());
        let recording = Recording::start(folder.path(), &["-i", "200ms", "--comment", "half", "--filter", &filter]);
        talk(&listeners[0], 20, 1000);
        talk(&listeners[1], 30, 500);
        let (code, said) = recording.end();
        assert!(code == 0 || only_vanished(&said), "{code}: {said}");
        if code != 0 {
            return false;
        }
        assert!(said.contains(&format!("recorded of these: connections with {filter}")), "{said}");
        let json = run(&["report", "out.nfcap", "--keep-loopback", "--json=-", "--by", "direction"], folder.path(), 0);
        let found: Vec<[u64; 5]> = json
            .lines()
            .map(|row| {
                let row: Value = serde_json::from_str(row).unwrap();
                ["bytes_read", "bytes_written", "tcp_established", "tcp_closed", "connections"]
                    .map(|name| row[name].as_u64().unwrap())
            })
            .collect();
        assert_eq!(found, [[20_000, 0, 20, 20, 20], [0, 20_000, 20, 20, 20]], "{said}");
        let dump = run(&["dump", "out.nfcap"], folder.path(), 0);
        assert!(!dump.lines().any(|line| line.contains("\"conn\"") && line.contains(&format!(":{other}\""))), "{dump}");
        let check: Value = serde_json::from_str(&run(&["verify", "--json", "out.nfcap"], folder.path(), 0)).unwrap();
        assert_eq!(
            (&check["law"]["tcp"]["opened"], &check["law"]["tcp"]["closed"]),
            (&40.into(), &40.into()),
            "{check}"
        );
        let info = run(&["info", "out.nfcap"], folder.path(), 0);
        assert!(info.contains(&format!("comment        half; only connections with port == {wanted} and ")), "{info}");
        true
    });
}
