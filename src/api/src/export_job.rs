//! `ExportJob`: the body of the API's POST, field for field, and the operator's own `execution`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Execution, ExportJobStatus, number::integral, rules};

/// Message of every rule that keeps an accepted spec as it is.
const IMMUTABLE: &str = "cannot be changed once the job is accepted; only execution.suspend, execution.cancel and execution.ttlSecondsAfterFinished can: delete this ExportJob and create another";

/// Fields of the spec that may be absent, and stay as they were.
const OPTIONAL: &[&str] = &[
    "fields",
    "mergePolicy",
    "filter",
    "additionalFields",
    "evaluationInfo",
    "profileInstanceId",
];
/// Fields of `execution` that stay as they were.
const OPTIONAL_EXECUTION: &[&str] = &[
    "image",
    "imagePullPolicy",
    "resources",
    "shards",
    "backoffLimit",
    "activeDeadlineSeconds",
    "serviceAccountName",
    "queueName",
    "podTemplate",
];

/// What to export, from which profiles, and where to.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "exportjob.dev",
    version = "v1alpha1",
    kind = "ExportJob",
    namespaced,
    status = "ExportJobStatus",
    shortname = "ej",
    category = "exports",
    derive = "PartialEq",
    derive = "Default",
    cel,
    doc = "An ExportJob stitches and merges the fragments of a profile store, filters an audience and lands it in a dataset, exactly once.",
    selectable = ".status.phase",
    selectable = ".spec.destination.datasetId",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "ID", type_ = "integer", json_path = ".status.id"),
    printcolumn(name = "Dataset", type_ = "string", json_path = ".spec.destination.datasetId"),
    printcolumn(
        name = "Profiles",
        type_ = "integer",
        json_path = ".status.metrics.totalExportedProfileCounter"
    ),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Store",
        type_ = "string",
        json_path = ".status.profileInstanceId",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Progressing\")].reason",
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new(rules::neither_added_nor_removed(OPTIONAL)).message(IMMUTABLE),
    validation = Rule::new(rules::neither_added_nor_removed_in("execution", OPTIONAL_EXECUTION)).message(IMMUTABLE),
    validation = Rule::new("!has(oldSelf.execution) || !has(oldSelf.execution.cancel) || !oldSelf.execution.cancel || (has(self.execution) && has(self.execution.cancel) && self.execution.cancel)")
        .message("execution.cancel cannot be taken back: create another ExportJob"),
    validation = Rule::new("!has(self.destination.segmentPerBatch) || !self.destination.segmentPerBatch || (has(self.filter) && has(self.filter.segments) && self.filter.segments.size() > 0)")
        .message("destination.segmentPerBatch needs at least one entry in filter.segments"),
    validation = Rule::new("!has(self.filter) || !has(self.filter.segmentQualificationTime) || (has(self.filter.segments) && self.filter.segments.size() > 0)")
        .message("filter.segmentQualificationTime needs at least one entry in filter.segments")
)]
#[serde(rename_all = "camelCase")]
pub struct ExportJobSpec {
    /// Comma-separated dotted paths of the profile fields to export, for example `identities.id,personalEmail.address`.
    /// A path to an object takes all of it. Blank or absent: all fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub fields: Option<String>,

    /// The merge policy that governs stitching and attributes. Absent: the policy of the listed segments, if they agree,
    /// else (without segments) the store's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub merge_policy: Option<MergePolicyReference>,

    /// Which profiles are exported. Absent: all that have at least one profile record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub filter: Option<Filter>,

    /// Fields of associated objects (experience events) to export beside the profile's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub additional_fields: Option<AdditionalFields>,

    /// Where the exported data goes.
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub destination: Destination,

    /// The schema of the exported data.
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub schema: SchemaReference,

    /// Whether segment membership is evaluated for this export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE))]
    pub evaluation_info: Option<EvaluationInfo>,

    /// Name of the ProfileStore in this namespace to read. Default `ups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new(rules::UNCHANGED).message(IMMUTABLE),
        validation = Rule::new(rules::NOT_EMPTY).message("must name a ProfileStore, or be left out for `ups`")
    )]
    pub profile_instance_id: Option<String>,

    /// How the export runs on the cluster. Not part of the API's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
}

/// A merge policy of the profile store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MergePolicyReference {
    /// Id of an entry in the store's `mergePolicies`.
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a merge policy of the profile store"))]
    pub id: String,

    /// Version of that entry. Absent: the highest one.
    #[serde(default, deserialize_with = "integral", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be 1 or more"))]
    pub version: Option<i64>,
}

