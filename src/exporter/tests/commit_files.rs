//! Files that are in no commit do not stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{collections::BTreeMap, fs, sync::Arc};

use common::{behind, counts, export, files, ids, plan, plan_of_segments, profiles, some_profiles, table, visible};
use datafusion::arrow::array::BooleanArray;
use exportjob_exporter::{Error, Export, Progress, abort};
use exportjob_plan::{Outcome, TERMINATION_MESSAGE_BYTES, code, exit};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_result_is_a_batch_without_files() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of_segments(folder.path(), "job", 2);
    let schema = ids(0..1, 2).rows.schema();
    let report = export(&plan, profiles(vec![vec![], vec![]], schema)).await.unwrap();
    assert_eq!((report.outcome, report.profiles_written), (Outcome::Committed, 0));
    assert!(files(folder.path()).is_empty());
    assert_eq!(
        export(&plan, some_profiles(4, 2)).await.unwrap().outcome,
        Outcome::AlreadyCommitted
    );
    assert!(counts(folder.path()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_has_the_profiles_that_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of_segments(folder.path(), "job", 3);
    let mut part = ids(0..4, 3);
    part.selected = vec![
        BooleanArray::from(vec![true, true, true, true]),
        BooleanArray::from(vec![false, true, false, false]),
        BooleanArray::from(vec![false; 4]),
    ];
    part.by_namespace = [4, 1, 0]
        .map(|count| BTreeMap::from([("crm".to_owned(), count)]))
        .into();
    let schema = part.rows.schema();
    let report = export(&plan, profiles(vec![vec![part]], schema)).await.unwrap();
    assert_eq!((report.profiles_matched, report.profiles_written), (4, 5));
    assert_eq!(
        report.batches.iter().map(|batch| batch.profiles).collect::<Vec<_>>(),
        [4, 1, 0]
    );
    assert_eq!(report.profiles_by_namespace, BTreeMap::from([("crm".to_owned(), 5)]));
    let id = |index: usize| plan.batches[index].id.to_string();
    assert_eq!(counts(folder.path()).await, BTreeMap::from([(id(0), 4), (id(1), 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_killed_attempt_do_not_show_and_go_with_the_next_commit() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "other"), some_profiles(2, 1))
        .await
        .unwrap();
    let plan = plan(folder.path(), "job");
    let batch = folder.path().join(format!("_batchId={}", plan.batches[0].id));
    fs::create_dir_all(&batch).unwrap();
    // One that was finished, and one in the form in which the object store leaves what it was writing.
    fs::write(batch.join("part-00000-killed.zstd.parquet"), "not parquet").unwrap();
    fs::write(batch.join("part-00001-killed.zstd.parquet#1"), "half").unwrap();
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 2);
    export(&plan, some_profiles(6, 1)).await.unwrap();
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 8);
    assert_eq!(files(folder.path()), visible(folder.path()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_removes_the_files_of_killed_attempts_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "other"), some_profiles(2, 1))
        .await
        .unwrap();
    let plan = plan(folder.path(), "job");
    let batch = folder.path().join(format!("_batchId={}", plan.batches[0].id));
    fs::create_dir_all(&batch).unwrap();
    fs::write(batch.join("part-00000-killed.zstd.parquet"), "a").unwrap();
    fs::write(batch.join("part-00001-killed.zstd.parquet#1"), "b").unwrap();
    let report = abort(&plan, None).await.unwrap();
    assert_eq!((report.outcome, report.files_removed), (Outcome::Aborted, 2));
    assert!(!batch.exists());
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_while_reading_removes_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), "job");
    let broken = async { Err(Error::new(code::CORRUPT_FILE, "x.parquet is broken")) };
    let error = export(&plan, behind(broken, some_profiles(1000, 1))).await.unwrap_err();
    assert_eq!(error.code(), code::CORRUPT_FILE);
    assert!(files(folder.path()).is_empty());
    assert!(counts(folder.path()).await.is_empty());
    // Nothing of it is in the way of another attempt.
    assert_eq!(
        export(&plan, some_profiles(10, 1)).await.unwrap().outcome,
        Outcome::Committed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_stopped_leaves_nothing_and_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), "job");
    let export_ = Export::new(&plan, Arc::new(Progress::default()), "test");
    let stop = export_.stop.clone();
    let gate = async move {
        stop.cancel();
        std::future::pending().await
    };
    let error = export_
        .execute(|| async { Ok(behind(gate, some_profiles(1000, 1))) })
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.exit_code()), (code::INTERRUPTED, exit::RETRY));
    assert!(files(folder.path()).is_empty());
    assert_eq!(
        export(&plan, some_profiles(10, 1)).await.unwrap().outcome,
        Outcome::Committed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_how_many_rows_each_file_has() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "job"), some_profiles(7, 1)).await.unwrap();
    let table = table(folder.path()).await;
    let records: usize = table
        .snapshot()
        .unwrap()
        .log_data()
        .iter()
        .map(|file| file.num_records().unwrap())
        .sum();
    assert_eq!(records, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_many_batches_fits_into_a_termination_message_and_stays_whole_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of_segments(folder.path(), "job", 128);
    let report = export(&plan, some_profiles(2, 128)).await.unwrap();
    assert!(report.to_termination_message().len() <= TERMINATION_MESSAGE_BYTES);
    let recorded = export(&plan, some_profiles(2, 128)).await.unwrap();
    assert_eq!(recorded.batches.len(), 128);
    assert_eq!(recorded.profiles_written, 256);
}
