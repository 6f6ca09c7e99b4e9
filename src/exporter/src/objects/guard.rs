//! A store whose errors hold no secrets, and which remembers the uploads that it has begun.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use deltalake::{ObjectMeta, ObjectStore, ObjectStoreError, Path};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result as StoreResult, UploadPart,
};

use super::{
    Credentials,
    trouble::{Trouble, explain, trouble_in},
};

/// Name of the store in errors.
const STORE: &str = "object store";

/// A client of a bucket that tells nothing secret.
pub(crate) struct Guarded {
    inner: Arc<dyn ObjectStore>,
    voice: Arc<Voice>,
    uploads: Arc<Uploads>,
}

/// Says what has gone wrong.
struct Voice {
    bucket: String,
    secret: Option<String>,
    values: Vec<String>,
    /// The last trouble.
    told: Mutex<Option<Trouble>>,
}

/// Uploads in parts that are neither completed nor aborted.
#[derive(Default)]
struct Uploads {
    next: Mutex<u64>,
    open: Mutex<BTreeMap<u64, Arc<Slot>>>,
}

/// Taken out while it is completed or aborted.
type Slot = Mutex<Option<Box<dyn MultipartUpload>>>;

impl Guarded {
    /// Guards `inner`, a client of `bucket` (a URL) that was opened with these credentials.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, bucket: String, credentials: Option<&Credentials>) -> Self {
        Self {
            inner,
            voice: Arc::new(Voice {
                bucket,
                secret: credentials.map(|credentials| credentials.secret().to_owned()),
                values: credentials.map(Credentials::values).unwrap_or_default(),
                told: Mutex::default(),
            }),
            uploads: Arc::default(),
        }
    }

    /// The trouble at the root of `error`. The table library's reader of logs passes on what was said, but not the error
    /// that said it.
    pub(crate) fn trouble_of(&self, error: &(dyn std::error::Error + 'static)) -> Option<Trouble> {
        let told = || lock(&self.voice.told).clone();
        let said = error.to_string();
        trouble_in(error)
            .cloned()
            .or_else(|| told().filter(|trouble| said.contains(&trouble.to_string())))
    }

    /// Aborts the uploads that writers have left behind. The parts of such an upload are in no list, and are paid for.
    /// Call it when no writer is at work any more.
    pub(crate) async fn abort_uploads(&self) {
        let open = std::mem::take(&mut *lock(&self.uploads.open));
        for slot in open.into_values() {
            let Some(mut upload) = lock(&slot).take() else { continue };
            match upload.abort().await {
                // It may have been completed, with the answer lost.
                Ok(()) | Err(ObjectStoreError::NotFound { .. }) => {}
                Err(error) => {
                    let error = self.voice.tell(error);
                    tracing::warn!(%error, "an upload could not be aborted: the lifecycle rule of the bucket will");
                }
            }
        }
    }
}

