"""The exports in DataFusion, in SQL."""

import datafusion

from .common import STATUSES, arguments, export, flat, nested

COPY = "STORED AS PARQUET OPTIONS (compression 'zstd(3)')"
LONE = "concat('~', octet_length(r.ups_namespace), ':', r.ups_namespace, r.ups_identity)"
ORDER = "t DESC, ups_ingested DESC, ups_dataset DESC, ups_namespace DESC, ups_identity DESC"
STATUS = "coalesce(status, 'realized')"


def texts(values):
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def reach(path):
    return f'"{path[0]}"' + "".join(f"['{name}']" for name in path[1:])


def column(path):
    """A leaf as a column of its own."""
    return f'"{flat(path)}"'


def packed(children, _path):
    return "named_struct(" + ", ".join(f"'{name}', {value}" for name, value in children) + ")"


class Plan:
    def __init__(self, job):
        self.job = job
        self.only = bool(job.segments or job.changed_since)

    def rows(self, table, columns, where="true", only=False):
        """The rows of a table with the profile that they belong to."""
        if only:
            return f"""SELECT m.key, r.ups_namespace, r.ups_identity, {columns} FROM member_identities m
                JOIN {table} r ON m.ups_namespace = r.ups_namespace AND m.ups_identity = r.ups_identity WHERE {where}"""
        return f"""SELECT coalesce(g.ups_profile, {LONE}) AS key, r.ups_namespace, r.ups_identity, {columns} FROM {table} r
            LEFT JOIN identities g ON r.ups_namespace = g.ups_namespace AND r.ups_identity = g.ups_identity WHERE {where}"""

    def memberships(self, where="true", only=False):
        """The newest membership of each profile in each segment."""
        order = f'qualified DESC, CASE status WHEN \'realized\' THEN 0 WHEN \'existing\' THEN 1 ELSE 2 END'
        columns = f'"segmentNs" AS ns, "segmentId" AS segment, {STATUS} AS status, "lastQualificationTime" AS qualified'
        return f"""SELECT key, first_value(ns ORDER BY {order}) AS ns, segment, first_value(status ORDER BY {order}) AS status,
            max(qualified) AS qualified FROM ({self.rows('memberships', columns, where, only)}) GROUP BY key, lower(ns), segment"""

    def members(self):
        """The profiles that the filter takes, with the batches that they are written to, and their identities."""
        job = self.job
        if job.segments:
            newest = self.memberships(f'"segmentId" IN {texts(job.segments)}')
            flags = ", ".join(
                f"bool_or(segment IN {texts(names)}) AS b{number}" for number, names in enumerate(job.batches())
            )
            yield f"""CREATE TABLE member AS SELECT key, {flags} FROM ({newest})
                WHERE status IN {texts(STATUSES)} AND lower(ns) = 'ups' GROUP BY key"""
        else:
            late = self.rows("fragments", "ups_ingested", f"ups_ingested > '{job.changed_since}'")
            yield f"CREATE TABLE member AS SELECT DISTINCT key FROM ({late})"
        # A lone identity's key says which it is.
        yield """CREATE TABLE member_identities AS
            SELECT key, ups_namespace, ups_identity FROM identities JOIN member ON key = ups_profile
            UNION ALL SELECT key, substr(named, 1, n), substr(named, n + 1) FROM (
                SELECT key, CAST(split_part(substr(key, 2), ':', 1) AS INT) AS n, substr(key, strpos(key, ':') + 1) AS named
                FROM member WHERE key LIKE '~%')"""

    def profiles(self):
        """The records that count, in their order within the profile, merged leaf by leaf."""
        leaves = "".join(f", {reach(path)} AS {column(path)}" for path, _ in self.job.leaves)
        rows = self.rows(
            "fragments", f"ups_dataset, coalesce(ups_timestamp, ups_ingested) AS t, ups_ingested{leaves}", only=self.only
        )
        counting = f"""SELECT * FROM ({rows}) QUALIFY row_number() OVER (
            PARTITION BY ups_namespace, ups_identity, ups_dataset ORDER BY t DESC, ups_ingested DESC) = 1"""
        merged = "".join(
            f", first_value({column(path)} ORDER BY rn) FILTER (WHERE {column(path)} IS NOT NULL) AS {column(path)}"
            for path, _ in self.job.leaves
        )
        having = f"HAVING max(ups_ingested) > '{self.job.changed_since}'" if self.job.changed_since else ""
        yield f"""CREATE TABLE profile AS SELECT key, first_value(ups_namespace ORDER BY rn) AS newest_namespace,
            first_value(ups_identity ORDER BY rn) AS newest_identity{merged}
            FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY {ORDER}) AS rn FROM ({counting})) GROUP BY key {having}"""

    def identities(self):
        """The identities of each profile, one a row: of the graph, or the one that a profile is."""
        yield """CREATE VIEW known AS SELECT key, ups_namespace AS ns, ups_identity AS id,
                ups_namespace = newest_namespace AND ups_identity = newest_identity AS is_primary
            FROM profile JOIN identities ON key = ups_profile
            UNION ALL SELECT key, newest_namespace, newest_identity, true FROM profile WHERE key LIKE '~%'"""

    def sources(self):
        """The columns that every store has, each as a query of (key, column)."""
        identity = "named_struct('id', id, 'namespace', named_struct('code', ns), 'primary', is_primary)"
        found = {
            "identityMap": """SELECT key, map(array_agg(ns), array_agg(ids)) AS "identityMap" FROM (
                SELECT key, ns, array_agg(named_struct('id', id, 'primary', is_primary) ORDER BY id) AS ids
                FROM known GROUP BY key, ns) GROUP BY key""",
            "identities": f"SELECT key, array_agg({identity} ORDER BY ns, id) AS identities FROM known GROUP BY key",
            "segmentMembership": f"""SELECT key, map(array_agg(ns), array_agg(entries)) AS "segmentMembership" FROM (
                SELECT key, ns, map(array_agg(segment), array_agg(
                    named_struct('status', status, 'lastQualificationTime', qualified))) AS entries
                FROM ({self.memberships(only=self.only)}) GROUP BY key, ns) GROUP BY key""",
        }
        if self.job.window:
            found["timeSeriesEvents"] = self.events()
        return {name: found[name] for name in self.job.system}

    def events(self):
        """The events of each profile: what came twice is dropped before the window is looked at."""
        start, end = self.job.window
        fields = "".join(f', "{field.name}"' for field in self.job.event_fields)
        rows = self.rows("events", f"ups_dataset, ups_ingested{fields}", f"ups_ingested < '{end}'", self.only)
        event = packed(nested(self.job.event_fields, reach, packed), ())
        return f"""SELECT key, array_agg({event} ORDER BY timestamp, _id NULLS FIRST, ups_ingested) AS "timeSeriesEvents" FROM (
            SELECT * FROM ({rows}) QUALIFY _id IS NULL OR row_number() OVER (PARTITION BY key, _id
                ORDER BY ups_ingested, ups_dataset, ups_namespace, ups_identity) = 1)
            WHERE ups_ingested > '{start}' GROUP BY key"""

    def statements(self):
        job = self.job
        if self.only:
            yield from self.members()
        yield from self.profiles()
        yield from self.identities()
        sources = self.sources()
        chosen = [f'"{name}"' for name in sources]
        chosen += [f'{value} AS "{name}"' for name, value in nested(job.fields, column, packed)]
        joins = " ".join(f'LEFT JOIN ({query}) AS "of_{name}" ON profile.key = "of_{name}".key' for name, query in sources.items())
        columns = ", ".join(chosen)
        if not job.per_batch:
            yield f"COPY (SELECT {columns} FROM profile {joins}) TO '{job.folder(0)}/' {COPY}"
            return
        # Each profile is merged once and written as often as it is asked for.
        yield f"CREATE TABLE merged AS SELECT profile.key, {columns} FROM profile {joins}"
        names = ", ".join(f'"{name}"' for name in [*sources, *job.fields.names])
        for number in range(len(job.batches())):
            yield f"""COPY (SELECT {names} FROM merged JOIN member ON merged.key = member.key WHERE b{number})
                TO '{job.folder(number)}/' {COPY}"""


def main():
    given = arguments()
    job = export(given.store, given.query, given.out)
    settings = {
        "datafusion.execution.target_partitions": "2",
        "datafusion.execution.parquet.pushdown_filters": "true",
        # Lists of views would each hold on to the buffers of all batches that they came from.
        "datafusion.execution.parquet.schema_force_view_types": "false",
        "datafusion.sql_parser.map_string_types_to_utf8view": "false",
    }
    # Without a pool, as it comes: a pool counts what lists share once for each list, and refuses what would fit.
    context = datafusion.SessionContext(datafusion.SessionConfig(settings))
    for table in ("fragments", "events", "identities", "memberships"):
        context.register_parquet(table, str(given.store / table))
    for statement in Plan(job).statements():
        context.sql(statement).collect()


if __name__ == "__main__":
    main()
