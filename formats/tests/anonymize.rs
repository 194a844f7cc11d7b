//! What is anonymized holds nothing of what it stands for, and parts of it fit together.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, missing_docs)]

mod events;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use netflow_core::anonymize::{Anonymizer, Key, Options, Ranges, Shift};
use netflow_core::event::{Body, Event, Header, Transport};
use netflow_core::flow::Workload;
use netflow_core::k8s::{Cluster, Name, Objects, Owner, Pod, Service};
use netflow_formats::capture::{CaptureReader, CaptureWriter, WriterOptions};
use netflow_formats::jsonl::{Exporter, ImportOptions, Importer};
use netflow_formats::k8s;
use proptest::prelude::*;

/// Every kind of event with every field. Each name has `quagga` in it, and no address a byte that is zero.
const EVERYTHING: &str = include_str!("anonymize/everything.jsonl");

fn read(text: &str) -> (Header, Vec<Event>) {
    let mut importer = Importer::new(text.as_bytes(), ImportOptions::default()).unwrap();
    let header = importer.header().clone();
    (header, importer.by_ref().map(Result::unwrap).collect())
}

fn anonymizer(options: Options) -> Anonymizer {
    Anonymizer::new(&Key::from_seed(11), options)
}

fn anonymize(anonymizer: &mut Anonymizer, event: &Event) -> Event {
    anonymizer
        .event(event, |anonymizer, state| k8s::anonymize(state, anonymizer).map_or_else(|_| "{}".into(), Arc::from))
}

fn everything(options: Options) -> (Header, Vec<Event>) {
    let (header, events) = read(EVERYTHING);
    let mut anonymizer = anonymizer(options);
    (anonymizer.header(&header), events.iter().map(|event| anonymize(&mut anonymizer, event)).collect())
}

fn capture(header: &Header, events: &[Event]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), header, WriterOptions::compact()).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish().unwrap().0
}

fn text(header: &Header, events: &[Event]) -> String {
    let mut exporter = Exporter::new(Vec::new(), header).unwrap();
    for event in events {
        exporter.write(event).unwrap();
    }
    String::from_utf8(exporter.finish().unwrap()).unwrap()
}

/// Every address in a text, whatever stands around it.
fn addresses(text: &str) -> BTreeSet<IpAddr> {
    let words = text.split(['"', ' ', ',', '\\']);
    let ips = words.filter_map(|word| word.parse().or_else(|_| word.parse::<SocketAddr>().map(|end| end.ip())).ok());
    ips.filter(|ip| !ip.is_unspecified()).collect()
}

/// A number as records write it (FORMAT.md, "Records").
fn number(bytes: &mut &[u8]) -> u64 {
    let (first, rest) = bytes.split_first().unwrap();
    let length = match first {
        0..=250 => {
            *bytes = rest;
            return u64::from(*first);
        }
        251 => 2,
        252 => 4,
        _ => 8,
    };
    let (number, rest) = rest.split_at(length);
    *bytes = rest;
    number.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Repeats or unpacks what codecs 2 and 3 of a stream store; a packed stream is as long as its bits allow.
fn decode(codec: u8, stored: &[u8]) -> Vec<u8> {
    match codec {
        0 => stored.to_vec(),
        1 => zstd::decode_all(stored).unwrap(),
        2 => vec![stored[0]; 64],
        4 => decode(3, &zstd::decode_all(stored).unwrap()),
        _ => {
            let (table, packed) = stored[1..].split_at(stored[0].into());
            let bits = [1, 1, 1, 2, 2, 4][table.len().min(5)];
            let places =
                packed.iter().flat_map(|byte| (0..8 / bits).map(move |n| byte >> (n * bits) & ((1 << bits) - 1)));
            places.filter_map(|place| table.get(usize::from(place)).copied()).collect()
        }
    }
}

/// All that is in a capture, with nothing compressed: the file itself, and each block's payload, stream by stream.
fn laid_open(capture: &[u8]) -> Vec<u8> {
    let mut open = capture.to_vec();
    let mut rest = &capture[32..];
    while let Some((header, behind)) = rest.split_at_checked(144) {
        let length = u32::from_le_bytes(header[16..20].try_into().unwrap()) as usize;
        let (mut payload, behind) = behind.split_at(length);
        rest = behind;
        if header[8] != 2 {
            open.extend(decode(header[9], payload));
            continue;
        }
        let counts: Vec<u64> = (0..6).map(|_| number(&mut payload)).collect();
        let mut id = 0;
        let streams: Vec<_> = (0..counts[5])
            .map(|_| {
                id += number(&mut payload);
                // Planes of addresses have a byte for each, so that the next plane's are as many places behind.
                let rows = match id / 8 {
                    25 => counts[2] - counts[3],
                    26 | 27 => counts[3],
                    _ => u64::MAX,
                };
                let codec = payload[0];
                payload = &payload[1..];
                (rows as usize, codec, number(&mut payload) as usize)
            })
            .collect();
        for (rows, codec, length) in streams {
            let (stored, behind) = payload.split_at(length);
            payload = behind;
            open.extend(decode(codec, stored).into_iter().take(rows));
        }
        assert!(payload.is_empty());
    }
    assert!(rest.is_empty());
    open
}

/// These bytes stand somewhere, one behind the other or, as columns have them, each so many places behind the one before.
fn stands(wanted: &[u8], bytes: &[u8]) -> bool {
    (1..64).any(|step| {
        let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == wanted[0]);
        starts.into_iter().any(|(start, _)| {
            wanted.iter().enumerate().all(|(place, byte)| bytes.get(start + place * step) == Some(byte))
        })
    })
}

