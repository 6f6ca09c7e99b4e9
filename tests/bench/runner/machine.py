"""What the figures were measured with."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = {"duckdb": "duckdb", "polars": "polars", "datafusion": "datafusion", "spark": "pyspark"}


def first_line(path, key):
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def described(engines):
    memory = first_line("/proc/meminfo", "MemTotal") or "0 kB"
    commit = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processor": first_line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory.split()[0]) / (1 << 20)),
        "kernel": platform.release(),
        "commit": commit.stdout.strip() or None,
        "versions": {name: version(PACKAGES[name]) for name in engines if name in PACKAGES},
    }
