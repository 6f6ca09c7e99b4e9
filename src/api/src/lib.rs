//! The custom resources of the `exportjob.dev` group: [`ExportJob`], [`ProfileStore`], [`Dataset`] and
//! [`SegmentDefinition`], with the validation rules that the API server runs and that also run offline.
//!
//! Nothing here knows of controllers, pods or query engines.
#![forbid(unsafe_code)]
// Columns of a resource are attributes of one name, with keys of one name.
#![allow(clippy::duplicated_attributes)]

mod conditions;
mod credentials;
mod dataset;
mod execution;
mod export_job;
mod manifest;
mod number;
mod profile_store;
mod rules;
mod segment_definition;
mod status;

pub use conditions::{equal_ignoring_times, set_condition};
pub use credentials::{Credentials, SecretReference};
pub use dataset::{DEFAULT_DATASET_MOUNT, Dataset, DatasetFormat, DatasetSpec};
pub use execution::{EnvironmentVariable, Execution, PodSecurity, PodTemplate, Resources};
pub use export_job::{
    AdditionalFields, Destination, EvaluationInfo, EventFilter, EventList, ExportJob, ExportJobSpec, Filter,
    MergePolicyReference, QualificationTime, SchemaReference, SegmentFilter, SegmentStatus,
};
pub use manifest::{Manifest, ManifestError, SecretManifest, parse_manifests};
pub use profile_store::{
    AttributeMerge, AttributeMergeType, Bucketing, ColumnSource, DEFAULT_MERGE_POLICY_ID, DEFAULT_STORE_MOUNT,
    HostPath, IdentityGraph, IdentityGraphType, MembershipStates, MergePolicy, PersistentVolumeClaim, ProfileStore,
    ProfileStoreSpec, Table, TableFormat, Tables, Volume,
};
pub use segment_definition::{
    Expression, ExpressionFormat, ExpressionType, SegmentDefinition, SegmentDefinitionSpec, SegmentDefinitionStatus,
};
pub use status::{
    Batch, ComputeGatewayJobId, DestinationStatus, ErrorRecord, ExportJobStatus, MergePolicyStatus, Metrics, Phase,
    Progress, Shards, TimeSpan,
};

/// API group of every resource here.
pub const GROUP: &str = "exportjob.dev";
/// API version of every resource here.
pub const VERSION: &str = "v1alpha1";
/// Finalizer that turns the deletion of an unfinished [`ExportJob`] into a cancellation.
pub const FINALIZER: &str = "exportjob.dev/cancellation";
/// Field manager of all server-side applies of the operator.
pub const FIELD_MANAGER: &str = "exportjob-controller";
/// Name of the profile instance that a job without `profileInstanceId` reads.
pub const DEFAULT_PROFILE_INSTANCE: &str = "ups";
/// Segment namespace of a segment filter without `segmentNs`.
pub const DEFAULT_SEGMENT_NAMESPACE: &str = "ups";
/// The schema name that every store has.
pub const PROFILE_SCHEMA: &str = "_xdm.context.profile";

/// The custom resource definitions of the group, in the order in which they are installed.
pub fn crds() -> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::CustomResourceExt;
    vec![
        ExportJob::crd(),
        ProfileStore::crd(),
        Dataset::crd(),
        SegmentDefinition::crd(),
    ]
}
