//! The controller dies, again and again, and is away at the worst moments: nothing is lost and nothing is done twice.
//!
//! One test at a time: they share the one operator. Without `EXPORTJOB_E2E=1` they say that they were skipped.
// How much of its memory a test's future takes is of no matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    missing_docs
)]

use std::{collections::BTreeSet, pin::pin};

use exportjob_api::{ExportJob, Phase};
use exportjob_tests::{
    data, node, operator,
    random::Random,
    space::{Space, batches, child_name, on_cluster, phase},
    wait,
};
use futures::TryStreamExt as _;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Most changes of jobs between two deaths of the controller.
const CHANGES: u64 = 6;
const COPIES: u32 = 40;

fn controllers(space: &Space) -> Api<Pod> {
    Api::namespaced(space.client.clone(), operator::NAMESPACE)
}

fn selector() -> String {
    format!(
        "app.kubernetes.io/instance={},app.kubernetes.io/component=controller",
        operator::RELEASE
    )
}

/// Kills all controllers at once, without a chance to clean up.
async fn kill_controllers(space: &Space) {
    let pods = controllers(space);
    let now = DeleteParams::default().grace_period(0);
    let found = pods.list(&ListParams::default().labels(&selector())).await.unwrap();
    assert!(
        !found.items.is_empty() || deployment_is_restarting(space).await,
        "the controller's pods can be found"
    );
    for pod in found {
        // It may have gone by itself in between.
        let _ = pods.delete(&pod.name_any(), &now).await;
    }
}

async fn deployment_is_restarting(space: &Space) -> bool {
    let deployments: Api<Deployment> = Api::namespaced(space.client.clone(), operator::NAMESPACE);
    deployments.get(operator::RELEASE).await.is_ok()
}

