//! One Parquet file after another, none larger than it should be.

use std::sync::Arc;

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    parquet::{
        arrow::{AsyncArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, ZstdLevel},
        file::{metadata::ParquetMetaData, properties::WriterProperties},
    },
};
use deltalake::{Path, kernel::Add};
use exportjob_plan::{BatchId, code};
use object_store::buffered::BufWriter;

use super::{staged::Staged, stats};
use crate::{
    Error, Result,
    commit::{BATCH_COLUMN, epoch_millis},
    error::unwritable,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A file that has grown to this size is closed, and another begun.
const FILE_BYTES: usize = 256 * MIB;
/// Least size of a part of an upload, but for the last: what S3 asks for.
const PART_BYTES: usize = 5 * MIB;
/// Rows of a row group, if memory allows so many.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Memory with which a file has row groups of a size that readers like.
const GOOD_SHARE: usize = 4 * MIB;
/// Fast, and most of what higher levels reach.
const ZSTD_LEVEL: i32 = 1;

/// What all files of a run have in common.
#[derive(Clone)]
pub(crate) struct FileSettings {
    row_group_bytes: usize,
    buffer_bytes: usize,
    file_bytes: usize,
    properties: WriterProperties,
}

impl FileSettings {
    /// For `writers` files that are open at the same time and share `memory` bytes.
    ///
    /// Where there is too little memory for the parts of an upload, files `to_object_store` are closed while they are
    /// small enough to be put in one piece.
    pub(crate) fn new(memory: usize, writers: usize, to_object_store: bool) -> Self {
        let share = memory / writers.max(1);
        // One is filled while another is on its way.
        let wanted = (share / 8).clamp(16 * KIB, 8 * MIB);
        let in_pieces = to_object_store && wanted < PART_BYTES;
        let (buffer_bytes, file_bytes) = if in_pieces {
            (PART_BYTES, wanted)
        } else {
            (wanted, FILE_BYTES)
        };
        let compression = ZstdLevel::try_new(ZSTD_LEVEL).map_or(Compression::SNAPPY, Compression::ZSTD);
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(concat!("exportjob-exporter ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Self {
            row_group_bytes: if in_pieces {
                // It is held twice while it goes into the piece.
                (share * 3 / 8).max(32 * KIB)
            } else {
                (share * 3 / 4).clamp(64 * KIB, 64 * MIB)
            },
            buffer_bytes,
            file_bytes,
            properties,
        }
    }

    /// How many of `parts` should be written beside each other, each into the files of `batches`, with `memory` bytes for
    /// all of them.
    pub(crate) fn lanes(memory: usize, parts: usize, batches: usize) -> usize {
        (memory / GOOD_SHARE / batches.max(1)).clamp(1, parts.max(1))
    }
}

/// The files of one batch, written by one part of the export.
pub(crate) struct BatchFiles {
    staged: Arc<Staged>,
    settings: FileSettings,
    schema: SchemaRef,
    batch: BatchId,
    part: usize,
    open: Option<OpenFile>,
    begun: usize,
    finished: Vec<Add>,
}

struct OpenFile {
    path: Path,
    writer: AsyncArrowWriter<BufWriter>,
}

impl BatchFiles {
    pub(crate) fn new(
        staged: Arc<Staged>,
        settings: FileSettings,
        schema: SchemaRef,
        batch: BatchId,
        part: usize,
    ) -> Self {
        Self {
            staged,
            settings,
            schema,
            batch,
            part,
            open: None,
            begun: 0,
            finished: Vec::new(),
        }
    }

    /// Writes rows, at least one.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.writer
            .write(rows)
            .await
            .map_err(|error| self.failed(&file.path, error))?;
        if file.writer.memory_size() >= self.settings.row_group_bytes {
            file.writer
                .flush()
                .await
                .map_err(|error| self.failed(&file.path, error))?;
        }
        if file.writer.bytes_written() >= self.settings.file_bytes {
            self.finish(file).await
        } else {
            self.open = Some(file);
            Ok(())
        }
    }

    /// Ends the last file and returns them all.
    pub(crate) async fn close(mut self) -> Result<Vec<Add>> {
        if let Some(file) = self.open.take() {
            self.finish(file).await?;
        }
        Ok(self.finished)
    }

    fn begin(&mut self) -> Result<OpenFile> {
        let path = self.staged.begin(&self.batch, self.part, self.begun);
        self.begun += 1;
        let file = BufWriter::with_capacity(self.staged.store(), path.clone(), self.settings.buffer_bytes)
            .with_max_concurrency(1);
        let options = ArrowWriterOptions::new()
            .with_properties(self.settings.properties.clone())
            .with_skip_arrow_metadata(true);
        let writer =
            AsyncArrowWriter::try_new_with_options(file, Arc::clone(&self.schema), options).map_err(|error| {
                Error::new(
                    code::INTERNAL,
                    format!("the columns of the export cannot be written as Parquet: {error}"),
                )
                .caused_by(error)
            })?;
        Ok(OpenFile { path, writer })
    }

    async fn finish(&mut self, mut file: OpenFile) -> Result<()> {
        let metadata = file
            .writer
            .finish()
            .await
            .map_err(|error| self.failed(&file.path, error))?;
        let size = file.writer.bytes_written();
        self.finished.push(self.add(&file.path, size, &metadata));
        Ok(())
    }

    fn add(&self, path: &Path, size: usize, metadata: &ParquetMetaData) -> Add {
        Add {
            path: path.to_string(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            partition_values: [(BATCH_COLUMN.to_owned(), Some(self.batch.to_string()))].into(),
            modification_time: epoch_millis(),
            data_change: true,
            stats: Some(stats::of(metadata)),
            ..Add::default()
        }
    }

    fn failed(&self, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        unwritable(format!("cannot write {}", self.staged.place(path)), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_stay_within_their_memory() {
        for (memory, parts) in [(16, 1), (16, 64), (128, 2), (256, 2), (512, 16)] {
            for batches in [1, 7, 128] {
                let memory = memory * MIB;
                let lanes = FileSettings::lanes(memory, parts, batches);
                let settings = FileSettings::new(memory, lanes * batches, false);
                let held = lanes * batches * (settings.row_group_bytes + 2 * settings.buffer_bytes);
                assert!(
                    held <= memory,
                    "{held} of {memory} bytes, {parts} parts, {batches} batches"
                );
                assert!((1..=parts).contains(&lanes), "{lanes} of {parts}");
                let settings = FileSettings::new(memory, lanes * batches, true);
                let each = if settings.file_bytes < FILE_BYTES {
                    2 * settings.row_group_bytes + settings.file_bytes
                } else {
                    assert!(
                        settings.buffer_bytes >= PART_BYTES,
                        "{} are no part",
                        settings.buffer_bytes
                    );
                    settings.row_group_bytes + 2 * settings.buffer_bytes
                };
                let held = lanes * batches * each;
                assert!(held <= memory, "{held} of {memory} bytes to a store");
            }
        }
    }
}
