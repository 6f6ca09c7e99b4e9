"""The manifests of the benchmark: the store, the dataset, and the five exports."""

import json
from pathlib import Path

from .rows import SEGMENTS

# Some 4 % of the year: about a tenth of the profiles have a record that came in later.
CHANGED_SINCE = "2025-12-18T00:00:00Z"
WINDOW = ("2025-06-01T00:00:00Z", "2025-09-01T00:00:00Z")
FIELDS = "identityMap,person.name,personalEmail.address"
EVENT_FIELDS = "_id,timestamp,eventType,commerce.order.priceTotal,productListItems"
DATASET = "exports"
TWO = list(SEGMENTS)[:2]


def segments(names):
    return [{"segmentId": name} for name in names]


QUERIES = {
    "q1": {"fields": FIELDS, "filter": {"segments": segments(TWO)}},
    "q2": {},
    "q3": {
        "fields": FIELDS,
        "filter": {"segments": segments(TWO)},
        "additionalFields": {
            "eventList": {
                "fields": EVENT_FIELDS,
                "filter": {"fromIngestTimestamp": WINDOW[0], "toIngestTimestamp": WINDOW[1]},
            }
        },
    },
    "q4": {
        "fields": FIELDS,
        "filter": {"segments": segments(SEGMENTS)},
        "destination": {"segmentPerBatch": True},
    },
    "q5": {"filter": {"fromIngestTimestamp": CHANGED_SINCE}},
}


def export_job(name):
    spec = dict(QUERIES[name])
    spec["destination"] = {"datasetId": DATASET} | spec.get("destination", {})
    spec["schema"] = {"name": "_xdm.context.profile"}
    return resource("ExportJob", name, spec)


def resource(kind, name, spec):
    return {"apiVersion": "exportjob.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def store(layout, buckets):
    def table(name):
        entry = {"location": f"file:///store/{name}", "format": "parquet"}
        if layout == "bucketed":
            entry["bucketing"] = {"column": "ups_profile", "count": buckets, "sorted": True}
        return [entry]

    spec = {
        "volume": {"persistentVolumeClaim": {"claimName": "profiles"}},
        "tables": {name: table(name) for name in ("fragments", "events", "identities", "memberships")},
        "mergePolicies": [
            {"id": "newest", "version": 1, "default": True, "identityGraph": {"type": "pdg"},
             "attributeMerge": {"type": "timestampOrdered"}},
            {"id": "crm-first", "version": 1, "identityGraph": {"type": "pdg"},
             "attributeMerge": {"type": "dataSetPrecedence", "order": ["crm", "web", "app"]}},
        ],
    }  # fmt: skip
    return resource("ProfileStore", "ups", spec)


def dataset():
    volume = {"persistentVolumeClaim": {"claimName": "datasets"}}
    return resource("Dataset", DATASET, {"location": f"file:///datasets/{DATASET}", "format": "delta", "volume": volume})


def write(out, layout, buckets):
    """Writes store.yaml and a manifest for each export. JSON is YAML, too."""
    documents = {"store": [store(layout, buckets), dataset()]} | {name: [export_job(name)] for name in QUERIES}
    for name, resources in documents.items():
        text = "---\n".join(json.dumps(document, indent=2) + "\n" for document in resources)
        (Path(out) / f"{name}.yaml").write_text(text)
