"""Compares answers with what the records say: every row, exactly.

    python check.py RECORDS NET < ANSWERS      one `TOOL JOB FILE.csv` a line

The expected groups and sums are numpy's. One of the rows that differ is shown, and the exit code is 1.
"""

import datetime
import ipaddress
import sys

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.csv

import jobs
import records

# What the tools call the columns. A column with another name is not compared.
NAMES = {
    "src_ip": "src", "srcAddr": "src", "dst_ip": "dst", "dstAddr": "dst", "src_port": "sport", "srcPort": "sport",
    "dst_port": "dport", "dstPort": "dport", "transport": "proto", "bytes_written": "bytes_out", "inBytes": "bytes_out",
    "bytes_read": "bytes_in", "outBytes": "bytes_in", "packets_written": "packets_out", "inPackets": "packets_out",
    "packets_read": "packets_in", "outPackets": "packets_in", "flows": "connections", "firstSeen": "first", "began": "first",
    "lastSeen": "last", "fl": "connections", "ibyt": "bytes_out", "bytes": "bytes_out", "packets": "packets_out",
}  # fmt: skip
PROTOCOLS = {"tcp": 6, "udp": 17, "TCP": 6, "UDP": 17}


class Truth:
    """The records as columns of numbers; an address is its place in the sorted list of all addresses."""

    def __init__(self, path, net):
        self.rows = rows = records.load(path)
        both = numpy.concatenate([rows["src"], rows["dst"]])
        distinct, index = numpy.unique(numpy.ascontiguousarray(both).view("V16").ravel(), return_inverse=True)
        self.places = {bytes(address): place for place, address in enumerate(distinct)}
        self.addresses = distinct
        counts = ["sport", "dport", "proto", "bytes_out", "bytes_in", "packets_out", "packets_in"]
        self.columns = {name: rows[name].astype("i8") for name in counts}
        self.columns["src"], self.columns["dst"] = index[: len(rows)].astype("i8"), index[len(rows) :].astype("i8")
        for name in ("first", "last"):
            self.columns[name] = (rows[name] // numpy.uint64(1_000_000)).astype("i8")
        _, low = records.halves(rows["dst"])
        base = int(ipaddress.IPv4Network(net).network_address) >> 8
        inside = records.is_ipv4(rows["dst"]) & ((low >> numpy.uint64(8)) & numpy.uint64(0xFFFFFF) == base)
        self.kept = inside & (rows["dport"] == 443)

    def expected(self, job):
        if job == "dump":
            return ordered({name: self.columns[name] for name in jobs.RECORD})
        chosen = self.kept if job == "filter" else slice(None)
        keys = {name: self.columns[name][chosen] for name in jobs.KEYS[job]}
        order = numpy.lexsort(list(keys.values())[::-1])
        keys = {name: column[order] for name, column in keys.items()}
        changes = numpy.zeros(len(order), bool)
        changes[:1] = True
        for column in keys.values():
            changes[1:] |= column[1:] != column[:-1]
        begins = numpy.flatnonzero(changes)
        rows = {name: column[begins] for name, column in keys.items()}
        for name in ("bytes_out", "bytes_in"):
            rows[name] = numpy.add.reduceat(self.columns[name][chosen][order], begins)
        rows["connections"] = numpy.diff(begins, append=len(order))
        if job.startswith("top-"):
            first = numpy.argsort(-rows["bytes_out"], kind="stable")
            if len(first) > jobs.TOP and rows["bytes_out"][first[jobs.TOP - 1]] == rows["bytes_out"][first[jobs.TOP]]:
                sys.exit(f"check: {job} has no certain rank {jobs.TOP}; take another number of records")
            # In their rank, which is a part of the answer.
            return {name: column[first[: jobs.TOP]] for name, column in rows.items()}
        return ordered(rows)

    def number(self, name, cells):
        """One column of an answer as numbers."""
        if name not in ("src", "dst", "first", "last", "proto"):
            return cells.cast(pyarrow.int64()).to_numpy().astype("i8")
        texts, index = dictionary(cells)
        if name in ("src", "dst"):
            numbers = [self.places.get(packed(text), -1) for text in texts]
        elif name in ("first", "last"):
            numbers = [milliseconds(text) for text in texts]
        else:
            numbers = [PROTOCOLS.get(text) or int(text) for text in texts]
        return numpy.array(numbers, "i8")[index] if numbers else numpy.zeros(0, "i8")

    def told(self, job, file):
        options = pyarrow.csv.ReadOptions(block_size=1 << 24)
        wanted = [*jobs.KEYS.get(job, []), *jobs.SUMS] if job != "dump" else jobs.RECORD
        with open(file) as lines:
            header = lines.readline().strip().split(",")
        # nfdump's statistics call the element `val`.
        called = {name: jobs.KEYS[job][0] if name == "val" else NAMES.get(name, name) for name in header}
        used = [name for name in header if called[name] in wanted]
        convert = pyarrow.csv.ConvertOptions(include_columns=used, column_types={name: pyarrow.string() for name in used})
        table = pyarrow.csv.read_csv(file, read_options=options, convert_options=convert)
        told = {called[name]: self.number(called[name], table.column(name)) for name in used}
        return told if job.startswith("top-") else ordered({name: told[name] for name in wanted if name in told})

    def shown(self, rows, place):
        parts = []
        for name, column in rows.items():
            value = int(column[place]) if place < len(column) else "nothing"
            if name in ("src", "dst") and value != "nothing":
                value = records.text(self.addresses[value]) if value >= 0 else "an unknown address"
            parts.append(f"{name} {value}")
        return ", ".join(parts)

    def difference(self, tool, job, file, expected):
        """What is wrong with an answer, or None."""
        told = self.told(job, file)
        missing = [name for name in expected if name not in told]
        if missing and tool not in jobs.LESS:
            return f"no column for {', '.join(missing)}"
        if missing:
            expected = {name: expected[name] for name in expected if name in told}
            expected = expected if job.startswith("top-") else ordered(expected)
        told = {name: told[name] for name in expected}
        counts = len(next(iter(expected.values()))), len(next(iter(told.values())))
        if counts[0] != counts[1]:
            return f"expected {counts[0]} rows, found {counts[1]}"
        for name in expected:
            wrong = numpy.flatnonzero(expected[name] != told[name])
            if len(wrong):
                return f"expected {self.shown(expected, wrong[0])}; found {self.shown(told, wrong[0])}"
        return None


def ordered(rows):
    order = numpy.lexsort(list(rows.values())[::-1])
    return {name: column[order] for name, column in rows.items()}


def dictionary(cells):
    """The distinct texts of a column, and for each row which of them it has."""
    encoded = pyarrow.compute.dictionary_encode(cells).unify_dictionaries().combine_chunks()
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.chunk(0)
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)


def packed(text):
    address = ipaddress.ip_address(text.strip())
    return records.MAPPED + address.packed if address.version == 4 else address.packed


def milliseconds(text):
    """A time as 2026-09-21T14:30:00.000098Z, as seconds with a fraction, or as milliseconds."""
    if "T" in text:
        whole, _, fraction = text.removesuffix("Z").partition(".")
        seconds = int(datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp())
        return seconds * 1000 + int(fraction.ljust(3, "0")[:3])
    seconds, point, fraction = text.strip().partition(".")
    return int(seconds) * 1000 + int(fraction.ljust(3, "0")[:3]) if point else int(seconds)


def main():
    path, net = sys.argv[1:]
    truth, made, failed = Truth(path, net), {}, False
    for line in sys.stdin:
        tool, job, file = line.split()
        if job not in made:
            made[job] = truth.expected(job)
        wrong = truth.difference(tool, job, file, made[job])
        rows = len(next(iter(made[job].values())))
        print(f"{'DIFFERS' if wrong else 'same':8} {tool:15} {job:10} {wrong or f'{rows} rows'}", flush=True)
        failed |= wrong is not None
    sys.exit(failed)


main()
