"""Shows what jobs wrote: the first rows of the job `bought-twice`, and the number of rows of each batch.

Reads a list of ExportJobs (JSON) from standard input.
"""

import argparse
import json
import pathlib
import sys

import deltalake
import duckdb

FIRST = """
SELECT personalEmail.address AS address, loyalty.tier AS tier, list_transform(identities, i -> i.namespace.code || ':' || i.id) AS identities
FROM rows WHERE _batchId = $batch ORDER BY address LIMIT 5
"""


def batches(job):
    destination = job["status"]["destination"]
    return [batch["batchId"] for batch in destination.get("batches", [])] or [destination["batchId"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=pathlib.Path, required=True)
    folder = parser.parse_args().datasets
    for job in json.load(sys.stdin)["items"]:
        name, dataset = job["metadata"]["name"], job["spec"]["destination"]["datasetId"]
        rows = deltalake.DeltaTable(str(folder / dataset)).to_pyarrow_dataset()  # noqa: F841 (DuckDB finds it by its name)
        if name == "bought-twice":
            duckdb.execute(FIRST, {"batch": batches(job)[0]})
            print(_table(duckdb.fetchall()))
        for batch in batches(job):
            count = duckdb.execute("SELECT count(*) FROM rows WHERE _batchId = ?", [batch]).fetchone()[0]
            print(f"    {name:20} {dataset:18} batch {batch} {count:6} rows")


def _table(rows):
    return "\n".join(f"    {address:28} {tier or '-':8} {', '.join(identities)}" for address, tier, identities in rows)


if __name__ == "__main__":
    main()
