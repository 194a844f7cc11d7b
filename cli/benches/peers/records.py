"""The records that all tools are given: what formats/examples/records.rs wrote, as a numpy array."""

import ipaddress

import numpy

RECORD = numpy.dtype(
    [
        ("first", "<u8"),  # nanoseconds since 1970
        ("last", "<u8"),
        ("src", "u1", 16),  # in network order, IPv4 as ::ffff:a.b.c.d
        ("dst", "u1", 16),
        ("sport", "<u2"),
        ("dport", "<u2"),
        ("proto", "<u2"),
        ("nothing", "<u2"),
        ("bytes_out", "<u8"),  # from src to dst
        ("bytes_in", "<u8"),
        ("packets_out", "<u8"),
        ("packets_in", "<u8"),
    ]
)

MAPPED = bytes(10) + b"\xff\xff"


def load(path):
    return numpy.fromfile(path, RECORD)


def halves(addresses):
    """The two halves of each address as numbers: what can be grouped by fast."""
    pair = numpy.ascontiguousarray(addresses).view(">u8").astype("u8")
    return pair[:, 0], pair[:, 1]


def is_ipv4(addresses):
    high, low = halves(addresses)
    return (high == 0) & (low >> numpy.uint64(32) == 0xFFFF)


def text(address):
    """One address, 16 bytes, as people write it."""
    address = bytes(address)
    if address.startswith(MAPPED):
        return str(ipaddress.IPv4Address(address[12:]))
    return str(ipaddress.IPv6Address(address))


def texts(addresses):
    """Distinct addresses' numbers and texts: an index for each row, and the texts that it points to."""
    whole = numpy.ascontiguousarray(addresses).view("V16").ravel()
    distinct, index = numpy.unique(whole, return_inverse=True)
    return index, [text(address) for address in distinct]
