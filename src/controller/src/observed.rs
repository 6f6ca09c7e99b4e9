//! What is known about one ExportJob when a decision is due, and how it is read from Kubernetes objects.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use exportjob_api::{Dataset, ExportJob, ProfileStore, SegmentDefinition};
use exportjob_plan::{ProgressReport, RunReport};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobStatus},
        core::v1::{ContainerState, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::job::{CONTAINER, Landing, UID_LABEL};

/// What is known about one ExportJob. Times are epoch milliseconds.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time.
    pub now_ms: i64,
    /// The job itself.
    pub export_job: Arc<ExportJob>,
    /// The id that was leased for it and is not in its status yet.
    pub id: Option<i64>,
    /// What jobs of its namespace can refer to. Only read while there is no Job yet, or a clean-up Job is due.
    pub references: Arc<References>,
    /// The service account that its spec names.
    pub service_account: ServiceAccount,
    /// Whether its namespace is being deleted. Only asked while the job or a pod of it is.
    pub namespace_terminating: bool,
    /// The export's Job.
    pub job: ChildJob,
    /// The clean-up Job.
    pub abort_job: ChildJob,
    /// The pods of both.
    pub pods: Vec<PodFacts>,
    /// How far the export is, over all of its pods.
    pub progress: Option<ProgressReport>,
    /// How the API server refused the last [`ApplyPlan`](crate::decision::Act::ApplyPlan),
    /// [`ApplyJob`](crate::decision::Act::ApplyJob) or [`ApplyAbortJob`](crate::decision::Act::ApplyAbortJob).
    pub refusal: Option<Refusal>,
}

/// What jobs of a namespace can refer to, by name.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The profile stores.
    pub stores: BTreeMap<String, ProfileStore>,
    /// The datasets.
    pub datasets: BTreeMap<String, Dataset>,
    /// The segment definitions.
    pub definitions: BTreeMap<String, SegmentDefinition>,
}

/// The service account that a spec names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceAccount {
    /// None is named, or it carries the annotation `exportjob.dev/export-pods: allowed`.
    #[default]
    Allowed,
    /// It is there without that annotation.
    NotAllowed,
    /// It is not there.
    Missing,
}

/// How the API server refused to create something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the object.
    pub name: String,
    /// Whether another try would be refused in the same way: the object is wrong in itself. False: quota, admission, or a
    /// name that belongs to somebody else, which may change.
    pub permanent: bool,
    /// What the API server said.
    pub message: String,
}

/// A Job of the ExportJob, as the cache has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ChildJob {
    /// The cache has none, which does not mean that there is none.
    #[default]
    Absent,
    /// It is there.
    Present(Box<JobFacts>),
}

/// What matters of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFacts {
    /// Its UID.
    pub uid: String,
    /// When it was created.
    pub created_at_ms: i64,
    /// When it was last started; `None` while it is suspended.
    pub started_at_ms: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Pods that are pending or run.
    pub active: i32,
    /// Pods that are being deleted.
    pub terminating: i32,
    /// Pods that failed.
    pub failed: i32,
    /// Pods that share its work.
    pub shards: i32,
    /// Pods that ended well.
    pub succeeded: i32,
    /// Since when it is to fail, and why, while pods of it are still being stopped.
    pub failing: Option<(i64, String)>,
    /// How it ended.
    pub end: JobEnd,
    /// Whether an export pod had started when this clean-up Job was made.
    pub pods_started: bool,
    /// Where it writes to, from its annotation.
    pub landing: Option<Landing>,
    /// Why its pods are not created (quota, admission), from the Events on it.
    pub warning: Option<Trouble>,
}

/// How a Job ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JobEnd {
    /// It has not, or its pods are still going.
    #[default]
    NotYet,
    /// A pod of each shard ended with exit code 0.
    Complete {
        /// When.
        at_ms: i64,
    },
    /// It failed; no pod of it is left running.
    Failed {
        /// When.
        at_ms: i64,
        /// Reason of the condition, such as `PodFailurePolicy`.
        reason: String,
        /// Message of the condition.
        message: String,
    },
}

/// What matters of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// UID of the Job that it belongs to.
    pub job_uid: String,
    /// Which shard of the export it is, from 0.
    pub shard: i32,
    /// When it was created.
    pub created_at_ms: i64,
    /// Whether it has a node. Before that, `trouble` says why not.
    pub scheduled: bool,
    /// Whether its container has ever started.
    pub started: bool,
    /// Whether its container runs now.
    pub running: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has ended: phase `Succeeded` or `Failed`.
    pub ended: bool,
    /// Why it does not start.
    pub trouble: Option<Trouble>,
    /// Exit code of its container.
    pub exit_code: Option<i32>,
    /// Why its container ended, such as `OOMKilled`.
    pub exit_reason: Option<String>,
    /// When its container ended.
    pub ended_at_ms: Option<i64>,
    /// What it said at its end.
    pub report: Option<RunReport>,
    /// Its address.
    pub ip: Option<IpAddr>,
}

/// Why something does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason, one CamelCase word, such as `ImagePullBackOff`.
    pub reason: String,
    /// What Kubernetes says.
    pub message: String,
    /// When an Event said so last; `None`: it is so now.
    pub at_ms: Option<i64>,
}

