"""What the raw file says of each customer, by SQL over its lines and nothing else.

The rules by which attributes, events and memberships follow from the purchases are those of tests/cdnow/README.md, written
down a second time on purpose: neither the store's files nor the exporter are asked.
"""

import dataclasses
import datetime as dt
import sqlite3

UTC = dt.timezone.utc
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)

SCHEMA = """
CREATE TABLE purchase (line INTEGER, master TEXT, sample TEXT, day TEXT, quantity INTEGER, cents INTEGER);
CREATE VIEW ordered AS
  SELECT *, CAST(sample AS INTEGER) AS number,
    row_number() OVER (PARTITION BY sample ORDER BY day, line) AS nth,
    sum(cents) OVER (PARTITION BY sample ORDER BY day, line ROWS UNBOUNDED PRECEDING) AS spent_so_far
  FROM purchase;
CREATE VIEW customer AS
  SELECT master, sample, number, min(day) AS first, max(day) AS last, sum(cents) AS spent,
    number % 10 <> 5 AND number % 50 <> 7 AS in_crm,
    number % 10 <> 0 AND number % 50 <> 7 AS in_web
  FROM ordered GROUP BY sample;
-- The newest membership of each customer in each segment, over both identities.
CREATE VIEW mid_1997 AS
  SELECT sample, number, day AS second, date(day, '+10 days') AS left,
    CASE WHEN day >= '1997-06-01' THEN 'realized' ELSE 'existing' END AS status
  FROM ordered WHERE nth = 2 AND day <= '1997-06-30';
CREATE VIEW in_1998 AS
  SELECT sample, number, last FROM customer WHERE last >= '1997-07-01';
CREATE VIEW spent_100 AS
  SELECT sample, number, min(day) AS day FROM ordered WHERE spent_so_far >= 10000 GROUP BY sample;
"""


@dataclasses.dataclass
class Membership:
    status: str
    qualified: dt.datetime
    # Namespace of the identity that it is stored with.
    namespace: str


@dataclasses.dataclass
class Event:
    id: str
    namespace: str
    dataset: str
    time: dt.datetime
    ingested: dt.datetime
    cents: int
    quantity: int


@dataclasses.dataclass
class Customer:
    master: str
    sample: str
    number: int
    first: dt.datetime
    last: dt.datetime
    spent: int
    in_crm: bool
    in_web: bool
    events: list
    # Segment id -> memberships.
    memberships: dict
    # What tells a copy of the customer from the others: it stands after every name.
    suffix: str = ""


def day(text):
    return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def load(path):
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    base.executescript(SCHEMA)
    with open(path, encoding="ascii") as lines:
        for number, line in enumerate(lines):
            master, sample, date, quantity, dollars = line.split()
            iso = f"{date[:4]}-{date[4:6]}-{date[6:]}"
            cents = round(float(dollars) * 100)
            base.execute("INSERT INTO purchase VALUES (?, ?, ?, ?, ?, ?)", (number, master, sample, iso, int(quantity), cents))
    return base


def customers(base):
    found = {}
    for row in base.execute("SELECT * FROM customer"):
        found[row["sample"]] = Customer(
            row["master"], row["sample"], row["number"], day(row["first"]), day(row["last"]), row["spent"],
            bool(row["in_crm"]), bool(row["in_web"]), [], {},
        )
    add_events(base, found)
    add_memberships(base, found)
    return list(found.values())


def copied(everyone, copies):
    """Every customer as often as the store has it."""
    for copy in range(copies):
        for customer in everyone:
            yield dataclasses.replace(customer, suffix=f"-{copy}" if copy else "")


def add_events(base, found):
    for row in base.execute("SELECT * FROM ordered ORDER BY sample, nth"):
        index, time = row["nth"] - 1, day(row["day"])
        found[row["sample"]].events.append(
            Event(
                id=f"{row['sample']}-{index:03}",
                namespace="cdnow" if index % 2 == 1 else "sample",
                dataset="crm" if index % 3 == 0 else "web",
                time=time,
                ingested=time + DAY + 2 * HOUR,
                cents=row["cents"],
                quantity=row["quantity"],
            )
        )


def add_memberships(base, found):
    def add(row, segment, status, qualified, namespace):
        found[row["sample"]].memberships.setdefault(segment, []).append(Membership(status, day(qualified), namespace))

    for row in base.execute("SELECT *, date(second, '-1 day') AS before FROM mid_1997"):
        add(row, "bought-twice-by-mid-1997", row["status"], row["second"], "cdnow")
        if row["number"] % 7 == 0:
            add(row, "bought-twice-by-mid-1997", "exited", row["left"], "sample")
        elif row["number"] % 6 == 0:
            add(row, "bought-twice-by-mid-1997", "exited", row["before"], "sample")
    for row in base.execute("SELECT * FROM in_1998"):
        if row["last"] >= "1998-01-01":
            add(row, "active-in-1998", "realized", row["last"], "sample")
        else:
            add(row, "active-in-1998", "exited", "1998-01-01", "cdnow")
    for row in base.execute("SELECT * FROM spent_100"):
        add(row, "spent-100-dollars", "existing", row["day"], "cdnow")
