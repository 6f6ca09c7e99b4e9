//! Pods that die, are evicted, or are not alone: one commit, whatever happens.

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::code;
use exportjob_tests::{
    data, node,
    space::{Space, batches, error, on_cluster, phase},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{EvictParams, ObjectMeta, PostParams},
};
use serde_json::json;

use crate::common::{EXAMPLE, MANY, assert_committed_once, assert_exported, assert_nothing_written, slow};

/// A running pod of a job over many profiles, stopped in the middle of its work.
async fn stopped(space: &Space, backoff_limit: u32) -> (ExportJob, Pod) {
    space.furnish(MANY).await;
    let mut spec = slow();
    spec["execution"]["backoffLimit"] = json!(backoff_limit);
    let job = space.export("slow", spec).await;
    let pod = space.until_running(&job).await;
    node::signal(&space.client, &pod, "STOP").await;
    let now = space.api::<ExportJob>().get("slow").await.unwrap();
    assert!(
        !phase(&now).is_some_and(Phase::is_terminal),
        "the job is still at work: {:#?}",
        now.status
    );
    (job, pod)
}

/// The slow job ended well: one commit, and as many rows as the store has profiles with a record.
async fn assert_succeeds_once(space: &Space) -> ExportJob {
    let job = space.until_ended("slow", Phase::Succeeded).await;
    assert_committed_once(space, &job);
    let datasets = space.carry_out();
    data::assert_verified_copies(&job, datasets.path(), MANY);
    job
}

#[tokio::test]
async fn a_pod_that_is_killed_is_replaced_and_there_is_one_commit() {
    on_cluster("killed", async |space: &Space| {
        let (job, pod) = stopped(space, 3).await;
        node::signal(&space.client, &pod, "KILL").await;
        assert_succeeds_once(space).await;
        assert!(space.pods(&job).await.len() > 1, "the killed pod and its successor");
    })
    .await;
}

#[tokio::test]
async fn an_eviction_is_no_failure_and_there_is_one_commit() {
    on_cluster("evicted", async |space: &Space| {
        // No failure is allowed, and an eviction is none.
        let (_, pod) = stopped(space, 0).await;
        space
            .api::<Pod>()
            .evict(&pod.name_any(), &EvictParams::default())
            .await
            .expect("the pod can be evicted");
        node::signal(&space.client, &pod, "CONT").await;
        assert_succeeds_once(space).await;
    })
    .await;
}

#[tokio::test]
async fn pods_that_fail_too_often_fail_the_job_and_leave_nothing() {
    on_cluster("backoff", async |space: &Space| {
        let (_, pod) = stopped(space, 0).await;
        node::signal(&space.client, &pod, "KILL").await;
        let job = space.until_ended("slow", Phase::Failed).await;
        assert_eq!(error(&job).0, code::BACKOFF_LIMIT_EXCEEDED);
        assert_nothing_written(space, &job);
    })
    .await;
}

/// A pod like that of the job, which nothing owns and nobody asked for.
async fn second_pod(space: &Space, first: &Pod) -> Pod {
    let mut spec = first.spec.clone().expect("a pod has a spec");
    spec.node_name = None;
    let metadata = ObjectMeta {
        name: Some("stray".to_owned()),
        ..ObjectMeta::default()
    };
    let pod = Pod {
        metadata,
        spec: Some(spec),
        status: None,
    };
    space
        .api::<Pod>()
        .create(&PostParams::default(), &pod)
        .await
        .expect("the pod can be created")
}

async fn until_over(space: &Space, name: &str) {
    let pods: Api<Pod> = space.api();
    wait::until_it(pods, name, "over", |pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    })
    .await;
}

#[tokio::test]
async fn a_second_pod_of_the_same_plan_cannot_commit_twice() {
    on_cluster("stray", async |space: &Space| {
        let (_, pod) = stopped(space, 3).await;
        second_pod(space, &pod).await;
        until_over(space, "stray").await;
        let batch = batches(&space.api::<ExportJob>().get("slow").await.unwrap()).remove(0);
        assert_eq!(space.transactions_of(&batch, 1), 1, "the stray pod was first");
        // The first one wakes up in the middle of its work, after the commit of the other.
        node::signal(&space.client, &pod, "CONT").await;
        assert_succeeds_once(space).await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_comes_after_the_cancellation_cannot_commit() {
    on_cluster("late", async |space: &Space| {
        let (_, pod) = stopped(space, 3).await;
        let jobs: Api<ExportJob> = space.api();
        let cancel = json!({"spec": {"execution": {"cancel": true}}});
        let copy = pod.clone();
        jobs.patch(
            "slow",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(cancel),
        )
        .await
        .unwrap();
        let job = space.until_ended("slow", Phase::Failed).await;
        assert_eq!(error(&job).0, code::CANCELLED);
        second_pod(space, &copy).await;
        until_over(space, "stray").await;
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn two_jobs_that_create_the_dataset_at_once_both_succeed() {
    on_cluster("race", async |space: &Space| {
        space.furnish(1).await;
        let mut jobs = Vec::new();
        for (name, fields) in [("emails", "identityMap,personalEmail"), ("tiers", "identities,loyalty"), ("devices", "identityMap,web.device")] {
            let spec = json!({"fields": fields, "destination": {"datasetId": "cdnow-profiles"}, "schema": {"name": "_xdm.context.profile"}});
            space.export(name, spec).await;
        }
        space.export_example(EXAMPLE, |spec| spec["destination"]["datasetId"] = json!("cdnow-profiles")).await;
        for name in ["emails", "tiers", "devices", "bought-twice"] {
            jobs.push(space.until_ended(name, Phase::Succeeded).await);
        }
        for job in &jobs {
            assert_exported(space, job);
        }
    })
    .await;
}
