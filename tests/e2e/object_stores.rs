//! Stores and datasets in an object store: an S3 server in the test's own namespace, on the volumes of the examples.

use std::{collections::BTreeMap, fs};

use exportjob_api::{ExportJob, Manifest, Phase, Shards, parse_manifests};
use exportjob_plan::code;
use exportjob_tests::{
    data, node, operator,
    programs::tool,
    space::{Space, error, on_cluster, phase},
    wait,
};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    common::{MANY, assert_committed_once, assert_nothing_written, slow},
    shards::{BUCKETS, SHARDS, run_locally, shared},
};

const ACCESS_KEY: &str = "AKIDEXPORTJOBTEST";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-test-1";

/// A server whose buckets are the two volumes, `store` and `datasets`: what it holds are files there.
async fn start_lake(space: &Space) {
    let program = tempfile::tempdir().unwrap();
    fs::copy(tool("versitygw"), program.path().join("versitygw")).unwrap();
    space.carry_in(program.path(), "/store/.bin");
    let text = fs::read_to_string(data::example("cluster/toolbox.yaml")).unwrap();
    let mut pod = Value::deserialize(serde_yaml::Deserializer::from_str(&text)).unwrap();
    pod["metadata"] = json!({"name": "lake", "labels": {"app": "lake"}});
    let container = &mut pod["spec"]["containers"][0];
    container["image"] = operator::toolbox_image().into();
    container["command"] = json!([
        "/lake/store/.bin/versitygw",
        "--access",
        ACCESS_KEY,
        "--secret",
        SECRET_KEY,
        "--region",
        REGION,
        "--quiet",
        "--port",
        ":7070",
        "posix",
        "--default-etag",
        "d41d8cd98f00b204e9800998ecf8427e",
        "/lake",
    ]);
    container["resources"] = json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}});
    container["volumeMounts"] = json!([
        {"name": "profiles", "mountPath": "/lake/store"}, {"name": "datasets", "mountPath": "/lake/datasets"},
    ]);
    container["readinessProbe"] = json!({"tcpSocket": {"port": 7070}, "periodSeconds": 1});
    space.create_object::<Pod>(pod).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "lake"},
        "spec": {"selector": {"app": "lake"}, "ports": [{"port": 7070}]},
    });
    space.create_object::<Service>(service).await;
    wait::until_it(space.api::<Pod>(), "lake", "ready", |pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    })
    .await;
}

async fn make_keys(space: &Space, secret_key: &str) {
    let endpoint = format!("http://lake.{}.svc:7070", space.name);
    let keys = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lake-keys"},
        "stringData": {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true",
        },
    });
    space.create_object::<Secret>(keys).await;
}

/// The bucketed store and the dataset of the examples, in the lake.
async fn furnish_lake(space: &Space) {
    let folder = data::bucketed_store(MANY, BUCKETS);
    space.make_volumes().await;
    space.carry_in(&folder, "/store");
    start_lake(space).await;
    let text = fs::read_to_string(folder.join("store.yaml")).unwrap();
    let Manifest::ProfileStore(mut store) = parse_manifests(&text).unwrap().remove(0) else {
        panic!("store.yaml has no ProfileStore");
    };
    let tables = &mut store.spec.tables;
    for table in [
        &mut tables.fragments,
        &mut tables.events,
        &mut tables.identities,
        &mut tables.memberships,
    ]
    .into_iter()
    .flatten()
    {
        table.location = table.location.replace("file:///store", "s3://store");
    }
    let mut spec = serde_json::to_value(&store.spec).unwrap();
    let spec_of = spec.as_object_mut().unwrap();
    spec_of.remove("volume");
    spec_of.insert("credentials".to_owned(), json!({"secretRef": {"name": "lake-keys"}}));
    space
        .create_object::<exportjob_api::ProfileStore>(json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": store.metadata.name}, "spec": spec,
        }))
        .await;
    space
        .create_object::<exportjob_api::Dataset>(json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "cdnow-profiles"},
            "spec": {"location": "s3://datasets/cdnow-profiles", "credentials": {"secretRef": {"name": "lake-keys"}}},
        }))
        .await;
}

fn counts(job: &ExportJob) -> (Option<i64>, Option<BTreeMap<String, i64>>) {
    let metrics = job.status.as_ref().unwrap().metrics.clone().unwrap();
    (
        metrics.total_exported_profile_counter,
        metrics
            .exported_profile_by_namespace_counter
            .map(|counts| counts.into_iter().collect()),
    )
}

#[tokio::test]
async fn shards_over_an_object_store_of_which_one_is_killed_export_what_one_process_exports() {
    on_cluster("lake", async |space: &Space| {
        furnish_lake(space).await;
        make_keys(space, SECRET_KEY).await;
        let job = space.export("slow", shared()).await;
        let pod = space.until_running(&job).await;
        node::signal(&space.client, &pod, "STOP").await;
        let now = space.api::<ExportJob>().get("slow").await.unwrap();
        assert!(!phase(&now).is_some_and(Phase::is_terminal), "it is at work");
        space
            .until_job("slow", "waiting for one shard", |job| {
                let shards = job.status.as_ref().and_then(|status| status.shards);
                shards
                    == Some(Shards {
                        total: SHARDS,
                        succeeded: SHARDS - 1,
                    })
            })
            .await;
        node::signal(&space.client, &pod, "KILL").await;
        let done = space.until_ended("slow", Phase::Succeeded).await;
        assert_committed_once(space, &done);
        let datasets = space.carry_out();
        data::assert_verified_copies(&done, datasets.path(), MANY);
        assert_eq!(counts(&done), counts(&run_locally(&job)));
    })
    .await;
}

#[tokio::test]
async fn wrong_keys_fail_the_job_with_the_secret_to_correct_and_tell_none_of_them() {
    on_cluster("lake-keys", async |space: &Space| {
        furnish_lake(space).await;
        make_keys(space, "a-secret-that-is-wrong").await;
        let job = space.export("slow", slow()).await;
        let ended = space.until_ended("slow", Phase::Failed).await;
        let (found, message) = error(&ended);
        assert!(
            [code::STORE_UNREADABLE, code::DATASET_UNWRITABLE, code::DATASET_UNUSABLE].contains(&found.as_str()),
            "{found}: {message}"
        );
        assert!(message.contains("lake-keys"), "{message}");
        assert_nothing_written(space, &job);
        let story = serde_json::to_string(&ended).unwrap();
        assert!(!story.contains("a-secret-that-is-wrong"), "{story}");
    })
    .await;
}
