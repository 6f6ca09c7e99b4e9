//! Parquet files below a prefix of an object store: which there are, and what their footers say.

use std::sync::Arc;

use deltalake::{ObjectMeta, ObjectStore, Path};
use exportjob_plan::code;
use futures::{StreamExt as _, TryStreamExt as _};
use url::Url;

use super::{
    files::{ParquetFile, is_folder_mark, is_hidden, read_object_footer},
    source::{ObjectFile, store_unreadable},
};
use crate::{
    Error, Result,
    objects::{Stores, prefix, shared},
};

/// Footers that are read beside each other.
pub(super) const FOOTERS_AT_ONCE: usize = 16;

/// The Parquet files below `location`, by path, with their footers read.
///
/// # Errors
/// `STORE_UNREADABLE` where there are none: an object store has no folders, so that an empty one cannot be told from
/// one that is not there.
pub(super) async fn read_prefix(location: &Url, stores: &Stores) -> Result<Vec<ParquetFile>> {
    let store = shared(&stores.open(location)?);
    let root = prefix(location)?;
    let mut objects: Vec<ObjectMeta> = store
        .list(Some(&root).filter(|root| !root.as_ref().is_empty()))
        .try_collect()
        .await
        .map_err(|error| store_unreadable(location.as_str(), error))?;
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    let files = data_files(location, &root, &objects)?;
    if files.is_empty() {
        return Err(Error::new(
            code::STORE_UNREADABLE,
            format!("{location} holds no files: correct the location, or leave the table out"),
        )
        .lasting());
    }
    read_footers(files.into_iter().map(|meta| ObjectFile {
        name: name(location, &meta.location),
        store: Arc::clone(&store),
        meta,
    }))
    .await
}

/// Footers of objects, in their order.
pub(super) async fn read_footers(files: impl IntoIterator<Item = ObjectFile>) -> Result<Vec<ParquetFile>> {
    let files: Vec<_> = files
        .into_iter()
        .map(|file| read_object_footer(Arc::new(file)))
        .collect();
    futures::stream::iter(files)
        .buffered(FOOTERS_AT_ONCE)
        .try_collect()
        .await
}

/// URL of an object in the bucket of `location`.
pub(super) fn name(location: &Url, path: &Path) -> String {
    format!(
        "{}://{}/{path}",
        location.scheme(),
        location.host_str().unwrap_or_default()
    )
}

fn data_files(location: &Url, root: &Path, objects: &[ObjectMeta]) -> Result<Vec<ObjectMeta>> {
    let mut files = Vec::new();
    for object in objects {
        // Not below the prefix: its own mark, which some tools make to show it as a folder.
        let Some(parts) = object.location.prefix_match(root) else {
            continue;
        };
        let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
        if parts.iter().any(|part| part == "_delta_log") {
            return Err(Error::new(
                code::INVALID_STORE,
                format!("{location} is a Delta table: declare it with format: delta"),
            ));
        }
        let hidden = parts.is_empty() || parts.iter().any(|part| is_hidden(part.as_bytes()));
        if !hidden && !is_folder_mark(object, objects) {
            files.push(object.clone());
        }
    }
    Ok(files)
}
