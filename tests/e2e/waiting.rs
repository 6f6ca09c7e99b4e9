//! Jobs that cannot start yet: they say why, go on by themselves when they can, and fail when it takes too long.

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::code;
use exportjob_tests::{
    data,
    space::{Space, conditions, error, on_cluster, phase},
};
use serde_json::json;

use crate::common::{EXAMPLE, assert_exported, assert_nothing_written};

/// Message of the condition that says what a job is doing.
fn progressing(job: &ExportJob) -> String {
    conditions(job).remove("Progressing").unwrap_or_default()
}

#[tokio::test]
async fn a_job_before_its_store_says_what_is_missing_and_goes_on_when_it_comes() {
    on_cluster("before", async |space: &Space| {
        space.make_volumes().await;
        space.export_example(EXAMPLE, |_| ()).await;
        let job = space
            .until_job("bought-twice", "waiting", |job| progressing(job).contains("NotFound"))
            .await;
        assert!(progressing(&job).contains("\"ups\""), "{}", progressing(&job));
        assert_eq!(phase(&job), Some(Phase::New));
        let known = job.status.unwrap();
        assert!(
            known.id.is_some() && known.destination.is_some(),
            "ids are assigned before anything runs"
        );
        space.carry_in(&data::store(1), "/store");
        space.apply_settings();
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        let status = job.status.as_ref().unwrap();
        assert_eq!(
            (status.id, &status.destination),
            (known.id, &known.destination),
            "ids do not change"
        );
        assert_exported(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_store_never_comes_fails_by_name() {
    on_cluster("never", async |space: &Space| {
        space
            .export_example(EXAMPLE, |spec| spec["execution"] = json!({"activeDeadlineSeconds": 5}))
            .await;
        let job = space.until_ended("bought-twice", Phase::Failed).await;
        let (found, message) = error(&job);
        assert!(
            [code::REFERENCE_NOT_FOUND, code::DEADLINE_EXCEEDED].contains(&found.as_str()),
            "{found}"
        );
        assert!(message.contains("ups"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_first_and_fails_the_job_after_the_grace() {
    on_cluster("image", async |space: &Space| {
        space.furnish(1).await;
        let image = "registry.invalid/no-such-exporter:v0";
        space
            .export_example(EXAMPLE, |spec| spec["execution"] = json!({"image": image}))
            .await;
        let told = |job: &ExportJob| {
            let said = progressing(job);
            said.contains("ErrImagePull") || said.contains("ImagePullBackOff")
        };
        let job = space
            .until_job("bought-twice", "told why", |job| {
                told(job) || phase(job) == Some(Phase::Failed)
            })
            .await;
        assert!(told(&job), "the reason comes before the failure: {:#?}", job.status);
        assert_eq!(phase(&job), Some(Phase::Processing));
        let job = space.until_ended("bought-twice", Phase::Failed).await;
        let (found, message) = error(&job);
        assert_eq!(found, code::POD_CANNOT_START);
        assert!(message.contains(image), "{message}");
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn an_image_that_is_not_allowed_is_refused() {
    on_cluster("forbidden", async |space: &Space| {
        space.furnish(1).await;
        let image = "example.com/somebody-elses:v1";
        space
            .export_example(EXAMPLE, |spec| spec["execution"] = json!({"image": image}))
            .await;
        let job = space.until_ended("bought-twice", Phase::Failed).await;
        let (found, message) = error(&job);
        assert_eq!(found, code::NOT_ALLOWED);
        assert!(
            message.contains(image) && message.contains("allowedImages"),
            "{message}"
        );
        assert!(space.pods(&job).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_told_and_fails_the_job_after_the_grace() {
    on_cluster("nodes", async |space: &Space| {
        space.furnish(1).await;
        let selector = json!({"podTemplate": {"nodeSelector": {"exportjob.dev/no-such-node": "true"}}});
        space.export_example(EXAMPLE, |spec| spec["execution"] = selector).await;
        let told = |job: &ExportJob| progressing(job).contains("Unschedulable");
        let job = space
            .until_job("bought-twice", "told why", |job| {
                told(job) || phase(job) == Some(Phase::Failed)
            })
            .await;
        assert!(told(&job), "the reason comes before the failure: {:#?}", job.status);
        let job = space.until_ended("bought-twice", Phase::Failed).await;
        let (found, message) = error(&job);
        assert_eq!(found, code::POD_CANNOT_START);
        assert!(message.contains("node"), "{message}");
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_a_quota_keeps_out_is_told() {
    on_cluster("quota", async |space: &Space| {
        space.furnish(1).await;
        space
            .create_object::<k8s_openapi::api::core::v1::ResourceQuota>(json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one-pod"},
                "spec": {"hard": {"pods": "1"}},
            }))
            .await;
        space.export_example(EXAMPLE, |_| ()).await;
        let told = |job: &ExportJob| progressing(job).contains("quota");
        let job = space
            .until_job("bought-twice", "told why", |job| {
                told(job) || phase(job) == Some(Phase::Failed)
            })
            .await;
        assert!(told(&job), "{:#?}", job.status);
        // With room for it the pod starts after all.
        space
            .api::<k8s_openapi::api::core::v1::ResourceQuota>()
            .delete("one-pod", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        space.until_ended("bought-twice", Phase::Succeeded).await;
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_missing_is_told() {
    on_cluster("claim", async |space: &Space| {
        space.apply_settings();
        space.export_example(EXAMPLE, |_| ()).await;
        let told = |job: &ExportJob| progressing(job).contains("persistentvolumeclaim");
        let job = space
            .until_job("bought-twice", "told why", |job| {
                told(job) || phase(job) == Some(Phase::Failed)
            })
            .await;
        assert!(told(&job), "{:#?}", job.status);
        space.delete_and_wait(&job).await;
    })
    .await;
}
