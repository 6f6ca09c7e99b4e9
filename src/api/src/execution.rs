//! `spec.execution`: how an export runs on the cluster.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

const IMMUTABLE: &str = "cannot be changed once the job is accepted: delete this ExportJob and create another";

/// The operator's own settings of one job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Image of the export pods. Default: the operator's. The operator's `exporter.allowedImages` decides which images
    /// may be named here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new(rules::NOT_EMPTY).message("must name an image, or be left out for the operator's own")
    )]
    pub image: Option<String>,

    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new("self in ['Always', 'IfNotPresent', 'Never']").message("must be Always, IfNotPresent or Never")
    )]
    pub image_pull_policy: Option<String>,

    /// Compute resources of each export pod. The exporter sizes its memory pool from the memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub resources: Option<Resources>,

    /// Number of pods that share the export, each reading its share of the store's buckets. Default 1. More than 1 needs
    /// a ProfileStore all of whose tables declare `bucketing`, with at least as many buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new("self >= 1 && self <= 256").message("must be between 1 and 256")
    )]
    pub shards: Option<i32>,

    /// Whether the export waits: no pod runs while this is true. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Cancels the job and keeps its record: phase `FAILED`, error code `CANCELLED`. Cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,

    /// How often a failed export pod is replaced before the job fails. Evictions and user errors do not count. Default:
    /// the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new("self >= 0 && self <= 100").message("must be between 0 and 100")
    )]
    pub backoff_limit: Option<i32>,

    /// Seconds from the job's creation until it fails, whatever it is doing, waiting for references included; time
    /// spent suspended does not count. Default: no limit on running, the operator's on waiting for references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new("self >= 1").message("must be 1 or more")
    )]
    pub active_deadline_seconds: Option<i64>,

    /// Seconds after its end (of any kind) until the ExportJob is deleted. The batch stays. Absent: it is kept. May be
    /// changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0").message("must be 0 or more"))]
    pub ttl_seconds_after_finished: Option<i64>,

    /// Service account of the export pods, for image pull secrets and workload identity; its token is never mounted. The
    /// account must carry the annotation `exportjob.dev/export-pods: allowed`. Default: the namespace's `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new(rules::NOT_EMPTY).message("must name a service account, or be left out for `default`")
    )]
    pub service_account_name: Option<String>,

    /// Local queue of Kueue: becomes the label `kueue.x-k8s.io/queue-name` of the `batch/v1` Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("must be the name of a queue: lower case letters, digits and -")
    )]
    pub queue_name: Option<String>,

    /// Overrides for the export pods: scheduling, labels, annotations, environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub pod_template: Option<PodTemplate>,
}

/// Compute resources, as in a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Most that a pod may use, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
    /// What the scheduler sets aside for a pod, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
}

/// What a job may change on its pods. Volumes, commands and rights are the operator's alone: a manifest must not give
/// its author more than the author has.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels added to the pods. The operator's own win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations added to the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods bear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods to nodes and other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How pods are spread over the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Runtime class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Scheduler of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    /// Secrets for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Environment of the exporter, for example `RUST_LOG`. Values are plain text: no secret belongs here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvironmentVariable>,
    /// Users and groups of the pods, for volumes that ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurity>,
}

/// One environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentVariable {
    /// Name of the variable.
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(rules::IS_NO_CREDENTIAL_VARIABLE).message(rules::CREDENTIAL_VARIABLE_MESSAGE))]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Users and groups of a pod. Root is refused, as the restricted Pod Security Standard asks.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// User id. Default 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be 1 or more: export pods do not run as root"))]
    pub run_as_user: Option<i64>,
    /// Group id. Default 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be 1 or more: export pods do not run as root"))]
    pub run_as_group: Option<i64>,
    /// Group that owns mounted volumes. Default 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be 1 or more: export pods do not run as root"))]
    pub fs_group: Option<i64>,
    /// More groups of the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(g, g >= 1)").message("must be 1 or more: export pods do not run as root"))]
    pub supplemental_groups: Vec<i64>,
}
