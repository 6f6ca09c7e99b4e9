//! §4: "membership is computed now, from each `SegmentDefinition`'s PQL over the merged profile and its events".
//!
//! Expressions are evaluated over JSON, each again for each profile and each `inSegment`.

use std::cell::RefCell;

use exportjob_api::{MembershipStates, SegmentStatus};
use exportjob_plan::{DefinitionPlan, EvaluationPlan, ExportPlan};
use exportjob_pql::{Clock, Field, JsonNode, Program, Row, Schema, Type as Pql, check};
use jiff::{SignedDuration, Timestamp, civil};
use serde_json::{Map, Value, json};

use super::{
    events, fragments,
    memberships::{Membership, key},
    model::{Type, union_fields},
    profile::Profile,
    project::tidy,
    table::View,
};

/// Columns of profiles and of events, as expressions see them.
pub struct Columns {
    pub attributes: Vec<(String, Type)>,
    pub events: Vec<(String, Type)>,
}

impl Columns {
    pub fn new(fragments: &View, events: &View) -> Self {
        let own = [("_id".to_owned(), Type::Text), ("timestamp".to_owned(), Type::Time)];
        Self {
            attributes: fragments.attributes(),
            events: union_fields(&own, &events.attributes()),
        }
    }

    fn schema(&self) -> Schema {
        let mut attributes = self.attributes.clone();
        attributes.extend(computed());
        Schema::new(fields(&attributes), fields(&self.events))
    }
}

fn computed() -> [(String, Type); 3] {
    let identity = [("id", Type::Text), ("primary", Type::Bool)];
    let namespace = Type::of(&[("code", Type::Text)]);
    let listed = [("id", Type::Text), ("namespace", namespace), ("primary", Type::Bool)];
    let membership = [("status", Type::Text), ("lastQualificationTime", Type::Time)];
    [
        ("identityMap".to_owned(), Type::map(Type::list(Type::of(&identity)))),
        ("identities".to_owned(), Type::list(Type::of(&listed))),
        (
            "segmentMembership".to_owned(),
            Type::map(Type::map(Type::of(&membership))),
        ),
    ]
}

/// The profile with its memberships in the listed segments written anew.
pub fn evaluated(plan: &ExportPlan, columns: &Columns, mut profile: Profile) -> Profile {
    let Some(evaluation) = &plan.evaluation else {
        return profile;
    };
    let matching = Matching::new(plan, evaluation, columns, &profile);
    let (mut realized, mut existing, mut exited) = (Vec::new(), Vec::new(), Vec::new());
    for definition in evaluation.definitions.iter().filter(|definition| definition.listed) {
        let stored = profile.memberships.get(&key(&definition.namespace, &definition.id));
        match (matching.matches(definition), stored.is_some_and(is_member)) {
            // "Match and was a member → existing; match and was not → realized, qualified now; no match and was a member →
            // exited, now" (§4)
            (true, true) => existing.push(definition),
            (true, false) => realized.push(definition),
            (false, true) => exited.push(definition),
            // "No match and no membership: no entry; already exited: unchanged" (§4)
            (false, false) => {}
        }
    }
    let memberships = &mut profile.memberships;
    for definition in existing {
        // "`existing` keeps the stored `lastQualificationTime`. With `membershipStates: two` […] a continuing member stays
        // `realized` with its stored time" (§4)
        let stored = memberships
            .get_mut(&key(&definition.namespace, &definition.id))
            .unwrap();
        stored.status = Ok(match plan.store.membership_states {
            MembershipStates::Three => SegmentStatus::Existing,
            MembershipStates::Two => SegmentStatus::Realized,
        });
    }
    for (definitions, status) in [(realized, SegmentStatus::Realized), (exited, SegmentStatus::Exited)] {
        for definition in definitions {
            let key = key(&definition.namespace, &definition.id);
            let spelt = memberships.get(&key).map(|stored| stored.namespace.clone());
            let new = Membership {
                identity: (String::new(), String::new()),
                namespace: spelt.unwrap_or_else(|| definition.namespace.clone()),
                segment: definition.id.clone(),
                status: Ok(status),
                qualified: Some(evaluation.evaluated_at),
                values: json!({"lastQualificationTime": evaluation.evaluated_at}),
            };
            memberships.insert(key, new);
        }
    }
    profile
}

fn is_member(membership: &Membership) -> bool {
    matches!(membership.status, Ok(SegmentStatus::Realized | SegmentStatus::Existing))
}

/// One profile as JSON, and what to ask of it.
struct Matching<'a> {
    evaluation: &'a EvaluationPlan,
    schema: Schema,
    json: Value,
    events: Value,
    stored: &'a Profile,
    /// Segments under way, lest a circle goes on for ever.
    asked: RefCell<Vec<String>>,
}

