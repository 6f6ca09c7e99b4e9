//! Parquet files in folders: which there are, and what their footers say.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit},
    parquet::{
        arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        basic::Type as PhysicalType,
        errors::ParquetError,
        file::metadata::{PageIndexPolicy, ParquetMetaData},
    },
};
use deltalake::ObjectMeta;
use exportjob_plan::code;

use super::source::{FileSource, ObjectFile};
use crate::{Error, Result, fields::types::TEXT};

/// A Parquet file with its footer.
#[derive(Clone, Debug)]
pub(crate) struct ParquetFile {
    /// Where it is.
    pub source: FileSource,
    /// Its footer.
    pub metadata: ArrowReaderMetadata,
    /// When it was last written, in microseconds.
    pub written: i64,
}

/// No folder of data is nested deeper; a link that leads back to its own folder is.
const MAX_DEPTH: usize = 32;

/// The Parquet files of a folder and of the folders in it, by path, with their footers read.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<ParquetFile>> {
    let mut paths = Vec::new();
    list(folder, 0, &mut paths)?;
    paths.sort();
    paths.into_iter().map(|path| read_footer(&path)).collect()
}

fn list(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(unreadable(
            folder,
            "is nested too deep: look for a link that leads back to a folder around it",
        ));
    }
    if folder.join("_delta_log").is_dir() {
        return Err(Error::new(
            code::INVALID_STORE,
            format!("{} is a Delta table: declare it with format: delta", folder.display()),
        ));
    }
    // A folder within a table may be on its way out.
    let failed = |error| {
        if depth == 0 {
            cannot_list(folder, error)
        } else {
            cannot_read(folder, error)
        }
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_hidden(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        let path = entry.path();
        if fs::metadata(&path).map_err(|error| cannot_read(&path, error))?.is_dir() {
            list(&path, depth + 1, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a file or folder of this name is none of the data's: names with these are what other tools work on, or their
/// marks (`_temporary`, `_SUCCESS`, `.crc`).
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.first().is_some_and(|first| b"_.".contains(first))
}

/// Whether an object is what some tools make to show a folder: it is empty, and there are others below it, or its name
/// is that of no file.
pub(crate) fn is_folder_mark(object: &ObjectMeta, all: &[ObjectMeta]) -> bool {
    let is_below =
        |other: &ObjectMeta| other.location != object.location && other.location.prefix_matches(&object.location);
    let has_extension = || object.location.extension().is_some();
    object.size == 0 && (all.iter().any(is_below) || !has_extension())
}

/// The footer of a Parquet file in an object store. Its time is that of its last change.
pub(crate) async fn read_object_footer(file: Arc<ObjectFile>) -> Result<ParquetFile> {
    let written = file.meta.last_modified.timestamp_micros();
    let source = FileSource::Object(file);
    let mut reader = source.open().await?;
    let loaded = ArrowReaderMetadata::load_async(&mut reader, options()).await;
    let metadata = loaded.and_then(adjusted).map_err(|error| source.broken(error))?;
    Ok(ParquetFile {
        source,
        metadata,
        written,
    })
}

/// The footer of a Parquet file.
pub(crate) fn read_footer(path: &Path) -> Result<ParquetFile> {
    let file = fs::File::open(path).map_err(|error| cannot_read(path, error))?;
    let written = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .map_err(|error| cannot_read(path, error))?;
    let loaded = ArrowReaderMetadata::load(&file, options());
    let source = FileSource::Local(path.to_owned());
    let metadata = loaded.and_then(adjusted).map_err(|error| source.broken(error))?;
    Ok(ParquetFile {
        source,
        metadata,
        written: micros(written),
    })
}

/// Where pages begin is read, too, if the file says it: those without a chosen row are passed over then.
fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional)
}

fn adjusted(loaded: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let mut leaf = 0;
    let fields = read_as(loaded.schema().fields(), loaded.metadata(), &mut leaf);
    if fields == *loaded.schema().fields() {
        return Ok(loaded);
    }
    let schema = Schema::new_with_metadata(fields, loaded.schema().metadata().clone());
    ArrowReaderMetadata::try_new(
        loaded.metadata().clone(),
        ArrowReaderOptions::new().with_schema(Arc::new(schema)),
    )
}

/// The types that columns are read in: text as views, and the old 96-bit times, which reach further than nanoseconds in
/// 64 bits can, as microseconds.
fn read_as(fields: &Fields, metadata: &ParquetMetaData, leaf: &mut usize) -> Fields {
    fields.iter().map(|field| field_as(field, metadata, leaf)).collect()
}

fn field_as(field: &FieldRef, metadata: &ParquetMetaData, leaf: &mut usize) -> FieldRef {
    let with = |data_type: DataType| Arc::new(Field::clone(field).with_data_type(data_type));
    match field.data_type() {
        DataType::Struct(fields) => with(DataType::Struct(read_as(fields, metadata, leaf))),
        DataType::List(item) => with(DataType::List(field_as(item, metadata, leaf))),
        DataType::LargeList(item) => with(DataType::LargeList(field_as(item, metadata, leaf))),
        DataType::FixedSizeList(item, size) => with(DataType::FixedSizeList(field_as(item, metadata, leaf), *size)),
        DataType::Map(entries, sorted) => with(DataType::Map(field_as(entries, metadata, leaf), *sorted)),
        other => {
            let descriptor = metadata.file_metadata().schema_descr();
            let is_96_bit =
                *leaf < descriptor.num_columns() && descriptor.column(*leaf).physical_type() == PhysicalType::INT96;
            *leaf += 1;
            match other {
                DataType::Utf8 | DataType::LargeUtf8 => with(TEXT),
                DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_96_bit => {
                    with(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
                }
                _ => field.clone(),
            }
        }
    }
}

/// What went wrong with a file while it was read: the disk, or what is in it.
pub(crate) fn broken(name: &str, error: ParquetError) -> Error {
    if let ParquetError::External(cause) = &error
        && let Some(cause) = cause.downcast_ref::<io::Error>()
        && cause.kind() != io::ErrorKind::UnexpectedEof
    {
        return Error::new(
            code::STORE_UNREADABLE,
            format!("{name} cannot be read: check the volume"),
        )
        .caused_by(error);
    }
    let message = format!(
        "{name} is not a whole Parquet file: write it anew, or remove it (names that start with _ or . are ignored)"
    );
    Error::new(code::CORRUPT_FILE, message).caused_by(error)
}

/// The folder of a table cannot be read. Where there is none, the location is wrong.
pub(crate) fn cannot_list(folder: &Path, error: io::Error) -> Error {
    let is_misplaced = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let error = cannot_read(folder, error);
    if is_misplaced { error.lasting() } else { error }
}

pub(crate) fn cannot_read(path: &Path, error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "does not exist: check the location, and that the volume is mounted",
        io::ErrorKind::PermissionDenied => "may not be read: give the export's user the right to",
        io::ErrorKind::NotADirectory => "is not a folder: a location is the folder that holds the files",
        _ => "cannot be read: check the volume",
    };
    unreadable(path, what).caused_by(error)
}

fn unreadable(path: &Path, what: &str) -> Error {
    Error::new(code::STORE_UNREADABLE, format!("{} {what}", path.display()))
}

fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}
