"""The floor of an export: decoding just the columns that it needs, and encoding just the rows that it writes.

Both are measured on one thread with Arrow's own reader and writer; nothing is joined, merged or sorted. `decode` reads whole
columns of all rows: an engine that skips pages may stay below it. What any engine adds to `encode` is its own doing.

  tests/bench/python -m floor --store DIR --query q1 --out OUT     OUT is what an engine or an export wrote for that query
"""

import argparse
import json
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from check import batches
from engines.common import export

KEYS = ["ups_namespace", "ups_identity", "ups_profile"]


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def wanted(job):
    """The columns of each table that the export cannot do without."""
    attributes = [".".join(path) for path, _ in job.leaves]
    tables = {
        "identities": KEYS,
        "fragments": [*KEYS, "ups_dataset", "ups_timestamp", "ups_ingested", *attributes],
    }
    if job.segments or "segmentMembership" in job.system:
        tables["memberships"] = [*KEYS, "segmentNs", "segmentId", "status", "lastQualificationTime"]
    if job.window:
        tables["events"] = [*KEYS, "ups_dataset", "ups_ingested", *event_columns(job)]
    return tables


def event_columns(job):
    from engines.common import leaves

    return [".".join(path) for path, _ in leaves(job.event_fields)]


def decode(job):
    started = processor_seconds()
    for table, columns in wanted(job).items():
        for name in job.files(table):
            file = pq.ParquetFile(name, memory_map=False)
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=columns, use_threads=False)
    return processor_seconds() - started


def encode(out, scratch):
    """Writes the rows that an engine wrote, as they are, with the exporter's settings."""
    spent = 0.0
    for files in batches(out):
        for name in files:
            rows = pq.ParquetFile(name).read()
            started = processor_seconds()
            pq.write_table(rows, scratch, compression="zstd", compression_level=1)
            spent += processor_seconds() - started
    scratch.unlink(missing_ok=True)
    return spent


def main():
    parser = argparse.ArgumentParser(prog="floor", description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--query", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    pa.set_cpu_count(1)
    job = export(given.store, given.query, Path())
    print(json.dumps({"decode": decode(job), "encode": encode(given.out, given.out / "floor.parquet")}))


if __name__ == "__main__":
    main()
