//! `Dataset`: where batches land.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Credentials, Volume, rules};

/// Mount path of a dataset's volume without `volumeMountPath`.
pub const DEFAULT_DATASET_MOUNT: &str = "/datasets";

/// A Delta table, created at its first use, with partition column `_batchId`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "exportjob.dev",
    version = "v1alpha1",
    kind = "Dataset",
    namespaced,
    category = "exports",
    derive = "PartialEq",
    derive = "Default",
    cel,
    doc = "A Dataset is the table that export jobs write batches to.",
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Format", type_ = "string", json_path = ".spec.format"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DatasetSpec {
    /// A `file:` URL under the volume's mount path, or a prefix in an object store: `s3://BUCKET/PREFIX`,
    /// `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `abfss://CONTAINER/PREFIX`. In a local run also a path, absolute
    /// or relative to the manifest.
    #[schemars(length(max = 4096))]
    #[x_kube(
        validation = Rule::new(rules::NOT_EMPTY).message(rules::NO_LOCATION_MESSAGE),
        validation = Rule::new(rules::IS_LOCATION).message(rules::LOCATION_MESSAGE)
    )]
    pub location: String,
    /// How the dataset is stored. Default `delta`.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self != 'iceberg'").message("must be delta: there is no writer of Iceberg tables here that commits a batch exactly once; write delta, which the engines that read Iceberg read, too"),
        validation = Rule::new("self != 'parquet'").message("must be delta: a folder of Parquet files cannot say which batches are whole; write delta, whose files are Parquet")
    )]
    pub format: DatasetFormat,
    /// Volume that holds the dataset. It is mounted writable into the export pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Where the volume is mounted. Default `/datasets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(
        validation = Rule::new(rules::IS_PATH).message(rules::PATH_MESSAGE),
        validation = Rule::new(rules::IS_NO_SYSTEM_FOLDER).message(rules::SYSTEM_FOLDER_MESSAGE)
    )]
    pub volume_mount_path: Option<String>,
    /// Credentials for a dataset in an object store. Absent: the identity of the pod, as the cloud gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

impl DatasetSpec {
    /// Where the volume is mounted.
    pub fn mount_path(&self) -> &str {
        self.volume_mount_path.as_deref().unwrap_or(DEFAULT_DATASET_MOUNT)
    }
}

/// How a dataset is stored.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum DatasetFormat {
    /// A Delta table.
    #[default]
    Delta,
    /// Refused: see the rule of the field.
    Parquet,
    /// Refused: see the rule of the field.
    Iceberg,
}
