//! Whether a store can fence a commit.

use deltalake::{ObjectStore, ObjectStoreError, Path};
use exportjob_plan::code;
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};
use uuid::Uuid;

use crate::{Error, Result, error::unwritable};

/// Folder of a dataset for what readers must not see.
pub(crate) const PROBE_FOLDER: &str = "_exportjob";

/// Refuses a store that overwrites what it should create. Of two writers of one entry of the log the second would win,
/// unseen: batches would vanish, or land after they were aborted. `place` is the dataset, for people.
///
/// # Errors
/// `DATASET_UNUSABLE` for such a store; `DATASET_UNWRITABLE` where it cannot be found out.
pub(crate) async fn check_conditional_put(store: &dyn ObjectStore, place: &str, attempt: &str) -> Result<()> {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, attempt.as_bytes());
    let path = Path::from_iter([PROBE_FOLDER, &format!("probe-{}", name.simple())]);
    let put = || store.put_opts(&path, PutPayload::from_static(b"probe"), PutMode::Create.into());
    // That it exists already says that the answer to an earlier try was lost: nobody else has this name.
    let first = match put().await {
        Ok(_) | Err(ObjectStoreError::AlreadyExists { .. }) => put().await,
        Err(error) => Err(error),
    };
    let verdict = match first {
        Err(ObjectStoreError::AlreadyExists { .. }) => Ok(()),
        Ok(_) => Err(Error::new(
            code::DATASET_UNUSABLE,
            format!(
                "the object store of {place} overwrites an object that should only be created (it ignores If-None-Match: *): two writers of the table would not notice each other, so nothing is written. Use a store, or a version of it, that has conditional writes"
            ),
        )),
        Err(ObjectStoreError::NotImplemented { .. } | ObjectStoreError::NotSupported { .. }) => Err(Error::new(
            code::DATASET_UNUSABLE,
            format!("the object store of {place} has no conditional writes, which a commit needs: use one that has"),
        )),
        Err(error) => Err(unwritable(format!("cannot write to {place}"), error)),
    };
    match store.delete(&path).await {
        Ok(()) | Err(ObjectStoreError::NotFound { .. }) => {}
        Err(error) if verdict.is_ok() => {
            tracing::warn!(%error, "the probe {path} could not be removed; it may stay");
        }
        Err(_) => {}
    }
    verdict
}
