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
use deltalake::{DeltaTableError, logstore::LogStoreRef};
use exportjob_plan::code;
use futures::TryStreamExt as _;
use serde::Deserialize;
use url::Url;

use super::{
    files::{cannot_list, read_footer},
    reader::external,
};
use crate::{Error, Result, Session, error::io_kind};

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
    pub async fn open(location: &Url, folder: &Path, session: &Session, needs_times: bool) -> Result<Self> {
        std::fs::read_dir(folder).map_err(|error| cannot_list(folder, error))?;
        let table = deltalake::open_table(location.clone())
            .await
            .map_err(|error| cannot_open(folder, error))?;
        let failed = |error: DeltaTableError| cannot_open(folder, error);
        let log_store = table.log_store();
        let snapshot = table.snapshot().map_err(failed)?.snapshot();
        let files: Vec<_> = snapshot
            .file_views(log_store.as_ref(), None)
            .try_collect()
            .await
            .map_err(failed)?;
        let (mut paths, mut rows) = (HashMap::new(), 0);
        for file in &files {
            let path = decoded_path(&file.path(), folder)?;
            paths.insert(path, file.modification_time().saturating_mul(1000));
            rows += file.num_records().unwrap_or_default();
        }
        check_footers(paths.keys().cloned().collect()).await?;
        if needs_times && let Some(version) = table.version() {
            commit_times(&log_store, location, version, &mut paths, folder).await?;
        }
        let builder = table.table_provider().with_session(Arc::new(session.context.state()));
        let builder = if needs_times {
            builder.with_file_column(FILE_COLUMN)
        } else {
            builder
        };
        let provider = builder.await.map_err(|error| unusable(folder).caused_by(error))?;
        table
            .update_datafusion_session(&session.context.state())
            .map_err(|error| unusable(folder).caused_by(error))?;
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
            Ok(url) => url.to_file_path().ok()?,
            Err(_) => PathBuf::from(file),
        };
        self.committed.get(&path).copied()
    }
}

async fn check_footers(mut paths: Vec<PathBuf>) -> Result<()> {
    paths.sort();
    tokio::task::spawn_blocking(move || paths.iter().try_for_each(|path| read_footer(path).map(drop)))
        .await
        .map_err(|error| Error::new(code::INTERNAL, "reading the footers of a table stopped").caused_by(error))?
}

/// Path of a file of the table, as its log has it: a relative or absolute URL.
fn local_path(location: &Url, path: &str, folder: &Path) -> Result<PathBuf> {
    let url = location.join(path).map_err(|_| outside(path, folder))?;
    url.to_file_path().map_err(|()| outside(path, folder))
}

/// The same, as a snapshot has it: a relative path is no longer encoded. Folders of partitions have names with signs
/// that are encoded once more in a URL, such as `at=12%3A30`.
fn decoded_path(path: &str, folder: &Path) -> Result<PathBuf> {
    if path.contains("://") || path.starts_with("file:") {
        let url = Url::parse(path).map_err(|_| outside(path, folder))?;
        return url.to_file_path().map_err(|()| outside(path, folder));
    }
    Ok(folder.join(path))
}

fn outside(path: &str, folder: &Path) -> Error {
    Error::new(
        code::INVALID_STORE,
        format!(
            "the Delta table {} has a file outside of its volume: {path}",
            folder.display()
        ),
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
    location: &Url,
    newest: u64,
    files: &mut HashMap<PathBuf, i64>,
    folder: &Path,
) -> Result<()> {
    let mut missing: std::collections::HashSet<PathBuf> = files.keys().cloned().collect();
    for version in (0..=newest).rev() {
        if missing.is_empty() {
            break;
        }
        let entry = log_store
            .read_commit_entry(version)
            .await
            .map_err(|error| cannot_open(folder, error))?;
        let Some(entry) = entry else { break };
        let actions = serde_json::Deserializer::from_slice(&entry)
            .into_iter::<LogAction>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(folder).caused_by(error))?;
        let commit = actions.iter().find_map(|action| action.commit_info.as_ref());
        let millis = commit.and_then(|commit| commit.in_commit_timestamp.or(commit.timestamp));
        for add in actions.iter().filter_map(|action| action.add.as_ref()) {
            let path = local_path(location, &add.path, folder)?;
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

fn cannot_open(folder: &Path, error: DeltaTableError) -> Error {
    let error_code = match &error {
        DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. } => code::STORE_UNREADABLE,
        _ => code::INVALID_STORE,
    };
    let message = if matches!(error, DeltaTableError::NotATable(_)) {
        format!(
            "{} is not a Delta table: correct the location, or declare format: parquet",
            folder.display()
        )
    } else {
        format!("the Delta table {} cannot be opened: {error}", folder.display())
    };
    Error::new(error_code, message).caused_by(error)
}

fn unusable(folder: &Path) -> Error {
    Error::new(
        code::INVALID_STORE,
        format!("the Delta table {} cannot be read by this version", folder.display()),
    )
}
