"""The exports in Spark SQL, local[2]."""

import shutil

from pyspark.sql import SparkSession

from .common import STATUSES, arguments, export, flat, nested

LONE = "concat('~', octet_length(r.ups_namespace), ':', r.ups_namespace, r.ups_identity)"
ORDER = "t DESC, ups_ingested DESC, ups_dataset DESC, ups_namespace DESC, ups_identity DESC"
STATUS = "coalesce(status, 'realized')"


def texts(values):
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def reach(path):
    return ".".join(f"`{name}`" for name in path)


def column(path):
    """A leaf as a column of its own."""
    return f"`{flat(path)}`"


def packed(children, _path):
    return "named_struct(" + ", ".join(f"'{name}', {value}" for name, value in children) + ")"


class Plan:
    def __init__(self, job, spark):
        self.job, self.spark = job, spark
        self.only = bool(job.segments or job.changed_since)

    def view(self, name, query, cached=False):
        rows = self.spark.sql(query)
        (rows.persist() if cached else rows).createOrReplaceTempView(name)

    def rows(self, table, columns, where="true", only=False):
        """The rows of a table with the profile that they belong to."""
        if only:
            return f"""SELECT m.key, r.ups_namespace, r.ups_identity, {columns} FROM {table} r
                JOIN member_identities m ON m.ups_namespace = r.ups_namespace AND m.ups_identity = r.ups_identity WHERE {where}"""
        return f"""SELECT coalesce(g.ups_profile, {LONE}) AS key, r.ups_namespace, r.ups_identity, {columns} FROM {table} r
            LEFT JOIN identities g ON r.ups_namespace = g.ups_namespace AND r.ups_identity = g.ups_identity WHERE {where}"""

    def memberships(self, where="true", only=False):
        """The newest membership of each profile in each segment."""
        order = "struct(qualified, CASE status WHEN 'realized' THEN 2 WHEN 'existing' THEN 1 ELSE 0 END)"
        columns = f"segmentNs AS ns, segmentId AS segment, {STATUS} AS status, lastQualificationTime AS qualified"
        return f"""SELECT key, max_by(ns, {order}) AS ns, segment, max_by(status, {order}) AS status,
            max(qualified) AS qualified FROM ({self.rows('memberships', columns, where, only)}) GROUP BY key, lower(ns), segment"""

    def choose(self):
        """The profiles that the filter takes, with the batches that they are written to, and their identities."""
        job = self.job
        if job.segments:
            newest = self.memberships(f"segmentId IN {texts(job.segments)}")
            flags = ", ".join(
                f"bool_or(segment IN {texts(names)}) AS b{number}" for number, names in enumerate(job.batches())
            )
            self.view("member", f"""SELECT key, {flags} FROM ({newest})
                WHERE status IN {texts(STATUSES)} AND lower(ns) = 'ups' GROUP BY key""", cached=True)  # fmt: skip
        else:
            late = self.rows("fragments", "ups_ingested", f"ups_ingested > TIMESTAMP '{job.changed_since}'")
            self.view("member", f"SELECT DISTINCT key FROM ({late})", cached=True)
        # A lone identity's key says which it is.
        self.view("member_identities", """
            SELECT key, ups_namespace, ups_identity FROM identities JOIN member ON key = ups_profile
            UNION ALL SELECT key, substr(named, 1, n), substr(named, n + 1) FROM (
                SELECT key, CAST(split_part(substr(key, 2), ':', 1) AS INT) AS n, substr(key, instr(key, ':') + 1) AS named
                FROM member WHERE key LIKE '~%')""", cached=True)  # fmt: skip

    def profiles(self):
        """The records that count, in their order within the profile, merged leaf by leaf: one shuffle for all of it."""
        leaves = "".join(f", {reach(path)} AS {column(path)}" for path, _ in self.job.leaves)
        rows = self.rows(
            "fragments", f"ups_dataset, coalesce(ups_timestamp, ups_ingested) AS t, ups_ingested{leaves}", only=self.only
        )
        counting = f"""SELECT * FROM (SELECT *, row_number() OVER (
                PARTITION BY key, ups_namespace, ups_identity, ups_dataset ORDER BY t DESC, ups_ingested DESC) AS nth
            FROM (SELECT * FROM ({rows}) DISTRIBUTE BY key)) WHERE nth = 1"""
        merged = "".join(f", first({column(path)}, true) AS {column(path)}" for path, _ in self.job.leaves)
        since = self.job.changed_since
        having = f"HAVING max(ups_ingested) > TIMESTAMP '{since}'" if since else ""
        self.view("profile", f"""SELECT key, first(ups_namespace) AS newest_namespace,
            first(ups_identity) AS newest_identity{merged}
            FROM (SELECT * FROM ({counting}) SORT BY key, {ORDER}) GROUP BY key {having}""")  # fmt: skip

    def sources(self):
        """The tables that the columns of every store come from, by profile."""
        source = "SELECT key, ups_namespace AS ns, ups_identity AS id FROM member_identities" if self.only else (
            "SELECT ups_profile AS key, ups_namespace AS ns, ups_identity AS id FROM identities")  # fmt: skip
        yield f"""SELECT key, sort_array(collect_list(named_struct('ns', ns, 'ids', ids))) AS known FROM (
            SELECT key, ns, sort_array(collect_list(id)) AS ids FROM (SELECT * FROM ({source}) DISTRIBUTE BY key)
            GROUP BY key, ns) GROUP BY key"""
        if "segmentMembership" in self.job.system:
            state = "named_struct('status', status, 'lastQualificationTime', qualified)"
            yield f"""SELECT key, map_from_entries(collect_list(struct(ns, entries))) AS segmentMembership FROM (
                SELECT key, ns, map_from_entries(collect_list(struct(segment, {state}))) AS entries
                FROM ({self.memberships(only=self.only)}) GROUP BY key, ns) GROUP BY key"""
        if self.job.window:
            yield self.events()

    def events(self):
        """The events of each profile: what came twice is dropped before the window is looked at."""
        start, end = self.job.window
        fields = "".join(f", r.`{field.name}`" for field in self.job.event_fields)
        rows = self.rows("events", f"ups_dataset, ups_ingested{fields}", f"ups_ingested < TIMESTAMP '{end}'", self.only)
        fields = nested(self.job.event_fields, reach, packed)
        # Sorted by these; `_id` and `timestamp` come before what would not compare.
        event = packed([("timestamp", "timestamp"), ("_id", "_id"), ("ups_ingested", "ups_ingested"), ("event", packed(fields, ()))], ())
        return f"""SELECT key, transform(sort_array(collect_list({event})), e -> e.event) AS timeSeriesEvents FROM (
            SELECT *, row_number() OVER (PARTITION BY key, _id
                ORDER BY ups_ingested, ups_dataset, ups_namespace, ups_identity) AS nth
            FROM (SELECT * FROM ({rows}) DISTRIBUTE BY key))
            WHERE (nth = 1 OR _id IS NULL) AND ups_ingested > TIMESTAMP '{start}' GROUP BY key"""

    def output(self):
        known = "coalesce(known, array(named_struct('ns', newest_namespace, 'ids', array(newest_identity))))"
        primary = "e.ns = newest_namespace AND i = newest_identity"
        columns = {
            "identityMap": f"""map_from_entries(transform({known}, e -> struct(e.ns,
                transform(e.ids, i -> named_struct('id', i, 'primary', {primary})))))""",
            "identities": f"""flatten(transform({known}, e -> transform(e.ids,
                i -> named_struct('id', i, 'namespace', named_struct('code', e.ns), 'primary', {primary}))))""",
        }
        chosen = [f"{columns.get(name, name)} AS {name}" for name in self.job.system]
        chosen += [f"{value} AS `{name}`" for name, value in nested(self.job.fields, column, packed)]
        joins = " ".join(f"LEFT JOIN ({query}) USING (key)" for query in self.sources())
        return f"SELECT key, {', '.join(chosen)} FROM profile {joins}"

    def run(self):
        job = self.job
        if self.only:
            self.choose()
        self.profiles()
        if not job.per_batch:
            self.write(f"SELECT * EXCEPT (key) FROM ({self.output()})", 0)
            return
        # Each profile is merged once and written as often as it is asked for.
        self.view("merged", self.output(), cached=True)
        for number in range(len(job.batches())):
            self.write(f"SELECT merged.* EXCEPT (key) FROM merged JOIN member USING (key) WHERE b{number}", number)

    def write(self, query, batch):
        self.spark.sql(query).write.mode("overwrite").parquet(str(self.job.folder(batch)))


def main():
    given = arguments()
    job = export(given.store, given.query, given.out)
    local = given.out / ".spark"
    settings = {
        "spark.driver.memory": f"{given.memory_mib}m",
        "spark.local.dir": str(local),
        "spark.sql.warehouse.dir": str(local / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]").appName("export")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for table in ("fragments", "events", "identities", "memberships"):
        spark.read.parquet(str(given.store / table)).createOrReplaceTempView(table)
    Plan(job, spark).run()
    spark.stop()
    shutil.rmtree(local, ignore_errors=True)


if __name__ == "__main__":
    main()
