"""Whether two engines wrote the same rows: counts, and hashes that know no order, of each part of the rows and of the whole.

  tests/bench/python -m check --store DIR --query q1 OUT OUT...   each OUT is what an engine wrote, or the dataset of an export
"""

import argparse
import json
import sys
from pathlib import Path

import duckdb
import pyarrow as pa

from engines.common import export, leaves

IDENTITY = 'STRUCT(id VARCHAR, "primary" BOOLEAN)[]'


def quoted(path):
    return ".".join(f'"{name}"' for name in path)


def plain(kind):
    """The one type that values of a leaf are compared in."""
    if pa.types.is_list(kind):
        return plain(kind.value_type) + "[]"
    if pa.types.is_map(kind):
        return f"STRUCT(key {plain(kind.key_type)}, value {plain(kind.item_type)})[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{child.name}" {plain(child.type)}' for child in kind) + ")"
    names = [(pa.types.is_integer, "BIGINT"), (pa.types.is_floating, "DOUBLE"), (pa.types.is_date, "DATE"),
             (pa.types.is_timestamp, "TIMESTAMPTZ"), (pa.types.is_boolean, "BOOLEAN")]  # fmt: skip
    return next((name for applies, name in names if applies(kind)), "VARCHAR")


def entries(value, column_type):
    """A map as a list of its entries; engines without maps write such lists."""
    return f"map_entries({value})" if column_type.startswith("MAP") else value


def sorted_map(value, column_type, inner, inner_type):
    """A map, its entries in the order of keys; nothing is the same as an empty one."""
    listed = f"list_transform({entries(value, column_type)}, lambda e: {{'key': e.key, 'value': {inner('e.value')}}})"
    return f"coalesce(list_sort(CAST({listed} AS STRUCT(key VARCHAR, value {inner_type})[])), [])"


def expressions(job, types):
    """By part of a row, what is hashed. A struct of nulls is the same as a null: the leaves are compared."""
    parts = {}
    if "identityMap" in job.system:
        mapped = sorted_map("identityMap", types["identityMap"], lambda v: f"CAST({v} AS {IDENTITY})", IDENTITY)
        parts["identities"] = [mapped]
    if "identities" in job.system:
        flat = "list_transform(identities, lambda i: {'id': i.id, 'code': i.namespace.code, 'primary': i.\"primary\"})"
        parts["identities"].append(f'CAST({flat} AS STRUCT(id VARCHAR, code VARCHAR, "primary" BOOLEAN)[])')
    if "segmentMembership" in job.system:
        state = "STRUCT(status VARCHAR, lastQualificationTime TIMESTAMPTZ)"
        column_type = types["segmentMembership"]
        inner_type = "MAP" if column_type.startswith("MAP") else "LIST"
        parts["memberships"] = [sorted_map(
            "segmentMembership", column_type,
            lambda v: sorted_map(v, inner_type, lambda w: f"CAST({w} AS {state})", state),
            f"STRUCT(key VARCHAR, value {state})[]",
        )]  # fmt: skip
    parts["attributes"] = [leaf(quoted(path), kind, types, path) for path, kind in job.leaves]
    if "timeSeriesEvents" in job.system:
        fields = ", ".join(
            f"'{'.'.join(path)}': CAST(e.{quoted(path)} AS {plain(kind)})" for path, kind in leaves(job.event_fields)
        )
        parts["events"] = [f'coalesce(list_transform("timeSeriesEvents", lambda e: {{{fields}}}), [])']
    return parts


def leaf(value, kind, types, path):
    if pa.types.is_map(kind):
        listed = f"CAST({entries(value, types[path[0]])} AS {plain(kind)})"
        return f"list_sort({listed})"
    return f"CAST({value} AS {plain(kind)})"


def batches(out):
    """The files of each batch, in the order of batches: of an engine, or of the exporter (see run's batches.json)."""
    out = Path(out)
    order = out / "batches.json"
    if order.exists():
        folders = [next(out.glob(f"*/_batchId={batch}"), None) for batch in json.loads(order.read_text())]
    else:
        folders = sorted(out.glob("batch-*"), key=lambda folder: int(folder.name.split("-")[1]))
    return [sorted(str(file) for file in folder.rglob("*.parquet")) if folder else [] for folder in folders]


def connect():
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "4GB"})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def source(connection, files):
    listed = ", ".join(f"'{file}'" for file in files)
    table = f"read_parquet([{listed}], hive_partitioning = false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    return table, {row[0]: row[1] for row in described}


def summary(job, out):
    """For each batch: its rows, and a hash of each part of them and of the whole."""
    connection = connect()
    found = []
    for files in batches(out):
        if not files:
            found.append({"rows": 0})
            continue
        table, types = source(connection, files)
        parts = expressions(job, types)
        every = [value for values in parts.values() for value in values]
        sums = ", ".join(
            f"sum(hash({', '.join(values)})::HUGEINT)" for values in [*parts.values(), every]
        )
        row = connection.execute(f"SELECT count(*), {sums} FROM {table}").fetchone()
        names = ["rows", *parts, "whole"]
        found.append({name: f"{value or 0:x}" if name != "rows" else value for name, value in zip(names, row)})
    return found


def differences(job, left, right, limit=3):
    """Some rows that only one of two outputs has, for people."""
    connection = connect()
    for number, (ours, theirs) in enumerate(zip(batches(left), batches(right))):
        rows = []
        if not ours or not theirs:
            yield f"batch {number}: {'the second' if ours else 'the first'} wrote no file"
            continue
        for files in (ours, theirs):
            table, types = source(connection, files)
            parts = expressions(job, types)
            listed = ", ".join(value for values in parts.values() for value in values)
            rows.append(f"SELECT {listed} FROM {table}")
        for name, first, second in ((left, *rows), (right, *reversed(rows))):
            for row in connection.execute(f"{first} EXCEPT ALL {second} ORDER BY 1 LIMIT {limit}").fetchall():
                yield f"batch {number}, only in {name}: {row}"


def main():
    parser = argparse.ArgumentParser(prog="check", description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--query", required=True)
    parser.add_argument("out", nargs="+")
    given = parser.parse_args()
    job = export(given.store, given.query, Path())
    first = summary(job, given.out[0])
    print(given.out[0], json.dumps(first))
    same = True
    for other in given.out[1:]:
        found = summary(job, other)
        equal = found == first
        print(other, "the same" if equal else json.dumps(found))
        if not equal:
            same = False
            for line in differences(job, given.out[0], other):
                print("  " + line)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
