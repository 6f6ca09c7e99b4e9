//! Delta tables: their current version, its files and when each of them was committed.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray},
        compute::cast,
        datatypes::{DataType, Fields},
    },
    catalog::TableProvider,
    error::DataFusionError,
};
use deltalake::{DeltaTable, DeltaTableError, ObjectMeta, Path as ObjectPath, logstore::LogStoreRef};
use exportjob_plan::code;
use futures::TryStreamExt as _;
use serde::Deserialize;
use url::Url;

use super::{
    files::{cannot_list, read_footer},
    listing::{name as object_name, read_footers},
    reader::external,
    source::ObjectFile,
};
use crate::{
    Error, Result, Session,
    error::io_kind,
    objects::{Guarded, Stores, is_object, log_of, shared, trouble_in},
};

/// Column that a scan adds: the file that a row comes from.
const FILE_COLUMN: &str = "__exportjob_file";

/// A version of a Delta table, ready to be scanned.
#[derive(Debug)]
pub(crate) struct DeltaInput {
    /// Scans it.
    pub provider: Arc<dyn TableProvider>,
    /// Its columns.
    pub fields: Fields,
    /// Rows, as far as its log says.
    pub rows: usize,
    /// When each file was committed, in microseconds; `None` where the table has ingest times of its own.
    committed: HashMap<PathBuf, i64>,
}

impl DeltaInput {
    /// Opens the current version. `needs_times`: rows may need the time when they were committed.
    pub async fn open(location: &Url, session: &Session, stores: &Stores, needs_times: bool) -> Result<Self> {
        let place = Place::of(location, stores)?;
        let table = place.open().await?;
        let failed = |error: DeltaTableError| cannot_open(&place, error);
        let log_store = table.log_store();
        let snapshot = table.snapshot().map_err(failed)?.snapshot();
        let files: Vec<_> = snapshot
            .file_views(log_store.as_ref(), None)
            .try_collect()
            .await
            .map_err(failed)?;
        let (mut paths, mut rows, mut sizes) = (HashMap::new(), 0, Vec::new());
        for file in &files {
            let path = place.decoded(&file.path())?;
            sizes.push((path.clone(), u64::try_from(file.size()).unwrap_or_default()));
            paths.insert(path, file.modification_time().saturating_mul(1000));
            rows += file.num_records().unwrap_or_default();
        }
        place.check_footers(sizes).await?;
        if needs_times && let Some(version) = table.version() {
            commit_times(&log_store, &place, version, &mut paths).await?;
        }
        let builder = table.table_provider().with_session(Arc::new(session.context.state()));
        let builder = if needs_times {
            builder.with_file_column(FILE_COLUMN)
        } else {
            builder
        };
        let provider = builder.await.map_err(|error| unusable(&place.name).caused_by(error))?;
        table
            .update_datafusion_session(&session.context.state())
            .map_err(|error| unusable(&place.name).caused_by(error))?;
        let fields = provider
            .schema()
            .fields()
            .iter()
            .filter(|field| field.name() != FILE_COLUMN)
            .cloned()
            .collect();
        Ok(Self {
            provider,
            fields,
            rows,
            committed: paths,
        })
    }

    /// Position of the column that [`Self::written`] reads, if the table has been opened with it.
    pub fn file_column(&self) -> Option<usize> {
        self.provider.schema().index_of(FILE_COLUMN).ok()
    }

    /// When each row of a scanned batch was committed.
    pub fn written(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let unknown = |message: String| Error::new(code::INTERNAL, message);
        let column = batch
            .column_by_name(FILE_COLUMN)
            .ok_or_else(|| unknown("a Delta scan came without its file column".to_owned()))?;
        let column = cast(column, &DataType::Utf8)
            .map_err(|error| unknown("a Delta scan's file column is not text".to_owned()).caused_by(error))?;
        let mut last: Option<(&str, i64)> = None;
        let mut times = Vec::with_capacity(column.len());
        for file in column.as_string::<i32>().iter().map(Option::unwrap_or_default) {
            let time = match last {
                Some((path, time)) if path == file => time,
                _ => self
                    .committed_at(file)
                    .ok_or_else(|| unknown(format!("the Delta log has no file {file}")))?,
            };
            last = Some((file, time));
            times.push(time);
        }
        Ok(Arc::new(TimestampMicrosecondArray::from(times)))
    }

