//! Input that cannot be exported: `FAILED` with a code and a message, no second try, and a dataset as it was.

use std::fs;

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::code;
use exportjob_tests::{
    data,
    space::{Space, error, on_cluster},
};
use serde_json::{Value, json};

use crate::common::{EXAMPLE, assert_exported, assert_nothing_written};

/// Runs a job that must fail with that code and these parts in its message, after a first one that succeeded.
async fn assert_fails(space: &Space, code: &str, parts: &[&str], change: impl FnOnce(&mut Value)) {
    let mut spec = json!({"destination": {"datasetId": "cdnow-audiences"}, "schema": {"name": "_xdm.context.profile"}});
    change(&mut spec);
    space.export("bad", spec).await;
    let job = space.until_ended("bad", Phase::Failed).await;
    let (found, message) = error(&job);
    assert_eq!(found, code, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(space.pods(&job).await.len() <= 1, "a user's error is not tried again");
    assert_nothing_written(space, &job);
}

async fn first_export(space: &Space) -> ExportJob {
    space.export_example(EXAMPLE, |_| ()).await;
    space.until_ended("bought-twice", Phase::Succeeded).await
}

#[tokio::test]
async fn an_unknown_field_path_fails_the_job_by_name_and_suggests_the_nearest() {
    on_cluster("path", async |space: &Space| {
        space.furnish(1).await;
        let first = first_export(space).await;
        let parts = ["personalEmail.adress", "personalEmail.address"];
        assert_fails(space, code::UNKNOWN_FIELD, &parts, |spec| {
            spec["fields"] = json!("personalEmail.adress");
        })
        .await;
        assert_exported(space, &first);
    })
    .await;
}

#[tokio::test]
async fn a_broken_parquet_file_fails_the_job_and_is_named() {
    on_cluster("broken", async |space: &Space| {
        space.furnish(1).await;
        let first = first_export(space).await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("torn.parquet"), b"PAR1 this is no Parquet file").unwrap();
        space.carry_in(folder.path(), "/store/fragments/crm");
        assert_fails(space, code::CORRUPT_FILE, &["torn.parquet"], |_| ()).await;
        assert_exported(space, &first);
    })
    .await;
}

#[tokio::test]
async fn a_table_that_is_not_there_fails_the_job_and_is_named() {
    on_cluster("absent", async |space: &Space| {
        space.furnish(1).await;
        space.shell("rm -r /store/memberships", b"");
        let segments = json!({"segments": [{"segmentId": "spent-100-dollars"}]});
        assert_fails(space, code::STORE_UNREADABLE, &["memberships"], |spec| {
            spec["filter"] = segments;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_segment_that_asks_for_what_the_store_does_not_have_is_named() {
    on_cluster("evaluation", async |space: &Space| {
        space.furnish(1).await;
        let manifest = fs::read_to_string(data::example("segmentdefinitions.yaml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("segments.yaml");
        fs::write(&file, manifest.replace("priceTotal", "priceTotl")).unwrap();
        space.apply_file(&file);
        let parts = [
            "SegmentDefinition \"spent-100-dollars\"",
            "line 1, column 27",
            "priceTotal",
        ];
        assert_fails(space, code::PQL_UNKNOWN_FIELD, &parts, |spec| {
            spec["filter"] = json!({"segments": [{"segmentId": "spent-100-dollars"}]});
            spec["evaluationInfo"] = json!({"segmentation": true});
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn another_type_for_a_column_that_the_dataset_has_is_refused() {
    on_cluster("types", async |space: &Space| {
        space.furnish(1).await;
        let first = first_export(space).await;
        // The same path, but a number: points in place of the tier.
        let manifest = fs::read_to_string(data::example("profilestore.yaml")).unwrap();
        let manifest = manifest
            .replace("name: ups\n", "name: numbers\n")
            .replace(
                "- location: file:///store/fragments/crm\n        format: parquet",
                CRM_WITH_NUMBERS,
            )
            .replace("          loyalty.tier: {column: tier}\n", "");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.yaml");
        fs::write(&file, manifest).unwrap();
        space.apply_file(&file);
        assert_fails(space, code::SCHEMA_CONFLICT, &["loyalty.tier"], |spec| {
            spec["profileInstanceId"] = json!("numbers");
            spec["fields"] = json!("loyalty.tier");
        })
        .await;
        assert_exported(space, &first);
    })
    .await;
}

const CRM_WITH_NUMBERS: &str = "- location: file:///store/fragments/crm
        format: parquet
        onlyMapped: true
        columns:
          ups_namespace: {column: ups_namespace}
          ups_identity: {column: ups_identity}
          ups_dataset: {column: ups_dataset}
          ups_timestamp: {column: ups_timestamp}
          ups_ingested: {column: ups_ingested}
          loyalty.tier: {column: loyalty.points}";
