"""Sends records as IPFIX (RFC 7011) to a collector on this host, as fast as it takes them, and loses none.

    python ipfix.py RECORDS PORT
"""

import socket
import struct
import sys
import time

import numpy

import records

# Element, name and bytes of what is sent; of addresses there are two kinds.
ELEMENTS = [
    (152, "first", 8),  # flowStartMilliseconds
    (153, "last", 8),  # flowEndMilliseconds
    ((8, 27), "src", (4, 16)),  # sourceIPv4Address, sourceIPv6Address
    ((12, 28), "dst", (4, 16)),
    (7, "sport", 2),
    (11, "dport", 2),
    (4, "proto", 1),
    (1, "bytes_out", 8),  # octetDeltaCount
    (2, "packets_out", 8),
    (23, "bytes_in", 8),  # postOctetDeltaCount, which nfdump keeps as the bytes of the other way
    (24, "packets_in", 8),
]
TEMPLATES = (256, 257)  # of IPv4 and of IPv6 records

# A message has at most this many bytes of records, and a new one goes out once the collector's socket holds at most that.
MESSAGE = 16_000
HELD = 64_000


def template_set():
    body = b""
    for kind, number in enumerate(TEMPLATES):
        body += struct.pack(">HH", number, len(ELEMENTS))
        for element, _, size in ELEMENTS:
            element, size = (element[kind], size[kind]) if isinstance(size, tuple) else (element, size)
            body += struct.pack(">HH", element, size)
    return struct.pack(">HH", 2, 4 + len(body)) + body


def layout(kind):
    fields = []
    for _, name, size in ELEMENTS:
        if isinstance(size, tuple):
            fields.append((name, "u1", size[kind]))
        else:
            fields.append((name, f">u{size}"))
    return numpy.dtype(fields)


LAYOUTS = (layout(0), layout(1))


def data_set(kind, chosen):
    out = numpy.zeros(len(chosen), LAYOUTS[kind])
    for name in LAYOUTS[kind].names:
        if name in ("src", "dst"):
            out[name] = chosen[name][:, 12:] if kind == 0 else chosen[name]
        elif name in ("first", "last"):
            out[name] = chosen[name] // numpy.uint64(1_000_000)
        else:
            out[name] = chosen[name]
    body = out.tobytes()
    return struct.pack(">HH", TEMPLATES[kind], 4 + len(body)) + body


def messages(all_records):
    """The messages for all records, in their order; the templates first and then again and again."""
    per_message = MESSAGE // LAYOUTS[1].itemsize
    ipv4 = records.is_ipv4(all_records["dst"])
    for number, begin in enumerate(range(0, len(all_records), per_message)):
        part, is_ipv4 = all_records[begin : begin + per_message], ipv4[begin : begin + per_message]
        body = template_set() if number % 100 == 0 else b""
        for kind, chosen in ((0, part[is_ipv4]), (1, part[~is_ipv4])):
            if len(chosen):
                body += data_set(kind, chosen)
        exported = int(part["last"][-1]) // 1_000_000_000
        yield struct.pack(">HHIII", 10, 16 + len(body), exported, begin, 1) + body


class Room:
    """What the collector's socket holds, as the kernel tells it: it keeps the pace without a changed limit."""

    def __init__(self, port):
        self.wanted = f":{port:04X}"

    def held_and_dropped(self):
        held = dropped = found = 0
        for table in ("/proc/net/udp", "/proc/net/udp6"):
            with open(table) as lines:
                next(lines)
                for line in lines:
                    columns = line.split()
                    if columns[1].endswith(self.wanted):
                        found += 1
                        held += int(columns[4].split(":")[1], 16)
                        dropped += int(columns[12])
        return (held, dropped) if found else None

    def wait_for(self, limit):
        deadline = time.monotonic() + 60
        while True:
            state = self.held_and_dropped()
            if state and state[1]:
                sys.exit(f"ipfix: the collector lost {state[1]} messages")
            if state and state[0] <= limit:
                return
            if time.monotonic() > deadline:
                sys.exit("ipfix: the collector takes nothing, a minute long; does it still run?")
            time.sleep(0.0002)


def send(path, port):
    room = Room(port)
    room.wait_for(0)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect(("127.0.0.1", port))
    for message in messages(records.load(path)):
        room.wait_for(HELD)
        out.send(message)
    room.wait_for(0)


if __name__ == "__main__":
    send(sys.argv[1], int(sys.argv[2]))
