//! What the tests of the writing half share: plans, profiles made by hand, and another way to read a dataset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

pub mod shards;

use std::{collections::BTreeMap, future::Future, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray},
        compute::concat_batches,
        datatypes::SchemaRef,
    },
    prelude::SessionContext,
};
use deltalake::{DeltaTable, open_table};
use exportjob_api::{DatasetFormat, MembershipStates};
use exportjob_exporter::{Error, Export, ProfileBatch, ProfileStream, Profiles, Progress, Result};
use exportjob_plan::{
    AttributeRule, BatchPlan, DestinationPlan, ExportPlan, FieldSelection, IdentityGraphKind, JobIdentity,
    MergePolicyPlan, PLAN_VERSION, RunReport, Selection, StorePlan, UpsertDatasets, batch_id,
};
use futures::{StreamExt, stream};
use url::Url;

/// A plan of the job `uid` into the dataset at `folder`, with one batch.
pub fn plan(folder: &Path, uid: &str) -> ExportPlan {
    let table = Vec::new;
    ExportPlan {
        version: PLAN_VERSION,
        job: JobIdentity {
            namespace: "default".into(),
            name: "job".into(),
            uid: uid.into(),
            id: 1,
        },
        started_at: 0,
        shards: 1,
        store: StorePlan {
            credentials: None,
            name: "ups".into(),
            fragments: table(),
            events: table(),
            identities: table(),
            memberships: table(),
            upsert_datasets: UpsertDatasets::Listed(Vec::new()),
            membership_states: MembershipStates::default(),
        },
        merge_policy: MergePolicyPlan {
            id: "p".into(),
            version: 1,
            identity_graph: IdentityGraphKind::None,
            attributes: AttributeRule::TimestampOrdered,
            event_datasets: None,
        },
        selection: Selection {
            segments: Vec::new(),
            qualified_from: None,
            qualified_to: None,
            ingested_after: None,
            empty_profiles: false,
        },
        evaluation: None,
        fields: FieldSelection::parse("spec.fields", None).unwrap(),
        events: None,
        destination: DestinationPlan {
            credentials: None,
            dataset: "audience".into(),
            location: Url::from_directory_path(folder).unwrap(),
            format: DatasetFormat::Delta,
        },
        batches: vec![BatchPlan {
            id: batch_id(uid, None),
            segment: None,
        }],
    }
}

/// A plan with a batch for each of `segments` segments.
pub fn plan_of_segments(folder: &Path, uid: &str, segments: usize) -> ExportPlan {
    let mut plan = plan(folder, uid);
    plan.batches = (0..segments)
        .map(|index| BatchPlan {
            id: batch_id(uid, Some(("ups", &format!("s{index}")))),
            segment: Some(index),
        })
        .collect();
    plan
}

/// Profiles with the column `id`: `range`, all of them in all of `batches` batches.
pub fn ids(range: std::ops::Range<i64>, batches: usize) -> ProfileBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    batch(RecordBatch::try_from_iter([("id", ids)]).unwrap(), batches)
}

/// `rows` as profiles that each of `batches` batches takes, all with an identity in `email`.
pub fn batch(rows: RecordBatch, batches: usize) -> ProfileBatch {
    let count = i64::try_from(rows.num_rows()).unwrap();
    ProfileBatch {
        selected: vec![BooleanArray::from(vec![true; rows.num_rows()]); batches],
        by_namespace: vec![BTreeMap::from([("email".to_owned(), count)]); batches],
        rows,
    }
}

/// Profiles in one part for each of `parts`.
pub fn profiles(parts: Vec<Vec<ProfileBatch>>, schema: SchemaRef) -> Profiles {
    let parts = parts
        .into_iter()
        .map(|part| -> ProfileStream { Box::pin(stream::iter(part.into_iter().map(Ok))) });
    Profiles {
        schema,
        parts: parts.collect(),
    }
}

/// Profiles with the column `id`, in two parts.
pub fn some_profiles(count: i64, batches: usize) -> Profiles {
    let (one, two) = (ids(0..count / 2, batches), ids(count / 2..count, batches));
    let schema = one.rows.schema();
    profiles(vec![vec![one], vec![two]], schema)
}

/// Profiles with the text column `name`, one for each of `values`.
pub fn texts(name: &str, values: &[&str]) -> Profiles {
    let values: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let rows = RecordBatch::try_from_iter([(name, values)]).unwrap();
    let schema = rows.schema();
    profiles(vec![vec![batch(rows, 1)]], schema)
}

/// The same profiles, the first of which comes only after `gate`.
pub fn behind<F>(gate: F, mut profiles: Profiles) -> Profiles
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let first = profiles.parts.remove(0);
    let gate = stream::once(gate).filter_map(|opened: Result<()>| async move { opened.err().map(Err) });
    profiles.parts.insert(0, Box::pin(gate.chain(first)));
    profiles
}

/// One attempt at `plan` with these profiles.
pub async fn export(plan: &ExportPlan, profiles: Profiles) -> Result<RunReport> {
    let export = Export::new(plan, Arc::new(Progress::default()), "test");
    export.execute(|| async { Ok(profiles) }).await
}

/// One attempt at `plan` that must not read anything.
pub async fn export_without_reading(plan: &ExportPlan) -> Result<RunReport> {
    let export = Export::new(plan, Arc::new(Progress::default()), "test");
    export
        .execute(|| async { Err(Error::new("READ", "the store was opened")) })
        .await
}

/// The table at `folder`.
pub async fn table(folder: &Path) -> DeltaTable {
    open_table(Url::from_directory_path(folder).unwrap()).await.unwrap()
}

/// All rows of the dataset, as one batch.
pub async fn rows(folder: &Path) -> RecordBatch {
    let table = table(folder).await;
    let provider = table.table_provider().await.unwrap();
    let frame = SessionContext::new().read_table(provider).unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.unwrap();
    concat_batches(&batches.first().map_or(schema, RecordBatch::schema), &batches).unwrap()
}

/// How many rows the dataset has in each batch.
pub async fn counts(folder: &Path) -> BTreeMap<String, usize> {
    let rows = rows(folder).await;
    let mut counts = BTreeMap::new();
    for batch in text(&rows, "_batchId").into_iter().flatten() {
        *counts.entry(batch).or_default() += 1;
    }
    counts
}

/// A column as text.
pub fn text(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    use datafusion::arrow::{compute::cast, datatypes::DataType};
    let column = cast(rows.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
    let column = column.as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

/// Names of all data files of the dataset, those that no reader sees included.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "_delta_log" {
            found.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|file| file.unwrap().file_name().into_string().unwrap()),
            );
        }
    }
    found.sort();
    found
}

/// Names of the data files that readers see.
pub async fn visible(folder: &Path) -> Vec<String> {
    let table = table(folder).await;
    let mut found: Vec<String> = table
        .snapshot()
        .unwrap()
        .log_data()
        .iter()
        .map(|file| file.path().rsplit('/').next().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

/// The seed of a random test: printed, and set by `SEED` to run the same again.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    seed
}
