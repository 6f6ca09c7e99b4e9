//! Several shards of one export: whatever becomes of them, and in whatever order, their files land in one commit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use common::{
    behind, counts, files, plan, plan_of_segments, profiles,
    shards::{EACH, assert_landed, assert_totals, attempt, manifests, sharded, shards, share, without_reading},
    texts, visible,
};
use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
        datatypes::{DataType, Field, Schema},
    },
    parquet::arrow::ArrowWriter,
};
use exportjob_api::TableFormat;
use exportjob_exporter::{Export, Limits, Progress, Result, Session, Shard, abort, open_shard, run};
use exportjob_plan::{BucketingPlan, ExportPlan, IdentityGraphKind, Outcome, RunReport, TablePlan, code};
use futures::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};
use url::Url;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shards_that_run_at_once_land_by_one_commit_with_the_totals_of_all() {
    for round in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        let plan = sharded(plan_of_segments(folder.path(), &format!("job-{round}"), 2), 4);
        let told = format!("round {round}");
        let reports = join_all(shards(&plan).map(|shard| attempt(&plan, shard, share(shard, 2)))).await;
        let reports: Vec<RunReport> = reports.into_iter().map(Result::unwrap).collect();
        let committed: Vec<_> = reports
            .iter()
            .filter(|report| report.outcome == Outcome::Committed)
            .collect();
        assert_eq!(committed.len(), 1, "{told}");
        for report in &reports {
            if report.outcome == Outcome::Staged {
                assert_eq!(
                    report.profiles_written,
                    EACH * 2,
                    "a shard tells of its own part: {told}"
                );
            } else {
                assert_totals(report, &plan, &told);
            }
        }
        assert_landed(&plan, folder.path(), &told).await;
        assert_eq!(files(folder.path()), visible(folder.path()).await, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_the_last_shard_commits_and_no_shard_is_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let plan = sharded(plan(folder.path(), "job"), 3);
    let all: Vec<Shard> = shards(&plan).collect();
    for shard in &all[..2] {
        let report = attempt(&plan, *shard, share(*shard, 1)).await.unwrap();
        assert_eq!((report.outcome, report.profiles_written), (Outcome::Staged, EACH));
        // Its successor has nothing to do but to look.
        let again = without_reading(&plan, *shard).await.unwrap();
        assert_eq!((again.outcome, again.profiles_written), (Outcome::Staged, EACH));
        assert!(counts(folder.path()).await.is_empty(), "nobody sees a part of a batch");
    }
    let last = attempt(&plan, all[2], share(all[2], 1)).await.unwrap();
    assert_eq!(last.outcome, Outcome::Committed);
    assert_totals(&last, &plan, "the last");
    let late = without_reading(&plan, all[0]).await.unwrap();
    assert_eq!(late.outcome, Outcome::AlreadyCommitted);
    assert_totals(&late, &plan, "one that comes late");
    assert_landed(&plan, folder.path(), "in the end").await;
}

/// An attempt at a shard that goes on writing until it is let go.
async fn slow(plan: &Arc<ExportPlan>, shard: Shard) -> (Arc<Notify>, JoinHandle<Result<RunReport>>) {
    let (writing, open_gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = {
        let (writing, open_gate) = (Arc::clone(&writing), Arc::clone(&open_gate));
        async move {
            writing.notify_one();
            open_gate.notified().await;
            Ok(())
        }
    };
    let plan = Arc::clone(plan);
    let slow = tokio::spawn(async move { attempt(&plan, shard, behind(gate, share(shard, 1))).await });
    writing.notified().await;
    (open_gate, slow)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_attempts_at_one_shard_only_one_is_in_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(sharded(plan(folder.path(), "job"), 2));
    let all: Vec<Shard> = shards(&plan).collect();
    let (open_gate, slow) = slow(&plan, all[0]).await;
    attempt(&plan, all[0], share(all[0], 1)).await.unwrap();
    open_gate.notify_one();
    let report = slow.await.unwrap().unwrap();
    assert_eq!((report.outcome, report.profiles_written), (Outcome::Staged, EACH));
    let files_of_shard = files(folder.path())
        .into_iter()
        .filter(|file| file.ends_with(".parquet"));
    assert_eq!(files_of_shard.count(), 2, "its own files are gone");
    let last = attempt(&plan, all[1], share(all[1], 1)).await.unwrap();
    assert_eq!(last.outcome, Outcome::Committed);
    assert_totals(&last, &plan, "the last");
    assert_landed(&plan, folder.path(), "in the end").await;
    assert_eq!(files(folder.path()), visible(folder.path()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_still_writing_when_its_batch_has_landed_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(sharded(plan(folder.path(), "job"), 2));
    let all: Vec<Shard> = shards(&plan).collect();
    let (open_gate, late) = slow(&plan, all[0]).await;
    for shard in &all {
        attempt(&plan, *shard, share(*shard, 1)).await.unwrap();
    }
    open_gate.notify_one();
    let late = late.await.unwrap().unwrap();
    assert_eq!(late.outcome, Outcome::AlreadyCommitted);
    assert_totals(&late, &plan, "late");
    assert_landed(&plan, folder.path(), "in the end").await;
    assert_eq!(files(folder.path()), visible(folder.path()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_takes_what_was_handed_in_and_no_shard_lands_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(sharded(plan(folder.path(), "job"), 2));
    let all: Vec<Shard> = shards(&plan).collect();
    attempt(&plan, all[0], share(all[0], 1)).await.unwrap();
    assert_eq!(manifests(folder.path()).len(), 1);
    let (open_gate, late) = slow(&plan, all[1]).await;
    assert_eq!(abort(&plan, None).await.unwrap().outcome, Outcome::Aborted);
    assert!(manifests(folder.path()).is_empty());
    open_gate.notify_one();
    assert_eq!(late.await.unwrap().unwrap_err().code(), code::BATCH_ABORTED);
    for shard in all {
        assert_eq!(
            without_reading(&plan, shard).await.unwrap_err().code(),
            code::BATCH_ABORTED
        );
    }
    assert!(counts(folder.path()).await.is_empty());
    assert!(files(folder.path()).is_empty());
    assert!(manifests(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_different_plans_are_not_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let old = sharded(plan(folder.path(), "job"), 2);
    let all: Vec<Shard> = shards(&old).collect();
    attempt(&old, all[0], share(all[0], 1)).await.unwrap();
    let mut new = old.clone();
    new.merge_policy.version += 1;
    let report = attempt(&new, all[1], share(all[1], 1)).await.unwrap();
    assert_eq!(
        report.outcome,
        Outcome::Staged,
        "the other part is that of another plan"
    );
    let last = attempt(&new, all[0], share(all[0], 1)).await.unwrap();
    assert_eq!(last.outcome, Outcome::Committed);
    assert_landed(&new, folder.path(), "in the end").await;
    assert_eq!(files(folder.path()), visible(folder.path()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_only_one_shard_has_are_null_in_the_rows_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let plan = sharded(plan(folder.path(), "job"), 2);
    let all: Vec<Shard> = shards(&plan).collect();
    attempt(&plan, all[0], texts("name", &["a", "b"])).await.unwrap();
    attempt(&plan, all[1], share(all[1], 1)).await.unwrap();
    let rows = common::rows(folder.path()).await;
    assert_eq!(common::text(&rows, "name").iter().flatten().count(), 2);
    assert_eq!(
        common::text(&rows, "id").iter().flatten().count(),
        usize::try_from(EACH).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_profiles_is_a_part_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let plan = sharded(plan(folder.path(), "job"), 2);
    let all: Vec<Shard> = shards(&plan).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let empty = attempt(&plan, all[0], profiles(vec![Vec::new()], schema))
        .await
        .unwrap();
    assert_eq!((empty.outcome, empty.profiles_written), (Outcome::Staged, 0));
    let last = attempt(&plan, all[1], share(all[1], 1)).await.unwrap();
    assert_eq!((last.outcome, last.profiles_written), (Outcome::Committed, EACH));
    assert_eq!(
        counts(folder.path()).await.values().sum::<usize>(),
        usize::try_from(EACH).unwrap()
    );
}

/// A bucketed store: fragments of 40 profiles in six buckets, one of them empty. Its plan asks for three shards.
fn bucketed(folder: &Path) -> ExportPlan {
    for bucket in [0, 1, 2, 4, 5_i64] {
        let keys: Vec<String> = (0..8).map(|number| format!("k{bucket}-{number}")).collect();
        let text = |value: &str| Arc::new(StringArray::from(vec![value; 8])) as ArrayRef;
        let times = TimestampMicrosecondArray::from(vec![bucket; 8]).with_timezone("UTC");
        let rows = RecordBatch::try_from_iter([
            ("ups_namespace", text("email")),
            ("ups_identity", Arc::new(StringArray::from(keys.clone())) as ArrayRef),
            ("ups_dataset", text("crm")),
            ("ups_ingested", Arc::new(times) as ArrayRef),
            ("ups_key", Arc::new(StringArray::from(keys.clone())) as ArrayRef),
            ("name", Arc::new(StringArray::from(keys)) as ArrayRef),
        ]);
        let file = folder.join(format!("store/bucket={bucket}"));
        std::fs::create_dir_all(&file).unwrap();
        let file = std::fs::File::create(file.join("part-0.parquet")).unwrap();
        let rows = rows.unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    let mut plan = sharded(plan(&folder.join("dataset"), "unsharded"), 3);
    plan.merge_policy.identity_graph = IdentityGraphKind::Pdg;
    plan.store.fragments = vec![TablePlan {
        location: Url::from_directory_path(folder.join("store")).unwrap(),
        format: TableFormat::Parquet,
        dataset: None,
        columns: BTreeMap::new(),
        only_mapped: false,
        bucketing: Some(BucketingPlan {
            column: "ups_key".to_owned(),
            count: 6,
            sorted: true,
        }),
    }];
    plan
}

/// Names of the profiles of a batch, sorted.
async fn names(folder: &Path, batch: &str) -> Vec<String> {
    let rows = common::rows(folder).await;
    let of = common::text(&rows, "_batchId");
    let names = common::text(&rows, "name");
    let mut names: Vec<String> = of
        .into_iter()
        .zip(names)
        .filter(|(of, _)| of.as_deref() == Some(batch))
        .filter_map(|(_, name)| name)
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shards_of_a_store_export_what_one_pod_exports() {
    let folder = tempfile::tempdir().unwrap();
    let whole = bucketed(folder.path());
    let shared = {
        let mut plan = whole.clone();
        plan.job.uid = "shared".to_owned();
        plan.batches = common::plan(folder.path(), "shared").batches;
        plan
    };
    let session = Session::new(&Limits {
        memory_bytes: 256 << 20,
        cores: 2,
        spill_path: folder.path().join("spill"),
    })
    .unwrap();
    let expected = run(&whole, &session, Arc::new(Progress::default()), "whole")
        .await
        .unwrap();
    let work = shards(&shared).map(|shard| {
        let (plan, session) = (&shared, &session);
        async move {
            let progress = Arc::new(Progress::default());
            let mut export = Export::new(plan, Arc::clone(&progress), "shard");
            export.shard = Some(shard);
            export
                .execute(|| open_shard(plan, session, progress, shard))
                .await
                .unwrap()
        }
    });
    let reports = join_all(work).await;
    let told = reports
        .iter()
        .find(|report| report.outcome == Outcome::Committed)
        .unwrap();
    assert_eq!(told.profiles_written, 40);
    assert_eq!(told.profiles_written, expected.profiles_written);
    assert_eq!(told.profiles_matched, expected.profiles_matched);
    assert_eq!(told.rows_read, expected.rows_read);
    assert_eq!(told.profiles_by_namespace, expected.profiles_by_namespace);
    let dataset = folder.path().join("dataset");
    let found = names(&dataset, shared.batches[0].id.as_str()).await;
    assert_eq!(found.len(), 40);
    assert_eq!(found, names(&dataset, whole.batches[0].id.as_str()).await);
}
