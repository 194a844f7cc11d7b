"""Polars' part: python ask_polars.py JOB text|numbers RECORDS.parquet OUT.csv NETWORK"""

import ipaddress
import sys

import polars
from polars import col


def address(end, kind):
    """An address as text. Of numbers it is made in Python, for answers of few rows: Polars writes no hexadecimal digits."""
    if kind == "text":
        return col(end)
    return polars.struct(f"{end}_high", f"{end}_low").map_elements(written, return_dtype=polars.String).alias(end)


def written(halves):
    high, low = halves.values()
    return str(ipaddress.IPv6Address(high << 64 | low) if high else ipaddress.IPv4Address(low & 0xFFFFFFFF))


def main():
    job, kind, source, out, net = sys.argv[1:]
    if job == "start":
        return
    ends = lambda end: [end] if kind == "text" else [f"{end}_high", f"{end}_low"]
    # Polars would add 32 bits to 32 bits.
    sums = [col(way).cast(polars.UInt64).sum() for way in ("bytes_out", "bytes_in")] + [polars.len().alias("connections")]
    src, dst = address("src", kind), address("dst", kind)
    rows = polars.scan_parquet(source)
    top = lambda rows: rows.top_k(20, by="bytes_out").sort("bytes_out", descending=True)
    if job == "top-src":
        rows = top(rows.group_by(ends("src")).agg(sums)).select(src, "bytes_out", "bytes_in", "connections")
    elif job == "top-dst":
        rows = top(rows.group_by(ends("dst")).agg(sums)).select(dst, "bytes_out", "bytes_in", "connections")
    elif job in ("groups", "top-groups"):
        rows = rows.group_by([*ends("src"), *ends("dst"), "dport"]).agg(sums)
        rows = top(rows) if job == "top-groups" else rows
        rows = rows.select(src, dst, "dport", "bytes_out", "bytes_in", "connections")
    elif job == "dump":
        counts = ["bytes_out", "bytes_in", "packets_out", "packets_in"]
        rows = rows.select("first", "last", src, dst, "sport", "dport", "proto", *counts)
    elif job == "filter":
        octets = net.removesuffix(".0/24")
        if kind == "text":
            inside = col("dst").str.starts_with(f"{octets}.")
        else:
            a, b, c = (int(octet) for octet in octets.split("."))
            begin = 0xFFFF << 32 | a << 24 | b << 16 | c << 8
            inside = (col("dst_high") == 0) & col("dst_low").is_between(begin, begin + 255)
        keys = [*ends("src"), "sport", *ends("dst"), "dport", "proto"]
        rows = rows.filter(inside & (col("dport") == 443)).group_by(keys).agg(sums)
        rows = rows.select(src, "sport", dst, "dport", "proto", "bytes_out", "bytes_in", "connections")
    rows.sink_csv(out, maintain_order=False)


main()
