//! The Kubernetes objects of an export: its plan, its Job, its clean-up Job. Built whole, without a webhook, and
//! without any way to fail: what could be wrong was refused before.

mod pod;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use exportjob_api::{Dataset, ExportJob, FIELD_MANAGER, ProfileStore, Volume};
use exportjob_plan::{ExportPlan, abort_job_name, exit, job_name, plan_name, pod::PLAN_KEY};
use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::ConfigMap,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Name of the exporter's container.
pub const CONTAINER: &str = "exporter";
/// Label with the name of the ExportJob, or a name that follows from it where that is too long for a label.
pub const EXPORT_JOB_LABEL: &str = "exportjob.dev/export-job";
/// Label with the UID of the ExportJob.
pub const UID_LABEL: &str = "exportjob.dev/uid";
/// Label by which Kueue knows the queue of a Job.
pub const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
/// Annotation of a Job with its [`Landing`], as JSON: the Dataset may be gone when the batch must be aborted.
pub const LANDING_ANNOTATION: &str = "exportjob.dev/landing";
/// Annotation of a clean-up Job: `false` where no export pod had started when it was made.
pub const PODS_STARTED_ANNOTATION: &str = "exportjob.dev/export-pods-started";
/// How often a failed clean-up pod is replaced: with the Job controller's backoff of 10 s that doubles, some minutes.
const ABORT_BACKOFF_LIMIT: i32 = 4;

/// Where an export writes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Landing {
    /// Name of the Dataset.
    pub dataset: String,
    /// Its location.
    pub location: String,
    /// Where its volume is mounted.
    pub mount_path: String,
    /// Its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// The Secret with its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

impl Landing {
    /// Where exports into this Dataset write to.
    pub fn of(dataset: &Dataset) -> Self {
        Self {
            dataset: dataset.name_any(),
            location: dataset.spec.location.clone(),
            mount_path: dataset.spec.mount_path().to_owned(),
            volume: dataset.spec.volume.clone(),
            credentials: pod::secret(dataset.spec.credentials.as_ref()),
        }
    }
}

/// The ConfigMap with the plan: immutable, owned by the ExportJob, so that the clean-up finds it, too.
pub fn plan_config_map(export_job: &ExportJob, plan: &ExportPlan) -> ConfigMap {
    // A plan has string keys only: it always serialises.
    let text = serde_json::to_string(plan).unwrap_or_default();
    ConfigMap {
        metadata: metadata(export_job, plan_name(&export_job.name_any(), &uid(export_job)), "plan"),
        immutable: Some(true),
        data: Some(BTreeMap::from([(PLAN_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// The Job that exports.
pub fn export(export_job: &ExportJob, store: &ProfileStore, landing: &Landing, settings: &Settings) -> Job {
    let execution = export_job.spec.execution.clone().unwrap_or_default();
    let name = job_name(&export_job.name_any(), &uid(export_job));
    let mut metadata = metadata(export_job, name, "exporter");
    if let Some(queue) = &execution.queue_name {
        metadata
            .labels
            .get_or_insert_default()
            .insert(QUEUE_LABEL.to_owned(), queue.clone());
    }
    metadata.annotations = Some(BTreeMap::from([landing_annotation(landing)]));
    let template = pod::template(
        &pod::Parts {
            export_job,
            landing,
            store: Some(store),
            command: "run",
            labels: labels(export_job, "exporter"),
        },
        settings,
    );
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit_per_index: Some(execution.backoff_limit.unwrap_or(settings.backoff_limit)),
            max_failed_indexes: Some(0),
            pod_failure_policy: Some(failure_policy(&[exit::USER_ERROR, exit::ABORTED])),
            // A queue admits a Job by taking its suspension back.
            suspend: Some(execution.queue_name.is_some() || execution.suspend == Some(true)),
            ..indexed(template, shards(export_job))
        }),
        status: None,
    }
}

/// How many pods share the export.
pub fn shards(export_job: &ExportJob) -> i32 {
    let execution = export_job.spec.execution.as_ref();
    execution.and_then(|execution| execution.shards).unwrap_or(1).max(1)
}

/// The Job that aborts the batches. `pods_started`: whether an export pod has ever started, as far as is known.
pub fn abort(export_job: &ExportJob, landing: &Landing, pods_started: bool, suspend: bool, settings: &Settings) -> Job {
    let name = abort_job_name(&export_job.name_any(), &uid(export_job));
    let mut metadata = metadata(export_job, name, "clean-up");
    metadata.annotations = Some(BTreeMap::from([
        landing_annotation(landing),
        (PODS_STARTED_ANNOTATION.to_owned(), pods_started.to_string()),
    ]));
    let template = pod::template(
        &pod::Parts {
            export_job,
            landing,
            store: None,
            command: "abort",
            labels: labels(export_job, "clean-up"),
        },
        settings,
    );
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit_per_index: Some(ABORT_BACKOFF_LIMIT),
            max_failed_indexes: Some(0),
            pod_failure_policy: Some(failure_policy(&[exit::USER_ERROR])),
            suspend: Some(suspend),
            ..indexed(template, 1)
        }),
        status: None,
    }
}

/// All pods at once: the last one commits, and until then the others' files wait.
fn indexed(template: k8s_openapi::api::core::v1::PodTemplateSpec, pods: i32) -> JobSpec {
    JobSpec {
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(pods),
        parallelism: Some(pods),
        // No second pod before the first is gone.
        pod_replacement_policy: Some("Failed".to_owned()),
        template,
        ..JobSpec::default()
    }
}

/// The first rule that fits decides: an exit code that another try would not change fails the Job even if the pod was
/// being evicted; any other end of an evicted pod is not counted.
fn failure_policy(fail_job: &[u8]) -> PodFailurePolicy {
    let mut rules: Vec<PodFailurePolicyRule> = fail_job
        .iter()
        .map(|code| PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(CONTAINER.to_owned()),
                operator: "In".to_owned(),
                values: vec![i32::from(*code)],
            }),
            on_pod_conditions: None,
        })
        .collect();
    rules.push(PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            status: "True".to_owned(),
            type_: "DisruptionTarget".to_owned(),
        }]),
    });
    PodFailurePolicy { rules }
}

fn metadata(export_job: &ExportJob, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: export_job.namespace(),
        labels: Some(labels(export_job, component)),
        owner_references: Some(vec![OwnerReference {
            api_version: ExportJob::api_version(&()).into_owned(),
            kind: ExportJob::kind(&()).into_owned(),
            name: export_job.name_any(),
            uid: uid(export_job),
            controller: Some(true),
            // With it, a deletion in the foreground would remove the clean-up that the deletion waits for.
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

fn labels(export_job: &ExportJob, component: &str) -> BTreeMap<String, String> {
    /// Longest value of a label.
    const LABEL_BYTES: usize = 63;
    let uid = uid(export_job);
    let mut name = export_job.name_any();
    if name.len() > LABEL_BYTES {
        name = job_name(&name, &uid);
    }
    [
        ("app.kubernetes.io/name", "exportjob"),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/managed-by", FIELD_MANAGER),
        ("app.kubernetes.io/instance", &name),
        (EXPORT_JOB_LABEL, &name),
        (UID_LABEL, &uid),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn landing_annotation(landing: &Landing) -> (String, String) {
    // It has string keys only: it always serialises.
    (
        LANDING_ANNOTATION.to_owned(),
        serde_json::to_string(landing).unwrap_or_default(),
    )
}

fn uid(export_job: &ExportJob) -> String {
    export_job.metadata.uid.clone().unwrap_or_default()
}
