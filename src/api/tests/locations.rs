//! Where stores and datasets may be, and with whose credentials.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use exportjob_api::parse_manifests;
use serde_json::{Value, json};

fn dataset(spec: &Value) -> Result<(), String> {
    let manifest =
        json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": spec});
    parse_manifests(&manifest.to_string())
        .map(drop)
        .map_err(|error| error.to_string())
}

fn store(location: &str, credentials: &Value) -> Result<(), String> {
    let mut manifest = json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
        "spec": {"tables": {"fragments": [{"location": location, "format": "parquet"}]}}
    });
    if !credentials.is_null() {
        manifest["spec"]["credentials"] = credentials.clone();
    }
    parse_manifests(&manifest.to_string())
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn volumes_object_stores_and_local_paths_are_locations() {
    for location in [
        "file:///datasets/d",
        "out/d",
        "../d",
        "s3://lake",
        "s3://lake/",
        "s3://my.lake_1/crm/customers",
        "gs://lake/a b/c",
        "az://container/d",
        "abfss://container/d",
    ] {
        assert_eq!(dataset(&json!({"location": location})), Ok(()), "{location}");
        assert_eq!(store(location, &Value::Null), Ok(()), "{location}");
    }
}

#[test]
fn a_location_names_a_bucket_and_nothing_that_credentials_could_be_sent_to() {
    for location in [
        "http://lake/d",
        "https://lake.s3.amazonaws.com/d",
        "hdfs://lake/d",
        "s3:lake/d",
        "s3://",
        "s3:///d",
        "S3://lake/d",
        "s3://key:secret@lake/d",
        "s3://lake:9000/d",
        "abfss://container@account.dfs.core.windows.net/d",
        "s3://lake/d?endpoint=http://elsewhere",
        "s3://lake/d#x",
        "s3://lake/../d",
        "s3://lake/a/./d",
        "s3://lake/a/..",
    ] {
        for refused in [dataset(&json!({"location": location})), store(location, &Value::Null)] {
            let message = refused.unwrap_err();
            assert!(
                message.contains("location") && message.contains("s3://BUCKET/PREFIX"),
                "{location}: {message}"
            );
        }
    }
}

#[test]
fn credentials_are_a_secret_of_the_namespace_and_nothing_else() {
    let named = |name: &str| json!({"secretRef": {"name": name}});
    assert_eq!(store("s3://lake/d", &named("lake-1.a")), Ok(()));
    assert_eq!(
        dataset(&json!({"location": "s3://lake/d", "credentials": named("lake")})),
        Ok(())
    );
    for name in ["", "Lake", "other/lake", "-lake"] {
        let message = store("s3://lake/d", &named(name)).unwrap_err();
        assert!(
            message.contains("spec.credentials.secretRef.name") && message.contains("must name a Secret"),
            "{message}"
        );
    }
    for spec in [
        json!({"accessKeyId": "a"}),
        json!({"secretRef": {"name": "lake", "namespace": "other"}}),
    ] {
        let message = store("s3://lake/d", &spec).unwrap_err();
        assert!(message.contains("unknown field spec.credentials"), "{message}");
    }
}

#[test]
fn formats_that_are_not_written_are_refused_with_a_way_out() {
    for (format, reason) in [("iceberg", "exactly once"), ("parquet", "whole")] {
        let message = dataset(&json!({"location": "file:///datasets/d", "format": format})).unwrap_err();
        assert!(
            message.contains("spec.format: must be delta") && message.contains(reason),
            "{message}"
        );
    }
    let message = dataset(&json!({"location": "file:///datasets/d", "format": "csv"})).unwrap_err();
    assert!(message.contains("csv") && message.contains("delta"), "{message}");
}
