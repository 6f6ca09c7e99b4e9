//! The plan: everything that an export needs to know, validated.

use std::{collections::BTreeMap, path::PathBuf};

use exportjob_api::{DatasetFormat, MembershipStates, SegmentStatus, TableFormat};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{BatchId, EvaluationPlan, FieldSelection};

/// Version of the serialised form. An exporter refuses a plan of another version.
pub const PLAN_VERSION: u32 = 2;

/// Everything that an export needs to know. Times are microseconds since 1970-01-01T00:00:00Z unless a name says
/// otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportPlan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Whose plan it is.
    pub job: JobIdentity,
    /// Start of the job in microseconds: memberships that ended before it are ignored.
    pub started_at: i64,
    /// How many pods share the export. The one with index `i` reads the buckets `b` of the store with `b % shards == i`.
    pub shards: u32,
    /// What is read.
    pub store: StorePlan,
    /// How it is merged.
    pub merge_policy: MergePolicyPlan,
    /// Which profiles are taken.
    pub selection: Selection,
    /// Which memberships are computed; `None`: all are as stored.
    pub evaluation: Option<EvaluationPlan>,
    /// Which profile fields are written.
    pub fields: FieldSelection,
    /// Which events are written; `None`: no events.
    pub events: Option<EventPlan>,
    /// Where it goes.
    pub destination: DestinationPlan,
    /// The batches, all committed together. One with `segment: None`, or one for each segment in listed order.
    pub batches: Vec<BatchPlan>,
}

/// Whose plan it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobIdentity {
    /// Namespace of the ExportJob.
    pub namespace: String,
    /// Name of the ExportJob.
    pub name: String,
    /// UID of the ExportJob.
    pub uid: String,
    /// Number of the ExportJob.
    pub id: i64,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorePlan {
    /// Name of the ProfileStore.
    pub name: String,
    /// Profile records; at least one table.
    pub fragments: Vec<TablePlan>,
    /// Experience events.
    pub events: Vec<TablePlan>,
    /// The identity graph.
    pub identities: Vec<TablePlan>,
    /// Segment memberships.
    pub memberships: Vec<TablePlan>,
    /// Datasets whose rows patch each other.
    pub upsert_datasets: UpsertDatasets,
    /// How continuing members are written when segments are evaluated.
    pub membership_states: MembershipStates,
    /// Credentials for tables in an object store; `None`: the identity of the pod.
    pub credentials: Option<CredentialsPlan>,
}

/// Where the credentials of a side are; never what they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsPlan {
    /// Name of the Secret.
    pub secret: String,
    /// Folder with one file for each key of it.
    pub folder: PathBuf,
}

impl StorePlan {
    /// All tables, of whatever kind.
    pub fn tables(&self) -> impl Iterator<Item = &TablePlan> {
        let kinds = [&self.fragments, &self.events, &self.identities, &self.memberships];
        kinds.into_iter().flatten()
    }

    /// Number of buckets, if all tables are bucketed.
    pub fn buckets(&self) -> Option<u32> {
        let mut counts = self
            .tables()
            .map(|table| table.bucketing.as_ref().map(|bucketing| bucketing.count));
        let first = counts.next()??;
        counts.all(|count| count == Some(first)).then_some(first)
    }
}

/// One table as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TablePlan {
    /// Folder of the table, or its prefix in an object store.
    pub location: Url,
    /// How it is stored.
    pub format: TableFormat,
    /// Constant value of `ups_dataset`.
    pub dataset: Option<String>,
    /// Paths of the store, each with where it comes from.
    pub columns: BTreeMap<String, exportjob_api::ColumnSource>,
    /// Whether other columns are left out.
    pub only_mapped: bool,
    /// How its rows are spread over files by profile.
    pub bucketing: Option<BucketingPlan>,
}

/// How the rows of a table are spread over files by profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketingPlan {
    /// Dotted path of the column with the profile's key, by its name in the table.
    pub column: String,
    /// Number of buckets.
    pub count: u32,
    /// Whether the rows of each file are sorted by the key.
    pub sorted: bool,
}

/// Datasets whose rows patch each other instead of replacing each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpsertDatasets {
    /// All datasets.
    All,
    /// These datasets.
    Listed(Vec<String>),
}

impl UpsertDatasets {
    /// Whether rows of `dataset` patch each other.
    pub fn contains(&self, dataset: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(datasets) => datasets.iter().any(|listed| listed == dataset),
        }
    }
}

/// How fragments become a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergePolicyPlan {
    /// Id of the policy.
    pub id: String,
    /// Its version.
    pub version: i64,
    /// How identities are stitched.
    pub identity_graph: IdentityGraphKind,
    /// Which fragment's value wins.
    pub attributes: AttributeRule,
    /// Datasets whose events take part; `None`: all.
    pub event_datasets: Option<Vec<String>>,
}

/// How identities are stitched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityGraphKind {
    /// Each identity is a profile of its own.
    None,
    /// The `identities` table joins them.
    Pdg,
}

/// Which fragment's value wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttributeRule {
    /// The newest one.
    TimestampOrdered,
    /// That of the first of these datasets, then the newest; other datasets take no part.
    DataSetPrecedence(Vec<String>),
}

/// Which profiles are taken. All conditions hold together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    /// In at least one of these; empty: no condition.
    pub segments: Vec<SegmentSelection>,
    /// That membership qualified at or after this time.
    pub qualified_from: Option<i64>,
    /// That membership qualified before this time.
    pub qualified_to: Option<i64>,
    /// Newest ingest time strictly after this.
    pub ingested_after: Option<i64>,
    /// Profiles without fragments, too.
    pub empty_profiles: bool,
}

/// One listed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SegmentSelection {
    /// Namespace, as listed; compared without regard to ASCII case.
    pub namespace: String,
    /// Id of the segment.
    pub id: String,
    /// States that count.
    pub statuses: Vec<SegmentStatus>,
}

/// Which events are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventPlan {
    /// Which event fields.
    pub fields: FieldSelection,
    /// Ingested strictly after this time.
    pub ingested_after: Option<i64>,
    /// Ingested strictly before this time.
    pub ingested_before: Option<i64>,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationPlan {
    /// Name of the Dataset.
    pub dataset: String,
    /// Folder of the table, or its prefix in an object store.
    pub location: Url,
    /// How it is stored.
    pub format: DatasetFormat,
    /// Credentials for a dataset in an object store; `None`: the identity of the pod.
    pub credentials: Option<CredentialsPlan>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchPlan {
    /// Id of the batch.
    pub id: BatchId,
    /// Index in [`Selection::segments`] of the only segment of this batch; `None`: all profiles of the selection.
    pub segment: Option<usize>,
}