/// Which profiles are exported: all conditions that are given hold together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Profiles that are in at least one of these segments. Absent or empty: no condition on segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.segmentId == a.segmentId && (has(b.segmentNs) ? b.segmentNs.lowerAscii() : 'ups') == (has(a.segmentNs) ? a.segmentNs.lowerAscii() : 'ups')))")
        .message("lists a segment twice: each pair of segmentNs and segmentId may stand here once"))]
    pub segments: Option<Vec<SegmentFilter>>,

    /// Only memberships that were last qualified in this time. It is checked on the same membership as the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_qualification_time: Option<QualificationTime>,

    /// Only profiles whose newest record was ingested strictly after this time (RFC 3339). It also applies to exported
    /// events, unless `additionalFields.eventList.filter.fromIngestTimestamp` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rules::TIME_LENGTH))]
    #[x_kube(validation = Rule::new(rules::IS_TIME).message(rules::TIME_MESSAGE))]
    pub from_ingest_timestamp: Option<String>,

    /// Whether profiles without a profile record (with events, identities or memberships only) are exported, too.
    /// Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_profiles: Option<bool>,
}

/// One segment of the audience.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SegmentFilter {
    /// Id of the segment.
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a segment"))]
    pub segment_id: String,

    /// Namespace of the segment, compared without regard to ASCII case. Default `ups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a segment namespace, or be left out for `ups`"))]
    pub segment_ns: Option<String>,

    /// Memberships in one of these states count. Default `[realized, existing]`: everybody who is in the segment now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self.size() > 0").message("must list at least one of realized, existing, exited, or be left out for [realized, existing]"))]
    pub status: Option<Vec<SegmentStatus>>,
}

/// State of a segment membership. The order is the one in which a tie between two rows is decided.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum SegmentStatus {
    /// Entered the segment.
    Realized,
    /// Was in the segment and still is.
    Existing,
    /// Left the segment.
    Exited,
}

impl SegmentStatus {
    /// The word as it stands in data and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Realized => "realized",
            Self::Existing => "existing",
            Self::Exited => "exited",
        }
    }
}

/// A span of qualification times: from `startTime`, included, to `endTime`, excluded.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::ordered("startTime", "endTime")).message("startTime must not be after endTime"))]
#[serde(rename_all = "camelCase")]
pub struct QualificationTime {
    /// First time that counts (RFC 3339). Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rules::TIME_LENGTH))]
    #[x_kube(validation = Rule::new(rules::IS_TIME).message(rules::TIME_MESSAGE))]
    pub start_time: Option<String>,

    /// First time that no longer counts (RFC 3339). Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rules::TIME_LENGTH))]
    #[x_kube(validation = Rule::new(rules::IS_TIME).message(rules::TIME_MESSAGE))]
    pub end_time: Option<String>,
}

/// What is exported beside the profile's own fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalFields {
    /// Experience events, written as `timeSeriesEvents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_list: Option<EventList>,
}

/// Which event fields of which events are exported.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// Comma-separated dotted paths of event fields. Blank or absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub fields: Option<String>,

    /// Which events. Absent: all, or those after `filter.fromIngestTimestamp` of the job where that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<EventFilter>,
}

/// A span of ingest times, both ends excluded.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::ordered("fromIngestTimestamp", "toIngestTimestamp")).message("fromIngestTimestamp must not be after toIngestTimestamp"))]
#[serde(rename_all = "camelCase")]
pub struct EventFilter {
    /// Only events ingested strictly after this time (RFC 3339). Absent: the job's `filter.fromIngestTimestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rules::TIME_LENGTH))]
    #[x_kube(validation = Rule::new(rules::IS_TIME).message(rules::TIME_MESSAGE))]
    pub from_ingest_timestamp: Option<String>,

    /// Only events ingested strictly before this time (RFC 3339). Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = rules::TIME_LENGTH))]
    #[x_kube(validation = Rule::new(rules::IS_TIME).message(rules::TIME_MESSAGE))]
    pub to_ingest_timestamp: Option<String>,
}

/// Where the exported data goes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Name of the Dataset in this namespace.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a Dataset"))]
    pub dataset_id: String,

    /// Whether each listed segment is written as a batch of its own. Default false: one batch, every profile once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_per_batch: Option<bool>,
}

/// The schema of the exported data.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaReference {
    /// `_xdm.context.profile`, or a name in the store's `schemas`.
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a schema, usually _xdm.context.profile"))]
    pub name: String,
}

/// How segments are evaluated for this export.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationInfo {
    /// Whether the listed segments are evaluated anew for this export instead of being read from the store; each needs a
    /// SegmentDefinition with an expression. Without listed segments it changes nothing. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<bool>,
}
