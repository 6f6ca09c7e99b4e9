//! Random jobs.

use exportjob_api::SegmentStatus;
use exportjob_plan::{
    AttributeRule, EventPlan, ExportPlan, FieldSelection, IdentityGraphKind, SegmentSelection, Selection,
};
use rand::{Rng as _, rngs::StdRng};

use super::{chance, expression, pick, rows, schema};
use crate::{
    reference::{
        self,
        model::{Data, Type},
    },
    support::plan::{batch_per_segment, fields},
};

/// Everything of a plan but its tables.
pub fn random(rng: &mut StdRng, plan: &mut ExportPlan, data: &Data) {
    plan.store.upsert_datasets = rows::upsert(rng);
    policy(rng, plan);
    plan.selection = selection(rng);
    if !plan.selection.segments.is_empty() && chance(rng, 40) {
        plan.batches = batch_per_segment(&plan.selection);
    }
    if chance(rng, 60) {
        let time = |rng: &mut StdRng| chance(rng, 25).then(|| schema::time(rng));
        let ingested_after = time(rng).or(plan.selection.ingested_after);
        plan.events = Some(EventPlan {
            fields: FieldSelection::All,
            ingested_after,
            ingested_before: time(rng),
        });
        let events = reference::output(plan, data);
        let Some(Type::List(element)) = events.field("timeSeriesEvents") else {
            panic!("events are asked for")
        };
        let chosen = selected(rng, element);
        plan.events = plan.events.take().map(|list| EventPlan { fields: chosen, ..list });
    }
    plan.fields = selected(rng, &reference::output(plan, data));
    if !plan.selection.segments.is_empty() && chance(rng, 60) {
        expression::evaluate(rng, plan, &reference::seen(plan, data));
    }
}

fn policy(rng: &mut StdRng, plan: &mut ExportPlan) {
    let policy = &mut plan.merge_policy;
    if chance(rng, 30) {
        policy.identity_graph = IdentityGraphKind::None;
    }
    if chance(rng, 45) {
        let orders: [&[&str]; 4] = [
            &["crm", "web"],
            &["web"],
            &["nosuch", "pos", "crm"],
            &["web", "crm", "pos", "web"],
        ];
        let order = pick(rng, &orders).iter().map(|name| (*name).to_owned()).collect();
        policy.attributes = AttributeRule::DataSetPrecedence(order);
        policy.event_datasets = chance(rng, 50).then(|| vec!["web".to_owned()]);
    }
}

fn selection(rng: &mut StdRng) -> Selection {
    let mut segments: Vec<SegmentSelection> = Vec::new();
    for _ in 0..*pick(rng, &[0, 0, 1, 2, 3]) {
        let segment = SegmentSelection {
            namespace: (*pick(rng, &["ups", "UPS", "CRM"])).to_owned(),
            id: (*pick(rng, &["s1", "s2", "S1", "nosuch"])).to_owned(),
            statuses: statuses(rng),
        };
        let listed = |other: &SegmentSelection| {
            other.namespace.eq_ignore_ascii_case(&segment.namespace) && other.id == segment.id
        };
        if !segments.iter().any(listed) {
            segments.push(segment);
        }
    }
    let mut time = |percent: u32| chance(rng, percent).then(|| schema::time(rng));
    let bounded = if segments.is_empty() { 0 } else { 25 };
    Selection {
        segments,
        qualified_from: time(bounded),
        qualified_to: time(bounded),
        ingested_after: time(25),
        empty_profiles: chance(rng, 50),
    }
}

fn statuses(rng: &mut StdRng) -> Vec<SegmentStatus> {
    let all = [SegmentStatus::Realized, SegmentStatus::Existing, SegmentStatus::Exited];
    let chosen: Vec<_> = all.into_iter().filter(|_| chance(rng, 60)).collect();
    if chosen.is_empty() {
        vec![SegmentStatus::Realized, SegmentStatus::Existing]
    } else {
        chosen
    }
}

/// All fields of a type, or some.
fn selected(rng: &mut StdRng, kind: &Type) -> FieldSelection {
    if chance(rng, 50) {
        return FieldSelection::All;
    }
    let count = rng.random_range(1..=4);
    let paths: Vec<String> = (0..count).map(|_| path(rng, kind)).collect();
    fields(&paths.join(", "))
}

fn path(rng: &mut StdRng, kind: &Type) -> String {
    let Type::Struct(columns) = kind else {
        panic!("a path starts in a struct")
    };
    let (name, kind) = pick(rng, columns);
    let mut below: &Type = kind;
    while let Type::List(inner) | Type::Map(inner) = below {
        below = inner;
    }
    match below {
        Type::Struct(_) if chance(rng, 65) => format!("{name}.{}", path(rng, below)),
        Type::Struct(_) if chance(rng, 30) => format!("{name}.*"),
        _ => name.clone(),
    }
}
