//! `ProfileStore`: where profile data lies, and how it is merged.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Credentials, number::integral, rules};

/// Mount path of a store's volume without `volumeMountPath`.
pub const DEFAULT_STORE_MOUNT: &str = "/store";
/// The merge policy that every store has, unless it declares that id itself.
pub const DEFAULT_MERGE_POLICY_ID: &str = "timestampOrdered-none-mp";

/// The tables of a profile store and its merge policies.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "exportjob.dev",
    version = "v1alpha1",
    kind = "ProfileStore",
    namespaced,
    shortname = "ps",
    category = "exports",
    derive = "PartialEq",
    derive = "Default",
    cel,
    doc = "A ProfileStore says where profile fragments, events, identities and segment memberships lie, and which merge policies govern them.",
    printcolumn(
        name = "Fragments",
        type_ = "string",
        json_path = ".spec.tables.fragments[*].location"
    ),
    printcolumn(name = "Policies", type_ = "string", json_path = ".spec.mergePolicies[*].id"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStoreSpec {
    /// Volume that holds the tables. It is mounted read-only into the export pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,

    /// Where the volume is mounted. Default `/store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(
        validation = Rule::new(rules::IS_PATH).message(rules::PATH_MESSAGE),
        validation = Rule::new(rules::IS_NO_SYSTEM_FOLDER).message(rules::SYSTEM_FOLDER_MESSAGE)
    )]
    pub volume_mount_path: Option<String>,

    /// Credentials for tables in an object store. Absent: the identity of the pod, as the cloud gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,

    /// The tables.
    pub tables: Tables,

    /// Merge policies. Entries are keyed by id and version; old versions stay usable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.filter(p, has(p.default) && p.default).size() <= 1").message("has two defaults: at most one entry may have `default: true`"),
        validation = Rule::new("self.all(a, self.exists_one(b, b.id == a.id && (has(b.version) ? b.version : 1) == (has(a.version) ? a.version : 1)))").message("lists a merge policy twice: each pair of id and version may stand here once")
    )]
    pub merge_policies: Vec<MergePolicy>,

    /// Datasets whose rows of one identity fill each other's gaps, instead of the newest row replacing the others. `*`
    /// means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub upsert_datasets: Vec<String>,

    /// How a continuing member of a segment is written when segments are evaluated: `three` (default) as `existing`,
    /// `two` as `realized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership_states: Option<MembershipStates>,

    /// Schema names that an ExportJob may give beside `_xdm.context.profile`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub schemas: Vec<String>,
}

impl ProfileStoreSpec {
    /// Where the volume is mounted.
    pub fn mount_path(&self) -> &str {
        self.volume_mount_path.as_deref().unwrap_or(DEFAULT_STORE_MOUNT)
    }
}

/// A volume: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.persistentVolumeClaim) != has(self.hostPath)").message("must have exactly one of persistentVolumeClaim and hostPath"))]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// A claim in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaim>,
    /// A folder of the node. Refused unless the operator's `exporter.allowedHostPaths` has a folder above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,
}

/// A persistent volume claim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolumeClaim {
    /// Name of the claim.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a PersistentVolumeClaim"))]
    pub claim_name: String,
}

/// A folder of the node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostPath {
    /// Absolute path of the folder.
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && !self.contains('/../') && !self.endsWith('/..')").message("must be an absolute path without .."))]
    pub path: String,
}

/// The four kinds of tables. Each is a list of tables that are read as one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tables {
    /// Profile records: one row for each identity, source dataset and write.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.size() > 0").message("must list at least one table"))]
    pub fragments: Vec<Table>,
    /// Experience events: one row for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub events: Vec<Table>,
    /// The identity graph: one row for each identity in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub identities: Vec<Table>,
    /// Segment memberships: one row for each identity and segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub memberships: Vec<Table>,
}

/// One table as it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("!has(self.onlyMapped) || !self.onlyMapped || has(self.columns)").message("onlyMapped needs columns"),
    validation = Rule::new("!has(self.bucketing) || self.format == 'parquet'").message("bucketing goes with format parquet only: the files of a Delta table have no fixed names")
)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// A `file:` URL under the volume's mount path, or a prefix in an object store: `s3://BUCKET/PREFIX`,
    /// `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `abfss://CONTAINER/PREFIX`. In a local run also a path, absolute
    /// or relative to the manifest.
    #[schemars(length(max = 4096))]
    #[x_kube(
        validation = Rule::new(rules::NOT_EMPTY).message(rules::NO_LOCATION_MESSAGE),
        validation = Rule::new(rules::IS_LOCATION).message(rules::LOCATION_MESSAGE)
    )]
    pub location: String,
    /// How the table is stored.
    pub format: TableFormat,
    /// Constant value of `ups_dataset` for the whole table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub dataset: Option<String>,
    /// Paths of the store, each with the table's column or constant that it comes from. A dotted path builds the
    /// objects around it. Columns that are not named here keep their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 2048))]
    pub columns: Option<BTreeMap<String, ColumnSource>>,
    /// Whether columns that `columns` does not name are left out. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_mapped: Option<bool>,
    /// How the rows are spread over files by profile. Where all tables that an export reads have it, profiles are merged
    /// file by file without a shuffle, and shards can share the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucketing: Option<Bucketing>,
}

