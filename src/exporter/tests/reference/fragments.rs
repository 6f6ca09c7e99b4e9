//! §3: the rows that count, newest first, and their merge.

use std::cmp::Reverse;

use exportjob_plan::{AttributeRule, MergePolicyPlan, UpsertDatasets};
use serde_json::{Map, Value};

use super::{
    model::{Type, text, time},
    stitch::{Identity, identity},
};

/// A profile record.
#[derive(Clone, Debug)]
pub struct Fragment {
    pub identity: Identity,
    pub dataset: Option<String>,
    pub time: Option<i64>,
    pub ingested: Option<i64>,
    pub values: Value,
}

impl Fragment {
    pub fn new(row: &Value) -> Option<Self> {
        let ingested = time(row, "ups_ingested");
        Some(Self {
            identity: identity(row)?,
            dataset: text(row, "ups_dataset"),
            // "Time of a fragment: `ups_timestamp` where the column exists and is not null, else `ups_ingested`" (§3).
            time: time(row, "ups_timestamp").or(ingested),
            ingested,
            values: row.clone(),
        })
    }

    /// "Newest first means: by that time, then `ups_ingested`, then `ups_dataset`, `ups_namespace`, `ups_identity`, all
    /// descending, then the row's values in a fixed order" (§3). Nulls are oldest.
    pub fn newest_first(&self) -> impl Ord + use<> {
        Reverse((
            self.time,
            self.ingested,
            self.dataset.clone(),
            self.identity.clone(),
            self.values.to_string(),
        ))
    }

    /// "A dataset that is not listed takes no part: under this policy its fragments do not exist" (§3).
    pub fn exists(&self, policy: &MergePolicyPlan) -> bool {
        match &policy.attributes {
            AttributeRule::TimestampOrdered => true,
            AttributeRule::DataSetPrecedence(order) => self.rank(order).is_some(),
        }
    }

    fn rank(&self, order: &[String]) -> Option<usize> {
        order.iter().position(|listed| Some(listed) == self.dataset.as_ref())
    }
}

/// "Within a dataset only the newest row of an identity counts; […] A dataset in the store's `upsertDatasets` is patched
/// instead" (§3). The result is newest first.
pub fn that_count(mut rows: Vec<Fragment>, upsert: &UpsertDatasets) -> Vec<Fragment> {
    rows.sort_by_key(Fragment::newest_first);
    let mut counted: Vec<Fragment> = Vec::new();
    for row in rows {
        let patched = match (&row.dataset, upsert) {
            (_, UpsertDatasets::All) => true,
            (Some(dataset), listed) => listed.contains(dataset),
            (None, _) => false,
        };
        let superseded = counted
            .iter()
            .any(|newer| newer.identity == row.identity && newer.dataset == row.dataset);
        if patched || !superseded {
            counted.push(row);
        }
    }
    counted
}

/// The merged attributes. `fragments` are newest first.
pub fn merge(fragments: &[Fragment], policy: &MergePolicyPlan, columns: &[(String, Type)]) -> Map<String, Value> {
    let mut ordered: Vec<&Fragment> = fragments.iter().collect();
    if let AttributeRule::DataSetPrecedence(order) = &policy.attributes {
        // "First listed dataset with a non-null value wins; within a dataset newest first" (§3): the sort is stable.
        ordered.sort_by_key(|fragment| fragment.rank(order));
    }
    let values: Vec<&Value> = ordered.iter().map(|fragment| &fragment.values).collect();
    merge_fields(&values, columns)
}

fn merge_fields(values: &[&Value], fields: &[(String, Type)]) -> Map<String, Value> {
    fields
        .iter()
        .map(|(name, kind)| {
            let below: Vec<&Value> = values
                .iter()
                .map(|value| value.get(name).unwrap_or(&Value::Null))
                .collect();
            (name.clone(), merge_value(&below, kind))
        })
        .collect()
}

/// "For every leaf path, the newest fragment whose value is not null wins. Structs merge field by field; arrays and maps
/// are replaced whole" (§3). A struct without any value is null.
fn merge_value(values: &[&Value], kind: &Type) -> Value {
    if let Type::Struct(fields) = kind {
        let merged = merge_fields(values, fields);
        return if merged.values().all(Value::is_null) {
            Value::Null
        } else {
            Value::Object(merged)
        };
    }
    let winner = values.iter().find(|value| !value.is_null());
    winner.map_or(Value::Null, |value| super::project::whole(value, kind))
}