impl Voice {
    /// The same error, of the same kind, with nothing in it but what [`explain`] lets through.
    fn tell(&self, error: ObjectStoreError) -> ObjectStoreError {
        let trouble = explain(&error, &self.bucket, self.secret.as_deref(), &self.values);
        let everywhere = trouble.everywhere;
        *lock(&self.told) = Some(trouble.clone());
        let source = Box::new(trouble);
        match error {
            // That the bucket is missing is not that the object is: it would be taken for an empty table.
            ObjectStoreError::NotFound { .. } if everywhere => ObjectStoreError::Generic { store: STORE, source },
            ObjectStoreError::NotFound { path, .. } => ObjectStoreError::NotFound { path, source },
            ObjectStoreError::AlreadyExists { path, .. } => ObjectStoreError::AlreadyExists { path, source },
            ObjectStoreError::Precondition { path, .. } => ObjectStoreError::Precondition { path, source },
            ObjectStoreError::NotModified { path, .. } => ObjectStoreError::NotModified { path, source },
            ObjectStoreError::PermissionDenied { path, .. } => ObjectStoreError::PermissionDenied { path, source },
            ObjectStoreError::Unauthenticated { path, .. } => ObjectStoreError::Unauthenticated { path, source },
            ObjectStoreError::NotSupported { .. } => ObjectStoreError::NotSupported {
                source: Box::new(Trouble::lasting(format!("{} cannot do this", self.bucket))),
            },
            ObjectStoreError::NotImplemented { operation, .. } => ObjectStoreError::NotImplemented {
                operation,
                implementer: self.bucket.clone(),
            },
            ObjectStoreError::InvalidPath { source } => ObjectStoreError::InvalidPath { source },
            _ => ObjectStoreError::Generic { store: STORE, source },
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Guarded({})", self.voice.bucket)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.voice.bucket)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        let put = self.inner.put_opts(path, payload, options).await;
        put.map_err(|error| self.voice.tell(error))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(path, options).await;
        let inner = begun.map_err(|error| self.voice.tell(error))?;
        let slot = Arc::new(Mutex::new(Some(inner)));
        let number = {
            let mut next = lock(&self.uploads.next);
            *next += 1;
            *next
        };
        lock(&self.uploads.open).insert(number, Arc::clone(&slot));
        Ok(Box::new(Upload {
            number,
            slot,
            voice: Arc::clone(&self.voice),
            uploads: Arc::clone(&self.uploads),
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let got = self.inner.get_opts(path, options).await;
        let got = got.map_err(|error| self.voice.tell(error))?;
        let payload = match got.payload {
            GetResultPayload::Stream(stream) => {
                let voice = Arc::clone(&self.voice);
                GetResultPayload::Stream(stream.map_err(move |error| voice.tell(error)).boxed())
            }
            file @ GetResultPayload::File(..) => file,
        };
        Ok(GetResult { payload, ..got })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<bytes::Bytes>> {
        let got = self.inner.get_ranges(path, ranges).await;
        got.map_err(|error| self.voice.tell(error))
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let voice = Arc::clone(&self.voice);
        let deleted = self.inner.delete_stream(paths);
        deleted.map_err(move |error| voice.tell(error)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let voice = Arc::clone(&self.voice);
        self.inner.list(prefix).map_err(move |error| voice.tell(error)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let voice = Arc::clone(&self.voice);
        let listed = self.inner.list_with_offset(prefix, offset);
        listed.map_err(move |error| voice.tell(error)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await;
        listed.map_err(|error| self.voice.tell(error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        let copied = self.inner.copy_opts(from, to, options).await;
        copied.map_err(|error| self.voice.tell(error))
    }
}

/// An upload in parts.
struct Upload {
    number: u64,
    slot: Arc<Slot>,
    voice: Arc<Voice>,
    uploads: Arc<Uploads>,
}

impl Upload {
    fn gone(&self) -> ObjectStoreError {
        ObjectStoreError::Generic {
            store: STORE,
            source: Box::new(Trouble::passing(format!(
                "an upload to {} was aborted while it was written",
                self.voice.bucket
            ))),
        }
    }

    fn forget(&self) {
        lock(&self.uploads.open).remove(&self.number);
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Upload({})", self.voice.bucket)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = lock(&self.slot).as_mut().map(|upload| upload.put_part(data));
        let (voice, gone) = (Arc::clone(&self.voice), self.gone());
        Box::pin(async move {
            match part {
                Some(part) => part.await.map_err(|error| voice.tell(error)),
                None => Err(gone),
            }
        })
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        let taken = lock(&self.slot).take();
        let Some(mut upload) = taken else {
            return Err(self.gone());
        };
        let completed = upload.complete().await;
        match completed {
            Ok(done) => {
                self.forget();
                Ok(done)
            }
            Err(error) => {
                *lock(&self.slot) = Some(upload);
                Err(self.voice.tell(error))
            }
        }
    }

    async fn abort(&mut self) -> StoreResult<()> {
        let taken = lock(&self.slot).take();
        let Some(mut upload) = taken else { return Ok(()) };
        let aborted = upload.abort().await;
        match aborted {
            Ok(()) => {
                self.forget();
                Ok(())
            }
            Err(error) => {
                *lock(&self.slot) = Some(upload);
                Err(self.voice.tell(error))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
