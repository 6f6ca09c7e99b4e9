//! Object stores: how they are opened, what their errors mean, and whether they can fence a commit.
//!
//! Everything above sees an [`ObjectStore`] whose errors hold no secrets: what a store or its client says is put into
//! words of our own in [`guard`], and goes no further.

mod client;
mod credentials;
mod guard;
mod probe;
mod trouble;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use deltalake::{
    DeltaTableError, ObjectStore, Path,
    logstore::{LogStoreRef, StorageConfig, default_logstore},
};
use exportjob_plan::{CredentialsPlan, code};
use url::Url;

pub use self::credentials::Credentials;
pub(crate) use self::{
    guard::Guarded,
    probe::{PROBE_FOLDER, check_conditional_put},
    trouble::trouble_in,
};
use crate::{Error, Result};

/// Whether this location is in an object store, and not on a volume.
pub(crate) fn is_object(location: &Url) -> bool {
    location.scheme() != "file"
}

/// The prefix of a location in its bucket.
pub(crate) fn prefix(location: &Url) -> Result<Path> {
    Path::from_url_path(location.path()).map_err(|error| {
        Error::new(
            code::INVALID_STORE,
            format!("location {location} has no proper prefix: {error}"),
        )
        .caused_by(error)
    })
}

/// The object stores of one side of an export, each opened once.
pub(crate) struct Stores {
    credentials: Option<Credentials>,
    open: Mutex<HashMap<String, Arc<Guarded>>>,
}

impl Stores {
    /// With the credentials that the plan names, unless they are `given`.
    ///
    /// # Errors
    /// `INVALID_STORE` for a Secret that cannot be used.
    pub(crate) fn new(plan: Option<&CredentialsPlan>, given: Option<&Credentials>) -> Result<Self> {
        let credentials = match (given, plan) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(plan)) => Some(Credentials::read(plan)?),
            (None, None) => None,
        };
        Ok(Self {
            credentials,
            open: Mutex::default(),
        })
    }

    /// The store that holds `location`, its root being the root of the bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// `INVALID_STORE` for settings that it cannot be opened with.
    pub(crate) fn open(&self, location: &Url) -> Result<Arc<Guarded>> {
        let bucket = format!("{}://{}", location.scheme(), location.host_str().unwrap_or_default());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&bucket) {
            return Ok(Arc::clone(store));
        }
        let client = client::connect(location, self.credentials.as_ref())?;
        let store = Arc::new(Guarded::new(client, bucket.clone(), self.credentials.as_ref()));
        open.insert(bucket, Arc::clone(&store));
        Ok(store)
    }
}

/// The same as what everything above takes.
pub(crate) fn shared(store: &Arc<Guarded>) -> Arc<dyn ObjectStore> {
    let store: Arc<Guarded> = Arc::clone(store);
    store
}

/// The log of the Delta table at `location`, in this bucket. Its entries are written by conditional puts: the next one can
/// be created once, whoever tries.
pub(crate) fn log_of(location: &Url, store: &Arc<Guarded>) -> Result<LogStoreRef, DeltaTableError> {
    let options = StorageConfig::default();
    let table: Arc<dyn ObjectStore> = Arc::from(options.decorate_store(shared(store), location)?);
    Ok(default_logstore(table, shared(store), location, &options))
}
