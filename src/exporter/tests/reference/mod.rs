//! The meaning of an export, sentence by sentence of the specification (§§2–5), in plain code over rows of JSON: slow,
//! without any of the engine's types, and written to be read. The exporter is compared with it.

pub mod evaluate;
pub mod events;
pub mod fragments;
pub mod memberships;
pub mod model;
pub mod profile;
pub mod project;
pub mod select;
pub mod stitch;
pub mod table;

use std::collections::BTreeSet;

use exportjob_plan::ExportPlan;
use serde_json::{Map, Value};

use self::{
    model::{Data, Type, union_fields},
    profile::Profile,
    project::{Mask, prune, tidy, tidy_rows, unknown},
    stitch::Graph,
    table::View,
};

/// A profile of the audience.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// All output columns, nulls included.
    pub row: Value,
    /// For each batch of the plan, whether it takes the profile.
    pub batches: Vec<bool>,
    /// Namespaces of its identities.
    pub namespaces: BTreeSet<String>,
}

/// The audience of a plan, in no particular order; or the first field path that the store does not have.
pub fn export(plan: &ExportPlan, data: &Data) -> Result<Vec<Exported>, String> {
    let fragments = View::new(&plan.store.fragments, &data.fragments);
    let events = View::new(&plan.store.events, &data.events);
    let identities = View::new(&plan.store.identities, &data.identities);
    let memberships = View::new(&plan.store.memberships, &data.memberships);
    let graph = Graph::new(plan.merge_policy.identity_graph, &identities);
    let profiles = profile::profiles(plan, &graph, [&fragments, &events, &memberships]);

    let columns = Columns::new(plan, &fragments, &events, &memberships);
    columns.check()?;
    let seen = evaluate::Columns::new(&fragments, &events);
    let profiles: Vec<Profile> = profiles
        .into_iter()
        .map(|profile| evaluate::evaluated(plan, &seen, profile))
        .collect();
    let exported = profiles.iter().filter_map(|profile| {
        let batches = select::batches(plan, profile);
        batches.contains(&true).then(|| Exported {
            row: columns.write(plan, profile),
            batches,
            namespaces: profile
                .identities
                .iter()
                .map(|(namespace, _)| namespace.clone())
                .collect(),
        })
    });
    Ok(exported.collect())
}

/// All columns that could be written, as fields of one struct.
pub fn output(plan: &ExportPlan, data: &Data) -> Type {
    let fragments = View::new(&plan.store.fragments, &data.fragments);
    let events = View::new(&plan.store.events, &data.events);
    let memberships = View::new(&plan.store.memberships, &data.memberships);
    Columns::new(plan, &fragments, &events, &memberships).all
}

/// All that expressions can ask for.
pub fn seen(plan: &ExportPlan, data: &Data) -> evaluate::Columns {
    let fragments = View::new(&plan.store.fragments, &data.fragments);
    evaluate::Columns::new(&fragments, &View::new(&plan.store.events, &data.events))
}

/// The output columns.
pub struct Columns {
    /// All that could be written.
    pub all: Type,
    /// What is written.
    pub mask: Mask,
    attributes: Vec<(String, Type)>,
    unknown_of_events: Option<String>,
}

impl Columns {
    pub fn new(plan: &ExportPlan, fragments: &View, events: &View, memberships: &View) -> Self {
        let attributes = fragments.attributes();
        let mut all = vec![
            (
                "identityMap".to_owned(),
                Type::map(Type::list(Type::of(&[("id", Type::Text), ("primary", Type::Bool)]))),
            ),
            (
                "identities".to_owned(),
                Type::list(Type::of(&[
                    ("id", Type::Text),
                    ("namespace", Type::of(&[("code", Type::Text)])),
                    ("primary", Type::Bool),
                ])),
            ),
            (
                "segmentMembership".to_owned(),
                Type::map(Type::map(membership_type(memberships))),
            ),
        ];
        let mut mask = Mask::new(&plan.fields);
        let mut unknown_of_events = None;
        if let Some(list) = &plan.events {
            // A store without events has their own columns all the same.
            let own = [("_id".to_owned(), Type::Text), ("timestamp".to_owned(), Type::Time)];
            let event = Type::Struct(union_fields(&own, &events.attributes()));
            // "`eventList.fields` likewise for event fields" (§5): what it leaves out is not there for `fields`, either.
            let listed = Mask::new(&list.fields);
            unknown_of_events = unknown(&event, &listed);
            all.push(("timeSeriesEvents".to_owned(), Type::list(listed.of(&event))));
            // "With `additionalFields.eventList` also `timeSeriesEvents`" (§5): whether or not `fields` names them.
            if let Mask::Some(fields) = &mut mask {
                fields.entry("timeSeriesEvents".to_owned()).or_insert(Mask::All);
            }
        }
        all.extend(attributes.iter().cloned());
        Self {
            all: Type::Struct(all),
            mask,
            attributes,
            unknown_of_events,
        }
    }

    /// "A path that the store does not have fails the job before any data is read, names the path" (§5).
    pub fn check(&self) -> Result<(), String> {
        let unknown = self
            .unknown_of_events
            .clone()
            .or_else(|| unknown(&self.all, &self.mask));
        unknown.map_or(Ok(()), Err)
    }

    /// "One row per profile" (§5).
    fn write(&self, plan: &ExportPlan, profile: &Profile) -> Value {
        let mut row = fragments::merge(&profile.fragments, &plan.merge_policy, &self.attributes);
        row.insert("identityMap".to_owned(), profile.identity_map());
        row.insert("identities".to_owned(), profile.identity_list());
        row.insert("segmentMembership".to_owned(), profile.segment_membership());
        if let Some(list) = &plan.events {
            row.insert("timeSeriesEvents".to_owned(), profile.time_series(list));
        }
        let row = prune(&Value::Object(row), &self.all, &self.mask);
        let Type::Struct(kinds) = &self.all else { return row };
        let tidied: Map<String, Value> = kinds
            .iter()
            .filter_map(|(name, kind)| {
                let value = row.get(name)?.clone();
                let is_rows = ["timeSeriesEvents", "segmentMembership"].contains(&name.as_str());
                Some((
                    name.clone(),
                    if is_rows {
                        tidy_rows(value, kind)
                    } else {
                        tidy(value, kind)
                    },
                ))
            })
            .collect();
        Value::Object(tidied)
    }
}

/// "`{status, lastQualificationTime}`, plus `validUntil`, `version`, `payload` where the store has them" (§5).
fn membership_type(memberships: &View) -> Type {
    let mut fields = vec![
        ("status".to_owned(), Type::Text),
        ("lastQualificationTime".to_owned(), Type::Time),
    ];
    for name in ["validUntil", "version", "payload"] {
        fields.extend(memberships.column(name).map(|kind| (name.to_owned(), kind.clone())));
    }
    Type::Struct(fields)
}
