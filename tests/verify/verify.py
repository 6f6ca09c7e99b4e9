"""Checks what an ExportJob wrote, row by row, against what the raw file says it must have written.

Reads the ExportJob (JSON, with its status) from standard input and its dataset by the Python package deltalake. Prints what
it found; exits with 1 and the first differences when anything is not as it must be.
"""

import argparse
import collections
import datetime as dt
import json
import pathlib
import sys

import deltalake
import pyarrow as pa

import expect
import facts

SHOWN = 3
# Characters of each that are shown.
LENGTH = 1000


def canonical(value, kind=None):
    """JSON-like form that does not care how a reader spells maps, times and what is absent."""
    if kind is not None and pa.types.is_map(kind) and value is not None:
        value = {key: canonical(item, kind.item_type) for key, item in value}
    elif kind is not None and pa.types.is_struct(kind) and value is not None:
        value = {field.name: canonical(value[field.name], field.type) for field in kind}
    elif kind is not None and (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and value is not None:
        value = [canonical(item, kind.value_type) for item in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.timezone.utc).isoformat()
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        items = {key: canonical(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, {}, [])}
    return value


def written(table, batch):
    found = table.to_pyarrow_table(filters=[("_batchId", "=", batch)])
    kinds = {field.name: field.type for field in found.schema if field.name != "_batchId"}
    own = [name for name in kinds if name.startswith("ups_")]
    if own:
        raise SystemExit(f"the store's own columns {own} reached the output")
    rows = found.drop_columns(["_batchId"]).to_pylist()
    return [canonical({name: canonical(row[name], kind) for name, kind in kinds.items()}) for row in rows]


def compare(batch, expected, actual):
    as_text = lambda rows: collections.Counter(json.dumps(row, sort_keys=True) for row in rows)
    want, have = as_text(canonical(row) for row in expected), as_text(actual)
    if want == have:
        print(f"batch {batch}: {len(actual)} rows, all as the raw file says")
        return True
    print(f"batch {batch}: {len(actual)} rows, expected {len(expected)}")
    for text, rows in [("missing", want - have), ("not expected", have - want)]:
        for row in sorted(rows.elements())[:SHOWN]:
            print(f"  {text}: {row[:LENGTH]}")
    return False


def batch_ids(status):
    destination = status["destination"]
    return [batch["batchId"] for batch in destination.get("batches", [])] or [destination["batchId"]]


def compare_metrics(status, profiles):
    counts = collections.Counter(namespace for profile in profiles for namespace in profile.namespaces)
    metrics = status.get("metrics", {})
    good = True
    for field, expected, actual in [
        ("totalExportedProfileCounter", len(profiles), metrics.get("totalExportedProfileCounter")),
        ("exportedProfileByNamespaceCounter", dict(counts), metrics.get("exportedProfileByNamespaceCounter") or {}),
    ]:
        if expected != actual:
            print(f"status.metrics.{field} is {actual}, expected {expected}")
            good = False
    return good


def verify(job, raw, folder, copies):
    spec, status = job["spec"], job["status"]
    if status["phase"] != "SUCCEEDED":
        print(f"the job is {status['phase']}: {status.get('errors')}")
        return False
    customers = list(facts.copied(facts.customers(facts.load(raw)), copies))
    table = deltalake.DeltaTable(str(folder / spec["destination"]["datasetId"]))
    good, everyone = True, []
    expected = list(expect.batches(customers, spec, status["mergePolicy"]["id"]))
    for batch, (rows, profiles) in zip(batch_ids(status), expected, strict=True):
        good &= compare(batch, rows, written(table, batch))
        everyone += profiles
    return compare_metrics(status, everyone) and good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="CDNOW_sample.txt")
    parser.add_argument("--datasets", type=pathlib.Path, required=True, help="folder with one Delta table for each Dataset")
    parser.add_argument("--copies", type=int, default=1, help="how often the store has each customer")
    arguments = parser.parse_args()
    sys.exit(0 if verify(json.load(sys.stdin), arguments.raw, arguments.datasets, arguments.copies) else 1)


if __name__ == "__main__":
    main()
