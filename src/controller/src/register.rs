//! One named object that several processes change by compare-and-swap.

use std::{fmt::Debug, future::Future};

use kube::{Api, Resource};
use serde::{Serialize, de::DeserializeOwned};

/// Access to one object. Every write carries the resource version that it was read at: of two writers one gets a
/// conflict.
pub trait Register<K>: Send + Sync {
    /// The object as it is; `None`: there is none.
    fn read(&self) -> impl Future<Output = Result<Option<K>, kube::Error>> + Send;
    /// Makes the object. Fails with `AlreadyExists` when somebody was faster.
    fn create(&self, object: &K) -> impl Future<Output = Result<K, kube::Error>> + Send;
    /// Puts `object` in the place of the one that it was read as. Fails with `Conflict` when that one has changed.
    fn replace(&self, object: &K) -> impl Future<Output = Result<K, kube::Error>> + Send;
}

/// A [`Register`] that is an object of the API server. Its writes are in [`act`](crate::act).
#[derive(Clone, Debug)]
pub struct ApiRegister<K> {
    pub(crate) api: Api<K>,
    pub(crate) name: String,
}

impl<K> ApiRegister<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    /// The object `name` of `api`.
    pub fn new(api: Api<K>, name: impl Into<String>) -> Self {
        Self { api, name: name.into() }
    }
}

/// Whether `error` says that another writer was faster: the state has to be read again.
pub fn lost_the_race(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

#[cfg(test)]
pub(crate) mod memory {
    #![allow(clippy::unwrap_used)]

    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    use kube::{ResourceExt, core::Status};

    use super::Register;

    /// A register in memory with the API server's rules. Clones share it.
    #[derive(Clone)]
    pub struct Memory<K> {
        object: Arc<Mutex<Option<K>>>,
        version: Arc<AtomicU64>,
        down: Arc<AtomicBool>,
        writes: Arc<AtomicU64>,
    }

    impl<K> Default for Memory<K> {
        fn default() -> Self {
            Self {
                object: Arc::default(),
                version: Arc::default(),
                down: Arc::default(),
                writes: Arc::default(),
            }
        }
    }

    impl<K: Clone> Memory<K> {
        /// The object, whatever the state of the server.
        pub fn object(&self) -> Option<K> {
            self.object.lock().unwrap().clone()
        }

        /// Removes the object.
        pub fn remove(&self) {
            *self.object.lock().unwrap() = None;
        }

        /// Whether the server refuses everything.
        pub fn set_down(&self, down: bool) {
            self.down.store(down, Ordering::SeqCst);
        }

        /// Writes that went through.
        pub fn writes(&self) -> u64 {
            self.writes.load(Ordering::SeqCst)
        }

        fn reachable(&self) -> Result<(), kube::Error> {
            if self.down.load(Ordering::SeqCst) {
                return Err(failure(500, "InternalError"));
            }
            Ok(())
        }
    }

    pub fn failure(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(reason, reason).with_code(code)))
    }

    impl<K: ResourceExt + Clone + Send + Sync> Memory<K> {
        fn put(&self, slot: &mut Option<K>, object: &K) -> K {
            let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
            let mut object = object.clone();
            object.meta_mut().resource_version = Some(version.to_string());
            *slot = Some(object.clone());
            self.writes.fetch_add(1, Ordering::SeqCst);
            object
        }
    }

    impl<K: ResourceExt + Clone + Send + Sync> Register<K> for Memory<K> {
        async fn read(&self) -> Result<Option<K>, kube::Error> {
            self.reachable()?;
            let object = self.object();
            // Others run between a read and the write that follows from it.
            tokio::task::yield_now().await;
            Ok(object)
        }

        async fn create(&self, object: &K) -> Result<K, kube::Error> {
            self.reachable()?;
            let mut slot = self.object.lock().unwrap();
            if slot.is_some() {
                return Err(failure(409, "AlreadyExists"));
            }
            Ok(self.put(&mut slot, object))
        }

        async fn replace(&self, object: &K) -> Result<K, kube::Error> {
            self.reachable()?;
            let mut slot = self.object.lock().unwrap();
            match slot.as_ref() {
                None => Err(failure(404, "NotFound")),
                Some(old) if old.resource_version() != object.resource_version() => Err(failure(409, "Conflict")),
                Some(_) => Ok(self.put(&mut slot, object)),
            }
        }
    }
}
