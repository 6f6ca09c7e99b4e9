//! Where stores and datasets may be, and with whose credentials.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use exportjob_api::{Manifest, parse_manifests};
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

#[test]
fn a_secret_among_the_manifests_is_read_and_never_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: lake}\ndata: {A: aHVudGVyMg==, B: Yg==}\nstringData: {B: hunter3}\n";
    let Manifest::Secret(secret) = parse_manifests(text).unwrap().remove(0) else {
        panic!("not a Secret")
    };
    assert_eq!(secret.keys["A"], b"hunter2");
    assert_eq!(secret.keys["B"], b"hunter3");
    assert!(!format!("{secret:?}").contains("hunter"));
    for broken in ["data: {A: hunter2!}", "stringData: {A: 1234567}"] {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: lake}}\n{broken}\n");
        let message = parse_manifests(&text).unwrap_err().to_string();
        assert!(
            !message.contains("hunter2") && !message.contains("1234567"),
            "{message}"
        );
    }
}

#[test]
fn an_author_of_jobs_does_not_choose_where_credentials_go() {
    let job = |name: &str| {
        let job = json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": "j"},
            "spec": {
                "destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"},
                "execution": {"podTemplate": {"env": [{"name": name, "value": "x"}]}}
            }
        });
        parse_manifests(&job.to_string())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for allowed in ["RUST_LOG", "TZ", "MY_AWS_NOTE", "PROXY"] {
        assert_eq!(job(allowed), Ok(()), "{allowed}");
    }
    for refused in [
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AZURE_AUTHORITY_HOST",
        "GOOGLE_BASE_URL",
        "GCE_METADATA_HOST",
        "HTTPS_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "SERVICE_ACCOUNT",
    ] {
        let message = job(refused).unwrap_err();
        assert!(
            message.contains("spec.execution.podTemplate.env[0].name") && message.contains("Secret"),
            "{message}"
        );
    }
}
