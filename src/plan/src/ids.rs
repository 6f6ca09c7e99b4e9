//! Names that follow from what they name, so that a write that is repeated is the same write.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Id of a batch: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    /// The 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BatchId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// Name space of the UUIDs of batches.
const BATCHES: Uuid = Uuid::from_u128(0x6c5d_19f2_51f1_4a3e_9a52_0c6f_8a4b_7d10);

/// Batch id of an ExportJob: of its only batch, or of that of one segment `(namespace, id)`. Namespaces that differ in
/// ASCII case are the same.
pub fn batch_id(uid: &str, segment: Option<(&str, &str)>) -> BatchId {
    let name = match segment {
        None => uid.to_owned(),
        Some((namespace, id)) => format!("{uid}\0{}\0{id}", namespace.to_ascii_lowercase()),
    };
    BatchId(Uuid::new_v5(&BATCHES, name.as_bytes()).simple().to_string())
}

/// Longest prefix of an ExportJob's name in the names below: with the hash and a suffix they stay within the 63
/// characters of a label value.
const NAME_PREFIX: usize = 44;

/// Name of the `batch/v1` Job of an ExportJob.
pub fn job_name(export_job: &str, uid: &str) -> String {
    let mut hash = String::new();
    for byte in Sha256::digest(uid.as_bytes()).iter().take(4) {
        let _ = write!(hash, "{byte:02x}");
    }
    let prefix: String = export_job
        .chars()
        .map(|c| if c == '.' { '-' } else { c })
        .take(NAME_PREFIX)
        .collect();
    format!("{}-{hash}", prefix.trim_end_matches('-'))
}

/// Name of the Job that aborts the batches of an ExportJob.
pub fn abort_job_name(export_job: &str, uid: &str) -> String {
    format!("{}-abort", job_name(export_job, uid))
}

/// Name of the ConfigMap with the plan of an ExportJob.
pub fn plan_name(export_job: &str, uid: &str) -> String {
    format!("{}-plan", job_name(export_job, uid))
}
