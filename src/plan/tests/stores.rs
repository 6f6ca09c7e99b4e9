//! Object stores in a plan: which URLs, and where their credentials are.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use exportjob_api::{Dataset, ExportJob, ProfileStore};
use exportjob_plan::{ExportPlan, Inputs, LocalLocations, Locate, MountedLocations, PlanError, build};
use serde_json::{Value, json};

const LAKE: &str = "s3://lake/fragments";

fn plan(store: &Value, dataset: &Value) -> Result<ExportPlan, PlanError> {
    let job: ExportJob = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": "j", "namespace": "n", "uid": "u"},
        "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}},
    }))
    .unwrap();
    let store: ProfileStore = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"}, "spec": store,
    }))
    .unwrap();
    let dataset: Dataset = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": dataset,
    }))
    .unwrap();
    build(&Inputs {
        export_job: &job,
        id: 1,
        created_at_ms: 1,
        stores: &BTreeMap::from([("ups".to_owned(), store)]),
        datasets: &BTreeMap::from([("d".to_owned(), dataset)]),
        definitions: &BTreeMap::new(),
        locate: &MountedLocations,
    })
}

fn store(location: &str) -> Value {
    json!({"tables": {"fragments": [{"location": location, "format": "parquet"}]}})
}

fn secret(name: &str) -> Value {
    json!({"secretRef": {"name": name}})
}

#[test]
fn each_side_says_where_its_credentials_are_and_not_what_they_are() {
    let mut read = store(LAKE);
    read["credentials"] = secret("reader");
    let plan = plan(
        &read,
        &json!({"location": "az://out/d", "credentials": secret("writer")}),
    )
    .unwrap();
    assert_eq!(plan.store.fragments[0].location.as_str(), "s3://lake/fragments/");
    assert_eq!(plan.destination.location.as_str(), "az://out/d/");
    let side = serde_json::to_value(plan.store.credentials).unwrap();
    assert_eq!(
        side,
        json!({"secret": "reader", "folder": "/etc/exportjob-credentials/store"})
    );
    let side = serde_json::to_value(plan.destination.credentials).unwrap();
    assert_eq!(
        side,
        json!({"secret": "writer", "folder": "/etc/exportjob-credentials/dataset"})
    );
}

#[test]
fn without_a_secret_the_plan_has_no_credentials() {
    let plan = plan(&store(LAKE), &json!({"location": "gs://out/d"})).unwrap();
    assert_eq!((plan.store.credentials, plan.destination.credentials), (None, None));
}

#[test]
fn a_secret_that_nothing_is_opened_with_is_refused() {
    let mut read = store("file:///store/f");
    read["volume"] = json!({"persistentVolumeClaim": {"claimName": "c"}});
    read["credentials"] = secret("reader");
    let error = plan(&read, &json!({"location": "s3://out/d"})).unwrap_err();
    assert!(error.to_string().contains("Secret \"reader\""), "{error}");
    let mut written = json!({"location": "file:///datasets/d", "credentials": secret("writer")});
    written["volume"] = json!({"persistentVolumeClaim": {"claimName": "c"}});
    let error = plan(&store(LAKE), &written).unwrap_err();
    assert!(
        error.to_string().contains("Dataset \"d\"") && error.can_heal(),
        "{error}"
    );
}

#[test]
fn a_format_that_is_not_written_is_refused_even_where_no_rule_ran() {
    let error = plan(&store(LAKE), &json!({"location": "s3://out/d", "format": "iceberg"})).unwrap_err();
    assert!(error.to_string().contains("must be delta"), "{error}");
}

#[test]
fn an_object_location_is_a_bucket_and_a_prefix_in_a_cluster_and_without_one() {
    let local = LocalLocations::default();
    let places: [&dyn Locate; 2] = [&MountedLocations, &local];
    for place in places {
        let locate = |location: &str| place.locate("ProfileStore \"ups\"", location, Some("/store"));
        for (location, url) in [
            ("s3://lake", "s3://lake/"),
            ("s3://lake/", "s3://lake/"),
            ("s3://Lake.x_1/a/b//", "s3://Lake.x_1/a/b/"),
            ("gs://lake/a b/c", "gs://lake/a%20b/c/"),
            ("abfss://c/d", "abfss://c/d/"),
        ] {
            assert_eq!(locate(location).unwrap().as_str(), url);
        }
        for (location, part) in [
            ("s3://", "no bucket"),
            ("s3:///a", "no bucket"),
            ("s3://lake/a?x=y", "query"),
            ("s3://lake/a#x", "fragment"),
            ("s3://user:word@lake/a", "Secret"),
            ("abfss://c@account.dfs.core.windows.net/a", "AZURE_STORAGE_ACCOUNT_NAME"),
            ("s3://lake:9000/a", "bucket that is none"),
            ("s3://lake/../a", "'..'"),
            ("s3://lake/%2E./a", "'..'"),
            ("s3://lake/a/./b", "'..'"),
            ("s3://lake/a//b", "two slashes"),
            ("http://lake/a", "neither"),
        ] {
            let error = locate(location).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("ups"), "{location}: {error}");
        }
    }
}
