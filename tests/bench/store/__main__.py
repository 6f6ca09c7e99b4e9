"""Writes a seeded profile store and the manifests of the benchmark's exports."""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import pyarrow as pa

from . import layout, manifests

FORMAT = 1  # of what is generated: another number makes old folders be written anew


def main():
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--profiles", type=int, required=True, help="profiles, lone identities among them")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--layout", choices=sorted(layout.LAYOUTS), required=True)
    parser.add_argument("--buckets", type=int, default=16, help="files of each table (default: 16)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.profiles < 1 or arguments.buckets < 1 or not 0 <= arguments.seed < 1 << 31:
        parser.error("--profiles and --buckets start at 1, --seed at 0")
    wanted = {name: value for name, value in vars(arguments).items() if name != "out"} | {"format": FORMAT}
    described = arguments.out / "generated.json"
    if described.exists() and json.loads(described.read_text()).get("wanted") == wanted:
        return
    described.unlink(missing_ok=True)
    started = time.monotonic()
    # glibc's own allocator gives memory back; the rows of a chunk come and go.
    pa.set_memory_pool(pa.system_memory_pool())
    chosen = layout.LAYOUTS[arguments.layout](arguments.buckets)
    rows = layout.write(arguments.out, arguments.seed, arguments.profiles, chosen, arguments.buckets, say)
    manifests.write(arguments.out, arguments.layout, arguments.buckets)
    described.write_text(json.dumps({"wanted": wanted, "rows": rows}, indent=2) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(f"{rows} in {time.monotonic() - started:.0f} s, {peak} MiB at most")


def say(text):
    print(text, file=sys.stderr, flush=True)


main()
