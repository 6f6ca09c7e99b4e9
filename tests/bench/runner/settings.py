"""What a run is asked for, by environment variables, and which engines there are."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

# Name in the tables, and the layouts that an engine reads.
ENGINES = {
    "exporter": ("this exporter", ["bucketed", "append"]),
    "duckdb": ("DuckDB", ["bucketed", "append"]),
    "polars": ("Polars", ["append"]),
    "datafusion": ("DataFusion SQL", ["append"]),
    "spark": ("Spark local[2]", ["append"]),
}


def pairs(engines, layouts):
    """Each engine with each layout that it reads."""
    return [(engine, layout) for engine in engines for layout in ENGINES[engine][1] if layout in layouts]


@dataclass(frozen=True)
class Settings:
    profiles: list
    rounds: int
    engines: list
    layouts: list
    queries: list
    seed: int
    buckets: int
    memory: str  # what the exporter may use
    engine_memory_mib: int  # what the others may use
    limit_mib: int  # more memory than this ends any of them
    folder: Path  # where stores and results are kept
    program: Path


def words(name, default):
    return os.environ.get(name, default).replace(",", " ").split()


def settings():
    engines = words("BENCH_ENGINES", " ".join(ENGINES))
    for name in engines:
        if name not in ENGINES:
            raise SystemExit(f"error: BENCH_ENGINES: {name!r} is not one of {', '.join(ENGINES)}")
    if "spark" in engines and not shutil.which("java"):
        raise SystemExit("error: Spark needs Java 17 or later: install it, or leave spark out of BENCH_ENGINES")
    return Settings(
        profiles=sorted(int(count) for count in words("BENCH_PROFILES", "100000 1000000")),
        rounds=int(os.environ.get("BENCH_ROUNDS", "3")),
        engines=engines,
        layouts=words("BENCH_LAYOUTS", "bucketed append"),
        queries=words("BENCH_QUERIES", "q1 q2 q3 q4 q5"),
        seed=int(os.environ.get("BENCH_SEED", "1")),
        buckets=int(os.environ.get("BENCH_BUCKETS", "16")),
        memory=os.environ.get("BENCH_MEMORY", "384Mi"),
        engine_memory_mib=int(os.environ.get("BENCH_ENGINE_MEMORY_MIB", "6144")),
        limit_mib=int(os.environ.get("BENCH_LIMIT_MIB", "12288")),
        folder=Path(os.environ["BENCH_WORK"]),
        program=Path(os.environ["BENCH_PROGRAM"]),
    )