/// The address stands somewhere as a number, in either order of bytes. Of IPv6, either half is enough.
fn stands_as_number(ip: IpAddr, bytes: &[u8]) -> bool {
    let halves = match ip {
        IpAddr::V4(ip) => vec![ip.octets().to_vec()],
        IpAddr::V6(ip) => ip.octets().chunks(8).map(<[u8]>::to_vec).collect(),
    };
    halves.into_iter().any(|half| {
        let reversed: Vec<u8> = half.iter().rev().copied().collect();
        stands(&half, bytes) || stands(&reversed, bytes)
    })
}

/// What of the original is found in a capture.
fn found(header: &Header, events: &[Event]) -> Vec<String> {
    let bytes = laid_open(&capture(header, events));
    let text = text(header, events);
    let mut found = Vec::new();
    for ip in addresses(EVERYTHING) {
        if text.contains(&ip.to_string()) {
            found.push(format!("{ip} as text"));
        }
        if stands_as_number(ip, &bytes) {
            found.push(format!("{ip} as a number"));
        }
    }
    for name in ["quagga", "Quagga", "quagga-boot", "www", "ab34ab34", "2025-03-04", "asked", "5b9", "http"] {
        if text.contains(name) {
            found.push(format!("{name} in the events"));
        }
        if bytes.windows(name.len()).any(|window| window == name.as_bytes()) {
            found.push(format!("{name} in the file"));
        }
    }
    found
}

#[test]
fn nothing_remains() {
    let (header, events) = read(EVERYTHING);
    let kinds: BTreeSet<&str> = EVERYTHING.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds.len(), 12, "every kind of event, and a header: {kinds:?}");
    let all = addresses(EVERYTHING);
    assert_eq!(all.len(), 17, "{all:?}");
    let in_original = found(&header, &events);
    for ip in &all {
        let is_found = in_original.iter().any(|found| *found == format!("{ip} as text"));
        assert!(is_found, "{ip} is not even found in the original: {in_original:?}");
    }
    let numbers = in_original.iter().filter(|found| found.ends_with("as a number")).count();
    assert_eq!(numbers, 17, "{in_original:?}");
    assert_eq!(in_original.len(), 17 + 17 + 2 * 9, "{in_original:?}");
    for (ranges, shift) in [(Ranges::Kept, Shift::None), (Ranges::Mapped, Shift::FromKey)] {
        let (header, events) = everything(Options { ranges, shift });
        assert_eq!(found(&header, &events), [""; 0], "{ranges:?}");
    }
}

#[test]
fn all_of_the_rest_stays() {
    let (header, events) = read(EVERYTHING);
    let (mapped_header, mapped) = everything(Options::default());
    assert!(mapped_header.anonymized && !header.anonymized);
    let numbers = |events: &[Event]| -> Vec<_> {
        let number = |event: &Event| match &event.body {
            Body::Sample(sample) => Some((event.at, sample.conn, sample.totals)),
            Body::Close(close) => Some((event.at, close.conn, close.totals)),
            _ => None,
        };
        events.iter().filter_map(number).collect()
    };
    assert_eq!(numbers(&mapped), numbers(&events));
    // It can be read, and anonymized once more.
    let bytes = capture(&mapped_header, &mapped);
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    assert_eq!(*reader.header(), mapped_header);
    let back: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(back, mapped);
    assert_eq!(read(&text(&mapped_header, &mapped)), (mapped_header.clone(), mapped.clone()));
    let mut again = anonymizer(Options::default());
    let twice: Vec<Event> = mapped.iter().map(|event| anonymize(&mut again, event)).collect();
    assert!(again.header(&mapped_header).anonymized);
    assert_ne!(twice, mapped);
    assert_eq!(numbers(&twice), numbers(&events));
}

