//! Exports that several pods share.

use std::{ffi::OsString, fs};

use exportjob_api::{ExportJob, Phase, Shards};
use exportjob_plan::code;
use exportjob_tests::{
    data, node,
    programs::{run, workspace_binary},
    space::{Space, conditions, error, on_cluster, phase},
};
use kube::ResourceExt as _;
use serde_json::json;

use crate::common::{MANY, assert_committed_once, assert_nothing_written, slow};

pub const SHARDS: i32 = 4;
pub const BUCKETS: u32 = 8;

/// The volumes of the examples, with a bucketed store in which every customer stands [`MANY`] times.
async fn furnish_bucketed(space: &Space) {
    let store = data::bucketed_store(MANY, BUCKETS);
    space.make_volumes().await;
    space.carry_in(&store, "/store");
    space.apply_file(&store.join("store.yaml"));
    for name in ["datasets.yaml", "segmentdefinitions.yaml"] {
        space.apply_file(&data::example(name));
    }
}

/// Spec of a job that takes its time although several pods share it: each has a thirtieth of a core.
pub fn shared() -> serde_json::Value {
    let mut spec = slow();
    let execution = &mut spec["execution"];
    execution["shards"] = json!(SHARDS);
    execution["resources"]["limits"]["cpu"] = json!("30m");
    execution["resources"]["requests"]["cpu"] = json!("30m");
    spec
}

/// The same job without a cluster: in one process, into a folder.
pub fn run_locally(job: &ExportJob) -> ExportJob {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("job.yaml");
    let document = json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": job.name_any()},
        "spec": job.spec,
    });
    fs::write(&manifest, serde_yaml::to_string(&document).unwrap()).unwrap();
    let store = data::bucketed_store(MANY, BUCKETS);
    let datasets = folder.path().join("datasets");
    let mut arguments: Vec<OsString> = ["run", "-o", "json"].map(OsString::from).to_vec();
    for file in [store.join("store.yaml"), data::example("datasets.yaml"), manifest] {
        arguments.extend(["-f".into(), file.into()]);
    }
    for (mount, folder) in [("/store", &store), ("/datasets", &datasets)] {
        let mut mapped = OsString::from(format!("{mount}="));
        mapped.push(folder);
        arguments.extend(["--volume".into(), mapped]);
    }
    let finished = run(&workspace_binary("kubectl-exportjob"), &arguments, b"");
    assert_eq!(finished.code, Some(0), "{}", finished.everything());
    let local: ExportJob = serde_json::from_slice(&finished.stdout).unwrap();
    data::assert_verified_copies(&local, &datasets, MANY);
    local
}

#[tokio::test]
async fn shards_of_which_one_is_killed_export_what_one_process_exports() {
    on_cluster("shards", async |space: &Space| {
        furnish_bucketed(space).await;
        let spec = shared();
        let job = space.export("slow", spec).await;
        let pod = space.until_running(&job).await;
        node::signal(&space.client, &pod, "STOP").await;
        let now = space.api::<ExportJob>().get("slow").await.unwrap();
        assert!(!phase(&now).is_some_and(Phase::is_terminal), "it is at work");
        // The others hand in what they have written, and nobody sees it before this one has.
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
        let pods = space.pods(&job).await;
        assert_eq!(
            pods.len(),
            5,
            "one for each shard, and the successor of the one that was killed"
        );
        let datasets = space.carry_out();
        data::assert_verified_copies(&done, datasets.path(), MANY);
        assert!(
            !datasets
                .path()
                .join("cdnow-profiles/_exportjob")
                .read_dir()
                .is_ok_and(|mut left| left.next().is_some()),
            "manifests of shards are left"
        );
        let counts = |job: &ExportJob| {
            let metrics = job.status.as_ref().unwrap().metrics.clone().unwrap();
            (
                metrics.total_exported_profile_counter,
                metrics.exported_profile_by_namespace_counter,
            )
        };
        assert_eq!(counts(&done), counts(&run_locally(&job)));
    })
    .await;
}

#[tokio::test]
async fn shards_that_are_cancelled_leave_nothing() {
    on_cluster("shards-cancel", async |space: &Space| {
        furnish_bucketed(space).await;
        let spec = shared();
        let job = space.export("slow", spec).await;
        let pod = space.until_running(&job).await;
        node::signal(&space.client, &pod, "STOP").await;
        space
            .until_job("slow", "handed in by one shard", |job| {
                let shards = job.status.as_ref().and_then(|status| status.shards);
                shards.is_some_and(|shards| shards.succeeded > 0)
            })
            .await;
        let cancel = json!({"spec": {"execution": {"cancel": true}}});
        let parameters = kube::api::PatchParams::default();
        space
            .api::<ExportJob>()
            .patch("slow", &parameters, &kube::api::Patch::Merge(cancel))
            .await
            .unwrap();
        node::signal(&space.client, &pod, "CONT").await;
        let job = space.until_ended("slow", Phase::Failed).await;
        assert_eq!(error(&job).0, code::CANCELLED);
        assert_nothing_written(space, &job);
        let left = space.shell("find /datasets -path '*_exportjob*' -type f", b"");
        assert_eq!(String::from_utf8_lossy(&left), "");
    })
    .await;
}

#[tokio::test]
async fn shards_of_a_store_without_buckets_are_refused_with_what_to_do() {
    on_cluster("shards-no", async |space: &Space| {
        space.apply_settings();
        let mut spec = slow();
        spec["execution"]["shards"] = json!(2);
        space.export("slow", spec).await;
        let job = space.until_ended("slow", Phase::Failed).await;
        let (found, message) = error(&job);
        assert_eq!(found, code::NOT_BUCKETED);
        assert!(message.contains("bucketing"), "{message}");
        assert!(conditions(&job)["Failed"].starts_with("True/NotBucketed"));
    })
    .await;
}