/// Sets the number of controllers and waits until it is so.
async fn scale(space: &Space, replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(space.client.clone(), operator::NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments
        .patch(operator::RELEASE, &PatchParams::default(), &patch)
        .await
        .expect("the operator can be scaled");
    if replicas > 0 {
        return;
    }
    for pod in controllers(space)
        .list(&ListParams::default().labels(&selector()))
        .await
        .unwrap()
    {
        wait::until_gone(controllers(space), &pod.name_any(), &pod.uid().unwrap()).await;
    }
}

/// Kills the controller after a random number of changes of jobs, until all jobs have ended.
async fn kill_until_all_ended(space: &Space, mut unfinished: BTreeSet<String>, random: &mut Random) -> u32 {
    let mut changes = pin!(
        watcher(space.api::<ExportJob>(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
    );
    let (mut deaths, mut left) = (0, random.below(CHANGES) + 1);
    while !unfinished.is_empty() {
        let next = tokio::time::timeout(wait::PATIENCE, changes.try_next()).await;
        let Ok(next) = next else {
            panic!("nothing changes any more; unfinished: {unfinished:?}")
        };
        let job = next.expect("jobs can be watched").expect("a watch does not end");
        if phase(&job).is_some_and(Phase::is_terminal) {
            unfinished.remove(&job.name_any());
        }
        left -= 1;
        if left == 0 && !unfinished.is_empty() {
            kill_controllers(space).await;
            deaths += 1;
            left = random.below(CHANGES) + 1;
        }
    }
    deaths
}

#[tokio::test]
async fn a_controller_that_dies_at_any_moment_loses_nothing_and_does_nothing_twice() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("deaths", async |space: &Space| {
        let mut random = Random::from_environment();
        space.furnish(1).await;
        let mut jobs = Vec::new();
        for round in 0..3 {
            for file in ["exportjob.yaml", "exportjob-per-segment.yaml", "exportjob-events.yaml"] {
                jobs.push(export_copy(space, file, round).await);
            }
        }
        let names: BTreeSet<String> = jobs.iter().map(ResourceExt::name_any).collect();
        let deaths = kill_until_all_ended(space, names, &mut random).await;
        println!("the controller died {deaths} times");
        assert_all_succeeded_once(space, &jobs).await;
    })
    .await;
}

/// A job like that of an example, under another name.
async fn export_copy(space: &Space, file: &str, round: u32) -> ExportJob {
    let text = std::fs::read_to_string(data::example(file)).unwrap();
    let example: Value = serde_yaml::from_str(&text).unwrap();
    let name = format!("{}-{round}", example["metadata"]["name"].as_str().unwrap());
    space.export(&name, example["spec"].clone()).await
}

async fn assert_all_succeeded_once(space: &Space, jobs: &[ExportJob]) {
    let datasets = space.carry_out();
    let mut ids = BTreeSet::new();
    for job in jobs {
        let ended = space.until_ended(&job.name_any(), Phase::Succeeded).await;
        assert!(ids.insert(ended.status.as_ref().unwrap().id), "an id is given once");
        for batch in batches(&ended) {
            assert_eq!(
                (space.transactions_of(&batch, 1), space.transactions_of(&batch, 2)),
                (1, 0),
                "{batch}"
            );
        }
        data::assert_verified(&ended, datasets.path());
    }
    let mut children: Vec<String> = space
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let mut expected: Vec<String> = jobs.iter().map(child_name).collect();
    children.sort();
    expected.sort();
    assert_eq!(children, expected, "one Job for each ExportJob");
}

/// A job whose pod committed the batch while no controller was there to see it.
async fn committed_unseen(space: &Space, change: impl AsyncFnOnce(&Api<ExportJob>)) -> ExportJob {
    space.furnish(COPIES).await;
    let spec = json!({
        "fields": "identities", "destination": {"datasetId": "cdnow-profiles"}, "schema": {"name": "_xdm.context.profile"},
        "execution": {"resources": {"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": "50m", "memory": "256Mi"}}},
    });
    let job = space.export("unseen", spec).await;
    let pod = space.until_running(&job).await;
    node::signal(&space.client, &pod, "STOP").await;
    let job = space
        .until_job("unseen", "at work", |job| phase(job) == Some(Phase::Processing))
        .await;
    scale(space, 0).await;
    change(&space.api()).await;
    node::signal(&space.client, &pod, "CONT").await;
    wait::until_it(space.api::<Pod>(), &pod.name_any(), "done", |pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
    })
    .await;
    assert_eq!(space.transactions_of(&batches(&job)[0], 1), 1);
    scale(space, 1).await;
    job
}

fn assert_batch_stays(space: &Space, job: &ExportJob) {
    for batch in batches(job) {
        assert_eq!(
            (space.transactions_of(&batch, 1), space.transactions_of(&batch, 2)),
            (1, 0),
            "{batch}"
        );
        assert!(!space.files_of(&batch).is_empty());
    }
}

#[tokio::test]
async fn a_deletion_just_after_the_commit_leaves_the_batch() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("just-deleted", async |space: &Space| {
        let job = committed_unseen(space, async |jobs| {
            jobs.delete("unseen", &DeleteParams::default()).await.unwrap();
        })
        .await;
        wait::until_gone(space.api::<ExportJob>(), "unseen", &job.uid().unwrap()).await;
        assert_batch_stays(space, &job);
        let reasons = space.reasons(&job).await;
        assert!(
            reasons.iter().any(|reason| reason.contains("Commit")),
            "an Event says that the batch stays: {reasons:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_cancel_just_after_the_commit_is_too_late_and_says_so() {
    let _one = ONE_AT_A_TIME.lock().await;
    on_cluster("just-cancelled", async |space: &Space| {
        let cancel = Patch::Merge(json!({"spec": {"execution": {"cancel": true}}}));
        let job = committed_unseen(space, async |jobs| {
            jobs.patch("unseen", &PatchParams::default(), &cancel).await.unwrap();
        })
        .await;
        let ended = space.until_ended("unseen", Phase::Succeeded).await;
        assert_batch_stays(space, &job);
        data::assert_verified_copies(&ended, space.carry_out().path(), COPIES);
    })
    .await;
}
