//! The tables of a shuffle as plans: bucket by bucket, sorted by key.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{array::RecordBatch, compute::interleave_record_batch, datatypes::SchemaRef},
    common::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_plan::{
        ExecutionPlan,
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Shuffle, spill::Spilled};
use crate::{
    keys::{KEY, KeyRef, Keys},
    read::by_key,
};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// What a bucket takes in memory, beside what it takes on disk: texts have views there, rows their places.
const GROWTH: usize = 2;

/// The table of this number, with a partition for each bucket.
pub(super) fn plan(
    shuffle: &Arc<Shuffle>,
    table: usize,
    schema: &SchemaRef,
    buckets: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let bucket = |bucket| -> Arc<dyn PartitionStream> {
        Arc::new(Bucket {
            shuffle: shuffle.clone(),
            table,
            bucket,
            schema: schema.clone(),
        })
    };
    let buckets = (0..buckets).map(bucket).collect();
    let plan = StreamingTableExec::try_new(schema.clone(), buckets, None, None, false, None)?;
    Ok(Arc::new(plan))
}

/// A bucket of a table of a shuffle.
struct Bucket {
    shuffle: Arc<Shuffle>,
    table: usize,
    bucket: usize,
    schema: SchemaRef,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bucket")
            .field("table", &self.table)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for Bucket {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (shuffle, table, bucket) = (self.shuffle.clone(), self.table, self.bucket);
        let rows = futures::stream::once(async move {
            let tables = shuffle.tables(&context).await?;
            sorted(&tables[table], bucket, &context)
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows.try_flatten()))
    }
}

/// The rows of a bucket, sorted: in memory if it has room for them, else by a sort that spills.
fn sorted(table: &Arc<Spilled>, bucket: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
    let reservation = MemoryConsumer::new("bucket").register(context.memory_pool());
    if reservation.try_grow(table.bytes(bucket) * GROWTH).is_err() {
        drop(reservation);
        let pieces: Arc<dyn PartitionStream> = Arc::new(Pieces {
            table: table.clone(),
            bucket,
        });
        let pieces = StreamingTableExec::try_new(table.schema().clone(), vec![pieces], None, None, false, None)?;
        return SortExec::new(by_key(table.schema())?, Arc::new(pieces)).execute(0, context.clone());
    }
    let (table, schema) = (table.clone(), table.schema().clone());
    let loaded = futures::stream::once(async move {
        let mut batches = Vec::new();
        for piece in 0..table.pieces(bucket) {
            batches.extend(table.read(bucket, piece)?);
        }
        let order = order(&batches)?;
        let chunks = (0..order.len().div_ceil(BATCH_ROWS)).map(move |chunk| {
            // Counted until the last rows are given away.
            let _held = &reservation;
            let rows = &order[chunk * BATCH_ROWS..order.len().min((chunk + 1) * BATCH_ROWS)];
            Ok(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), rows)?)
        });
        Ok::<_, DataFusionError>(futures::stream::iter(chunks))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, loaded.try_flatten())))
}

/// The places of all rows in the order of their keys.
fn order(batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>> {
    let mut keyed: Vec<(i128, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (number, batch) in (0_u32..).zip(batches) {
        let column = batch
            .column_by_name(KEY)
            .ok_or_else(|| DataFusionError::Internal("rows come without their keys".to_owned()))?;
        let keys = Keys::read(column)?;
        keyed.extend((0_u32..).zip(0..keys.len()).map(|(row, place)| match keys.key(place) {
            KeyRef::Hash(hash) => (hash, number, row),
            KeyRef::Number(_) | KeyRef::Text(_) => (0, number, row),
        }));
    }
    keyed.sort_unstable();
    Ok(keyed
        .into_iter()
        .map(|(_, batch, row)| (batch as usize, row as usize))
        .collect())
}

/// The pieces of a bucket, one after the other.
struct Pieces {
    table: Arc<Spilled>,
    bucket: usize,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pieces")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for Pieces {
    fn schema(&self) -> &SchemaRef {
        self.table.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, bucket) = (self.table.clone(), self.bucket);
        let pieces = (0..table.pieces(bucket)).map(move |piece| table.read(bucket, piece));
        let batches = futures::stream::iter(pieces).flat_map(|read| match read {
            Ok(batches) => futures::stream::iter(batches.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => futures::stream::iter(vec![Err(error)]),
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema().clone(), batches))
    }
}