    fn committed_at(&self, file: &str) -> Option<i64> {
        let path = match Url::parse(file) {
            Ok(url) => path_of(&url)?,
            Err(_) => PathBuf::from(file),
        };
        self.committed.get(&path).copied()
    }
}

/// Where a Delta table is.
struct Place {
    location: Url,
    /// Its folder, or its prefix as a path.
    folder: PathBuf,
    /// The same, for people.
    name: String,
    /// Its bucket.
    store: Option<Arc<Guarded>>,
}

impl Place {
    fn of(location: &Url, stores: &Stores) -> Result<Self> {
        let store = is_object(location).then(|| stores.open(location)).transpose()?;
        let folder = path_of(location).ok_or_else(|| outside(location.as_str(), location.as_str()))?;
        let name = match &store {
            Some(_) => location.as_str().trim_end_matches('/').to_owned(),
            None => folder.display().to_string(),
        };
        Ok(Self {
            location: location.clone(),
            folder,
            name,
            store,
        })
    }

    async fn open(&self) -> Result<DeltaTable> {
        let failed = |error| cannot_open(self, error);
        let Some(store) = &self.store else {
            std::fs::read_dir(&self.folder).map_err(|error| cannot_list(&self.folder, error))?;
            return deltalake::open_table(self.location.clone()).await.map_err(failed);
        };
        let mut table = DeltaTable::new(log_of(&self.location, store).map_err(failed)?);
        table.load().await.map_err(failed)?;
        Ok(table)
    }

    /// Reads the footers of the files: one that is not whole is found before any row is read.
    async fn check_footers(&self, mut files: Vec<(PathBuf, u64)>) -> Result<()> {
        files.sort();
        let Some(store) = &self.store else {
            return tokio::task::spawn_blocking(move || {
                files.iter().try_for_each(|(path, _)| read_footer(path).map(drop))
            })
            .await
            .map_err(|error| Error::new(code::INTERNAL, "reading the footers of a table stopped").caused_by(error))?;
        };
        let objects = files.into_iter().map(|(path, size)| {
            let path = path.to_string_lossy();
            let path = ObjectPath::parse(&path).map_err(|_| outside(&path, &self.name))?;
            Ok(ObjectFile {
                name: object_name(&self.location, &path),
                store: shared(store),
                meta: ObjectMeta {
                    location: path,
                    last_modified: std::time::UNIX_EPOCH.into(),
                    size,
                    e_tag: None,
                    version: None,
                },
            })
        });
        let objects: Vec<_> = objects.collect::<Result<_>>()?;
        read_footers(objects).await.map(drop)
    }

    /// Path of a file of the table, as its log has it: a relative or absolute URL.
    fn encoded(&self, path: &str) -> Result<PathBuf> {
        let url = self.location.join(path).map_err(|_| outside(path, &self.name))?;
        self.within(&url, path)
    }

    /// The same, as a snapshot has it: a relative path is no longer encoded. Folders of partitions have names with signs
    /// that are encoded once more in a URL, such as `at=12%3A30`.
    fn decoded(&self, path: &str) -> Result<PathBuf> {
        if path.contains("://") || path.starts_with("file:") {
            let url = Url::parse(path).map_err(|_| outside(path, &self.name))?;
            return self.within(&url, path);
        }
        Ok(self.folder.join(path))
    }

    /// Path of a URL on the same volume, or in the same bucket.
    fn within(&self, url: &Url, path: &str) -> Result<PathBuf> {
        let same = url.scheme() == self.location.scheme() && url.host_str() == self.location.host_str();
        let found = same.then(|| path_of(url)).flatten();
        found.ok_or_else(|| outside(path, &self.name))
    }
}

/// Path of a file, or of an object in its bucket.
fn path_of(url: &Url) -> Option<PathBuf> {
    if is_object(url) {
        let path = ObjectPath::from_url_path(url.path()).ok()?;
        return Some(Path::new("/").join(path.as_ref()));
    }
    url.to_file_path().ok()
}