impl<'a> Matching<'a> {
    fn new(plan: &ExportPlan, evaluation: &'a EvaluationPlan, columns: &Columns, profile: &'a Profile) -> Self {
        let mut merged = fragments::merge(&profile.fragments, &plan.merge_policy, &columns.attributes);
        merged.insert("identityMap".to_owned(), profile.identity_map());
        merged.insert("identities".to_owned(), profile.identity_list());
        merged.insert("segmentMembership".to_owned(), profile.segment_membership());
        let mut attributes = columns.attributes.clone();
        attributes.extend(computed());
        let event = Type::Struct(columns.events.clone());
        let events = events::in_order(profile.events.clone());
        let events = events
            .into_iter()
            .map(|row| match tidy(row.values, &event) {
                // An event without any value is still one.
                Value::Null => json!({}),
                row => shown(&row, &event),
            })
            .collect();
        Self {
            evaluation,
            schema: columns.schema(),
            json: shown(&Value::Object(merged), &Type::Struct(attributes)),
            events,
            stored: profile,
            asked: RefCell::default(),
        }
    }

    fn matches(&self, definition: &DefinitionPlan) -> bool {
        let name = format!("{}/{}", definition.namespace, definition.id);
        assert!(!self.asked.borrow().contains(&name), "the generator made a circle");
        self.asked.borrow_mut().push(name);
        let (_, expr) = definition.parse().unwrap();
        let typed = check(&expr, &self.schema)
            .and_then(exportjob_pql::Typed::into_segment)
            .unwrap_or_else(|error| panic!("{}", error.render(&definition.expression)));
        let program = Program::new(&typed, Clock::new(self.evaluation.evaluated_at));
        let row = Row {
            profile: JsonNode::new(&self.json),
            events: Some(JsonNode::new(&self.events)),
        };
        let outcome = program.matches(row, &|id: &str| self.is_in(id));
        self.asked.borrow_mut().pop();
        outcome
    }

    /// "`inSegment` of another definition is computed, too, in order of reference; of a segment without definition: as
    /// stored" (§4).
    fn is_in(&self, id: &str) -> bool {
        let mut definitions = self.evaluation.definitions.iter();
        match definitions.find(|other| other.id == id && other.namespace.eq_ignore_ascii_case("ups")) {
            Some(other) => self.matches(other),
            None => self.stored.memberships.get(&key("ups", id)).is_some_and(is_member),
        }
    }
}

fn fields(columns: &[(String, Type)]) -> Vec<Field> {
    columns
        .iter()
        .map(|(name, kind)| Field::new(name.clone(), pql(kind)))
        .collect()
}

fn pql(kind: &Type) -> Pql {
    match kind {
        Type::Bool => Pql::Bool,
        Type::Long => Pql::Int,
        Type::Float => Pql::Double,
        Type::Text => Pql::String,
        Type::Time => Pql::Timestamp,
        Type::Date => Pql::Date,
        Type::Struct(columns) => Pql::structure(fields(columns)),
        Type::List(item) => Pql::list(pql(item)),
        Type::Map(value) => Pql::map(pql(value)),
    }
}

/// A value as JSON has it: times and dates as texts, floats as numbers; those that are no numbers are null.
fn shown(value: &Value, kind: &Type) -> Value {
    match (kind, value) {
        (Type::Time, Value::Number(micros)) => {
            json!(
                Timestamp::from_microsecond(micros.as_i64().unwrap())
                    .unwrap()
                    .to_string()
            )
        }
        (Type::Date, Value::Number(days)) => {
            let epoch = civil::date(1970, 1, 1);
            let day = epoch.checked_add(SignedDuration::from_hours(days.as_i64().unwrap() * 24));
            json!(day.unwrap().to_string())
        }
        (Type::Float, Value::String(text)) => {
            let number: f64 = text.parse().unwrap();
            if number.is_finite() { json!(number) } else { Value::Null }
        }
        (Type::Struct(fields), Value::Object(values)) => {
            let shown = fields
                .iter()
                .filter_map(|(name, kind)| Some((name.clone(), shown(values.get(name)?, kind))));
            Value::Object(shown.collect::<Map<_, _>>())
        }
        (Type::List(item), Value::Array(values)) => values.iter().map(|value| shown(value, item)).collect(),
        (Type::Map(inner), Value::Object(values)) => {
            let shown = values.iter().map(|(key, value)| (key.clone(), shown(value, inner)));
            Value::Object(shown.collect())
        }
        (_, value) => value.clone(),
    }
}
