//! §3 and §5: profiles, and what is written of them.

use std::collections::{BTreeMap, BTreeSet};

use exportjob_plan::{EventPlan, ExportPlan};
use serde_json::{Map, Value, json};

use super::{
    events::{self, Event},
    fragments::{self, Fragment},
    memberships::{self, Membership},
    stitch::{Graph, Identity, ProfileKey},
    table::View,
};

/// One profile, with everything of it that exists under the plan's policy.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub identities: BTreeSet<Identity>,
    /// The rows that count, newest first.
    pub fragments: Vec<Fragment>,
    /// One row per event.
    pub events: Vec<Event>,
    /// The winning row of each segment.
    pub memberships: BTreeMap<(String, String), Membership>,
}

/// What belongs to one profile, as it lies in the tables.
#[derive(Default)]
struct Parts {
    identities: BTreeSet<Identity>,
    fragments: Vec<Fragment>,
    events: Vec<Event>,
    memberships: Vec<Membership>,
}

/// All profiles of a store. `views` are the fragments, the events and the memberships.
pub fn profiles(plan: &ExportPlan, graph: &Graph, views: [&View; 3]) -> Vec<Profile> {
    let policy = &plan.merge_policy;
    let mut parts: BTreeMap<ProfileKey, Parts> = BTreeMap::new();
    let mut part = |identity: &Identity, add: &mut dyn FnMut(&mut Parts)| {
        let part = parts.entry(graph.profile(identity)).or_default();
        part.identities.insert(identity.clone());
        add(part);
    };
    for identity in graph.listed() {
        part(identity, &mut |_| {});
    }
    for row in views[0]
        .rows
        .iter()
        .filter_map(Fragment::new)
        .filter(|row| row.exists(policy))
    {
        part(&row.identity, &mut |part| part.fragments.push(row.clone()));
    }
    for row in views[1]
        .rows
        .iter()
        .filter_map(Event::new)
        .filter(|row| row.exists(policy))
    {
        part(&row.identity, &mut |part| part.events.push(row.clone()));
    }
    for row in views[2]
        .rows
        .iter()
        .filter_map(|row| Membership::new(row, plan.started_at))
    {
        part(&row.identity, &mut |part| part.memberships.push(row.clone()));
    }
    parts
        .into_values()
        .map(|part| Profile {
            identities: part.identities,
            fragments: fragments::that_count(part.fragments, &plan.store.upsert_datasets),
            events: events::distinct(part.events),
            memberships: memberships::winners(&part.memberships),
        })
        .collect()
}

impl Profile {
    /// "Exactly one identity is primary: that of the newest fragment; without fragments that of the newest event […];
    /// else the first in order" (§5).
    fn primary(&self) -> Option<&Identity> {
        let event = self.events.iter().min_by_key(|event| event.newest_first());
        self.fragments
            .first()
            .map(|fragment| &fragment.identity)
            .or(event.map(|event| &event.identity))
            .or(self.identities.first())
    }

    /// "`identityMap` (map: namespace → list of `{id, primary}`, lists sorted by id)" (§5).
    pub fn identity_map(&self) -> Value {
        let mut map: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for identity in &self.identities {
            let entry = json!({"id": identity.1, "primary": Some(identity) == self.primary()});
            map.entry(&identity.0).or_default().push(entry);
        }
        json!(map)
    }

    /// "`identities` (list of `{id, namespace: {code}, primary}`, sorted by code, id)" (§5).
    pub fn identity_list(&self) -> Value {
        let entry = |identity: &Identity| {
            let primary = Some(identity) == self.primary();
            json!({"id": identity.1, "namespace": {"code": identity.0}, "primary": primary})
        };
        self.identities.iter().map(entry).collect()
    }

    /// "`segmentMembership` (map: ns → map: id → `{status, lastQualificationTime}`, …)" (§5); the namespace is "written
    /// as the winning row spells it" (§3).
    pub fn segment_membership(&self) -> Value {
        let mut map = Map::new();
        for row in self.memberships.values() {
            let mut entry = Map::new();
            for name in ["lastQualificationTime", "validUntil", "version", "payload"] {
                entry.insert(name.to_owned(), row.values.get(name).cloned().unwrap_or(Value::Null));
            }
            let status = row
                .status
                .as_ref()
                .map_or_else(String::as_str, |status| status.as_str());
            entry.insert("status".to_owned(), json!(status));
            let namespace = map.entry(row.namespace.clone()).or_insert_with(|| json!({}));
            namespace[&row.segment] = Value::Object(entry);
        }
        Value::Object(map)
    }

    /// `timeSeriesEvents`, whole.
    pub fn time_series(&self, plan: &EventPlan) -> Value {
        let written = self
            .events
            .iter()
            .filter(|event| event.is_written(plan))
            .cloned()
            .collect();
        events::in_order(written)
            .into_iter()
            .map(|event| event.values)
            .collect()
    }
}
