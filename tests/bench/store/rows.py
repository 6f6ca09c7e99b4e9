"""The rows of the store, one chunk of profiles at a time. They follow from the seed, the chunk and nothing else."""

import zlib
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import attributes
from .columns import chosen, decimal, hexadecimal, masked, mix, offsets, structure, times

CHUNK = 50_000
DAY = 86_400_000_000
YEAR_START = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
YEAR = 365 * DAY

NAMESPACES = ["email", "crm", "cookie"]
DATASETS = ["crm", "web", "app", "pos"]
DOMAINS = ["mail.example", "post.example", "inbox.example", "work.example"]
# Each segment with the share of profiles that have a membership in it.
SEGMENTS = {
    "52c26d0d-45f2-47a2-ab30-ed06abc981ff": 0.058,
    "9f1d6c1c-3c19-4d0c-9a34-6a1f5f3c1c02": 0.064,
    "0b7a4f0e-77a2-4c57-8f0f-54a7a6f8a1d3": 0.12,
    "c4f0e6b2-1f6b-4b8a-b0c9-0a2f6f4f9be4": 0.20,
    "e7d9f3a5-58c4-4f5e-8b39-4d4a2f0b7c95": 0.34,
}
STATUSES = ["realized", "existing", "exited"]


def generator(seed, chunk, table):
    return np.random.default_rng([seed, chunk, table])


def profiles(seed, chunk, count):
    """The profiles of a chunk and their identities: `identity` and `namespace` are flat, `first[i] + j` is the j-th of i."""
    rng = generator(seed, chunk, 0)
    number = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, count), dtype=np.int64)
    size = len(number)
    identities = rng.choice(np.arange(1, 7), size=size, p=[0.62, 0.22, 0.09, 0.04, 0.02, 0.01])
    first = np.concatenate([[0], np.cumsum(identities)])
    owner = np.repeat(np.arange(size), identities)
    nth = np.arange(first[-1]) - first[owner]
    # A profile has one e-mail address and one customer number at most, and any number of cookies.
    kinds = np.where(nth < 3, (rng.choice(3, size=size, p=[0.45, 0.3, 0.25])[owner] + nth) % 3, 2)
    names = rng.integers(0, len(attributes.FIRST_NAMES), size), rng.integers(0, len(attributes.LAST_NAMES), size)
    text = pc.choose(
        pa.array(kinds),
        addresses(number[owner], names[0][owner], names[1][owner]),
        decimal(number[owner] * 2_654_435_761 % 10**10, 10, b"C"),
        hexadecimal(np.column_stack([mix(number[owner] * 8 + nth), mix(mix(number[owner] * 8 + nth) ^ np.uint64(seed))])),
    )
    key = mix(number.astype(np.uint64) ^ np.uint64(seed << 32 | 0x5EED))
    lone = (identities == 1) & (rng.random(size) < 0.2)
    namespace = chosen(NAMESPACES, kinds)
    return SimpleNamespace(
        number=number, size=size, identities=identities, first=first, owner=owner, names=names, lone=lone,
        namespace=namespace, identity=text, key=keys(key, lone, namespace.take(pa.array(first[:-1])), text.take(pa.array(first[:-1]))),
    )  # fmt: skip


def addresses(number, first, last):
    parts = [chosen([name.lower() for name in attributes.FIRST_NAMES], first), pa.scalar("."),
             chosen([name.lower() for name in attributes.LAST_NAMES], last), pa.scalar("."),
             pa.array(number).cast(pa.string()), pa.scalar("@"), chosen(DOMAINS, number % len(DOMAINS))]  # fmt: skip
    return pc.binary_join_element_wise(*parts, "")


def keys(key, lone, namespace, identity):
    """Profiles of the graph have a key of hex digits; a lone identity is a profile by itself and its own key."""
    length = pc.binary_length(namespace).cast(pa.string())
    alone = pc.binary_join_element_wise("~", length, ":", namespace, identity, "")
    return pc.if_else(pa.array(lone), alone, hexadecimal(key))


def buckets(key, count):
    """A stable hash of each key, modulo the number of buckets."""
    return np.fromiter((zlib.crc32(text.encode()) % count for text in key.to_pylist()), dtype=np.int64, count=len(key))


def owned(people, owner, nth):
    """The columns that say whose rows these are."""
    flat = pa.array(people.first[owner] + nth)
    return {"ups_namespace": people.namespace.take(flat), "ups_identity": people.identity.take(flat)}


def some_identity(rng, people, owner):
    """One of the profile's identities for each row, most often the first."""
    return np.floor(rng.random(len(owner)) ** 1.5 * people.identities[owner]).astype(np.int64)


