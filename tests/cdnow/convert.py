"""Turns the CDNOW purchases into a profile store.

A line of the raw file is: the customer's id in the master set, id in the sample, date, number of CDs, dollars. Attributes
that the file does not have are derived from it by fixed rules, which `tests/verify` knows, too. README.md lists them.
"""

import argparse
import dataclasses
import datetime as dt
import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UTC = dt.timezone.utc
TIME = pa.timestamp("us", tz="UTC")
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MID_1997 = dt.datetime(1997, 7, 1, tzinfo=UTC)
NEW_YEAR = dt.datetime(1998, 1, 1, tzinfo=UTC)
ROW_GROUP = 16_384

IDENTITY = [("ups_namespace", pa.string()), ("ups_identity", pa.string())]
TABLES = {
    "fragments/crm": pa.schema(
        IDENTITY
        + [
            ("ups_dataset", pa.string()),
            ("ups_timestamp", TIME),
            ("ups_ingested", TIME),
            ("personalEmail", pa.struct([("address", pa.string())])),
            ("loyalty", pa.struct([("tier", pa.string()), ("points", pa.int64())])),
            ("note", pa.string()),
        ]
    ),
    "fragments/web": pa.schema(
        [
            ("sample_id", pa.string()),
            ("email", pa.string()),
            ("tier", pa.string()),
            ("device", pa.string()),
            ("updated_at", TIME),
            ("loaded_at", TIME),
        ]
    ),
    "events": pa.schema(
        IDENTITY
        + [
            ("ups_dataset", pa.string()),
            ("ups_ingested", TIME),
            ("_id", pa.string()),
            ("timestamp", TIME),
            ("eventType", pa.string()),
            ("commerce", pa.struct([("order", pa.struct([("priceTotal", pa.float64()), ("currencyCode", pa.string())]))])),
            ("productListItems", pa.list_(pa.struct([("SKU", pa.string()), ("quantity", pa.int64())]))),
        ]
    ),
    "identities": pa.schema(IDENTITY + [("ups_profile", pa.string())]),
    "memberships": pa.schema(
        IDENTITY
        + [
            ("segmentNs", pa.string()),
            ("segmentId", pa.string()),
            ("status", pa.string()),
            ("lastQualificationTime", TIME),
            ("validUntil", TIME),
        ]
    ),
}
# Columns that tell customers apart, and so differ between copies of a customer.
NAMES = {"ups_identity", "ups_profile", "sample_id", "_id"}


@dataclasses.dataclass
class Purchase:
    date: dt.datetime
    quantity: int
    dollars: str

    @property
    def cents(self):
        whole, _, fraction = self.dollars.partition(".")
        return int(whole) * 100 + int(fraction.ljust(2, "0"))


@dataclasses.dataclass
class Customer:
    master: str
    sample: str
    purchases: list

    @property
    def number(self):
        return int(self.sample)

    @property
    def first(self):
        return self.purchases[0].date

    @property
    def last(self):
        return self.purchases[-1].date

    @property
    def in_crm(self):
        return self.number % 10 != 5 and self.number % 50 != 7

    @property
    def in_web(self):
        return self.number % 10 != 0 and self.number % 50 != 7


def read(path):
    customers = {}
    for line in path.read_text().splitlines():
        master, sample, date, quantity, dollars = line.split()
        customer = customers.setdefault(sample, Customer(master, sample, []))
        day = dt.datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        customer.purchases.append(Purchase(day, int(quantity), dollars))
    for customer in customers.values():
        customer.purchases.sort(key=lambda purchase: purchase.date)
    return list(customers.values())