/// Namespace, pod, service and workload under the names that each is given.
fn renamed(anonymizer: &mut Anonymizer, end: &Workload) -> Workload {
    let ips = || [[10, 2, 3, 4].into()].into();
    let name = |name: &Arc<str>| Name { namespace: end.namespace.clone(), name: name.clone() };
    let owner = Owner { kind: "Job".into(), name: end.deployment_name.clone() };
    let mut mapped = anonymizer.objects(&Objects {
        pods: [(name(&end.pod_name), Pod { owner: Some(owner), ips: ips(), ..Pod::default() })].into(),
        services: [(name(&end.service_name), Service { cluster_ips: ips(), ..Service::default() })].into(),
        ..Objects::default()
    });
    let (pod_name, pod) = mapped.pods.pop_first().unwrap();
    let (service_name, _) = mapped.services.pop_first().unwrap();
    let known = |before: &str, after: Arc<str>| if before == "N/A" { before.into() } else { after };
    Workload {
        namespace: known(&end.namespace, pod_name.namespace),
        pod_name: known(&end.pod_name, pod_name.name),
        service_name: known(&end.service_name, service_name.name),
        deployment_name: known(&end.deployment_name, pod.owner.unwrap().name),
    }
}

/// Every address of the cluster with every port that it has anywhere, and without one.
fn look_ups(objects: &Objects) -> Vec<(IpAddr, Option<u16>)> {
    let mut ips: BTreeSet<IpAddr> = objects.nodes.values().flatten().copied().collect();
    let mut ports = BTreeSet::from([None]);
    for pod in objects.pods.values() {
        ips.extend(pod.ips.iter().chain(&pod.host_ips));
        ports.extend(pod.ports.iter().flat_map(|port| [Some(port.port), port.host_port]));
    }
    for service in objects.services.values() {
        ips.extend(service.cluster_ips.iter().chain(&service.external_ips));
        ports.extend(service.ports.iter().flat_map(|port| [Some(port.port), port.node_port]));
    }
    for backends in objects.backends.values() {
        ips.extend(backends.keys());
        ports.extend(backends.values().flat_map(|backend| &backend.ports).map(|(_, port)| Some(*port)));
    }
    ips.iter().flat_map(|ip| ports.iter().map(|port| (*ip, *port))).collect()
}

#[test]
fn clusters_say_the_same_of_every_address() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/k8s");
    let small = EVERYTHING.lines().find_map(|line| line.split_once(r#""state":"#)).unwrap().1;
    let mut clusters = vec![("the small one", small[..small.len() - 1].to_owned())];
    for name in ["baremetal-honeycomb", "k3s-troubleshoot", "minikube-onlineboutique"] {
        match fs::read_to_string(folder.join(name).join("all.json")) {
            Ok(text) => clusters.push((name, text)),
            Err(_) => eprintln!("skipped: {name} is not at {}", folder.display()),
        }
    }
    for (name, text) in clusters {
        for seed in 0..3 {
            let mut anonymizer = Anonymizer::new(&Key::from_seed(seed), Options::default());
            let objects = k8s::read(&text).unwrap();
            let mapped = k8s::anonymize(&text, &mut anonymizer).unwrap();
            let (cluster, mapped) = (Cluster::new(&objects), Cluster::new(&k8s::read(&mapped).unwrap()));
            let mut known = 0;
            for (ip, port) in look_ups(&objects) {
                for transport in [Transport::Tcp, Transport::Udp] {
                    let expected = cluster.find(transport, ip, port).map(|end| renamed(&mut anonymizer, end));
                    known += usize::from(expected.is_some());
                    let found = mapped.find(transport, anonymizer.address(ip), port);
                    assert_eq!(found, expected.as_ref(), "{name}, seed {seed}: {ip} {port:?}");
                }
            }
            assert!(known > 10, "{name}: {known}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_events_can_be_anonymized_and_parts_alone_are_as_in_the_whole(
        (header, events) in (events::header(), events::events()), middle in any::<prop::sample::Index>()
    ) {
        let mut whole = anonymizer(Options::default());
        let mapped_header = whole.header(&header);
        let mapped: Vec<Event> = events.iter().map(|event| anonymize(&mut whole, event)).collect();
        let (one, other) = events.split_at(middle.index(events.len() + 1));
        let mut parts = Vec::new();
        // The second part first: what was seen before makes no difference.
        for part in [other, one] {
            let mut alone = anonymizer(Options::default());
            prop_assert_eq!(alone.header(&header), mapped_header.clone());
            parts.push(part.iter().map(|event| anonymize(&mut alone, event)).collect::<Vec<_>>());
        }
        parts.reverse();
        prop_assert_eq!(parts.concat(), mapped.clone());
        // Still events that a writer takes and a reader gives back.
        let bytes = capture(&mapped_header, &mapped);
        let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
        prop_assert_eq!(reader.header(), &mapped_header);
        let back: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
        prop_assert_eq!(back, mapped);
    }
}
