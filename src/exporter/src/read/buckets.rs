//! A scan of a bucketed table: each bucket by itself, its rows in the order of their keys, without a shuffle.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{compute::SortOptions, datatypes::SchemaRef},
    common::{DataFusionError, Result as DataFusionResult, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::Column as ColumnExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        coalesce_partitions::CoalescePartitionsExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{
    candidates::{Candidates, Found},
    filter::{Filter, RowFilter},
    reader::{Piece, Reader, Task},
    recipe::Wanted,
    scan::{StoreScanExec, properties},
    table::{Input, StoreTable},
};
use crate::{Progress, Result, keys::KEY};

/// Most rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Least rows of a batch, however wide they are.
const LEAST_BATCH_ROWS: usize = 64;
/// Bytes of a value in a batch, for most types.
const VALUE_BYTES: usize = 24;
/// A batch may take this part of what a core has.
const BATCH_PART: usize = 16;

/// Rows of a batch of so many columns, where a core has so many bytes.
pub(crate) fn batch_rows(columns: usize, core_bytes: usize) -> usize {
    (core_bytes / BATCH_PART / (columns.max(4) * VALUE_BYTES)).clamp(LEAST_BATCH_ROWS, BATCH_ROWS)
}

/// Which buckets are read, and how much memory there is for it.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Numbers of the buckets: each is a partition of a scan, in this order.
    pub numbers: Arc<[usize]>,
    /// Bytes for each core.
    pub core_bytes: usize,
}

/// A scan of some buckets of a table.
#[derive(Clone)]
pub(crate) struct BucketScanExec {
    readers: Arc<Vec<Arc<Reader>>>,
    /// Rows of the table in these buckets.
    rows: usize,
    buckets: Buckets,
    schema: SchemaRef,
    filter: Arc<Filter>,
    candidates: Arc<Candidates>,
    progress: Option<Arc<Progress>>,
    batch_rows: usize,
    properties: Arc<PlanProperties>,
}

impl BucketScanExec {
    /// A scan of `table`, which is bucketed, that delivers the columns `wanted`, the key among them, of the profiles that
    /// are candidates.
    pub fn new(
        table: &StoreTable,
        wanted: &[Wanted],
        filter: RowFilter,
        buckets: Buckets,
        candidates: Arc<Candidates>,
        progress: Option<Arc<Progress>>,
    ) -> Result<Self> {
        let schema = Wanted::schema(wanted);
        let own = table.parts.iter().filter(|part| {
            part.bucket
                .as_ref()
                .is_some_and(|bucket| buckets.numbers.contains(&bucket.number))
        });
        let rows = own.clone().map(|part| part.input.rows()).sum();
        let readers = own
            .map(|part| Reader::new(part, wanted, &schema).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        if let Some(progress) = &progress {
            progress.rows_expected(rows);
        }
        Ok(Self {
            readers: Arc::new(readers),
            rows,
            batch_rows: batch_rows(wanted.len(), buckets.core_bytes),
            properties: properties(&schema, buckets.numbers.len()),
            buckets,
            filter: Arc::new(Filter::new(filter, &schema)),
            schema,
            candidates,
            progress,
        })
    }

    /// All rows of a bucket, by its place among the partitions.
    pub fn bucket(&self, partition: usize, context: &Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        self.open(partition, None, context)
    }

    fn open(
        &self,
        partition: usize,
        candidates: Found,
        context: &Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let number = self.buckets.numbers.get(partition).copied();
        let mut is_sorted = true;
        let mut files = Vec::new();
        for (index, reader) in self.readers.iter().enumerate() {
            let part = reader.part();
            let Some(bucket) = part.bucket.as_ref().filter(|bucket| Some(bucket.number) == number) else {
                continue;
            };
            let Input::Parquet(file) = &part.input else { continue };
            is_sorted &= bucket.is_sorted;
            let groups = (0..file.metadata.metadata().num_row_groups()).collect();
            files.push(vec![Task {
                reader: index,
                piece: Piece::RowGroups(groups),
                bytes: 0,
            }]);
        }
        let count = files.len();
        let scan = StoreScanExec::new(
            self.readers.clone(),
            files,
            self.schema.clone(),
            self.filter.clone(),
            self.progress.clone(),
        );
        let scan: Arc<dyn ExecutionPlan> = Arc::new(scan.of_candidates(candidates, self.batch_rows));
        match count {
            0 => Ok(Box::pin(RecordBatchStreamAdapter::new(
                self.schema.clone(),
                futures::stream::empty(),
            ))),
            1 if is_sorted => scan.execute(0, context.clone()),
            _ if is_sorted => SortPreservingMergeExec::new(by_key(&self.schema)?, scan).execute(0, context.clone()),
            _ => SortExec::new(by_key(&self.schema)?, Arc::new(CoalescePartitionsExec::new(scan)))
                .execute(0, context.clone()),
        }
    }
}

/// In the order of the key.
pub(crate) fn by_key(schema: &SchemaRef) -> DataFusionResult<LexOrdering> {
    let key = Arc::new(ColumnExpr::new_with_schema(KEY, schema)?);
    let options = SortOptions {
        descending: false,
        nulls_first: true,
    };
    Ok(LexOrdering::from([PhysicalSortExpr::new(key, options)]))
}

impl fmt::Debug for BucketScanExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BucketScanExec")
            .field("schema", &self.schema)
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for BucketScanExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "BucketScanExec: files={}, buckets={}, rows={}",
            self.readers.len(),
            self.buckets.numbers.len(),
            self.rows
        )
    }
}

impl ExecutionPlan for BucketScanExec {
    fn name(&self) -> &'static str {
        "BucketScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        if self.candidates.is_everybody() {
            return self.bucket(partition, &context);
        }
        let scan = self.clone();
        let rows = futures::stream::once(async move {
            let place = scan.candidates.place(partition);
            let found = place
                .get_or_try_init(|| scan.candidates.find(partition, &context))
                .await?
                .clone();
            let rows = scan.open(partition, found, &context)?;
            // The place is held as long as these rows are read: the other tables' scans of the bucket find it there.
            Ok::<_, DataFusionError>(rows.inspect(move |_| {
                let _held = &place;
            }))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
