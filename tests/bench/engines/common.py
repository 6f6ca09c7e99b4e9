"""What all engines are told: the store, the export and the fields to write."""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from store.manifests import QUERIES
from store.rows import SEGMENTS

STATUSES = ["realized", "existing"]
# A tie of times goes to the first of these.
RANKS = {"realized": 2, "existing": 1, "exited": 0}
SYSTEM = ["identityMap", "identities", "segmentMembership", "timeSeriesEvents"]


@dataclass
class Export:
    """An export, resolved against the store: what the exporter knows before it reads a row."""

    name: str
    store: Path
    out: Path
    layout: str
    buckets: int
    fields: pa.Schema  # the attributes to write, nested as they are
    system: list  # which of the columns that every store has
    segments: list  # empty: all profiles
    per_batch: bool
    changed_since: str | None
    window: tuple | None
    event_fields: pa.Schema | None
    leaves: list = field(default_factory=list)  # (path, type) of each attribute

    def files(self, table, bucket=None):
        """The files of a table, or of one bucket of it."""
        pattern = "*.parquet" if self.layout == "append" else f"bucket={'*' if bucket is None else f'{bucket:05}'}/*.parquet"
        return sorted(str(path) for path in (self.store / table).glob(pattern))

    def batches(self):
        """Each batch's number with the segments that it takes."""
        return [[name] for name in self.segments] if self.per_batch else [self.segments]

    def folder(self, batch):
        """The folder that a batch's files go to."""
        folder = self.out / f"batch-{batch}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--query", choices=sorted(QUERIES), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--memory-mib", type=int, default=6144)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    return given


def export(store, query, out):
    """What `query` asks of the store."""
    spec = QUERIES[query]
    generated = json.loads((store / "generated.json").read_text())["wanted"]
    resolved = Export(
        name=query, store=store, out=out, layout=generated["layout"], buckets=generated["buckets"],
        fields=None, system=[], segments=[entry["segmentId"] for entry in spec.get("filter", {}).get("segments", [])],
        per_batch=spec.get("destination", {}).get("segmentPerBatch", False),
        changed_since=spec.get("filter", {}).get("fromIngestTimestamp"), window=None, event_fields=None,
    )  # fmt: skip
    paths = [path for path in spec.get("fields", "").split(",") if path]
    attributes = customers(resolved.files("fragments")[0])
    resolved.system = [name for name in SYSTEM[:3] if not paths or name in paths]
    resolved.fields = pruned(attributes, paths)
    resolved.leaves = leaves(resolved.fields)
    events = spec.get("additionalFields", {}).get("eventList")
    if events is not None:
        wanted = [path for path in events.get("fields", "").split(",") if path]
        resolved.event_fields = pruned(customers(resolved.files("events")[0]), wanted)
        resolved.window = (events["filter"]["fromIngestTimestamp"], events["filter"]["toIngestTimestamp"])
        resolved.system.append("timeSeriesEvents")
    return resolved


def customers(file):
    """The columns of a file that are not the store's own."""
    return pa.schema([column for column in pq.read_schema(file) if not column.name.startswith("ups_")])


def pruned(schema, paths):
    """The fields that `paths` name, and all of them if there are none."""
    kept = (prune(column, (), paths) for column in schema)
    return pa.schema([column for column in kept if column is not None])


def prune(column, above, paths):
    path = (*above, column.name)
    if not paths or ".".join(path) in paths:
        return column
    if not pa.types.is_struct(column.type):
        return None
    kept = [prune(child, path, paths) for child in column.type]
    kept = [child for child in kept if child is not None]
    return pa.field(column.name, pa.struct(kept)) if kept else None


def leaves(schema):
    """Path and type of every leaf; lists and maps are leaves."""
    found = []

    def walk(column, above):
        path = (*above, column.name)
        if pa.types.is_struct(column.type):
            for child in column.type:
                walk(child, path)
        else:
            found.append((path, column.type))

    for column in schema:
        walk(column, ())
    return found


def flat(path):
    """The name of a leaf as a column of its own."""
    return ".".join(path)


def nested(schema, leaf, struct):
    """Builds each column out of its leaves: `leaf(path)` and `struct([(name, value)], path)`; a list of (name, value)."""

    def build(column, above):
        path = (*above, column.name)
        if pa.types.is_struct(column.type):
            return struct([(child.name, build(child, path)) for child in column.type], path)
        return leaf(path)

    return [(column.name, build(column, ())) for column in schema]


__all__ = ["Export", "RANKS", "SEGMENTS", "STATUSES", "arguments", "export", "flat", "leaves", "nested"]
