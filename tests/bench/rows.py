"""What rows a store holds, in whatever files: for each table their number, and a hash that knows no order.

  tests/bench/python -m rows DIR
"""

import json
import sys
from pathlib import Path

from check import connect, source


def main():
    connection = connect()
    found = {}
    for table in ("fragments", "events", "identities", "memberships"):
        files = sorted(str(file) for file in (Path(sys.argv[1]) / table).rglob("*.parquet"))
        rows, types = source(connection, files)
        # The key of a bucketed table says nothing about the row that the graph does not say.
        columns = ", ".join(f'"{name}"' for name in sorted(types) if table == "identities" or name != "ups_profile")
        found[table] = connection.execute(f"SELECT count(*), sum(hash({columns})::HUGEINT)::VARCHAR FROM {rows}").fetchone()
    print(json.dumps(found))


main()
