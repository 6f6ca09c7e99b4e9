//! The exporter's answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use datafusion::arrow::datatypes::SchemaRef;
use exportjob_api::TableFormat;
use exportjob_exporter::{Credentials, Error, Limits, Profiles, Progress, Rebucket, Session, Shard, open, open_shard};
use exportjob_plan::{BucketingPlan, ExportPlan, TablePlan};
use futures::TryStreamExt as _;
use serde_json::Value;

use super::{plan::url, table::Table};
use crate::reference::{
    Exported,
    model::{Data, TableData},
};

/// A store, not yet on disk.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub fragments: Vec<(TablePlan, Table)>,
    pub events: Vec<(TablePlan, Table)>,
    pub identities: Vec<(TablePlan, Table)>,
    pub memberships: Vec<(TablePlan, Table)>,
}

impl Store {
    /// As the reference reads it.
    pub fn data(&self) -> Data {
        let data = |tables: &[(TablePlan, Table)]| -> Vec<TableData> { tables.iter().map(|(_, t)| t.data()).collect() };
        Data {
            fragments: data(&self.fragments),
            events: data(&self.events),
            identities: data(&self.identities),
            memberships: data(&self.memberships),
        }
    }

    /// Writes all tables below `folder` and makes them those of `plan`.
    pub fn write(&self, folder: &Path, plan: &mut ExportPlan) {
        let write = |kind: &str, tables: &[(TablePlan, Table)]| -> Vec<TablePlan> {
            let table = |(number, (plan, table)): (usize, &(TablePlan, Table))| {
                let place = folder.join(format!("{kind}-{number}"));
                table.write(&place);
                TablePlan {
                    location: url(&place),
                    format: table.format,
                    ..plan.clone()
                }
            };
            tables.iter().enumerate().map(table).collect()
        };
        plan.store.fragments = write("fragments", &self.fragments);
        plan.store.events = write("events", &self.events);
        plan.store.identities = write("identities", &self.identities);
        plan.store.memberships = write("memberships", &self.memberships);
    }
}

fn session(folder: &Path, memory_bytes: usize) -> Result<Session, Error> {
    Session::new(&Limits {
        memory_bytes,
        cores: 2,
        spill_path: folder.join("spill"),
    })
}

/// Writes the store of `plan` anew below `folder`, and makes the new tables those of the plan.
pub async fn rebucket(plan: &mut ExportPlan, folder: &Path, bucketing: &BucketingPlan) -> Result<(), Error> {
    let rebucket = Rebucket {
        buckets: bucketing.count,
        folder: folder.to_owned(),
    };
    let session = session(folder, 512 << 20)?;
    rebucket
        .run(&plan.store, &session, &Arc::new(Progress::default()))
        .await?;
    let table = |kind: &str| TablePlan {
        location: url(&folder.join(kind)),
        bucketing: Some(bucketing.clone()),
        ..super::plan::table(TableFormat::Parquet)
    };
    let tables = [
        (&mut plan.store.fragments, "fragments"),
        (&mut plan.store.events, "events"),
        (&mut plan.store.identities, "identities"),
        (&mut plan.store.memberships, "memberships"),
    ];
    for (tables, kind) in tables {
        if !tables.is_empty() {
            std::fs::create_dir_all(folder.join(kind)).unwrap();
            *tables = vec![table(kind)];
        }
    }
    Ok(())
}

/// What the exporter makes of a plan.
#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub exported: Vec<Exported>,
    /// Profiles by namespace, for each batch of the plan.
    pub by_namespace: Vec<BTreeMap<String, i64>>,
}

/// Runs the reading half of the exporter to its end. `folder` takes its spill files.
pub async fn export(plan: &ExportPlan, folder: &Path) -> Result<Answer, Error> {
    export_shard(plan, folder, Shard::ALL).await
}

/// The same from an object store.
pub async fn export_from(plan: &ExportPlan, folder: &Path, keys: Option<Credentials>) -> Result<Answer, Error> {
    let mut session = session(folder, 512 << 20)?;
    session.credentials = keys;
    read(plan, open(plan, &session, Arc::new(Progress::default())).await?).await
}

/// The same with so little memory that not even a small identity graph is held in it.
pub async fn export_with_little_memory(plan: &ExportPlan, folder: &Path) -> Result<Answer, Error> {
    let session = session(folder, 96 << 20)?;
    read(plan, open(plan, &session, Arc::new(Progress::default())).await?).await
}

/// The same for the profiles of a shard.
pub async fn export_shard(plan: &ExportPlan, folder: &Path, shard: Shard) -> Result<Answer, Error> {
    let session = session(folder, 512 << 20)?;
    read(
        plan,
        open_shard(plan, &session, Arc::new(Progress::default()), shard).await?,
    )
    .await
}

async fn read(plan: &ExportPlan, profiles: Profiles) -> Result<Answer, Error> {
    let mut answer = Answer {
        schema: profiles.schema,
        exported: Vec::new(),
        by_namespace: vec![BTreeMap::new(); plan.batches.len()],
    };
    for mut part in profiles.parts {
        while let Some(batch) = part.try_next().await? {
            assert_eq!(batch.rows.schema(), answer.schema);
            assert_eq!(batch.selected.len(), plan.batches.len());
            for (total, counts) in answer.by_namespace.iter_mut().zip(&batch.by_namespace) {
                for (namespace, count) in counts {
                    *total.entry(namespace.clone()).or_default() += count;
                }
            }
            for (number, row) in super::json::rows(&batch.rows).into_iter().enumerate() {
                let batches = batch.selected.iter().map(|selected| selected.value(number)).collect();
                answer.exported.push(Exported {
                    row,
                    batches,
                    namespaces: BTreeSet::new(),
                });
            }
        }
    }
    Ok(answer)
}

/// One line for each profile, in an order of its own: what the exporter and the reference must agree on.
pub fn lines(exported: &[Exported]) -> Vec<String> {
    let mut lines: Vec<String> = exported
        .iter()
        .map(|profile| format!("{:?} {}", profile.batches, canonical(&profile.row)))
        .collect();
    lines.sort();
    lines
}

/// JSON with sorted keys.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let entries: Vec<String> = sorted
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Profiles by namespace for each batch: "by identity namespace: profiles with at least one identity in it" (§1).
pub fn count(exported: &[Exported], batches: usize) -> Vec<BTreeMap<String, i64>> {
    let mut counts = vec![BTreeMap::new(); batches];
    for profile in exported {
        for (counts, taken) in counts.iter_mut().zip(&profile.batches) {
            for namespace in profile.namespaces.iter().filter(|_| *taken) {
                *counts.entry(namespace.clone()).or_default() += 1;
            }
        }
    }
    counts
}
