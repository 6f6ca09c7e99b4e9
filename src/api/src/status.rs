//! `ExportJob.status`: the read-only part of the API's response, and Kubernetes conditions.
// The names are the API's.
#![allow(clippy::struct_field_names)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SegmentStatus;

/// What has become of an ExportJob. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExportJobStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Number of the job: unique in the cluster, increasing, less than 2^53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,

    /// Where the job stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Kind of the job, always `BATCH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,

    /// The dataset and the batches of this job. Assigned before anything runs; never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<DestinationStatus>,

    /// The merge policy that the job uses, with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_policy: Option<MergePolicyStatus>,

    /// Name of the profile store that the job reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_instance_id: Option<String>,

    /// Organisation of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ims_org_id: Option<String>,

    /// Id of the request that made the job; the ExportJob's UID where it was made without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,

    /// Why the job failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorRecord>,

    /// Times and counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,

    /// The Kubernetes Job that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_gateway_job_id: Option<ComputeGatewayJobId>,

    /// How far the export is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// The pods that share the export, where `execution.shards` asks for more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Shards>,

    /// When the job was created, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,

    /// When the status last changed, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,

    /// Milliseconds that the job has spent suspended, up to its last resumption. They do not count against
    /// `execution.activeDeadlineSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_time_in_ms: Option<i64>,

    /// `Complete`, `Failed`, `Suspended` and `Progressing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a job stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Accepted: it has its id and its batch ids, and no pod yet.
    New,
    /// Pods are at work.
    Processing,
    /// The batches are in the dataset.
    Succeeded,
    /// No batch of it is, or ever will be, in the dataset; `errors` says why.
    Failed,
    /// It was deleted and is being worked off.
    Cancelling,
}

impl Phase {
    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Processing => "PROCESSING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
        }
    }

    /// Whether nothing more will happen to the job by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Dataset and batches of a job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStatus {
    /// Name of the Dataset.
    pub dataset_id: String,
    /// Whether each segment has its own batch.
    #[serde(default)]
    pub segment_per_batch: bool,
    /// The batch, 32 hex digits, of a job with a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
    /// The batches of a job with one for each segment, in the order of the segments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<Batch>,
}

/// One batch of a job that writes one for each segment.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Id of the segment.
    pub segment_id: String,
    /// Namespace of the segment.
    pub segment_ns: String,
    /// States of membership that are exported.
    pub status: Vec<SegmentStatus>,
    /// The batch, 32 hex digits.
    pub batch_id: String,
}

/// The merge policy that a job uses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MergePolicyStatus {
    /// Id of the policy.
    pub id: String,
    /// Its version.
    pub version: i64,
}

/// One reason of a failure.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ErrorRecord {
    /// Stable code, for machines.
    pub code: String,
    /// What happened and what to do about it, for people.
    pub msg: String,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_stack: Option<String>,
}

/// Times and counts of a job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// From the job's creation to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_time: Option<TimeSpan>,
    /// Reading, merging and encoding profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_export_time: Option<TimeSpan>,
    /// Writing to the dataset, the commit included.
    #[serde(default, rename = "aCPDatasetWriteTime", skip_serializing_if = "Option::is_none")]
    pub dataset_write_time: Option<TimeSpan>,
    /// Profiles written, over all batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_exported_profile_counter: Option<i64>,
    /// Profiles written with at least one identity in the namespace, over all batches, by namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_profile_by_namespace_counter: Option<BTreeMap<String, i64>>,
}

/// A span of time in epoch milliseconds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TimeSpan {
    /// Its start.
    pub start_time_in_ms: i64,
    /// Its end. Absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time_in_ms: Option<i64>,
    /// From start to end. Absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_time_in_ms: Option<i64>,
}

impl TimeSpan {
    /// A span that has started, at `start` epoch milliseconds.
    pub fn open(start: i64) -> Self {
        Self {
            start_time_in_ms: start,
            end_time_in_ms: None,
            total_time_in_ms: None,
        }
    }

    /// A span with both ends in epoch milliseconds. Clocks that disagree never make it negative.
    pub fn closed(start: i64, end: i64) -> Self {
        let end = end.max(start);
        Self {
            start_time_in_ms: start,
            end_time_in_ms: Some(end),
            total_time_in_ms: Some(end - start),
        }
    }
}

/// The Kubernetes Job behind an ExportJob.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ComputeGatewayJobId {
    /// UID of the `batch/v1` Job; empty until it exists.
    pub export_job: String,
}

/// How far an export is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Share of the rows that are read, for people: `37%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Rows read from the store's tables so far.
    #[serde(default)]
    pub rows_read: i64,
    /// Rows that the export will read, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_total: Option<i64>,
    /// Profiles found to be in the audience so far.
    #[serde(default)]
    pub profiles_matched: i64,
    /// Profiles written so far, over all batches.
    #[serde(default)]
    pub profiles_written: i64,
}

/// The pods that share an export.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Shards {
    /// How many there are.
    pub total: i32,
    /// How many have written their share. The last one commits it all.
    pub succeeded: i32,
}
