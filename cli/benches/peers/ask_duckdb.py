"""DuckDB's part: python ask_duckdb.py JOB text|numbers RECORDS.parquet OUT.csv NETWORK"""

import sys

import duckdb


def address(end, kind):
    """An address as text. Numbers are written as fast as DuckDB can: IPv6 without shortening."""
    if kind == "text":
        return end
    low, high = f"{end}_low", f"{end}_high"
    ipv4 = " || '.' || ".join(f"(({low} >> {shift}) & 255)" for shift in (24, 16, 8, 0))
    parts = [f"({half} >> {shift}) & 65535" for half in (high, low) for shift in (48, 32, 16, 0)]
    ipv6 = f"printf('{':'.join(['%x'] * 8)}', {', '.join(parts)})"
    return f"CASE WHEN {high} = 0 THEN {ipv4} ELSE {ipv6} END AS {end}"


def query(job, kind, source, net):
    ends = lambda end: end if kind == "text" else f"{end}_high, {end}_low"
    sums = "sum(bytes_out)::UBIGINT AS bytes_out, sum(bytes_in)::UBIGINT AS bytes_in, count(*) AS connections"
    top = "ORDER BY bytes_out DESC LIMIT 20"
    grouped = lambda keys, rest="": f"SELECT {', '.join(keys)}, {sums} FROM '{source}' {rest} GROUP BY {', '.join(keys)}"
    # Only what is shown is made text.
    shown = lambda columns, rows: f"SELECT {', '.join(columns)}, bytes_out, bytes_in, connections FROM ({rows})"
    src, dst = address("src", kind), address("dst", kind)
    if job == "top-src":
        return shown([src], f"{grouped([ends('src')])} {top}")
    if job == "top-dst":
        return shown([dst], f"{grouped([ends('dst')])} {top}")
    relation = grouped([ends("src"), ends("dst"), "dport"])
    if job == "groups":
        return shown([src, dst, "dport"], relation)
    if job == "top-groups":
        return shown([src, dst, "dport"], f"{relation} {top}")
    if job == "dump":
        return f"SELECT first, last, {src}, {dst}, sport, dport, proto, bytes_out, bytes_in, packets_out, packets_in FROM '{source}'"
    octets = net.removesuffix(".0/24")
    if kind == "text":
        inside = f"starts_with(dst, '{octets}.')"
    else:
        a, b, c = (int(octet) for octet in octets.split("."))
        begin = 0xFFFF << 32 | a << 24 | b << 16 | c << 8
        inside = f"dst_high = 0 AND dst_low BETWEEN {begin} AND {begin + 255}"
    keys = [ends("src"), "sport", ends("dst"), "dport", "proto"]
    return shown([src, "sport", dst, "dport", "proto"], grouped(keys, f"WHERE {inside} AND dport = 443"))


def main():
    job, kind, source, out, net = sys.argv[1:]
    connection = duckdb.connect()
    # Rows need not come in the file's order: it may write from all threads.
    connection.execute("SET preserve_insertion_order = false")
    if job != "start":
        connection.execute(f"COPY ({query(job, kind, source, net)}) TO '{out}' (FORMAT csv, HEADER)")


main()