fn outside(path: &str, table: &str) -> Error {
    Error::new(
        code::INVALID_STORE,
        format!("the Delta table {table} has a file outside of its volume or bucket: {path}"),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogAction {
    add: Option<LogAdd>,
    commit_info: Option<LogCommit>,
}

#[derive(Deserialize)]
struct LogAdd {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogCommit {
    in_commit_timestamp: Option<i64>,
    timestamp: Option<i64>,
}

/// Replaces the time when a file was written by the time when it was committed. A file may wait for its commit: by the
/// former, an export of what is new would miss it. Of commits whose log entry is cleaned up, only the former is left.
async fn commit_times(
    log_store: &LogStoreRef,
    place: &Place,
    newest: u64,
    files: &mut HashMap<PathBuf, i64>,
) -> Result<()> {
    let mut missing: std::collections::HashSet<PathBuf> = files.keys().cloned().collect();
    for version in (0..=newest).rev() {
        if missing.is_empty() {
            break;
        }
        let entry = log_store
            .read_commit_entry(version)
            .await
            .map_err(|error| cannot_open(place, error))?;
        let Some(entry) = entry else { break };
        let actions = serde_json::Deserializer::from_slice(&entry)
            .into_iter::<LogAction>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&place.name).caused_by(error))?;
        let commit = actions.iter().find_map(|action| action.commit_info.as_ref());
        let millis = commit.and_then(|commit| commit.in_commit_timestamp.or(commit.timestamp));
        for add in actions.iter().filter_map(|action| action.add.as_ref()) {
            let path = place.encoded(&add.path)?;
            if missing.remove(&path)
                && let Some(millis) = millis
            {
                files.insert(path, millis.saturating_mul(1000));
            }
        }
    }
    Ok(())
}

/// What went wrong while rows of `table` were read: the volume, or what is in a file. The engine does not say in which.
pub(super) fn scan_failed(table: &str, error: DataFusionError) -> DataFusionError {
    if let Some(trouble) = trouble_in(&error).cloned() {
        let message = format!("a file of the Delta table {table} cannot be read: {trouble}");
        let failed = Error::new(code::STORE_UNREADABLE, message);
        let failed = if trouble.lasting { failed.lasting() } else { failed };
        return external(failed.caused_by(error));
    }
    let (error_code, message) = match (io_kind(&error), error.find_root()) {
        (Some(kind), _) if kind != io::ErrorKind::UnexpectedEof => (
            code::STORE_UNREADABLE,
            format!("a file of the Delta table {table} cannot be read: check the volume"),
        ),
        (Some(_), _) | (None, DataFusionError::ParquetError(_) | DataFusionError::ArrowError(_, _)) => (
            code::CORRUPT_FILE,
            format!("the Delta table {table} has a file that is not whole: restore the table, or write its rows anew"),
        ),
        _ => return error,
    };
    external(Error::new(error_code, message).caused_by(error))
}

fn cannot_open(place: &Place, error: DeltaTableError) -> Error {
    let table = &place.name;
    if let Some(trouble) = place.store.as_ref().and_then(|store| store.trouble_of(&error)) {
        let message = format!("the Delta table {table} cannot be opened: {trouble}");
        let failed = Error::new(code::STORE_UNREADABLE, message);
        let failed = if trouble.lasting { failed.lasting() } else { failed };
        return failed.caused_by(error);
    }
    let error_code = match &error {
        DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. } => code::STORE_UNREADABLE,
        _ => code::INVALID_STORE,
    };
    let message = if matches!(error, DeltaTableError::NotATable(_)) {
        format!("{table} is not a Delta table: correct the location, or declare format: parquet")
    } else {
        format!("the Delta table {table} cannot be opened: {error}")
    };
    Error::new(error_code, message).caused_by(error)
}

fn unusable(table: &str) -> Error {
    Error::new(
        code::INVALID_STORE,
        format!("the Delta table {table} cannot be read by this version"),
    )
}
