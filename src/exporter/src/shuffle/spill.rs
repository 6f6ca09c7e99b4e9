//! Rows on their way to their buckets: written in pieces, each of one bucket, and read again bucket by bucket.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        buffer::Buffer,
        datatypes::SchemaRef,
        ipc::{reader::StreamDecoder, writer::StreamWriter},
    },
    common::{DataFusionError, Result},
    execution::{SpillFile as TemporaryFile, disk_manager::DiskManager},
};

use crate::{fields::types::schema_with_texts, read::in_schema};

/// A file of one writer: pieces of all buckets, one after the other.
struct SpillFile {
    file: File,
    /// Removes the file when nobody needs it any more.
    _temporary: Arc<dyn TemporaryFile>,
}

/// Where a piece is.
#[derive(Clone, Copy, Debug)]
struct Piece {
    file: usize,
    offset: u64,
    bytes: usize,
}

/// The rows of a table, bucket by bucket.
pub(super) struct Spilled {
    schema: SchemaRef,
    files: Vec<SpillFile>,
    buckets: Vec<Vec<Piece>>,
}

/// Takes the pieces of several writers.
pub(super) struct Spilling {
    schema: SchemaRef,
    /// The columns as they lie on disk.
    stored: SchemaRef,
    buckets: usize,
    done: Mutex<Vec<Done>>,
}

/// What one writer has written: its file, and the piece of each bucket.
type Done = (SpillFile, Vec<(usize, Piece)>);

/// Writes pieces into a file of its own.
pub(super) struct SpillWriter {
    spilling: Arc<Spilling>,
    file: File,
    temporary: Arc<dyn TemporaryFile>,
    offset: u64,
    pieces: Vec<(usize, Piece)>,
    buffer: Vec<u8>,
}

impl Spilling {
    /// For rows of this schema in so many buckets.
    pub fn new(schema: SchemaRef, buckets: usize) -> Arc<Self> {
        Arc::new(Self {
            stored: schema_with_texts(&schema),
            schema,
            buckets,
            done: Mutex::default(),
        })
    }

    /// A writer with a file of its own.
    pub fn writer(self: &Arc<Self>, disk: &Arc<DiskManager>) -> Result<SpillWriter> {
        let temporary = disk.create_tmp_file("shuffle")?;
        let path = temporary
            .path()
            .ok_or_else(|| DataFusionError::Internal("a spill file has no place on disk".to_owned()))?;
        let file = File::options().read(true).write(true).open(path)?;
        Ok(SpillWriter {
            spilling: self.clone(),
            file,
            temporary,
            offset: 0,
            pieces: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// What all writers have written, once they are finished.
    pub fn finish(&self) -> Spilled {
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut files, mut buckets) = (Vec::new(), vec![Vec::new(); self.buckets]);
        for (file, pieces) in done {
            for (bucket, piece) in pieces {
                buckets[bucket].push(Piece {
                    file: files.len(),
                    ..piece
                });
            }
            files.push(file);
        }
        Spilled {
            schema: self.schema.clone(),
            files,
            buckets,
        }
    }
}

impl SpillWriter {
    /// Writes rows of a bucket.
    pub fn write(&mut self, bucket: usize, rows: &RecordBatch) -> Result<()> {
        // A view would bring with it all of the text that it is a part of.
        let rows = in_schema(rows, &self.spilling.stored)?;
        self.buffer.clear();
        let mut writer = StreamWriter::try_new(&mut self.buffer, &self.spilling.stored)?;
        writer.write(&rows)?;
        writer.finish()?;
        drop(writer);
        self.file.write_all(&self.buffer)?;
        self.pieces.push((
            bucket,
            Piece {
                file: 0,
                offset: self.offset,
                bytes: self.buffer.len(),
            },
        ));
        self.offset += u64::try_from(self.buffer.len()).unwrap_or_default();
        Ok(())
    }

    /// Hands over what was written.
    pub fn finish(self) {
        let file = SpillFile {
            file: self.file,
            _temporary: self.temporary,
        };
        let mut done = self.spilling.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((file, self.pieces));
    }
}

impl Spilled {
    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes of a bucket.
    pub fn bytes(&self, bucket: usize) -> usize {
        self.buckets[bucket].iter().map(|piece| piece.bytes).sum()
    }

    /// Number of pieces of a bucket.
    pub fn pieces(&self, bucket: usize) -> usize {
        self.buckets[bucket].len()
    }

    /// The rows of a piece of a bucket.
    pub fn read(&self, bucket: usize, piece: usize) -> Result<Vec<RecordBatch>> {
        let piece = self.buckets[bucket][piece];
        let mut bytes = vec![0; piece.bytes];
        self.files[piece.file].file.read_exact_at(&mut bytes, piece.offset)?;
        let mut bytes = Buffer::from_vec(bytes);
        let mut decoder = StreamDecoder::new();
        let mut batches = Vec::new();
        while let Some(batch) = decoder.decode(&mut bytes)? {
            batches.push(in_schema(&batch, &self.schema)?);
        }
        if batches.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::{
        arrow::{
            array::{ArrayRef, AsArray as _, StringViewArray},
            datatypes::{Field, Schema},
        },
        execution::disk_manager::DiskManagerBuilder,
    };

    use super::*;
    use crate::fields::types::TEXT;

    #[test]
    fn what_is_written_into_a_bucket_is_read_from_it() {
        let disk = Arc::new(DiskManagerBuilder::default().build().unwrap());
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("t", TEXT, true)]));
        let spilling = Spilling::new(schema.clone(), 3);
        let long = "a text that is longer than a view holds by itself";
        let rows = |texts: &[Option<&str>]| {
            let column: ArrayRef = Arc::new(texts.iter().copied().collect::<StringViewArray>());
            RecordBatch::try_new(schema.clone(), vec![column]).unwrap()
        };
        for texts in [[Some("a"), None], [Some(long), Some("b")]] {
            let mut writer = spilling.writer(&disk).unwrap();
            writer.write(2, &rows(&texts)).unwrap();
            writer.write(0, &rows(&texts[1..])).unwrap();
            writer.finish();
        }
        let spilled = spilling.finish();
        let read = |bucket: usize| -> Vec<Option<String>> {
            let batches = (0..spilled.pieces(bucket)).flat_map(|piece| spilled.read(bucket, piece).unwrap());
            batches
                .flat_map(|batch| {
                    let texts = batch.column(0).as_string_view().clone();
                    texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
                })
                .collect()
        };
        assert_eq!(
            read(2),
            [Some("a".to_owned()), None, Some(long.to_owned()), Some("b".to_owned())]
        );
        assert_eq!(read(0), [None, Some("b".to_owned())]);
        assert_eq!((read(1), spilled.bytes(1)), (Vec::new(), 0));
    }
}
