//! Where the bytes of a Parquet file come from: a volume or an object store.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use datafusion::parquet::{
    arrow::{
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::AsyncFileReader,
    },
    errors::{ParquetError, Result as ParquetResult},
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use deltalake::{ObjectMeta, ObjectStore, ObjectStoreError};
use exportjob_plan::code;
use futures::{FutureExt as _, future::BoxFuture};
use object_store::{GetOptions, OBJECT_STORE_COALESCE_DEFAULT, coalesce_ranges};

use super::files::{broken, cannot_read};
use crate::{Error, Result, objects::trouble_in};

/// What is read of a file's end at once: most footers are shorter.
const FOOTER_BYTES: usize = 64 * 1024;

/// A file that can be read in pieces.
#[derive(Clone, Debug)]
pub(crate) enum FileSource {
    /// On a volume.
    Local(PathBuf),
    /// In an object store.
    Object(Arc<ObjectFile>),
}

/// An object, as it was when it was listed.
#[derive(Debug)]
pub(crate) struct ObjectFile {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// Its path, size and version.
    pub meta: ObjectMeta,
    /// Its URL.
    pub name: String,
}

impl FileSource {
    /// Path or URL, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Object(file) => file.name.clone(),
        }
    }

    /// Opens the file.
    pub async fn open(&self) -> Result<Box<dyn AsyncFileReader>> {
        Ok(match self {
            Self::Local(path) => {
                let at = path.clone();
                let opened = tokio::task::spawn_blocking(move || File::open(at)).await;
                let file = opened.map_err(io::Error::other).flatten();
                Box::new(LocalReader(Arc::new(file.map_err(|error| cannot_read(path, error))?)))
            }
            Self::Object(file) => Box::new(ObjectReader(Arc::clone(file))),
        })
    }

    /// What went wrong with the file while it was read: its place, or what is in it.
    pub fn broken(&self, error: ParquetError) -> Error {
        match (self, trouble_in(&error)) {
            (Self::Object(file), Some(trouble)) => {
                let what = Error::new(
                    code::STORE_UNREADABLE,
                    format!("{} cannot be read: {trouble}", file.name),
                );
                let what = if trouble.lasting { what.lasting() } else { what };
                what.caused_by(error)
            }
            _ => broken(&self.name(), error),
        }
    }
}

/// The bucket or prefix `place` cannot be read.
pub(crate) fn store_unreadable(place: &str, error: ObjectStoreError) -> Error {
    let (what, lasting) = match trouble_in(&error) {
        Some(trouble) => (trouble.to_string(), trouble.lasting),
        None => (error.to_string(), false),
    };
    let unreadable = Error::new(code::STORE_UNREADABLE, format!("{place} cannot be read: {what}"));
    let unreadable = if lasting { unreadable.lasting() } else { unreadable };
    unreadable.caused_by(error)
}

/// Reads a file of a volume: all pieces that are asked for in one turn of a thread that may wait for them.
struct LocalReader(Arc<File>);

impl AsyncFileReader for LocalReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let mut pieces = self.get_byte_ranges(vec![range]).await?;
            pieces
                .pop()
                .ok_or_else(|| ParquetError::General("nothing was read".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let file = Arc::clone(&self.0);
        async move {
            // The memory is this thread's, which also frees it: an allocator keeps more when threads free for each other.
            let pieces: ParquetResult<Vec<Vec<u8>>> = ranges.iter().map(buffer).collect();
            let mut pieces = pieces?;
            let read = move || {
                for (piece, range) in pieces.iter_mut().zip(&ranges) {
                    file.read_exact_at(piece, range.start)?;
                }
                Ok(pieces.into_iter().map(Bytes::from).collect())
            };
            let read: io::Result<Vec<Bytes>> = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?;
            read.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let options = options.cloned().unwrap_or_default();
        async move { Ok(ArrowReaderMetadata::load(self.0.as_ref(), options)?.metadata().clone()) }.boxed()
    }
}

fn buffer(range: &Range<u64>) -> ParquetResult<Vec<u8>> {
    let length = usize::try_from(range.end.saturating_sub(range.start));
    Ok(vec![
        0;
        length.map_err(|error| ParquetError::External(Box::new(error)))?
    ])
}

/// Reads an object by ranges.
struct ObjectReader(Arc<ObjectFile>);

impl ObjectReader {
    /// A range of the very object that was listed: one that was replaced meanwhile has another footer.
    async fn fetch(file: Arc<ObjectFile>, range: Range<u64>) -> Result<Bytes, ObjectStoreError> {
        let options = GetOptions {
            range: Some(range.into()),
            if_match: file.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        file.store.get_opts(&file.meta.location, options).await?.bytes().await
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let fetched = Self::fetch(Arc::clone(&self.0), range);
        fetched.map(|bytes| bytes.map_err(external)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let file = Arc::clone(&self.0);
        async move {
            let fetch = |range| Self::fetch(Arc::clone(&file), range);
            let fetched = coalesce_ranges(&ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
            fetched.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.0.meta.size;
        let mut reader = ParquetMetaDataReader::new()
            .with_metadata_options(options.map(|options| options.metadata_options().clone()))
            .with_prefetch_hint(Some(FOOTER_BYTES));
        if let Some(options) = options {
            reader = reader
                .with_column_index_policy(options.column_index_policy())
                .with_offset_index_policy(options.offset_index_policy());
        }
        async move { reader.load_and_finish(self, size).await.map(Arc::new) }.boxed()
    }
}

fn external(error: ObjectStoreError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
