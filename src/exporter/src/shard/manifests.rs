//! What each shard hands in, in a folder of the dataset that readers do not see.

use std::sync::Arc;

use deltalake::{
    ObjectStore, ObjectStoreError, Path,
    kernel::{Add, StructType},
};
use exportjob_plan::{ExportPlan, RunReport, code};
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result, commit::Dataset, error::unwritable, write::Place};

/// Folder of the dataset with the manifests of jobs at work.
pub(crate) const FOLDER: &str = "_exportjob";

/// What one shard has written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// Which shard, from 0.
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// The attempt whose files these are.
    pub(crate) attempt: String,
    /// Columns of the files.
    pub(crate) columns: StructType,
    /// What was done.
    pub(crate) report: RunReport,
    /// The files, as they go into the log.
    pub(crate) files: Vec<Add>,
}

/// The manifests of one job.
pub(crate) struct Manifests {
    place: Place,
    folder: String,
    plan: String,
}

impl Manifests {
    /// Those of the job with this plan.
    ///
    /// A job keeps its batches even if somebody removes its Job and its plan, and the next plan finds another store: parts
    /// that were written by different plans do not know of each other.
    pub(crate) fn of(dataset: &Dataset, plan: &ExportPlan) -> Self {
        let batch = plan.batches.first().map(|batch| batch.id.as_str()).unwrap_or_default();
        // A plan has string keys only: it always serialises.
        let text = serde_json::to_vec(plan).unwrap_or_default();
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, &text).simple().to_string();
        Self {
            place: Place::of(dataset),
            folder: format!("{FOLDER}/{batch}"),
            plan: digest[..12].to_owned(),
        }
    }

    /// The manifest of a shard, if there is one.
    pub(crate) async fn read(&self, index: usize) -> Result<Option<Manifest>> {
        let path = self.path(index);
        let failed = |error| unwritable(format!("cannot read {}", self.place.of_file(path.as_ref())), error);
        let found = match self.store().get(&path).await {
            Ok(found) => found,
            Err(ObjectStoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let text = match found.bytes().await {
            Ok(text) => text,
            Err(ObjectStoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::new(
                code::DATASET_UNUSABLE,
                format!(
                    "{} is no manifest of a shard: {error}. Was it changed by hand? Delete the job, and create it again",
                    self.place.of_file(path.as_ref())
                ),
            )
            .caused_by(error)
        })
    }

    /// Those of all `count` shards; `None` while one is missing.
    pub(crate) async fn all(&self, count: usize) -> Result<Option<Vec<Manifest>>> {
        let mut all = Vec::new();
        for index in 0..count {
            match self.read(index).await? {
                Some(manifest) => all.push(manifest),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// Hands a manifest in; false if its shard has one already.
    ///
    /// # Errors
    /// `DATASET_UNWRITABLE`. It may be there all the same, or come later.
    pub(crate) async fn put(&self, manifest: &Manifest) -> Result<bool> {
        let path = self.path(manifest.index);
        let failed = |error| unwritable(format!("cannot write {}", self.place.of_file(path.as_ref())), error);
        let text = serde_json::to_vec(manifest).map_err(|error| {
            Error::new(code::INTERNAL, "the manifest of a shard cannot be written").caused_by(error)
        })?;
        let once = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self.store().put_opts(&path, text.into(), once).await {
            Ok(_) => Ok(true),
            Err(ObjectStoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes them all, those of other plans included, once the batches have come to an end. What cannot be removed is invisible to readers, and is
    /// logged.
    pub(crate) async fn remove(&self) {
        if let Err(error) = self.place.clear(self.folder.clone(), |_| true).await {
            tracing::warn!(%error, "manifests of shards could not be removed");
        }
    }

    fn path(&self, index: usize) -> Path {
        Path::from(format!("{}/shard-{index}.{}.json", self.folder, self.plan))
    }

    fn store(&self) -> &Arc<dyn ObjectStore> {
        self.place.store()
    }
}
