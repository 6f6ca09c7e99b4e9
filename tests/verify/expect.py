"""From facts to the rows that an ExportJob must have written."""

import datetime as dt

from facts import DAY, HOUR

SEGMENT_NAMESPACE = "ups"


def time(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


class Profile:
    """A profile as one merge policy sees it: of a whole customer, or of one of its identities (graph `none`)."""

    def __init__(self, customer, policy, namespaces):
        self.customer = customer
        self.policy = policy
        self.namespaces = namespaces
        self.crm = customer.in_crm and "cdnow" in namespaces
        self.web = customer.in_web and "sample" in namespaces
        self.events = [event for event in customer.events if event.namespace in namespaces and self._takes_part(event)]

    def _takes_part(self, event):
        return self.policy != "crm-first" or event.dataset == "web"

    @property
    def is_empty(self):
        return not self.crm and not self.web

    def identity(self, namespace):
        name = self.customer.master if namespace == "cdnow" else self.customer.sample
        return name + self.customer.suffix

    @property
    def primary(self):
        if self.crm and self.web:
            return "sample" if self.customer.number % 2 == 0 else "cdnow"
        if self.crm or self.web:
            return "cdnow" if self.crm else "sample"
        if self.events:
            newest = max(self.events, key=lambda e: (e.time, e.ingested, e.dataset, e.namespace, self.identity(e.namespace)))
            return newest.namespace
        return min(self.namespaces)

    @property
    def ingested(self):
        if self.web:
            return self.customer.last + 3 * DAY
        if self.crm:
            return self.customer.last + DAY + 3 * HOUR
        return max((event.ingested for event in self.events), default=None)

    def membership(self, segment):
        found = [m for m in self.customer.memberships.get(segment, []) if m.namespace in self.namespaces]
        return max(found, key=lambda m: m.qualified, default=None)

    def segments(self):
        spelling = "UPS" if self.customer.number % 8 == 0 else "ups"
        found = {}
        for segment in self.customer.memberships:
            membership = self.membership(segment)
            if membership:
                found[segment] = {"status": membership.status, "lastQualificationTime": membership.qualified}
        return {spelling: found} if found else {}

    def email(self):
        web_wins = self.web and (not self.crm or (self.policy != "crm-first" and self.customer.number % 2 == 0))
        if web_wins:
            return f"visitor{self.customer.sample}@web.example"
        return f"customer{self.customer.master}@crm.example" if self.crm else None

    def tier(self):
        number, spent = self.customer.number, self.customer.spent
        trial = self.web and number % 3 == 0
        if trial and (not self.crm or (self.policy != "crm-first" and number % 4 == 0)):
            return "trial"
        if not self.crm:
            return None
        return "gold" if spent >= 20_000 else "silver" if spent >= 5_000 else "bronze"

    def row(self, event_filter):
        identities = [
            {"id": self.identity(n), "namespace": {"code": n}, "primary": n == self.primary} for n in sorted(self.namespaces)
        ]
        row = {
            "identities": identities,
            "identityMap": {i["namespace"]["code"]: [{"id": i["id"], "primary": i["primary"]}] for i in identities},
            "segmentMembership": self.segments(),
            "personalEmail": {"address": self.email()},
            "loyalty": {"tier": self.tier(), "points": self.customer.spent // 100 if self.crm else None},
            "note": None,
            "web": {"device": self._device()},
        }
        if event_filter:
            row["timeSeriesEvents"] = [self._event_row(e) for e in sorted(self.events, key=lambda e: (e.time, e.id)) if event_filter(e)]
        return row

    def _device(self):
        return ["phone", "tablet", "desktop", "television", "kiosk"][self.customer.number % 5] if self.web else None

    def _event_row(self, event):
        return {
            "_id": event.id + self.customer.suffix,
            "timestamp": event.time,
            "eventType": "commerce.purchases",
            "commerce": {"order": {"priceTotal": event.cents / 100, "currencyCode": "USD"}},
            "productListItems": [{"SKU": "CD", "quantity": event.quantity}],
        }


def profiles(customers, policy):
    groups = [("cdnow",), ("sample",)] if policy == "timestampOrdered-none-mp" else [("cdnow", "sample")]
    return [Profile(customer, policy, group) for customer in customers for group in groups]


def selected(profile, spec, segments):
    """Whether the job exports the profile, for these of its segments."""
    wanted = spec.get("filter") or {}
    since = time(wanted.get("fromIngestTimestamp"))
    if profile.is_empty and not wanted.get("emptyProfiles"):
        return False
    if since and not (profile.ingested and profile.ingested > since):
        return False
    return not segments or any(is_member(profile, segment, wanted.get("segmentQualificationTime") or {}) for segment in segments)


def is_member(profile, segment, window):
    if segment.get("segmentNs", SEGMENT_NAMESPACE).lower() != SEGMENT_NAMESPACE:
        return False
    membership = profile.membership(segment["segmentId"])
    if not membership or membership.status not in segment.get("status", ["realized", "existing"]):
        return False
    start, end = time(window.get("startTime")), time(window.get("endTime"))
    return not (start and membership.qualified < start) and not (end and membership.qualified >= end)


def event_filter(spec):
    """Which events the job exports; None when it exports none at all."""
    events = (spec.get("additionalFields") or {}).get("eventList")
    if events is None:
        return None
    own = events.get("filter") or {}
    since = time(own.get("fromIngestTimestamp") or (spec.get("filter") or {}).get("fromIngestTimestamp"))
    until = time(own.get("toIngestTimestamp"))
    return lambda event: not (since and event.ingested <= since) and not (until and event.ingested >= until)


# Keys of these are data, not field names.
MAPS = {("identityMap",): 1, ("segmentMembership",): 2}


def paths(text):
    found = [path.strip().removesuffix(".*").split(".") for path in (text or "").split(",")]
    return [path for path in found if path != [""]]


def prune(value, wanted, levels=0):
    """The parts of a value that lie on one of the paths; levels of map keys are passed through."""
    if any(not path for path in wanted):
        return value
    if isinstance(value, list):
        return [prune(item, wanted, levels) for item in value]
    if not isinstance(value, dict):
        return value
    if levels:
        return {key: prune(item, wanted, levels - 1) for key, item in value.items()}
    kept = {}
    for key, item in value.items():
        below = [path[1:] for path in wanted if path[0] == key]
        if below:
            kept[key] = prune(item, below, MAPS.get((key,), 0))
    return kept


def row_of(profile, spec):
    chosen = event_filter(spec)
    row = profile.row(chosen)
    events = row.pop("timeSeriesEvents", None)
    fields = paths(spec.get("fields"))
    row = prune(row, fields) if fields else row
    if chosen:
        fields = paths(spec["additionalFields"]["eventList"].get("fields"))
        row["timeSeriesEvents"] = [prune(event, fields) if fields else event for event in events]
    return row


def batches(customers, spec, policy):
    """The expected rows and the profiles behind them, one pair for each batch in order."""
    segments = (spec.get("filter") or {}).get("segments") or []
    groups = [[segment] for segment in segments] if spec["destination"].get("segmentPerBatch") else [segments]
    found = profiles(customers, policy)
    for group in groups:
        chosen = [profile for profile in found if selected(profile, spec, group)]
        yield [row_of(profile, spec) for profile in chosen], chosen
