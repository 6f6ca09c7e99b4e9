//! Several shards of one export, over profiles made by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use datafusion::arrow::array::Int64Array;
use exportjob_exporter::{Error, Export, Profiles, Progress, Result, Shard};
use exportjob_plan::{ExportPlan, RunReport};

use super::{counts, ids, profiles, rows};

/// Profiles of each shard.
pub const EACH: i64 = 7;

/// The profiles of a shard.
pub fn share(shard: Shard, batches: usize) -> Profiles {
    let first = i64::try_from(shard.index).unwrap() * EACH;
    let (one, two) = (ids(first..first + 3, batches), ids(first + 3..first + EACH, batches));
    let schema = one.rows.schema();
    profiles(vec![vec![one], vec![two]], schema)
}

pub async fn attempt(plan: &ExportPlan, shard: Shard, profiles: Profiles) -> Result<RunReport> {
    let mut export = Export::new(plan, Arc::new(Progress::default()), "test");
    export.shard = Some(shard);
    export.execute(|| async { Ok(profiles) }).await
}

pub async fn without_reading(plan: &ExportPlan, shard: Shard) -> Result<RunReport> {
    let mut export = Export::new(plan, Arc::new(Progress::default()), "test");
    export.shard = Some(shard);
    export
        .execute(|| async { Err(Error::new("READ", "the store was opened")) })
        .await
}

pub fn sharded(mut plan: ExportPlan, shards: u32) -> ExportPlan {
    plan.shards = shards;
    plan
}

pub fn shards(plan: &ExportPlan) -> impl Iterator<Item = Shard> {
    let count = usize::try_from(plan.shards).unwrap();
    (0..count).map(move |index| Shard { index, count })
}

/// Commits of a batch in the log.
pub fn commits(folder: &Path, batch: &str, version: i64) -> usize {
    let log = std::fs::read_dir(folder.join("_delta_log")).unwrap();
    let entries = log.map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().any(|line| {
                let action: serde_json::Value = serde_json::from_str(line).unwrap();
                action["txn"]["appId"] == batch && action["txn"]["version"] == version
            })
        })
        .count()
}

pub fn manifests(folder: &Path) -> Vec<String> {
    let Ok(jobs) = std::fs::read_dir(folder.join("_exportjob")) else {
        return Vec::new();
    };
    jobs.flat_map(|job| std::fs::read_dir(job.unwrap().path()).unwrap())
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// All profiles of all shards are there, once in each batch, by one commit.
pub async fn assert_landed(plan: &ExportPlan, folder: &Path, told: &str) {
    let all = EACH * i64::from(plan.shards);
    let expected: BTreeMap<String, usize> = plan
        .batches
        .iter()
        .map(|batch| (batch.id.to_string(), usize::try_from(all).unwrap()))
        .collect();
    assert_eq!(counts(folder).await, expected, "{told}");
    for batch in &plan.batches {
        assert_eq!(commits(folder, batch.id.as_str(), 1), 1, "{told}");
    }
    let rows = rows(folder).await;
    let ids = rows.column_by_name("id").unwrap();
    let ids = ids.as_any().downcast_ref::<Int64Array>().unwrap();
    let distinct: BTreeSet<i64> = ids.values().iter().copied().collect();
    assert_eq!(distinct, (0..all).collect(), "{told}");
    assert_eq!(manifests(folder), Vec::<String>::new(), "{told}");
}

pub fn assert_totals(report: &RunReport, plan: &ExportPlan, told: &str) {
    let (all, batches) = (
        EACH * i64::from(plan.shards),
        i64::try_from(plan.batches.len()).unwrap(),
    );
    assert_eq!(report.profiles_written, all * batches, "{told}");
    assert_eq!(report.profiles_matched, all, "{told}");
    let namespaces = BTreeMap::from([("email".to_owned(), all * batches)]);
    assert_eq!(report.profiles_by_namespace, namespaces, "{told}");
    let counts: Vec<_> = report
        .batches
        .iter()
        .map(|batch| (batch.id.clone(), batch.profiles))
        .collect();
    let expected: Vec<_> = plan.batches.iter().map(|batch| (batch.id.clone(), all)).collect();
    assert_eq!(counts, expected, "{told}");
}
