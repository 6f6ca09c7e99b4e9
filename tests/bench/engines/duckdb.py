"""The exports in DuckDB: over all files at once, or bucket by bucket where the store has buckets."""

import duckdb

from .common import STATUSES, arguments, export, flat, nested

COPY = "(FORMAT parquet, COMPRESSION zstd)"
NEWEST = "coalesce(ups_timestamp, ups_ingested)"
LONE = "'~' || strlen(ups_namespace) || ':' || ups_namespace || ups_identity"


def quoted(path):
    return ".".join(f'"{name}"' for name in path)


def texts(values):
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def column(path):
    """A leaf as a column of its own."""
    return f'"{flat(path)}"'


class Plan:
    """The statements of an export over the files of one bucket, or of all."""

    def __init__(self, job, bucket=None):
        self.job, self.bucket = job, bucket
        self.keyed = job.layout == "bucketed"

    def table(self, name):
        files = ", ".join(f"'{file}'" for file in self.job.files(name, self.bucket))
        return f"read_parquet([{files}], hive_partitioning = false)"

    def graph(self):
        """Who belongs to whom, once: three joins ask for it."""
        if not self.keyed:
            yield f"CREATE OR REPLACE TEMP TABLE graph AS SELECT * FROM {self.table('identities')}"

    def rows(self, name, columns, where="true", only=""):
        """The rows of a table with the profile that they belong to, those of the profiles of `only` if it is given."""
        if self.keyed:
            chosen = f"SEMI JOIN {only} ON key = ups_profile" if only else ""
            return f"SELECT ups_profile AS key, {columns} FROM {self.table(name)} {chosen} WHERE {where}"
        if only:
            # Few identities: the rows of all others are dropped as they are read.
            return f"""SELECT m.key, {columns} FROM {self.table(name)} JOIN {only}_identities m
                USING (ups_namespace, ups_identity) WHERE {where}"""
        return f"""SELECT coalesce(ups_profile, {LONE}) AS key, {columns} FROM {self.table(name)}
            LEFT JOIN graph USING (ups_namespace, ups_identity) WHERE {where}"""

    def memberships(self, where="true", only=""):
        """The newest membership of each profile in each segment."""
        order = """epoch_us(lastQualificationTime) * 4
            + CASE coalesce(status, 'realized') WHEN 'realized' THEN 2 WHEN 'existing' THEN 1 ELSE 0 END"""
        columns = f"segmentNs, segmentId, coalesce(status, 'realized') AS status, lastQualificationTime AS qualified, {order} AS o"
        return f"""SELECT key, arg_max(segmentNs, o) AS ns, segmentId AS segment, arg_max(status, o) AS status, max(qualified) AS qualified
            FROM ({self.rows('memberships', columns, where, only)}) GROUP BY key, lower(segmentNs), segmentId"""

    def members(self):
        """The profiles that the filter takes, with the batches that they are written to."""
        job = self.job
        yield f"CREATE OR REPLACE TEMP TABLE newest AS {self.memberships(f'segmentId IN {texts(job.segments)}')}"
        batches = ", ".join(
            f"bool_or(segment IN {texts(names)} AND status IN {texts(STATUSES)}) AS b{number}"
            for number, names in enumerate(job.batches())
        )
        any_batch = " OR ".join(f"b{number}" for number in range(len(job.batches())))
        yield f"""CREATE OR REPLACE TEMP TABLE member AS SELECT * FROM
            (SELECT key, {batches} FROM newest WHERE lower(ns) = 'ups' GROUP BY key) WHERE {any_batch}"""

    def changed(self):
        """The profiles with a record that came in later: no others need be merged."""
        rows = self.rows("fragments", "ups_ingested", f"ups_ingested > TIMESTAMPTZ '{self.job.changed_since}'")
        yield f"""CREATE OR REPLACE TEMP TABLE member AS SELECT DISTINCT key FROM ({rows})"""

    def member_identities(self):
        if not self.keyed:
            # A lone identity's key says which it is.
            yield """CREATE OR REPLACE TEMP TABLE member_identities AS
                SELECT key, ups_namespace, ups_identity FROM graph JOIN member ON key = ups_profile
                UNION ALL SELECT key, substr(split, 1, n), substr(split, n + 1) FROM (
                    SELECT key, split_part(substr(key, 2), ':', 1)::INT AS n, substr(key, strpos(key, ':') + 1) AS split
                    FROM member WHERE key LIKE '~%')"""

    def profiles(self, only):
        """The records that count, ranked by few columns and found again by their places, merged leaf by leaf."""
        place = "file_index, file_row_number"
        columns = f"ups_namespace, ups_identity, ups_dataset, {NEWEST} AS t, ups_ingested, {place}"
        yield f"""CREATE OR REPLACE TEMP TABLE ranked AS
            SELECT key, ups_namespace AS n, ups_identity AS u, ups_ingested, {place}, row_number() OVER (PARTITION BY key
                ORDER BY t DESC, ups_ingested DESC, ups_dataset DESC, ups_namespace DESC, ups_identity DESC)::INT AS rn
            FROM (FROM ({self.rows('fragments', columns, only=only)}) QUALIFY row_number() OVER (
                PARTITION BY ups_namespace, ups_identity, ups_dataset ORDER BY t DESC, ups_ingested DESC) = 1)"""
        leaves = "".join(f", {quoted(path)} AS {column(path)}" for path, _ in self.job.leaves)
        merged = "".join(f", arg_min({column(path)}, rn) AS {column(path)}" for path, _ in self.job.leaves)
        since = self.job.changed_since
        # A late record of an older state does not count, and does not make its profile a changed one.
        having = f"HAVING max(ranked_ingested) > TIMESTAMPTZ '{since}'" if since else ""
        yield f"""CREATE OR REPLACE TEMP VIEW profile AS
            SELECT key, {{'n': arg_min(n, rn), 'u': arg_min(u, rn)}} AS newest{merged} FROM (
                SELECT key, n, u, rn, ranked.ups_ingested AS ranked_ingested{leaves}
                FROM {self.table('fragments')} JOIN ranked USING ({place})) GROUP BY key {having}"""

    def identities(self, only):
        """The identities of each profile of the graph: by namespace, lists sorted by id."""
        source = self.table("identities") if self.keyed else "graph"
        chosen = f"SEMI JOIN {only} ON key = ups_profile" if only else ""
        yield f"""CREATE OR REPLACE TEMP VIEW known AS
            SELECT key, list({{'ns': ns, 'ids': ids}} ORDER BY ns) AS known FROM (
                SELECT ups_profile AS key, ups_namespace AS ns, list(ups_identity ORDER BY ups_identity) AS ids
                FROM {source} {chosen} GROUP BY ALL) GROUP BY key"""

    def membership_maps(self, only):
        yield f"""CREATE OR REPLACE TEMP VIEW membership AS
            SELECT key, map_from_entries(list({{'k': ns, 'v': entries}})) AS "segmentMembership" FROM (
                SELECT key, ns, map_from_entries(list({{'k': segment,
                    'v': {{'status': status, 'lastQualificationTime': qualified}}}})) AS entries
                FROM ({self.memberships(only=only)}) GROUP BY key, ns) GROUP BY key"""

    def events(self, only):
        start, end = self.job.window
        leaves = ["ups_namespace", "ups_identity", "ups_dataset", "ups_ingested", *(c.name for c in self.job.event_fields)]
        build = nested(self.job.event_fields, quoted, packed)
        event = packed(build, ())
        yield f"""CREATE OR REPLACE TEMP VIEW event AS
            SELECT key, list({event} ORDER BY "timestamp", _id NULLS FIRST, ups_ingested) AS "timeSeriesEvents" FROM (
                FROM ({self.rows('events', ', '.join(leaves), f"ups_ingested < TIMESTAMPTZ '{end}'", only)})
                QUALIFY _id IS NULL OR row_number() OVER (PARTITION BY key, _id
                    ORDER BY ups_ingested, ups_dataset, ups_namespace, ups_identity) = 1)
            WHERE ups_ingested > TIMESTAMPTZ '{start}' GROUP BY key"""

    def output(self):
        """The columns that are written, and the views that they come from."""
        known = "coalesce(known, [{'ns': newest.n, 'ids': [newest.u]}])"
        primary = "newest.n = e.ns AND newest.u = i"
        columns = {
            "identityMap": f"""map_from_entries(list_transform({known}, lambda e: {{'k': e.ns,
                'v': list_transform(e.ids, lambda i: {{'id': i, 'primary': {primary}}})}}))""",
            "identities": f"""flatten(list_transform({known}, lambda e: list_transform(e.ids,
                lambda i: {{'id': i, 'namespace': {{'code': e.ns}}, 'primary': {primary}}})))""",
            "segmentMembership": '"segmentMembership"',
            "timeSeriesEvents": '"timeSeriesEvents"',
        }
        chosen = [f'{columns[name]} AS "{name}"' for name in self.job.system]
        chosen += [f'{value} AS "{name}"' for name, value in nested(self.job.fields, column, packed)]
        joins = "LEFT JOIN known USING (key)"
        if "segmentMembership" in self.job.system:
            joins += " LEFT JOIN membership USING (key)"
        if "timeSeriesEvents" in self.job.system:
            joins += " LEFT JOIN event USING (key)"
        return ", ".join(chosen), joins

    def statements(self):
        job = self.job
        yield from self.graph()
        only = "member" if job.segments or job.changed_since else ""
        if job.segments:
            yield from self.members()
        elif job.changed_since:
            yield from self.changed()
        if only:
            yield from self.member_identities()
        yield from self.profiles(only)
        yield from self.identities(only)
        if "segmentMembership" in job.system:
            yield from self.membership_maps(only)
        if job.window:
            yield from self.events(only)
        columns, joins = self.output()
        part = f"part-{self.bucket or 0}.parquet"
        if not job.per_batch:
            yield f"COPY (SELECT {columns} FROM profile {joins}) TO '{job.folder(0) / part}' {COPY}"
            return
        # Each profile is merged once and written as often as it is asked for.
        yield f"CREATE OR REPLACE TEMP TABLE merged AS SELECT key, {columns} FROM profile {joins}"
        for number in range(len(job.batches())):
            yield f"""COPY (SELECT merged.* EXCLUDE key FROM merged JOIN member USING (key) WHERE b{number})
                TO '{job.folder(number) / part}' {COPY}"""


def packed(children, _path):
    return "{" + ", ".join(f"'{name}': {value}" for name, value in children) + "}"


def main():
    given = arguments()
    job = export(given.store, given.query, given.out)
    options = {"threads": 2, "memory_limit": f"{given.memory_mib}MB", "preserve_insertion_order": False}
    connection = duckdb.connect(config=options)
    connection.execute("SET TimeZone = 'UTC'")
    # Rows of a profile share a bucket: bucket by bucket, no join has to hold more than one.
    for bucket in range(job.buckets) if job.layout == "bucketed" else [None]:
        for statement in Plan(job, bucket).statements():
            connection.execute(statement)


if __name__ == "__main__":
    main()
