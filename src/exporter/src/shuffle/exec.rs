//! One of the tables of a shuffle as a plan: bucket by bucket, sorted by key.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{array::RecordBatch, compute::interleave_record_batch, datatypes::SchemaRef},
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
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

/// A table of a shuffle.
pub(super) struct ShuffleExec {
    shuffle: Arc<Shuffle>,
    table: usize,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ShuffleExec {
    /// The table of this number, in as many partitions as there are buckets.
    pub fn new(shuffle: Arc<Shuffle>, table: usize, schema: SchemaRef, buckets: usize) -> Self {
        Self {
            shuffle,
            table,
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(buckets),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            schema,
        }
    }
}

impl fmt::Debug for ShuffleExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ShuffleExec")
            .field("table", &self.table)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for ShuffleExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buckets = self.properties.partitioning.partition_count();
        write!(out, "ShuffleExec: table={}, buckets={buckets}", self.table)
    }
}

impl ExecutionPlan for ShuffleExec {
    fn name(&self) -> &'static str {
        "ShuffleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, bucket: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (shuffle, table) = (self.shuffle.clone(), self.table);
        let rows = futures::stream::once(async move {
            let tables = shuffle.tables(&context).await?;
            sorted(&tables[table], bucket, &context)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            rows.try_flatten(),
        )))
    }
}

/// The rows of a bucket, sorted: in memory if it has room for them, else by a sort that spills.
fn sorted(table: &Arc<Spilled>, bucket: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
    let reservation = MemoryConsumer::new("bucket").register(context.memory_pool());
    if reservation.try_grow(table.bytes(bucket) * GROWTH).is_err() {
        drop(reservation);
        let pieces = Arc::new(PiecesExec::new(table.clone(), bucket));
        return SortExec::new(by_key(table.schema())?, pieces).execute(0, context.clone());
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
struct PiecesExec {
    table: Arc<Spilled>,
    bucket: usize,
    properties: Arc<PlanProperties>,
}

impl PiecesExec {
    fn new(table: Arc<Spilled>, bucket: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(table.schema().clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            bucket,
            properties: Arc::new(properties),
        }
    }
}

impl fmt::Debug for PiecesExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PiecesExec")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for PiecesExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PiecesExec: bucket={}", self.bucket)
    }
}

impl ExecutionPlan for PiecesExec {
    fn name(&self) -> &'static str {
        "PiecesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (table, bucket) = (self.table.clone(), self.bucket);
        let pieces = (0..table.pieces(bucket)).map(move |piece| table.read(bucket, piece));
        let batches = futures::stream::iter(pieces).flat_map(|read| match read {
            Ok(batches) => futures::stream::iter(batches.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => futures::stream::iter(vec![Err(error)]),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.table.schema().clone(),
            batches,
        )))
    }
}
