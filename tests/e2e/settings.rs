//! What `spec.execution` asks for.

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::code;
use exportjob_tests::{
    space::{Space, conditions, error, on_cluster, phase},
    wait,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::common::{EXAMPLE, MANY, assert_exported, assert_nothing_written, slow};

#[tokio::test]
async fn resources_and_overrides_reach_the_pod_and_do_not_loosen_it() {
    on_cluster("template", async |space: &Space| {
        space.furnish(1).await;
        let execution = json!({
            "resources": {"limits": {"memory": "700Mi"}, "requests": {"cpu": "50m", "memory": "300Mi"}},
            "podTemplate": {
                "labels": {"team": "audiences"}, "annotations": {"example.com/note": "kept"},
                "tolerations": [{"key": "example.com/spot", "operator": "Exists"}],
                "env": [{"name": "RUST_LOG", "value": "debug"}],
                "securityContext": {"fsGroup": 65532, "supplementalGroups": [4000]},
            },
        });
        let job = space
            .export_example(EXAMPLE, |spec| spec["execution"] = execution)
            .await;
        let finished = space.until_ended("bought-twice", Phase::Succeeded).await;
        assert_exported(space, &finished);
        let pod = serde_json::to_value(space.pods(&job).await.remove(0)).unwrap();
        assert_eq!(pod["metadata"]["labels"]["team"], "audiences");
        assert_eq!(pod["metadata"]["annotations"]["example.com/note"], "kept");
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["memory"], "700Mi");
        assert_eq!(
            container["resources"]["requests"],
            json!({"cpu": "50m", "memory": "300Mi"})
        );
        let env = container["env"].as_array().unwrap();
        assert!(
            env.iter()
                .any(|one| one["name"] == "RUST_LOG" && one["value"] == "debug"),
            "{env:?}"
        );
        let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
        assert!(
            tolerations.iter().any(|one| one["key"] == "example.com/spot"),
            "{tolerations:?}"
        );
        assert_eq!(pod["spec"]["securityContext"]["supplementalGroups"], json!([4000]));
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let mounts = container["volumeMounts"].as_array().unwrap();
        let store = mounts.iter().find(|mount| mount["mountPath"] == "/store").unwrap();
        assert_eq!(store["readOnly"], true, "the store is only read");
    })
    .await;
}

async fn suspend(space: &Space, name: &str, suspend: bool) {
    let jobs: Api<ExportJob> = space.api();
    let patch = json!({"spec": {"execution": {"suspend": suspend}}});
    jobs.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("suspend can be changed");
}

fn is_suspended(job: &ExportJob) -> bool {
    conditions(job)
        .get("Suspended")
        .is_some_and(|condition| condition.starts_with("True/"))
}

#[tokio::test]
async fn a_suspended_job_has_no_pod_until_it_is_resumed() {
    on_cluster("suspend", async |space: &Space| {
        space.furnish(1).await;
        space
            .export_example(EXAMPLE, |spec| spec["execution"] = json!({"suspend": true}))
            .await;
        let job = space.until_job("bought-twice", "suspended", is_suspended).await;
        assert!(space.pods(&job).await.is_empty());
        assert_eq!(phase(&job), Some(Phase::New));
        suspend(space, "bought-twice", false).await;
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        assert!(!is_suspended(&job));
        assert_exported(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_suspended_at_work_stops_and_starts_over() {
    on_cluster("resume", async |space: &Space| {
        space.furnish(MANY).await;
        let job = space.export("slow", slow()).await;
        let pod = space.until_running(&job).await;
        suspend(space, "slow", true).await;
        let job = space.until_job("slow", "suspended", is_suspended).await;
        wait::until_gone(space.api::<Pod>(), &pod.name_any(), &pod.uid().unwrap()).await;
        space.delete_and_wait(&job).await;
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_job_over_its_deadline_fails_and_leaves_nothing() {
    on_cluster("deadline", async |space: &Space| {
        space.furnish(MANY).await;
        let mut spec = slow();
        spec["execution"]["activeDeadlineSeconds"] = json!(3);
        space.export("slow", spec).await;
        let job = space.until_ended("slow", Phase::Failed).await;
        assert_eq!(error(&job).0, code::DEADLINE_EXCEEDED);
        assert_nothing_written(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_finished_job_goes_after_its_time_and_its_batch_stays() {
    on_cluster("ttl", async |space: &Space| {
        space.furnish(1).await;
        space.export_example(EXAMPLE, |_| ()).await;
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        let jobs: Api<ExportJob> = space.api();
        let ttl = json!({"spec": {"execution": {"ttlSecondsAfterFinished": 1}}});
        jobs.patch("bought-twice", &PatchParams::default(), &Patch::Merge(ttl))
            .await
            .unwrap();
        wait::until_gone(jobs, "bought-twice", &job.uid().unwrap()).await;
        assert_exported(space, &job);
    })
    .await;
}

#[tokio::test]
async fn a_failed_job_goes_after_its_time_too() {
    on_cluster("ttl-failed", async |space: &Space| {
        space.furnish(1).await;
        let job = space
            .export_example(EXAMPLE, |spec| {
                spec["fields"] = json!("no.such.field");
                spec["execution"] = json!({"ttlSecondsAfterFinished": 1});
            })
            .await;
        wait::until_gone(space.api::<ExportJob>(), "bought-twice", &job.uid().unwrap()).await;
        let children = space.api::<Job>();
        let child = exportjob_tests::space::child_name(&job);
        wait::until(children, &child, "gone", |child| child.is_none()).await;
    })
    .await;
}
