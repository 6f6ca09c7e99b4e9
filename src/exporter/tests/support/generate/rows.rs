//! Random values of the store's own columns.

use std::collections::BTreeMap;

use exportjob_plan::UpsertDatasets;
use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    chance, pick, schema,
    table::{Kind, World},
};
use crate::reference::model::Type;

/// Values of the store's own columns of one row, by column.
pub type Own = BTreeMap<&'static str, Value>;

impl World {
    /// A value of one of the store's own columns.
    pub fn own(&self, rng: &mut StdRng, column: &str, identity: &(String, String)) -> Value {
        let null = |rng: &mut StdRng, percent| chance(rng, percent);
        match column {
            "ups_namespace" if !null(rng, 2) => json!(identity.0),
            "ups_identity" if !null(rng, 2) => json!(identity.1),
            "ups_dataset" if !null(rng, 3) => json!(*pick(rng, &["web", "crm", "pos"])),
            "ups_timestamp" if !null(rng, 30) => json!(schema::time(rng)),
            "ups_ingested" if !null(rng, 5) => json!(schema::time(rng)),
            "_id" if !null(rng, 20) => json!(*pick(rng, &["e1", "e2", "e3", "e4", ""])),
            "timestamp" if !null(rng, 8) => json!(schema::time(rng)),
            "ups_profile" if self.numbered => json!(rng.random_range(-1..12)),
            "ups_profile" => json!(format!("p{}", rng.random_range(0..12))),
            "segmentNs" if !null(rng, 2) => json!(*pick(rng, &["ups", "ups", "UPS", "Ups", "crm"])),
            "segmentId" if !null(rng, 2) => json!(*pick(rng, &["s1", "s2", "S1"])),
            "status" if !null(rng, 15) => json!(*pick(rng, &["realized", "existing", "exited", "paused"])),
            "lastQualificationTime" if !null(rng, 8) => json!(schema::time(rng)),
            "validUntil" if !null(rng, 40) => json!(schema::time(rng)),
            "version" => schema::value(rng, &self.version),
            "payload" => schema::value(rng, &self.payload),
            _ => Value::Null,
        }
    }

    /// What no second row may have, lest the order of the two be the exporter's choice.
    pub fn tie(kind: Kind, own: &Own) -> Vec<Value> {
        let get = |column: &str| own.get(column).cloned().unwrap_or(Value::Null);
        let source = [get("ups_dataset"), get("ups_namespace"), get("ups_identity")];
        let ingested = get("ups_ingested");
        match kind {
            Kind::Fragments => {
                let time = if get("ups_timestamp").is_null() {
                    ingested.clone()
                } else {
                    get("ups_timestamp")
                };
                [vec![time, ingested], source.to_vec()].concat()
            }
            Kind::Events if get("_id").is_null() => vec![get("timestamp"), ingested],
            Kind::Events => [vec![get("_id"), ingested], source.to_vec()].concat(),
            Kind::Identities => vec![get("ups_namespace"), get("ups_identity"), get("ups_profile")],
            Kind::Memberships => {
                let namespace = get("segmentNs").as_str().unwrap_or("ups").to_ascii_lowercase();
                let status = if get("status").is_null() {
                    json!("realized")
                } else {
                    get("status")
                };
                vec![json!(namespace), get("segmentId"), get("lastQualificationTime"), status]
            }
        }
    }
}

/// Types of the memberships' optional columns.
pub fn version_type(rng: &mut StdRng) -> Type {
    pick(rng, &[Type::Long, Type::Text]).clone()
}

pub fn payload_type(rng: &mut StdRng) -> Type {
    let nested = Type::of(&[("score", Type::Float), ("tags", Type::list(Type::Text))]);
    pick(rng, &[Type::Text, nested]).clone()
}

pub fn upsert(rng: &mut StdRng) -> UpsertDatasets {
    match rng.random_range(0..4) {
        0 => UpsertDatasets::All,
        1 => UpsertDatasets::Listed(vec!["web".into(), "nosuch".into()]),
        _ => UpsertDatasets::Listed(Vec::new()),
    }
}
