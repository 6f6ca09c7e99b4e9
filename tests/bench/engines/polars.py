"""The exports in Polars: lazy plans, run by the streaming engine."""

import os
from datetime import datetime

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import polars as pl  # noqa: E402

from .common import RANKS, STATUSES, arguments, export, flat, nested  # noqa: E402

BY = ["ups_namespace", "ups_identity"]
ORDER = ["t", "ups_ingested", "ups_dataset", *BY]
IDENTITY = pl.List(pl.Struct({"id": pl.String, "primary": pl.Boolean}))


def leaf(path):
    value = pl.col(path[0])
    for name in path[1:]:
        value = value.struct.field(name)
    return value


def moment(text):
    return pl.lit(datetime.fromisoformat(text), pl.Datetime("us", "UTC"))


class Plan:
    def __init__(self, job):
        self.job = job
        # A semi-join with these keeps what belongs to the chosen profiles.
        self.chosen = None

    def scan(self, table):
        return pl.scan_parquet(self.job.files(table), hive_partitioning=False)

    def graph(self):
        return self.scan("identities").rename({"ups_profile": "key"})

    def keyed(self, rows):
        """Rows with the profile that they belong to."""
        if self.chosen is not None:
            return rows.join(self.chosen_identities, on=BY, how="inner")
        length = pl.col("ups_namespace").str.len_bytes().cast(pl.String)
        lone = pl.concat_str(pl.lit("~"), length, pl.lit(":"), *BY)
        return rows.join(self.graph(), on=BY, how="left").with_columns(key=pl.coalesce("key", lone))

    def memberships(self, segments=()):
        """The newest membership of each profile in each segment."""
        rows = self.scan("memberships")
        if segments:
            rows = rows.filter(pl.col("segmentId").is_in(segments))
        rank = pl.col("status").replace_strict(RANKS, return_dtype=pl.Int64)
        rows = rows.with_columns(pl.col("status").fill_null("realized")).with_columns(
            folded=pl.col("segmentNs").str.to_lowercase(),
            o=pl.col("lastQualificationTime").dt.epoch("us") * 4 + rank,
        )
        newest = [pl.col(name).max_by("o") for name in ("segmentNs", "status", "lastQualificationTime")]
        return self.keyed(rows).group_by("key", "folded", "segmentId").agg(newest)

    def choose(self):
        """The profiles that the filter takes, with their identities: a lone identity is its own."""
        job = self.job
        if job.segments:
            newest = self.memberships(job.segments).filter(pl.col("folded") == "ups", pl.col("status").is_in(STATUSES))
            flags = [
                pl.col("segmentId").is_in(names).any().alias(f"b{number}") for number, names in enumerate(job.batches())
            ]
            chosen = newest.group_by("key").agg(flags)
        elif job.changed_since:
            late = self.scan("fragments").filter(pl.col("ups_ingested") > moment(job.changed_since))
            chosen = self.keyed(late.select(*BY)).select("key").unique()
        else:
            return
        chosen = chosen.collect(engine="streaming")
        lone = chosen.lazy().filter(pl.col("key").str.starts_with("~"))
        length = pl.col("key").str.extract(r"^~(\d+):").cast(pl.Int64)
        start = length.cast(pl.String).str.len_bytes().cast(pl.Int64) + 2
        lone = lone.select(
            ups_namespace=pl.col("key").str.slice(start, length), ups_identity=pl.col("key").str.slice(start + length), key="key"
        )
        known = self.graph().join(chosen.lazy(), on="key", how="semi").select(*BY, "key")
        self.chosen_identities = pl.concat([known, lone]).collect(engine="streaming").lazy()
        self.chosen = chosen.lazy()

    def profiles(self):
        """The records that count, newest last, merged leaf by leaf."""
        leaves = [leaf(path).alias(flat(path)) for path, _ in self.job.leaves]
        rows = self.keyed(
            self.scan("fragments").select(
                *BY, "ups_dataset", "ups_ingested", *leaves, t=pl.coalesce("ups_timestamp", "ups_ingested")
            )
        )
        # Sorted by profile first, groups are runs of rows, and their last is their newest.
        rows = rows.sort("key", *ORDER).filter(pl.struct(*BY, "ups_dataset").is_last_distinct())
        merged = [pl.col(flat(path)).last(ignore_nulls=True) for path, _ in self.job.leaves]
        newest = [pl.col(name).last() for name in BY]
        profiles = rows.group_by("key", maintain_order=True).agg(*newest, pl.col("ups_ingested").max(), *merged)
        if self.job.changed_since:
            # A late record of an older state does not count, and does not make its profile a changed one.
            profiles = profiles.filter(pl.col("ups_ingested") > moment(self.job.changed_since))
        return profiles

    def identities(self, profiles):
        """The identities of each profile as a list and as a map, sorted by namespace and id."""
        newest = profiles.select("key", newest_namespace="ups_namespace", newest_identity="ups_identity")
        lone = newest.filter(pl.col("key").str.starts_with("~"))
        lone = lone.with_columns(ups_namespace="newest_namespace", ups_identity="newest_identity")
        rows = pl.concat([self.graph().join(newest, on="key"), lone], how="diagonal")
        primary = (pl.col("ups_namespace") == pl.col("newest_namespace")) & (
            pl.col("ups_identity") == pl.col("newest_identity")
        )
        rows = rows.select("key", *BY, primary=primary).sort("key", *BY)
        code = pl.struct(code="ups_namespace")
        lists = rows.group_by("key", maintain_order=True).agg(
            identities=pl.struct(id="ups_identity", namespace=code, primary="primary")
        )
        maps = (
            rows.group_by("key", "ups_namespace", maintain_order=True)
            .agg(value=pl.struct(id="ups_identity", primary="primary"))
            .group_by("key", maintain_order=True)
            .agg(pl.struct(key="ups_namespace", value="value").alias("identityMap"))
            .with_columns(pl.col("identityMap").cast(pl.Map(pl.String, IDENTITY)))
        )
        return [table for name, table in (("identities", lists), ("identityMap", maps)) if name in self.job.system]

    def membership_maps(self):
        state = pl.Struct({"status": pl.String, "lastQualificationTime": pl.Datetime("us", "UTC")})
        entry = pl.struct(key="segmentId", value=pl.struct("status", "lastQualificationTime"))
        return (
            self.memberships()
            .group_by("key", "segmentNs")
            .agg(value=entry)
            .with_columns(pl.col("value").cast(pl.Map(pl.String, state)))
            .group_by("key")
            .agg(pl.struct(key="segmentNs", value="value").alias("segmentMembership"))
            .with_columns(pl.col("segmentMembership").cast(pl.Map(pl.String, pl.Map(pl.String, state))))
        )

    def events(self):
        """The events of each profile: what came twice is dropped before the window is looked at."""
        start, end = map(moment, self.job.window)
        fields = [value.alias(name) for name, value in nested(self.job.event_fields, leaf, packed)]
        source = self.scan("events").filter(pl.col("ups_ingested") < end)
        rows = self.keyed(source.select(*BY, "ups_dataset", "ups_ingested", *fields))
        rows = rows.sort("ups_ingested", "ups_dataset", *BY)
        first = pl.col("_id").is_null() | pl.struct("key", "_id").is_first_distinct()
        rows = rows.filter(first).filter(pl.col("ups_ingested") > start)
        return (
            rows.sort("timestamp", "_id", "ups_ingested", nulls_last=False)
            .group_by("key", maintain_order=True)
            .agg(pl.struct(self.job.event_fields.names).alias("timeSeriesEvents"))
        )

    def output(self):
        job = self.job
        profiles = self.profiles()
        tables = self.identities(profiles)
        if "segmentMembership" in job.system:
            tables.append(self.membership_maps())
        if job.window:
            tables.append(self.events())
        for table in tables:
            profiles = profiles.join(table, on="key", how="left")
        fields = [value.alias(name) for name, value in nested(job.fields, lambda path: pl.col(flat(path)), packed)]
        return profiles.select("key", *job.system, *fields)

    def run(self):
        job = self.job
        self.choose()
        merged = self.output()
        if not job.per_batch:
            write(merged.drop("key"), job.folder(0))
            return
        # Each profile is merged once and written as often as it is asked for.
        merged = merged.join(self.chosen, on="key", how="inner").collect(engine="streaming").lazy()
        flags = [f"b{number}" for number in range(len(job.batches()))]
        for number, flag in enumerate(flags):
            write(merged.filter(flag).drop("key", *flags), job.folder(number))


def packed(children, _path):
    return pl.struct([value.alias(name) for name, value in children])


def write(rows, folder):
    rows.sink_parquet(folder / "part-0.parquet", compression="zstd", engine="streaming")


def main():
    given = arguments()
    Plan(export(given.store, given.query, given.out)).run()


if __name__ == "__main__":
    main()
