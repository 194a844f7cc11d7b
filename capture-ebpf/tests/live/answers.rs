//! Answers of name servers: all of them, however long, and those that were too many are counted. What they say is made here;
//! the program's own tests compare it with a real server.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use netflow_capture::{Capture, Options};
use netflow_core::event::{Body, Dns, Event};

use crate::recorder::Recorder;
use crate::text;

/// A name server's socket, and one that asks: of an address that nobody else uses.
fn sockets() -> Result<(UdpSocket, UdpSocket), String> {
    let server = UdpSocket::bind("127.77.53.53:53").map_err(text)?;
    let client = UdpSocket::bind("127.77.53.54:0").map_err(text)?;
    server.connect(client.local_addr().map_err(text)?).map_err(text)?;
    client.connect("127.77.53.53:53").map_err(text)?;
    Ok((server, client))
}

/// An answer about a name of its own, with addresses from 10.0.0.0 on, and as long as is wanted with them.
fn answer(number: u32, addresses: u16) -> Vec<u8> {
    let mut message = vec![0, 1, 0x81, 0x80, 0, 1];
    message.extend(addresses.to_be_bytes());
    message.extend([0, 0, 0, 0]);
    let label = format!("n{number}-{}", std::process::id());
    message.push(u8::try_from(label.len()).unwrap());
    message.extend(label.as_bytes());
    message.extend(b"\x07netflow\x04test\0\0\x01\0\x01");
    for index in 0..u32::from(addresses) {
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04");
        message.extend((0x0a00_0000 + (number << 8) + index).to_be_bytes());
    }
    message
}

fn ours(events: &[Event]) -> Vec<&Dns> {
    let suffix = format!("-{}.netflow.test", std::process::id());
    let of = |event: &'_ Event| matches!(&event.body, Body::Dns(dns) if dns.name.ends_with(&suffix));
    events
        .iter()
        .filter(|event| of(event))
        .filter_map(|event| if let Body::Dns(dns) = &event.body { Some(dns) } else { None })
        .collect()
}

/// Of every length: each address that is within what is copied is there, with process, namespace and TTL.
pub(crate) fn lengths() -> Result<String, String> {
    let recorder = Recorder::start(&Options::default())?;
    let (server, _client) = sockets()?;
    let mut expected = Vec::new();
    for addresses in [1, 9, 10, 11, 25, 26, 27, 70, 73, 74, 90] {
        let bytes = answer(addresses.into(), addresses);
        server.send(&bytes).map_err(text)?;
        // Every address takes 16 bytes behind the question.
        let question = bytes.len() - 16 * usize::from(addresses);
        let fit = ((1232 - question) / 16).min(addresses.into());
        let addr = |index| Ipv4Addr::from(0x0a00_0000 + (u32::from(addresses) << 8) + u32::try_from(index).unwrap());
        expected.extend((0..fit).map(|index| addr(index).to_string()));
    }
    let (events, _) = recorder.stop()?;
    let found = ours(&events);
    let addrs: Vec<String> = found.iter().map(|dns| dns.addr.to_string()).collect();
    if addrs != expected {
        return Err(format!("{} addresses expected, found: {addrs:?}", expected.len()));
    }
    let netns = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").map_err(text)?);
    let known = |dns: &&&Dns| {
        dns.pid == Some(std::process::id()) && dns.netns.map(u64::from) == Some(netns) && dns.ttl_s == 300
    };
    if found.iter().filter(known).count() != found.len() {
        return Err(format!("{found:?}"));
    }
    Ok(format!("{} addresses", addrs.len()))
}

/// As many as fit between two looks, and then more: told or counted, each of them.
pub(crate) fn too_many() -> Result<String, String> {
    const ANSWERS: u32 = 5000;
    let mut capture = Capture::start(&Options::default()).map_err(text)?;
    let (server, client) = sockets()?;
    let mut events = Vec::new();
    for number in 0..1000 {
        server.send(&answer(number, 1)).map_err(text)?;
    }
    // One look takes its time for a part of them.
    for _ in 0..100 {
        capture.poll(&mut events).map_err(text)?;
    }
    if ours(&events).len() != 1000 {
        return Err(format!("{} of 1000", ours(&events).len()));
    }
    for number in 1000..1000 + ANSWERS {
        server.send(&answer(number, 1)).map_err(text)?;
    }
    drop(client);
    std::thread::sleep(Duration::from_millis(50));
    let summary = capture.stop(&mut events).map_err(text)?;
    let missing = 1000 + u64::from(ANSWERS) - ours(&events).len() as u64;
    // Somebody else may have asked a name or two.
    if missing == 0 || !(missing..missing + 100).contains(&summary.loss.dns_dropped) || summary.loss.ring_full != 0 {
        return Err(format!("{missing} missing, {summary:?}"));
    }
    Ok(format!("{missing} dropped and counted"))
}
