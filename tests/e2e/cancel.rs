//! Cancelling, by deletion and by `cancel: true`, at each stage of a job.

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::code;
use exportjob_tests::{
    node,
    space::{Space, error, on_cluster, phase},
    wait,
};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::common::{EXAMPLE, MANY, assert_nothing_written, slow};

async fn cancel(space: &Space, name: &str) -> ExportJob {
    let jobs: Api<ExportJob> = space.api();
    let cancel = json!({"spec": {"execution": {"cancel": true}}});
    jobs.patch(name, &PatchParams::default(), &Patch::Merge(cancel))
        .await
        .expect("it can be cancelled");
    let job = space.until_ended(name, Phase::Failed).await;
    assert_eq!(error(&job).0, code::CANCELLED);
    job
}

/// Pods of the job are gone or have ended.
async fn assert_no_pod_runs(space: &Space, job: &ExportJob) {
    for pod in space.pods(job).await {
        wait::until(space.api::<Pod>(), &pod.name_any(), "ended", |pod| {
            let phase = pod
                .and_then(|pod| pod.status.as_ref())
                .and_then(|status| status.phase.as_deref());
            matches!(phase, None | Some("Succeeded" | "Failed"))
        })
        .await;
    }
}

fn unschedulable(spec: &mut Value) {
    spec["execution"] = json!({"podTemplate": {"nodeSelector": {"exportjob.dev/no-such-node": "true"}}});
}

#[tokio::test]
async fn a_job_that_waits_for_its_store_can_be_deleted() {
    on_cluster("delete-waiting", async |space: &Space| {
        space.export_example(EXAMPLE, |_| ()).await;
        let job = space
            .until_job("bought-twice", "known", |job| phase(job).is_some())
            .await;
        space.delete_and_wait(&job).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_store_can_be_cancelled() {
    on_cluster("cancel-waiting", async |space: &Space| {
        space.export_example(EXAMPLE, |_| ()).await;
        space
            .until_job("bought-twice", "known", |job| phase(job).is_some())
            .await;
        cancel(space, "bought-twice").await;
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_pods_are_pending_can_be_deleted() {
    on_cluster("delete-pending", async |space: &Space| {
        space.furnish(1).await;
        let job = space.export_example(EXAMPLE, unschedulable).await;
        space.until_pod(&job, "there", |_| true).await;
        let job = space
            .until_job("bought-twice", "at work", |job| phase(job) == Some(Phase::Processing))
            .await;
        space.delete_and_wait(&job).await;
        assert!(space.pods(&job).await.is_empty());
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_pods_are_pending_can_be_cancelled() {
    on_cluster("cancel-pending", async |space: &Space| {
        space.furnish(1).await;
        let job = space.export_example(EXAMPLE, unschedulable).await;
        space.until_pod(&job, "there", |_| true).await;
        let job = cancel(space, "bought-twice").await;
        assert_no_pod_runs(space, &job).await;
        assert_nothing_written(space, &job);
    })
    .await;
}

/// A job of which some profiles are written and many are not.
async fn writing(space: &Space) -> ExportJob {
    space.furnish(MANY).await;
    space.export("slow", slow()).await;
    let written = |job: &ExportJob| {
        job.status
            .as_ref()
            .and_then(|status| status.progress.as_ref())
            .is_some_and(|progress| progress.rows_read > 0)
    };
    let job = space
        .until_job("slow", "under way", |job| {
            written(job) || phase(job).is_some_and(Phase::is_terminal)
        })
        .await;
    assert_eq!(
        phase(&job),
        Some(Phase::Processing),
        "the job is still at work: {:#?}",
        job.status
    );
    job
}

#[tokio::test]
async fn a_job_that_is_writing_can_be_deleted_and_leaves_nothing() {
    on_cluster("delete-writing", async |space: &Space| {
        let job = writing(space).await;
        space.delete_and_wait(&job).await;
        assert!(space.pods(&job).await.is_empty());
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_deletion_in_the_foreground_leaves_nothing_either() {
    on_cluster("foreground", async |space: &Space| {
        let job = writing(space).await;
        let jobs: Api<ExportJob> = space.api();
        jobs.delete(&job.name_any(), &DeleteParams::foreground()).await.unwrap();
        wait::until_gone(jobs, &job.name_any(), &job.uid().unwrap()).await;
        let reasons = space.reasons(&job).await;
        assert!(reasons.iter().any(|reason| reason == "Cancelled"), "{reasons:?}");
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_writing_can_be_cancelled_and_leaves_nothing_but_its_record() {
    on_cluster("cancel-writing", async |space: &Space| {
        let job = writing(space).await;
        let job = cancel(space, &job.name_any()).await;
        assert_no_pod_runs(space, &job).await;
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_does_not_answer_cannot_hold_a_cancellation() {
    on_cluster("stopped", async |space: &Space| {
        space.furnish(MANY).await;
        let job = space.export("slow", slow()).await;
        let pod = space.until_running(&job).await;
        node::signal(&space.client, &pod, "STOP").await;
        let job = cancel(space, "slow").await;
        assert_no_pod_runs(space, &job).await;
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_after_the_end_changes_nothing() {
    on_cluster("too-late", async |space: &Space| {
        space.furnish(1).await;
        space.export_example(EXAMPLE, |_| ()).await;
        let before = space.until_ended("bought-twice", Phase::Succeeded).await;
        let jobs: Api<ExportJob> = space.api();
        let cancel = json!({"spec": {"execution": {"cancel": true}}});
        jobs.patch("bought-twice", &PatchParams::default(), &Patch::Merge(cancel))
            .await
            .unwrap();
        // A job that comes after is worked on after.
        space.export_example("exportjob-events.yaml", |_| ()).await;
        space.until_ended("everything", Phase::Succeeded).await;
        let after = jobs.get("bought-twice").await.unwrap();
        assert_eq!(phase(&after), Some(Phase::Succeeded));
        assert_eq!(after.status.unwrap().destination, before.status.unwrap().destination);
    })
    .await;
}

#[tokio::test]
async fn a_namespace_with_jobs_at_every_stage_can_be_deleted() {
    on_cluster("namespace", async |space: &Space| {
        let at_work = writing(space).await;
        space.export_example(EXAMPLE, unschedulable).await;
        let waiting = json!({"destination": {"datasetId": "nowhere"}, "schema": {"name": "_xdm.context.profile"}});
        space.export("waiting", waiting).await;
        for name in ["bought-twice", "waiting", &at_work.name_any()] {
            space.until_job(name, "known", |job| job.status.is_some()).await;
        }
        let namespaces: Api<Namespace> = Api::all(space.client.clone());
        let uid = namespaces.get(&space.name).await.unwrap().uid().unwrap();
        namespaces
            .delete(&space.name, &DeleteParams::background())
            .await
            .unwrap();
        wait::until_gone(namespaces, &space.name, &uid).await;
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_gone_cannot_hold_a_deletion() {
    on_cluster("lost", async |space: &Space| {
        space.furnish(1).await;
        let job = space.export_example(EXAMPLE, unschedulable).await;
        space.until_pod(&job, "there", |_| true).await;
        // Without its claim no pod can reach the dataset any more, not even to clean up.
        space
            .api::<Pod>()
            .delete("toolbox", &DeleteParams::default())
            .await
            .unwrap();
        let claims = space.api::<k8s_openapi::api::core::v1::PersistentVolumeClaim>();
        claims.delete("datasets", &DeleteParams::default()).await.unwrap();
        space.delete_and_wait(&job).await;
    })
    .await;
}
