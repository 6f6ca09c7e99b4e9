//! The operator's own life: installed, tested, upgraded and uninstalled by helm while jobs run.
//!
//! One test at a time. Without `EXPORTJOB_E2E=1` they say that they were skipped.
// How much of its memory a test's future takes is of no matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    missing_docs
)]

use exportjob_api::{ExportJob, Phase};
use exportjob_tests::{
    data, node, operator,
    space::{Space, batches, on_cluster, phase},
};
use k8s_openapi::{
    api::core::v1::Pod, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const COPIES: u32 = 40;

/// A job at work, its pod stopped in the middle.
async fn at_work(space: &Space) -> Pod {
    space.furnish(COPIES).await;
    let spec = json!({
        "fields": "identities", "destination": {"datasetId": "cdnow-profiles"}, "schema": {"name": "_xdm.context.profile"},
        "execution": {"resources": {"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": "50m", "memory": "256Mi"}}},
    });
    let job = space.export("at-work", spec).await;
    let pod = space.until_running(&job).await;
    node::signal(&space.client, &pod, "STOP").await;
    space
        .until_job("at-work", "at work", |job| phase(job) == Some(Phase::Processing))
        .await;
    pod
}

/// The stopped job goes on and ends well, by one commit and in its first pod.
async fn assert_goes_on(space: &Space, pod: &Pod) {
    node::signal(&space.client, pod, "CONT").await;
    let job = space.until_ended("at-work", Phase::Succeeded).await;
    let batch = batches(&job).remove(0);
    assert_eq!(
        (space.transactions_of(&batch, 1), space.transactions_of(&batch, 2)),
        (1, 0)
    );
    let pods: Vec<String> = space.pods(&job).await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(pods, [pod.name_any()], "no other pod was needed");
    data::assert_verified_copies(&job, space.carry_out().path(), COPIES);
}

#[tokio::test]
async fn helm_test_passes() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("helm-test", async |_: &Space| {
        let said = operator::helm(&[
            "test",
            operator::RELEASE,
            "--namespace",
            operator::NAMESPACE,
            "--timeout",
            "3m",
        ]);
        assert!(said.contains("Succeeded"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_leaves_a_running_job_at_its_work() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("upgrade", async |space: &Space| {
        let pod = at_work(space).await;
        operator::install(&["controller.logLevel=debug"]);
        assert_goes_on(space, &pod).await;
        operator::install(&[]);
    })
    .await;
}

#[tokio::test]
async fn an_uninstall_leaves_jobs_and_definitions_and_the_next_install_takes_them_up() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("uninstall", async |space: &Space| {
        let pod = at_work(space).await;
        operator::helm(&[
            "uninstall",
            operator::RELEASE,
            "--namespace",
            operator::NAMESPACE,
            "--wait",
            "--timeout",
            "3m",
        ]);
        let definitions: Api<CustomResourceDefinition> = Api::all(space.client.clone());
        definitions
            .get("exportjobs.exportjob.dev")
            .await
            .expect("the definitions stay");
        let job = space.api::<ExportJob>().get("at-work").await.expect("the job stays");
        assert_eq!(phase(&job), Some(Phase::Processing));
        operator::install(&[]);
        assert_goes_on(space, &pod).await;
    })
    .await;
}
