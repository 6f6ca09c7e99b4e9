//! Tables whose rules an export would break are refused, with what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{fs, path::Path};

use common::{export_without_reading, plan, some_profiles, table};
use deltalake::{
    kernel::{DataType, StructField},
    operations::create::CreateBuilder,
};
use exportjob_exporter::{Error, abort};
use exportjob_plan::{Outcome, code, exit};

async fn make(folder: &Path, partitions: &[&str], properties: &[(&str, &str)], nullable: bool) {
    CreateBuilder::new()
        .with_location(folder.to_str().unwrap())
        .with_columns([
            StructField::new("id", DataType::LONG, nullable),
            StructField::nullable("_batchId", DataType::STRING),
        ])
        .with_partition_columns(partitions.iter().copied())
        .with_raise_if_key_not_exists(false)
        .with_configuration(properties.iter().map(|(name, value)| (*name, Some(*value))))
        .await
        .unwrap();
}

async fn refused(folder: &Path, words: &[&str]) {
    let before = table(folder).await.version();
    let error = export_without_reading(&plan(folder, "job")).await.unwrap_err();
    check(&error, folder, words);
    assert_eq!(table(folder).await.version(), before);
}

fn check(error: &Error, folder: &Path, words: &[&str]) {
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::DATASET_UNUSABLE, exit::USER_ERROR),
        "{error}"
    );
    for word in words.iter().chain([&folder.to_str().unwrap()]) {
        assert!(error.to_string().contains(word), "{word} in {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_forgets_transactions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let properties = [("delta.setTransactionRetentionDuration", "interval 1 days")];
    make(folder.path(), &["_batchId"], &properties, true).await;
    refused(folder.path(), &["delta.setTransactionRetentionDuration", "remove it"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_other_partitions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[], &[], true).await;
    refused(folder.path(), &["partitioned by []", "_batchId"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_a_column_that_must_not_be_null_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["_batchId"], &[], false).await;
    refused(folder.path(), &["id is NOT NULL"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_constraints_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    make(
        folder.path(),
        &["_batchId"],
        &[("delta.constraints.positive", "id > 0")],
        true,
    )
    .await;
    refused(folder.path(), &["delta.constraints.positive"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_only_grow_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["_batchId"], &[("delta.appendOnly", "true")], true).await;
    let report = common::export(&plan(folder.path(), "job"), some_profiles(3, 1))
        .await
        .unwrap();
    assert_eq!(report.outcome, Outcome::Committed);
    assert_eq!(
        abort(&plan(folder.path(), "other"), None).await.unwrap().outcome,
        Outcome::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_other_files_does_not_become_a_table() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("holiday.jpg"), "sun").unwrap();
    let error = common::export(&plan(folder.path(), "job"), some_profiles(3, 1))
        .await
        .unwrap_err();
    check(&error, folder.path(), &["holiday.jpg", "empty folder"]);
    assert!(!folder.path().join("_delta_log").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_log_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let entry = folder.path().join("_delta_log/00000000000000000000.json");
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "this is no log").unwrap();
    let error = export_without_reading(&plan(folder.path(), "job")).await.unwrap_err();
    check(&error, folder.path(), &["cannot be read"]);
    assert_eq!(fs::read_to_string(entry).unwrap(), "this is no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_below_a_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = export_without_reading(&plan(&folder.path().join("file/table"), "job"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::DATASET_UNWRITABLE, exit::RETRY)
    );
    assert!(error.to_string().contains("file/table"), "{error}");
}
