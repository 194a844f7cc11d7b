"""Gives each peer the records in its own form.

    python prepare.py RECORDS FOLDER NFCAPD NFDUMP

In FOLDER: text.parquet and numbers.parquet (zstd, DuckDB's own row groups), nfcapd.flows (zstd), and net, a network of
IPv4 addresses to which some hundreds of the records with port 443 go.
"""

import pathlib
import shutil
import socket
import subprocess
import sys
import time

import duckdb
import numpy
import pyarrow

import ipfix
import records

# How many records the filter shall keep.
KEPT = 300


def network(all_records):
    """The /24 of destinations with closest to KEPT records of port 443; the first of several."""
    chosen = all_records["dst"][records.is_ipv4(all_records["dst"]) & (all_records["dport"] == 443)]
    _, low = records.halves(chosen)
    networks, counts = numpy.unique((low >> numpy.uint64(8)) & numpy.uint64(0xFFFFFF), return_counts=True)
    bits = int(networks[numpy.argmin(numpy.abs(counts - KEPT))])
    return f"{bits >> 16}.{bits >> 8 & 255}.{bits & 255}.0/24"


def parquet(all_records, folder):
    milliseconds = lambda name: (all_records[name] // numpy.uint64(1_000_000)).astype("i8")
    common = {"first": milliseconds("first"), "last": milliseconds("last")}
    for name in ("sport", "dport"):
        common[name] = all_records[name]
    common["proto"] = all_records["proto"].astype("u1")
    # Four GiB in a connection are rare: the narrow type, as DuckDB would choose it for a person who looks at the data.
    for name in ("bytes_out", "bytes_in", "packets_out", "packets_in"):
        is_narrow = len(all_records) == 0 or int(all_records[name].max()) < 1 << 32
        common[name] = all_records[name].astype("u4" if is_narrow else "u8")
    text, numbers = dict(common), dict(common)
    for end in ("src", "dst"):
        index, texts = records.texts(all_records[end])
        text[end] = pyarrow.DictionaryArray.from_arrays(index.astype("i4"), texts)
        numbers[f"{end}_high"], numbers[f"{end}_low"] = records.halves(all_records[end])
    for kind, columns in (("text", text), ("numbers", numbers)):
        rows = pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})
        connection = duckdb.connect()
        connection.register("made", rows)
        columns = ", ".join(f"{name}::VARCHAR AS {name}" if name in ("src", "dst") else name for name in rows.column_names)
        connection.execute(f"COPY (SELECT {columns} FROM made) TO '{folder / kind}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def nfcapd(path, folder, collector, reader):
    """Lets nfcapd collect the records, and makes one file of what it wrote."""
    flows = folder / "nfcapd"
    shutil.rmtree(flows, ignore_errors=True)
    flows.mkdir()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-w", str(flows), "-b", "127.0.0.1", "-p", str(port), "-z=zstd", "-t", "86400"]
    with open(folder / "nfcapd.log", "w") as log:
        process = subprocess.Popen([collector, *arguments], stdout=log, stderr=log)
    try:
        room = ipfix.Room(port)
        for _ in range(100):
            if room.held_and_dropped() or process.poll() is not None:
                break
            time.sleep(0.05)
        if process.poll() is not None:
            sys.exit(f"prepare: nfcapd does not start: {(folder / 'nfcapd.log').read_text()}")
        ipfix.send(path, port)
    finally:
        process.terminate()
        process.wait()
    # More than one only if a day ended meanwhile.
    files = sorted(flows.glob("nfcapd.2*"))
    if len(files) == 1:
        files[0].replace(folder / "nfcapd.flows")
    else:
        subprocess.run([reader, "-R", flows, "-w", folder / "nfcapd.flows", "-z=zstd"], check=True)
    shutil.rmtree(flows)


def check_sums(all_records, folder, reader):
    """Nothing was lost on the way to nfcapd: its own summary is that of the records."""
    told = subprocess.run([reader, "-I", "-r", folder / "nfcapd.flows"], check=True, capture_output=True, text=True).stdout
    told = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    packets, octets = (
        int(sum(all_records[f"{what}_{way}"].sum() for way in ("out", "in"))) for what in ("packets", "bytes")
    )
    for name, expected in {"Flows": len(all_records), "Packets": packets, "Bytes": octets, "Sequence failures": 0}.items():
        if int(told[name]) != expected:
            sys.exit(f"prepare: nfcapd has {name} {told[name]}, expected {expected}")


def main():
    path, folder, collector, reader = sys.argv[1:]
    folder = pathlib.Path(folder)
    all_records = records.load(path)
    (folder / "net").write_text(network(all_records))
    parquet(all_records, folder)
    nfcapd(path, folder, collector, reader)
    check_sums(all_records, folder, reader)


main()
