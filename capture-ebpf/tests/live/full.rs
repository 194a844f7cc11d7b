//! A table of UDP flows that is far too small.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use netflow_capture::Options;
use netflow_core::event::Transport;
use netflow_fixtures::traffic;

use crate::check::{self, Seen, transport_of};
use crate::recorder::Recorder;
use crate::text;

fn socket() -> Result<UdpSocket, String> {
    UdpSocket::bind("127.0.0.1:0").map_err(text)
}

/// Many sockets talk to many others, and all find the table full: each has a row for all that it sent and received.
pub(crate) fn table() -> Result<String, String> {
    let recorder = Recorder::start(&Options { udp_flows_max: 4, ..Options::default() })?;
    let peers: Vec<_> = (0..40).map(|_| socket()).collect::<Result<_, _>>()?;
    let mut sent: BTreeMap<u16, u64> = BTreeMap::new();
    let mut sockets = Vec::new();
    for size in 1..=100 {
        let socket = socket()?;
        for peer in &peers {
            socket.send_to(&vec![0; size], peer.local_addr().map_err(text)?).map_err(text)?;
        }
        // A port that was let go of may be given again.
        *sent.entry(socket.local_addr().map_err(text)?.port()).or_default() += 40 * size as u64;
        // Some go while the others stay.
        if size % 2 == 0 {
            sockets.push(socket);
        }
    }
    let received: Vec<u16> =
        peers.iter().map(|peer| peer.local_addr().map(|addr| addr.port())).collect::<Result<_, _>>().map_err(text)?;
    recorder.look();
    drop((sockets, peers));
    let (events, summary) = recorder.stop()?;
    check::law(&events, &summary)?;
    let mut found: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    let mut shared = 0;
    for conn in Seen::of(&events).conns().filter(|conn| transport_of(conn) == Some(Transport::Udp)) {
        let identity = conn.identity.as_ref().ok_or("no identity")?;
        if identity.pid == Some(std::process::id()) {
            let totals = conn.last.ok_or("no close")?;
            let sum = found.entry(identity.local.port()).or_default();
            *sum = (sum.0 + totals.sent_bytes, sum.1 + totals.recv_bytes);
            shared += u64::from(identity.remote.port() == 0);
        }
    }
    let mut expected: BTreeMap<u16, (u64, u64)> = sent.into_iter().map(|(port, sent)| (port, (sent, 0))).collect();
    expected.extend(received.into_iter().map(|port| (port, (0, 5050))));
    if found != expected || summary.loss.map_full < shared || shared < 130 || summary.loss.lost_closes > 0 {
        return Err(format!("{shared} shared rows, {summary:?}, found {found:?}"));
    }
    Ok(format!("map_full {}", summary.loss.map_full))
}

/// The rows of sockets that go while the ring is full are lost with their opens or without, and counted.
pub(crate) fn table_and_ring() -> Result<String, String> {
    let recorder = Recorder::start(&Options { udp_flows_max: 4, ring_bytes: 4096, ..Options::default() })?;
    let peers: Vec<_> = (0..3).map(|_| socket()).collect::<Result<_, _>>()?;
    let to = peers.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let talk = |socket: &UdpSocket| to.iter().try_for_each(|to| socket.send_to(&[0; 10], to).map(|_| ()));
    let mut failed = Ok(());
    traffic::burst(5000, || {
        let old: Result<Vec<UdpSocket>, String> = (0..20).map(|_| socket()).collect();
        failed = old.and_then(|old| {
            old.iter().try_for_each(talk).map_err(text)?;
            std::thread::sleep(std::time::Duration::from_millis(1));
            // Some of their opens were told by now.
            old.iter().try_for_each(talk).map_err(text)
        });
    })
    .map_err(text)?;
    failed?;
    let (events, summary) = recorder.stop()?;
    check::in_order(&events)?;
    check::law(&events, &summary)?;
    let loss = summary.loss;
    if loss.map_full == 0 || loss.ring_full == 0 || summary.udp.lost_closes == 0 {
        return Err(format!("{summary:?}"));
    }
    Ok(format!("{:?}, lost: {loss}", summary.udp))
}
