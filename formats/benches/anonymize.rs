//! Anonymizing: `cargo bench -p netflow-formats --bench anonymize`. Rates are per second by the clock, so they want a quiet
//! machine.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs, reason = "a program for measurements")]

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netflow_core::anonymize::{Addresses, Anonymizer, CryptoPan, Key, Options, Ranges};
use netflow_core::event::Event;
use netflow_formats::k8s;

#[path = "../examples/mixes/mod.rs"]
mod mixes;

/// An odd factor: every number gives another one.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

fn addresses(criterion: &mut Criterion) {
    let key = Key::from_seed(1);
    let pan = CryptoPan::new(&key);
    let mut group = criterion.benchmark_group("an address");
    group.throughput(Throughput::Elements(1));
    let mut bits = 1_u128;
    group.bench_function("IPv4, new", |bencher| {
        bencher.iter(|| {
            bits = bits.wrapping_mul(STEP);
            black_box(pan.flips_v4(bits as u32))
        });
    });
    group.bench_function("IPv6, new", |bencher| {
        bencher.iter(|| {
            bits = bits.wrapping_mul(STEP);
            black_box(pan.flips_v6(bits))
        });
    });
    let mut addresses = Addresses::new(&key, Ranges::Kept);
    let mut number = 0_u16;
    group.bench_function("IPv4, one of 65,536 known", |bencher| {
        bencher.iter(|| {
            number = number.wrapping_add(1);
            black_box(addresses.map(Ipv4Addr::from_bits(u32::from(number) << 12).into()))
        });
    });
    group.bench_function("IPv6, one of 65,536 known", |bencher| {
        bencher.iter(|| {
            number = number.wrapping_add(1);
            black_box(addresses.map(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(number) << 12).into()))
        });
    });
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let mixes: [(&str, Vec<Event>); 2] = [
        ("one-shot connections", mixes::one_shot(50_000).collect()),
        ("long connections", mixes::sampled(10_000, 10, 10_000_000_000, 10).collect()),
    ];
    let mut group = criterion.benchmark_group("events");
    for (name, events) in mixes {
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut anonymizer = Anonymizer::new(&Key::from_seed(1), Options::default());
                let state =
                    |anonymizer: &mut Anonymizer, state: &str| k8s::anonymize(state, anonymizer).unwrap().into();
                events.iter().for_each(|event| drop(black_box(anonymizer.event(event, state))));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, addresses, events);
criterion_main!(benches);
