"""Runs one command and tells what it took. Imports nothing large: a process begins with the memory of who started it."""

import os
import subprocess
import time


class Taken:
    """Seconds by the clock, processor seconds (all threads and children, kernel included) and peak memory in MiB."""

    def __init__(self, wall, cpu, memory):
        self.wall, self.cpu, self.memory = wall, cpu, memory


def run(arguments, out, prints, environment):
    """The CSV goes to `out`: what the command prints, if `prints`; otherwise it writes there by itself."""
    if os.path.exists(out):
        os.remove(out)
    with open(out if prints else os.devnull, "wb") as printed, open(f"{out}.stderr", "w+b") as told:
        begin = time.monotonic()
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=printed, stderr=told, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            told.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: ended with {process.returncode}: {told.read().decode()[-2000:]}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def warm(files):
    """Reads the files, so that they are in the page cache."""
    for file in files:
        with open(file, "rb", buffering=0) as data:
            while data.read(1 << 20):
                pass
