"""The comparison: makes the records, asks every tool, checks the answers, measures, prints. See README.md.

`run` beside this file installs and builds what it needs, and tells in the environment where that is.
"""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

import jobs
import measure
import table

HERE = pathlib.Path(__file__).resolve().parent
# Times are UTC for all.
ENVIRONMENT = os.environ | {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def arguments():
    parser = argparse.ArgumentParser(prog="run", description="netflow beside nfdump, DuckDB and Polars on the same records")
    parser.add_argument("--records", type=int, default=200_000, metavar="COUNT", help="connections [default: 200000]")
    parser.add_argument("--long", type=int, metavar="COUNT", help="long connections [default: a fiftieth of --records]")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each, medians are told [default: 5]")
    parser.add_argument("--jobs", metavar="A,B", help=f"only these of {','.join(jobs.TITLES)}")
    parser.add_argument("--tools", metavar="A,B", help=f"only these of {','.join(jobs.COMMANDS)}")
    parser.add_argument("--dir", type=pathlib.Path, metavar="DIR", help="keep the files here [default: ~/.cache/netflow-ci/peers]")
    parser.add_argument("--json", action="store_true", help="one JSON object, with every run")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="compare the answers, measure nothing")
    only.add_argument("--no-check", action="store_true", help="measure, do not compare the answers before")
    chosen = parser.parse_args()
    for name, known in (("jobs", jobs.TITLES), ("tools", jobs.COMMANDS)):
        wanted = getattr(chosen, name)
        wanted = wanted.split(",") if wanted else list(known)
        if unknown := [word for word in wanted if word not in known]:
            parser.error(f"--{name}: {', '.join(unknown)}: not one of {', '.join(known)}")
        setattr(chosen, name, wanted)
    if min(chosen.records, chosen.runs) < 1:
        parser.error("--records and --runs begin at 1")
    return chosen


def say(text):
    print(text, file=sys.stderr, flush=True)


def call(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{words[0]}: ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


class Files:
    """The same records in each tool's form. The capture is always made anew, the rest when the records are others."""

    def __init__(self, folder, places, count):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.records, self.capture = folder, folder / "connections.records", folder / "one-shot.nfcap"
        say(f"{count} records in {folder}")
        call(places["make_capture"], "one-shot", count, self.capture)
        call(places["records"], self.capture, self.records)
        digest = hashlib.sha256()
        for file in (self.records, HERE / "prepare.py", HERE / "ipfix.py", HERE / "records.py"):
            with open(file, "rb") as data:
                while part := data.read(1 << 20):
                    digest.update(part)
        digest.update(json.dumps(versions(places)["peers"]).encode())
        stamp = folder / "stamp"
        if not stamp.exists() or stamp.read_text() != digest.hexdigest():
            stamp.unlink(missing_ok=True)
            say("the peers' files are made")
            call(places["python"], HERE / "prepare.py", self.records, folder, places["nfcapd"], places["nfdump"])
            stamp.write_text(digest.hexdigest())
        self.of_peers = {"parquet_text": folder / "text.parquet", "parquet_numbers": folder / "numbers.parquet"}
        self.of_peers["flows"] = folder / "nfcapd.flows"
        self.net = (folder / "net").read_text()

    def names(self, places, out):
        found = self.of_peers | {"capture": self.capture, "net": self.net, "out": out, "here": HERE} | places
        return {name: str(value) for name, value in found.items()}

    def sizes(self):
        files = {"netflow": self.capture} | self.of_peers
        return {name: file.stat().st_size for name, file in files.items()}

    def clear(self):
        """Removes what the tools answered."""
        for file in self.folder.glob("*.csv*"):
            file.unlink()

    def warm(self):
        measure.warm([self.capture, *self.of_peers.values()])


def versions(places):
    import importlib.metadata as packages

    cpu = next(line.split(": ")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {
        "netflow": f"{call(places['netflow'], '--version').removeprefix('netflow ')} ({commit or 'no commit'})",
        "peers": {
            "nfdump": call(places["nfdump"], "-V").partition("Version: ")[2].split(" options")[0],
            **{name: packages.version(name) for name in ("duckdb", "polars", "pyarrow")},
        },
        "machine": f"Linux {os.uname().release}, {os.cpu_count()} processors ({cpu})",
    }


def measured(chosen, files, places):
    """Every run of every tool and job: the tools in turns, so that what disturbs one disturbs all."""
    taken = {}
    for number in range(chosen.runs):
        files.warm()
        for job in chosen.jobs:
            for tool in chosen.tools:
                words, prints = jobs.command(tool, job, files.names(places, files.folder / "out.csv"))
                if words:
                    one = measure.run(words, files.folder / "out.csv", prints, ENVIRONMENT)
                    taken.setdefault((job, tool), []).append(one)
        say(f"run {number + 1} of {chosen.runs}")
    return taken


def checked(chosen, files, places):
    """Asks every tool once, and compares with the records."""
    answers = []
    for job in chosen.jobs:
        for tool in chosen.tools:
            out = files.folder / f"{tool.replace('/', '-')}.{job}.csv"
            words, prints = jobs.command(tool, job, files.names(places, out))
            if words:
                measure.run(words, out, prints, ENVIRONMENT)
                if job not in ("start", "read"):
                    answers.append((tool, job, out))
    lines = "".join(f"{tool} {job} {out}\n" for tool, job, out in answers)
    python = [places["python"], HERE / "check.py", files.records, files.net]
    done = subprocess.run(python, input=lines, text=True, env=ENVIRONMENT, stdout=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"the answers differ; they are in {files.folder}")
    files.clear()
    say(f"{len(answers)} answers are what the records say")


def long(chosen, folder, places):
    """netflow alone with connections that are sampled again and again."""
    count = chosen.long or max(chosen.records // 50, 1)
    capture = folder / "long.nfcap"
    made = call(places["make_capture"], "long", count, capture)
    events = int(made.rpartition(": ")[2].split()[0])
    names = {"netflow": str(places["netflow"]), "capture": str(capture)}
    measure.warm([capture])
    words = jobs.words(jobs.NETFLOW_LONG, names)
    runs = [measure.run(words, folder / "out.csv", True, ENVIRONMENT) for _ in range(chosen.runs)]
    capture.unlink()
    cpu, wall, memory = (statistics.median(getattr(run, what) for run in runs) for what in ("cpu", "wall", "memory"))
    return {"connections": count, "events": events, "wall": wall, "cpu": cpu, "memory": memory}


def main():
    chosen = arguments()
    places = {name: os.environ[f"PEERS_{name.upper()}"] for name in ("netflow", "make_capture", "records", "nfdump", "nfcapd")}
    places["python"] = sys.executable
    cache = os.environ.get("NETFLOW_CI_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netflow-ci"
    files = Files((chosen.dir or pathlib.Path(cache) / "peers") / str(chosen.records), places, chosen.records)
    if not chosen.no_check:
        checked(chosen, files, places)
    if chosen.check:
        return
    taken = measured(chosen, files, places)
    alone = long(chosen, files.folder, places) if "netflow" in chosen.tools else None
    files.clear()
    (table.as_json if chosen.json else table.as_text)(chosen, versions(places), files.sizes(), taken, alone)


main()
