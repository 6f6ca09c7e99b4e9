//! The files of a bucketed table.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        datatypes::{Fields, SchemaRef, UInt32Type},
        error::ArrowError,
    },
    execution::SendableRecordBatchStream,
    parquet::{
        arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, Encoding, ZstdLevel},
        file::properties::{EnabledStatistics, WriterProperties},
        schema::types::ColumnPath,
    },
};
use futures::StreamExt as _;

use super::{BUCKET, KEY_COLUMN};
use crate::{
    Result, error::unwritable, fields::types::with_views, keys::KEY, project::assemble, read::convert,
    session::engine_error,
};

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group, however few rows that are.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Rows of a page: an export of few profiles reads the pages that they are on.
const PAGE_ROWS: usize = 4096;

/// Writes rows that come sorted by bucket: a file for each bucket.
pub(super) struct BucketWriter {
    folder: PathBuf,
    columns: SchemaRef,
    open: Option<(u32, PathBuf, ArrowWriter<File>)>,
    rows: u64,
}

impl BucketWriter {
    /// Files below `folder` with these columns.
    pub fn new(folder: PathBuf, columns: SchemaRef) -> Self {
        Self {
            folder,
            columns,
            open: None,
            rows: 0,
        }
    }

    /// Writes a file without rows: it says which columns the table has.
    pub fn write_columns(self) -> Result<()> {
        let path = self.folder.join("bucket=00000").join("part-0.zstd.parquet");
        let file = self.file(&path)?;
        ArrowWriter::try_new_with_options(file, self.columns.clone(), options())
            .and_then(ArrowWriter::close)
            .map(drop)
            .map_err(|error| failed(&path, error))
    }

    fn file(&self, path: &Path) -> Result<File> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| File::create_new(path))
            .map_err(|error| failed(path, error))
    }

    /// Writes all rows and says how many there were.
    pub async fn consume(mut self, mut rows: SendableRecordBatchStream) -> Result<u64> {
        while let Some(batch) = rows.next().await {
            self.write(&batch.map_err(engine_error)?)?;
        }
        self.close()?;
        Ok(self.rows)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let internal = |error: ArrowError| engine_error(error.into());
        let numbers = batch
            .column_by_name(BUCKET)
            .and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let Some(numbers) = numbers else {
            return Err(internal(ArrowError::SchemaError(
                "rows come without their bucket".to_owned(),
            )));
        };
        let whole = arranged(batch, &self.columns).map_err(internal)?;
        let mut start = 0;
        for run in numbers.values().chunk_by(|a, b| a == b) {
            let Some(number) = run.first() else { continue };
            let rows = whole.slice(start, run.len());
            start += run.len();
            let (path, writer) = self.bucket(*number)?;
            writer.write(&rows).map_err(|error| failed(&path, error))?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES {
                writer.flush().map_err(|error| failed(&path, error))?;
            }
        }
        self.rows += u64::try_from(batch.num_rows()).unwrap_or_default();
        Ok(())
    }

    /// The file of a bucket, which is never begun twice.
    fn bucket(&mut self, number: u32) -> Result<(PathBuf, &mut ArrowWriter<File>)> {
        if self.open.as_ref().is_none_or(|(open, ..)| *open != number) {
            self.close()?;
            let path = self
                .folder
                .join(format!("bucket={number:05}"))
                .join("part-0.zstd.parquet");
            let file = self.file(&path)?;
            let writer = ArrowWriter::try_new_with_options(file, self.columns.clone(), options())
                .map_err(|error| failed(&path, error))?;
            self.open = Some((number, path, writer));
        }
        match &mut self.open {
            Some((_, path, writer)) => Ok((path.clone(), writer)),
            None => Err(engine_error(
                ArrowError::SchemaError("no file is open".to_owned()).into(),
            )),
        }
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, path, writer)) = self.open.take() {
            let file = writer.into_inner().map_err(|error| failed(&path, error))?;
            file.sync_all().map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> crate::Error {
    unwritable(format!("cannot write {}", path.display()), error)
}

fn options() -> ArrowWriterOptions {
    ArrowWriterOptions::new()
        .with_properties(properties())
        .with_skip_arrow_metadata(true)
}

fn properties() -> WriterProperties {
    let compression = ZstdLevel::try_new(3).map_or(Compression::SNAPPY, Compression::ZSTD);
    let key = ColumnPath::from(KEY_COLUMN);
    WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Sorted keys share their beginnings.
        .set_column_dictionary_enabled(key.clone(), false)
        .set_column_encoding(key, Encoding::DELTA_BYTE_ARRAY)
        .set_created_by(concat!("exportjob-exporter ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

/// The rows in the columns that are written: the store's own by their names, the others built of their leaves, which are
/// named by their places.
fn arranged(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let is_leaf = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let schema = batch.schema();
    let leaves = schema.fields().iter().zip(batch.columns());
    let mut leaves = leaves
        .filter(|(field, _)| is_leaf(field.name()))
        .map(|(_, column)| convert(column, &with_views(column.data_type())))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();
    let mut arranged: Vec<ArrayRef> = Vec::with_capacity(columns.fields().len());
    let mut customers = Vec::new();
    for field in columns.fields() {
        let name = if field.name() == KEY_COLUMN {
            KEY
        } else {
            field.name().as_str()
        };
        match batch.column_by_name(name) {
            Some(column) if customers.is_empty() => arranged.push(convert(column, field.data_type())?),
            _ => customers.push(field.clone()),
        }
    }
    arranged.extend(assemble(&Fields::from(customers), &mut leaves)?);
    RecordBatch::try_new(Arc::clone(columns), arranged)
}
