"""Runs one command and tells what it took: seconds by the clock, processor seconds (all threads and children, kernel
included) and peak memory in MiB.

A process begins with the memory of who started it, as the kernel counts. So this file is also a program that starts the
command, which is Python with nothing imported: 8 MiB is the least that can be told.
"""

import os
import sys
import time


def spawn(out, told, arguments):
    """The program: prints seconds, processor seconds and MiB; exits as the command did."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, out, flags, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, told, flags, 0o644),
    ]
    begin = time.monotonic()
    process = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=files)
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - begin
    print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    sys.exit(0 if status == 0 else 1)


class Taken:
    def __init__(self, wall, cpu, memory):
        self.wall, self.cpu, self.memory = wall, cpu, memory


def run(arguments, out, prints, environment):
    """The CSV goes to `out`: what the command prints, if `prints`; otherwise it writes there by itself."""
    import subprocess

    if os.path.exists(out):
        os.remove(out)
    told = f"{out}.stderr"
    program = [sys.executable, "-I", "-S", __file__, str(out) if prints else os.devnull, told, *arguments]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        with open(told) as lines:
            raise RuntimeError(f"{' '.join(arguments)}: failed: {lines.read()[-2000:]}")
    return Taken(*map(float, done.stdout.split()))


def warm(files):
    """Reads the files, so that they are in the page cache."""
    for file in files:
        with open(file, "rb", buffering=0) as data:
            while data.read(1 << 20):
                pass


if __name__ == "__main__":
    spawn(sys.argv[1], sys.argv[2], sys.argv[3:])