/// How the rows of a table are spread over files by profile: each file holds rows of one bucket, whose number is the
/// first number in the file's path below the table's folder, such as `bucket=00003/part-0.parquet` or `3.parquet`. Rows
/// with the same key are one profile under a merge policy with the graph `pdg`, and lie in the bucket of the same number
/// in all tables of the store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Bucketing {
    /// Dotted path of the column that holds the key of the row's profile, by its name in the table: text, or a whole
    /// number, and never null. `ups_profile` in most stores.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name the column with the key of the profile"))]
    pub column: String,
    /// Number of buckets, the same for all tables of the store. Buckets are numbered from 0; one without rows may have no
    /// file.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65536").message("must be between 1 and 65536"))]
    pub count: i32,
    /// Whether the rows of each file are sorted by the key, ascending: text by its bytes, numbers by their values. Rows
    /// that are not are sorted bucket by bucket. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorted: Option<bool>,
}

/// Where a column of the store comes from: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.column) != has(self.value)").message("must have exactly one of column and value"))]
#[serde(rename_all = "camelCase")]
pub struct ColumnSource {
    /// Dotted path of a column of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// A constant string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a table is stored.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// A folder of Parquet files.
    #[default]
    Parquet,
    /// A Delta table.
    Delta,
}

/// How a continuing member is written when segments are evaluated.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MembershipStates {
    /// As `existing`.
    #[default]
    Three,
    /// As `realized`.
    Two,
}

/// A merge policy, in the shape of the API's merge policy object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MergePolicy {
    /// Id of the policy.
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must not be empty"))]
    pub id: String,
    /// Version of this entry. Default 1.
    #[serde(default, deserialize_with = "integral", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be 1 or more"))]
    pub version: Option<i64>,
    /// Whether jobs without segments and without a merge policy use this one. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// How identities are stitched into profiles.
    pub identity_graph: IdentityGraph,
    /// Which fragment's value wins.
    pub attribute_merge: AttributeMerge,
    /// Name for people. Carried, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Schema of the policy. Carried, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<crate::SchemaReference>,
    /// Whether the policy is active on the edge. Carried, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active_on_edge: Option<bool>,
    /// When the policy was last changed, in epoch seconds. Carried, not used.
    #[serde(default, deserialize_with = "integral", skip_serializing_if = "Option::is_none")]
    pub update_epoch: Option<i64>,
}

impl MergePolicy {
    /// Version of this entry: 1 where none is given.
    pub fn version(&self) -> i64 {
        self.version.unwrap_or(1)
    }
}

/// How identities are stitched into profiles.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdentityGraph {
    /// Kind of the graph.
    #[serde(rename = "type")]
    pub type_: IdentityGraphType,
}

/// Kind of an identity graph.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum IdentityGraphType {
    /// Each identity is a profile of its own.
    #[default]
    None,
    /// The store's `identities` table joins identities.
    Pdg,
}

/// Which fragment's value wins.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("self.type != 'dataSetPrecedence' || (has(self.order) && self.order.size() > 0)").message("dataSetPrecedence needs at least one dataset in order"),
    validation = Rule::new("self.type == 'dataSetPrecedence' || (!has(self.order) && !has(self.eventDatasets))").message("order and eventDatasets go with dataSetPrecedence only")
)]
#[serde(rename_all = "camelCase")]
pub struct AttributeMerge {
    /// Kind of the merge.
    #[serde(rename = "type")]
    pub type_: AttributeMergeType,
    /// Datasets, first one first; others take no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub order: Option<Vec<String>>,
    /// Datasets whose events take part. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub event_datasets: Option<Vec<String>>,
}

/// Kind of an attribute merge.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum AttributeMergeType {
    /// The newest value wins.
    #[default]
    TimestampOrdered,
    /// The first listed dataset with a value wins.
    DataSetPrecedence,
}
