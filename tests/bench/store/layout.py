"""How the rows lie in files: chunk by chunk into a spill file for each part, then each part sorted and written."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import rows

# The order of arrival, for the layouts that know no other; never written.
ARRIVAL = "_arrival"
KEYS = ["ups_profile", "ups_identity", "_id"]


class Append:
    """Files in order of arrival, keyed by identity: what people have."""

    name = "append"
    options = {"compression": "zstd", "row_group_size": 262_144}

    def __init__(self, parts):
        self.parts = parts

    def part(self, _bucket, arrival):
        return (arrival - rows.YEAR_START) * self.parts // rows.YEAR

    def columns(self, _table, columns, _keys):
        return columns

    def order(self, _table):
        return [(ARRIVAL, "ascending")]

    def file(self, part):
        return f"part-{part:05}.parquet"

    def writer(self, _schema):
        return {}


class Bucketed(Append):
    """A file for each bucket of profiles, sorted by profile and time, with small pages and an index of them."""

    name = "bucketed"
    options = {
        "compression": "zstd", "row_group_size": 131_072, "write_page_index": True, "data_page_size": 64 << 10,
        "max_rows_per_page": 4_096,
    }  # fmt: skip

    def part(self, bucket, _arrival):
        return bucket

    def columns(self, table, columns, keys):
        return columns if table == "identities" else {"ups_profile": keys} | columns

    def order(self, table):
        time = {"fragments": ["ups_ingested"], "events": ["ups_ingested"], "memberships": ["segmentNs", "segmentId"]}
        columns = ["ups_profile", *time.get(table, []), "ups_namespace", "ups_identity"]
        return [(column, "ascending") for column in columns]

    def file(self, part):
        return f"bucket={part:05}/part-0.parquet"

    def writer(self, schema):
        """Neighbours share the beginnings of their keys, which a dictionary would not notice."""
        plain = [name for name in KEYS if name in schema.names]
        return {
            "column_encoding": {name: "DELTA_BYTE_ARRAY" for name in plain},
            "use_dictionary": [leaf for leaf in leaves(schema) if leaf not in plain],
            "sorting_columns": pq.SortingColumn.from_ordering(schema, [("ups_profile", "ascending")]),
        }


LAYOUTS = {layout.name: layout for layout in (Append, Bucketed)}


def leaves(schema):
    """The paths of the columns in a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    file = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [file.column(index).path for index in range(len(file))]


def write(out, seed, count, layout, buckets, say):
    """Writes the four tables of `count` profiles below `out` and returns the rows of each."""
    spill = Path(out) / ".spill"
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)
    totals = {}
    chunks = -(-count // rows.CHUNK)
    try:
        writers = {}
        for chunk in range(chunks):
            people = rows.profiles(seed, chunk, count)
            bucket = rows.buckets(people.key, buckets)
            for table, make in rows.TABLES.items():
                owner, arrival, columns = make(seed, chunk, people)
                totals[table] = totals.get(table, 0) + len(owner)
                columns = layout.columns(table, columns, people.key.take(pa.array(owner)))
                columns[ARRIVAL] = pa.array(arrival)
                scatter(spill, writers, table, pa.table(columns), layout.part(bucket[owner], arrival))
            say(f"rows of {min((chunk + 1) * rows.CHUNK, count)} of {count} profiles")
        for writer in writers.values():
            writer.close()
        for table in rows.TABLES:
            gather(out, spill, table, sorted(part for name, part in writers if name == table), layout)
            say(f"files of {table}")
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return totals


def scatter(spill, writers, table, chunk, part):
    """Appends the rows of a chunk to the spill files of their parts."""
    order = np.argsort(part, kind="stable")
    present, starts = np.unique(part[order], return_index=True)
    chunk = chunk.take(pa.array(order))
    for index, number in enumerate(present):
        end = starts[index + 1] if index + 1 < len(starts) else len(order)
        key = (table, int(number))
        if key not in writers:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writers[key] = pa.ipc.new_stream(str(spill / f"{table}-{number}"), chunk.schema, options=options)
        writers[key].write_table(chunk.slice(starts[index], end - starts[index]))


def gather(out, spill, table, parts, layout):
    """Sorts the rows of each part and writes its file."""
    shutil.rmtree(Path(out) / table, ignore_errors=True)
    for part in parts:
        path = spill / f"{table}-{part}"
        with pa.ipc.open_stream(str(path)) as reader:
            data = reader.read_all()
        path.unlink()
        by = pa.table({name: data[name] for name, _ in layout.order(table)})
        order = pc.sort_indices(by, sort_keys=layout.order(table))
        data = data.drop_columns([ARRIVAL])
        file = Path(out) / table / layout.file(part)
        file.parent.mkdir(parents=True, exist_ok=True)
        step = layout.options["row_group_size"]
        options = {name: value for name, value in layout.options.items() if name != "row_group_size"}
        with pq.ParquetWriter(file, data.schema, **options, **layout.writer(data.schema)) as writer:
            for start in range(0, len(data), step):
                writer.write_table(data.take(order.slice(start, step)), row_group_size=step)
        del data
        pa.default_memory_pool().release_unused()
