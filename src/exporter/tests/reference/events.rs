//! §3 and §5: the events of a profile.

use std::cmp::Reverse;

use exportjob_plan::{EventPlan, MergePolicyPlan};
use serde_json::Value;

use super::{
    model::{text, time},
    stitch::{Identity, identity},
};

/// An experience event.
#[derive(Clone, Debug)]
pub struct Event {
    pub identity: Identity,
    pub dataset: Option<String>,
    pub ingested: Option<i64>,
    pub id: Option<String>,
    pub time: Option<i64>,
    pub values: Value,
}

impl Event {
    pub fn new(row: &Value) -> Option<Self> {
        Some(Self {
            identity: identity(row)?,
            dataset: text(row, "ups_dataset"),
            ingested: time(row, "ups_ingested"),
            id: text(row, "_id"),
            time: time(row, "timestamp"),
            values: row.clone(),
        })
    }

    /// "`eventDatasets` (optional) limits events likewise; absent: all events" (§3).
    pub fn exists(&self, policy: &MergePolicyPlan) -> bool {
        policy
            .event_datasets
            .as_ref()
            .is_none_or(|listed| listed.iter().any(|dataset| Some(dataset) == self.dataset.as_ref()))
    }

    /// "By `timestamp`, then newest first as above" (§5).
    pub fn newest_first(&self) -> impl Ord + use<> {
        Reverse((
            self.time,
            self.ingested,
            self.dataset.clone(),
            self.identity.clone(),
            self.values.to_string(),
        ))
    }

    /// "Ingested strictly after `fromIngestTimestamp` and strictly before `toIngestTimestamp`" (§5).
    pub fn is_written(&self, plan: &EventPlan) -> bool {
        plan.ingested_after
            .is_none_or(|bound| self.ingested.is_some_and(|time| time > bound))
            && plan
                .ingested_before
                .is_none_or(|bound| self.ingested.is_some_and(|time| time < bound))
    }
}

/// "Rows of one profile with the same `_id` are one event: the first ingested (then dataset, namespace, identity,
/// ascending) stays […]; rows with a null `_id` are all kept" (§3).
pub fn distinct(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| {
        (
            event.ingested,
            event.dataset.clone(),
            event.identity.clone(),
            event.values.to_string(),
        )
    });
    let mut kept: Vec<Event> = Vec::new();
    for event in events {
        if event.id.is_none() || !kept.iter().any(|first| first.id == event.id) {
            kept.push(event);
        }
    }
    kept
}

/// "A list sorted by `timestamp`, `_id` (null first), ingest time" (§5).
pub fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| {
        let source = (event.dataset.clone(), event.identity.clone(), event.values.to_string());
        (event.time, event.id.clone(), event.ingested, source)
    });
    events
}
