//! Files that were written and are in no commit yet, and files that never will be.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::{Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use deltalake::{ObjectStore, ObjectStoreError, Path};
use exportjob_plan::{BatchId, BatchPlan};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    Result,
    commit::{BATCH_COLUMN, Dataset},
    error::unwritable,
};

/// The files that one attempt has begun to write.
pub(crate) struct Staged {
    place: Place,
    attempt: String,
    begun: Mutex<BTreeSet<BatchId>>,
}

impl Staged {
    pub(crate) fn new(dataset: &Dataset, attempt: &str) -> Self {
        Self {
            place: Place::of(dataset),
            attempt: attempt.to_owned(),
            begun: Mutex::default(),
        }
    }

    /// Where the files go.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.place.store)
    }

    /// Path of a file, for people.
    pub(crate) fn place(&self, path: &Path) -> String {
        self.place.of_file(path.as_ref())
    }

    /// Path of the next file of a batch: the `number`-th of `part`, from 0.
    pub(crate) fn begin(&self, batch: &BatchId, part: usize, number: usize) -> Path {
        self.begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(batch.clone());
        let more = if number == 0 {
            String::new()
        } else {
            format!("-{number}")
        };
        Path::from_iter([
            folder(batch),
            format!("part-{part:05}-{}{more}.zstd.parquet", self.attempt),
        ])
    }

    /// Removes what this attempt has written. What cannot be removed is invisible to readers and is logged: the failure
    /// that led here matters more.
    pub(crate) async fn remove(&self, dataset: &Dataset) {
        dataset.abort_uploads().await;
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for batch in begun {
            let own = self.attempt.clone();
            if let Err(error) = self.place.clear(folder(&batch), move |file| file.contains(&own)).await {
                tracing::warn!(%error, "files of this failed export could not be removed");
            }
        }
    }
}

/// Removes the files in the folders of `batches` that are not in `keep`: what killed or late attempts left behind. Only
/// for batches that have come to an end: no other file there can ever be committed. Returns how many were removed.
///
/// # Errors
/// `DATASET_UNWRITABLE`, names the file.
pub(crate) async fn clear_batches(dataset: &Dataset, batches: &[BatchPlan], keep: &HashSet<String>) -> Result<i64> {
    let place = Place::of(dataset);
    let keep = Arc::new(keep.clone());
    let mut removed = 0;
    for batch in batches {
        let keep = Arc::clone(&keep);
        removed += place.clear(folder(&batch.id), move |file| !keep.contains(file)).await?;
    }
    Ok(removed)
}

fn folder(batch: &BatchId) -> String {
    format!("{BATCH_COLUMN}={batch}")
}

/// A dataset's files.
pub(crate) struct Place {
    store: Arc<dyn ObjectStore>,
    root: Option<PathBuf>,
    name: String,
}

impl Place {
    pub(crate) fn of(dataset: &Dataset) -> Self {
        Self {
            store: dataset.store(),
            root: dataset.folder(),
            name: dataset.place(),
        }
    }

    /// Where they are.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Path of a file, for people.
    pub(crate) fn of_file(&self, path: &str) -> String {
        format!("{}/{path}", self.name.trim_end_matches('/'))
    }

    /// Removes the files of `folder` that are `unwanted` (asked by their path in the table), and the folder if it is
    /// empty then.
    pub(crate) async fn clear(&self, folder: String, unwanted: impl Fn(&str) -> bool + Send + 'static) -> Result<i64> {
        let doing = format!("cannot remove files of {}", self.of_file(&folder));
        if let Some(root) = self.root.clone() {
            // The object store hides the temporary files of writers that were killed; the folder itself does not.
            let swept = tokio::task::spawn_blocking(move || sweep(&root, &folder, unwanted)).await;
            return swept
                .map_err(io::Error::other)
                .flatten()
                .map_err(|error| unwritable(doing, error));
        }
        let files: Vec<_> = self
            .store
            .list(Some(&Path::from(folder)))
            .try_collect()
            .await
            .map_err(|error| unwritable(&doing, error))?;
        let paths = files.into_iter().map(|file| file.location);
        let paths: Vec<_> = paths.filter(|path| unwanted(path.as_ref())).map(Ok).collect();
        // Many at once, where the store can do that.
        let mut deleted = self.store.delete_stream(stream::iter(paths).boxed());
        let mut removed = 0;
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) => removed += 1,
                Err(ObjectStoreError::NotFound { .. }) => {}
                Err(error) => return Err(unwritable(doing, error)),
            }
        }
        Ok(removed)
    }
}

fn sweep(root: &FilePath, folder: &str, unwanted: impl Fn(&str) -> bool) -> io::Result<i64> {
    let path = root.join(folder);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !unwanted(&format!("{folder}/{}", name.to_string_lossy())) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    match std::fs::remove_dir(&path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Err(error),
        _ => Ok(removed),
    }
}