def arrivals(rng, count):
    return YEAR_START + rng.integers(0, YEAR, count)


def fragments(seed, chunk, people):
    rng = generator(seed, chunk, 1)
    count = rng.poisson(2.8, people.size)
    count[people.number % 5_000 == 77] = 60
    owner = np.repeat(np.arange(people.size), count)
    rows = len(owner)
    dataset = rng.choice(4, size=rows, p=[0.4, 0.3, 0.2, 0.1])
    ingested = arrivals(rng, rows)
    lag = (rng.exponential(3 * DAY, rows)).astype(np.int64)
    columns = owned(people, owner, some_identity(rng, people, owner))
    columns["ups_dataset"] = chosen(DATASETS, dataset)
    columns["ups_timestamp"] = times(ingested - lag, rng.random(rows) < 0.85)
    columns["ups_ingested"] = times(ingested)
    columns |= attributes.columns(rng, dataset, ingested, tuple(name[owner] for name in people.names))
    return owner, ingested, columns


def events(seed, chunk, people):
    rng = generator(seed, chunk, 2)
    count = np.minimum(rng.lognormal(1.62, 1.2, people.size), 1_500).astype(np.int64)
    count[rng.random(people.size) < 0.12] = 0
    # Few have thousands: an office's shared tablet, a crawler.
    heavy = people.number % 20_000 == 123
    count[heavy] = rng.integers(2_000, 6_000, np.count_nonzero(heavy))
    owner = np.repeat(np.arange(people.size), count)
    identifier = mix(mix((people.number[owner] << 16) + np.arange(len(owner)) % 65_536) ^ np.uint64(seed))
    ingested = arrivals(rng, len(owner))
    at = ingested - (rng.exponential(DAY / 4, len(owner))).astype(np.int64)
    # What is delivered twice comes later, perhaps by another identity or source, and not always with the same content.
    again = np.flatnonzero(rng.random(len(owner)) < 0.02)
    owner, identifier = np.concatenate([owner, owner[again]]), np.concatenate([identifier, identifier[again]])
    late = np.minimum(ingested[again] + rng.integers(1, 20 * DAY, len(again)), YEAR_START + YEAR - 1)
    ingested, at = np.concatenate([ingested, late]), np.concatenate([at, at[again]])
    rows = len(owner)
    columns = owned(people, owner, some_identity(rng, people, owner))
    columns["ups_dataset"] = chosen(DATASETS, rng.choice(4, size=rows, p=[0.02, 0.6, 0.3, 0.08]))
    columns["ups_ingested"] = times(ingested)
    columns["_id"] = hexadecimal(identifier, rng.random(rows) > 0.004)
    columns["timestamp"] = times(at)
    columns |= attributes.event_columns(rng, rows)
    return owner, ingested, columns


def identities(seed, chunk, people):
    rng = generator(seed, chunk, 3)
    owner = people.owner[~people.lone[people.owner]]
    nth = np.arange(people.first[-1])[~people.lone[people.owner]] - people.first[owner]
    columns = owned(people, owner, nth)
    columns["ups_profile"] = people.key.take(pa.array(owner))
    return owner, arrivals(rng, len(owner)), columns


def memberships(seed, chunk, people):
    rng = generator(seed, chunk, 4)
    shares = np.array(list(SEGMENTS.values()))
    owner, segment = np.nonzero(rng.random((people.size, len(shares))) < shares)
    # A member by several identities: a second row, which may say otherwise, and at times at the very same time.
    second = np.flatnonzero((people.identities[owner] > 1) & (rng.random(len(owner)) < 0.4))
    nth = np.concatenate([np.zeros(len(owner), dtype=np.int64), rng.integers(1, people.identities[owner[second]])])
    at = arrivals(rng, len(owner))
    tied = rng.random(len(second)) < 0.1
    at = np.concatenate([at, np.where(tied, at[second], arrivals(rng, len(second)))])
    owner, segment = np.concatenate([owner, owner[second]]), np.concatenate([segment, segment[second]])
    rows = len(owner)
    status = rng.choice(3, size=rows, p=[0.52, 0.3, 0.18])
    columns = owned(people, owner, nth)
    columns["segmentNs"] = chosen(["ups"], np.zeros(rows))
    columns["segmentId"] = chosen(list(SEGMENTS), segment)
    columns["status"] = chosen(STATUSES, status, (status != 0) | (rng.random(rows) > 0.1))
    columns["lastQualificationTime"] = times(at)
    return owner, at, columns


TABLES = {"fragments": fragments, "events": events, "identities": identities, "memberships": memberships}
__all__ = ["CHUNK", "SEGMENTS", "TABLES", "buckets", "masked", "offsets", "profiles", "structure"]
