"""What every tool is asked, and how: the commands of each tool, by job.

In a command {capture}, {parquet} and {flows} stand for the tool's own file of the same records, {net} for a network like
10.1.2.0/24, {out} for the CSV to write; what goes to stdout is the CSV where {out} does not occur. A job that a tool does
not do is left out. A name may have a variant behind a slash, `duckdb/numbers`: the table has the best of each tool.
"""

import shlex

# Of all connections nothing is left out and no port is folded, so that all tools see the same records.
WHOLE = "--no-fold --keep-loopback --keep-idle --keep-unspecified"

SUMMED = "bytes_written,bytes_read,connections"
GROUPED = "src_ip,dst_ip,dst_port"
RECORDED = "src_ip,dst_ip,src_port,dst_port,transport"

NETFLOW = {
    "netflow": {
        "start": "{netflow} --version",
        "top-src": f"{{netflow}} report {{capture}} {WHOLE} --by src_ip --columns src_ip,{SUMMED} --sort bytes_written --top 20 --csv=-",
        "top-dst": f"{{netflow}} report {{capture}} {WHOLE} --by dst_ip --columns dst_ip,{SUMMED} --sort bytes_written --top 20 --csv=-",
        "groups": f"{{netflow}} report {{capture}} {WHOLE} --by {GROUPED} --columns {GROUPED},{SUMMED} --csv=-",
        "top-groups": f"{{netflow}} report {{capture}} {WHOLE} --by {GROUPED} --columns {GROUPED},{SUMMED}"
        " --sort bytes_written --top 20 --csv=-",
        "filter": f"{{netflow}} report {{capture}} {WHOLE} --filter 'dst_ip in {{net}} and dst_port == 443'"
        f" --by {RECORDED} --columns {RECORDED},{SUMMED} --csv=-",
    },
    # A row tells when its connection began and not when it ended.
    "netflow/less": {
        "dump": f"{{netflow}} report {{capture}} {WHOLE} --by connection,began,{RECORDED}"
        f" --columns began,{RECORDED},bytes_written,bytes_read,packets_written,packets_read --csv=-",
    },
}
# With a capture of long connections, which the peers' files have no form for.
NETFLOW_LONG = f"{{netflow}} report {{capture}} {WHOLE} --by src_ip --top 20 --csv=-"

PEERS = {
    "nfdump": {
        "start": "{nfdump} -V",
        "top-src": "{nfdump} -r {flows} -q -N -A srcip -O ibytes -n 20 -o csv:%sa,%ibyt,%obyt,%fl",
        "top-dst": "{nfdump} -r {flows} -q -N -A dstip -O ibytes -n 20 -o csv:%da,%ibyt,%obyt,%fl",
        "groups": "{nfdump} -r {flows} -q -N -A srcip,dstip,dstport -o csv:%sa,%da,%dp,%ibyt,%obyt,%fl",
        "top-groups": "{nfdump} -r {flows} -q -N -A srcip,dstip,dstport -O ibytes -n 20 -o csv:%sa,%da,%dp,%ibyt,%obyt,%fl",
        "dump": "{nfdump} -r {flows} -q -N -o csv:%tsr,%ter,%sa,%da,%sp,%dp,%pr,%ibyt,%obyt,%ipkt,%opkt",
        "filter": "{nfdump} -r {flows} -q -N -A srcip,srcport,dstip,dstport,proto -o csv:%sa,%sp,%da,%dp,%pr,%ibyt,%obyt,%fl"
        " 'dst net {net} and dst port 443'",
        "read": "{nfdump} -r {flows} -o null",
    },
    # Its own statistics and its own fast CSV tell bytes one way only.
    "nfdump/less": {
        "top-src": "{nfdump} -r {flows} -q -N -s srcip/ibyte -n 20 -o csv",
        "top-dst": "{nfdump} -r {flows} -q -N -s dstip/ibyte -n 20 -o csv",
        "dump": "{nfdump} -r {flows} -q -N -o csv-fast",
    },
}
# Addresses as text and as numbers. Polars writes no hexadecimal digits, and so no long list of addresses from numbers.
FEW = ["top-src", "top-dst", "top-groups", "filter"]
ALL = ["start", *FEW, "groups", "dump"]
for peer, kind, asked in [("duckdb", "text", ALL), ("duckdb", "numbers", ALL[1:]), ("polars", "text", ALL), ("polars", "numbers", FEW)]:
    PEERS[f"{peer}/{kind}"] = {
        job: f"{{python}} {{here}}/ask_{peer}.py {job} {kind} {{parquet_{kind}}} {{out}} {{net}}" for job in asked
    }

COMMANDS = NETFLOW | PEERS

# What is in an answer, by job: columns that identify a row, and the sums.
SUMS = ["bytes_out", "bytes_in", "connections"]
KEYS = {
    "top-src": ["src"],
    "top-dst": ["dst"],
    "groups": ["src", "dst", "dport"],
    "top-groups": ["src", "dst", "dport"],
    "filter": ["src", "sport", "dst", "dport", "proto"],
}
RECORD = ["first", "last", "src", "dst", "sport", "dport", "proto", "bytes_out", "bytes_in", "packets_out", "packets_in"]
# Whose answers may lack columns. They are measured and compared as far as they go, but are nobody's best.
LESS = ["netflow/less", "nfdump/less"]
TITLES = {
    "start": "start and do nothing",
    "top-src": "top 20 sources",
    "top-dst": "top 20 destinations",
    "groups": "all groups of source, destination, port as CSV",
    "top-groups": "the top 20 of these groups",
    "dump": "every record as CSV, eleven columns",
    "filter": "some hundreds of records by network and port",
    "read": "read and decode",
}
TOP = 20


def words(line, names):
    """The arguments of a command, with what the names stand for."""
    return [part.format(**names) for part in shlex.split(line)]


def command(tool, job, names):
    """The arguments of a tool's command for a job, or None; and whether its CSV is what it prints."""
    line = COMMANDS[tool].get(job)
    return (words(line, names), "{out}" not in line) if line else (None, False)