impl ChildJob {
    /// Facts of the cached Job, if it belongs to the ExportJob with this UID. `warning` is what Events said of it.
    pub fn of(job: Option<&Job>, owner_uid: &str, warning: Option<Trouble>) -> Self {
        let Some(job) = job.filter(|job| belongs_to(&job.metadata, owner_uid)) else {
            return Self::Absent;
        };
        let spec = job.spec.as_ref();
        let status = job.status.clone().unwrap_or_default();
        let annotation = |name: &str| {
            let annotations = job.metadata.annotations.as_ref()?;
            annotations.get(name).map(String::as_str)
        };
        Self::Present(Box::new(JobFacts {
            uid: job.metadata.uid.clone().unwrap_or_default(),
            created_at_ms: millis(job.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
            started_at_ms: millis(status.start_time.as_ref()),
            deleting: job.metadata.deletion_timestamp.is_some(),
            suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
            active: status.active.unwrap_or(0),
            terminating: status.terminating.unwrap_or(0),
            failed: status.failed.unwrap_or(0),
            shards: spec.and_then(|spec| spec.completions).unwrap_or(1),
            succeeded: status.succeeded.unwrap_or(0),
            failing: failing(&status),
            end: end(&status),
            pods_started: annotation(crate::job::PODS_STARTED_ANNOTATION) != Some("false"),
            landing: annotation(crate::job::LANDING_ANNOTATION).and_then(|text| serde_json::from_str(text).ok()),
            warning,
        }))
    }

    /// The facts, if it is there.
    pub fn present(&self) -> Option<&JobFacts> {
        match self {
            Self::Absent => None,
            Self::Present(facts) => Some(facts),
        }
    }
}

/// Whether an object was made for the ExportJob with this UID. `kubectl delete --cascade=orphan` takes the owner away;
/// it stays what it was made for all the same.
pub fn belongs_to(metadata: &ObjectMeta, uid: &str) -> bool {
    let owner = controller_uid(metadata);
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(UID_LABEL));
    owner == uid || (owner.is_empty() && label.is_some_and(|label| label == uid))
}

fn is_true<'a>(status: &'a JobStatus, type_: &str) -> Option<&'a JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn failing(status: &JobStatus) -> Option<(i64, String)> {
    let condition = is_true(status, "FailureTarget")?;
    let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
    let said = format!("{}: {}", reason.unwrap_or_default(), message.unwrap_or_default());
    Some((millis(condition.last_transition_time.as_ref())?, said))
}

fn end(status: &JobStatus) -> JobEnd {
    if let Some(condition) = is_true(status, "Complete") {
        let at = status.completion_time.as_ref();
        return JobEnd::Complete {
            at_ms: millis(at.or(condition.last_transition_time.as_ref())).unwrap_or_default(),
        };
    }
    match is_true(status, "Failed") {
        None => JobEnd::NotYet,
        Some(condition) => JobEnd::Failed {
            at_ms: millis(condition.last_transition_time.as_ref()).unwrap_or_default(),
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        },
    }
}

impl PodFacts {
    /// Facts of a cached pod. `warning` is what Events said of it, such as a volume that cannot be mounted.
    pub fn of(pod: &Pod, warning: Option<Trouble>) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let container = status
            .container_statuses
            .iter()
            .flatten()
            .find(|container| container.name == CONTAINER);
        let state = container.and_then(|container| container.state.as_ref());
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let running = state.is_some_and(|state| state.running.is_some());
        let started = running || terminated.is_some_and(|ended| ended.started_at.is_some());
        let scheduled = condition(&status, "PodScheduled");
        let mut facts = Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            job_uid: controller_uid(&pod.metadata),
            shard: shard(pod),
            created_at_ms: millis(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
            scheduled: scheduled.is_some_and(|condition| condition.status == "True"),
            started,
            running,
            deleting: pod.metadata.deletion_timestamp.is_some(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            exit_code: terminated.map(|ended| ended.exit_code),
            exit_reason: terminated.and_then(|ended| ended.reason.clone()),
            ended_at_ms: terminated.and_then(|ended| millis(ended.finished_at.as_ref())),
            report: terminated
                .and_then(|ended| ended.message.as_deref())
                .and_then(|message| serde_json::from_str(message).ok()),
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            trouble: None,
        };
        if !facts.ended && !started {
            facts.trouble = state
                .and_then(waiting)
                .or_else(|| scheduled.and_then(unscheduled))
                .or(warning);
        }
        facts
    }
}

/// Which shard of the export a pod is: its number in the Indexed Job.
pub fn shard(pod: &Pod) -> i32 {
    const LABEL: &str = "batch.kubernetes.io/job-completion-index";
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL));
    label.and_then(|label| label.parse().ok()).unwrap_or(0)
}

fn condition<'a>(
    status: &'a k8s_openapi::api::core::v1::PodStatus,
    type_: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
}

fn unscheduled(condition: &k8s_openapi::api::core::v1::PodCondition) -> Option<Trouble> {
    (condition.status == "False").then(|| Trouble {
        reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
        message: condition.message.clone().unwrap_or_default(),
        at_ms: None,
    })
}

/// What a container waits for, unless that is the ordinary course of things.
fn waiting(state: &ContainerState) -> Option<Trouble> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    if matches!(reason.as_str(), "ContainerCreating" | "PodInitializing") {
        return None;
    }
    Some(Trouble {
        reason,
        message: waiting.message.clone().unwrap_or_default(),
        at_ms: None,
    })
}

fn controller_uid(metadata: &ObjectMeta) -> String {
    let mut owners = metadata.owner_references.iter().flatten();
    owners
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
        .unwrap_or_default()
}

/// Epoch milliseconds of a Kubernetes time.
pub fn millis(time: Option<&Time>) -> Option<i64> {
    time.map(|time| time.0.as_millisecond())
}
