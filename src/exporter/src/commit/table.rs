//! The Delta table behind a dataset.

use std::{path::PathBuf, sync::Arc};

use deltalake::{
    DeltaTableError, ObjectStore,
    kernel::{
        StructType,
        transaction::{CommitProperties, TransactionError},
    },
    logstore::{LogStoreRef, StorageConfig, logstore_for},
    operations::create::CreateBuilder,
    protocol::SaveMode,
    table::state::DeltaTableState,
};
use exportjob_plan::{BatchPlan, DestinationPlan, code};
use url::Url;

use super::types::BATCH_COLUMN;
use crate::{
    Credentials, Error, Result,
    error::{io_kind, unwritable},
    objects::{Guarded, PROBE_FOLDER, Stores, check_conditional_put, is_object, log_of},
};

/// Folders beside the batches that do not make a folder anybody else's.
const OWN_FOLDERS: &[&str] = &["_delta_log", "lost+found", PROBE_FOLDER, crate::shard::FOLDER];

/// The Delta table behind a dataset; it need not exist yet.
pub(crate) struct Dataset {
    /// Name of the Dataset.
    pub(crate) name: String,
    location: Url,
    log: LogStoreRef,
    /// Its bucket, if it is in one.
    bucket: Option<Arc<Guarded>>,
}

/// Which end the batches of a job have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// None yet.
    Open,
    /// They are committed.
    Committed,
    /// They are aborted.
    Aborted,
}

/// Version of a batch's transaction that says committed.
pub(crate) const COMMITTED: i64 = 1;
/// Version of a batch's transaction that says aborted.
pub(crate) const ABORTED: i64 = 2;

impl Dataset {
    /// Opens the location: a folder that does not exist is made, an object store that cannot fence a commit is refused.
    /// `given`: credentials that are not in the folder that the plan names; `attempt` as in [`check_conditional_put`].
    pub(crate) async fn open(
        destination: &DestinationPlan,
        given: Option<&Credentials>,
        attempt: &str,
    ) -> Result<Self> {
        if is_object(&destination.location) {
            let bucket = Stores::new(destination.credentials.as_ref(), given)?.open(&destination.location)?;
            let log = log_of(&destination.location, &bucket).map_err(|error| unopened(destination, error))?;
            let dataset = Self {
                bucket: Some(bucket),
                ..Self::over(destination, log)
            };
            check_conditional_put(&dataset.store(), &dataset.place(), attempt).await?;
            return Ok(dataset);
        }
        if let Ok(folder) = destination.location.to_file_path() {
            tokio::fs::create_dir_all(&folder)
                .await
                .map_err(|error| unwritable(format!("cannot make the dataset's folder {}", folder.display()), error))?;
        }
        let log = logstore_for(&destination.location, StorageConfig::default())
            .map_err(|error| unopened(destination, error))?;
        Ok(Self::over(destination, log))
    }

    /// The table that this log is of.
    pub(super) fn over(destination: &DestinationPlan, log: LogStoreRef) -> Self {
        Self {
            name: destination.dataset.clone(),
            location: destination.location.clone(),
            log,
            bucket: None,
        }
    }

    /// Aborts the uploads that writers have left behind; none may be at work any more.
    pub(crate) async fn abort_uploads(&self) {
        if let Some(bucket) = &self.bucket {
            bucket.abort_uploads().await;
        }
    }

    /// Whether it is in an object store.
    pub(crate) fn is_object(&self) -> bool {
        self.bucket.is_some()
    }

    /// Where it is, for people: a path, or the URL of what is no folder.
    pub(crate) fn place(&self) -> String {
        self.folder()
            .map_or_else(|| self.location.to_string(), |folder| folder.display().to_string())
    }

