"""Runs a command and measures it: wall time, processor time and memory of all of its processes, time to its first read.

  python -m runner.measure --cores 2 --limit-mib 12288 --watch DIR --result FILE -- COMMAND...
"""

import argparse
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
IN_ACCESS, IN_OPEN, IN_NONBLOCK = 0x1, 0x20, 0o4000
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
INTERVAL = 0.02


class FirstRead:
    """Notices when a file below some folders is opened, and when it is read."""

    def __init__(self, folders):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.file = self.libc.inotify_init1(IN_NONBLOCK)
        self.opened = self.read = None
        for folder in folders:
            for path in [folder, *(child for child in Path(folder).rglob("*") if child.is_dir())]:
                self.libc.inotify_add_watch(self.file, str(path).encode(), IN_ACCESS | IN_OPEN)

    def wait(self, seconds):
        """Waits for news or for so long, whichever is first."""
        if self.file is None:
            time.sleep(seconds)
        elif select.select([self.file], [], [], seconds)[0]:
            self.take(time.monotonic())

    def take(self, now):
        data = os.read(self.file, 1 << 16)
        masks, at = [], 0
        while at < len(data):
            masks.append(int.from_bytes(data[at + 4 : at + 8], sys.byteorder))
            at += 16 + int.from_bytes(data[at + 12 : at + 16], sys.byteorder)
        files = [mask for mask in masks if not mask & 0x40000000]
        if self.opened is None and any(mask & IN_OPEN for mask in files):
            self.opened = now
        if any(mask & IN_ACCESS for mask in files):
            self.read = now
            os.close(self.file)
            self.file = None


def resident(session):
    """Memory of all processes of a session, in MiB."""
    total = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The name, in parentheses, may hold blanks.
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(Path(f"/proc/{entry}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total * PAGE_MIB


def reap():
    """Waits for what was left behind, so that its time counts."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def run(command, cores, limit_mib, folders, stdout):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    reads = FirstRead(folders)
    started = time.monotonic()
    child = subprocess.Popen(
        command, stdout=stdout, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, allowed)
    )
    peak, exceeded = 0.0, False
    while True:
        found, status = os.waitpid(child.pid, os.WNOHANG)
        if found:
            break
        peak = max(peak, resident(child.pid))
        if peak > limit_mib and not exceeded:
            exceeded = True
            os.killpg(child.pid, signal.SIGKILL)
        reads.wait(INTERVAL)
    wall = time.monotonic() - started
    reap()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    first = reads.read or reads.opened
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "exceeded": exceeded,
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mib": max(peak, used.ru_maxrss / 1024),
        "first_read": first - started if first else None,
    }


def main():
    parser = argparse.ArgumentParser(prog="measure", description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--limit-mib", type=float, required=True, help="more memory than this ends it")
    parser.add_argument("--watch", type=Path, action="append", default=[], help="folder of files that it reads")
    parser.add_argument("--stdout", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    with given.stdout.open("wb") as stdout:
        found = run(given.command, given.cores, given.limit_mib, given.watch, stdout)
    given.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