def crm_records(customer):
    if not customer.in_crm:
        return
    spent = sum(purchase.cents for purchase in customer.purchases)
    address = {"address": f"customer{customer.master}@crm.example"}
    base = {"ups_namespace": "cdnow", "ups_identity": customer.master, "ups_dataset": "crm", "personalEmail": address}
    if customer.first < customer.last:
        yield base | {
            "ups_timestamp": customer.first + 8 * HOUR,
            "ups_ingested": customer.first + DAY + 3 * HOUR,
            "loyalty": {"tier": "bronze", "points": 0},
            "note": "signed up",
        }
    tier = "gold" if spent >= 20_000 else "silver" if spent >= 5_000 else "bronze"
    yield base | {
        "ups_timestamp": customer.last + 8 * HOUR,
        "ups_ingested": customer.last + DAY + 3 * HOUR,
        "loyalty": {"tier": tier, "points": spent // 100},
        "note": None,
    }


def web_records(customer):
    if not customer.in_web:
        return
    number = customer.number
    seen = customer.last + DAY if number % 2 == 0 else customer.first - DAY
    yield {
        "sample_id": customer.sample,
        "email": f"visitor{customer.sample}@web.example",
        "updated_at": seen + 12 * HOUR,
        "loaded_at": customer.last + 2 * DAY,
    }
    yield {
        "sample_id": customer.sample,
        "tier": "trial" if number % 3 == 0 else None,
        "device": ["phone", "tablet", "desktop", "television", "kiosk"][number % 5],
        "updated_at": None if number % 4 == 0 else customer.last + 6 * HOUR,
        "loaded_at": customer.last + 3 * DAY,
    }


def events(customer):
    for index, purchase in enumerate(customer.purchases):
        namespace, identity = ("cdnow", customer.master) if index % 2 else ("sample", customer.sample)
        event = {
            "ups_namespace": namespace,
            "ups_identity": identity,
            "ups_dataset": "web" if index % 3 else "crm",
            "ups_ingested": purchase.date + DAY + 2 * HOUR,
            "_id": f"{customer.sample}-{index:03}",
            "timestamp": purchase.date,
            "eventType": "commerce.purchases",
            "commerce": {"order": {"priceTotal": purchase.cents / 100, "currencyCode": "USD"}},
            "productListItems": [{"SKU": "CD", "quantity": purchase.quantity}],
        }
        yield event
        if index % 5 == 0:
            # Delivered once more, later and wrong: the first one counts.
            wrong = {"order": {"priceTotal": 0.0, "currencyCode": "EUR"}}
            yield event | {"ups_ingested": purchase.date + 2 * DAY, "commerce": wrong}


def identities(customer):
    profile = f"customer-{customer.sample}"
    yield {"ups_namespace": "cdnow", "ups_identity": customer.master, "ups_profile": profile}
    yield {"ups_namespace": "sample", "ups_identity": customer.sample, "ups_profile": profile}


def membership(customer, namespace, segment, status, qualified, **more):
    identity = customer.master if namespace == "cdnow" else customer.sample
    return {
        "ups_namespace": namespace,
        "ups_identity": identity,
        "segmentNs": "UPS" if customer.number % 8 == 0 else "ups",
        "segmentId": segment,
        "status": status,
        "lastQualificationTime": qualified,
    } | more


def memberships(customer):
    yield from bought_twice(customer)
    yield from active_1998(customer)
    yield from spent_100(customer)


def bought_twice(customer):
    early = [purchase.date for purchase in customer.purchases if purchase.date < MID_1997]
    if len(early) < 2:
        return
    second, segment = early[1], "bought-twice-by-mid-1997"
    fresh = second >= dt.datetime(1997, 6, 1, tzinfo=UTC)
    # No status means realized.
    yield membership(customer, "cdnow", segment, None if fresh else "existing", second)
    if customer.number % 6 == 0:
        yield membership(customer, "sample", segment, "exited", second - DAY)
    if customer.number % 7 == 0:
        yield membership(customer, "sample", segment, "exited", second + 10 * DAY)


def active_1998(customer):
    segment = "active-in-1998"
    if customer.last >= NEW_YEAR:
        yield membership(customer, "sample", segment, "realized", customer.last)
    elif customer.last >= MID_1997:
        yield membership(customer, "cdnow", segment, "exited", NEW_YEAR)
    if customer.number % 9 == 0:
        # Newer than anything above, but no longer valid.
        valid = {"validUntil": dt.datetime(1998, 12, 31, tzinfo=UTC)}
        yield membership(customer, "cdnow", segment, "realized", dt.datetime(1998, 7, 1, tzinfo=UTC), **valid)


def spent_100(customer):
    spent = 0
    for purchase in customer.purchases:
        spent += purchase.cents
        if spent >= 10_000:
            yield membership(customer, "cdnow", "spent-100-dollars", "existing", purchase.date)
            return


ROWS = {
    "fragments/crm": crm_records,
    "fragments/web": web_records,
    "events": events,
    "identities": identities,
    "memberships": memberships,
}


def renamed(table, suffix):
    """The table with `suffix` after every name."""
    for index, field in enumerate(table.schema):
        if field.name in NAMES:
            table = table.set_column(index, field, pc.binary_join_element_wise(table.column(index), suffix, ""))
    return table


def write(folder, table, copies):
    folder.mkdir(parents=True)
    # Two files, so that nobody relies on there being one.
    middle = table.num_rows // 2
    for part, piece in enumerate([table.slice(0, middle), table.slice(middle)]):
        with pq.ParquetWriter(folder / f"part-{part}.parquet", table.schema, compression="zstd") as writer:
            for copy in range(copies):
                writer.write_table(renamed(piece, f"-{copy}") if copy else piece, row_group_size=ROW_GROUP)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="CDNOW_sample.txt")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write the store to")
    parser.add_argument("--copies", type=int, default=1, help="how often each customer is written")
    arguments = parser.parse_args()
    customers = read(arguments.raw)
    for name, schema in TABLES.items():
        rows = [row for customer in customers for row in ROWS[name](customer)]
        write(arguments.out / name, pa.Table.from_pylist(rows, schema=schema), arguments.copies)
        print(f"{name}: {len(rows) * arguments.copies} rows")


if __name__ == "__main__":
    main()