    /// Its folder, if it has one.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.location.to_file_path().ok()
    }

    /// Its files; paths are relative to the table.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.log.object_store(None)
    }

    /// Its log.
    pub(crate) fn log(&self) -> &LogStoreRef {
        &self.log
    }

    /// The table as it stands now; `None` while there is none.
    pub(crate) async fn load(&self) -> Result<Option<DeltaTableState>> {
        let exists = self
            .log
            .is_delta_table_location()
            .await
            .map_err(|error| self.unreadable(error))?;
        if !exists {
            return Ok(None);
        }
        DeltaTableState::try_new(self.log.as_ref(), None)
            .await
            .map(Some)
            .map_err(|error| self.unreadable(error))
    }

    /// Makes the table, in a commit of its own that carries no batch. Another writer that was faster is fine.
    ///
    /// # Errors
    /// `DATASET_UNUSABLE` when the folder holds something else.
    pub(crate) async fn create(&self, schema: &StructType) -> Result<()> {
        self.refuse_foreign_files().await?;
        let created = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log))
            .with_columns(schema.fields().cloned())
            .with_partition_columns([BATCH_COLUMN])
            .with_save_mode(SaveMode::Ignore)
            // Without this, the writer that loses the race for version 0 would write its own columns over the winner's.
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(_)
            | Err(
                DeltaTableError::VersionAlreadyExists(_)
                | DeltaTableError::Transaction {
                    source: TransactionError::MaxCommitAttempts(_) | TransactionError::VersionAlreadyExists(_),
                },
            ) => Ok(()),
            Err(error) => Err(unwritable(
                format!("cannot make the Delta table at {}", self.place()),
                error,
            )),
        }
    }

    async fn refuse_foreign_files(&self) -> Result<()> {
        let listed = self
            .store()
            .list_with_delimiter(None)
            .await
            .map_err(|error| unwritable(format!("cannot list {}", self.place()), error))?;
        let folders = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
        let foreign = folders
            .filter(|name| !OWN_FOLDERS.contains(name) && !name.starts_with(&format!("{BATCH_COLUMN}=")))
            .chain(listed.objects.iter().filter_map(|file| file.location.filename()))
            .find(|name| !name.starts_with('.'));
        match foreign {
            None => Ok(()),
            Some(name) => Err(Error::new(
                code::DATASET_UNUSABLE,
                format!(
                    "{} is not a Delta table, and not empty: it holds {name:?}. Name an empty folder, or one that does not exist, in Dataset {:?}",
                    self.place(),
                    self.name
                ),
            )),
        }
    }

    /// Which end the batches have come to in `state`.
    pub(crate) async fn verdict(&self, state: &DeltaTableState, batches: &[BatchPlan]) -> Result<Verdict> {
        let mut committed = 0;
        for batch in batches {
            match state.transaction_version(self.log.as_ref(), &batch.id).await {
                Ok(None) => {}
                Ok(Some(COMMITTED)) => committed += 1,
                Ok(Some(_)) => return Ok(Verdict::Aborted),
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        match committed {
            0 => Ok(Verdict::Open),
            all if all == batches.len() => Ok(Verdict::Committed),
            some => Err(Error::new(
                code::DATASET_UNUSABLE,
                format!(
                    "{} holds {some} of the {} batches of this job, which are committed together or not at all: was the log changed by hand?",
                    self.place(),
                    batches.len()
                ),
            )),
        }
    }

    /// A log that cannot be read: for a reason of the volume, which may pass, or because it is broken.
    pub(crate) fn unreadable(&self, error: DeltaTableError) -> Error {
        let doing = || format!("cannot read the log of the Delta table at {}", self.place());
        if let Some(trouble) = self.bucket.as_ref().and_then(|bucket| bucket.trouble_of(&error)) {
            return unwritable(doing(), trouble);
        }
        if io_kind(&error).is_some() {
            return unwritable(doing(), error);
        }
        Error::new(
            code::DATASET_UNUSABLE,
            format!(
                "the Delta table at {} cannot be read: {error}. Repair it, or name another location in Dataset {:?}",
                self.place(),
                self.name
            ),
        )
        .caused_by(error)
    }
}

fn unopened(destination: &DestinationPlan, error: DeltaTableError) -> Error {
    Error::new(
        code::DATASET_UNUSABLE,
        format!(
            "the location {} of Dataset {:?} cannot be opened",
            destination.location, destination.dataset
        ),
    )
    .caused_by(error)
}
