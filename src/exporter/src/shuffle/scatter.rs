//! Rows to their buckets.

use std::collections::HashSet;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Decimal128Array, RecordBatch},
        compute::interleave_record_batch,
        datatypes::SchemaRef,
    },
    common::Result,
};

use super::spill::SpillWriter;

/// Collects rows until they are worth a piece for each bucket.
pub(super) struct Scatter {
    writer: SpillWriter,
    schema: SchemaRef,
    /// Bytes that may wait.
    most_bytes: usize,
    batches: Vec<RecordBatch>,
    /// For each bucket: the waiting rows.
    rows: Vec<Vec<(usize, usize)>>,
    bytes: usize,
    /// Buffers that are counted already: batches of one page share them.
    buffers: HashSet<usize, ahash::RandomState>,
}

impl Scatter {
    /// Into so many buckets. `schema` has the key first, then the columns of the rows.
    pub fn new(writer: SpillWriter, schema: SchemaRef, buckets: usize, most_bytes: usize) -> Self {
        Self {
            writer,
            schema,
            most_bytes,
            batches: Vec::new(),
            rows: vec![Vec::new(); buckets],
            bytes: 0,
            buffers: HashSet::default(),
        }
    }

    /// Takes the rows of a batch that have a key.
    pub fn add(&mut self, batch: &RecordBatch, keys: &[Option<i128>]) -> Result<()> {
        let number = self.batches.len();
        let mut taken = false;
        for (row, key) in keys.iter().enumerate() {
            if let Some(key) = key {
                let bucket = bucket(*key, self.rows.len());
                self.rows[bucket].push((number, row));
                taken = true;
            }
        }
        if !taken {
            return Ok(());
        }
        let column: Decimal128Array = keys.iter().map(|key| Some(key.unwrap_or_default())).collect();
        let column = column.with_data_type(crate::keys::HASH);
        let key: ArrayRef = std::sync::Arc::new(column);
        let columns = std::iter::once(key).chain(batch.columns().iter().cloned()).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.bytes += self.count(&batch);
        self.batches.push(batch);
        if self.bytes >= self.most_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.finish();
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        for (bucket, rows) in self.rows.iter_mut().enumerate() {
            if !rows.is_empty() {
                self.writer.write(bucket, &interleave_record_batch(&batches, rows)?)?;
                rows.clear();
            }
        }
        self.batches.clear();
        self.buffers.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Bytes that are not counted yet.
    fn count(&mut self, batch: &RecordBatch) -> usize {
        let mut bytes = batch.num_rows() * 2 * size_of::<(usize, usize)>();
        for column in batch.columns() {
            let mut parts = vec![column.to_data()];
            while let Some(part) = parts.pop() {
                for buffer in part.buffers() {
                    if self.buffers.insert(buffer.data_ptr().as_ptr() as usize) {
                        bytes += buffer.capacity();
                    }
                }
                parts.extend(part.child_data().iter().cloned());
            }
        }
        bytes
    }
}

/// Which bucket a key belongs to.
pub(super) fn bucket(key: i128, buckets: usize) -> usize {
    let buckets = u128::try_from(buckets.max(1)).unwrap_or(1);
    usize::try_from(key.cast_unsigned() % buckets).unwrap_or_default()
}
